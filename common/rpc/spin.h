/* Whether a poller that has nothing to do asks on for a moment before it sleeps.
 *
 * To wake a sleeping thread costs more than an exchange itself (tens of microseconds where a halted
 * core has to be woken, docs/decisions/0010). So after a short gap the next one is expected to be
 * short as well, and is spent asking. The machine must not pay for that:
 *
 *  - a gap longer than the bound ends the asking until a short one has been seen again, so that a
 *    process with little to do sleeps at once;
 *  - it is done for one question at a time only, when a chain of processes waits for each other.
 *    Where several come at once, the others have work while this one sleeps, and the scheduler
 * would keep them off the core that asks: CW_RPC_SPIN_PAUSE gaps are slept through.
 *  - the caller yields the core between two questions. Once others have taken it
 *    CW_RPC_SPIN_CROWDED times within a gap, the next gaps are slept through: CW_RPC_SPIN_PAUSE of
 *    them, and twice as many each time that it comes out the same, for a machine that stays busy
 *    has better things to do.
 *
 * Times are nanoseconds of one monotonic clock. One thread. */
#ifndef CW_RPC_SPIN_H
#define CW_RPC_SPIN_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CW_RPC_SPIN_GAP_NS = 20000,    /* less lies between two events of one exchange: no gap */
    CW_RPC_SPIN_EXCHANGE = 3,      /* events of one exchange at most; more: several came at once */
    CW_RPC_SPIN_CROWDED_NS = 5000, /* a yield that took so long let somebody else run */
    CW_RPC_SPIN_CROWDED = 4,
    CW_RPC_SPIN_PAUSE = 64, /* gaps */
    CW_RPC_SPIN_PAUSE_MAX = 4096,
};

struct cw_rpc_spin {
    int64_t bound_ns; /* 0: never asks */
    int64_t since_ns; /* when the gap began */
    bool expects;     /* the last gap was short */
    unsigned events;  /* since the last gap */
    unsigned crowded; /* yields of this gap in which others ran */
    unsigned pause;   /* gaps that are still slept through */
    unsigned longer;  /* the next pause's length */
    bool asks;        /* in this gap */
};

#define CW_RPC_SPIN_INIT(bound)                                                                    \
    ((struct cw_rpc_spin){.bound_ns = (bound), .longer = CW_RPC_SPIN_PAUSE})

/* A gap begins. True: ask without sleeping. */
bool cw_rpc_spin_begin(struct cw_rpc_spin *spin, int64_t now_ns);

/* Nothing came, and the core was offered to others from `yield_ns` to `now_ns`. True: ask again. */
bool cw_rpc_spin_again(struct cw_rpc_spin *spin, int64_t yield_ns, int64_t now_ns);

/* One event brought several questions. */
void cw_rpc_spin_several(struct cw_rpc_spin *spin);

/* Something came. */
void cw_rpc_spin_end(struct cw_rpc_spin *spin, int64_t now_ns);

#endif
