/* E8–E15: what a published key set may hold. A bad member is left out and told of, the good ones
 * stay; a set without a usable key is refused as a whole. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/jose/b64url.h"
#include "tests/support/jose/judge.h"

/* Two primes of CVE-2017-15361's form, multiplied. */
static const char roca[] =
    "zB15XZRYPjGU1TvN_D7J2GhYGmsQ1GMi2HbpiexxhdseeeO10QgQB8A51COuv7R7fMZOErcBZTdd"
    "HDiDctYAK0_O505JLGGpY5R9GnaLmSvJomv5JVjJtClpPn2VPV8Fifx_PI9T2tq-1VjwW5eWAZgC"
    "Who9_ngAMz1HSIFg3P66yUSBsgetcP5kjD_glAY67WMa864sWfol0jQ4HPvpr87DJGiBHlDTI9gx"
    "gvQEcWSUt94DZddTYcy8pwNAHin3dJFe6iQcl80r6s3ZPmvB7aUzjHLWvXxntsoRh5fI_vSui7D7"
    "HDghLmmBBItQENEoD0QZxIXSPxIGRBSWWipFIw";

static const struct cw_jwks_options published = {.allow_oct = false};

static enum cw_err parse(const char *text, struct cw_jwks **ret_set)
{
    char why[CW_JWK_WHY_SIZE];
    enum cw_err err = cw_jwks_parse(cw_str(text), &published, ret_set, why);
    assert_true(err == CW_OK || why[0]);
    return err;
}

/* The member stands between two good keys: it is left out, they stay, and its neighbour's tokens
 * are accepted. With `good` it is one of three. */
static void member(const char *sentence, const char *jwk, bool good)
{
    char *first = mint_jwk(mint_key("ES256"), "ES256", "\"kid\":\"ES256\"");
    char *last = mint_jwk(mint_key("EdDSA"), "EdDSA", "\"kid\":\"EdDSA\"");
    char *text = mint_format("{\"keys\":[%s,%s,%s]}", first, jwk, last);
    struct cw_jwks *set = NULL;
    judge_expect(sentence, parse(text, &set), CW_OK);
    if (cw_jwks_count(set) != (good ? 3u : 2u) || (!good && cw_jwks_notes(set) != 1)) {
        fail_msg("%s: %zu keys, %zu notes", sentence, cw_jwks_count(set), cw_jwks_notes(set));
    }
    char *header = judge_header("EdDSA");
    char *token = mint_token(mint_key("EdDSA"), "EdDSA", cw_str(header), CW_STR(JUDGE_CLAIMS("")));
    judge_expect(sentence, judge(cw_str(token), NULL, set, NULL), CW_OK);
    cw_jwks_unref(set);
    free(token);
    free(header);
    free(text);

    /* alone it is no set */
    text = mint_format("{\"keys\":[%s]}", jwk);
    set = NULL;
    judge_expect(sentence, parse(text, &set), good ? CW_OK : CW_KEYS_UNAVAILABLE);
    cw_jwks_unref(set);
    free(text);
    free(last);
    free(first);
}

