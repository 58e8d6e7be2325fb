/* A server's life: listeners opened, methods offered, calls counted in and out. Its stop, which has
 * an order of its own, is in server_stop.c. */
#include "common/rpc/server.h"

#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/rpc/server_internal.h"

enum {
    DEFAULT_MESSAGE = 256 << 10,
    DEFAULT_METADATA = 8 << 10,
    DEFAULT_STREAMS = 1000,
    DEFAULT_CONNECTIONS = 1024,
    DEFAULT_IN_FLIGHT = 4096,
    /* For all listeners there are the places of one and, beside them, one for each 3 of these: who
     * fills the socket that every local user may open leaves a quarter of the whole to the
     * gateway's and the administrator's. */
    PLACES_PER_KEPT = 3,
    DEFAULT_CALL_MEMORY = 1 << 20,
    DEFAULT_OUTBOX = 1 << 20,
    RECEIVE_MEMORY = 64 << 20, /* of one core server: read buffers under attack */
    MAX_LISTENERS = 32,
    DEFAULT_LINGER = 500,
};

/* ---- counting ---- */

void cw_rpc_arrival_request(struct cw_rpc_arrival *arrival, bool with_payload)
{
    struct cw_rpc_server *server = arrival->server;
    const struct cw_rpc_offer *offer = arrival->offer;
    grpc_metadata_array_init(&arrival->metadata);
    pthread_mutex_lock(&server->lock);
    server->armed++;
    pthread_mutex_unlock(&server->lock);
    grpc_completion_queue *queue = cw_rpc_runtime_queue(server->runtime);
    CW_RPC_RELEASE(&arrival->tag);
    if (grpc_server_request_registered_call(offer->listening->core, offer->handle, &arrival->call,
                                            &arrival->deadline, &arrival->metadata,
                                            with_payload ? &arrival->payload : NULL, queue, queue,
                                            &arrival->tag) != GRPC_CALL_OK) {
        arrival->tag.fire(&arrival->tag, false);
    }
}

void cw_rpc_server_arm(const struct cw_rpc_offer *offer)
{
    if (offer->method->kind == CW_RPC_UNARY) {
        cw_rpc_call_arm(offer);
    } else {
        cw_rpc_stream_arm(offer);
    }
}

/* Under the lock. */
static bool has_place(const struct cw_rpc_server *server, const struct cw_rpc_listening *listening)
{
    uint32_t max = server->config.max_in_flight;
    uint64_t whole = (uint64_t)max + CW_MAX(max / PLACES_PER_KEPT, 1u);
    return listening->placed < max && server->placed < whole;
}

bool cw_rpc_arrival_enter(struct cw_rpc_arrival *arrival)
{
    struct cw_rpc_server *server = arrival->server;
    struct cw_rpc_listening *listening = arrival->offer->listening;
    cw_rpc_server_arm(
        arrival->offer); /* first: the next caller must not wait for this one's work */
    pthread_mutex_lock(&server->lock);
    server->armed--;
    bool welcome = has_place(server, listening);
    arrival->place = welcome ? listening : NULL;
    listening->placed += welcome;
    server->placed += welcome;
    server->live++;
    pthread_mutex_unlock(&server->lock);
    atomic_fetch_add_explicit(&server->calls, 1, memory_order_relaxed);
    if (!welcome) {
        atomic_fetch_add_explicit(&server->overloaded, 1, memory_order_relaxed);
    }
    return welcome;
}

void cw_rpc_arrival_unused(struct cw_rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    if (--server->armed == 0) {
        pthread_cond_broadcast(&server->changed);
    }
    pthread_mutex_unlock(&server->lock);
}

void cw_rpc_server_leave(struct cw_rpc_server *server, struct cw_rpc_listening *place)
{
    pthread_mutex_lock(&server->lock);
    if (place) {
        place->placed--;
        server->placed--;
    }
    if (--server->live == 0) {
        pthread_cond_broadcast(&server->changed);
    }
    pthread_mutex_unlock(&server->lock);
}

int64_t cw_rpc_arrival_remaining_ms(const struct cw_rpc_arrival *arrival)
{
    gpr_timespec deadline = gpr_convert_clock_type(arrival->deadline, GPR_CLOCK_MONOTONIC);
    if (gpr_time_cmp(deadline, gpr_inf_future(GPR_CLOCK_MONOTONIC)) == 0) {
        return INT32_MAX;
    }
    int64_t ms = gpr_time_to_millis(gpr_time_sub(deadline, gpr_now(GPR_CLOCK_MONOTONIC)));
    return CW_MIN(CW_MAX(ms, 0), INT32_MAX);
}

