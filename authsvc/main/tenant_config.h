/* One element of the configuration's list `tenants`, and what it amounts to. */
#ifndef AUTHSVC_MAIN_TENANT_CONFIG_H
#define AUTHSVC_MAIN_TENANT_CONFIG_H

#include "authsvc/tenants/tenants.h"
#include "common/config/config.h"

/* What one row of the table cannot say, about one tenant; one line per problem. */
void tenant_config_check(const struct cw_config_at *tenant, struct cw_buf *problems);
/* A tenant of an element that has passed the check; one reference to the caller. CW_NO_MEMORY, also
 * past TENANT_ARENA_MAX. */
CW_MUST_USE enum cw_err tenant_config_read(const struct cw_config_at *at,
                                           struct tenant **ret_tenant);

#endif
