/* Who the request speaks for, as headers carry it: the gateway's X-Auth-… */
#ifndef SIDECAR_EXT_AUTHZ_WHO_H
#define SIDECAR_EXT_AUTHZ_WHO_H

#include "sidecar/handle/identity.h"

enum { WHO_TENANT, WHO_SUBJECT, WHO_ISSUER, WHO_CLIENT, WHO_SESSION, WHO_SCOPE, WHO_ROLES, WHO_N };

/* Lower case. */
extern const char *const who_names[WHO_N];

/* Borrowed from the identity, the tenant and `joined`; empty: the token has none. */
struct who {
    struct cw_str values[WHO_N];
};

/* CW_CLAIM_INVALID: headers could not carry it as it is, and it would arrive as another one.
 * CW_NO_MEMORY. `joined` has room for IDENTITY_MAX bytes and outlives `ret_who`. */
CW_MUST_USE enum cw_err who_read(const struct identity *identity, const struct tenant *tenant,
                                 struct cw_buf *joined, struct who *ret_who);

#endif
