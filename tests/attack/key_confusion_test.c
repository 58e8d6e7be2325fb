/* B3–B7, C9: a key is for its own algorithms only, whatever the token says; no key is no
 * permission. */
#include <openssl/bio.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"

/* An HS256 token whose secret is `secret`, under the kid of a public key. */
static char *forged(struct cw_str secret, const char *kid)
{
    char *header = mint_format("{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}", kid);
    char *unsigned_token = mint_join(cw_str(header), CW_STR(JUDGE_CLAIMS("")), NULL, 0);
    unsigned char mac[32];
    unsigned n = sizeof mac;
    HMAC(EVP_sha256(), secret.p, (int)secret.n, (unsigned char *)unsigned_token,
         strlen(unsigned_token) - 1, mac, &n);
    char *token = mint_join(cw_str(header), CW_STR(JUDGE_CLAIMS("")), mac, n);
    free(unsigned_token);
    free(header);
    return token;
}

static void try_secret(const char *what, struct cw_str secret)
{
    char *token = forged(secret, "RS256");
    judge_expect(what, judge(cw_str(token), NULL, NULL, NULL), CW_ALGORITHM_NOT_ALLOWED);
    /* even where an operator lists HS256 beside RS256: the key is RSA and stays RSA */
    struct cw_token_policy policy = judge_policy();
    policy.algorithms |= CW_ALG_SET_SECRET;
    judge_expect(what, judge(cw_str(token), &policy, NULL, NULL), CW_ALGORITHM_MISMATCH);
    free(token);
}

static void a_public_key_is_no_secret(void **state)
{
    (void)state;
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, mint_key("RS256")->pkey);
    char *pem;
    size_t n = (size_t)BIO_get_mem_data(bio, &pem);
    char *spaced = mint_format(" %.*s", (int)n, pem);
    try_secret("PEM", (struct cw_str){pem, n});
    try_secret("PEM without its newline", (struct cw_str){pem, n - 1});
    try_secret("PEM behind a space", cw_str(spaced));
    unsigned char *der = NULL;
    int der_n = i2d_PUBKEY(mint_key("RS256")->pkey, &der);
    try_secret("DER", (struct cw_str){(char *)der, (size_t)der_n});
    char *jwk = mint_jwk(mint_key("RS256"), "RS256", "\"kid\":\"RS256\"");
    try_secret("JWK", cw_str(jwk));
    try_secret("nothing", CW_STR(""));
    free(jwk);
    OPENSSL_free(der);
    free(spaced);
    BIO_free(bio);
}

static void a_configured_secret_does_verify(void **state)
{
    (void)state;
    struct cw_jwks *set = judge_keys(true);
    struct cw_token_policy policy = judge_policy();
    policy.algorithms = CW_ALG_SET_SECRET;
    for (unsigned id = CW_ALG_HS256; id <= CW_ALG_HS512; id++) {
        const char *name = cw_alg_at((enum cw_alg_id)id)->name;
        char *header = judge_header(name);
        char *token = mint_token(mint_key(name), name, cw_str(header), CW_STR(JUDGE_CLAIMS("")));
        judge_expect(name, judge(cw_str(token), &policy, set, NULL), CW_OK);
        free(token);
        free(header);
    }
    char *token = forged(CW_STR("guess"), "HS256");
    judge_expect("another secret", judge(cw_str(token), &policy, set, NULL), CW_SIGNATURE_INVALID);
    free(token);
    cw_jwks_unref(set);
}

/* A set of one key without `alg`, so that only type and curve bind it. */
static struct cw_jwks *set_of(const struct mint_key *key, const char *alg, const char *members,
                              bool secret)
{
    char *jwk = mint_jwk(key, alg, members);
    char *text = mint_format("{\"keys\":[%s]}", jwk);
    struct cw_jwks_options options = {.allow_oct = secret};
    struct cw_jwks *set = NULL;
    judge_expect("set", cw_jwks_parse(cw_str(text), &options, &set, NULL), CW_OK);
    free(text);
    free(jwk);
    return set;
}

