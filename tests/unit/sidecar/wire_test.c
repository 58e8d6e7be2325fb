/* The hot path's codec against protobuf-c: the same bytes out, the same fields in. */
#include "sidecar/handle/wire.h"

#include <stdlib.h>
#include <string.h>

#include "proto/clinicwave/token/v1/token.pb-c.h"
#include "tests/unit/sidecar/world.h"

#define S(text) CW_STR_INIT(text)

static const uint64_t ids[] = {0, 1, 127, 128, 300, UINT32_MAX, UINT64_MAX};

/* Packed fields of an identity, and the same identity by protobuf-c. */
static void fill_identity(struct cw_buf *buf, Clinicwave__Token__V1__Identity *identity)
{
    static char texts[][8] = {"read", "", "write", "doctor"};
    static char *scopes[] = {texts[0], texts[1], texts[2]};
    static char *roles[] = {texts[3]};
    static char subject[] = "anna";
    static char client[] = "portal";

    clinicwave__token__v1__identity__init(identity);
    identity->subject = subject;
    identity->client_id = client;
    identity->scopes = scopes;
    identity->n_scopes = CW_ARRAY_SIZE(scopes);
    identity->roles = roles;
    identity->n_roles = CW_ARRAY_SIZE(roles);
    identity->expires_at = 1700000000;
    wire_add_bytes(buf, 2, CW_STR("anna"), false);
    wire_add_bytes(buf, 4, CW_STR("portal"), false);
    wire_add_bytes(buf, 5, CW_STR(""), false);
    for (size_t i = 0; i < CW_ARRAY_SIZE(scopes); i++) {
        wire_add_bytes(buf, 6, cw_str(scopes[i]), true);
    }
    wire_add_bytes(buf, 7, CW_STR("doctor"), true);
    wire_add_varint(buf, 9, 1700000000);
    wire_add_varint(buf, 10, 0);
}

static void assert_packed(const struct cw_buf *buf, const ProtobufCMessage *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = malloc(n + 1);

    assert_false(buf->failed);
    protobuf_c_message_pack(message, packed);
    assert_int_equal(buf->n, n);
    assert_memory_equal(buf->p, packed, n);
    free(packed);
}

struct verdict_case {
    int decision;
    const char *reason;
    bool identity;
    bool cached;
    const char *scope;
};

static const struct verdict_case verdict_cases[] = {
    {WIRE_ALLOW, "", true, true, ""},
    {WIRE_ALLOW, "", true, false, ""},
    {WIRE_UNAUTHENTICATED, "token_expired", false, false, ""},
    {WIRE_FORBIDDEN, "scope_insufficient", true, true, "files:read files:write"},
};

static void fill_verdict(const struct verdict_case *c, struct cw_str identity,
                         struct wire_verdict *ret)
{
    *ret = (struct wire_verdict){.decision = (enum wire_decision)c->decision,
                                 .reason = cw_str(c->reason),
                                 .has_identity = c->identity,
                                 .cached = c->cached,
                                 .required_scope = cw_str(c->scope)};
    if (c->identity) {
        /* In pieces, as the cache has them. */
        ret->identity[0] = cw_str_slice(identity, 0, 3);
        ret->identity[3] = cw_str_slice(identity, 3, identity.n);
    }
}

static void verdicts_have_the_bytes_of_protobuf_c(void **state)
{
    struct cw_buf packed = CW_BUF_INIT(4096);
    Clinicwave__Token__V1__Identity identity;
    struct wire_verdict verdict;

    (void)state;
    fill_identity(&packed, &identity);
    for (size_t i = 0; i < CW_ARRAY_SIZE(verdict_cases) * CW_ARRAY_SIZE(ids); i++) {
        const struct verdict_case *c = &verdict_cases[i % CW_ARRAY_SIZE(verdict_cases)];
        struct cw_buf out = CW_BUF_INIT(4096);
        Clinicwave__Token__V1__Verdict message;
        clinicwave__token__v1__verdict__init(&message);
        Clinicwave__Token__V1__ValidateResult result;
        clinicwave__token__v1__validate_result__init(&result);
        Clinicwave__Token__V1__ValidateResult *results[] = {&result};
        Clinicwave__Token__V1__ValidateStreamResponse response;
        clinicwave__token__v1__validate_stream_response__init(&response);

        message.decision = (Clinicwave__Token__V1__Decision)c->decision;
        message.reason = strdup(c->reason);
        message.identity = c->identity ? &identity : NULL;
        message.cached = c->cached;
        message.required_scope = strdup(c->scope);
        result.id = ids[i / CW_ARRAY_SIZE(verdict_cases)];
        result.outcome_case = CLINICWAVE__TOKEN__V1__VALIDATE_RESULT__OUTCOME_VERDICT;
        result.verdict = &message;
        response.results = results;
        response.n_results = 1;
        fill_verdict(c, cw_buf_str(&packed), &verdict);
        wire_add_verdict(&out, result.id, &verdict);
        assert_packed(&out, &response.base);
        free(message.reason);
        free(message.required_scope);
        cw_buf_done(&out);
    }
    cw_buf_done(&packed);
}

