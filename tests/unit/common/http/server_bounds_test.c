/* What the server bounds: header, body, time, connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
/* cmocka wants the ones above */
#include <cmocka.h>

#include "common/base/buf.h"
#include "tests/unit/common/http/server_world.h"
#include "tests/unit/common/http/wire.h"

#define END " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void a_header_section_past_its_bound_is_refused(void **state)
{
    (void)state;
    struct world world;
    char out[8192];
    struct cw_buf request = CW_BUF_INIT(1 << 20);
    world_start_with(&world, (struct cw_http_server_options){.max_header = 16 << 10});
    cw_buf_add_cstr(&request, "GET /hello/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: ");
    for (int i = 0; i < 40000; i++) {
        cw_buf_add_char(&request, 'x');
    }
    cw_buf_add_cstr(&request, "\r\n\r\n");
    wire_talk(world.port, request.p, request.n, out, sizeof(out));
    assert_null(strstr(out, "200 OK"));
    /* and the next one is served */
    assert_int_equal(wire_status(world.port, "GET /hello/x" END, out, sizeof(out)), 200);
    cw_buf_done(&request);
    world_stop(&world);
}

static void a_connection_on_which_nothing_moves_is_closed(void **state)
{
    (void)state;
    struct world world;
    char byte;
    world_start_with(&world, (struct cw_http_server_options){.idle_ms = 1000});
    int silent = wire_connect(world.port), half = wire_connect(world.port);
    const char *begun = "GET /hello/x HTTP/1.1\r\nHo";
    assert_int_equal(send(half, begun, strlen(begun), 0), (ssize_t)strlen(begun));
    assert_true(recv(silent, &byte, 1, 0) <= 0);
    while (recv(half, &byte, 1, 0) > 0) {
    }
    close(silent);
    close(half);
    world_stop(&world);
}

