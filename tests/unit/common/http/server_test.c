/* The server over real sockets: routes, bodies, refusals, deferred answers, graceful stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants the ones above */
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "tests/unit/common/http/server_world.h"
#include "tests/unit/common/http/wire.h"

#define END " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void requests_are_answered_as_the_table_says(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *request;
        int status;
        const char *contains; /* in the answer, or NULL */
    } cases[] = {
        {"parameter and query", "GET /hello/w%20x?loud=a%2Bb+c" END, 200,
         "\r\n\r\nhello w x a+b c 127.0.0.1"},
        {"a header of the handler", "GET /hello/x" END, 200, "X-Answer: yes"},
        {"the rest of the path", "GET /rest/a/b/c" END, 200, "hello a/b/c -"},
        {"a row with a slash at its end", "GET /slash/" END, 200, NULL},
        {"the same without the slash", "GET /slash" END, 404, NULL},
        {"a slash too much", "GET /bearer/" END, 404, NULL},
        {"an empty parameter", "GET /hello/" END, 404, NULL},
        {"no such path", "GET /nowhere" END, 404, "\"reason\":\"not_found\""},
        {"another method", "DELETE /hello/x" END, 405, "Allow: GET, HEAD"},
        {"OPTIONS", "OPTIONS /json" END, 204, "Allow: POST"},
        {"HEAD as GET without a body", "HEAD /hello/x" END, 200, "X-Answer: yes"},
        {"dot segments", "GET /rest/../x" END, 400, "\"reason\":\"path_ambiguous\""},
        {"encoded dot segments", "GET /rest/%2e%2E/x" END, 400, "path_ambiguous"},
        {"an encoded slash", "GET /hello/a%2Fb" END, 400, "path_ambiguous"},
        {"an encoded backslash", "GET /hello/a%5cb" END, 400, "path_ambiguous"},
        {"an encoded NUL", "GET /hello/a%00b" END, 400, "path_ambiguous"},
        {"an encoded control byte", "GET /hello/a%0ab" END, 400, "path_ambiguous"},
        {"two slashes", "GET //hello/x" END, 400, "path_ambiguous"},
        {"half an escape", "GET /hello/%4" END, 400, "path_ambiguous"},
        {"not UTF-8", "GET /hello/%ff" END, 400, "path_ambiguous"},
        {"a query name twice", "GET /hello/x?loud=1&loud=2" END, 400, "request_malformed"},
        {"a body where none is taken",
         "GET /hello/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
         413, "request_too_large"},
        {"two lengths, and nobody knows where the next request begins",
         "POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400,
         "Connection: close"},
        {"no answer of the handler", "GET /nothing" END, 500, "\"reason\":\"internal\""},
        {"a header value with a line break", "GET /split" END, 200, NULL},
        {"no Host", "GET /hello/x HTTP/1.1\r\nConnection: close\r\n\r\n", 400, NULL},
    };
    struct world world;
    world_start(&world, false);
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        char out[8192];
        int status = wire_status(world.port, cases[i].request, out, sizeof(out));
        if (status != cases[i].status || (cases[i].contains && !strstr(out, cases[i].contains))) {
            fail_msg("%s: %d\n%s", cases[i].what, status, out);
        }
    }
    world_stop(&world);
}

static int post(struct world *world, const char *path, const char *type, struct cw_str body,
                char *out, size_t max)
{
    struct cw_buf request = CW_BUF_INIT(4 << 20);
    cw_buf_addf(&request,
                "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %s\r\n"
                "Content-Length: %zu\r\n\r\n",
                path, type, body.n);
    cw_buf_add_str(&request, body);
    wire_talk(world->port, request.p, request.n, out, max);
    cw_buf_done(&request);
    return strncmp(out, "HTTP/1.1 ", 9) == 0 ? (int)strtol(out + 9, NULL, 10) : 0;
}

