/* HTTP server for REST and management endpoints (libmicrohttpd) behind a declared route table.
 *
 * Requests run on the server's threads. A handler answers before it returns, or calls
 * cw_http_defer() and lets another thread answer and call cw_http_resume(). Everything a request
 * hands out (cw_str, arena) lives until its answer has been sent. */
#ifndef CW_HTTP_SERVER_H
#define CW_HTTP_SERVER_H

#include <jansson.h>

#include "common/base/arena.h"
#include "common/base/buf.h"

struct cw_http_request;
struct cw_http_server;

struct cw_http_route {
    const char *method; /* "GET" also answers HEAD unless the path has a HEAD row of its own */
    const char *path;   /* "/files/{name}"; a last segment "{rest...}" takes all that follows */
    void (*handle)(struct cw_http_request *request, void *ctx);
    size_t max_body;        /* bytes; more is 413. 0: no body is taken */
    const char *media_type; /* the body's Content-Type without parameters, else 415; NULL: any */
    /* Streamed bodies: when `chunk` is set the body is not kept. `begin` runs after the headers
     * (NULL: none); an error or an answer from either ends the request. `handle` runs after the
     * last chunk. */
    enum cw_err (*begin)(struct cw_http_request *request, void *ctx);
    enum cw_err (*chunk)(struct cw_http_request *request, struct cw_str bytes, void *ctx);
    /* Runs once at the end of each request that reached the route, answered or broken off. */
    void (*end)(struct cw_http_request *request, void *ctx);
    const void *extra; /* the door's own, for its handlers: cw_http_extra */
};

struct cw_http_routes {
    const struct cw_http_route *routes; /* borrowed */
    size_t n;
    void *ctx; /* for their handlers */
};

/* What happened, for metrics and the access log. Runs on a server thread. */
struct cw_http_done {
    const char *method;
    const char *route; /* the row's path, NULL where none matched */
    int status;        /* 0: broken off before an answer */
    int64_t duration_ns;
    struct cw_str trace_id;
};

struct cw_http_server_options {
    const char *name;    /* threads, log */
    const char *address; /* IPv4 or IPv6 literal */
    uint16_t port;       /* 0: any free one */
    const struct cw_http_routes *tables;
    size_t n_tables;
    unsigned threads;            /* polling threads; default 1 */
    bool thread_per_connection;  /* handlers may block; bounded by `connections` */
    unsigned connections;        /* default 256 */
    unsigned connections_per_ip; /* default 0: no bound (a gateway is one address) */
    unsigned idle_ms;            /* default 10000; a connection on which nothing moves is closed */
    /* default 30000; a body that is kept and not there by then is 408: bytes that trickle in keep a
     * connection from being idle. Streamed bodies take their time. What is refused, streamed or
     * not, is read on for as long again and for 16 MiB, so that the answer is read and not lost in
     * a reset; past that the connection is closed. A length beyond 16 MiB and Expect:
     * 100-continue (RFC 9110 §10.1.1) are answered at once. */
    unsigned receive_ms;
    size_t max_header; /* bytes of memory of a connection, for its header; default 64 KiB */
    void (*done)(void *ctx, const struct cw_http_done *done); /* may be NULL */
    void *done_ctx;
};

/* Binds and starts. CW_CONFLICT when the port is taken, CW_IO for another failure of the socket;
 * `ret_detail` (may be NULL) gets a sentence for the log. */
CW_MUST_USE enum cw_err cw_http_server_start(const struct cw_http_server_options *options,
                                             char ret_detail[160], struct cw_http_server **ret);
uint16_t cw_http_server_port(const struct cw_http_server *server);
/* Takes no new connections, waits up to grace_ms for running requests, then ends all. Deferred
 * requests must be resumed: it waits for them. Frees. NULL is fine. */
void cw_http_server_stop(struct cw_http_server *server, unsigned grace_ms);

/* ---- the request ---- */

const char *cw_http_method(const struct cw_http_request *request);
/* What the request's row has as `extra`. */
const void *cw_http_extra(const struct cw_http_request *request);
/* Percent-decoded, begins with `/`. A path with %2F, %00, a dot segment, an empty segment or bad
 * UTF-8 never reaches a handler (400 path_ambiguous); one with a `/` at its end only rows that end
 * so. */
