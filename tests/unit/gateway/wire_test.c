/* The gateway's own protobuf code against protobuf-c: what it writes protobuf-c reads, what
 * protobuf-c writes it reads, and what neither would write it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clinicwave/token/v1/token.pb-c.h"
#include "edge-gateway/ngx_http_cw_digests.h"
#include "edge-gateway/ngx_http_cw_question.h"
#include "edge-gateway/ngx_http_cw_result.h"
#include "edge-gateway/ngx_http_cw_who.h"

static ngx_str_t str(const char *s)
{
    return (ngx_str_t){strlen(s), (u_char *)(uintptr_t)s};
}

static void assert_str(ngx_str_t s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.data, expected, s.len);
}

/* An array over strings of the test's own. */
#define LIST(...)                                                                                  \
    (&(ngx_array_t){.elts = (ngx_str_t[]){__VA_ARGS__},                                            \
                    .nelts = sizeof((ngx_str_t[]){__VA_ARGS__}) / sizeof(ngx_str_t)})

static void protobuf_c_reads_rules(void **state)
{
    (void)state;
    char big[300];
    memset(big, 'x', 299);
    big[299] = 0;
    ngx_http_cw_question_rule_t rule = {
        .audiences = LIST(str("https://api")),
        .scopes_all = LIST(str("a"), str("b")),
        .scopes_any = LIST(str(big)),
        .roles_any = LIST(str("doctor")),
        .roles_all = LIST(str("x"), str("y"), str("z")),
        .claims = LIST(str("email"), str("*")),
    };
    u_char bytes[1024];
    size_t n = ngx_http_cw_question_rule(NULL, 65535, &rule);
    assert_in_range(n, 1, sizeof(bytes));
    assert_int_equal(ngx_http_cw_question_rule(bytes, 65535, &rule), n);
    Clinicwave__Token__V1__ValidateStreamRequest *m =
        clinicwave__token__v1__validate_stream_request__unpack(NULL, n, bytes);
    assert_non_null(m);
    assert_int_equal(m->n_rules, 1);
    assert_int_equal(m->rules[0]->rule, 65535);
    Clinicwave__Token__V1__Requirement *r = m->rules[0]->requirement;
    assert_int_equal(r->n_audiences, 1);
    assert_string_equal(r->audiences[0], "https://api");
    assert_int_equal(r->n_scopes_all, 2);
    assert_string_equal(r->scopes_all[1], "b");
    assert_string_equal(r->scopes_any[0], big);
    assert_string_equal(r->roles_any[0], "doctor");
    assert_int_equal(r->n_roles_all, 3);
    assert_int_equal(m->rules[0]->n_claims, 2);
    assert_string_equal(m->rules[0]->claims[1], "*");
    clinicwave__token__v1__validate_stream_request__free_unpacked(m, NULL);
}

static void protobuf_c_reads_a_rule_that_demands_nothing(void **state)
{
    (void)state;
    ngx_http_cw_question_rule_t rule = {0};
    u_char bytes[16];
    size_t n = ngx_http_cw_question_rule(bytes, 1, &rule);
    Clinicwave__Token__V1__ValidateStreamRequest *m =
        clinicwave__token__v1__validate_stream_request__unpack(NULL, n, bytes);
    assert_non_null(m);
    assert_int_equal(m->rules[0]->rule, 1);
    assert_non_null(m->rules[0]->requirement);
    clinicwave__token__v1__validate_stream_request__free_unpacked(m, NULL);
}

