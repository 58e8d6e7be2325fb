/* The HTTP side: routes, status codes, headers. */
#ifndef STORAGE_REST_REST_H
#define STORAGE_REST_REST_H

#include "common/http/server.h"
#include "examples/storage-service/application/files.h"

enum { REST_ROUTES = 4 };

struct rest {
    const struct files *files;
    struct cw_http_route routes[REST_ROUTES];
};

/* `files` is borrowed. */
void rest_init(struct rest *rest, const struct files *files);
struct cw_http_routes rest_routes(struct rest *rest);
/* For the server's `done`: one line in the log per request. */
void rest_done(void *ctx, const struct cw_http_done *done);

#endif