static const struct {
    const char *sentence;
    const char *alg;
    const char *members;
    bool good;
} rows[] = {
    {"E8: a secret in a public set", "HS256", "\"kid\":\"x\"", false},
    {"E8: a secret with alg", "HS256", "\"kid\":\"x\",\"alg\":\"HS256\"", false},
    {"E10: use sig", "RS256", "\"kid\":\"x\",\"use\":\"sig\"", true},
    {"E10: use enc", "RS256", "\"kid\":\"x\",\"use\":\"enc\"", false},
    {"E10: use of another case", "RS256", "\"kid\":\"x\",\"use\":\"SIG\"", false},
    {"E10: use a number", "RS256", "\"kid\":\"x\",\"use\":1", false},
    {"E10: key_ops verify", "RS256", "\"kid\":\"x\",\"key_ops\":[\"verify\"]", true},
    {"E10: key_ops sign", "RS256", "\"kid\":\"x\",\"key_ops\":[\"sign\"]", false},
    {"E10: key_ops encrypt", "RS256", "\"kid\":\"x\",\"key_ops\":[\"encrypt\"]", false},
    {"E10: key_ops empty", "RS256", "\"kid\":\"x\",\"key_ops\":[]", false},
    {"E10: key_ops twice", "RS256", "\"kid\":\"x\",\"key_ops\":[\"verify\",\"verify\"]", false},
    {"E10: key_ops a string", "RS256", "\"kid\":\"x\",\"key_ops\":\"verify\"", false},
    {"E10: key_ops of numbers", "RS256", "\"kid\":\"x\",\"key_ops\":[1]", false},
    {"E10: alg RS256", "RS256", "\"kid\":\"x\",\"alg\":\"RS256\"", true},
    {"E10: alg of another type", "RS256", "\"kid\":\"x\",\"alg\":\"ES256\"", false},
    {"E10: alg of another curve", "ES384", "\"kid\":\"x\",\"alg\":\"ES256\"", false},
    {"E10: alg for encryption", "RS256", "\"kid\":\"x\",\"alg\":\"RSA-OAEP\"", false},
    {"E10: alg HS256 on RSA", "RS256", "\"kid\":\"x\",\"alg\":\"HS256\"", false},
    {"E10: alg none", "RS256", "\"kid\":\"x\",\"alg\":\"none\"", false},
    {"E10: alg unknown", "ES512", "\"kid\":\"x\",\"alg\":\"ES521\"", false},
    {"E10: alg a number", "RS256", "\"kid\":\"x\",\"alg\":256", false},
    {"E15: kid a number", "RS256", "\"kid\":1", false},
    {"E15: kid empty", "RS256", "\"kid\":\"\"", false},
    {"unknown members are ignored", "RS256", "\"kid\":\"x\",\"x5t\":\"AA\",\"x\":{}", true},
};

static void members_that_cannot_verify_are_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        char *jwk = mint_jwk(mint_key(rows[i].alg), rows[i].alg, rows[i].members);
        member(rows[i].sentence, jwk, rows[i].good);
        free(jwk);
    }
}

static const struct {
    const char *sentence;
    const char *jwk;
} malformed[] = {
    {"E14: null", "null"},
    {"E14: a string", "\"RSA\""},
    {"E14: an empty object", "{}"},
    {"E14: kty a number", "{\"kty\":1}"},
    {"E14: kty unknown", "{\"kty\":\"AKP\",\"alg\":\"ML-DSA-44\",\"pub\":\"AA\"}"},
    {"E14: kty of another case", "{\"kty\":\"rsa\",\"n\":\"AQAB\",\"e\":\"AQAB\"}"},
    {"E11: RSA without n", "{\"kty\":\"RSA\",\"e\":\"AQAB\"}"},
    {"E11: RSA with an empty n", "{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}"},
    {"E11: n a number", "{\"kty\":\"RSA\",\"n\":65537,\"e\":\"AQAB\"}"},
    {"E12: EC without a curve", "{\"kty\":\"EC\",\"x\":\"AA\",\"y\":\"AA\"}"},
    {"E12: secp256k1", "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}"},
    {"E12: curve of another spelling",
     "{\"kty\":\"EC\",\"crv\":\"p-256\",\"x\":\"AA\",\"y\":\"AA\"}"},
    {"E12: the origin",
     "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
     "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"},
    {"E12: off the curve",
     "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
     "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}"},
    {"E12: a short coordinate", "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"}"},
    {"E12: X25519",
     "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"},
    {"E12: Ed448",
     "{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":"
     "\"X9dEm1m0Yf0s54fsYWrUah2hNCSFpw4fig6nXYDpZ3jt8SR2m0bHBhvWeD3x5Q9s0foavq_oJWGA\"}"},
    {"E12: Ed25519 of 31 bytes",
     "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"},
    {"E12: Ed25519 padded", "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
                            "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"}"},
};

static void malformed_members_are_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(malformed); i++) {
        member(malformed[i].sentence, malformed[i].jwk, false);
    }
}

static char *rsa_jwk(const BIGNUM *n, const BIGNUM *e)
{
    unsigned char bytes[4096];
    char *nt = mint_b64url(bytes, (size_t)BN_bn2bin(n, bytes));
    char *et = mint_b64url(bytes, (size_t)BN_bn2bin(e, bytes));
    char *jwk = mint_format("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}", nt, et);
    free(nt);
    free(et);
    return jwk;
}

static void rsa_member(const char *sentence, const BIGNUM *n, const BIGNUM *e, bool good)
{
    char *jwk = rsa_jwk(n, e);
    member(sentence, jwk, good);
    free(jwk);
}

