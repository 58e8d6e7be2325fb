/* The bytes that Envoy gets: what allows, what refuses, and that nothing is empty. */
#include "sidecar/ext_authz/response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define TRACE "0123456789abcdef0123456789abcdef"

#define check_response Envoy__Service__Auth__V3__CheckResponse

/* Packed and unpacked again, as it arrives. */
static check_response *arrived(const check_response *sent)
{
    assert_non_null(sent);
    size_t n = envoy__service__auth__v3__check_response__get_packed_size(sent);
    uint8_t *bytes = malloc(n + 1);
    assert_true(n > 0); /* an empty one is an allow */
    envoy__service__auth__v3__check_response__pack(sent, bytes);
    check_response *got = envoy__service__auth__v3__check_response__unpack(NULL, n, bytes);
    free(bytes);
    assert_non_null(got);
    assert_non_null(got->status);
    return got;
}

static const char *header_in(Envoy__Config__Core__V3__HeaderValueOption **headers, size_t n,
                             const char *name)
{
    for (size_t i = 0; i < n; i++) {
        /* Both fields say "overwrite", or an Envoy of some age appends. */
        assert_non_null(headers[i]->append);
        assert_false(headers[i]->append->value);
        assert_int_equal(headers[i]->append_action, 2);
        if (strcmp(headers[i]->header->key, name) == 0) {
            return headers[i]->header->value;
        }
    }
    return NULL;
}

static const char *denied_header(const check_response *got, const char *name)
{
    return header_in(got->denied_response->headers, got->denied_response->n_headers, name);
}

