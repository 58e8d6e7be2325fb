/* C7: Ed25519 signatures of exactly 64 bytes with S below the group's order, and keys that are no
 * point of small order. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"

/* L = 2^252 + 27742317777372353535851937790883648493, little-endian (RFC 8032 §5.1) */
static const unsigned char order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                        0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};

static enum cw_err judged(const unsigned char *signature, size_t n)
{
    char *header = judge_header("EdDSA");
    char *token = mint_join(cw_str(header), CW_STR(JUDGE_CLAIMS("")), signature, n);
    enum cw_err err = judge(cw_str(token), NULL, NULL, NULL);
    free(token);
    free(header);
    return err;
}

static void good_signature(unsigned char ret_signature[64])
{
    char *header = judge_header("EdDSA");
    char *input = mint_join(cw_str(header), CW_STR(JUDGE_CLAIMS("")), NULL, 0);
    size_t n;
    unsigned char *bytes =
        mint_sign(mint_key("EdDSA"), "EdDSA", (struct cw_str){input, strlen(input) - 1}, &n);
    assert_int_equal(n, 64);
    memcpy(ret_signature, bytes, 64);
    free(bytes);
    free(input);
    free(header);
}

static void one_signature_has_one_spelling(void **state)
{
    (void)state;
    unsigned char bytes[66] = {0};
    good_signature(bytes);
    judge_expect("as made", judged(bytes, 64), CW_OK);
    judge_expect("one short", judged(bytes, 63), CW_SIGNATURE_INVALID);
    judge_expect("half", judged(bytes, 32), CW_SIGNATURE_INVALID);
    judge_expect("one more", judged(bytes, 65), CW_SIGNATURE_INVALID);
    /* S + L signs the same (RFC 8032 §5.1.7 forbids it) */
    unsigned carry = 0;
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)bytes[32 + i] + order[i];
        bytes[32 + i] = (unsigned char)carry;
        carry >>= 8;
    }
    judge_expect("S + L", judged(bytes, 64), CW_SIGNATURE_INVALID);
    good_signature(bytes);
    bytes[31] ^= 0x80;
    judge_expect("another R", judged(bytes, 64), CW_SIGNATURE_INVALID);
    memset(bytes, 0, sizeof bytes);
    judge_expect("zeros", judged(bytes, 64), CW_SIGNATURE_INVALID);
    memset(bytes, 0xff, sizeof bytes);
    judge_expect("ones", judged(bytes, 64), CW_SIGNATURE_INVALID);
}

static const struct {
    const char *sentence;
    unsigned char first, fill, last;
} weak[] = {
    {"y = 0", 0, 0, 0},
    {"y = 0, sign set", 0, 0, 0x80},
    {"y = 1, the neutral element", 1, 0, 0},
    {"y = 1, sign set", 1, 0, 0x80},
    {"y = p - 1", 0xec, 0xff, 0x7f},
    {"y = p, not canonical", 0xed, 0xff, 0x7f},
    {"y = p + 1, not canonical", 0xee, 0xff, 0x7f},
    {"y = 2^255 - 1, not canonical", 0xff, 0xff, 0xff},
};

static void keys_of_small_order_are_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i <= CW_ARRAY_SIZE(weak); i++) {
        unsigned char x[32];
        size_t n = sizeof x;
        bool good = i == CW_ARRAY_SIZE(weak);
        if (good) {
            EVP_PKEY_get_raw_public_key(mint_key("EdDSA")->pkey, x, &n);
        } else {
            memset(x, weak[i].fill, sizeof x);
            x[0] = weak[i].first;
            x[31] = weak[i].last;
        }
        char *text = mint_b64url(x, sizeof x);
        char *set_text =
            mint_format("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}]}", text);
        struct cw_jwks_options options = {.allow_oct = false};
        struct cw_jwks *set = NULL;
        judge_expect(good ? "a good key" : weak[i].sentence,
                     cw_jwks_parse(cw_str(set_text), &options, &set, NULL),
                     good ? CW_OK : CW_KEYS_UNAVAILABLE);
        cw_jwks_unref(set);
        free(set_text);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_signature_has_one_spelling),
        cmocka_unit_test(keys_of_small_order_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
