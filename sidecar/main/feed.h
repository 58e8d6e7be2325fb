/* The connection to authsvc that tenants are learned by (TenantService.Watch). */
#ifndef SIDECAR_MAIN_FEED_H
#define SIDECAR_MAIN_FEED_H

#include "common/rpc/client.h"
#include "sidecar/tenants/tenants.h"

struct feed;

/* Where authsvc is, and who may be it. */
struct authsvc_place {
    const char *path; /* of its socket on this host, borrowed; NULL: remote */
    const uid_t *uids;
    size_t n_uids;
    const struct cw_rpc_remote *remote;
};
/* A channel that calls nobody else: by the socket's owner, or by certificates. */
CW_MUST_USE enum cw_err authsvc_channel(const struct authsvc_place *authsvc, uint32_t max_message,
                                        struct cw_rpc_channel **ret_channel);

/* The place is not needed any longer afterwards. What is learned is applied on a thread of the
 * feed's own. */
CW_MUST_USE enum cw_err feed_new(struct cw_rpc_runtime *runtime,
                                 const struct authsvc_place *authsvc, struct tenants *tenants,
                                 struct feed **ret_feed);
/* Not on a poller. NULL is fine. */
void feed_free(struct feed *feed);

#endif
