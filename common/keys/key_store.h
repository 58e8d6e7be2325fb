/* Where every (tenant, issuer) finds its key set: published as immutable sets, fetched ahead of
 * their expiry, kept over failures within a bound and over restarts on disk. */
#ifndef CW_KEYS_KEY_STORE_H
#define CW_KEYS_KEY_STORE_H

#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/jose/jwks.h"
#include "common/keys/key_fetch.h"

enum {
    CW_KEY_STORE_COOLDOWN_MS = 30 * 1000,     /* between fetches that an unknown kid asks for */
    CW_KEY_STORE_STALE_MS = 24 * 3600 * 1000, /* how long a set serves without a good fetch */
    CW_KEY_STORE_UNKNOWN_MS = 60 * 1000,      /* how long an unknown kid is remembered */
    CW_KEY_STORE_UNKNOWN_MAX = 32,            /* unknown kids that are remembered per source */
    CW_KEY_STORE_WAITERS_MAX = 256,           /* per source, whatever the configuration says */
    CW_KEY_STORE_FETCHES_MAX = 32,            /* at once */
    CW_KEY_STORE_RETRIES_MAX = 16,            /* of them, from who did not answer the last time */
};

struct cw_key_store;
struct cw_key_source;

struct cw_key_store_config {
    const struct cw_clock *clock;
    const struct cw_random *random;
    struct cw_key_getter getter;
    const char *state_dir; /* last good sets; NULL: not kept */
    unsigned waiters;      /* of all sources together, and of one; 0: as many as come, and */
    unsigned waiters_each; /* CW_KEY_STORE_WAITERS_MAX */
    /* Keys were withdrawn, or a set became too old to decide by. No lock is held; any thread. */
    void (*withdrawn)(void *ctx, size_t keys);
    void (*stale)(void *ctx);
    /* A fetch ended; for logs and metrics. `why` is "" when it was good. May be NULL. */
    void (*fetched)(void *ctx, const char *tenant, const char *issuer, bool good, const char *why);
    void *ctx;
};

/* Who waits for a fetch. Embedded in the waiting job. */
struct cw_key_waiter {
    /* Look again. `late`: its deadline has passed, or the store is closing. No lock is held; must
     * not block. */
    void (*wake)(struct cw_key_waiter *waiter, bool late);
    int64_t deadline_ms; /* monotonic */
    struct cw_key_waiter *next;
};

struct cw_key_source_spec {
    const char *tenant;
    const char *issuer;
    enum cw_key_kind kind;
    const char *location; /* URL or path, "" else */
    const char *ca_file;  /* PEM, "": the system's authorities */
    bool plain_loopback;
    bool required; /* readiness depends on it */
};

enum cw_key_answer {
    CW_KEY_ANSWER_UNKNOWN,     /* no such key: a refusal */
    CW_KEY_ANSWER_UNAVAILABLE, /* cannot be told */
    CW_KEY_ANSWER_AGAIN,       /* another set was published in between: look again */
    CW_KEY_ANSWER_WAIT,        /* the waiter is kept and will be woken */
};

/* The configuration's strings are borrowed. NULL without memory. */
struct cw_key_store *cw_key_store_new(const struct cw_key_store_config *config);
/* A thread that calls cw_key_store_tick by itself. */
CW_MUST_USE enum cw_err cw_key_store_start(struct cw_key_store *store);
/* Wakes all waiters as late and ends the thread. Fetches must have ended or been cancelled before
 * cw_key_store_free. */
void cw_key_store_stop(struct cw_key_store *store);
void cw_key_store_free(struct cw_key_store *store);
/* Starts what is due, wakes who waited too long; milliseconds until it wants to be called again. */
int64_t cw_key_store_tick(struct cw_key_store *store);

/* Finds or makes; one reference to the caller. A new source is loaded from disk and, unless it is
 * inline, due at once. NULL without memory. Not on a poller. */
struct cw_key_source *cw_key_store_open(struct cw_key_store *store,
                                        const struct cw_key_source_spec *spec);
struct cw_key_source *cw_key_source_ref(struct cw_key_source *source);
/* The last reference ends it once no fetch runs. NULL is fine. */
void cw_key_source_unref(struct cw_key_source *source);

/* One reference to the present set; NULL where there is none or it is too old. Any thread. */
struct cw_jwks *cw_key_source_get(struct cw_key_source *source);

/* `seen` (borrowed; may be NULL) is the set that had no key for `kid` (NULL: the token names none).
 * Any thread. ret_retry_ms, for UNAVAILABLE: when trying again makes sense. */
enum cw_key_answer cw_key_source_ask(struct cw_key_source *source, const struct cw_jwks *seen,
                                     const struct cw_str *kid, struct cw_key_waiter *waiter,
                                     int64_t *ret_retry_ms);

/* Publishes a set that came with the tenant `age_ms` ago (0: now; more for one read from disk); the
 * old one stays when it is no good. Not on a poller. */
CW_MUST_USE enum cw_err cw_key_source_publish(struct cw_key_source *source, struct cw_str text,
                                              int64_t age_ms, char ret_why[CW_JWK_WHY_SIZE]);
/* The feed says that the published set is still the present one. Any thread. */
void cw_key_source_confirm(struct cw_key_source *source);

/* The configuration was read again: files with keys are, too, without waiting for their turn. */
void cw_key_store_reread(struct cw_key_store *store);

/* An operator asks: false when the source is within its cooldown, which a file has not, or has
 * nothing to fetch. */
bool cw_key_source_refresh(struct cw_key_source *source);

/* What is shown of a source. */
struct cw_key_source_info {
    const char *tenant;
    const char *issuer;
    const char *place; /* URL, path, or "inline" */
    bool required;
    bool stale;
    bool failed;         /* the last fetch */
    struct cw_jwks *set; /* borrowed for the call, NULL for none */
    int64_t fetched_at;  /* Unix seconds, 0: never */
    int64_t refresh_at;  /* Unix seconds, 0: none */
    uint64_t fetches;
    uint64_t failures;
    char why[CW_KEY_FETCH_WHY_SIZE];
};

/* Each source, without a lock held over the call. Not on a poller. */
void cw_key_store_each(struct cw_key_store *store,
                       void (*each)(void *ctx, struct cw_key_source *source,
                                    const struct cw_key_source_info *info),
                       void *ctx);

#endif
