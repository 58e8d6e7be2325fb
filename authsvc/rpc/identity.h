/* The gRPC door: clinicwave.identity.v1.IdentityService on authsvc.sock. */
#ifndef AUTHSVC_RPC_IDENTITY_H
#define AUTHSVC_RPC_IDENTITY_H

#include "authsvc/login/login.h"
#include "common/rpc/server.h"
#include "common/work/work.h"

enum { LISTENER_AUTHSVC = 1 }; /* bit of authsvc.sock */

/* All borrowed; the ctx of identity_methods. */
struct identity {
    struct login *login;
    struct cw_work *logins;
    struct cw_work *refreshes;
    /* Callers that may name the user's address, beside root and the own user. */
    const uid_t *trusted_uids;
    size_t n_trusted_uids;
};

extern const struct cw_rpc_method identity_methods[];
extern const size_t identity_n_methods;

#endif
