/* The three sockets by privilege, as bits for method tables. */
#ifndef SIDECAR_LISTENERS_H
#define SIDECAR_LISTENERS_H

enum {
    ON_GATEWAY = 1, /* gateway.sock: batches, digests, Discovery.Watch */
    ON_SIDECAR = 2, /* sidecar.sock: Validate, a service's own registration */
    ON_ADMIN = 4,   /* admin.sock: everything that changes or lists */
};

#endif