static bool removes(const check_response *got, const char *name)
{
    for (size_t i = 0; i < got->ok_response->n_headers_to_remove; i++) {
        if (strcmp(got->ok_response->headers_to_remove[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void an_identity_is_set_and_what_it_lacks_is_taken_away(void **state)
{
    static char underscores[] = "x_auth_subject";
    static char roles[] = "x-auth-roles";
    static char subject[] = "x-auth-subject";
    static char *forged[] = {underscores, roles, subject};
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(64 * 1024);
    const struct request request = {.forged = forged, .n_forged = 3};
    const struct who who = {.values = {[WHO_TENANT] = CW_STR("clinicwave"),
                                       [WHO_SUBJECT] = CW_STR("anna"),
                                       [WHO_SCOPE] = CW_STR("a b")}};

    (void)state;
    check_response *got = arrived(response_allow(&arena, &request, &who, false));
    assert_int_equal(got->status->code, 0);
    assert_int_equal(got->http_response_case,
                     ENVOY__SERVICE__AUTH__V3__CHECK_RESPONSE__HTTP_RESPONSE_OK_RESPONSE);
    Envoy__Service__Auth__V3__OkHttpResponse *ok = got->ok_response;
    assert_int_equal(ok->n_headers, 3);
    assert_string_equal(header_in(ok->headers, ok->n_headers, "x-auth-tenant"), "clinicwave");
    assert_string_equal(header_in(ok->headers, ok->n_headers, "x-auth-subject"), "anna");
    assert_string_equal(header_in(ok->headers, ok->n_headers, "x-auth-scope"), "a b");
    assert_false(removes(got, "x-auth-subject")); /* taken away after it was set */
    assert_false(removes(got, "x-auth-tenant"));
    assert_true(removes(got, "x_auth_subject"));
    assert_true(removes(got, "x-auth-roles"));
    assert_true(removes(got, "x-auth-client")); /* not seen, and not there */
    assert_true(removes(got, "authorization"));
    envoy__service__auth__v3__check_response__free_unpacked(got, NULL);
}

static void the_anonymous_have_no_identity(void **state)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(64 * 1024);
    const struct request request = {0};

    (void)state;
    check_response *got = arrived(response_allow(&arena, &request, NULL, true));
    assert_int_equal(got->status->code, 0);
    assert_int_equal(got->ok_response->n_headers, 0);
    assert_int_equal(got->ok_response->n_headers_to_remove, WHO_N);
    for (size_t i = 0; i < WHO_N; i++) {
        assert_true(removes(got, who_names[i]));
    }
    assert_false(removes(got, "authorization"));
    envoy__service__auth__v3__check_response__free_unpacked(got, NULL);
}

static void assert_problem(const char *body, const char *reason, int status)
{
    json_t *problem = json_loads(body, JSON_REJECT_DUPLICATES, NULL);

    assert_non_null(problem);
    assert_string_equal(json_string_value(json_object_get(problem, "reason")), reason);
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), status);
    assert_string_equal(json_string_value(json_object_get(problem, "trace_id")), TRACE);
    json_decref(problem);
}

static void a_refusal_is_worded_as_the_gateways(void **state)
{
    static const struct {
        struct refusal refusal;
        int code;
        int http;
        const char *reason;
        const char *challenge; /* NULL: none */
        const char *retry;
    } cases[] = {
        {{.err = CW_TOKEN_MISSING}, 16, 401, "token_missing", "Bearer realm=\"r\"", NULL},
        {{.err = CW_TOKEN_EXPIRED},
         16,
         401,
         "token_expired",
         "Bearer realm=\"r\", error=\"invalid_token\", error_description=\"Access token expired\"",
         NULL},
        {{.err = CW_SCOPE_INSUFFICIENT, .scope = CW_STR_INIT("a b")},
         7,
         403,
         "scope_insufficient",
         "Bearer realm=\"r\", error=\"insufficient_scope\", error_description=\"Scope "
         "insufficient\", scope=\"a b\"",
         NULL},
        {{.err = CW_SCOPE_INSUFFICIENT, .scope = CW_STR_INIT("a\"b")},
         7,
         403,
         "scope_insufficient",
         "Bearer realm=\"r\", error=\"insufficient_scope\", error_description=\"Scope "
         "insufficient\"",
         NULL},
        {{.err = CW_TOKEN_MULTIPLE},
         3,
         400,
         "token_multiple",
         "Bearer realm=\"r\", error=\"invalid_request\", error_description=\"More than one access "
         "token\"",
         NULL},
        {{.err = CW_PATH_AMBIGUOUS}, 3, 400, "path_ambiguous", NULL, NULL},
        {{.err = CW_TENANT_UNKNOWN}, 5, 421, "tenant_unknown", NULL, NULL},
        {{.err = CW_FORBIDDEN}, 7, 403, "forbidden", NULL, NULL},
        {{.err = CW_CONFIG_INVALID}, 9, 500, "config_invalid", NULL, NULL},
        {{.err = CW_KEYS_UNAVAILABLE, .retry_after_s = 7}, 14, 503, "keys_unavailable", NULL, "7"},
        {{.err = CW_VALIDATOR_OVERLOADED}, 8, 503, "validator_overloaded", NULL, "1"},
    };

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(64 * 1024);
        struct refusal refusal = cases[i].refusal;
        refusal.realm = CW_STR("r");
        refusal.trace_id = TRACE;
        check_response *got = arrived(response_deny(&arena, &refusal));
        assert_int_equal(got->status->code, cases[i].code);
        assert_int_equal(got->http_response_case,
                         ENVOY__SERVICE__AUTH__V3__CHECK_RESPONSE__HTTP_RESPONSE_DENIED_RESPONSE);
        assert_int_equal(got->denied_response->status->code, cases[i].http);
        assert_problem(got->denied_response->body, cases[i].reason, cases[i].http);
        assert_string_equal(denied_header(got, "content-type"), "application/problem+json");
        assert_string_equal(denied_header(got, "cache-control"), "no-store");
        const char *challenge = denied_header(got, "www-authenticate");
        const char *retry = denied_header(got, "retry-after");
        assert_int_equal(!challenge, !cases[i].challenge);
        assert_int_equal(!retry, !cases[i].retry);
        assert_true(!challenge || strcmp(challenge, cases[i].challenge) == 0);
        assert_true(!retry || strcmp(retry, cases[i].retry) == 0);
        envoy__service__auth__v3__check_response__free_unpacked(got, NULL);
    }
}

static void no_error_of_the_list_is_an_allow(void **state)
{
    struct cw_arena none CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(64 * 1024);
    const struct refusal nothing = {.err = CW_OK, .trace_id = TRACE};

    (void)state;
    assert_null(response_deny(&none, &nothing));
    for (size_t err = CW_OK + 1; err < cw_err_count(); err++) {
        struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(64 * 1024);
        for (int grpc = 0; grpc < 2; grpc++) {
            const struct refusal refusal = {
                .err = (enum cw_err)err, .trace_id = TRACE, .grpc = grpc};
            check_response *got = arrived(response_deny(&arena, &refusal));
            assert_int_not_equal(got->status->code, 0);
            assert_true(got->denied_response->status->code >= 400);
            assert_true(!grpc || strcmp(denied_header(got, "grpc-status"), "0") != 0);
            envoy__service__auth__v3__check_response__free_unpacked(got, NULL);
        }
    }
}

static void a_grpc_request_gets_what_trailers_are_made_of(void **state)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(64 * 1024);
    const struct refusal refusal = {.err = CW_TOKEN_EXPIRED, .trace_id = TRACE, .grpc = true};

    (void)state;
    check_response *got = arrived(response_deny(&arena, &refusal));
    assert_string_equal(denied_header(got, "grpc-status"), "16");
    assert_string_equal(denied_header(got, "cw-reason"), "token_expired");
    assert_null(denied_header(got, "content-type"));
    assert_string_equal(got->denied_response->body, "Access token expired");
    envoy__service__auth__v3__check_response__free_unpacked(got, NULL);
}

