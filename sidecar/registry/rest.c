/* Eureka's REST API for this host, as Spring's and other stock clients speak it. Reads
 * (rest_read.c) are for every local process, writes as registry.embedded.writers says. */
#include <stdlib.h>
#include <string.h>

#include "common/eureka/parse.h"
#include "sidecar/registry/rest.h"
#include "sidecar/registry/rest_lease.h"

enum { BODY_MAX = 64 << 10, CONNECTIONS = 256 };

/* ---- what a write says ---- */

/* Milliseconds; 0 when absent. False, and 400 answered, when malformed. */
static bool dirty_of(struct cw_http_request *request, int64_t *ret_ms)
{
    struct cw_str text;
    uint64_t number = 0;
    if (cw_http_query(request, "lastDirtyTimestamp", &text) && text.n > 0 &&
        cw_str_to_u64(text, INT64_MAX, &number) != CW_OK) {
        cw_http_problem(request, CW_REQUEST_MALFORMED, "lastDirtyTimestamp is no number");
        return false;
    }
    *ret_ms = (int64_t)number;
    return true;
}

static bool may_write(struct cw_http_request *request, const struct registry *registry)
{
    if (!registry->config.writers) {
        cw_http_problem(request, CW_FORBIDDEN,
                        "this registry is read-only (registry.embedded.writers)");
    }
    return registry->config.writers;
}

static void reply_done(struct cw_http_request *request, int status, enum cw_err err)
{
    if (err == CW_OK) {
        cw_http_reply(request, status, NULL, CW_STR(""));
    } else if (err == CW_FORBIDDEN) {
        cw_http_problem(request, err, "this instance was not registered by REST");
    } else {
        cw_http_problem(request, err, NULL);
    }
}

/* ---- writing ---- */

static bool media_is_taken(const struct cw_http_request *request)
{
    struct cw_str type, parameter;
    if (!cw_http_header(request, "Content-Type", &type)) {
        return false;
    }
    size_t end = cw_str_find(type, ';');
    if (!cw_str_eq_nocase(cw_str_trim(cw_str_slice(type, 0, end)), CW_STR("application/json"))) {
        return false;
    }
    struct cw_str rest = cw_str_slice(type, CW_MIN(end + 1, type.n), type.n);
    while (cw_str_word(&rest, ';', &parameter)) {
        parameter = cw_str_trim(parameter);
        if (parameter.n > 8 &&
            cw_str_eq_nocase(cw_str_slice(parameter, 0, 8), CW_STR("charset="))) {
            struct cw_str name = cw_str_slice(parameter, 8, parameter.n);
            if (!cw_str_eq_nocase(name, CW_STR("utf-8")) &&
                !cw_str_eq_nocase(name, CW_STR("\"utf-8\""))) {
                return false;
            }
        }
    }
    return true;
}

static void post_app(struct cw_http_request *request, void *ctx)
{
    struct registry *registry = ctx;
    if (!may_write(request, registry)) {
        return;
    }
    if (!media_is_taken(request)) {
        cw_http_problem(request, CW_MEDIA_TYPE_UNSUPPORTED, NULL);
        return;
    }
    struct cw_arena arena = CW_ARENA_INIT(2 * CW_EUREKA_INSTANCE_MAX);
    struct cw_eureka_instance instance;
    struct cw_eureka_refusal refusal;
    enum cw_err err = cw_eureka_parse_registration(&arena, cw_http_param(request, "app"),
                                                   cw_http_body(request), &instance, &refusal);
    bool parsed = err == CW_OK;
    if (parsed) {
        err = registry_rest_register(registry->store, &instance);
        if (err != CW_OK) {
            registry_log(REGISTRY_EVENT_REFUSED, instance.app, cw_eureka_instance_id(&instance),
                         err);
        }
    }
    if (!parsed && err == CW_REQUEST_MALFORMED) {
        cw_http_reply(request, 400, refusal.text[0] == '{' ? "application/json" : "text/plain",
                      cw_str(refusal.text));
    } else {
        reply_done(request, 204, err);
    }
    cw_arena_done(&arena);
}

/* A write on one instance. */
struct target {
    struct registry_store *store;
    const char *app;
    const char *id;
    int64_t dirty_ms; /* 0: not sent */
};

/* False when it was answered already. */
static bool target_read(struct cw_http_request *request, void *ctx, struct target *ret_target)
{
    struct registry *registry = ctx;
    ret_target->store = registry->store;
    return may_write(request, registry) && (ret_target->app = rest_app(request)) != NULL &&
           (ret_target->id = rest_id(request)) != NULL && dirty_of(request, &ret_target->dirty_ms);
}

static void put_instance(struct cw_http_request *request, void *ctx)
{
    struct target t;
    if (target_read(request, ctx, &t)) {
        reply_done(request, 200, registry_rest_renew(t.store, t.app, t.id, t.dirty_ms));
    }
}