static void protobuf_c_reads_entries_between_rules(void **state)
{
    (void)state;
    static u_char token[16384], bytes[20000], digest[NGX_HTTP_CW_DIGEST_LEN] = {0xff, 0, 0x80};
    memset(token, 't', sizeof(token));
    ngx_http_cw_question_entry_t a = {.id = UINT64_MAX,
                                      .subject = {sizeof(digest), digest},
                                      .domain = str("clinicwave.com"),
                                      .rule = 300,
                                      .timeout = 2000,
                                      .digest = 1};
    ngx_http_cw_question_entry_t b = {
        .id = 0, .subject = {sizeof(token), token}, .domain = str("abott.com")};
    u_char *p = ngx_http_cw_question_entry(bytes, &a);
    assert_int_equal(p - bytes, ngx_http_cw_question_entry_size(&a));
    p += ngx_http_cw_question_rule(p, 2, &(ngx_http_cw_question_rule_t){0});
    u_char *q = ngx_http_cw_question_entry(p, &b);
    assert_int_equal(q - p, ngx_http_cw_question_entry_size(&b));
    Clinicwave__Token__V1__ValidateStreamRequest *m =
        clinicwave__token__v1__validate_stream_request__unpack(NULL, (size_t)(q - bytes), bytes);
    assert_non_null(m);
    assert_int_equal(m->n_rules, 1);
    assert_int_equal(m->n_entries, 2);
    assert_true(m->entries[0]->id == UINT64_MAX);
    assert_int_equal(m->entries[0]->subject_case,
                     CLINICWAVE__TOKEN__V1__VALIDATE_ENTRY__SUBJECT_DIGEST);
    assert_int_equal(m->entries[0]->digest.len, 32);
    assert_memory_equal(m->entries[0]->digest.data, digest, 32);
    assert_string_equal(m->entries[0]->domain, "clinicwave.com");
    assert_int_equal(m->entries[0]->rule, 300);
    assert_int_equal(m->entries[0]->timeout_ms, 2000);
    assert_int_equal(m->entries[1]->subject_case,
                     CLINICWAVE__TOKEN__V1__VALIDATE_ENTRY__SUBJECT_TOKEN);
    assert_int_equal(m->entries[1]->token.len, sizeof(token));
    assert_int_equal(m->entries[1]->rule, 0);
    clinicwave__token__v1__validate_stream_request__free_unpacked(m, NULL);
}

static void what_protobuf_c_writes_is_read(void **state)
{
    (void)state;
    char *scopes[] = {"a", "b"}, *roles[] = {"doctor", "admin"};
    char json[] = "\"anna@x\"";
    Clinicwave__Token__V1__Claim claim = CLINICWAVE__TOKEN__V1__CLAIM__INIT;
    claim.name = "email";
    claim.json = (ProtobufCBinaryData){strlen(json), (uint8_t *)json};
    Clinicwave__Token__V1__Claim *claims[] = {&claim};
    Clinicwave__Token__V1__Identity id = CLINICWAVE__TOKEN__V1__IDENTITY__INIT;
    id.tenant = "clinicwave";
    id.subject = "anna";
    id.issuer = "https://issuer";
    id.client_id = "portal";
    id.session_id = "s1";
    id.n_scopes = 2;
    id.scopes = scopes;
    id.n_roles = 2;
    id.roles = roles;
    id.n_permissions = 2;
    id.permissions = scopes;
    id.expires_at = 4102444800;
    id.issued_at = 1;
    id.token_id = "j1";
    id.n_claims = 1;
    id.claims = claims;
    Clinicwave__Token__V1__Verdict verdict = CLINICWAVE__TOKEN__V1__VERDICT__INIT;
    verdict.decision = CLINICWAVE__TOKEN__V1__DECISION__DECISION_ALLOW;
    verdict.identity = &id;
    verdict.cached = 1;
    Clinicwave__Token__V1__Undecided undecided = CLINICWAVE__TOKEN__V1__UNDECIDED__INIT;
    undecided.cause = CLINICWAVE__TOKEN__V1__UNDECIDED_CAUSE__UNDECIDED_CAUSE_UNAVAILABLE;
    undecided.reason = "keys_unavailable";
    undecided.retry_after_seconds = 30;
    Clinicwave__Token__V1__ValidateResult a = CLINICWAVE__TOKEN__V1__VALIDATE_RESULT__INIT;
    a.id = UINT64_MAX - 1;
    a.outcome_case = CLINICWAVE__TOKEN__V1__VALIDATE_RESULT__OUTCOME_VERDICT;
    a.verdict = &verdict;
    Clinicwave__Token__V1__ValidateResult b = CLINICWAVE__TOKEN__V1__VALIDATE_RESULT__INIT;
    b.outcome_case = CLINICWAVE__TOKEN__V1__VALIDATE_RESULT__OUTCOME_UNDECIDED;
    b.undecided = &undecided;
    Clinicwave__Token__V1__ValidateResult *results[] = {&a, &b};
    Clinicwave__Token__V1__ValidateStreamResponse response =
        CLINICWAVE__TOKEN__V1__VALIDATE_STREAM_RESPONSE__INIT;
    response.n_results = 2;
    response.results = results;
    uint8_t bytes[1024];
    ngx_str_t message = {clinicwave__token__v1__validate_stream_response__pack(&response, bytes),
                         bytes};

    ngx_http_cw_result_t r;
    assert_int_equal(ngx_http_cw_result_next(&message, &r), NGX_OK);
    assert_true(r.id == UINT64_MAX - 1);
    assert_true(r.verdict && !r.undecided && r.has_identity && r.cached);
    assert_int_equal(r.decision, NGX_HTTP_CW_DECISION_ALLOW);
    assert_int_equal(r.reason.len, 0);

    u_char joined[1024];
    ngx_http_cw_who_t who;
    assert_int_equal(ngx_http_cw_who_read(&r.identity, joined, &who), NGX_OK);
    assert_str(who.tenant, "clinicwave");
    assert_str(who.subject, "anna");
    assert_str(who.issuer, "https://issuer");
    assert_str(who.client, "portal");
    assert_str(who.session, "s1");
    assert_str(who.token_id, "j1");
    assert_str(who.scopes, "a b");
    assert_str(who.roles, "doctor,admin");
    assert_true(who.expires == 4102444800);
    assert_false(who.ambiguous);

    ngx_str_t value, name = str("email"), other = str("emai");
    assert_int_equal(ngx_http_cw_who_claim(&r.identity, &name, &value), NGX_OK);
    assert_str(value, "\"anna@x\"");
    assert_int_equal(ngx_http_cw_who_claim(&r.identity, &other, &value), NGX_DECLINED);

    assert_int_equal(ngx_http_cw_result_next(&message, &r), NGX_OK);
    assert_int_equal(r.id, 0);
    assert_true(r.undecided && !r.verdict);
    assert_int_equal(r.cause, NGX_HTTP_CW_CAUSE_UNAVAILABLE);
    assert_str(r.reason, "keys_unavailable");
    assert_int_equal(r.retry_after, 30);
    assert_int_equal(ngx_http_cw_result_next(&message, &r), NGX_DONE);
}