static const struct {
    const char *sentence;
    const char *key; /* the key's own algorithm */
    const char *alg; /* the header's */
    const char *members;
    bool good;
} pairs[] = {
    {"ES256 with P-256", "ES256", "ES256", "\"kid\":\"k\"", true},
    {"ES256 with P-384", "ES384", "ES256", "\"kid\":\"k\"", false},
    {"ES256 with P-521", "ES512", "ES256", "\"kid\":\"k\"", false},
    {"ES384 with P-256", "ES256", "ES384", "\"kid\":\"k\"", false},
    {"ES512 with P-256", "ES256", "ES512", "\"kid\":\"k\"", false},
    {"ES256 with Ed25519", "EdDSA", "ES256", "\"kid\":\"k\"", false},
    {"EdDSA with P-256", "ES256", "EdDSA", "\"kid\":\"k\"", false},
    {"EdDSA with Ed25519", "EdDSA", "EdDSA", "\"kid\":\"k\"", true},
    {"Ed25519 with Ed25519", "EdDSA", "Ed25519", "\"kid\":\"k\"", true},
    {"Ed25519 with a key for EdDSA", "EdDSA", "Ed25519", "\"kid\":\"k\",\"alg\":\"EdDSA\"", false},
    {"RS256 with P-256", "ES256", "RS256", "\"kid\":\"k\"", false},
    {"ES256 with RSA", "RS256", "ES256", "\"kid\":\"k\"", false},
    {"RS256 with RSA", "RS256", "RS256", "\"kid\":\"k\"", true},
    {"RS256 with a key for PS256", "RS256", "RS256", "\"kid\":\"k\",\"alg\":\"PS256\"", false},
    {"PS256 with a key for RS256", "RS256", "PS256", "\"kid\":\"k\",\"alg\":\"RS256\"", false},
    {"RS512 with a key for RS256", "RS256", "RS512", "\"kid\":\"k\",\"alg\":\"RS256\"", false},
    {"PS256 with a key for PS256", "RS256", "PS256", "\"kid\":\"k\",\"alg\":\"PS256\"", true},
    {"HS256 with RSA without alg", "RS256", "HS256", "\"kid\":\"k\"", false},
    {"RS256 with a secret", "HS256", "RS256", "\"kid\":\"k\"", false},
};

static void algorithm_type_and_curve_are_one(void **state)
{
    (void)state;
    struct cw_token_policy policy = judge_policy();
    policy.algorithms = CW_ALG_SET_PUBLIC | CW_ALG_SET_SECRET;
    for (size_t i = 0; i < CW_ARRAY_SIZE(pairs); i++) {
        struct cw_jwks *set = set_of(mint_key(pairs[i].key), pairs[i].key, pairs[i].members, true);
        char *header = mint_format("{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"k\"}", pairs[i].alg);
        char *token = mint_token(mint_key(pairs[i].alg), pairs[i].alg, cw_str(header),
                                 CW_STR(JUDGE_CLAIMS("")));
        judge_expect(pairs[i].sentence, judge(cw_str(token), &policy, set, NULL),
                     pairs[i].good ? CW_OK : CW_ALGORITHM_MISMATCH);
        free(token);
        free(header);
        cw_jwks_unref(set);
    }
}

static void secrets_are_as_long_as_the_hash(void **state)
{
    (void)state;
    static const struct {
        size_t bytes;
        const char *alg;
        bool good;
    } rows[] = {{0, "HS256", false},  {1, "HS256", false},  {31, "HS256", false},
                {32, "HS256", true},  {32, "HS384", false}, {47, "HS384", false},
                {48, "HS384", true},  {63, "HS512", false}, {64, "HS512", true},
                {200, "HS256", true}, {128, "HS512", true}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        unsigned char bytes[200] = {1};
        char *k = mint_b64url(bytes, rows[i].bytes);
        char *text = mint_format("{\"keys\":[{\"kty\":\"oct\",\"alg\":\"%s\",\"k\":\"%s\"}]}",
                                 rows[i].alg, k);
        struct cw_jwks_options options = {.allow_oct = true};
        struct cw_jwks *set = NULL;
        judge_expect(text, cw_jwks_parse(cw_str(text), &options, &set, NULL),
                     rows[i].good ? CW_OK : CW_KEYS_UNAVAILABLE);
        cw_jwks_unref(set);
        free(text);
        free(k);
    }
}

static void without_keys_nothing_is_decided(void **state)
{
    (void)state;
    char *header = judge_header("ES256");
    char *text = mint_token(mint_key("ES256"), "ES256", cw_str(header), CW_STR(JUDGE_CLAIMS("")));
    struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cw_token token;
    struct cw_claims claims;
    struct cw_token_policy policy = judge_policy();
    assert_int_equal(cw_token_parse(cw_str(text), &arena, NULL, &token), CW_OK);
    assert_int_equal(cw_token_verify(&token, &policy, NULL, JUDGE_NOW, NULL, &arena, &claims, NULL),
                     CW_KEYS_UNAVAILABLE);
    cw_arena_done(&arena);
    free(text);
    free(header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(a_configured_secret_does_verify),
        cmocka_unit_test(algorithm_type_and_curve_are_one),
        cmocka_unit_test(secrets_are_as_long_as_the_hash),
        cmocka_unit_test(without_keys_nothing_is_decided),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
