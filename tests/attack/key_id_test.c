/* B8, B9: `kid` is opaque, bounded and only ever compared; a token never brings its own key. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"

#define KID(json) "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":" json "}"
#define WITH(more) "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\"," more "}"

static const struct judge_case cases[] = {
    {.sentence = "a path", .reason = CW_KEY_UNKNOWN, .header = KID("\"../../../../dev/null\"")},
    {.sentence = "/dev/null", .reason = CW_KEY_UNKNOWN, .header = KID("\"/dev/null\"")},
    {.sentence = "SQL", .reason = CW_KEY_UNKNOWN, .header = KID("\"x' UNION SELECT 'k';--\"")},
    {.sentence = "LDAP", .reason = CW_KEY_UNKNOWN, .header = KID("\"*)(uid=*))(|(uid=*\"")},
    {.sentence = "a command", .reason = CW_KEY_UNKNOWN, .header = KID("\"|sleep 10\"")},
    {.sentence = "a URL", .reason = CW_KEY_UNKNOWN, .header = KID("\"http://169.254.169.254/\"")},
    {.sentence = "another case", .reason = CW_KEY_UNKNOWN, .header = KID("\"es256\"")},
    {.sentence = "a prefix", .reason = CW_KEY_UNKNOWN, .header = KID("\"ES25\"")},
    {.sentence = "a longer one", .reason = CW_KEY_UNKNOWN, .header = KID("\"ES256 \"")},
    {.sentence = "empty", .reason = CW_KID_INVALID, .header = KID("\"\"")},
    {.sentence = "a number", .reason = CW_KID_INVALID, .header = KID("256")},
    {.sentence = "null", .reason = CW_KID_INVALID, .header = KID("null")},
    {.sentence = "an array", .reason = CW_KID_INVALID, .header = KID("[\"ES256\"]")},
    {.sentence = "an escaped NUL",
     .reason = CW_HEADER_MALFORMED,
     .header = KID("\"ES256\\u0000\"")},
    {.sentence = "the key of another algorithm",
     .reason = CW_ALGORITHM_MISMATCH,
     .header = KID("\"RS256\"")},
    {.sentence = "jwk", .reason = CW_HEADER_FORBIDDEN, .header = WITH("\"jwk\":{\"kty\":\"EC\"}")},
    {.sentence = "jwk null", .reason = CW_HEADER_FORBIDDEN, .header = WITH("\"jwk\":null")},
    {.sentence = "jku",
     .reason = CW_HEADER_FORBIDDEN,
     .header = WITH("\"jku\":\"https://issuer.example/jwks\"")},
    {.sentence = "x5u", .reason = CW_HEADER_FORBIDDEN, .header = WITH("\"x5u\":\"https://x/\"")},
    {.sentence = "x5c", .reason = CW_HEADER_FORBIDDEN, .header = WITH("\"x5c\":[\"MII\"]")},
    {.sentence = "x5t", .reason = CW_HEADER_FORBIDDEN, .header = WITH("\"x5t\":\"AA\"")},
    {.sentence = "x5t#S256", .reason = CW_HEADER_FORBIDDEN, .header = WITH("\"x5t#S256\":\"AA\"")},
};

static void a_kid_is_compared_and_nothing_else(void **state)
{
    (void)state;
    JUDGE_CASES(cases, NULL, NULL);
}

/* B9 for issuers that send x5t beside the kid: it is accepted where the policy says so, and even
 * then never looked at; what brings or names a key stays refused. */
static const struct judge_case thumbprints[] = {
    {.sentence = "x5t and a kid of nobody",
     .reason = CW_KEY_UNKNOWN,
     .header = "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"none\",\"x5t\":\"ES256\"}"},
    {.sentence = "x5t and another key's kid",
     .reason = CW_ALGORITHM_MISMATCH,
     .header = "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"RS256\",\"x5t\":\"ES256\"}"},
    {.sentence = "x5t and x5c",
     .reason = CW_HEADER_FORBIDDEN,
     .header = WITH("\"x5t\":\"AA\",\"x5c\":[\"MII\"]")},
    {.sentence = "x5t and x5u",
     .reason = CW_HEADER_FORBIDDEN,
     .header = WITH("\"x5t\":\"AA\",\"x5u\":\"https://x/\"")},
    {.sentence = "x5t and jku",
     .reason = CW_HEADER_FORBIDDEN,
     .header = WITH("\"x5t\":\"AA\",\"jku\":\"https://x/\"")},
};

static void a_thumbprint_is_ignored_where_the_policy_says_so(void **state)
{
    (void)state;
    static const char *const fine[] = {WITH("\"x5t\":\"AA\""), WITH("\"x5t#S256\":\"AA\""),
                                       WITH("\"x5t\":5")};
    struct cw_token_policy policy = judge_policy();
    for (int accept = 0; accept <= 1; accept++) {
        policy.thumbprints = accept;
        for (size_t i = 0; i < CW_ARRAY_SIZE(fine); i++) {
            char *token =
                mint_token(mint_key("ES256"), "ES256", cw_str(fine[i]), CW_STR(JUDGE_CLAIMS("")));
            judge_expect(fine[i], judge(cw_str(token), &policy, NULL, NULL),
                         accept ? CW_OK : CW_HEADER_FORBIDDEN);
            free(token);
        }
    }
    JUDGE_CASES(thumbprints, &policy, NULL);
}

/* The classic: a key of the attacker's in the header, a valid signature by it. */
static void a_key_in_the_header_is_not_used(void **state)
{
    (void)state;
    struct mint_key *own = mint_key_new("ES256");
    char *jwk = mint_jwk(own, "ES256", "\"kid\":\"ES256\"");
    for (int bad = 0; bad <= 1; bad++) {
        char *header = bad ? mint_format(WITH("\"jwk\":%s"), jwk) : judge_header("ES256");
        char *token = mint_token(bad ? own : mint_key("ES256"), "ES256", cw_str(header),
                                 CW_STR(JUDGE_CLAIMS("")));
        judge_expect("embedded key", judge(cw_str(token), NULL, NULL, NULL),
                     bad ? CW_HEADER_FORBIDDEN : CW_OK);
        free(token);
        free(header);
    }
    free(jwk);
    mint_key_free(own);
}

static void a_kid_has_256_bytes_at_most(void **state)
{
    (void)state;
    for (int bad = 0; bad <= 1; bad++) {
        char kid[CW_JWS_KID_MAX + 2];
        memset(kid, 'k', sizeof kid);
        kid[CW_JWS_KID_MAX + bad] = '\0';
        char *header = mint_format(KID("\"%s\""), kid);
        char *token =
            mint_token(mint_key("ES256"), "ES256", cw_str(header), CW_STR(JUDGE_CLAIMS("")));
        judge_expect("kid length", judge(cw_str(token), NULL, NULL, NULL),
                     bad ? CW_KID_INVALID : CW_KEY_UNKNOWN);
        free(token);
        free(header);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kid_is_compared_and_nothing_else),
        cmocka_unit_test(a_thumbprint_is_ignored_where_the_policy_says_so),
        cmocka_unit_test(a_key_in_the_header_is_not_used),
        cmocka_unit_test(a_kid_has_256_bytes_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
