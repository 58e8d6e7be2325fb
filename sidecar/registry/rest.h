/* The routes of Eureka's REST API that read, and what reading and writing ones share. On the HTTP
 * server's threads; ctx is the registry. */
#ifndef SIDECAR_REGISTRY_REST_H
#define SIDECAR_REGISTRY_REST_H

#include "sidecar/registry/registry_internal.h"

/* The route's application, in upper case, and its instance id, in the request's arena; NULL, and
 * 404 answered, for what can be none. */
const char *rest_app(struct cw_http_request *request);
const char *rest_id(struct cw_http_request *request);

void rest_get_apps(struct cw_http_request *request, void *ctx);
void rest_get_delta(struct cw_http_request *request, void *ctx);
void rest_get_app(struct cw_http_request *request, void *ctx);
void rest_get_instance(struct cw_http_request *request, void *ctx);
void rest_get_vip(struct cw_http_request *request, void *ctx);
void rest_get_svip(struct cw_http_request *request, void *ctx);

#endif
