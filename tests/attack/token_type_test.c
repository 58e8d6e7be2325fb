/* B13, D9: tokens of another kind, from the same issuer and with a good signature. */
#include "tests/support/jose/judge.h"

#define TYP(json) "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":" json "}"
#define SIXTEEN "0123456789abcdef"
#define NO_TYP "{\"alg\":\"ES256\",\"kid\":\"ES256\"}"
#define USER                                                                                       \
    "\"iss\":\"" JUDGE_ISSUER "\",\"sub\":\"alice\",\"aud\":\"" JUDGE_AUDIENCE                     \
    "\",\"exp\":1700000600"

static const struct judge_case cases[] = {
    {.sentence = "an ID token's typ",
     .reason = CW_TYPE_MISMATCH,
     .header = TYP("\"id_token+jwt\"")},
    {.sentence = "a logout token", .reason = CW_TYPE_MISMATCH, .header = TYP("\"logout+jwt\"")},
    {.sentence = "a security event", .reason = CW_TYPE_MISMATCH, .header = TYP("\"secevent+jwt\"")},
    {.sentence = "a DPoP proof", .reason = CW_TYPE_MISMATCH, .header = TYP("\"dpop+jwt\"")},
    {.sentence = "typ absent", .reason = CW_TYPE_MISMATCH, .header = NO_TYP},
    {.sentence = "typ empty", .reason = CW_TYPE_MISMATCH, .header = TYP("\"\"")},
    {.sentence = "typ a number", .reason = CW_TYPE_MISMATCH, .header = TYP("7")},
    {.sentence = "typ null", .reason = CW_TYPE_MISMATCH, .header = TYP("null")},
    {.sentence = "typ longer than any type",
     .reason = CW_TYPE_MISMATCH,
     .header = TYP("\"" SIXTEEN SIXTEEN SIXTEEN SIXTEEN "x\"")},
    {.sentence = "typ far longer than any type",
     .reason = CW_TYPE_MISMATCH,
     .header = TYP("\"at+jwt" SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN
                       SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN "\"")},
    {.sentence = "application/ twice",
     .reason = CW_TYPE_MISMATCH,
     .header = TYP("\"application/application/at+jwt\""),
     .twin_header = TYP("\"application/at+jwt\"")},
    {.sentence = "another tree",
     .reason = CW_TYPE_MISMATCH,
     .header = TYP("\"text/at+jwt\""),
     .twin_header = TYP("\"Application/AT+JWT\"")},
    {.sentence = "at_hash in the claims",
     .reason = CW_TYPE_MISMATCH,
     .header = TYP("\"JWT\""),
     .payload = JUDGE_CLAIMS(",\"at_hash\":\"AAAA\"")},
    {.sentence = "c_hash in the claims",
     .reason = CW_TYPE_MISMATCH,
     .payload = JUDGE_CLAIMS(",\"c_hash\":\"AAAA\"")},
    {.sentence = "an event in the claims",
     .reason = CW_TYPE_MISMATCH,
     .payload = JUDGE_CLAIMS(",\"events\":{}")},
    {.sentence = "a nonce without client and scope",
     .reason = CW_TYPE_MISMATCH,
     .payload = "{" USER ",\"nonce\":\"n\"}",
     .twin_payload = "{" USER ",\"nonce\":\"n\",\"scope\":\"read\"}"},
    {.sentence = "Keycloak's ID token",
     .reason = CW_TYPE_MISMATCH,
     .payload = JUDGE_CLAIMS(",\"typ\":\"ID\""),
     .twin_payload = JUDGE_CLAIMS(",\"typ\":\"Bearer\"")},
    {.sentence = "Keycloak's refresh token",
     .reason = CW_TYPE_MISMATCH,
     .payload = JUDGE_CLAIMS(",\"typ\":\"Refresh\"")},
    {.sentence = "Cognito's ID token",
     .reason = CW_TYPE_MISMATCH,
     .payload = JUDGE_CLAIMS(",\"token_use\":\"id\""),
     .twin_payload = JUDGE_CLAIMS(",\"token_use\":\"access\"")},
};

static void other_kinds_are_refused(void **state)
{
    (void)state;
    JUDGE_CASES(cases, NULL, NULL);
}

/* The issuer's setting decides: at+jwt alone, or with JWT, or none needed. */
static void the_issuers_types_decide(void **state)
{
    (void)state;
    static const struct cw_str only[] = {CW_STR_INIT("at+jwt")};
    struct cw_token_policy policy = judge_policy();
    policy.types = only;
    policy.type_count = 1;
    const struct judge_case strict[] = {{.sentence = "JWT where at+jwt is demanded",
                                         .reason = CW_TYPE_MISMATCH,
                                         .header = TYP("\"JWT\"")}};
    JUDGE_CASES(strict, &policy, NULL);
    policy.type_optional = true;
    const struct judge_case optional[] = {{.sentence = "present and wrong, where it may be absent",
                                           .reason = CW_TYPE_MISMATCH,
                                           .header = TYP("\"JWT\""),
                                           .twin_header = NO_TYP}};
    JUDGE_CASES(optional, &policy, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_kinds_are_refused),
        cmocka_unit_test(the_issuers_types_decide),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
