/* Watchers: streams that get a snapshot when an application that they named has changed. */
#ifndef SIDECAR_REGISTRY_WATCH_H
#define SIDECAR_REGISTRY_WATCH_H

#include "common/rpc/server.h"
#include "proto/clinicwave/discovery/v1/discovery.pb-c.h"
#include "sidecar/registry/store.h"

enum {
    REGISTRY_WATCH_APPS_MAX = 1024,      /* applications of one watcher */
    REGISTRY_WATCH_INSTANCES_MAX = 4096, /* instances of one message: it stays below 4 MiB */
};

struct registry_watchers;

CW_MUST_USE enum cw_err registry_watchers_new(size_t max, struct registry_watchers **ret_watchers);
/* All streams have ended. NULL is fine. */
void registry_watchers_free(struct registry_watchers *watchers);

/* The stream is told of these applications from the next publish on, until it is removed. On a
 * poller. CW_REGISTRY_FULL, CW_REQUEST_MALFORMED for a name that is none. */
CW_MUST_USE enum cw_err registry_watchers_add(struct registry_watchers *watchers,
                                              struct cw_rpc_stream *stream, char *const *apps,
                                              size_t n);
void registry_watchers_remove(struct registry_watchers *watchers, struct cw_rpc_stream *stream);
size_t registry_watchers_count(struct registry_watchers *watchers);

/* Sends the snapshot to those for whom it is news. Always on the same thread, so that nobody gets
 * an older one last. */
void registry_watchers_publish(struct registry_watchers *watchers,
                               const struct registry_snapshot *snapshot);

/* The items of an application, at most `max` of them, as messages in the arena. For gateways: those
 * within reach, gone ones as DOWN, and of the metadata weight and zone. For others: all, with the
 * reason why one is unreachable. CW_NO_MEMORY. */
CW_MUST_USE enum cw_err registry_pack_app(struct cw_arena *arena, const char *name,
                                          const struct registry_app *app, bool for_gateway,
                                          size_t max,
                                          Clinicwave__Discovery__V1__Application **ret_message);

#endif
