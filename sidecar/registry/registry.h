/* The host's registry agent: one store, one thread that ends leases, tells watchers and keeps the
 * state file, one that answers lookups, and the two doors to it, DiscoveryService (gRPC) and
 * Eureka's REST API.
 *
 *   registry_new → registry_start → … → registry_stop (servers first) → registry_free
 */
#ifndef SIDECAR_REGISTRY_REGISTRY_H
#define SIDECAR_REGISTRY_REGISTRY_H

#include "common/config/config.h"
#include "common/rpc/server.h"
#include "sidecar/registry/eureka.h"
#include "sidecar/registry/store.h"

struct registry;

/* clinicwave.discovery.v1; ctx is the registry. */
extern const struct cw_rpc_method registry_methods[];
extern const size_t registry_n_methods;

/* For the check of the sidecar's configuration. The rows are in config_rows.def. */
void registry_check(const struct cw_config *config, struct cw_buf *problems);

/* Reads the configuration and what the last run left in state_dir (NULL: nothing is kept).
 * CW_CONFIG_INVALID. */
CW_MUST_USE enum cw_err registry_new(const struct cw_config *config, const char *state_dir,
                                     const struct cw_clock *clock, struct registry **ret_registry);
/* Starts the thread and the embedded registry. CW_CONFLICT when its port is taken, CW_IO;
 * `ret_detail` gets a sentence for the log. */
CW_MUST_USE enum cw_err registry_start(struct registry *registry, char ret_detail[160]);
/* The new grants, networks and static instances. What cannot be read changes nothing. Main thread.
 */
CW_MUST_USE enum cw_err registry_reload(struct registry *registry, const struct cw_config *config);
/* After the gRPC servers have stopped; answers the lookups that they left. Idempotent. */
void registry_stop(struct registry *registry);
/* NULL is fine. */
void registry_free(struct registry *registry);

/* Any thread. */
void registry_stats(const struct registry *registry, struct registry_store_stats *ret_stats);
/* False, and nothing written, without a Eureka server. */
bool registry_eureka_stats(const struct registry *registry, struct eureka_stats *ret_stats);
/* The embedded registry's port, 0 when it is off. */
uint16_t registry_port(const struct registry *registry);

#endif
