/* The whole program as one value: what was built in which order, and how it ends. */
#ifndef SIDECAR_MAIN_SIDECAR_H
#define SIDECAR_MAIN_SIDECAR_H

#include "common/config/config.h"
#include "common/http/actuator.h"
#include "common/keys/key_getter.h"
#include "sidecar/ext_authz/ext_authz.h"
#include "sidecar/handle/handle.h"
#include "sidecar/main/feed.h"
#include "sidecar/main/revocation_feed.h"
#include "sidecar/origins/origins.h"
#include "sidecar/registry/registry.h"

enum { SIDECAR_COMPONENTS = 4 };

struct sidecar {
    struct cw_config *first;  /* what the program was started with; its strings are borrowed */
    struct cw_config *config; /* the present one; main's thread */
    struct cw_metrics *metrics;
    struct cw_series **answers;
    struct cw_series *fetches_good;
    struct cw_series *fetches_bad;
    struct cw_series *keys_withdrawn;
    struct cache *cache;
    struct cw_http_client *http;
    struct cw_key_store *keys;
    struct tenants *tenants;
    struct origins *origins;
    struct handle *handle;
    struct ext_authz ext_authz;
    struct registry *registry;
    struct cw_rpc_runtime *runtime;
    struct cw_rpc_server *server;
    struct feed *feed;
    struct revocations *revocations; /* NULL: no authsvc */
    struct revocation_feed *revocation_feed;
    struct cw_health_component components[SIDECAR_COMPONENTS];
    struct cw_actuator *actuator;
    struct cw_http_server *management;
    bool serving; /* atomic: sockets are up and not closing */
};

/* Builds and starts everything; CW_OK means that it serves. On failure a sentence is in `why` and
 * sidecar_stop ends what was begun. `config` is taken over. */
CW_MUST_USE enum cw_err sidecar_start(struct sidecar *sidecar, struct cw_config *config,
                                      struct cw_buf *why);
/* Reads the configuration again; swapped as a whole, or refused with the old one in place. */
void sidecar_reload(struct sidecar *sidecar);
/* Running calls may end, then everything does. Also after a failed start. */
void sidecar_stop(struct sidecar *sidecar);

/* ---- sidecar_metrics.c ---- */

/* Makes all of them and the series that others count by. */
CW_MUST_USE enum cw_err sidecar_metrics(struct sidecar *sidecar);

/* ---- eureka_metrics.c ---- */

void eureka_metrics(struct sidecar *sidecar);

/* ---- health.c ---- */

/* For the actuator; ctx is the sidecar. */
void health_components(struct sidecar *sidecar,
                       struct cw_health_component ret_components[SIDECAR_COMPONENTS]);
/* For GetHealth. */
void health_list(void *ctx, handle_add_health *add, void *to);

#endif
