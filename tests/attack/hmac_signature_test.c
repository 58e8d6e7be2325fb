/* C8: a MAC is compared whole; a part of it, or more than it, is none. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"

static enum cw_err judged(const struct cw_jwks *set, const unsigned char *mac, size_t n)
{
    struct cw_token_policy policy = judge_policy();
    policy.algorithms = CW_ALG_SET_SECRET;
    char *header = judge_header("HS256");
    char *token = mint_join(cw_str(header), CW_STR(JUDGE_CLAIMS("")), mac, n);
    enum cw_err err = judge(cw_str(token), &policy, set, NULL);
    free(token);
    free(header);
    return err;
}

static void a_mac_is_compared_whole(void **state)
{
    (void)state;
    struct cw_jwks *set = judge_keys(true);
    char *header = judge_header("HS256");
    char *input = mint_join(cw_str(header), CW_STR(JUDGE_CLAIMS("")), NULL, 0);
    size_t n;
    unsigned char *mac =
        mint_sign(mint_key("HS256"), "HS256", (struct cw_str){input, strlen(input) - 1}, &n);
    judge_expect("as made", judged(set, mac, 32), CW_OK);
    for (size_t i = 1; i < 32; i++) {
        judge_expect("cut off", judged(set, mac, i), CW_SIGNATURE_INVALID);
    }
    mac[32] = 0;
    judge_expect("one more", judged(set, mac, 33), CW_SIGNATURE_INVALID);
    for (size_t bit = 0; bit < 256; bit++) {
        mac[bit / 8] ^= (unsigned char)(1 << bit % 8);
        judge_expect("one bit off", judged(set, mac, 32), CW_SIGNATURE_INVALID);
        mac[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    free(mac);
    free(input);
    free(header);
    cw_jwks_unref(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_mac_is_compared_whole)};
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
