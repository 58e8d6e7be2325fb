/* The request that Envoy holds back, as far as it counts here. */
#ifndef SIDECAR_EXT_AUTHZ_REQUEST_H
#define SIDECAR_EXT_AUTHZ_REQUEST_H

#include "common/base/arena.h"
#include "proto/envoy/service/auth/v3/external_auth.pb-c.h"

/* Borrowed from the message, or in the arena. */
struct request {
    struct cw_str host;
    struct cw_str path; /* as it was sent, with its query */
    struct cw_str authorization;
    unsigned authorizations; /* headers of that name */
    struct cw_str traceparent;
    bool grpc;
    char **forged; /* names of headers that no client may send, as it spelt them */
    size_t n_forged;
};

/* CW_REQUEST_MALFORMED: it tells of no HTTP request. CW_NO_MEMORY. */
CW_MUST_USE enum cw_err request_read(const Envoy__Service__Auth__V3__CheckRequest *message,
                                     struct cw_arena *arena, struct request *ret_request);

#endif