static void json_bodies_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *type;
        struct cw_str body;
        int status;
    } cases[] = {
        {"an object", "application/json", CW_STR_INIT("{\"a\":1}"), 200},
        {"with a charset", "Application/JSON; charset=utf-8", CW_STR_INIT(" {\"a\":\"\\u00e4\"}\n"),
         200},
        {"another type", "text/plain", CW_STR_INIT("{}"), 415},
        {"an array", "application/json", CW_STR_INIT("[1]"), 400},
        {"nothing", "application/json", CW_STR_INIT(""), 400},
        {"a member twice", "application/json", CW_STR_INIT("{\"a\":1,\"a\":2}"), 400},
        {"something behind it", "application/json", CW_STR_INIT("{} x"), 400},
        {"a NUL behind a number", "application/json", CW_STR_INIT("{\"a\":1\0}"), 400},
        {"a raw line break in a string", "application/json", CW_STR_INIT("{\"a\":\"\n\"}"), 400},
        {"not UTF-8", "application/json", CW_STR_INIT("{\"a\":\"\xff\"}"), 400},
        {"33 levels", "application/json",
         CW_STR_INIT("{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"),
         400},
    };
    struct world world;
    char out[8192];
    world_start(&world, false);
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        int status = post(&world, "/json", cases[i].type, cases[i].body, out, sizeof(out));
        if (status != cases[i].status) {
            fail_msg("%s: %d\n%s", cases[i].what, status, out);
        }
    }
    char big[2000];
    memset(big, ' ', sizeof(big));
    assert_int_equal(post(&world, "/json", "application/json", (struct cw_str){big, sizeof(big)},
                          out, sizeof(out)),
                     413);
    world_stop(&world);
}

static void form_fields_come_once(void **state)
{
    (void)state;
    const char *form = "application/x-www-form-urlencoded";
    struct world world;
    char out[8192];
    world_start(&world, false);
    assert_int_equal(post(&world, "/form", form, CW_STR("b=1&a=x%20y+z"), out, sizeof(out)), 200);
    assert_non_null(strstr(out, "\r\n\r\nx y z"));
    assert_int_equal(post(&world, "/form", form, CW_STR("a=1&a=2"), out, sizeof(out)), 400);
    assert_int_equal(post(&world, "/form", form, CW_STR("a=%zz"), out, sizeof(out)), 400);
    assert_int_equal(post(&world, "/form", form, CW_STR("b=1"), out, sizeof(out)), 404);
    assert_int_equal(post(&world, "/form", "text/plain", CW_STR("a=1"), out, sizeof(out)), 415);
    world_stop(&world);
}

static void the_bearer_is_one_and_well_formed(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *headers;
        int status;
        const char *contains;
    } cases[] = {
        {"a token", "Authorization: bearer a.b-c\r\n", 200, "\r\n\r\na.b-c"},
        {"none", "", 401, "WWW-Authenticate: Bearer\r\n"},
        {"another scheme", "Authorization: Basic abc\r\n", 401, "\"reason\":\"token_missing\""},
        {"two headers", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", 400,
         "\"reason\":\"token_multiple\""},
        {"no token behind the scheme", "Authorization: Bearer\r\n", 400, "authorization_malformed"},
        {"a list", "Authorization: Bearer a,b\r\n", 400, "authorization_malformed"},
        {"a blank within", "Authorization: Bearer a b\r\n", 400, "authorization_malformed"},
    };
    struct world world;
    world_start(&world, false);
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        char request[400], out[8192];
        snprintf(request, sizeof(request),
                 "GET /bearer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n",
                 cases[i].headers);
        int status = wire_status(world.port, request, out, sizeof(out));
        if (status != cases[i].status || !strstr(out, cases[i].contains)) {
            fail_msg("%s: %d\n%s", cases[i].what, status, out);
        }
    }
    world_stop(&world);
}

