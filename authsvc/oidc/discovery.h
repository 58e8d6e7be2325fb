/* The tenant's provider metadata (OpenID Connect Discovery 1.0 §3), naming only what works. */
#ifndef AUTHSVC_OIDC_DISCOVERY_H
#define AUTHSVC_OIDC_DISCOVERY_H

#include "authsvc/keys/keyring.h"
#include "authsvc/tenants/tenants.h"

/* Appends the JSON document. CW_NO_MEMORY. Any thread. */
CW_MUST_USE enum cw_err discovery_write(const struct tenant *tenant, struct keyring *keys,
                                        struct cw_buf *ret_json);

#endif
