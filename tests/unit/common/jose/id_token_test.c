/* ID tokens (OpenID Connect Core §3.1.3.7): the good one, and one case per check that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/jose/id_token.h"
#include "common/jose/jwks.h"
#include "tests/support/jose/mint.h"

enum { NOW = 1700000000 };

#define HEADER "{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":\"JWT\"}"
#define TIMES "\"iat\":1699999990,\"exp\":1700000600"
#define SUBJECT "\"sub\":\"auth0|1\""
#define GOOD "{\"iss\":\"https://i/\",\"aud\":\"c\"," SUBJECT "," TIMES "}"

static const struct {
    const char *what;
    const char *header;
    const char *payload;
    enum cw_err expected;
} cases[] = {
    {"good", HEADER, GOOD, CW_OK},
    {"no typ", "{\"alg\":\"RS256\",\"kid\":\"a\"}", GOOD, CW_OK},
    {"several audiences with azp", HEADER,
     "{\"iss\":\"https://i/\",\"aud\":[\"x\",\"c\"],\"azp\":\"c\"," SUBJECT "," TIMES "}", CW_OK},
    {"an access token", "{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":\"at+jwt\"}", GOOD,
     CW_TYPE_MISMATCH},
    {"a logout token", "{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":\"logout+jwt\"}", GOOD,
     CW_TYPE_MISMATCH},
    {"an algorithm that is not on the list", "{\"alg\":\"PS256\",\"kid\":\"a\"}", GOOD,
     CW_ALGORITHM_NOT_ALLOWED},
    {"none", "{\"alg\":\"none\"}", GOOD, CW_ALGORITHM_NOT_ALLOWED},
    {"an unknown key", "{\"alg\":\"RS256\",\"kid\":\"b\"}", GOOD, CW_KEY_UNKNOWN},
    {"another issuer", HEADER, "{\"iss\":\"https://i\",\"aud\":\"c\"," SUBJECT "," TIMES "}",
     CW_ISSUER_UNKNOWN},
    {"another audience", HEADER, "{\"iss\":\"https://i/\",\"aud\":\"d\"," SUBJECT "," TIMES "}",
     CW_AUDIENCE_MISMATCH},
    {"no audience", HEADER, "{\"iss\":\"https://i/\"," SUBJECT "," TIMES "}", CW_CLAIM_MISSING},
    {"several audiences without azp", HEADER,
     "{\"iss\":\"https://i/\",\"aud\":[\"x\",\"c\"]," SUBJECT "," TIMES "}",
     CW_AUTHORIZED_PARTY_MISMATCH},
    {"azp of another", HEADER,
     "{\"iss\":\"https://i/\",\"aud\":\"c\",\"azp\":\"d\"," SUBJECT "," TIMES "}",
     CW_AUTHORIZED_PARTY_MISMATCH},
    {"expired", HEADER,
     "{\"iss\":\"https://i/\",\"aud\":\"c\"," SUBJECT ",\"iat\":1,\"exp\":1699999900}",
     CW_TOKEN_EXPIRED},
    {"of the future", HEADER,
     "{\"iss\":\"https://i/\",\"aud\":\"c\"," SUBJECT ",\"iat\":1700000100,\"exp\":1700000600}",
     CW_TOKEN_NOT_YET_VALID},
    {"no iat", HEADER, "{\"iss\":\"https://i/\",\"aud\":\"c\"," SUBJECT ",\"exp\":1700000600}",
     CW_CLAIM_MISSING},
    {"no exp", HEADER, "{\"iss\":\"https://i/\",\"aud\":\"c\"," SUBJECT ",\"iat\":1700000000}",
     CW_CLAIM_MISSING},
    {"no subject", HEADER, "{\"iss\":\"https://i/\",\"aud\":\"c\"," TIMES "}", CW_CLAIM_MISSING},
    {"an empty subject", HEADER, "{\"iss\":\"https://i/\",\"aud\":\"c\",\"sub\":\"\"," TIMES "}",
     CW_CLAIM_INVALID},
    {"a subject with a line", HEADER,
     "{\"iss\":\"https://i/\",\"aud\":\"c\",\"sub\":\"a\\nb\"," TIMES "}", CW_CLAIM_INVALID},
    {"the hash of the access token", HEADER,
     "{\"iss\":\"https://i/\",\"aud\":\"c\",\"at_hash\":\"FPlcM-1UXiivOYozpUrp7Q\"," SUBJECT
     "," TIMES "}",
     CW_OK},
    {"the hash of another access token", HEADER,
     "{\"iss\":\"https://i/\",\"aud\":\"c\",\"at_hash\":\"AAAAAAAAAAAAAAAAAAAAAA\"," SUBJECT
     "," TIMES "}",
     CW_CLAIM_INVALID},
    {"a hash that is none", HEADER,
     "{\"iss\":\"https://i/\",\"aud\":\"c\",\"at_hash\":7," SUBJECT "," TIMES "}",
     CW_CLAIM_INVALID},
};

static struct cw_jwks *keys_of(const struct mint_key *key)
{
    char *jwk = mint_jwk(key, "RS256", "\"kid\":\"a\"");
    char *set = mint_format("{\"keys\":[%s]}", jwk);
    const struct cw_jwks_options options = {0};
    struct cw_jwks *keys = NULL;
    assert_int_equal(cw_jwks_parse(cw_str(set), &options, &keys, NULL), CW_OK);
    free(jwk);
    free(set);
    return keys;
}

static enum cw_err verify(const char *token, const struct cw_jwks *keys, struct cw_id_token *ret)
{
    struct cw_arena arena = CW_ARENA_INIT(1 << 20);
    const struct cw_id_token_policy policy = {
        .issuer = CW_STR("https://i/"),
        .client_id = CW_STR("c"),
        .algorithms = cw_alg_bit(cw_alg_find(CW_STR("RS256"))),
        .leeway = 5,
        .access_token = CW_STR("an access token"),
    };
    enum cw_err err = cw_id_token_verify(cw_str(token), &policy, keys, NOW, &arena, NULL, ret);
    cw_arena_done(&arena);
    return err;
}

static void each_check_counts(void **state)
{
    (void)state;
    const struct mint_key *key = mint_key("RS256");
    struct cw_jwks *keys = keys_of(key);
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        char *token = mint_token(key, "RS256", cw_str(cases[i].header), cw_str(cases[i].payload));
        struct cw_id_token id;
        enum cw_err err = verify(token, keys, &id);
        free(token);
        if (err != cases[i].expected) {
            fail_msg("%s: %s", cases[i].what, cw_err_code(err));
        }
    }
    cw_jwks_unref(keys);
}

static void a_foreign_signature_is_none(void **state)
{
    (void)state;
    struct mint_key *other = mint_key_new("RS256");
    struct cw_jwks *keys = keys_of(mint_key("RS256"));
    char *token = mint_token(other, "RS256", CW_STR(HEADER), CW_STR(GOOD));
    struct cw_id_token id;
    assert_int_equal(verify(token, keys, &id), CW_SIGNATURE_INVALID);
    assert_int_equal(verify(token, NULL, &id), CW_KEYS_UNAVAILABLE);
    free(token);
    cw_jwks_unref(keys);
    mint_key_free(other);
    mint_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_check_counts),
        cmocka_unit_test(a_foreign_signature_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
