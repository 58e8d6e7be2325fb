/* Where every (tenant, issuer) finds its key set: published as immutable sets, fetched ahead of
 * their expiry, kept over failures within a bound and over restarts on disk. */
#ifndef SIDECAR_KEYS_KEY_STORE_H
#define SIDECAR_KEYS_KEY_STORE_H

#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/jose/jwks.h"
#include "sidecar/keys/key_fetch.h"

enum {
    KEY_STORE_COOLDOWN_MS = 30 * 1000,     /* between fetches that an unknown kid asks for */
    KEY_STORE_STALE_MS = 24 * 3600 * 1000, /* how long a set serves without a good fetch */
    KEY_STORE_UNKNOWN_MS = 60 * 1000,      /* how long an unknown kid is remembered */
    KEY_STORE_UNKNOWN_MAX = 32,            /* unknown kids that are remembered per source */
    KEY_STORE_WAITERS_MAX = 256,           /* per source */
    KEY_STORE_FETCHES_MAX = 32,            /* at once */
};

struct key_store;
struct key_source;

struct key_store_config {
    const struct cw_clock *clock;
    const struct cw_random *random;
    struct key_getter getter;
    const char *state_dir; /* last good sets; NULL: not kept */
    /* Keys were withdrawn, or a set became too old to decide by. No lock is held; any thread. */
    void (*withdrawn)(void *ctx, size_t keys);
    void (*stale)(void *ctx);
    /* A fetch ended; for logs and metrics. `why` is "" when it was good. May be NULL. */
    void (*fetched)(void *ctx, const char *tenant, const char *issuer, bool good, const char *why);
    void *ctx;
};

/* Who waits for a fetch. Embedded in the waiting job. */
struct key_waiter {
    /* Look again. `late`: its deadline has passed, or the store is closing. No lock is held; must
     * not block. */
    void (*wake)(struct key_waiter *waiter, bool late);
    int64_t deadline_ms; /* monotonic */
    struct key_waiter *next;
};

struct key_source_spec {
    const char *tenant;
    const char *issuer;
    enum key_kind kind;
    const char *location; /* URL or path, "" else */
    const char *ca_file;  /* PEM, "": the system's authorities */
    bool plain_loopback;
    bool required; /* readiness depends on it */
};

enum key_answer {
    KEY_ANSWER_UNKNOWN,     /* no such key: a refusal */
    KEY_ANSWER_UNAVAILABLE, /* cannot be told */
    KEY_ANSWER_AGAIN,       /* another set was published in between: look again */
    KEY_ANSWER_WAIT,        /* the waiter is kept and will be woken */
};

/* The configuration's strings are borrowed. NULL without memory. */
struct key_store *key_store_new(const struct key_store_config *config);
/* A thread that calls key_store_tick by itself. */
CW_MUST_USE enum cw_err key_store_start(struct key_store *store);
/* Wakes all waiters as late and ends the thread. Fetches must have ended or been cancelled before
 * key_store_free. */
void key_store_stop(struct key_store *store);
void key_store_free(struct key_store *store);
/* Starts what is due, wakes who waited too long; milliseconds until it wants to be called again. */
int64_t key_store_tick(struct key_store *store);

/* Finds or makes; one reference to the caller. A new source is loaded from disk and, unless it is
 * inline, due at once. NULL without memory. Not on a poller. */
struct key_source *key_store_open(struct key_store *store, const struct key_source_spec *spec);
struct key_source *key_source_ref(struct key_source *source);
/* The last reference ends it once no fetch runs. NULL is fine. */
void key_source_unref(struct key_source *source);

/* One reference to the present set; NULL where there is none or it is too old. Any thread. */
struct cw_jwks *key_source_get(struct key_source *source);

/* `seen` (borrowed; may be NULL) is the set that had no key for `kid` (NULL: the token names none).
 * Any thread. ret_retry_ms, for UNAVAILABLE: when trying again makes sense. */
enum key_answer key_source_ask(struct key_source *source, const struct cw_jwks *seen,
                               const struct cw_str *kid, struct key_waiter *waiter,
                               int64_t *ret_retry_ms);

/* Publishes a set that came with the tenant `age_ms` ago (0: now; more for one read from disk); the
 * old one stays when it is no good. Not on a poller. */
CW_MUST_USE enum cw_err key_source_publish(struct key_source *source, struct cw_str text,
                                           int64_t age_ms, char ret_why[CW_JWK_WHY_SIZE]);
/* The feed says that the published set is still the present one. Any thread. */
void key_source_confirm(struct key_source *source);

/* An operator asks: false when the source is within its cooldown or has nothing to fetch. */
bool key_source_refresh(struct key_source *source);

/* What is shown of a source. */
struct key_source_info {
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
    char why[KEY_FETCH_WHY_SIZE];
};

/* Each source, without a lock held over the call. Not on a poller. */
void key_store_each(struct key_store *store,
                    void (*each)(void *ctx, struct key_source *source,
                                 const struct key_source_info *info),
                    void *ctx);

#endif
