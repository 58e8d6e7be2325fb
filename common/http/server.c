/* libmicrohttpd's callbacks and the life of the server.
 *
 *   first line ─▶ headers ─▶ route, begin ─▶ body: kept or chunk by chunk ─▶ handle ─▶ answer ─▶
 * end └── refused: answer at once ──────────┘ (drained, bounded)   └─ defer … resume */
#include "common/http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/http/internal.h"

enum {
    DEFAULT_CONNECTIONS = 256,
    DEFAULT_IDLE_MS = 10000,
    DEFAULT_HEADER = 64 << 10,
    DEFAULT_RECEIVE_MS = 30000,
    BACKLOG = 128,
};

/* ---- a request ---- */

static void *on_first_line(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct cw_http_server *server = cls;
    struct cw_http_request *request = calloc(1, sizeof(*request));
    if (!request) {
        return NULL;
    }
    request->server = server;
    request->connection = connection;
    request->started_ns = http_now_ns();
    request->arena.max = HTTP_ARENA_MAX;
    request->arena.block = HTTP_ARENA_BLOCK;
    request->uri = cw_arena_dup(&request->arena, cw_str(uri));
    pthread_mutex_lock(&server->lock);
    server->active++;
    pthread_mutex_unlock(&server->lock);
    return request;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    struct cw_http_server *server = cls;
    struct cw_http_request *request = *con_cls;
    (void)connection;
    (void)code;
    if (!request) {
        return;
    }
    if (request->route && request->route->end) {
        request->route->end(request, request->ctx);
    }
    if (server->options.done && request->begun) {
        struct cw_http_done done = {.method = request->method,
                                    .route = request->route ? request->route->path : NULL,
                                    .status = request->queued ? request->status : 0,
                                    .duration_ns = http_now_ns() - request->started_ns,
                                    .trace_id = cw_http_trace_id(request)};
        server->options.done(server->options.done_ctx, &done);
    }
    if (request->response) {
        MHD_destroy_response(request->response);
    }
    cw_buf_done(&request->body);
    cw_arena_done(&request->arena);
    free(request);
    *con_cls = NULL;
    pthread_mutex_lock(&server->lock);
    server->active--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void add_allowed(struct cw_buf *allow, const char *method)
{
    cw_buf_addf(allow, "%s%s", allow->n > 0 ? ", " : "", method);
    if (strcmp(method, "GET") == 0) {
        cw_buf_add_cstr(allow, ", HEAD");
    }
}

/* How well a row's method fits: exact before GET for HEAD. */
static int method_fit(const char *row, const char *method)
{
    if (strcmp(row, method) == 0) {
        return 2;
    }
    return strcmp(method, "HEAD") == 0 && strcmp(row, "GET") == 0;
}

/* The row, or the answer where there is none. */
static void choose_route(struct cw_http_request *request)
{
    const struct cw_http_server *server = request->server;
    struct cw_buf allow = CW_BUF_INIT(256);
    int best = 0;
    for (size_t t = 0; t < server->options.n_tables; t++) {
        const struct cw_http_routes *table = &server->tables[t];
        for (size_t i = 0; i < table->n; i++) {
            struct http_pair params[HTTP_PARAMS_MAX];
            size_t n;
            if (!http_route_matches(table->routes[i].path, &request->path, params, &n)) {
                continue;
            }
            int fit = method_fit(table->routes[i].method, request->method);
            if (fit > best) {
                best = fit;
                request->route = &table->routes[i];
                request->ctx = table->ctx;
                memcpy(request->params, params, sizeof(params));
                request->n_params = n;
            }
            add_allowed(&allow, table->routes[i].method);
        }
    }
    if (!request->route && allow.n == 0) {
        cw_http_problem(request, CW_NOT_FOUND, NULL);
    } else if (!request->route) {
        cw_http_set_header(request, "Allow", cw_buf_str(&allow));
        if (strcmp(request->method, "OPTIONS") == 0) {
            cw_http_reply(request, 204, NULL, CW_STR(""));
        } else {
            cw_http_problem(request, CW_METHOD_NOT_ALLOWED, NULL);
        }
    }
    cw_buf_done(&allow);
}

/* What the headers say about the body, held to the row. */
static enum cw_err check_body_headers(struct cw_http_request *request)
{
    struct cw_str length;
    uint64_t n = 0;
    /* RFC 9110 §8.6, §8.3: of two that another reader could choose from, none counts */
    if (cw_http_header_count(request, "Content-Length") > 1) {
        cw_http_set_header(request, "Connection",
                           CW_STR("close")); /* where it ends, nobody knows */
        return CW_REQUEST_MALFORMED;
    }
    ENSURE(cw_http_header_count(request, "Content-Type") <= 1, CW_MEDIA_TYPE_UNSUPPORTED);
    if (cw_http_header(request, "Content-Length", &length)) {
        ENSURE(cw_str_to_u64(length, UINT64_MAX, &n) == CW_OK, CW_REQUEST_MALFORMED);
    }
    ENSURE(n <= request->route->max_body, CW_REQUEST_TOO_LARGE);
    const char *type = request->route->media_type;
    ENSURE(!type || cw_str_eq_nocase(http_media_type(request), cw_str(type)),
           CW_MEDIA_TYPE_UNSUPPORTED);
    return CW_OK;
}

static void begin(struct cw_http_request *request, const char *method)
{
    request->method = cw_arena_dup(&request->arena, cw_str(method));
    if (!request->method || !request->uri) {
        request->method = "";
        cw_http_problem(request, CW_URI_TOO_LONG, NULL);
        return;
    }
    enum cw_err err = http_request_read(request);
    if (err == CW_OK) {
        choose_route(request);
        if (request->response) {
            return;
        }
        err = check_body_headers(request);
    }
    if (err == CW_OK && request->route->begin) {
        err = request->route->begin(request, request->ctx);
    }
    if (err != CW_OK) {
        cw_http_problem(request, err, NULL);
    }
    request->body.max = request->route ? request->route->max_body : 0;
}

/* Calls the handler, unless the server has begun to end what is left: a request that is deferred
 * after that would be suspended when libmicrohttpd stops, which then aborts the program. */
static void call_handler(struct cw_http_request *request)
{
    struct cw_http_server *server = request->server;
    pthread_mutex_lock(&server->lock);
    bool stopping = server->stopping;
    server->handling += !stopping;
    pthread_mutex_unlock(&server->lock);
    if (stopping) {
        cw_http_problem(request, CW_SHUTTING_DOWN, NULL);
        return;
    }
    request->route->handle(request, request->ctx);
    pthread_mutex_lock(&server->lock);
    server->handling--;
    if (server->stopping) {
        pthread_cond_broadcast(&server->changed);
    }
    pthread_mutex_unlock(&server->lock);
}

/* With a thread per connection a deferred request holds its thread; else libmicrohttpd calls again.
 */
static enum MHD_Result handle(struct cw_http_request *request)
{
    struct cw_http_server *server = request->server;
    request->handled = true;
    call_handler(request);
    if (!request->deferred) {
        return http_answer_queue(request);
    }
    if (!server->options.thread_per_connection) {
        return MHD_YES;
    }
    pthread_mutex_lock(&server->lock);
    while (!request->resumed) {
        pthread_cond_wait(&server->changed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    return http_answer_queue(request);
}

/* A client that writes header and body apart, with Nagle's algorithm on, sends the body only after
 * the header was acknowledged: at once, not after the 40 ms of a delayed one (RFC 9293 §3.8.6.3).
 */
static void acknowledge_header(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    int on = 1;
    if (info != NULL) {
        (void)setsockopt(info->connect_fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
    }
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **con_cls)
{
    struct cw_http_request *request = *con_cls;
    (void)cls;
    (void)url; /* ours is the raw one, decoded once */
    (void)version;
    if (!request) {
        return MHD_NO;
    }
    if (!request->begun) {
        request->begun = true;
        begin(request, method);
        if (request->response && !http_body_drains(request)) {
            return http_answer_queue(request);
        }
        if (request->route && request->route->max_body > 0) {
            acknowledge_header(connection);
        }
        return MHD_YES;
    }
    if (*data_size > 0) {
        bool go_on = http_body_take(request, (struct cw_str){data, *data_size});
        *data_size = 0;
        return go_on ? MHD_YES : MHD_NO;
    }
    if (request->response || request->handled) {
        return http_answer_queue(request);
    }
    return handle(request);
}

void cw_http_defer(struct cw_http_request *request)
{
    struct cw_http_server *server = request->server;
    request->deferred = true;
    pthread_mutex_lock(&server->lock);
    server->deferred++;
    pthread_mutex_unlock(&server->lock);
    if (!server->options.thread_per_connection) {
        MHD_suspend_connection(request->connection);
    }
}

void cw_http_resume(struct cw_http_request *request)
{
    struct cw_http_server *server = request->server;
    struct MHD_Connection *connection = request->connection;
    if (!server->options.thread_per_connection) {
        MHD_resume_connection(connection); /* from here on the request may be gone */
        request = NULL;
    }
    /* a server that stops waits for the last one here, and is not freed before */
    pthread_mutex_lock(&server->lock);
    if (request) {
        request->resumed = true;
    }
    server->deferred--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

/* Names come and go as they are: decoding is http_path_parse()'s. */
static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *s)
{
    (void)cls;
    (void)connection;
    return strlen(s);
}

/* ---- the server ---- */

static enum cw_err listen_on(const char *address, uint16_t port, char *detail, int *ret_fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t n;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, address, &in.sin_addr) == 1) {
        memcpy(&storage, &in, n = sizeof(in));
    } else if (inet_pton(AF_INET6, address, &in6.sin6_addr) == 1) {
        memcpy(&storage, &in6, n = sizeof(in6));
    } else {
        snprintf(detail, 160, "%.80s is not an address", address);
        return CW_IO;
    }
    int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&storage, n) != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;
        snprintf(detail, 160, "cannot listen on %.80s port %u: %s", address, port, strerror(error));
        if (fd >= 0) {
            close(fd);
        }
        return error == EADDRINUSE ? CW_CONFLICT : CW_IO;
    }
    *ret_fd = fd;
    return CW_OK;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage storage;
    socklen_t n = sizeof(storage);
    struct sockaddr_in in = {0};
    if (getsockname(fd, (struct sockaddr *)&storage, &n) != 0) {
        return 0;
    }
    memcpy(&in, &storage, sizeof(in)); /* the port is at the same place in both families */
    return ntohs(in.sin_port);
}

