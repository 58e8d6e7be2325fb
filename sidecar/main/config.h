/* The sidecar's configuration: one table, and its rows as the program's own types. */
#ifndef SIDECAR_MAIN_CONFIG_H
#define SIDECAR_MAIN_CONFIG_H

#include <sys/types.h>

#include "common/config/config.h"
#include "common/log/log.h"
#include "common/rpc/client.h"
#include "sidecar/tenants/tenant.h"

/* All rows, those of the registry included. Any thread. */
const struct cw_config_schema *config_schema(void);

/* Which users may open a socket; from names and numbers. */
struct config_uids {
    uid_t *uids; /* owned: free */
    size_t n;
};
/* CW_CONFIG_INVALID for an unknown name. */
CW_MUST_USE enum cw_err config_uids(const struct cw_config *config, const char *key,
                                    struct config_uids *ret_uids);
/* The group of the sockets; 0 for none. */
CW_MUST_USE enum cw_err config_group(const struct cw_config *config, gid_t *ret_group);

/* Where authsvc is: on this host by its socket, on another one by TLS. */
struct config_authsvc {
    bool set;
    const char *path; /* of its socket; NULL: remote */
    char target[320];
    struct cw_rpc_remote remote; /* points into target and the configuration */
};
void config_authsvc(const struct cw_config *config, struct config_authsvc *ret_authsvc);

/* The tenants; strings are borrowed from the configuration, arrays from the arena. CW_NO_MEMORY. */
CW_MUST_USE enum cw_err config_tenants(const struct cw_config *config, struct cw_arena *arena,
                                       struct tenant_spec **ret_specs, size_t *ret_n);

#endif
