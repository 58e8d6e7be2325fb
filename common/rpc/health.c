/* grpc.health.v1: who asks whether a service is up is answered here, and told of changes. */
#include <stdlib.h>
#include <string.h>

#include "common/rpc/server_internal.h"
#include "grpc/health/v1/health.pb-c.h"

enum { MAX_SERVICES = 64, MAX_WATCHERS = 256, MAX_NAME = 200 };

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;

#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

struct service {
    struct cw_str name;
    serving_status status;
};

struct watcher {
    struct watcher *next, **link;
    struct cw_rpc_stream *stream;
    serving_status last;
    char name[MAX_NAME + 1];
};

struct cw_rpc_health {
    struct cw_rpc_server *server;
    pthread_mutex_t lock; /* for all below; also orders what watchers are sent */
    bool stopped;
    struct service services[MAX_SERVICES]; /* [0] is "", the server itself */
    size_t n;
    struct watcher *watchers;
    unsigned n_watchers;
};

/* The service's entry, made when a table has it; NULL: unknown. Under the lock. */
static struct service *service_find(struct cw_rpc_health *health, struct cw_str name)
{
    for (size_t i = 0; i < health->n; i++) {
        if (cw_str_eq(health->services[i].name, name)) {
            return &health->services[i];
        }
    }
    const struct cw_rpc_server *server = health->server;
    for (size_t t = 0; t < server->n_tables; t++) {
        for (size_t i = 0; i < server->tables[t].n; i++) {
            struct cw_str known = cw_rpc_service_of(&server->tables[t].methods[i]);
            if (cw_str_eq(known, name) && health->n < MAX_SERVICES) {
                struct service *s = &health->services[health->n++];
                *s = (struct service){known, health->services[0].status};
                return s;
            }
        }
    }
    return NULL;
}

static void answer_init(Grpc__Health__V1__HealthCheckResponse *answer, serving_status status)
{
    grpc__health__v1__health_check_response__init(answer);
    answer->status = status;
}

static void check(struct cw_rpc_call *call, const ProtobufCMessage *message, void *ctx)
{
    struct cw_rpc_health *health = ctx;
    const Grpc__Health__V1__HealthCheckRequest *request = (const void *)message;
    if (strlen(request->service) > MAX_NAME) {
        cw_rpc_fail(call, CW_REQUEST_MALFORMED, NULL);
        return;
    }
    pthread_mutex_lock(&health->lock);
    const struct service *service = service_find(health, cw_str(request->service));
    serving_status status = service ? service->status : SERVICE_UNKNOWN;
    pthread_mutex_unlock(&health->lock);
    if (!service) {
        cw_rpc_fail(call, CW_NOT_FOUND, "service name unknown");
        return;
    }
    Grpc__Health__V1__HealthCheckResponse answer;
    answer_init(&answer, status);
    cw_rpc_reply(call, &answer.base);
}

/* Under the lock. */
static void watcher_tell(struct cw_rpc_health *health, struct watcher *watcher)
{
    const struct service *service = service_find(health, cw_str(watcher->name));
    serving_status status = service ? service->status : SERVICE_UNKNOWN;
    if (status != watcher->last) {
        watcher->last = status;
        Grpc__Health__V1__HealthCheckResponse answer;
        answer_init(&answer, status);
        cw_rpc_stream_send_latest(watcher->stream, &answer.base);
    }
}

