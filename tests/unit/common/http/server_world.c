#include "tests/unit/common/http/server_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants the ones above */
#include <cmocka.h>

#include "common/base/buf.h"

static void say_hello(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    struct cw_str name = cw_http_param(request, "name"), loud = CW_STR("-");
    cw_http_query(request, "loud", &loud);
    char text[200];
    int n = snprintf(text, sizeof(text), "hello %.*s %.*s %s", CW_STR_ARG(name), CW_STR_ARG(loud),
                     cw_http_peer(request));
    cw_http_set_header(request, "X-Answer", CW_STR("yes"));
    cw_http_reply(request, 200, "text/plain", (struct cw_str){text, (size_t)n});
}

static void echo_json(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    json_t *body;
    enum cw_err err = cw_http_json(request, &body);
    if (err != CW_OK) {
        cw_http_problem(request, err, NULL);
        return;
    }
    cw_http_reply_json(request, 200, body);
    json_decref(body);
}

static void echo_form(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    struct cw_str value;
    enum cw_err err = cw_http_form(request, "a", &value);
    if (err != CW_OK) {
        cw_http_problem(request, err, NULL);
        return;
    }
    cw_http_reply(request, 200, "text/plain", value);
}

static void show_bearer(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    struct cw_str token;
    enum cw_err err = cw_http_bearer(request, &token);
    if (err != CW_OK) {
        cw_http_problem(request, err, NULL);
        return;
    }
    cw_http_reply(request, 200, "text/plain", token);
}

static enum cw_err take_chunk(struct cw_http_request *request, struct cw_str bytes, void *ctx)
{
    struct world *world = ctx;
    (void)request;
    world->streamed += bytes.n;
    return memchr(bytes.p, '!', bytes.n) ? CW_CONFLICT : CW_OK;
}

static void end_stream(struct cw_http_request *request, void *ctx)
{
    struct world *world = ctx;
    (void)request;
    world->ended++;
}

static void finish_stream(struct cw_http_request *request, void *ctx)
{
    struct world *world = ctx;
    char text[32];
    int n = snprintf(text, sizeof(text), "%zu", world->streamed);
    cw_http_reply(request, 201, "text/plain", (struct cw_str){text, (size_t)n});
}

static void *answer_late(void *arg)
{
    struct cw_http_request *request = arg;
    usleep(20000);
    cw_http_reply(request, 200, "text/plain", CW_STR("late"));
    cw_http_resume(request);
    return NULL;
}

static void defer(struct cw_http_request *request, void *ctx)
{
    struct world *world = ctx;
    cw_http_defer(request);
    assert_int_equal(pthread_create(&world->late, NULL, answer_late, request), 0);
    world->late_started = true;
}

/* Is still in its handler when the server stops. */
static void defer_slowly(struct cw_http_request *request, void *ctx)
{
    struct world *world = ctx;
    world->in_handler = true;
    usleep(200000);
    defer(request, ctx);
}

static void say_nothing(struct cw_http_request *request, void *ctx)
{
    (void)request;
    (void)ctx;
}

static void split_header(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    bool taken = cw_http_set_header(request, "X-A", CW_STR("a\r\nSet-Cookie: b")) ||
                 cw_http_set_header(request, "X A", CW_STR("a"));
    cw_http_reply(request, taken ? 500 : 200, NULL, CW_STR(""));
}

static const struct cw_http_route routes[] = {
    {.method = "GET", .path = "/hello/{name}", .handle = say_hello},
    {.method = "GET", .path = "/rest/{name...}", .handle = say_hello},
    {.method = "GET", .path = "/slash/", .handle = say_hello},
    {.method = "POST",
     .path = "/json",
     .handle = echo_json,
     .max_body = 1000,
     .media_type = "application/json"},
    {.method = "POST", .path = "/form", .handle = echo_form, .max_body = 1000},
    {.method = "GET", .path = "/bearer", .handle = show_bearer},
    {.method = "PUT",
     .path = "/stream",
     .handle = finish_stream,
     .chunk = take_chunk,
     .end = end_stream,
     .max_body = 1 << 20},
    {.method = "GET", .path = "/late", .handle = defer},
    {.method = "GET", .path = "/later", .handle = defer_slowly},
    {.method = "GET", .path = "/nothing", .handle = say_nothing},
    {.method = "GET", .path = "/split", .handle = split_header},
};

static void count_done(void *ctx, const struct cw_http_done *done)
{
    struct world *world = ctx;
    world->last_status = done->status;
    world->done++;
}

void world_start_with(struct world *world, struct cw_http_server_options options)
{
    *world = (struct world){0};
    struct cw_http_routes tables[] = {{routes, CW_ARRAY_SIZE(routes), world}};
    options.name = "test";
    options.address = "127.0.0.1";
    options.tables = tables;
    options.n_tables = 1;
    options.done = count_done;
    options.done_ctx = world;
    char detail[160];
    assert_int_equal(cw_http_server_start(&options, detail, &world->server), CW_OK);
    world->port = cw_http_server_port(world->server);
    assert_int_not_equal(world->port, 0);
}

void world_start(struct world *world, bool thread_per_connection)
{
    world_start_with(
        world, (struct cw_http_server_options){.thread_per_connection = thread_per_connection});
}

void world_stop(struct world *world)
{
    cw_http_server_stop(world->server, 2000);
    if (world->late_started) {
        pthread_join(world->late, NULL);
    }
}
