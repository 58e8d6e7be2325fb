/* C4–C6: PKCS #1 v1.5 and PSS as RFC 7518 fixes them, at exactly the modulus' length. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/sha256.h"
#include "tests/support/jose/judge.h"

enum { MODULUS = 256 }; /* bytes */

static enum cw_err judged(const char *alg, const unsigned char *signature, size_t n)
{
    char *header = judge_header(alg);
    char *token = mint_join(cw_str(header), CW_STR(JUDGE_CLAIMS("")), signature, n);
    enum cw_err err = judge(cw_str(token), NULL, NULL, NULL);
    free(token);
    free(header);
    return err;
}

static char *input_of(const char *alg)
{
    char *header = judge_header(alg);
    char *input = mint_join(cw_str(header), CW_STR(JUDGE_CLAIMS("")), NULL, 0);
    input[strlen(input) - 1] = '\0';
    free(header);
    return input;
}

static unsigned char *good_signature(const char *alg)
{
    char *input = input_of(alg);
    size_t n;
    unsigned char *bytes = mint_sign(mint_key(alg), alg, cw_str(input), &n);
    assert_int_equal(n, MODULUS);
    free(input);
    return bytes;
}

/* What a forger with a bad verifier in mind would have signed: any block, raised to d. */
static void raw_sign(const unsigned char block[MODULUS], unsigned char ret_signature[MODULUS])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, mint_key("RS256")->pkey, NULL);
    size_t n = MODULUS;
    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
    assert_int_equal(EVP_PKEY_sign(ctx, ret_signature, &n, block, MODULUS), 1);
    EVP_PKEY_CTX_free(ctx);
}

static const unsigned char sha256_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                            0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                            0x01, 0x05, 0x00, 0x04, 0x20};

/* 00 01 FF… 00 DigestInfo hash, with `pad` bytes of FF and zeros behind where it is too short. */
static void block_of(const unsigned char *info, size_t info_n, size_t pad, unsigned char type,
                     unsigned char ret_block[MODULUS])
{
    char *input = input_of("RS256");
    unsigned char *p = ret_block;
    memset(ret_block, 0, MODULUS);
    *p++ = 0;
    *p++ = type;
    memset(p, 0xff, pad);
    p += pad + 1;
    memcpy(p, info, info_n);
    assert_int_equal(cw_sha256(cw_str(input), p + info_n), CW_OK);
    free(input);
}

