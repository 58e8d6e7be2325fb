/* authsvc's configuration: the table of keys, the tenants in it, and what the keys amount to. */
#ifndef AUTHSVC_MAIN_CONFIG_H
#define AUTHSVC_MAIN_CONFIG_H

#include <sys/types.h>

#include "authsvc/keys/keyring.h"
#include "authsvc/login/login.h"
#include "authsvc/store/store.h"
#include "authsvc/tenants/tenants.h"
#include "common/config/config.h"

extern const struct cw_config_schema authsvc_schema;

/* The rows below `tenants[]` alone, for a tenant that stands in no file (`tenants[0]`). */
struct cw_config_schema authsvc_tenant_schema(void);

/* The tenants section as a set that is ready for use; one reference to the caller. CW_CONFLICT with
 * a line in `problems`; the schema's check has refused what cannot become a set. */
CW_MUST_USE enum cw_err authsvc_tenants(const struct cw_config *config, struct cw_buf *problems,
                                        struct tenant_set **ret_set);

/* Paths that follow from others where they are not set; the caller frees. NULL without memory. */
char *authsvc_path(const struct cw_config *config, const char *dir_key, const char *name);
char *authsvc_store_url(const struct cw_config *config);
char *authsvc_kek_file(const struct cw_config *config);
/* The files of further ones: configured, or credentials of systemd. */
CW_MUST_USE enum cw_err authsvc_other_kek_files(const struct cw_config *config, char ***ret_list,
                                                size_t *ret_n);
void authsvc_kek_files_free(char **list);
/* All that the configuration says of the store; url and configuration must outlive it. */
void authsvc_store_options(const struct cw_config *config, const char *url,
                           struct store_options *ret_options);

/* By name or number; 0 where none is set. CW_CONFIG_INVALID: there is no such group. */
CW_MUST_USE enum cw_err authsvc_socket_group(const struct cw_config *config, gid_t *ret_group);

struct password_params authsvc_password_params(const struct cw_config *config);
struct password_params authsvc_password_bound(const struct cw_config *config);
struct login_limits authsvc_limits(const struct cw_config *config);
struct keyring_options authsvc_keyring_options(const struct cw_config *config);
/* Seconds that a JWK Set may be cached: a new key is published for much longer before it signs. */
unsigned authsvc_jwks_max_age(const struct cw_config *config);

#endif