struct cw_str cw_rpc_arrival_metadata(const struct cw_rpc_arrival *arrival, const char *key)
{
    for (size_t i = 0; i < arrival->metadata.count; i++) {
        const grpc_metadata *entry = &arrival->metadata.metadata[i];
        if (grpc_slice_str_cmp(entry->key, key) == 0) {
            return (struct cw_str){(const char *)GRPC_SLICE_START_PTR(entry->value),
                                   GRPC_SLICE_LENGTH(entry->value)};
        }
    }
    return CW_STR("");
}

/* ---- made ---- */

static void set_default(uint32_t *value, uint32_t standard)
{
    *value = *value ? *value : standard;
}

static bool listening_init(struct cw_rpc_listening *l, struct cw_rpc_server *server,
                           const struct cw_rpc_listener *config)
{
    *l = (struct cw_rpc_listening){
        .server = server, .socket = CW_RPC_SOCKET_INIT, .config = *config};
    l->config.name = strdup(config->name ? config->name : "");
    l->config.path = config->path ? strdup(config->path) : NULL;
    l->config.address = config->address ? strdup(config->address) : NULL;
    uid_t *uids = calloc(config->n_uids + 1, sizeof *uids);
    if (uids && config->n_uids) {
        memcpy(uids, config->uids, config->n_uids * sizeof *uids);
    }
    l->config.uids = uids;
    return l->config.name && uids && (l->config.path || !config->path) &&
           (l->config.address || !config->address);
}

static void listening_done(struct cw_rpc_listening *l)
{
    union {
        const void *borrowed;
        void *owned;
    } copies[] = {{l->config.name}, {l->config.path}, {l->config.address}, {l->config.uids}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(copies); i++) {
        free(copies[i].owned);
    }
}

enum cw_err cw_rpc_server_new(struct cw_rpc_runtime *runtime,
                              const struct cw_rpc_server_config *config,
                              struct cw_rpc_server **ret_server)
{
    ENSURE(config->n_listeners >= 1 && config->n_listeners <= MAX_LISTENERS, CW_CONFIG_INVALID);
    struct cw_rpc_server *server = calloc(1, sizeof *server);
    ENSURE(server, CW_NO_MEMORY);
    server->runtime = runtime;
    server->config = *config;
    struct cw_rpc_server_config *c = &server->config;
    set_default(&c->max_message, DEFAULT_MESSAGE);
    set_default(&c->max_metadata, DEFAULT_METADATA);
    set_default(&c->max_streams, DEFAULT_STREAMS);
    set_default(&c->max_connections, DEFAULT_CONNECTIONS);
    set_default(&c->max_in_flight, DEFAULT_IN_FLIGHT);
    set_default(&c->linger_ms, DEFAULT_LINGER);
    c->call_memory = c->call_memory ? c->call_memory : DEFAULT_CALL_MEMORY;
    c->outbox_bytes = c->outbox_bytes ? c->outbox_bytes : DEFAULT_OUTBOX;
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    enum cw_err err = CW_OK;
    server->listening = calloc(config->n_listeners, sizeof *server->listening);
    for (size_t i = 0; server->listening && i < config->n_listeners; i++) {
        bool ok = listening_init(&server->listening[server->n_listening++], server,
                                 &config->listeners[i]);
        err = ok ? err : CW_NO_MEMORY;
    }
    err = server->listening ? err : CW_NO_MEMORY;
    err = err ? err : cw_rpc_health_new(server, &server->health);
    err = err || !config->reflection ? err : cw_rpc_reflection_new(server, &server->reflection);
    if (err != CW_OK) {
        cw_rpc_server_free(server);
        return err;
    }
    *ret_server = server;
    return CW_OK;
}

enum cw_err cw_rpc_server_add(struct cw_rpc_server *server, const struct cw_rpc_method *methods,
                              size_t n, void *ctx)
{
    ENSURE(server->n_tables < CW_RPC_MAX_TABLES && !server->started, CW_CONFLICT);
    server->tables[server->n_tables++] = (struct cw_rpc_table){methods, n, ctx};
    return CW_OK;
}

struct cw_str cw_rpc_service_of(const struct cw_rpc_method *method)
{
    struct cw_str path = cw_str(method->path);
    size_t end = path.n;
    while (end > 1 && path.p[end - 1] != '/') {
        end--;
    }
    return end > 1 ? cw_str_slice(path, 1, end - 1) : CW_STR("");
}

