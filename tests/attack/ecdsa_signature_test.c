/* C1–C3: r and s in their ranges and at their exact length; both of the two signatures that ECDSA
 * has for one message are good, which is why nothing is ever keyed by a token's bytes. */
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"

enum { SIZE_MAX_ES = 132 };

struct made {
    const char *alg;
    size_t size; /* bytes of r || s */
    char *header;
    char *token;
    unsigned char signature[SIZE_MAX_ES + 8];
    BIGNUM *order;
};

static struct made make(const char *alg)
{
    struct made m = {.alg = alg, .size = cw_alg_find(cw_str(alg))->signature_size};
    m.header = judge_header(alg);
    char *input = mint_join(cw_str(m.header), CW_STR(JUDGE_CLAIMS("")), NULL, 0);
    size_t n;
    unsigned char *bytes =
        mint_sign(mint_key(alg), alg, (struct cw_str){input, strlen(input) - 1}, &n);
    memcpy(m.signature, bytes, n);
    free(bytes);
    free(input);
    EC_GROUP *group = EC_GROUP_new_by_curve_name(EC_curve_nist2nid(cw_alg_find(cw_str(alg))->crv));
    m.order = BN_dup(EC_GROUP_get0_order(group));
    EC_GROUP_free(group);
    return m;
}

static void unmake(struct made *m)
{
    free(m->header);
    BN_free(m->order);
}

static enum cw_err judged(const struct made *m, const unsigned char *signature, size_t n)
{
    char *token = mint_join(cw_str(m->header), CW_STR(JUDGE_CLAIMS("")), signature, n);
    enum cw_err err = judge(cw_str(token), NULL, NULL, NULL);
    free(token);
    return err;
}

static const char *const algorithms[] = {"ES256", "ES384", "ES512"};

/* CVE-2022-21449: {0, 1, n-1, n} for r and for s. */
static void psychic_signatures_are_refused(void **state)
{
    (void)state;
    for (size_t a = 0; a < CW_ARRAY_SIZE(algorithms); a++) {
        struct made m = make(algorithms[a]);
        judge_expect(m.alg, judged(&m, m.signature, m.size), CW_OK);
        for (int i = 0; i < 16; i++) {
            unsigned char bytes[SIZE_MAX_ES] = {0};
            for (int half = 0; half < 2; half++) {
                BIGNUM *value = BN_new();
                int choice = half ? i / 4 : i % 4;
                if (choice == 1) {
                    BN_one(value);
                } else if (choice >= 2) {
                    BN_copy(value, m.order);
                    BN_sub_word(value, choice == 2);
                }
                BN_bn2binpad(value, bytes + (size_t)half * m.size / 2, (int)m.size / 2);
                BN_free(value);
            }
            judge_expect(m.alg, judged(&m, bytes, m.size), CW_SIGNATURE_INVALID);
        }
        unmake(&m);
    }
}

static void the_length_is_exact(void **state)
{
    (void)state;
    for (size_t a = 0; a < CW_ARRAY_SIZE(algorithms); a++) {
        struct made m = make(algorithms[a]);
        judge_expect("as made", judged(&m, m.signature, m.size), CW_OK);
        for (size_t n = 1; n < m.size; n++) {
            judge_expect("cut off", judged(&m, m.signature, n), CW_SIGNATURE_INVALID);
        }
        judge_expect("zeros behind", judged(&m, m.signature, m.size + 2), CW_SIGNATURE_INVALID);
        /* 0 || r || 0 || s: right for whoever cuts in the middle */
        unsigned char padded[SIZE_MAX_ES + 2] = {0};
        memcpy(padded + 1, m.signature, m.size / 2);
        memcpy(padded + m.size / 2 + 2, m.signature + m.size / 2, m.size / 2);
        judge_expect("zeros before", judged(&m, padded, m.size + 2), CW_SIGNATURE_INVALID);
        unmake(&m);
    }
}

static void der_is_refused(void **state)
{
    (void)state;
    struct made m = make("ES256");
    ECDSA_SIG *sig = ECDSA_SIG_new();
    ECDSA_SIG_set0(sig, BN_bin2bn(m.signature, 32, NULL), BN_bin2bn(m.signature + 32, 32, NULL));
    unsigned char *der = NULL;
    int n = i2d_ECDSA_SIG(sig, &der);
    judge_expect("raw", judged(&m, m.signature, m.size), CW_OK);
    judge_expect("DER", judged(&m, der, (size_t)n), CW_SIGNATURE_INVALID);
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
    unmake(&m);
}

/* RFC 7518 has no low-s rule: (r, n-s) is good, and is another token. */
static void the_second_signature_is_good_too(void **state)
{
    (void)state;
    struct made m = make("ES256");
    BIGNUM *s = BN_bin2bn(m.signature + 32, 32, NULL);
    BN_sub(s, m.order, s);
    unsigned char other[64];
    memcpy(other, m.signature, 32);
    BN_bn2binpad(s, other + 32, 32);
    assert_memory_not_equal(other, m.signature, 64);
    judge_expect("n - s", judged(&m, other, 64), CW_OK);
    other[63] ^= 1;
    judge_expect("n - s, one bit off", judged(&m, other, 64), CW_SIGNATURE_INVALID);
    BN_free(s);
    unmake(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(psychic_signatures_are_refused),
        cmocka_unit_test(the_length_is_exact),
        cmocka_unit_test(der_is_refused),
        cmocka_unit_test(the_second_signature_is_good_too),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
