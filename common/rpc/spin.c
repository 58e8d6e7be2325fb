/* The rule by which a poller asks on or sleeps; spin.h says why. */
#include "common/rpc/spin.h"

bool cw_rpc_spin_begin(struct cw_rpc_spin *spin, int64_t now_ns)
{
    spin->since_ns = now_ns;
    spin->crowded = 0;
    if (spin->pause > 0) {
        spin->pause--;
        spin->asks = false;
    } else {
        spin->asks = spin->expects;
    }
    return spin->asks;
}

static void leave_the_core(struct cw_rpc_spin *spin)
{
    spin->asks = false;
    spin->pause = spin->longer;
    spin->longer = spin->longer < CW_RPC_SPIN_PAUSE_MAX ? spin->longer * 2 : CW_RPC_SPIN_PAUSE_MAX;
}

bool cw_rpc_spin_again(struct cw_rpc_spin *spin, int64_t yield_ns, int64_t now_ns)
{
    if (now_ns - yield_ns > CW_RPC_SPIN_CROWDED_NS && ++spin->crowded == CW_RPC_SPIN_CROWDED) {
        leave_the_core(spin);
        return false;
    }
    return now_ns - spin->since_ns < spin->bound_ns;
}

void cw_rpc_spin_several(struct cw_rpc_spin *spin)
{
    spin->pause = spin->pause > CW_RPC_SPIN_PAUSE ? spin->pause : CW_RPC_SPIN_PAUSE;
}

void cw_rpc_spin_end(struct cw_rpc_spin *spin, int64_t now_ns)
{
    int64_t gap_ns = now_ns - spin->since_ns;
    if (gap_ns < CW_RPC_SPIN_GAP_NS) {
        if (++spin->events > CW_RPC_SPIN_EXCHANGE) {
            cw_rpc_spin_several(spin);
        }
        return;
    }
    spin->events = 1;
    spin->expects = gap_ns < spin->bound_ns;
    if (spin->asks) { /* a gap was spent alone */
        spin->longer = CW_RPC_SPIN_PAUSE;
    }
}
