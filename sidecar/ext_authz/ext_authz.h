/* envoy.service.auth.v3.Authorization: Envoy's requests, judged as the gateway's. */
#ifndef SIDECAR_EXT_AUTHZ_EXT_AUTHZ_H
#define SIDECAR_EXT_AUTHZ_EXT_AUTHZ_H

#include "common/rpc/server.h"
#include "sidecar/handle/handle.h"

/* The ctx of the method table; lives as long as the server. */
struct ext_authz {
    struct handle *handle; /* borrowed */
    /* A route was refused because of what it demands; `why` is for the operator. May be NULL.
     * On a poller. */
    void (*refused)(void *ctx, struct cw_str domain, struct cw_str why);
    void *ctx;
};

extern const struct cw_rpc_method ext_authz_methods[];
extern const size_t ext_authz_n_methods;

#endif