static void a_unary_answer_with_checks_has_the_bytes_of_protobuf_c(void **state)
{
    struct cw_buf packed = CW_BUF_INIT(4096);
    struct cw_buf out = CW_BUF_INIT(4096);
    Clinicwave__Token__V1__Identity identity;
    struct wire_verdict verdict;
    Clinicwave__Token__V1__Check one;
    clinicwave__token__v1__check__init(&one);
    Clinicwave__Token__V1__Check two;
    clinicwave__token__v1__check__init(&two);
    Clinicwave__Token__V1__Check *checks[] = {&one, &two};
    Clinicwave__Token__V1__ValidateResponse response;
    clinicwave__token__v1__validate_response__init(&response);

    (void)state;
    fill_identity(&packed, &identity);
    one.name = (char[]){"signature"};
    one.passed = 1;
    one.detail = (char[]){"RS256 with key one"};
    two.name = (char[]){"scope"};
    response.decision = CLINICWAVE__TOKEN__V1__DECISION__DECISION_FORBIDDEN;
    response.reason = (char[]){"scope_insufficient"};
    response.identity = &identity;
    response.cached = 1;
    response.required_scope = (char[]){"files:read files:write"};
    response.checks = checks;
    response.n_checks = 2;
    fill_verdict(&verdict_cases[3], cw_buf_str(&packed), &verdict);
    wire_add_response(&out, &verdict);
    wire_add_check(&out, CW_STR("signature"), true, CW_STR("RS256 with key one"));
    wire_add_check(&out, CW_STR("scope"), false, CW_STR(""));
    assert_packed(&out, &response.base);
    cw_buf_done(&out);
    cw_buf_done(&packed);
}

static void undecided_has_the_bytes_of_protobuf_c(void **state)
{
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(ids); i++) {
        for (int cause = 1; cause <= 5; cause++) {
            struct cw_buf out = CW_BUF_INIT(4096);
            struct wire_undecided undecided = {(enum wire_cause)cause, S("keys_unavailable"),
                                               (uint32_t)ids[i]};
            Clinicwave__Token__V1__Undecided message;
            clinicwave__token__v1__undecided__init(&message);
            Clinicwave__Token__V1__ValidateResult result;
            clinicwave__token__v1__validate_result__init(&result);
            Clinicwave__Token__V1__ValidateResult *results[] = {&result};
            Clinicwave__Token__V1__ValidateStreamResponse response;
            clinicwave__token__v1__validate_stream_response__init(&response);

            message.cause = (Clinicwave__Token__V1__UndecidedCause)cause;
            message.reason = (char[]){"keys_unavailable"};
            message.retry_after_seconds = (uint32_t)ids[i];
            result.id = ids[i];
            result.outcome_case = CLINICWAVE__TOKEN__V1__VALIDATE_RESULT__OUTCOME_UNDECIDED;
            result.undecided = &message;
            response.results = results;
            response.n_results = 1;
            wire_add_undecided(&out, ids[i], &undecided);
            assert_packed(&out, &response.base);
            cw_buf_done(&out);
        }
    }
}

static struct cw_str pack(const ProtobufCMessage *message, uint8_t *bytes)
{
    return (struct cw_str){(char *)bytes, protobuf_c_message_pack(message, bytes)};
}