static void what_is_wrong_with_a_route_is_the_operators_to_know(void **state)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(64 * 1024);
    const struct refusal refusal = {
        .err = CW_CONFIG_INVALID, .trace_id = TRACE, .message = "cw_auth: \"on\""};

    (void)state;
    check_response *got = arrived(response_deny(&arena, &refusal));
    assert_string_equal(got->status->message, "cw_auth: \"on\"");
    assert_null(strstr(got->denied_response->body, "cw_auth"));
    envoy__service__auth__v3__check_response__free_unpacked(got, NULL);
}

static void without_memory_there_is_no_answer_rather_than_half_of_one(void **state)
{
    static char name[] = "x_auth_subject";
    static char *forged[] = {name};
    const struct request request = {.forged = forged, .n_forged = 1};
    const struct who who = {.values = {[WHO_SUBJECT] = CW_STR("anna")}};
    const struct refusal refusal = {.err = CW_TOKEN_EXPIRED, .trace_id = TRACE};
    size_t answered = 0;

    (void)state;
    for (size_t max = 0; max < 4096; max += 16) {
        struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(max);
        const check_response *response = response_allow(&arena, &request, &who, false);
        if (response) {
            answered++;
            assert_int_equal(response->ok_response->n_headers, 1);
            assert_int_equal(response->ok_response->n_headers_to_remove, WHO_N - 1 + 1 + 1);
        }
        struct cw_arena other CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(max);
        response = response_deny(&other, &refusal);
        assert_true(!response || response->status->code == 16);
    }
    assert_true(answered > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_identity_is_set_and_what_it_lacks_is_taken_away),
        cmocka_unit_test(the_anonymous_have_no_identity),
        cmocka_unit_test(a_refusal_is_worded_as_the_gateways),
        cmocka_unit_test(no_error_of_the_list_is_an_allow),
        cmocka_unit_test(a_grpc_request_gets_what_trailers_are_made_of),
        cmocka_unit_test(what_is_wrong_with_a_route_is_the_operators_to_know),
        cmocka_unit_test(without_memory_there_is_no_answer_rather_than_half_of_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
