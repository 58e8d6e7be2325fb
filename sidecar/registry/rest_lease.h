/* Leases of Eureka's REST API, with the rules of the real server: dirty timestamps, overridden
 * statuses, renewals that count double. Only what came in this way can be changed this way:
 * streams, configuration and servers are stronger. `app` is in upper case. Any thread. */
#ifndef SIDECAR_REGISTRY_REST_LEASE_H
#define SIDECAR_REGISTRY_REST_LEASE_H

#include "sidecar/registry/store.h"

/* CW_FORBIDDEN when something stronger holds the id, CW_REGISTRY_FULL at a bound,
 * CW_REQUEST_MALFORMED. A record that is older than the one held changes nothing and is CW_OK, as
 * in the real server. */
CW_MUST_USE enum cw_err registry_rest_register(struct registry_store *store,
                                               const struct cw_eureka_instance *instance);
/* A heartbeat; dirty_ms 0: not sent. CW_NOT_FOUND when the client has to register (again). */
CW_MUST_USE enum cw_err registry_rest_renew(struct registry_store *store, const char *app,
                                            const char *id, int64_t dirty_ms);
/* CW_NOT_FOUND, CW_FORBIDDEN; below, too. */
CW_MUST_USE enum cw_err registry_rest_cancel(struct registry_store *store, const char *app,
                                             const char *id);
/* Overrides the status until the override or the instance is deleted. */
CW_MUST_USE enum cw_err registry_rest_override(struct registry_store *store, const char *app,
                                               const char *id, enum cw_eureka_status status,
                                               int64_t dirty_ms);
/* Ends the override; the instance becomes `status`. */
CW_MUST_USE enum cw_err registry_rest_override_end(struct registry_store *store, const char *app,
                                                   const char *id, enum cw_eureka_status status,
                                                   int64_t dirty_ms);
/* Sets metadata; CW_REQUEST_MALFORMED past CW_EUREKA_PAIRS_MAX. */
CW_MUST_USE enum cw_err registry_rest_metadata(struct registry_store *store, const char *app,
                                               const char *id, struct cw_eureka_pairs metadata);

#endif