static ngx_int_t read_one(const char *bytes, size_t n, ngx_http_cw_result_t *r)
{
    ngx_str_t message = {n, (u_char *)(uintptr_t)bytes};
    return ngx_http_cw_result_next(&message, r);
}

static void fields_of_a_newer_sidecar_are_passed_over(void **state)
{
    (void)state;
    ngx_http_cw_result_t r;
    /* field 9 of the message; then a result with fields 15 (bytes), 14 (fixed64), 13 (fixed32) */
    static const char bytes[] = "\x48\x01"
                                "\x0a\x17\x7a\x01x\x71"
                                "12345678\x6d"
                                "1234\x08\x05\x12\x02\x08\x63";
    assert_int_equal(read_one(bytes, sizeof(bytes) - 1, &r), NGX_OK);
    assert_int_equal(r.id, 5);
    assert_int_equal(r.decision, 0x63);
}

static void what_is_no_result_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *bytes;
        size_t n;
    } cases[] = {
#define CASE(name, bytes) {name, bytes, sizeof(bytes) - 1}
        CASE("a length past the end", "\x0a\x05\x12\x02\x08"),
        CASE("a length of 2^64-1", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        CASE("a varint of eleven bytes",
             "\x0a\x0d\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        CASE("an unfinished varint", "\x0a\x02\x08\xff"),
        CASE("a result that is no message", "\x08\x01"),
        CASE("an id that is bytes", "\x0a\x05\x0a\x00\x12\x01\x00"),
        CASE("no outcome", "\x0a\x02\x08\x05"),
        CASE("both outcomes", "\x0a\x06\x12\x00\x1a\x00\x08\x01"),
        CASE("an outcome twice", "\x0a\x04\x12\x00\x12\x00"),
        CASE("two identities", "\x0a\x06\x12\x04\x1a\x00\x1a\x00"),
        CASE("an identity that is a number", "\x0a\x04\x12\x02\x18\x01"),
        CASE("a decision that is bytes", "\x0a\x04\x12\x02\x0a\x00"),
        CASE("field number zero", "\x02\x00"),
        CASE("a group", "\x0b\x0c"),
        CASE("an unknown wire type", "\x0f"),
        CASE("a cut fixed64", "\x0a\x04\x09\x01\x02\x03"),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ngx_http_cw_result_t r;
        if (read_one(cases[i].bytes, cases[i].n, &r) != NGX_ERROR) {
            fail_msg("%s was read", cases[i].name);
        }
    }
}

static void an_element_that_holds_its_separator_is_ambiguous(void **state)
{
    (void)state;
    static const char *const ambiguous[] = {"\x32\x03"
                                            "a b",
                                            "\x3a\x03"
                                            "a,b",
                                            "\x32\x01"
                                            "a\x3a",
                                            "\x32"};
    static const size_t sizes[] = {5, 5, 5, 2};
    u_char joined[16];
    for (size_t i = 0; i < 4; i++) {
        ngx_str_t identity = {sizes[i], (u_char *)(uintptr_t)ambiguous[i]};
        ngx_http_cw_who_t who;
        assert_int_equal(ngx_http_cw_who_read(&identity, joined, &who), NGX_OK);
        assert_true(who.ambiguous);
    }
}

static void a_field_is_the_same_however_its_numbers_are_written(void **state)
{
    (void)state;
    u_char bytes[512], joined[512];
    for (size_t n = 0; n < 300; n++) {
        for (size_t form = 0; form < 4; form++) {
            u_char *p = bytes;
            *p++ = form & 1 ? 0x92 : 0x12; /* subject; in two bytes, in one */
            if (form & 1) {
                *p++ = 0;
            }
            if (form & 2 || n > 0x7f) {
                *p++ = (u_char)(n | 0x80);
                *p++ = (u_char)(n >> 7);
            } else {
                *p++ = (u_char)n;
            }
            memset(p, 'x', n);
            p += n;
            ngx_str_t identity = {(size_t)(p - bytes), bytes};
            ngx_http_cw_who_t who;
            assert_int_equal(ngx_http_cw_who_read(&identity, joined, &who), NGX_OK);
            assert_int_equal(who.subject.len, n);
            assert_ptr_equal(who.subject.data, p - n);
            if (identity.len) {
                identity.len--; /* cut */
                assert_int_equal(ngx_http_cw_who_read(&identity, joined, &who), NGX_ERROR);
            }
        }
    }
}

static void lists_are_joined_wherever_their_elements_stand(void **state)
{
    (void)state;
    static const char bytes[] = "\x3a\x01r\x32\x01"
                                "a\x0a\x01t\x32\x02"
                                "bc\x3a\x01q\x12\x01s";
    u_char joined[32];
    ngx_str_t identity = {sizeof(bytes) - 1, (u_char *)(uintptr_t)bytes};
    ngx_http_cw_who_t who;
    assert_int_equal(ngx_http_cw_who_read(&identity, joined, &who), NGX_OK);
    assert_str(who.scopes, "a bc");
    assert_str(who.roles, "r,q");
    assert_str(who.tenant, "t");
    assert_str(who.subject, "s");
    assert_false(who.ambiguous);
}

static void a_list_s_element_that_is_a_number_is_refused(void **state)
{
    (void)state;
    static const char *const bytes[] = {"\x30\x01", "\x32\x01\x61\x30\x01", "\x38\x01"};
    static const size_t sizes[] = {2, 5, 2};
    u_char joined[16];
    for (size_t i = 0; i < 3; i++) {
        ngx_str_t identity = {sizes[i], (u_char *)(uintptr_t)bytes[i]};
        ngx_http_cw_who_t who;
        assert_int_equal(ngx_http_cw_who_read(&identity, joined, &who), NGX_ERROR);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protobuf_c_reads_rules),
        cmocka_unit_test(protobuf_c_reads_a_rule_that_demands_nothing),
        cmocka_unit_test(protobuf_c_reads_entries_between_rules),
        cmocka_unit_test(what_protobuf_c_writes_is_read),
        cmocka_unit_test(fields_of_a_newer_sidecar_are_passed_over),
        cmocka_unit_test(what_is_no_result_is_refused),
        cmocka_unit_test(an_element_that_holds_its_separator_is_ambiguous),
        cmocka_unit_test(a_field_is_the_same_however_its_numbers_are_written),
        cmocka_unit_test(lists_are_joined_wherever_their_elements_stand),
        cmocka_unit_test(a_list_s_element_that_is_a_number_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