static BIGNUM *modulus(const EVP_PKEY *pkey)
{
    BIGNUM *n = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    return n;
}

static void rsa_exponents_are_bounded(void **state)
{
    (void)state;
    BIGNUM *n = modulus(mint_key("RS256")->pkey), *e = BN_new();
    static const struct {
        const char *sentence;
        BN_ULONG e;
        bool good;
    } exponents[] = {
        {"e = 0", 0, false},
        {"e = 1", 1, false},
        {"e = 2", 2, false},
        {"e = 3", 3, true},
        {"e = 65536", 65536, false},
        {"e = 65537", 65537, true},
        {"e = 2^32 - 1", 4294967295, true},
        {"e = 2^32 + 1", 4294967297, false},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(exponents); i++) {
        BN_set_word(e, exponents[i].e);
        rsa_member(exponents[i].sentence, n, e, exponents[i].good);
    }
    rsa_member("e of the modulus' size", n, n, false);
    BN_free(e);
    BN_free(n);
}

static void rsa_moduli_are_bounded(void **state)
{
    (void)state;
    BIGNUM *e = BN_new(), *n;
    BN_set_word(e, 65537);
    static const struct {
        const char *sentence;
        unsigned bits;
        bool good;
    } sizes[] = {{"512 bits", 512, false},
                 {"1024 bits", 1024, false},
                 {"2047 bits", 2047, false},
                 {"2048 bits", 2048, true},
                 {"3072 bits", 3072, true}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(sizes); i++) {
        EVP_PKEY *pkey = EVP_RSA_gen(sizes[i].bits);
        n = modulus(pkey);
        rsa_member(sizes[i].sentence, n, e, sizes[i].good);
        BN_free(n);
        EVP_PKEY_free(pkey);
    }
    n = modulus(mint_key("RS256")->pkey);
    BN_sub_word(n, 1);
    rsa_member("an even modulus", n, e, false);
    BN_add_word(n, 1);
    BN_lshift(n, n, 2049);
    BN_add_word(n, 1);
    rsa_member("4097 bits", n, e, false);
    BN_free(n);
    n = BN_new();
    BN_generate_prime_ex(n, 2048, 0, NULL, NULL, NULL);
    rsa_member("a prime as modulus", n, e, false);
    BN_free(n);
    BN_free(e);
}

static void a_modulus_of_the_broken_generator_is_left_out(void **state)
{
    (void)state;
    unsigned char bytes[256];
    assert_int_equal(cw_b64url_decode(cw_str(roca), bytes), CW_OK);
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL), *e = BN_new();
    BN_set_word(e, 65537);
    rsa_member("ROCA", n, e, false);
    BIGNUM *sound = modulus(mint_key("RS256")->pkey);
    rsa_member("another modulus of that size", sound, e, true);
    BN_free(sound);
    BN_free(e);
    BN_free(n);
}

/* E9: which key a token means must be plain. */
static void keys_of_one_kid_are_left_out_unless_their_algorithms_differ(void **state)
{
    (void)state;
    struct mint_key *other = mint_key_new("ES256");
    char *a = mint_jwk(mint_key("ES256"), "ES256", "\"kid\":\"x\"");
    char *b = mint_jwk(other, "ES256", "\"kid\":\"x\"");
    char *c = mint_jwk(mint_key("EdDSA"), "EdDSA", "\"kid\":\"x\"");
    struct cw_jwks *set = NULL;
    char *text = mint_format("{\"keys\":[%s,%s,%s]}", a, b, c);
    judge_expect("two of three are one too many", parse(text, &set), CW_OK);
    assert_int_equal(cw_jwks_count(set), 1);
    assert_string_equal(cw_jwk_kty(cw_jwks_at(set, 0)), "OKP");
    assert_int_equal(cw_jwks_notes(set), 2);
    cw_jwks_unref(set);
    free(text);
    set = NULL;
    text = mint_format("{\"keys\":[%s,%s]}", a, b);
    judge_expect("two keys of one kid", parse(text, &set), CW_KEYS_UNAVAILABLE);
    free(text);
    text = mint_format("{\"keys\":[%s,%s]}", a, c);
    judge_expect("one kid, two types", parse(text, &set), CW_OK);
    assert_int_equal(cw_jwks_count(set), 2);
    cw_jwks_unref(set);
    free(text);
    set = NULL;
    text = mint_format("{\"keys\":[%s,%s]}", a, a);
    judge_expect("the same key twice", parse(text, &set), CW_OK);
    assert_int_equal(cw_jwks_count(set), 1);
    cw_jwks_unref(set);
    free(text);
    free(c);
    free(b);
    free(a);
    mint_key_free(other);
}

