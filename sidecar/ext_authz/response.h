/* The answer in Envoy's words. An empty CheckResponse would be an allow: nothing here makes one. */
#ifndef SIDECAR_EXT_AUTHZ_RESPONSE_H
#define SIDECAR_EXT_AUTHZ_RESPONSE_H

#include "sidecar/ext_authz/request.h"
#include "sidecar/ext_authz/who.h"

/* In the arena; NULL without memory. `who` NULL: anonymous. The client's Authorization goes unless
 * `pass_authorization`. */
const Envoy__Service__Auth__V3__CheckResponse *response_allow(struct cw_arena *arena,
                                                              const struct request *request,
                                                              const struct who *who,
                                                              bool pass_authorization);

/* Borrowed. */
struct refusal {
    enum cw_err err;
    uint32_t retry_after_s; /* 0: not known */
    struct cw_str realm;
    struct cw_str scope; /* that would have been enough */
    const char *trace_id;
    bool grpc;
    const char *message; /* for the operator, never for the client; NULL: the error's title */
};
/* In the arena; NULL without memory, and for CW_OK. */
const Envoy__Service__Auth__V3__CheckResponse *response_deny(struct cw_arena *arena,
                                                             const struct refusal *refusal);

#endif
