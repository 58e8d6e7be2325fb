/* The management endpoints: health by groups, info, metrics. */
#include "common/http/actuator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

#define ACTUATOR_MEDIA_TYPE "application/vnd.spring-boot.actuator.v3+json"

enum { METRICS_MAX = 32 << 20 };

struct cw_actuator {
    struct cw_actuator_options options;
    char common[128]; /* label of every metric */
};

static const char *const health_names[] = {"UP", "UNKNOWN", "OUT_OF_SERVICE", "DOWN"};

/* Takes `body`. Health says 503 by itself; a body that cannot be made is 500. */
static void answer(struct cw_http_request *request, int status, json_t *body)
{
    cw_http_set_header(request, "Content-Type", CW_STR(ACTUATOR_MEDIA_TYPE));
    cw_http_reply_json(request, status, body);
    json_decref(body);
}

static int health_status(enum cw_health health)
{
    return health >= CW_HEALTH_OUT_OF_SERVICE ? 503 : 200;
}

static json_t *run_check(const struct cw_health_component *component, enum cw_health *ret_health)
{
    json_t *details = json_object();
    *ret_health = component->check(component->ctx, details);
    json_t *body = json_pack("{s:s}", "status", health_names[*ret_health]);
    if (json_object_size(details) > 0) {
        json_object_set(body, "details", details);
    }
    json_decref(details);
    return body;
}

/* `group` 0: all of them. */
static void answer_group(struct cw_http_request *request, const struct cw_actuator *actuator,
                         unsigned group)
{
    enum cw_health worst = CW_HEALTH_UP;
    json_t *components = json_object();
    for (size_t i = 0; i < actuator->options.n_components; i++) {
        const struct cw_health_component *component = &actuator->options.components[i];
        if (group != 0 && !(component->groups & group)) {
            continue;
        }
        enum cw_health health;
        json_object_set_new(components, component->name, run_check(component, &health));
        if (group != 0 || !component->informative) {
            worst = CW_MAX(worst, health);
        }
    }
    json_t *body = json_pack("{s:s}", "status", health_names[worst]);
    if (json_object_size(components) > 0) {
        json_object_set(body, "components", components);
    }
    json_decref(components);
    if (group == 0) {
        json_object_set_new(body, "groups", json_pack("[s,s]", "liveness", "readiness"));
    }
    answer(request, health_status(worst), body);
}

static void get_health(struct cw_http_request *request, void *ctx)
{
    answer_group(request, ctx, 0);
}

static void get_health_part(struct cw_http_request *request, void *ctx)
{
    const struct cw_actuator *actuator = ctx;
    struct cw_str name = cw_http_param(request, "name");
    if (cw_str_is(name, "liveness") || cw_str_is(name, "readiness")) {
        bool live = cw_str_is(name, "liveness");
        answer_group(request, actuator, live ? CW_HEALTH_LIVENESS : CW_HEALTH_READINESS);
        return;
    }
    for (size_t i = 0; i < actuator->options.n_components; i++) {
        if (cw_str_is(name, actuator->options.components[i].name)) {
            enum cw_health health;
            json_t *body = run_check(&actuator->options.components[i], &health);
            answer(request, health_status(health), body);
            return;
        }
    }
    cw_http_problem(request, CW_NOT_FOUND, NULL);
}

static void get_info(struct cw_http_request *request, void *ctx)
{
    const struct cw_actuator *actuator = ctx;
    answer(request, 200,
           json_pack("{s:{s:s},s:{s:s}}", "app", "name", actuator->options.application, "build",
                     "version", actuator->options.version));
}

static void get_prometheus(struct cw_http_request *request, void *ctx)
{
    const struct cw_actuator *actuator = ctx;
    struct cw_buf text = CW_BUF_INIT(METRICS_MAX);
    cw_metrics_render(actuator->options.metrics, actuator->common, &text);
    if (text.failed) {
        cw_http_problem(request, CW_NO_MEMORY, NULL);
    } else {
        cw_http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", cw_buf_str(&text));
    }
    cw_buf_done(&text);
}

static void add_link(json_t *links, const char *base, const char *name, const char *path,
                     bool templated)
{
    json_t *href = json_sprintf("%s%s", base, path);
    json_object_set_new(links, name,
                        json_pack("{s:o,s:b}", "href", href, "templated", (int)templated));
}

static void get_index(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    struct cw_str host = CW_STR("");
    cw_http_header(request, "Host", &host);
    char base[300];
    snprintf(base, sizeof(base), "http://%.*s/actuator", (int)CW_MIN(host.n, (size_t)255), host.p);
    json_t *links = json_object();
    add_link(links, base, "self", "", false);
    add_link(links, base, "health", "/health", false);
    add_link(links, base, "health-path", "/health/{*path}", true);
    add_link(links, base, "info", "/info", false);
    add_link(links, base, "prometheus", "/prometheus", false);
    answer(request, 200, json_pack("{s:o}", "_links", links));
}

static const struct cw_http_route routes[] = {
    {.method = "GET", .path = "/actuator", .handle = get_index},
    {.method = "GET", .path = "/actuator/health", .handle = get_health},
    {.method = "GET", .path = "/actuator/health/{name}", .handle = get_health_part},
    {.method = "GET", .path = "/actuator/info", .handle = get_info},
    {.method = "GET", .path = "/actuator/prometheus", .handle = get_prometheus},
};

struct cw_actuator *cw_actuator_new(const struct cw_actuator_options *options)
{
    struct cw_actuator *actuator = calloc(1, sizeof(*actuator));
    if (actuator) {
        actuator->options = *options;
        snprintf(actuator->common, sizeof(actuator->common), "application=\"%.100s\"",
                 options->application);
    }
    return actuator;
}

void cw_actuator_free(struct cw_actuator *actuator)
{
    free(actuator);
}

struct cw_http_routes cw_actuator_routes(struct cw_actuator *actuator)
{
    return (struct cw_http_routes){routes, CW_ARRAY_SIZE(routes), actuator};
}