static struct MHD_Daemon *start_daemon(struct cw_http_server *server)
{
    const struct cw_http_server_options *options = &server->options;
    unsigned flags = MHD_USE_ITC;
    if (options->thread_per_connection) {
        flags |= MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
    } else {
        flags |= MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    }
    bool pool = !options->thread_per_connection && options->threads > 1;
    struct MHD_OptionItem more[] = {
        {pool ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (intptr_t)options->threads, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, server->listen_fd,
        MHD_OPTION_URI_LOG_CALLBACK, on_first_line, server, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, server, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_CONNECTION_LIMIT, options->connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        options->connections_per_ip, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)((options->idle_ms + 999) / 1000), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        options->max_header, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, more,
        MHD_OPTION_END);
}

static void free_server(struct cw_http_server *server)
{
    if (server->listen_fd >= 0) {
        close(server->listen_fd);
    }
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server->tables);
    free(server);
}

static struct cw_http_server *new_server(const struct cw_http_server_options *options)
{
    struct cw_http_server *server = calloc(1, sizeof(*server));
    struct cw_http_routes *tables = calloc(options->n_tables + 1, sizeof(*tables));
    if (!server || !tables) {
        free(server);
        free(tables);
        return NULL;
    }
    for (size_t i = 0; i < options->n_tables; i++) {
        tables[i] = options->tables[i];
    }
    server->options = *options;
    server->tables = tables;
    server->listen_fd = -1;
    if (server->options.connections == 0) {
        server->options.connections = DEFAULT_CONNECTIONS;
    }
    if (server->options.idle_ms == 0) {
        server->options.idle_ms = DEFAULT_IDLE_MS;
    }
    if (server->options.receive_ms == 0) {
        server->options.receive_ms = DEFAULT_RECEIVE_MS;
    }
    if (server->options.max_header == 0) {
        server->options.max_header = DEFAULT_HEADER;
    }
    pthread_condattr_t attr; /* deadlines on the monotonic clock */
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, &attr);
    pthread_condattr_destroy(&attr);
    return server;
}