static void a_batch_is_read_as_protobuf_c_wrote_it(void **state)
{
    uint8_t bytes[8192];
    uint8_t digest[32] = {1, 2, 3};
    Clinicwave__Token__V1__ValidateEntry a;
    clinicwave__token__v1__validate_entry__init(&a);
    Clinicwave__Token__V1__ValidateEntry b;
    clinicwave__token__v1__validate_entry__init(&b);
    Clinicwave__Token__V1__ValidateEntry *entries[] = {&a, &b};
    Clinicwave__Token__V1__RuleDefinition one;
    clinicwave__token__v1__rule_definition__init(&one);
    Clinicwave__Token__V1__RuleDefinition *rules[] = {&one, &one};
    Clinicwave__Token__V1__ValidateStreamRequest request;
    clinicwave__token__v1__validate_stream_request__init(&request);
    struct wire_batch *batch = malloc(sizeof(*batch));
    struct cw_str rule;
    size_t n_rules = 0;

    (void)state;
    a.id = UINT64_MAX;
    a.subject_case = CLINICWAVE__TOKEN__V1__VALIDATE_ENTRY__SUBJECT_DIGEST;
    a.digest = (ProtobufCBinaryData){32, digest};
    a.domain = (char[]){"clinicwave.com"};
    a.rule = 65535;
    a.timeout_ms = UINT32_MAX;
    b.subject_case = CLINICWAVE__TOKEN__V1__VALIDATE_ENTRY__SUBJECT_TOKEN;
    b.token = (ProtobufCBinaryData){3, (uint8_t[]){'a', '.', 'b'}};
    one.rule = 9;
    request.entries = entries;
    request.n_entries = 2;
    request.rules = rules;
    request.n_rules = 2;
    struct cw_str message = pack(&request.base, bytes);
    assert_int_equal(wire_batch_decode(message, batch), CW_OK);
    assert_int_equal(batch->n_entries, 2);
    assert_true(batch->entries[0].id == UINT64_MAX);
    assert_int_equal(batch->entries[0].subject, WIRE_DIGEST);
    assert_int_equal(batch->entries[0].value.n, 32);
    assert_memory_equal(batch->entries[0].value.p, digest, 32);
    assert_true(cw_str_is(batch->entries[0].domain, "clinicwave.com"));
    assert_int_equal(batch->entries[0].rule, 65535);
    assert_true(batch->entries[0].timeout_ms == UINT32_MAX);
    assert_int_equal(batch->entries[1].subject, WIRE_TOKEN);
    assert_true(cw_str_is(batch->entries[1].value, "a.b"));
    assert_int_equal(batch->entries[1].id, 0);
    while (wire_next_rule(&message, &rule)) {
        assert_true(cw_str_is(rule, "\x08\x09"));
        n_rules++;
    }
    assert_int_equal(n_rules, 2);
    free(batch);
}

