/* This service's dealings with the sidecar of its host: it validates tokens there and is registered
 * through it. */
#ifndef STORAGE_SIDECAR_SIDECAR_H
#define STORAGE_SIDECAR_SIDECAR_H

#include "examples/storage-service/application/files.h"

struct sidecar;

struct sidecar_options {
    const char *socket; /* path of sidecar.sock; all strings borrowed */
    const char *user;   /* beside root and the own one, whose socket it may be; NULL: nobody */
    const char *application;
    const char *address; /* where this service listens */
    uint16_t port;
    uint16_t management_port;
    unsigned validate_ms; /* longest wait for a verdict */
};

CW_MUST_USE enum cw_err sidecar_new(const struct sidecar_options *options,
                                    struct sidecar **ret_sidecar);
/* Registers, and again whenever the sidecar comes back. Once the service listens. */
CW_MUST_USE enum cw_err sidecar_register(struct sidecar *sidecar);
bool sidecar_registered(const struct sidecar *sidecar);
/* Ends the registration; waits for the sidecar's word, bounded. */
void sidecar_deregister(struct sidecar *sidecar);
void sidecar_free(struct sidecar *sidecar);
/* Blocks up to validate_ms; not on a poller. Any thread. */
struct token_port sidecar_port(struct sidecar *sidecar);

#endif
