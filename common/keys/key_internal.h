/* What the files of this directory share. */
#ifndef CW_KEYS_KEY_INTERNAL_H
#define CW_KEYS_KEY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/keys/key_disk.h"
#include "common/keys/key_store.h"

struct unknown_kid {
    uint64_t hash;
    int64_t first_ms;
};

enum { CW_KEY_BUCKETS = 16384 }; /* tens of thousands of tenants, each found at once */

struct cw_key_source {
    struct cw_key_store *store;
    /* Under the store's lock. */
    struct cw_key_source *next;  /* of all */
    struct cw_key_source **link; /* what points to this one */
    struct cw_key_source *same;  /* next of its bucket */
    uint64_t hash;               /* of tenant and issuer */
    unsigned refs;
    char *tenant;
    char *issuer;
    char *location;
    char *ca_file;
    struct cw_key_source_spec spec;
    struct cw_key_fetch_spec fetch_spec;
    char path[CW_KEY_DISK_PATH_MAX]; /* "": not kept on disk */

    pthread_mutex_t lock; /* for all below */
    struct cw_jwks *set;
    bool stale;
    bool fetching;
    bool retrying;         /* and the fetch before failed */
    bool good;             /* a fetch has ever been good */
    bool failed;           /* the last one was not */
    int64_t good_began_ms; /* monotonic */
    int64_t began_ms;      /* of the last fetch, good or not */
    bool began;
    bool again;      /* it runs, and may have seen what is replaced by now */
    int64_t next_ms; /* planned; INT64_MAX: none */
    unsigned failures_in_row;
    int64_t fetched_at; /* wall clock, seconds */
    uint64_t fetches;
    uint64_t failures;
    char why[CW_KEY_FETCH_WHY_SIZE];
    struct unknown_kid unknown[CW_KEY_STORE_UNKNOWN_MAX];
    unsigned unknown_next;
    struct cw_key_waiter *waiters;
    unsigned n_waiters;
};

struct cw_key_store {
    struct cw_key_store_config config;
    pthread_mutex_t lock; /* the list and the references */
    struct cw_key_source *sources;
    struct cw_key_source *buckets[CW_KEY_BUCKETS]; /* the same, by hash */
    _Atomic unsigned fetching;
    _Atomic unsigned retrying; /* of those that fetch */
    _Atomic unsigned waiting;
    _Atomic bool closing;

    /* Who was the first to be refused a place is the first to be looked at by the next tick. Its
     * index in the list, roughly, since the list changes; the tick's own. */
    size_t turn;

    pthread_t thread;
    bool started;
    pthread_mutex_t wake_lock;
    pthread_cond_t wake;
    bool woken;
};

static inline int64_t cw_key_now_ms(const struct cw_key_store *store)
{
    return cw_clock_monotonic_ms(store->config.clock);
}

/* Has the store's thread look again. */
void cw_key_store_nudge(struct cw_key_store *store);
/* Calls them; no lock is held. */
void cw_key_wake_all(struct cw_key_store *store, struct cw_key_waiter *waiter, bool late);
/* Under the source's lock. */
struct cw_key_waiter *cw_key_take_waiters(struct cw_key_source *source);

/* Under the source's lock: whether a fetch may begin now; if so it is marked as begun and the
 * caller must call cw_key_run_fetch after unlocking. */
bool cw_key_begin_fetch(struct cw_key_source *source, int64_t now);
void cw_key_run_fetch(struct cw_key_source *source);

void cw_key_source_reread(struct cw_key_source *source);
void cw_key_source_describe(struct cw_key_source *source, struct cw_key_source_info *ret_info);

#endif