struct cw_str cw_http_path(const struct cw_http_request *request);
/* Of the route: cw_http_param(request, "name"). Empty where there is none. */
struct cw_str cw_http_param(const struct cw_http_request *request, const char *name);
/* False when absent. A name that comes twice is refused before the handler. */
bool cw_http_query(const struct cw_http_request *request, const char *name, struct cw_str *ret);
/* The i-th pair as sent, at most 64; false past the last. */
bool cw_http_query_at(const struct cw_http_request *request, size_t i, struct cw_str *ret_name,
                      struct cw_str *ret_value);
/* First header of that name (no case); false when absent. */
bool cw_http_header(const struct cw_http_request *request, const char *name, struct cw_str *ret);
size_t cw_http_header_count(const struct cw_http_request *request, const char *name);
/* The token of `Authorization: Bearer …` (RFC 6750 §2.1): CW_TOKEN_MISSING, CW_TOKEN_MULTIPLE for
 * two headers, CW_AUTHORIZATION_MALFORMED. */
CW_MUST_USE enum cw_err cw_http_bearer(const struct cw_http_request *request, struct cw_str *ret);
/* Whole body; empty for streamed ones. */
struct cw_str cw_http_body(const struct cw_http_request *request);
/* Body as a JSON object (owned: json_decref): UTF-8, no duplicate members, no control bytes,
 * nothing behind it, at most 32 levels. CW_MEDIA_TYPE_UNSUPPORTED, CW_REQUEST_MALFORMED. */
CW_MUST_USE enum cw_err cw_http_json(const struct cw_http_request *request, json_t **ret_object);
/* Field of an application/x-www-form-urlencoded body; CW_NOT_FOUND when absent,
 * CW_REQUEST_MALFORMED when it comes twice (RFC 6749 §3.2) or is malformed,
 * CW_MEDIA_TYPE_UNSUPPORTED. */
CW_MUST_USE enum cw_err cw_http_form(struct cw_http_request *request, const char *name,
                                     struct cw_str *ret);
/* Numeric address of the peer. */
const char *cw_http_peer(const struct cw_http_request *request);
/* 32 hex digits: the traceparent's where it has a valid one (W3C Trace Context), else new. */
struct cw_str cw_http_trace_id(const struct cw_http_request *request);
/* Per request, bounded to 256 KiB. */
struct cw_arena *cw_http_arena(struct cw_http_request *request);
/* The route's own state; freed by its `end`. */
void cw_http_set_state(struct cw_http_request *request, void *state);
void *cw_http_state(const struct cw_http_request *request);

/* ---- the answer: one per request ---- */

/* Copied; before the answer. False when name or value could split the response. */
bool cw_http_set_header(struct cw_http_request *request, const char *name, struct cw_str value);
/* Body copied; media_type NULL: none. */
void cw_http_reply(struct cw_http_request *request, int status, const char *media_type,
                   struct cw_str body);
/* Borrows `value`; application/json, Cache-Control: no-store. NULL is 500. */
void cw_http_reply_json(struct cw_http_request *request, int status, const json_t *value);
/* Takes what is in `body`, a JSON text, and wipes it when it has been sent: for tokens. Else as
 * cw_http_reply_json; 500 where the buffer has failed. */
void cw_http_reply_json_text(struct cw_http_request *request, int status, struct cw_buf *body);
/* Takes fd; `size` bytes from its start. */
void cw_http_reply_fd(struct cw_http_request *request, int status, const char *media_type, int fd,
                      uint64_t size);
/* The realm that the problems of this request name in WWW-Authenticate (RFC 6750 §3), copied; one
 * that cannot stand between quotes is none. */
void cw_http_set_realm(struct cw_http_request *request, struct cw_str realm);
/* The scope that the resource needs, a literal: told where a token's is insufficient. */
void cw_http_set_scope(struct cw_http_request *request, const char *scope);
/* problem+json with the error's status, WWW-Authenticate for 401, for what is said of a token or a
 * login with 403, and where RFC 6750 has a word for it; Retry-After: 1 for 503 and 429 unless set
 * already. `detail` NULL: the table's meaning. */
void cw_http_problem(struct cw_http_request *request, enum cw_err err, const char *detail);
/* A further member of a problem: a string, or a list of the words of `value`. */
struct cw_http_member {
    const char *name;
    struct cw_str value;
    bool list;
};
void cw_http_problem_with(struct cw_http_request *request, enum cw_err err, const char *detail,
                          const struct cw_http_member *members, size_t n);
bool cw_http_answered(const struct cw_http_request *request);

/* The handler returns without an answer; another thread gives it and resumes, exactly once. */
void cw_http_defer(struct cw_http_request *request);
void cw_http_resume(struct cw_http_request *request);

#endif
