/* What the door demands before any token is looked at. The same tables as the gateway's tests
 * (tests/e2e/gateway: paths, tokens, headers). */
#include "sidecar/ext_authz/edge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/jose/compact.h"

static enum cw_err path_of(const char *path)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(64 * 1024);

    return edge_path(cw_str(path), &arena);
}

static void a_path_that_reads_in_one_way_passes(void **state)
{
    static const char *const paths[] = {
        "/",          "/a/x",        "/a/x%20y", "/a/%C3%A4", "/a/\u00e4",
        "/a/.hidden", "/a/..hidden", "/a/x..",   "/a/...",    "/a/x?p=..%2f../;//#",
        "/a/100%25",  "/a/%3Fq",     "/a/%23x",  "/a/a+b",    "/a/a:b@c",
        "/a/%41",     "/a/?",        "/a/%2541", "/a/%255",   "/a/%25",
    };

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(paths); i++) {
        if (path_of(paths[i]) != CW_OK) {
            fail_msg("%s is refused", paths[i]);
        }
    }
}

static void a_path_that_reads_in_two_ways_is_refused(void **state)
{
    static const char *const paths[] = {
        "/open/..%2fa/x",
        "/open/%2e%2e/a/x",
        "/open/..;/a/x",
        "/open/../a/x",
        "/open/./x",
        "/open/x/..",
        "/open/x/.",
        "/open//x",
        "//a/x",
        "/open/..%5ca/x",
        "/open/..\\a/x",
        "/open/x;v=1",
        "/open/%3bx",
        "/open/%252e%252e",
        "/open/%252fa",
        "/open/%255ca",
        "/open/%253b",
        "/open/%252E",
        "/open/%255C",
        "/open/%2500",
        "/open/x#y",
        "/open/%c0%ae%c0%ae/a",
        "/open/%e0%80%af",
        "/open/\xff",
        "/open/%ff",
        "/open/%0d%0aX:y",
        "/open/%7f",
        "/open/%2E%2e",
        "/a/..?x",
        "/a/%2f",
        "/open/%00",
        "/a/%zz",
        "/a/%4",
        "/a/%",
        "/a/x y",
        "/a/\tx",
        "a/x",
        "*",
        "",
        "?x",
        "http://clinicwave.com/a",
        "/.",
        "/..",
        "/./",
        "/../",
    };

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(paths); i++) {
        if (path_of(paths[i]) != CW_PATH_AMBIGUOUS) {
            fail_msg("%s passes", paths[i]);
        }
    }
}

static void a_path_is_refused_when_there_is_no_memory_to_look_at_it(void **state)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(1);

    (void)state;
    assert_int_equal(edge_path(CW_STR("/a/%C3%A4"), &arena), CW_NO_MEMORY);
}

struct bearer_case {
    const char *value;
    enum cw_err want;
    const char *token;
};

static void one_bearer_token_is_read_and_nothing_else(void **state)
{
    static const struct bearer_case cases[] = {
        {"Bearer good", CW_OK, "good"},
        {"bearer good", CW_OK, "good"},
        {"BEARER good", CW_OK, "good"},
        {"bEaReR good", CW_OK, "good"},
        {"Bearer      good", CW_OK, "good"},
        {"Bearer a-b._~+/c==", CW_OK, "a-b._~+/c=="},
        {"Basic Z29vZA==", CW_TOKEN_MISSING, NULL},
        {"Digest good", CW_TOKEN_MISSING, NULL},
        {"good", CW_TOKEN_MISSING, NULL},
        {"Bearerx good", CW_TOKEN_MISSING, NULL},
        {"Bear", CW_TOKEN_MISSING, NULL},
        {"", CW_TOKEN_MISSING, NULL},
        {"Bearer", CW_AUTHORIZATION_MALFORMED, NULL},
        {"Bearer ", CW_AUTHORIZATION_MALFORMED, NULL},
        {"Bearer\tgood", CW_AUTHORIZATION_MALFORMED, NULL},
        {"Bearer, good", CW_AUTHORIZATION_MALFORMED, NULL},
        {"Bearer good good", CW_AUTHORIZATION_MALFORMED, NULL},
        {"Bearer good,good", CW_AUTHORIZATION_MALFORMED, NULL},
        {"Bearer good, Bearer good", CW_AUTHORIZATION_MALFORMED, NULL},
        {"Bearer go\"od", CW_AUTHORIZATION_MALFORMED, NULL},
        {"Bearer g\u00f6od", CW_AUTHORIZATION_MALFORMED, NULL},
        {"Bearer =good", CW_AUTHORIZATION_MALFORMED, NULL},
        {"Bearer go=od", CW_AUTHORIZATION_MALFORMED, NULL},
        {"Bearer =", CW_AUTHORIZATION_MALFORMED, NULL},
    };

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct cw_str token = {0};
        enum cw_err err = edge_bearer(cw_str(cases[i].value), &token);
        if (err != cases[i].want || (err == CW_OK && !cw_str_is(token, cases[i].token))) {
            fail_msg("%s: %s", cases[i].value, cw_err_code(err));
        }
    }
}

