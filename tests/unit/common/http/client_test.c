/* The client against servers that are good, slow, large, plain, or not there. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants the ones above */
#include <cmocka.h>

#include "tests/unit/common/http/client_world.h"

static void an_answer_comes_with_its_headers(void **state)
{
    (void)state;
    struct cw_http_server *server = world_start_server();
    struct cw_http_client *client = world_client(10);
    struct answer answer;
    struct cw_http_fetch get = {.url = world_url(server, "/plain"),
                                .plain = CW_HTTP_PLAIN_LOOPBACK};
    world_fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_OK);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "cw-test/1");
    assert_string_equal(answer.etag, "\"e\"");
    assert_string_equal(answer.cache_control, "max-age=60");
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

static void methods_and_bodies_are_sent_as_given(void **state)
{
    (void)state;
    static const char *const json[] = {"Content-Type: application/json", NULL};
    static const struct {
        struct cw_http_fetch fetch;
        const char *body;
    } cases[] = {
        {{.body = CW_STR_INIT("{}"), .headers = json}, "POST application/json none [{}]"},
        {{.method = "PUT"}, "PUT none none []"},
        {{.method = "DELETE"}, "DELETE none none []"},
        {{.method = "POST", .user = "u", .password = "p"}, "POST none Basic dTpw []"},
    };
    struct cw_http_server *server = world_start_server();
    struct cw_http_client *client = world_client(10);
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct answer answer;
        struct cw_http_fetch one = cases[i].fetch;
        one.url = world_url(server, "/echo");
        one.plain = CW_HTTP_PLAIN_LOOPBACK;
        world_fetch(client, &one, &answer);
        assert_int_equal(answer.err, CW_OK);
        assert_string_equal(answer.body, cases[i].body);
    }
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

static void a_redirect_is_an_answer_and_not_followed(void **state)
{
    (void)state;
    struct cw_http_server *server = world_start_server();
    struct cw_http_client *client = world_client(10);
    struct answer answer;
    struct cw_http_fetch get = {.url = world_url(server, "/redirect"),
                                .plain = CW_HTTP_PLAIN_LOOPBACK};
    world_fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_OK);
    assert_int_equal(answer.status, 302);
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

static void an_answer_past_its_bound_is_cut_off(void **state)
{
    (void)state;
    struct cw_http_server *server = world_start_server();
    struct cw_http_client *client = world_client(10);
    struct answer answer;
    struct cw_http_fetch get = {
        .url = world_url(server, "/large"), .plain = CW_HTTP_PLAIN_LOOPBACK, .max_body = 4999};
    world_fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_REQUEST_TOO_LARGE);
    assert_string_equal(answer.body, "");
    get.max_body = 5000;
    world_fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_OK);
    assert_int_equal(strlen(answer.body), 5000);
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

static void an_answer_that_does_not_come_times_out(void **state)
{
    (void)state;
    struct cw_http_server *server = world_start_server();
    struct cw_http_client *client = world_client(10);
    struct answer answer;
    struct cw_http_fetch get = {
        .url = world_url(server, "/slow"), .plain = CW_HTTP_PLAIN_LOOPBACK, .total_ms = 100};
    world_fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_TIMEOUT);
    world_release = true;
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

static void nobody_there_is_unavailable(void **state)
{
    (void)state;
    struct cw_http_server *server = world_start_server();
    const char *url = world_url(server, "/plain");
    cw_http_server_stop(server, 0);
    struct cw_http_client *client = world_client(10);
    struct answer answer;
    struct cw_http_fetch get = {.url = url, .plain = CW_HTTP_PLAIN_LOOPBACK};
    world_fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_UNAVAILABLE);
    assert_int_equal(answer.status, 0);
    cw_http_client_free(client);
}