/* ---- started ---- */

static bool uid_allowed(const struct cw_rpc_listener *config, uid_t uid)
{
    if (config->any_uid || uid == 0 || uid == geteuid()) {
        return true;
    }
    for (size_t i = 0; i < config->n_uids; i++) {
        if (config->uids[i] == uid) {
            return true;
        }
    }
    return false;
}

static enum cw_rpc_accepted on_connection(void *ctx, size_t index, int fd, bool room)
{
    struct cw_rpc_server *server = ctx;
    const struct cw_rpc_listening *l = &server->listening[index];
    struct cw_rpc_peer peer = cw_rpc_peer_of_fd(fd);
    bool allowed = !l->config.path || (peer.pid > 0 && uid_allowed(&l->config, peer.uid));
    if (!allowed && !room) {
        return CW_RPC_ACCEPT_CLOSE;
    }
    atomic_fetch_add(&server->connections, 1);
    grpc_server_credentials *insecure = grpc_insecure_server_credentials_create();
    grpc_server_add_channel_from_fd(allowed ? l->core : server->refusing, fd, insecure);
    grpc_server_credentials_release(insecure);
    return allowed ? CW_RPC_ACCEPT_KEEP : CW_RPC_ACCEPT_STRANGER;
}

static void on_turned_away(void *ctx)
{
    struct cw_rpc_server *server = ctx;
    atomic_fetch_add(&server->turned_away, 1);
}

static grpc_arg int_arg(char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = key, .value.integer = value};
}

static grpc_server *core_new(struct cw_rpc_server *server, uint32_t streams)
{
    char max_message[] = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
         max_metadata[] = GRPC_ARG_MAX_METADATA_SIZE;
    char max_streams[] = GRPC_ARG_MAX_CONCURRENT_STREAMS, bdp_probe[] = GRPC_ARG_HTTP2_BDP_PROBE;
    char channelz[] = GRPC_ARG_ENABLE_CHANNELZ,
         compression[] = GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION;
    char quota_key[] = GRPC_ARG_RESOURCE_QUOTA;
    grpc_resource_quota *quota = grpc_resource_quota_create("cw-rpc");
    grpc_resource_quota_resize(quota, RECEIVE_MEMORY);
    grpc_arg args[] = {
        int_arg(max_message, (int)server->config.max_message),
        int_arg(max_metadata, (int)server->config.max_metadata),
        int_arg(max_streams, (int)(streams ? streams : server->config.max_streams)),
        int_arg(bdp_probe, 0), /* each exchange would cost extra pings and wake-ups */
        int_arg(channelz, 0),
        int_arg(compression, 0),
        {.type = GRPC_ARG_POINTER,
         .key = quota_key,
         .value.pointer = {.p = quota, .vtable = grpc_resource_quota_arg_vtable()}},
    };
    grpc_channel_args list = {.num_args = CW_ARRAY_SIZE(args), .args = args};
    grpc_server *core = grpc_server_create(&list, NULL);
    grpc_resource_quota_unref(quota);
    grpc_server_register_completion_queue(core, cw_rpc_runtime_queue(server->runtime), NULL);
    return core;
}

/* CW_CONFLICT: two tables have the same method. */
static enum cw_err offers_make(struct cw_rpc_server *server)
{
    size_t n = 0;
    for (size_t t = 0; t < server->n_tables; t++) {
        n += server->tables[t].n;
    }
    server->offers = calloc(n * server->n_listening + 1, sizeof *server->offers);
    ENSURE(server->offers, CW_NO_MEMORY);
    for (size_t t = 0; t < server->n_tables; t++) {
        for (size_t i = 0; i < server->tables[t].n * server->n_listening; i++) {
            const struct cw_rpc_method *m = &server->tables[t].methods[i / server->n_listening];
            struct cw_rpc_listening *l = &server->listening[i % server->n_listening];
            if (!(m->listeners & l->config.bit)) {
                continue;
            }
            void *handle = grpc_server_register_method(
                l->core, m->path, NULL,
                m->kind == CW_RPC_UNARY ? GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER
                                        : GRPC_SRM_PAYLOAD_NONE,
                0);
            ENSURE(handle, CW_CONFLICT);
            server->offers[server->n_offers++] =
                (struct cw_rpc_offer){m, server->tables[t].ctx, l, handle};
        }
    }
    return CW_OK;
}