static void a_published_private_key_is_told(void **state)
{
    (void)state;
    char *a = mint_jwk(mint_key("ES256"), "ES256", "\"kid\":\"x\",\"d\":\"AQAB\"");
    char *text = mint_format("{\"keys\":[%s]}", a);
    struct cw_jwks *set = NULL;
    judge_expect("E13", parse(text, &set), CW_OK);
    assert_int_equal(cw_jwks_count(set), 1);
    assert_int_equal(cw_jwks_notes(set), 1);
    assert_non_null(strstr(cw_jwks_note(set, 0), "private"));
    cw_jwks_unref(set);
    free(text);
    free(a);
}

static char *many(size_t n)
{
    struct cw_buf text = CW_BUF_INIT(16 * 1024 * 1024);
    cw_buf_add_cstr(&text, "{\"keys\":[");
    for (size_t i = 0; i < n; i++) {
        char *members = mint_format("\"kid\":\"%zu\"", i);
        char *jwk = mint_jwk(mint_key("EdDSA"), "EdDSA", members);
        cw_buf_addf(&text, "%s%s", i ? "," : "", jwk);
        free(jwk);
        free(members);
    }
    cw_buf_add_cstr(&text, "]}");
    return cw_buf_take(&text);
}

/* E15, and the document as a whole. */
static void a_set_is_bounded(void **state)
{
    (void)state;
    char *good = many(CW_JWKS_KEYS_MAX), *bad = many(CW_JWKS_KEYS_MAX + 1), *huge = many(10000);
    struct cw_jwks *set = NULL;
    judge_expect("64 keys", parse(good, &set), CW_OK);
    cw_jwks_unref(set);
    judge_expect("65 keys", parse(bad, &set), CW_KEYS_UNAVAILABLE);
    judge_expect("10 000 keys", parse(huge, &set), CW_KEYS_UNAVAILABLE);
    char *padded = mint_format("%s%*s", good, (int)(CW_JWKS_TEXT_MAX - strlen(good)), "");
    set = NULL;
    judge_expect("256 KiB", parse(padded, &set), CW_OK);
    cw_jwks_unref(set);
    char *large = mint_format("%s ", padded);
    judge_expect("256 KiB + 1", parse(large, &set), CW_KEYS_UNAVAILABLE);
    free(large);
    free(padded);
    free(huge);
    free(bad);
    free(good);
}

static const char *const documents[] = {
    "",
    "<html>login</html>",
    "[]",
    "null",
    "{}",
    "{\"keys\":[]}",
    "{\"keys\":{}}",
    "{\"keys\":null}",
    "{\"Keys\":[]}",
    "{\"keys\":[],\"keys\":[]}",
    "{\"keys\":[",
};

static void garbage_is_no_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(documents); i++) {
        struct cw_jwks *set = NULL;
        judge_expect(documents[i], parse(documents[i], &set), CW_KEYS_UNAVAILABLE);
        assert_null(set);
    }
    char *a = mint_jwk(mint_key("ES256"), "ES256", "");
    char *text = mint_format("{\"keys\":[%s]}", a);
    struct cw_jwks *set = NULL;
    judge_expect("a set", parse(text, &set), CW_OK);
    cw_jwks_unref(set);
    free(text);
    free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_that_cannot_verify_are_left_out),
        cmocka_unit_test(malformed_members_are_left_out),
        cmocka_unit_test(rsa_exponents_are_bounded),
        cmocka_unit_test(rsa_moduli_are_bounded),
        cmocka_unit_test(a_modulus_of_the_broken_generator_is_left_out),
        cmocka_unit_test(keys_of_one_kid_are_left_out_unless_their_algorithms_differ),
        cmocka_unit_test(a_published_private_key_is_told),
        cmocka_unit_test(a_set_is_bounded),
        cmocka_unit_test(garbage_is_no_set),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
