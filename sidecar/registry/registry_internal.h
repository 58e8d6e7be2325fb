/* The agent's inside, shared by its thread, its gRPC methods and its REST routes. */
#ifndef SIDECAR_REGISTRY_REGISTRY_INTERNAL_H
#define SIDECAR_REGISTRY_REGISTRY_INTERNAL_H

#include <pthread.h>

#include "common/http/server.h"
#include "sidecar/handle/pool.h"
#include "sidecar/registry/checks.h"
#include "sidecar/registry/config.h"
#include "sidecar/registry/eureka_http.h"
#include "sidecar/registry/registry.h"
#include "sidecar/registry/watch.h"

enum { REGISTRY_DETAIL_MAX = 160 };

struct registry {
    const struct cw_clock *clock;
    struct registry_config config;
    struct registry_store *store;
    struct registry_watchers *watchers;
    struct cw_http_server *http; /* NULL: off */
    struct eureka *eureka;       /* NULL: no Eureka server */
    struct eureka_http network;  /* its own: its documents are large */
    struct registry_checks *checks;
    struct pool *lookups; /* answers Lookup: the pollers have verdicts to answer */
    struct registry_file {
        char *path;               /* NULL: nothing is kept */
        uint64_t saved;           /* what of its part it has */
        int64_t next_ms;          /* not before */
    } files[REGISTRY_PART_COUNT]; /* the thread's, once it runs */
    uint32_t grace_s;
    char host[256]; /* for default instance ids */

    pthread_t thread;
    bool running;         /* main thread */
    pthread_mutex_t lock; /* the two below */
    bool news, stopping;
    pthread_cond_t wake;
};

/* The thread looks again: something changed, or somebody watches. Any thread. */
void registry_wake(struct registry *registry);

/* Eureka's REST API; main thread. CW_CONFLICT, CW_IO. */
CW_MUST_USE enum cw_err registry_rest_start(struct registry *registry,
                                            char ret_detail[REGISTRY_DETAIL_MAX]);
void registry_rest_stop(struct registry *registry);

/* What happened, for the log. */
enum registry_event {
    REGISTRY_EVENT_REGISTERED = 0,
    REGISTRY_EVENT_REFUSED,
    REGISTRY_EVENT_LOST,
    REGISTRY_EVENT_ENDED,
    REGISTRY_EVENT_RESTORED,
    REGISTRY_EVENT_STATE_UNREADABLE,
    REGISTRY_EVENT_STATE_UNSAVED,
    REGISTRY_EVENT_LISTENING,
    REGISTRY_EVENT_CHECKED,
    REGISTRY_EVENT_COUNT,
};

/* `app` and `id` may be NULL; CW_OK is not shown. */
void registry_log(enum registry_event event, const char *app, const char *id, enum cw_err err);
void registry_log_status(enum registry_event event, const char *app, const char *id,
                         const char *status);
void registry_log_count(enum registry_event event, size_t restored, size_t skipped);

/* service.c: answers one Lookup; on the thread of `lookups`. */
void registry_lookup_run(struct pool_item *item);

#endif