static enum cw_err listeners_open(struct cw_rpc_server *server, int *ret_fds, struct cw_buf *why)
{
    for (size_t i = 0; i < server->n_listening; i++) {
        struct cw_rpc_listening *l = &server->listening[i];
        TRY(cw_rpc_socket_open(&l->socket, &l->config, why));
        ret_fds[i] = l->socket.fd;
    }
    return CW_OK;
}

void cw_rpc_listeners_close(struct cw_rpc_server *server)
{
    for (size_t i = 0; i < server->n_listening; i++) {
        cw_rpc_socket_close(&server->listening[i].socket);
    }
}

static void serve(struct cw_rpc_server *server)
{
    for (size_t i = 0; i < server->n_listening; i++) {
        grpc_server_start(server->listening[i].core);
        cw_rpc_stray_arm(server, &server->listening[i]);
    }
    grpc_server_start(server->refusing);
    cw_rpc_stray_arm(server, NULL);
    for (size_t i = 0; i < server->n_offers; i++) {
        for (int k = 0; k < CW_RPC_ARMED; k++) {
            cw_rpc_server_arm(&server->offers[i]);
        }
    }
    server->started = true;
}

enum cw_err cw_rpc_server_start(struct cw_rpc_server *server, struct cw_buf *why)
{
    static const struct cw_rpc_accept_ops ops = {on_connection, on_turned_away};
    ENSURE(!server->started && !server->refusing, CW_CONFLICT);
    int fds[MAX_LISTENERS];
    enum cw_err err = listeners_open(server, fds, why);
    if (err != CW_OK) {
        cw_rpc_listeners_close(server);
        return err;
    }
    for (size_t i = 0; i < server->n_listening; i++) {
        server->listening[i].core = core_new(server, server->listening[i].config.max_streams);
    }
    server->refusing = core_new(server, 0);
    err = offers_make(server);
    if (err != CW_OK) {
        cw_rpc_listeners_close(server);
        if (why) {
            cw_buf_add_cstr(why, "two tables offer the same gRPC method");
        }
        return err;
    }
    serve(server);
    err = cw_rpc_accept_start(fds, server->n_listening, server->config.max_connections, &ops,
                              server, &server->accept);
    if (err != CW_OK) {
        cw_rpc_server_stop(server, 0);
        if (why) {
            cw_buf_add_cstr(why, "cannot start the accepting thread");
        }
    }
    return err;
}

void cw_rpc_server_set_serving(struct cw_rpc_server *server, const char *service, bool serving)
{
    cw_rpc_health_set(server->health, service, serving);
}

/* ---- ended ---- */

void cw_rpc_server_free(struct cw_rpc_server *server)
{
    if (!server) {
        return;
    }
    cw_rpc_server_stop(server, 0);
    pthread_mutex_lock(&server->lock);
    while (server->armed > 0 || server->live > 0) {
        pthread_cond_wait(&server->changed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    for (size_t i = 0; i < server->n_listening; i++) {
        if (server->listening[i].core) {
            grpc_server_destroy(server->listening[i].core);
        }
        listening_done(&server->listening[i]);
    }
    if (server->refusing) {
        grpc_server_destroy(server->refusing);
    }
    while (server->spare) {
        struct cw_rpc_call *next = cw_rpc_call_next(server->spare);
        cw_rpc_call_free(server->spare);
        server->spare = next;
    }
    cw_rpc_health_free(server->health);
    cw_rpc_reflection_free(server->reflection);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->changed);
    free(server->offers);
    free(server->listening);
    free(server);
}

uint16_t cw_rpc_server_port(const struct cw_rpc_server *server, const char *listener)
{
    for (size_t i = 0; i < server->n_listening; i++) {
        if (strcmp(server->listening[i].config.name, listener) == 0) {
            return server->listening[i].socket.port;
        }
    }
    return 0;
}

void cw_rpc_server_stats(struct cw_rpc_server *server, struct cw_rpc_server_stats *ret_stats)
{
    pthread_mutex_lock(&server->lock);
    ret_stats->in_flight = server->live;
    pthread_mutex_unlock(&server->lock);
    ret_stats->calls = atomic_load(&server->calls);
    ret_stats->refused = atomic_load(&server->refused);
    ret_stats->unknown = atomic_load(&server->unknown);
    ret_stats->overloaded = atomic_load(&server->overloaded);
    ret_stats->connections = atomic_load(&server->connections);
    ret_stats->turned_away = atomic_load(&server->turned_away);
}