static void what_is_no_batch(void **state)
{
    static const struct {
        const char *sentence;
        struct cw_str bytes;
        enum cw_err want;
    } cases[] = {
        {"an empty message is an empty batch", S(""), CW_OK},
        {"an unknown varint is skipped", S("\x50\x01"), CW_OK},
        {"unknown fixed ones are skipped",
         S("\x51"
           "12345678"
           "\x55"
           "1234"),
         CW_OK},
        {"an unknown string is skipped", S("\x52\x02hi"), CW_OK},
        {"an unknown field in an entry is skipped", S("\x12\x02\x50\x01"), CW_OK},
        {"entries of the wrong type", S("\x10\x01"), CW_REQUEST_MALFORMED},
        {"rules of the wrong type", S("\x08\x01"), CW_REQUEST_MALFORMED},
        {"a length past the end", S("\x12\x05\x08\x01"), CW_REQUEST_MALFORMED},
        {"a tag that ends early", S("\x80"), CW_REQUEST_MALFORMED},
        {"a varint that ends early", S("\x12\x02\x08\x80"), CW_REQUEST_MALFORMED},
        {"a varint of eleven bytes", S("\x12\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
         CW_REQUEST_MALFORMED},
        {"a group", S("\x13\x14"), CW_REQUEST_MALFORMED},
        {"field number 0", S("\x02\x00"), CW_REQUEST_MALFORMED},
        {"an id that is a string", S("\x12\x03\x0a\x01x"), CW_REQUEST_MALFORMED},
        {"a digest that is a number", S("\x12\x02\x10\x01"), CW_REQUEST_MALFORMED},
        {"a huge length", S("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), CW_REQUEST_MALFORMED},
    };
    struct wire_batch *batch = malloc(sizeof(*batch));

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        if (wire_batch_decode(cases[i].bytes, batch) != cases[i].want) {
            fail_msg("%s", cases[i].sentence);
        }
    }
    free(batch);
}

static void bounds_of_a_batch(void **state)
{
    struct wire_batch *batch = malloc(sizeof(*batch));
    char *bytes = calloc(1, WIRE_BATCH_MAX + 1);

    (void)state;
    for (size_t i = 0; i < WIRE_ENTRIES_MAX + 1; i++) {
        bytes[2 * i] = 0x12;
    }
    assert_int_equal(wire_batch_decode((struct cw_str){bytes, 2 * WIRE_ENTRIES_MAX}, batch), CW_OK);
    assert_int_equal(wire_batch_decode((struct cw_str){bytes, 2 * WIRE_ENTRIES_MAX + 2}, batch),
                     CW_REQUEST_TOO_LARGE);
    memset(bytes, 0, WIRE_BATCH_MAX);
    memcpy(bytes, "\x52\xfc\xff\x07", 4);
    assert_int_equal(wire_batch_decode((struct cw_str){bytes, WIRE_BATCH_MAX}, batch), CW_OK);
    assert_int_equal(wire_batch_decode((struct cw_str){bytes, WIRE_BATCH_MAX + 1}, batch),
                     CW_REQUEST_TOO_LARGE);
    free(bytes);
    free(batch);
}

static void a_request_is_read_as_protobuf_c_wrote_it(void **state)
{
    uint8_t bytes[1024];
    Clinicwave__Token__V1__Requirement requirement;
    clinicwave__token__v1__requirement__init(&requirement);
    Clinicwave__Token__V1__ValidateRequest request;
    clinicwave__token__v1__validate_request__init(&request);
    struct wire_request read;
    char *claims[] = {(char[]){"*"}};

    (void)state;
    request.token = (ProtobufCBinaryData){3, (uint8_t[]){'a', '.', 'b'}};
    request.domain = (char[]){"d"};
    assert_int_equal(wire_request_decode(pack(&request.base, bytes), &read), CW_OK);
    assert_true(cw_str_is(read.token, "a.b") && cw_str_is(read.domain, "d"));
    assert_false(read.demands || read.explain);
    request.explain = 1;
    request.requirement = &requirement;
    assert_int_equal(wire_request_decode(pack(&request.base, bytes), &read), CW_OK);
    assert_true(read.demands && read.explain);
    request.requirement = NULL;
    request.claims = claims;
    request.n_claims = 1;
    assert_int_equal(wire_request_decode(pack(&request.base, bytes), &read), CW_OK);
    assert_true(read.demands);
    assert_int_equal(wire_request_decode(CW_STR("\x0a\x05x"), &read), CW_REQUEST_MALFORMED);
    assert_int_equal(wire_request_decode(CW_STR("\x08\x05"), &read), CW_REQUEST_MALFORMED);
}

static void claims_are_picked_by_name(void **state)
{
    struct cw_buf all = CW_BUF_INIT(1024);
    struct cw_buf some = CW_BUF_INIT(1024);
    struct cw_buf want = CW_BUF_INIT(1024);
    static const struct cw_str names[] = {S("city"), S("x"), S("mail")};

    (void)state;
    wire_add_claim(&all, CW_STR("mail"), CW_STR("\"a\""));
    wire_add_claim(&all, CW_STR("mai"), CW_STR("2"));
    wire_add_claim(&all, CW_STR("city"), CW_STR("{}"));
    wire_add_claim(&want, CW_STR("mail"), CW_STR("\"a\""));
    wire_add_claim(&want, CW_STR("city"), CW_STR("{}"));
    wire_filter_claims(&some, cw_buf_str(&all), names, CW_ARRAY_SIZE(names));
    assert_true(cw_str_eq(cw_buf_str(&some), cw_buf_str(&want)));
    cw_buf_done(&all);
    cw_buf_done(&some);
    cw_buf_done(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_have_the_bytes_of_protobuf_c),
        cmocka_unit_test(a_unary_answer_with_checks_has_the_bytes_of_protobuf_c),
        cmocka_unit_test(undecided_has_the_bytes_of_protobuf_c),
        cmocka_unit_test(a_batch_is_read_as_protobuf_c_wrote_it),
        cmocka_unit_test(what_is_no_batch),
        cmocka_unit_test(bounds_of_a_batch),
        cmocka_unit_test(a_request_is_read_as_protobuf_c_wrote_it),
        cmocka_unit_test(claims_are_picked_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
