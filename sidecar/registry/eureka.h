/* The agent's client of Eureka servers: reads what they know into the store, and registers there
 * what the services of this host register here.
 *
 *   every poll ──▶ delta (hash right) ──────────────▶ news for the store
 *              └─▶ hash wrong, refused, first time ─▶ full document ─▶ news
 *   a service of this host: look ▶ register ▶ heartbeats … ▶ cancel
 *
 * Each request goes to the server that answered last; a failing one is passed over for the next.
 * Whatever fails, what is known stays. The network is behind a seam; time and chance are arguments.
 * Any thread. */
#ifndef SIDECAR_REGISTRY_EUREKA_H
#define SIDECAR_REGISTRY_EUREKA_H

#include "sidecar/registry/eureka_servers.h"
#include "sidecar/registry/store.h"

struct eureka;

struct eureka_request {
    const char *method;
    const char *path;           /* below the server's base; encoded */
    const char *const *headers; /* NULL: Eureka's; else these alone, NULL-terminated */
    struct cw_str body;
    size_t max_body; /* bytes of the answer, inflated */
};

struct eureka_answer {
    enum cw_err err; /* as in cw_http_result */
    int status;
    struct cw_str body;
    const char *content_type; /* "" where absent */
    const char *detail;
};

typedef void eureka_answered(void *arg, const struct eureka_answer *answer);

/* Starts a request; after CW_OK `done` runs exactly once, later and on any thread. */
struct eureka_transport {
    enum cw_err (*start)(void *ctx, const struct eureka_server *server,
                         const struct eureka_request *request, eureka_answered *done, void *arg);
    void *ctx;
};

struct eureka_options {
    const struct eureka_config *config; /* borrowed, as all here */
    struct registry_store *store;
    const struct cw_clock *clock;
    const struct cw_random *random;
    struct eureka_transport transport;
    void (*wake)(void *ctx); /* eureka_tick has something to do earlier than it said */
    void *wake_ctx;
};

CW_MUST_USE enum cw_err eureka_new(const struct eureka_options *options, struct eureka **ret);
/* No request is on its way any more. NULL is fine. */
void eureka_free(struct eureka *eureka);

/* Registers and cancels as the snapshot says. Always on the same thread. */
void eureka_sync(struct eureka *eureka, const struct registry_snapshot *snapshot);
/* Starts what is due. Returns the milliseconds until something is due again, at most 60000. */
int64_t eureka_tick(struct eureka *eureka);
/* Nothing is started any more but cancellations that were due; waits at most `ms` for these. What
 * is registered stays so: the services go on. */
void eureka_stop(struct eureka *eureka, int64_t ms);

enum {
    EUREKA_ERROR_MAX = 160,
    EUREKA_NAME_MAX = 128, /* of a server, in stats */
};

struct eureka_stats {
    int64_t age_ms; /* since a server last told all that it knows; -1: never */
    bool late;      /* for longer than a few polls */
    size_t instances, held;
    size_t left_out;   /* of the last document: for want of room, or they cannot be read */
    size_t duplicates; /* of the last document: the same id again, with an older record */
    size_t wanted;     /* of this host's services */
    size_t registered; /* of these */
    uint64_t full_good, full_failed, delta_good, delta_failed;
    uint64_t mismatches; /* of the reconcile hash */
    uint64_t beats_good, beats_failed;
    uint64_t failovers;
    uint64_t outbid;                /* records with a time from the future */
    char server[EUREKA_NAME_MAX];   /* that answers at present */
    char error[EUREKA_ERROR_MAX];   /* of the last fetch; "" when it was good */
    char refusal[EUREKA_ERROR_MAX]; /* of the last registration; "" when it was good */
};

void eureka_stats(struct eureka *eureka, struct eureka_stats *ret_stats);

#endif
