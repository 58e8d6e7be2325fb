/* A10–A12, B16: encrypted, nested and compressed tokens, where a signed one is expected. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"

static char *five_segments(const char *token, size_t *ret_n)
{
    (void)token;
    /* dir + A256GCM with an empty key, as "encrypted with the public key" comes along */
    static const struct cw_str json = CW_STR_INIT("{\"alg\":\"dir\",\"enc\":\"A256GCM\"}");
    char *header = mint_b64url(json.p, json.n);
    char *text = mint_format("%s..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA", header);
    free(header);
    *ret_n = strlen(text);
    return text;
}

static char *token_as_payload(const char *token, size_t *ret_n)
{
    const char *header = "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\"}";
    char *text = mint_token(mint_key("ES256"), "ES256", cw_str(header), cw_str(token));
    *ret_n = strlen(text);
    return text;
}

#define HEADER(more) "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\"" more "}"

static const struct judge_case cases[] = {
    {.sentence = "a JWE", .reason = CW_TOKEN_ENCRYPTED, .mutate = five_segments},
    {.sentence = "a token in a token", .reason = CW_CLAIMS_MALFORMED, .mutate = token_as_payload},
    {.sentence = "cty JWT",
     .reason = CW_HEADER_FORBIDDEN,
     .header = HEADER(",\"cty\":\"JWT\""),
     .twin_header = HEADER(",\"cty\":\"json\"")},
    {.sentence = "cty application/jwt",
     .reason = CW_HEADER_FORBIDDEN,
     .header = HEADER(",\"cty\":\"application/jwt\"")},
    {.sentence = "zip", .reason = CW_HEADER_FORBIDDEN, .header = HEADER(",\"zip\":\"DEF\"")},
    {.sentence = "enc", .reason = CW_HEADER_FORBIDDEN, .header = HEADER(",\"enc\":\"A256GCM\"")},
    {.sentence = "p2c", .reason = CW_HEADER_FORBIDDEN, .header = HEADER(",\"p2c\":2147483647")},
    {.sentence = "p2s", .reason = CW_HEADER_FORBIDDEN, .header = HEADER(",\"p2s\":\"AA\"")},
    {.sentence = "epk", .reason = CW_HEADER_FORBIDDEN, .header = HEADER(",\"epk\":{}")},
    {.sentence = "alg of an encryption",
     .reason = CW_ALGORITHM_NOT_ALLOWED,
     .header = "{\"alg\":\"RSA-OAEP\",\"typ\":\"JWT\",\"kid\":\"ES256\"}"},
};

static void encryption_is_not_a_signature(void **state)
{
    (void)state;
    JUDGE_CASES(cases, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(encryption_is_not_a_signature)};
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