static void padding_games_are_lost(void **state)
{
    (void)state;
    enum { FULL = MODULUS - 3 - sizeof sha256_info - CW_SHA256_SIZE };
    /* the same DigestInfo without its NULL, and with BER's long lengths */
    static const unsigned char no_null[] = {0x30, 0x2f, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48,
                                            0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x04, 0x20};
    static const unsigned char ber[] = {0x30, 0x81, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48,
                                        0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    unsigned char sha384_oid[sizeof sha256_info];
    memcpy(sha384_oid, sha256_info, sizeof sha384_oid);
    sha384_oid[14] = 2;
    const struct {
        const char *sentence;
        const unsigned char *info;
        size_t n, pad;
        unsigned char type;
        enum cw_err reason;
    } rows[] = {
        {"as it should be", sha256_info, sizeof sha256_info, FULL, 1, CW_OK},
        {"garbage behind", sha256_info, sizeof sha256_info, 8, 1, CW_SIGNATURE_INVALID},
        {"one byte of padding less", sha256_info, sizeof sha256_info, FULL - 1, 1,
         CW_SIGNATURE_INVALID},
        {"block type 2", sha256_info, sizeof sha256_info, FULL, 2, CW_SIGNATURE_INVALID},
        {"block type 0", sha256_info, sizeof sha256_info, FULL, 0, CW_SIGNATURE_INVALID},
        {"another digest's OID", sha384_oid, sizeof sha384_oid, FULL, 1, CW_SIGNATURE_INVALID},
        {"BER length", ber, sizeof ber, FULL - 1, 1, CW_SIGNATURE_INVALID},
        {"NULL missing", no_null, sizeof no_null, FULL + 2, 1, CW_SIGNATURE_INVALID},
        {"no DigestInfo", NULL, 0, FULL + sizeof sha256_info, 1, CW_SIGNATURE_INVALID},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        unsigned char block[MODULUS], signature[MODULUS];
        block_of(rows[i].info ? rows[i].info : sha256_info, rows[i].n, rows[i].pad, rows[i].type,
                 block);
        raw_sign(block, signature);
        judge_expect(rows[i].sentence, judged("RS256", signature, MODULUS), rows[i].reason);
    }
}

static void pss_has_one_salt_length_and_one_hash(void **state)
{
    (void)state;
    static const struct {
        const char *sentence;
        const char *alg, *digest, *mgf;
        int salt;
        enum cw_err reason;
    } rows[] = {
        {"as it should be", "PS256", "SHA256", "SHA256", 32, CW_OK},
        {"no salt", "PS256", "SHA256", "SHA256", 0, CW_SIGNATURE_INVALID},
        {"salt one short", "PS256", "SHA256", "SHA256", 31, CW_SIGNATURE_INVALID},
        {"salt one long", "PS256", "SHA256", "SHA256", 33, CW_SIGNATURE_INVALID},
        {"the longest salt", "PS256", "SHA256", "SHA256", 222, CW_SIGNATURE_INVALID},
        {"MGF1 with SHA-1", "PS256", "SHA256", "SHA1", 32, CW_SIGNATURE_INVALID},
        {"MGF1 with SHA-512", "PS256", "SHA256", "SHA512", 32, CW_SIGNATURE_INVALID},
        {"another hash", "PS256", "SHA384", "SHA384", 48, CW_SIGNATURE_INVALID},
        {"PS384 as it should be", "PS384", "SHA384", "SHA384", 48, CW_OK},
        {"PS384 with PS256's salt", "PS384", "SHA384", "SHA384", 32, CW_SIGNATURE_INVALID},
        {"PS512 as it should be", "PS512", "SHA512", "SHA512", 64, CW_OK},
        {"PS512 without salt", "PS512", "SHA512", "SHA512", 0, CW_SIGNATURE_INVALID},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        char *input = input_of(rows[i].alg);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *p = NULL;
        unsigned char bytes[MODULUS];
        size_t n = sizeof bytes;
        assert_int_equal(EVP_DigestSignInit_ex(ctx, &p, rows[i].digest, NULL, NULL,
                                               mint_key("PS256")->pkey, NULL),
                         1);
        EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(p, rows[i].salt);
        EVP_PKEY_CTX_set_rsa_mgf1_md_name(p, rows[i].mgf, NULL);
        assert_int_equal(
            EVP_DigestSign(ctx, bytes, &n, (const unsigned char *)input, strlen(input)), 1);
        EVP_MD_CTX_free(ctx);
        free(input);
        judge_expect(rows[i].sentence, judged(rows[i].alg, bytes, n), rows[i].reason);
    }
}

/* One padding does not pass for the other under one kid: PS256's signature below an RS256 header.
 */
static void the_two_paddings_are_two_algorithms(void **state)
{
    (void)state;
    char *input = input_of("RS256");
    size_t n;
    unsigned char *bytes = mint_sign(mint_key("PS256"), "PS256", cw_str(input), &n);
    judge_expect("PSS below RS256", judged("RS256", bytes, n), CW_SIGNATURE_INVALID);
    free(bytes);
    free(input);
    input = input_of("PS256");
    bytes = mint_sign(mint_key("RS256"), "RS256", cw_str(input), &n);
    judge_expect("v1.5 below PS256", judged("PS256", bytes, n), CW_SIGNATURE_INVALID);
    free(bytes);
    free(input);
}

static void the_length_is_the_modulus(void **state)
{
    (void)state;
    unsigned char *good = good_signature("RS256");
    unsigned char bytes[MODULUS + 4] = {0};
    judge_expect("as made", judged("RS256", good, MODULUS), CW_OK);
    judge_expect("4 bytes", judged("RS256", good, 4), CW_SIGNATURE_INVALID);
    judge_expect("one short", judged("RS256", good, MODULUS - 1), CW_SIGNATURE_INVALID);
    memcpy(bytes, good, MODULUS);
    judge_expect("a zero behind", judged("RS256", bytes, MODULUS + 1), CW_SIGNATURE_INVALID);
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes + 1, good, MODULUS);
    judge_expect("a zero before", judged("RS256", bytes, MODULUS + 1), CW_SIGNATURE_INVALID);
    memset(bytes, 0, sizeof bytes);
    judge_expect("zero", judged("RS256", bytes, MODULUS), CW_SIGNATURE_INVALID);
    memset(bytes, 0xff, sizeof bytes);
    judge_expect("all ones", judged("RS256", bytes, MODULUS), CW_SIGNATURE_INVALID);
    /* s + n has the same value modulo n */
    BIGNUM *n = NULL, *s = BN_bin2bn(good, MODULUS, NULL);
    EVP_PKEY_get_bn_param(mint_key("RS256")->pkey, OSSL_PKEY_PARAM_RSA_N, &n);
    BN_add(s, s, n);
    if (BN_num_bytes(s) == MODULUS) {
        BN_bn2binpad(s, bytes, MODULUS);
        judge_expect("not reduced", judged("RS256", bytes, MODULUS), CW_SIGNATURE_INVALID);
    }
    BN_bn2binpad(s, bytes, MODULUS + 1);
    judge_expect("not reduced, longer", judged("RS256", bytes, MODULUS + 1), CW_SIGNATURE_INVALID);
    BN_free(s);
    BN_free(n);
    free(good);
}

static void every_bit_counts(void **state)
{
    (void)state;
    unsigned char *good = good_signature("RS256");
    for (size_t bit = 0; bit < MODULUS * 8; bit += 61) {
        good[bit / 8] ^= (unsigned char)(1 << bit % 8);
        judge_expect("one bit off", judged("RS256", good, MODULUS), CW_SIGNATURE_INVALID);
        good[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    judge_expect("all right", judged("RS256", good, MODULUS), CW_OK);
    free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padding_games_are_lost),
        cmocka_unit_test(pss_has_one_salt_length_and_one_hash),
        cmocka_unit_test(the_two_paddings_are_two_algorithms),
        cmocka_unit_test(the_length_is_the_modulus),
        cmocka_unit_test(every_bit_counts),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