static void delete_instance(struct cw_http_request *request, void *ctx)
{
    struct target t;
    if (target_read(request, ctx, &t)) {
        reply_done(request, 200, registry_rest_cancel(t.store, t.app, t.id));
    }
}

/* `value`; UNKNOWN where it is not given. False, and 400 answered, for what is no status: the real
 * server's 500. */
static bool status_of(struct cw_http_request *request, bool required,
                      enum cw_eureka_status *ret_status)
{
    struct cw_str value = CW_STR("UNKNOWN");
    bool given = cw_http_query(request, "value", &value);
    *ret_status = cw_eureka_status_parse(value);
    if ((required && !given) ||
        (*ret_status == CW_EUREKA_UNKNOWN && !cw_str_is(value, "UNKNOWN"))) {
        cw_http_problem(request, CW_REQUEST_MALFORMED, "value is no status");
        return false;
    }
    return true;
}

static void put_status(struct cw_http_request *request, void *ctx)
{
    struct target t;
    enum cw_eureka_status status;
    if (target_read(request, ctx, &t) && status_of(request, true, &status)) {
        reply_done(request, 200, registry_rest_override(t.store, t.app, t.id, status, t.dirty_ms));
    }
}

static void delete_status(struct cw_http_request *request, void *ctx)
{
    struct target t;
    enum cw_eureka_status status;
    if (target_read(request, ctx, &t) && status_of(request, false, &status)) {
        reply_done(request, 200,
                   registry_rest_override_end(t.store, t.app, t.id, status, t.dirty_ms));
    }
}

static void put_metadata(struct cw_http_request *request, void *ctx)
{
    struct target t;
    if (!target_read(request, ctx, &t)) {
        return;
    }
    struct cw_eureka_pair pairs[CW_EUREKA_PAIRS_MAX];
    struct cw_str name, value;
    size_t n = 0;
    while (n < CW_EUREKA_PAIRS_MAX && cw_http_query_at(request, n, &name, &value)) {
        const char *key = cw_arena_dup(cw_http_arena(request), name);
        const char *text = cw_arena_dup(cw_http_arena(request), value);
        if (key == NULL || text == NULL || name.n == 0 || name.n > CW_EUREKA_PAIR_KEY_MAX ||
            value.n > CW_EUREKA_TEXT_MAX) {
            cw_http_problem(request, CW_REQUEST_MALFORMED, "metadata too large");
            return;
        }
        pairs[n++] = (struct cw_eureka_pair){key, text};
    }
    reply_done(request, 200,
               registry_rest_metadata(t.store, t.app, t.id, (struct cw_eureka_pairs){pairs, n}));
}

/* ---- the table ---- */

#define ROUTES(base)                                                                               \
    {.method = "GET", .path = base "/apps", .handle = rest_get_apps},                              \
        {.method = "GET", .path = base "/apps/", .handle = rest_get_apps},                         \
        {.method = "GET", .path = base "/apps/delta", .handle = rest_get_delta},                   \
        {.method = "GET", .path = base "/vips/{vip}", .handle = rest_get_vip},                     \
        {.method = "GET", .path = base "/svips/{vip}", .handle = rest_get_svip},                   \
        {.method = "GET", .path = base "/instances/{id}", .handle = rest_get_instance},            \
        {.method = "GET", .path = base "/apps/{app}", .handle = rest_get_app},                     \
        {.method = "GET", .path = base "/apps/{app}/{id}", .handle = rest_get_instance},           \
        {.method = "POST", .path = base "/apps/{app}", .handle = post_app, .max_body = BODY_MAX},  \
        {.method = "PUT", .path = base "/apps/{app}/{id}", .handle = put_instance},                \
        {.method = "DELETE", .path = base "/apps/{app}/{id}", .handle = delete_instance},          \
        {.method = "PUT", .path = base "/apps/{app}/{id}/status", .handle = put_status},           \
        {.method = "DELETE", .path = base "/apps/{app}/{id}/status", .handle = delete_status},     \
    {                                                                                              \
        .method = "PUT", .path = base "/apps/{app}/{id}/metadata", .handle = put_metadata          \
    }

static const struct cw_http_route routes[] = {ROUTES("/eureka"), ROUTES("/eureka/v2")};

enum cw_err registry_rest_start(struct registry *registry, char ret_detail[REGISTRY_DETAIL_MAX])
{
    struct cw_http_routes table = {routes, CW_ARRAY_SIZE(routes), registry};
    struct cw_http_server_options options = {
        .name = "registry",
        .address = registry->config.address,
        .port = registry->config.port,
        .tables = &table,
        .n_tables = 1,
        .connections = CONNECTIONS,
        .idle_ms = 60000, /* clients keep their connection from heartbeat to heartbeat */
    };
    TRY(cw_http_server_start(&options, ret_detail, &registry->http));
    registry_log(REGISTRY_EVENT_LISTENING, NULL, NULL, CW_OK);
    return CW_OK;
}

void registry_rest_stop(struct registry *registry)
{
    cw_http_server_stop(registry->http, 1000);
    registry->http = NULL;
}
