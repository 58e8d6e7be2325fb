#include "tests/unit/common/http/client_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants the ones above */
#include <cmocka.h>

/* ---- the server side ---- */

_Atomic bool world_release;

static void get_plain(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    struct cw_str agent = CW_STR("");
    cw_http_header(request, "User-Agent", &agent);
    cw_http_set_header(request, "ETag", CW_STR("\"e\""));
    cw_http_set_header(request, "Cache-Control", CW_STR("max-age=60"));
    cw_http_reply(request, 200, "text/plain", agent);
}

static void echo(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    struct cw_str type = CW_STR("none"), auth = CW_STR("none");
    cw_http_header(request, "Content-Type", &type);
    cw_http_header(request, "Authorization", &auth);
    char text[400];
    int n = snprintf(text, sizeof(text), "%s %.*s %.*s [%.*s]", cw_http_method(request),
                     CW_STR_ARG(type), CW_STR_ARG(auth), CW_STR_ARG(cw_http_body(request)));
    cw_http_reply(request, 200, "text/plain", (struct cw_str){text, (size_t)n});
}

static void redirect(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    cw_http_set_header(request, "Location", CW_STR("/plain"));
    cw_http_reply(request, 302, NULL, CW_STR(""));
}

static void get_large(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    static char body[5000];
    memset(body, 'x', sizeof(body));
    cw_http_reply(request, 200, "text/plain", (struct cw_str){body, sizeof(body)});
}

static void get_slow(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 1000 && !world_release; i++) {
        usleep(10000);
    }
    cw_http_reply(request, 200, NULL, CW_STR(""));
}

static const struct cw_http_route routes[] = {
    {.method = "GET", .path = "/plain", .handle = get_plain},
    {.method = "POST", .path = "/echo", .handle = echo, .max_body = 1000},
    {.method = "PUT", .path = "/echo", .handle = echo, .max_body = 1000},
    {.method = "DELETE", .path = "/echo", .handle = echo},
    {.method = "GET", .path = "/redirect", .handle = redirect},
    {.method = "GET", .path = "/large", .handle = get_large},
    {.method = "GET", .path = "/slow", .handle = get_slow},
};

struct cw_http_server *world_start_server(void)
{
    struct cw_http_routes tables[] = {{routes, CW_ARRAY_SIZE(routes), NULL}};
    struct cw_http_server_options options = {
        .address = "127.0.0.1", .tables = tables, .n_tables = 1, .thread_per_connection = true};
    struct cw_http_server *server = NULL;
    world_release = false;
    assert_int_equal(cw_http_server_start(&options, NULL, &server), CW_OK);
    return server;
}

/* ---- the client side ---- */

void world_answer_init(struct answer *answer)
{
    *answer = (struct answer){0};
    pthread_mutex_init(&answer->lock, NULL);
    pthread_cond_init(&answer->came, NULL);
}

void world_on_answer(void *ctx, const struct cw_http_result *result)
{
    struct answer *answer = ctx;
    pthread_mutex_lock(&answer->lock);
    answer->times++;
    answer->err = result->err;
    answer->status = result->status;
    snprintf(answer->body, sizeof(answer->body), "%.*s", CW_STR_ARG(result->body));
    snprintf(answer->etag, sizeof(answer->etag), "%s", result->etag);
    snprintf(answer->cache_control, sizeof(answer->cache_control), "%s", result->cache_control);
    pthread_cond_signal(&answer->came);
    pthread_mutex_unlock(&answer->lock);
}

void world_wait(struct answer *answer)
{
    pthread_mutex_lock(&answer->lock);
    while (answer->times == 0) {
        pthread_cond_wait(&answer->came, &answer->lock);
    }
    pthread_mutex_unlock(&answer->lock);
}

struct cw_http_client *world_client(size_t max_active)
{
    struct cw_http_client *client = NULL;
    assert_int_equal(cw_http_client_new("cw-test/1", max_active, &client), CW_OK);
    return client;
}

void world_fetch(struct cw_http_client *client, struct cw_http_fetch *fetch, struct answer *answer)
{
    world_answer_init(answer);
    assert_int_equal(cw_http_client_start(client, fetch, world_on_answer, answer, NULL), CW_OK);
    world_wait(answer);
}

const char *world_url(const struct cw_http_server *server, const char *path)
{
    static char url[200];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", cw_http_server_port(server), path);
    return url;
}