static void connections_past_the_bound_do_not_get_in(void **state)
{
    (void)state;
    struct world world;
    char out[8192];
    int held[3];
    world_start_with(&world, (struct cw_http_server_options){.connections = 3, .idle_ms = 60000});
    for (size_t i = 0; i < CW_ARRAY_SIZE(held); i++) {
        held[i] = wire_connect(world.port);
        const char *request = "GET /hello/x HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_int_equal(send(held[i], request, strlen(request), 0), (ssize_t)strlen(request));
        assert_true(recv(held[i], out, sizeof(out), 0) > 0);
    }
    int late = wire_connect(world.port);
    struct timeval patience = {.tv_usec = 300000};
    setsockopt(late, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    const char *request = "GET /hello/x" END;
    send(late, request, strlen(request), MSG_NOSIGNAL);
    assert_true(recv(late, out, sizeof(out), 0) <= 0);
    close(late);
    for (size_t i = 0; i < CW_ARRAY_SIZE(held); i++) {
        close(held[i]);
    }
    int status = 0;
    for (int i = 0; i < 1000 && status != 200; i++) {
        usleep(20000);
        status = wire_status(world.port, "GET /hello/x" END, out, sizeof(out));
    }
    assert_int_equal(status, 200);
    world_stop(&world);
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void a_body_that_comes_too_late_is_408(void **state)
{
    (void)state;
    struct world world;
    world_start_with(&world, (struct cw_http_server_options){.receive_ms = 200});
    int fd = wire_connect(world.port);
    send_text(fd, "POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  "Content-Length: 9\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n");
    char out[2048] = "";
    assert_true(recv(fd, out, sizeof(out) - 1, 0) > 0); /* the header has been read */
    assert_memory_equal(out, "HTTP/1.1 100", 12);
    usleep(400000);
    send_text(fd, "{\"a\": 1 }");
    size_t n = 0;
    for (ssize_t got = 1; got > 0 && n + 1 < sizeof(out); n += (size_t)got) {
        got = recv(fd, out + n, sizeof(out) - 1 - n, 0);
        assert_true(got >= 0);
    }
    assert_memory_equal(out, "HTTP/1.1 408", 12);
    assert_non_null(strstr(out, "\"reason\":\"request_timeout\""));
    close(fd);
    world_stop(&world);
}

/* A byte every 50 ms, so that the connection is never idle; for 45 s at most. */
static bool is_closed_while_it_trickles(int fd)
{
    char byte;
    for (int i = 0; i < 900; i++) {
        if (send(fd, " ", 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, MSG_DONTWAIT) == 0) {
            return true;
        }
        usleep(50000);
    }
    return false;
}

/* No answer can be given in the middle of a body. */
static void a_body_that_trickles_in_for_ever_ends_the_connection(void **state)
{
    (void)state;
    struct world world;
    world_start_with(&world, (struct cw_http_server_options){.receive_ms = 200});
    int fd = wire_connect(world.port);
    send_text(fd, "POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  "Content-Length: 1000\r\n\r\n");
    assert_true(is_closed_while_it_trickles(fd));
    close(fd);
    world_stop(&world);
    assert_int_equal(world.last_status, 0);
}

/* Whoever was refused, by the header or by a chunk, has no claim to a thread. */
static void a_refused_upload_that_trickles_in_ends_the_connection(void **state)
{
    (void)state;
    const char *const requests[] = {
        "PUT /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n",
        "PUT /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n!",
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(requests); i++) {
        struct world world;
        world_start_with(&world, (struct cw_http_server_options){.receive_ms = 200,
                                                                 .thread_per_connection = true});
        int fd = wire_connect(world.port);
        send_text(fd, requests[i]);
        assert_true(is_closed_while_it_trickles(fd));
        close(fd);
        world_stop(&world);
        assert_int_equal(world.last_status, 0);
    }
}

static void a_streamed_body_may_take_its_time(void **state)
{
    (void)state;
    struct world world;
    world_start_with(&world, (struct cw_http_server_options){.receive_ms = 100});
    int fd = wire_connect(world.port);
    send_text(fd, "PUT /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    for (int i = 0; i < 5; i++) {
        usleep(100000);
        send_text(fd, "x");
    }
    char out[256] = "";
    assert_true(recv(fd, out, sizeof(out) - 1, 0) > 0);
    assert_memory_equal(out, "HTTP/1.1 201", 12);
    close(fd);
    world_stop(&world);
}

enum { DRAIN_MAX = 16 << 20 }; /* bytes of what is refused that are read on (server.h) */

/* Sends the request and N bytes behind it; the status, 0 where there is none. Whoever is closed in
 * the middle gets none. */
static int status_behind(const struct world *world, const char *request, size_t n, const char *end)
{
    char out[2048] = "";
    struct cw_buf text = CW_BUF_INIT(DRAIN_MAX + 4096);
    cw_buf_add_cstr(&text, request);
    char *body = cw_buf_extend(&text, n);
    assert_non_null(body);
    memset(body, 'a', n);
    cw_buf_add_cstr(&text, end);
    assert_int_equal(cw_buf_check(&text), CW_OK);
    wire_talk(world->port, text.p, text.n, out, sizeof(out));
    cw_buf_done(&text);
    return strncmp(out, "HTTP/1.1 ", 9) == 0 ? (int)strtol(out + 9, NULL, 10) : 0;
}

/* Nobody says how much there will be; the first byte is refused, and what follows is counted. */
static void a_refused_upload_is_read_on_up_to_its_bound(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        int want;
    } rows[] = {{DRAIN_MAX, 409}, {DRAIN_MAX + 1, 0}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        struct world world;
        char request[160];
        world_start_with(&world, (struct cw_http_server_options){.receive_ms = 600000});
        snprintf(request, sizeof(request),
                 "PUT /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n1\r\n!\r\n%zx\r\n",
                 rows[i].n);
        assert_int_equal(status_behind(&world, request, rows[i].n, "\r\n0\r\n\r\n"), rows[i].want);
        world_stop(&world);
        assert_int_equal(world.streamed, 1);
    }
}

/* Up to the bound the answer waits for the end; beyond it, it does not wait for a single byte. */
static void a_length_past_the_bound_is_refused_at_once(void **state)
{
    (void)state;
    static const struct {
        size_t length;
        size_t sent;
    } rows[] = {{DRAIN_MAX, DRAIN_MAX}, {DRAIN_MAX + 1, 0}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        struct world world;
        char request[160];
        world_start_with(&world,
                         (struct cw_http_server_options){.receive_ms = 600000, .idle_ms = 600000});
        snprintf(request, sizeof(request),
                 "PUT /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                 "Content-Length: %zu\r\n\r\n",
                 rows[i].length);
        assert_int_equal(status_behind(&world, request, rows[i].sent, ""), 413);
        world_stop(&world);
        assert_int_equal(world.streamed, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_section_past_its_bound_is_refused),
        cmocka_unit_test(a_connection_on_which_nothing_moves_is_closed),
        cmocka_unit_test(connections_past_the_bound_do_not_get_in),
        cmocka_unit_test(a_body_that_comes_too_late_is_408),
        cmocka_unit_test(a_body_that_trickles_in_for_ever_ends_the_connection),
        cmocka_unit_test(a_refused_upload_that_trickles_in_ends_the_connection),
        cmocka_unit_test(a_streamed_body_may_take_its_time),
        cmocka_unit_test(a_refused_upload_is_read_on_up_to_its_bound),
        cmocka_unit_test(a_length_past_the_bound_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