static void several_headers_that_were_joined_are_told_from_one(void **state)
{
    static const struct {
        const char *value;
        bool joined;
    } cases[] = {
        {"", false},
        {"Bearer good", false},
        {"Bearer good,good", false},
        {"Bearer, good", false},
        {"Bearer good,", false},
        {"Bearer good, ,", false},
        {"Digest a=\"b\", c=d", false},
        {"Digest a=\"b\", c = d, e= f", false},
        {"Digest a=\"b, Bearer c\", d=e", false},
        {"Bearer good,Bearer good", true},
        {"Bearer good, bearer good", true},
        {"Bearer good,\tBearer\tgood", true},
        {"Bearer good,Basic eDp5", true},
        {"Basic eDp5,Bearer good", true},
        {"Basic eDp5==,Bearer good", true},
        {"Digest a=\"b\", c=d,x,Bearer good", true},
        {",Bearer good", true},
        {"Basic \",Bearer good", true},
        {"Bearer go\"od", false},
    };

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        if (edge_is_joined(cw_str(cases[i].value)) != cases[i].joined) {
            fail_msg("%s", cases[i].value);
        }
    }
}

static void a_token_has_a_bound(void **state)
{
    static char value[7 + CW_JWS_TOKEN_MAX + 1];
    struct cw_str token;

    (void)state;
    memset(value, 'g', sizeof(value));
    memcpy(value, "Bearer ", 7);
    assert_int_equal(edge_bearer((struct cw_str){value, sizeof(value) - 1}, &token), CW_OK);
    assert_int_equal(token.n, CW_JWS_TOKEN_MAX);
    assert_int_equal(edge_bearer((struct cw_str){value, sizeof(value)}, &token),
                     CW_TOKEN_TOO_LARGE);
}

static void what_speaks_for_the_door_is_forged_in_any_spelling(void **state)
{
    static const char *const forged[] = {
        "x-auth-subject",      "X-Auth-Subject",   "x_auth_subject",
        "x.auth.subject",      "X_AUTH-subject",   "x-auth-",
        "x-auth-anything",     "x-auth-subject-x", "x-forwarded-host",
        "x-forwarded-port",    "x_forwarded_for",  "x.forwarded.proto",
        "X-Forwarded-For",     "forwarded",        "x-real-ip",
        "x_request_id",        "TraceParent",      "Tracestate",
        "x-original-url",      "x-rewrite-url",    "proxy-authorization",
        "proxy_authorization", "http2-settings",   "x_forwarded_client_cert",
    };
    static const char *const others[] = {
        "x-auth",
        "x-authx",
        "auth-subject",
        "x-other",
        "x-forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-request-id",
        "traceparent",
        "tracestate",
        "x-forwarded-client-cert",
        "cookie",
        ":authority",
        "authorization2",
        "",
    };

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(forged); i++) {
        if (edge_name(cw_str(forged[i])) != EDGE_FORGED) {
            fail_msg("%s", forged[i]);
        }
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(others); i++) {
        if (edge_name(cw_str(others[i])) != EDGE_OTHER) {
            fail_msg("%s", others[i]);
        }
    }
    assert_int_equal(edge_name(CW_STR("authorization")), EDGE_AUTHORIZATION);
    assert_int_equal(edge_name(CW_STR("Authorization")), EDGE_AUTHORIZATION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_that_reads_in_one_way_passes),
        cmocka_unit_test(a_path_that_reads_in_two_ways_is_refused),
        cmocka_unit_test(a_path_is_refused_when_there_is_no_memory_to_look_at_it),
        cmocka_unit_test(one_bearer_token_is_read_and_nothing_else),
        cmocka_unit_test(several_headers_that_were_joined_are_told_from_one),
        cmocka_unit_test(a_token_has_a_bound),
        cmocka_unit_test(what_speaks_for_the_door_is_forged_in_any_spelling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
