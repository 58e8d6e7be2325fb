/* The part of authsvc's configuration about a tenant's identity provider. */
#ifndef AUTHSVC_MAIN_IDP_CONFIG_H
#define AUTHSVC_MAIN_IDP_CONFIG_H

#include "authsvc/tenants/tenants.h"
#include "common/config/config.h"

/* What one row cannot say; nothing where the tenant's login is another. */
void idp_config_check(const struct cw_config_at *tenant, struct cw_buf *problems);
/* Reads what the check has passed into the arena; secrets are read from their files now. After
 * CW_OK ret_idp->secret is the caller's. CW_CONFIG_INVALID: a file cannot be read any more. */
CW_MUST_USE enum cw_err idp_config_read(struct cw_arena *arena, const struct cw_config_at *tenant,
                                        struct tenant_idp **ret_idp);

#endif
