/* The network of the Eureka client: common/http's client behind eureka.h's seam. */
#ifndef SIDECAR_REGISTRY_EUREKA_HTTP_H
#define SIDECAR_REGISTRY_EUREKA_HTTP_H

#include "common/http/client.h"
#include "sidecar/registry/eureka.h"

struct eureka_http {
    struct cw_http_client *client;
    const struct eureka_config *config;
};

/* Borrows `http`. */
struct eureka_transport eureka_http_transport(struct eureka_http *http);

#endif
