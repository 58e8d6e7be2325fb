/* The management endpoints in Spring Boot's shape. */
#include "common/http/actuator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the ones above */
#include <cmocka.h>

#include "tests/unit/common/http/wire.h"

static enum cw_health keys_now;

static enum cw_health check_keys(void *ctx, json_t *details)
{
    (void)ctx;
    json_object_set_new(details, "age", json_integer(7));
    return keys_now;
}

static enum cw_health check_idp(void *ctx, json_t *details)
{
    (void)ctx;
    (void)details;
    return CW_HEALTH_DOWN;
}

static const struct cw_health_component components[] = {
    {.name = "keys", .groups = CW_HEALTH_READINESS, .check = check_keys},
    {.name = "idp", .informative = true, .check = check_idp},
};

/* The body of GET path, with its status in *ret_status. */
static json_t *get(uint16_t port, const char *path, int *ret_status)
{
    char request[200], out[8192];
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n",
             path);
    *ret_status = wire_status(port, request, out, sizeof(out));
    const char *body = strstr(out, "\r\n\r\n");
    assert_non_null(strstr(out, "Content-Type: application/vnd.spring-boot.actuator.v3+json\r\n"));
    return json_loads(body ? body : "", 0, NULL);
}

static const char *text_at(const json_t *object, const char *a, const char *b, const char *c)
{
    const char *names[] = {a, b, c};
    for (size_t i = 0; i < 3; i++) {
        object = names[i] ? json_object_get(object, names[i]) : object;
    }
    const char *text = json_string_value(object);
    return text ? text : "(absent)";
}

static void health_is_told_by_groups(void **state)
{
    (void)state;
    static const struct {
        enum cw_health keys;
        const char *path;
        int status;
        const char *says;
    } cases[] = {
        {CW_HEALTH_UP, "/actuator/health", 200, "UP"}, /* the provider is only shown */
        {CW_HEALTH_UP, "/actuator/health/readiness", 200, "UP"},
        {CW_HEALTH_UP, "/actuator/health/idp", 503, "DOWN"},
        {CW_HEALTH_UNKNOWN, "/actuator/health/readiness", 200, "UNKNOWN"},
        {CW_HEALTH_OUT_OF_SERVICE, "/actuator/health/readiness", 503, "OUT_OF_SERVICE"},
        {CW_HEALTH_DOWN, "/actuator/health/readiness", 503, "DOWN"},
        {CW_HEALTH_DOWN, "/actuator/health", 503, "DOWN"},
        {CW_HEALTH_DOWN, "/actuator/health/keys", 503, "DOWN"},
        {CW_HEALTH_DOWN, "/actuator/health/liveness", 200, "UP"},
    };
    struct cw_actuator_options options = {.application = "cw-test",
                                          .version = "1.2",
                                          .components = components,
                                          .n_components = CW_ARRAY_SIZE(components)};
    struct cw_actuator *actuator = cw_actuator_new(&options);
    struct cw_http_routes tables[] = {cw_actuator_routes(actuator)};
    struct cw_http_server_options server_options = {
        .address = "127.0.0.1", .tables = tables, .n_tables = 1};
    struct cw_http_server *server;
    assert_int_equal(cw_http_server_start(&server_options, NULL, &server), CW_OK);
    uint16_t port = cw_http_server_port(server);
    int status;
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        keys_now = cases[i].keys;
        json_t *body = get(port, cases[i].path, &status);
        if (status != cases[i].status ||
            strcmp(text_at(body, "status", NULL, NULL), cases[i].says) != 0) {
            fail_msg("%zu %s: %d", i, cases[i].path, status);
        }
        json_decref(body);
    }
    json_t *health = get(port, "/actuator/health", &status);
    assert_string_equal(text_at(health, "components", "idp", "status"), "DOWN");
    assert_string_equal(text_at(health, "components", "keys", "status"), "DOWN");
    const json_t *keys = json_object_get(json_object_get(health, "components"), "keys");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(keys, "details"), "age")),
                     7);
    assert_int_equal(json_array_size(json_object_get(health, "groups")), 2);
    json_decref(health);
    json_t *info = get(port, "/actuator/info", &status);
    assert_string_equal(text_at(info, "build", "version", NULL), "1.2");
    json_decref(info);
    json_t *index = get(port, "/actuator", &status);
    assert_string_equal(text_at(index, "_links", "health", "href"), "http://h:1/actuator/health");
    json_decref(index);
    char out[65536];
    assert_int_equal(
        wire_status(port,
                    "GET /actuator/prometheus HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                    out, sizeof(out)),
        200);
    assert_non_null(strstr(out, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(out, "\nprocess_cpu_seconds_total{application=\"cw-test\"} "));
    assert_int_equal(wire_status(port,
                                 "GET /actuator/health/nothing HTTP/1.1\r\nHost: x\r\nConnection: "
                                 "close\r\n\r\n",
                                 out, sizeof(out)),
                     404);
    cw_http_server_stop(server, 0);
    cw_actuator_free(actuator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(health_is_told_by_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
