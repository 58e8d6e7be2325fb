/* clinicwave.token.v1.OriginService: tells gateways which web origins may call which domains, when
 * they ask and whenever it changes. */
#ifndef SIDECAR_ORIGINS_ORIGINS_H
#define SIDECAR_ORIGINS_ORIGINS_H

#include "common/rpc/server.h"
#include "sidecar/tenants/tenants.h"

enum {
    ORIGINS_MESSAGE_MAX = 16 * 1024 * 1024, /* bytes; gateways take no larger one */
    ORIGINS_PACE_MS = 50,                   /* between two snapshots; changes within are one */
};

struct origins;

/* Strings and pointers are borrowed. */
struct origins_config {
    struct tenants *tenants;
    bool learns; /* there is an authsvc: what it has not told yet may be missing */
    /* So many tenants did not fit into a message and have no origins at gateways; told when the
     * number changes. On the thread of origins_start; may be NULL. */
    void (*left_out)(void *ctx, size_t n);
    void *ctx;
};

CW_MUST_USE enum cw_err origins_new(const struct origins_config *config,
                                    struct origins **ret_origins);
/* Starts the thread that tells. CW_UNAVAILABLE: it cannot be made. */
CW_MUST_USE enum cw_err origins_start(struct origins *origins);
/* The tenants may be others. NULL is fine; any thread, never blocks for long. */
void origins_wake(struct origins *origins);
/* Ends the thread. Idempotent; NULL is fine. */
void origins_stop(struct origins *origins);
/* All streams have ended. Stops first; NULL is fine. */
void origins_free(struct origins *origins);

/* For cw_rpc_server_add; ctx is the struct origins. */
extern const struct cw_rpc_method origins_methods[];
extern const size_t origins_n_methods;

#endif