static void watch(struct cw_rpc_stream *stream, const ProtobufCMessage *message)
{
    struct cw_rpc_health *health = cw_rpc_stream_ctx(stream);
    const Grpc__Health__V1__HealthCheckRequest *request = (const void *)message;
    size_t n = strlen(request->service);
    if (n > MAX_NAME) {
        cw_rpc_stream_finish(stream, CW_REQUEST_MALFORMED, NULL);
        return;
    }
    struct watcher *watcher = calloc(1, sizeof *watcher);
    pthread_mutex_lock(&health->lock);
    bool room = watcher && health->n_watchers < MAX_WATCHERS;
    if (room) {
        watcher->stream = stream;
        watcher->last = (serving_status)-1;
        memcpy(watcher->name, request->service, n);
        watcher->next = health->watchers;
        watcher->link = &health->watchers;
        if (watcher->next) {
            watcher->next->link = &watcher->next;
        }
        health->watchers = watcher;
        health->n_watchers++;
        cw_rpc_stream_set_data(stream, watcher);
        watcher_tell(health, watcher);
    }
    pthread_mutex_unlock(&health->lock);
    if (!room) {
        free(watcher);
        cw_rpc_stream_finish(stream, CW_TOO_MANY_REQUESTS, NULL);
    }
}

static void watch_close(struct cw_rpc_stream *stream, enum cw_rpc_end end)
{
    (void)end;
    struct cw_rpc_health *health = cw_rpc_stream_ctx(stream);
    struct watcher *watcher = cw_rpc_stream_data(stream);
    if (!watcher) {
        return;
    }
    pthread_mutex_lock(&health->lock);
    *watcher->link = watcher->next;
    if (watcher->next) {
        watcher->next->link = watcher->link;
    }
    health->n_watchers--;
    pthread_mutex_unlock(&health->lock);
    free(watcher);
}

static void watch_stop(struct cw_rpc_stream *stream)
{
    cw_rpc_stream_finish(stream, CW_CANCELLED, NULL);
}

static const struct cw_rpc_stream_ops watch_ops = {
    .on_message = watch,
    .on_stop = watch_stop,
    .on_close = watch_close,
};

static const struct cw_rpc_method methods[] = {
    {.path = "/grpc.health.v1.Health/Check",
     .kind = CW_RPC_UNARY,
     .listeners = UINT32_MAX,
     .request = &grpc__health__v1__health_check_request__descriptor,
     .unary = check},
    {.path = "/grpc.health.v1.Health/Watch",
     .kind = CW_RPC_SERVER_STREAM,
     .listeners = UINT32_MAX,
     .request = &grpc__health__v1__health_check_request__descriptor,
     .stream = &watch_ops},
};

enum cw_err cw_rpc_health_new(struct cw_rpc_server *server, struct cw_rpc_health **ret_health)
{
    struct cw_rpc_health *health = calloc(1, sizeof *health);
    ENSURE(health, CW_NO_MEMORY);
    health->server = server;
    pthread_mutex_init(&health->lock, NULL);
    health->services[health->n++] = (struct service){CW_STR(""), NOT_SERVING};
    *ret_health = health;
    return cw_rpc_server_add(server, methods, CW_ARRAY_SIZE(methods), health);
}

void cw_rpc_health_free(struct cw_rpc_health *health)
{
    if (health) {
        pthread_mutex_destroy(&health->lock);
        free(health);
    }
}

/* Under the lock. */
static void set(struct cw_rpc_health *health, struct cw_str *name, serving_status status)
{
    struct service *only = name ? service_find(health, *name) : NULL;
    for (size_t i = 0; i < health->n; i++) {
        if (!name || &health->services[i] == only) {
            health->services[i].status = status;
        }
    }
    for (struct watcher *w = health->watchers; w; w = w->next) {
        watcher_tell(health, w);
    }
}

void cw_rpc_health_set(struct cw_rpc_health *health, const char *service, bool serving)
{
    struct cw_str name = cw_str(service);
    pthread_mutex_lock(&health->lock);
    if (!health->stopped) {
        set(health, service ? &name : NULL, serving ? SERVING : NOT_SERVING);
    }
    pthread_mutex_unlock(&health->lock);
}

void cw_rpc_health_stop(struct cw_rpc_health *health)
{
    pthread_mutex_lock(&health->lock);
    health->stopped = true;
    set(health, NULL, NOT_SERVING);
    pthread_mutex_unlock(&health->lock);
}
