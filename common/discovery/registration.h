/* A process's own entry in its host's registry: one Register stream at the sidecar
 * (clinicwave.discovery.v1), begun again whenever the sidecar comes back.
 *
 *   new ──▶ UP ──drain──▶ OUT_OF_SERVICE: no new requests ──free──▶ out
 */
#ifndef CW_DISCOVERY_REGISTRATION_H
#define CW_DISCOVERY_REGISTRATION_H

#include "common/rpc/client.h"

struct cw_registration;

struct cw_registration_options {
    struct cw_rpc_runtime *runtime;
    struct cw_rpc_channel *channel; /* to sidecar.sock; both are borrowed, as all texts */
    const char *application;
    const char *address; /* where it listens: an IP address */
    uint16_t port;
    uint16_t management_port; /* metadata `management.port`; 0: none */
    const char *health_path;  /* NULL: the registry's default */
    /* On a poller, whenever the stream stands or has ended; may be NULL. `id` is NULL at an end;
     * `how` is NULL unless it is one. Not after cw_registration_free has begun. */
    void (*changed)(void *ctx, const char *id, const struct cw_rpc_answer *how);
    void *ctx;
};

/* Registers, once the process listens. CW_NO_MEMORY. */
CW_MUST_USE enum cw_err cw_registration_new(const struct cw_registration_options *options,
                                            struct cw_registration **ret_registration);
/* Registered at this moment. Any thread. */
bool cw_registration_stands(const struct cw_registration *registration);
/* No new requests from now on; those that run may end. Any thread. NULL is fine. */
void cw_registration_drain(struct cw_registration *registration);
/* Out of the registry; waits for the sidecar's word, at most `linger_ms`. Not on a poller. NULL is
 * fine. */
void cw_registration_free(struct cw_registration *registration, unsigned linger_ms);

#endif
