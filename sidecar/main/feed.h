/* The connection to authsvc that tenants are learned by (TenantService.Watch). */
#ifndef SIDECAR_MAIN_FEED_H
#define SIDECAR_MAIN_FEED_H

#include "common/rpc/client.h"
#include "sidecar/tenants/tenants.h"

struct feed;

/* `socket` is a path. What is learned is applied on a thread of the feed's own. */
CW_MUST_USE enum cw_err feed_new(struct cw_rpc_runtime *runtime, const char *socket,
                                 struct tenants *tenants, struct feed **ret_feed);
/* Not on a poller. NULL is fine. */
void feed_free(struct feed *feed);

#endif
