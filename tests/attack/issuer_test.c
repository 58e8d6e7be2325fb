/* D7, D8: the issuer is one string, byte for byte, and its keys are its own. */
#include <stdlib.h>

#include "tests/support/jose/judge.h"

#define ISS(json)                                                                                  \
    "{\"sub\":\"alice\",\"aud\":\"" JUDGE_AUDIENCE "\",\"exp\":1700000600,\"iss\":" json "}"
#define ROW(what, err, json)                                                                       \
    {                                                                                              \
        .sentence = (what), .reason = (err), .payload = ISS(json),                                 \
        .twin_payload = ISS("\"" JUDGE_ISSUER "\"")                                                \
    }

static const struct judge_case cases[] = {
    {.sentence = "missing",
     .reason = CW_CLAIM_MISSING,
     .payload = "{\"sub\":\"alice\",\"aud\":\"" JUDGE_AUDIENCE "\",\"exp\":1700000600}"},
    ROW("another", CW_ISSUER_UNKNOWN, "\"https://evil.example/\""),
    ROW("empty", CW_ISSUER_UNKNOWN, "\"\""),
    ROW("without the slash", CW_ISSUER_UNKNOWN, "\"https://issuer.example\""),
    ROW("two slashes", CW_ISSUER_UNKNOWN, "\"https://issuer.example//\""),
    ROW("another case", CW_ISSUER_UNKNOWN, "\"https://Issuer.example/\""),
    ROW("the default port", CW_ISSUER_UNKNOWN, "\"https://issuer.example:443/\""),
    ROW("plain http", CW_ISSUER_UNKNOWN, "\"http://issuer.example/\""),
    ROW("user information", CW_ISSUER_UNKNOWN, "\"https://issuer.example/@evil.example\""),
    ROW("a look-alike letter", CW_ISSUER_UNKNOWN, "\"https://\xd1\x96ssuer.example/\""),
    ROW("a longer one", CW_ISSUER_UNKNOWN, "\"" JUDGE_ISSUER "x\""),
    ROW("an array with it", CW_CLAIM_INVALID, "[\"" JUDGE_ISSUER "\"]"),
    ROW("an array with it and another", CW_CLAIM_INVALID, "[\"x\",\"" JUDGE_ISSUER "\"]"),
    ROW("a number", CW_CLAIM_INVALID, "1"),
    ROW("null", CW_CLAIM_INVALID, "null"),
};

static void the_issuer_is_compared_byte_for_byte(void **state)
{
    (void)state;
    JUDGE_CASES(cases, NULL, NULL);
}

static void an_escape_in_json_is_the_same_issuer(void **state)
{
    (void)state;
    const struct judge_case rows[] = {{.sentence = "escaped slashes, another name",
                                       .reason = CW_ISSUER_UNKNOWN,
                                       .payload = ISS("\"https:\\/\\/evil.example\\/\""),
                                       .twin_payload = ISS("\"https:\\/\\/issuer.example\\/\"")}};
    JUDGE_CASES(rows, NULL, NULL);
}

/* Tenant A's key under the same kid signs a token that says it is B's (CVE-2026-49998). */
static void the_key_of_another_issuer_does_not_verify(void **state)
{
    (void)state;
    struct mint_key *other = mint_key_new("ES256");
    char *jwk = mint_jwk(other, "ES256", "\"kid\":\"ES256\"");
    char *text = mint_format("{\"keys\":[%s]}", jwk);
    struct cw_jwks_options options = {.allow_oct = false};
    struct cw_jwks *others = NULL;
    assert_int_equal(cw_jwks_parse(cw_str(text), &options, &others, NULL), CW_OK);
    char *header = judge_header("ES256");
    char *token = mint_token(other, "ES256", cw_str(header), CW_STR(JUDGE_CLAIMS("")));
    judge_expect("with its own keys", judge(cw_str(token), NULL, others, NULL), CW_OK);
    judge_expect("with the issuer's keys", judge(cw_str(token), NULL, NULL, NULL),
                 CW_SIGNATURE_INVALID);
    free(token);
    free(header);
    cw_jwks_unref(others);
    free(text);
    free(jwk);
    mint_key_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_issuer_is_compared_byte_for_byte),
        cmocka_unit_test(an_escape_in_json_is_the_same_issuer),
        cmocka_unit_test(the_key_of_another_issuer_does_not_verify),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
