/* What the files of the HTTP server share: a request from its first byte to its end. */
#ifndef CW_HTTP_INTERNAL_H
#define CW_HTTP_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "common/base/buf.h"
#include "common/http/parse.h"
#include "common/http/server.h"

enum {
    HTTP_QUERY_MAX = 64,
    HTTP_HEADERS_MAX = 16, /* of an answer */
    HTTP_ARENA_MAX = 256 << 10,
    HTTP_ARENA_BLOCK = 960, /* bytes: what malloc hands out without searching */
};

struct cw_http_request {
    struct cw_http_server *server;
    struct MHD_Connection *connection;
    int64_t started_ns;
    struct cw_arena arena;
    const char *method;
    const char *uri; /* as sent */
    struct http_path path;
    struct http_pair params[HTTP_PARAMS_MAX];
    size_t n_params;
    struct http_pair query[HTTP_QUERY_MAX];
    size_t n_query;
    char peer[64];
    char trace_id[33];
    const char *realm; /* NULL: none */
    const char *scope; /* that the resource needs; NULL: none */

    const struct cw_http_route *route;
    void *ctx; /* the route table's */
    void *state;
    bool begun;             /* headers have been looked at */
    bool handled;           /* `handle` was called */
    size_t n_body;          /* bytes received */
    size_t drain_from;      /* of them, when the first came after the refusal */
    int64_t drain_since_ns; /* when that was; 0: not yet */
    struct cw_buf body;

    /* the answer, kept until libmicrohttpd can take it */
    struct http_pair headers[HTTP_HEADERS_MAX];
    size_t n_headers;
    int status;
    struct MHD_Response *response;
    bool queued;
    bool deferred;
    bool resumed; /* with a thread per connection; under the server's lock */
};

struct cw_http_server {
    struct cw_http_server_options options;
    struct cw_http_routes *tables;
    struct MHD_Daemon *daemon;
    uint16_t port;
    int listen_fd;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* active, handling, deferred or a request's `resumed` */
    unsigned active;        /* requests between their first line and their end */
    unsigned handling;      /* of them, in their handler */
    unsigned deferred;
    bool stopping; /* no handler is called any more */
};

static inline int64_t http_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ---- body.c ---- */

/* Whether an answer that is there already waits for the body. */
bool http_body_drains(const struct cw_http_request *request);
/* Keeps the bytes, hands them on, or refuses them. False ends the connection. */
bool http_body_take(struct cw_http_request *request, struct cw_str bytes);

/* ---- answer.c ---- */

/* Hands the kept answer to libmicrohttpd. */
enum MHD_Result http_answer_queue(struct cw_http_request *request);

/* ---- request.c ---- */

/* Content-Type without parameters; empty when absent. */
struct cw_str http_media_type(const struct cw_http_request *request);
/* Fills peer, query, trace id. CW_REQUEST_MALFORMED. */
CW_MUST_USE enum cw_err http_request_read(struct cw_http_request *request);

#endif