static void a_trace_is_continued_or_begun(void **state)
{
    (void)state;
    struct world world;
    char out[8192];
    world_start(&world, false);
    wire_status(world.port,
                "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\ntraceparent: "
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
                out, sizeof(out));
    assert_non_null(strstr(out, "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\""));
    wire_status(world.port,
                "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\ntraceparent: "
                "00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n\r\n",
                out, sizeof(out));
    assert_null(strstr(out, "\"trace_id\":\"00000000000000000000000000000000\""));
    assert_non_null(strstr(out, "\"trace_id\":\""));
    world_stop(&world);
}

static int put_stream(struct world *world, const char *headers, struct cw_str body, char *out,
                      size_t max)
{
    struct cw_buf request = CW_BUF_INIT(8 << 20);
    cw_buf_addf(&request, "PUT /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n",
                headers);
    cw_buf_add_str(&request, body);
    wire_talk(world->port, request.p, request.n, out, max);
    cw_buf_done(&request);
    return strncmp(out, "HTTP/1.1 ", 9) == 0 ? (int)strtol(out + 9, NULL, 10) : 0;
}

static void a_streamed_body_comes_in_chunks_and_ends_once(void **state)
{
    (void)state;
    struct world world;
    char out[8192], headers[64];
    size_t n = 1 << 20;
    char *body = calloc(1, n + 1);
    assert_non_null(body);
    memset(body, 'a', n);
    world_start(&world, false);
    snprintf(headers, sizeof(headers), "Content-Length: %zu\r\n", n);
    assert_int_equal(put_stream(&world, headers, (struct cw_str){body, n}, out, sizeof(out)), 201);
    assert_non_null(strstr(out, "\r\n\r\n1048576"));

    /* too long: the answer comes at its end, or at once where it is very long */
    snprintf(headers, sizeof(headers), "Content-Length: %zu\r\n", n + 1);
    assert_int_equal(put_stream(&world, headers, (struct cw_str){body, n + 1}, out, sizeof(out)),
                     413);
    snprintf(headers, sizeof(headers), "Content-Length: %zu\r\n", (size_t)17 << 20);
    assert_int_equal(put_stream(&world, headers, (struct cw_str){body, 10}, out, sizeof(out)), 413);

    /* no length said: counted as it comes */
    struct cw_buf chunked = CW_BUF_INIT(8 << 20);
    cw_buf_addf(&chunked, "%zx\r\n%.*s\r\n1\r\nb\r\n0\r\n\r\n", n, (int)n, body);
    world.streamed = 0;
    assert_int_equal(put_stream(&world, "Transfer-Encoding: chunked\r\n", cw_buf_str(&chunked), out,
                                sizeof(out)),
                     413);
    assert_true(world.streamed <= n);
    cw_buf_done(&chunked);

    /* refused in the middle by the chunk's own error */
    body[1000] = '!';
    snprintf(headers, sizeof(headers), "Content-Length: %zu\r\n", n);
    assert_int_equal(put_stream(&world, headers, (struct cw_str){body, n}, out, sizeof(out)), 409);
    free(body);
    world_stop(&world);
    assert_int_equal(world.ended, 5);
    assert_int_equal(world.done, 5);
}

static void a_body_broken_off_ends_the_request_without_an_answer(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, false);
    int fd = wire_connect(world.port);
    const char *request = "PUT /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc";
    assert_int_equal(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    for (int i = 0; i < 2000 && world.streamed == 0; i++) {
        usleep(10000);
    }
    close(fd);
    world_stop(&world);
    assert_int_equal(world.streamed, 3);
    assert_int_equal(world.ended, 1);
    assert_int_equal(world.last_status, 0);
}

static void a_deferred_request_is_answered_by_another_thread(void **state)
{
    (void)state;
    for (int thread_per_connection = 0; thread_per_connection < 2; thread_per_connection++) {
        struct world world;
        char out[8192];
        world_start(&world, thread_per_connection);
        assert_int_equal(wire_status(world.port, "GET /late" END, out, sizeof(out)), 200);
        assert_non_null(strstr(out, "\r\n\r\nlate"));
        world_stop(&world);
    }
}

