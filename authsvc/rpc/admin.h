/* The administrators' door: clinicwave.identity.v1.AdminService on authsvc-admin.sock, and with an
 * administrator's token on authsvc.sock. */
#ifndef AUTHSVC_RPC_ADMIN_H
#define AUTHSVC_RPC_ADMIN_H

#include "authsvc/admin/admin.h"
#include "common/rpc/server.h"
#include "common/work/work.h"

enum { LISTENER_ADMIN = 2 }; /* bit of authsvc-admin.sock */

/* All borrowed; the ctx of admin_methods. */
struct admin_door {
    struct admin *admin;
    struct cw_work *work; /* apart from logins: keys and passwords are made in it */
};

extern const struct cw_rpc_method admin_methods[];
extern const size_t admin_n_methods;

#endif