static void urls_that_are_not_allowed_are_refused_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        enum cw_http_plain plain;
    } cases[] = {
        {"http://127.0.0.1/", CW_HTTP_PLAIN_NEVER},
        {"file:///etc/passwd", CW_HTTP_PLAIN_PRIVATE},
        {"ftp://127.0.0.1/", CW_HTTP_PLAIN_PRIVATE},
        {"https://u:p@127.0.0.1/", CW_HTTP_PLAIN_NEVER},
        {"127.0.0.1/x", CW_HTTP_PLAIN_PRIVATE},
        {"", CW_HTTP_PLAIN_PRIVATE},
    };
    struct cw_http_client *client = world_client(10);
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct cw_http_fetch get = {.url = cases[i].url, .plain = cases[i].plain};
        if (cw_http_client_start(client, &get, world_on_answer, NULL, NULL) != CW_FORBIDDEN) {
            fail_msg("%s", cases[i].url);
        }
    }
    static const char *const split[] = {"X: a\r\nY: b", NULL};
    struct cw_http_fetch get = {.url = "https://127.0.0.1/", .headers = split};
    assert_int_equal(cw_http_client_start(client, &get, world_on_answer, NULL, NULL), CW_FORBIDDEN);
    cw_http_client_free(client);
}

static void plain_http_to_an_address_beyond_loopback_is_refused(void **state)
{
    (void)state;
    struct cw_http_client *client = world_client(10);
    struct answer answer;
    /* TEST-NET-1 (RFC 5737): refused before a packet leaves */
    struct cw_http_fetch get = {.url = "http://192.0.2.1/", .plain = CW_HTTP_PLAIN_LOOPBACK};
    world_fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_FORBIDDEN);
    cw_http_client_free(client);
}

static bool allowed(enum cw_http_plain plain, const char *text)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        return cw_http_plain_allowed(plain, (const struct sockaddr *)&in);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return cw_http_plain_allowed(plain, (const struct sockaddr *)&in6);
}

static void plain_http_to_a_private_address_is_no_http_to_anywhere(void **state)
{
    (void)state;
    static const char *const beyond[] = {"192.0.2.1",   "169.254.169.254", "172.32.0.1",
                                         "100.128.0.1", "2001:db8::1",     "fe80::1"};
    static const char *const within[] = {"10.255.255.1", "172.16.0.1", "192.168.255.1",
                                         "100.64.0.1", "fd00::1"};
    static const char *const loopback[] = {"127.0.0.1", "127.255.0.1", "::1"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(beyond); i++) {
        assert_false(allowed(CW_HTTP_PLAIN_PRIVATE, beyond[i]));
        assert_false(allowed(CW_HTTP_PLAIN_LOOPBACK, beyond[i]));
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(within); i++) {
        assert_true(allowed(CW_HTTP_PLAIN_PRIVATE, within[i]));
        assert_false(allowed(CW_HTTP_PLAIN_LOOPBACK, within[i]));
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(loopback); i++) {
        assert_true(allowed(CW_HTTP_PLAIN_PRIVATE, loopback[i]));
        assert_true(allowed(CW_HTTP_PLAIN_LOOPBACK, loopback[i]));
        assert_false(allowed(CW_HTTP_PLAIN_NEVER, loopback[i]));
    }
    struct cw_http_client *client = world_client(10);
    struct answer answer;
    struct cw_http_fetch get = {.url = "http://192.0.2.1/", .plain = CW_HTTP_PLAIN_PRIVATE};
    world_fetch(client, &get, &answer); /* refused before a packet leaves */
    assert_int_equal(answer.err, CW_FORBIDDEN);
    struct cw_http_server *server = world_start_server();
    get.url = world_url(server, "/plain");
    world_fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_OK);
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

int main(void)
{
    /* a proxy of the environment must not count: nobody listens there */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_with_its_headers),
        cmocka_unit_test(methods_and_bodies_are_sent_as_given),
        cmocka_unit_test(a_redirect_is_an_answer_and_not_followed),
        cmocka_unit_test(an_answer_past_its_bound_is_cut_off),
        cmocka_unit_test(an_answer_that_does_not_come_times_out),
        cmocka_unit_test(nobody_there_is_unavailable),
        cmocka_unit_test(urls_that_are_not_allowed_are_refused_at_once),
        cmocka_unit_test(plain_http_to_an_address_beyond_loopback_is_refused),
        cmocka_unit_test(plain_http_to_a_private_address_is_no_http_to_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