enum cw_err cw_http_server_start(const struct cw_http_server_options *options, char ret_detail[160],
                                 struct cw_http_server **ret)
{
    char ignored[160];
    char *detail = ret_detail ? ret_detail : ignored;
    *detail = '\0';
    struct cw_http_server *server = new_server(options);
    ENSURE(server, CW_NO_MEMORY);
    enum cw_err err = listen_on(options->address, options->port, detail, &server->listen_fd);
    if (err == CW_OK) {
        server->port = port_of(server->listen_fd);
        server->daemon = start_daemon(server);
        if (!server->daemon) {
            snprintf(detail, 160, "cannot start the HTTP server on port %u", server->port);
            err = CW_IO;
        }
    }
    if (err != CW_OK) {
        free_server(server);
        return err;
    }
    *ret = server;
    return CW_OK;
}

uint16_t cw_http_server_port(const struct cw_http_server *server)
{
    return server->port;
}

static void wait_for_requests(struct cw_http_server *server, unsigned grace_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += grace_ms / 1000;
    until.tv_nsec += (long)(grace_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&server->lock);
    int rc = 0;
    while (server->active > 0 && rc == 0) {
        rc = pthread_cond_timedwait(&server->changed, &server->lock, &until);
    }
    server->stopping = true; /* clients that stay connected go on asking */
    while (server->handling > 0 || server->deferred > 0) {
        pthread_cond_wait(&server->changed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

void cw_http_server_stop(struct cw_http_server *server, unsigned grace_ms)
{
    if (!server) {
        return;
    }
    int fd = MHD_quiesce_daemon(server->daemon);
    wait_for_requests(server, grace_ms);
    MHD_stop_daemon(server->daemon);
    server->listen_fd = fd; /* ours again; -1 when libmicrohttpd closed it */
    free_server(server);
}