static void a_port_that_is_taken_is_told(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, false);
    struct cw_http_server_options options = {.address = "127.0.0.1", .port = world.port};
    struct cw_http_server *second = NULL;
    char detail[160];
    assert_int_equal(cw_http_server_start(&options, detail, &second), CW_CONFLICT);
    assert_null(second);
    assert_non_null(strstr(detail, "cannot listen on 127.0.0.1 port"));
    options.address = "localhost";
    assert_int_equal(cw_http_server_start(&options, detail, &second), CW_IO);
    world_stop(&world);
}

static int64_t post_in_two_writes(int fd)
{
    static const char header[] =
        "POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: 9\r\n\r\n";
    char out[8192];
    int64_t began = cw_clock_monotonic_ms(&cw_clock_system);
    assert_int_equal(send(fd, header, strlen(header), 0), (ssize_t)strlen(header));
    assert_int_equal(send(fd, "{\"a\":\"b\"}", 9, 0), 9);
    assert_true(recv(fd, out, sizeof(out), 0) > 0);
    assert_memory_equal(out, "HTTP/1.1 200", 12);
    return cw_clock_monotonic_ms(&cw_clock_system) - began;
}

/* A delayed acknowledgement takes 40 ms each time, once the kernel takes the connection for an
 * interactive one: the fastest of many tells, on a busy machine too. */
static void a_body_that_is_written_apart_is_not_waited_for(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, false);
    int fd = wire_connect(world.port);
    for (size_t i = 0; i < 20; i++) {
        (void)post_in_two_writes(fd);
    }
    int64_t fastest = INT64_MAX;
    for (size_t i = 0; i < 10; i++) {
        fastest = CW_MIN(fastest, post_in_two_writes(fd));
    }
    assert_true(fastest < 30);
    close(fd);
    world_stop(&world);
}

/* libmicrohttpd aborts the program when it stops with a suspended connection. */
static void a_request_that_is_deferred_while_the_server_stops_is_waited_for(void **state)
{
    (void)state;
    const char *request = "GET /later HTTP/1.1\r\nHost: x\r\n\r\n";
    for (int thread_per_connection = 0; thread_per_connection < 2; thread_per_connection++) {
        struct world world;
        world_start(&world, thread_per_connection);
        int fd = wire_connect(world.port);
        assert_int_equal(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
        while (!world.in_handler) {
            usleep(1000);
        }
        cw_http_server_stop(world.server, 0);
        assert_true(world.late_started);
        pthread_join(world.late, NULL);
        close(fd);
    }
}

static void stop_ends_idle_connections_and_leaves_the_port(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, false);
    int fd = wire_connect(world.port);
    assert_true(fd >= 0);
    world_stop(&world);
    char byte;
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
    assert_int_equal(wire_connect(world.port), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered_as_the_table_says),
        cmocka_unit_test(json_bodies_are_read_strictly),
        cmocka_unit_test(form_fields_come_once),
        cmocka_unit_test(the_bearer_is_one_and_well_formed),
        cmocka_unit_test(a_trace_is_continued_or_begun),
        cmocka_unit_test(a_streamed_body_comes_in_chunks_and_ends_once),
        cmocka_unit_test(a_body_broken_off_ends_the_request_without_an_answer),
        cmocka_unit_test(a_deferred_request_is_answered_by_another_thread),
        cmocka_unit_test(a_port_that_is_taken_is_told),
        cmocka_unit_test(a_body_that_is_written_apart_is_not_waited_for),
        cmocka_unit_test(a_request_that_is_deferred_while_the_server_stops_is_waited_for),
        cmocka_unit_test(stop_ends_idle_connections_and_leaves_the_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
