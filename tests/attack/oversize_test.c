/* A7, D12, D13: size is judged first, by nothing but its number; depth and members are bounded
 * before JSON is built. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"

static char *filled(size_t n)
{
    char *text = malloc(n + 1);
    memset(text, 'A', n);
    text[n] = '\0';
    return text;
}

/* A good token of exactly n bytes, or the nearest below that base64url can spell. */
static char *token_of(size_t n)
{
    char *header = judge_header("ES256");
    size_t lead = strlen(header), fill = n * 3 / 4 - lead - 64 - strlen(JUDGE_CLAIMS("")) - 16;
    char *token = NULL;
    for (;; fill++) {
        char *x = filled(fill);
        char *payload = mint_format("{" JUDGE_BASE ",\"x\":\"%s\"}", x);
        char *next = mint_token(mint_key("ES256"), "ES256", cw_str(header), cw_str(payload));
        free(payload);
        free(x);
        if (strlen(next) > n) {
            free(next);
            break;
        }
        free(token);
        token = next;
    }
    free(header);
    return token;
}

static void a_token_of_16_kib_passes_and_one_byte_more_does_not(void **state)
{
    (void)state;
    char *good = token_of(CW_JWS_TOKEN_MAX);
    assert_true(strlen(good) > CW_JWS_TOKEN_MAX - 4);
    judge_expect("16 KiB", judge(cw_str(good), NULL, NULL, NULL), CW_OK);
    char *bad = mint_format("%s%.*s", good, (int)(CW_JWS_TOKEN_MAX + 1 - strlen(good)), "AAAA");
    assert_int_equal(strlen(bad), CW_JWS_TOKEN_MAX + 1);
    judge_expect("16 KiB + 1", judge(cw_str(bad), NULL, NULL, NULL), CW_TOKEN_TOO_LARGE);
    free(bad);
    free(good);
}

static void nine_megabytes_end_at_the_first_check(void **state)
{
    (void)state;
    char *huge = filled(9000000);
    judge_expect("9 MB", judge(cw_str(huge), NULL, NULL, NULL), CW_TOKEN_TOO_LARGE);
    free(huge);
}

static char *nested(size_t depth)
{
    char *text = malloc(2 * depth + 1);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = '\0';
    return text;
}

static enum cw_err with_claim(const char *json)
{
    char *header = judge_header("ES256");
    char *payload = mint_format("{" JUDGE_BASE ",\"x\":%s}", json);
    char *token = mint_token(mint_key("ES256"), "ES256", cw_str(header), cw_str(payload));
    enum cw_err err = judge(cw_str(token), NULL, NULL, NULL);
    free(token);
    free(payload);
    free(header);
    return err;
}

static void depth_is_bounded(void **state)
{
    (void)state;
    char *good = nested(CW_JSON_DEPTH_MAX - 1), *bad = nested(CW_JSON_DEPTH_MAX),
         *bomb = nested(5000);
    judge_expect("16 deep", with_claim(good), CW_OK);
    judge_expect("17 deep", with_claim(bad), CW_CLAIMS_MALFORMED);
    judge_expect("5000 deep", with_claim(bomb), CW_CLAIMS_MALFORMED);
    free(bomb);
    free(bad);
    free(good);
}

static char *commas(size_t n)
{
    char *text = malloc(2 * n + 4);
    text[0] = '[';
    for (size_t i = 0; i < n; i++) {
        memcpy(text + 1 + 2 * i, "0,", 2);
    }
    memcpy(text + 1 + 2 * n, "0]", 3);
    return text;
}

static void the_number_of_values_is_bounded(void **state)
{
    (void)state;
    char *good = commas(2000), *bad = commas(CW_JSON_VALUES_MAX);
    judge_expect("2000 values", with_claim(good), CW_OK);
    judge_expect("2049 values", with_claim(bad), CW_CLAIMS_MALFORMED);
    free(bad);
    free(good);
}

static void a_header_above_4_kib_is_refused(void **state)
{
    (void)state;
    for (int bad = 0; bad <= 1; bad++) {
        char *x = filled(bad ? CW_JWS_HEADER_MAX : 3900);
        char *header =
            mint_format("{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\",\"x\":\"%s\"}", x);
        char *token =
            mint_token(mint_key("ES256"), "ES256", cw_str(header), CW_STR(JUDGE_CLAIMS("")));
        judge_expect(bad ? "above 4 KiB" : "below 4 KiB", judge(cw_str(token), NULL, NULL, NULL),
                     bad ? CW_HEADER_MALFORMED : CW_OK);
        free(token);
        free(header);
        free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_of_16_kib_passes_and_one_byte_more_does_not),
        cmocka_unit_test(nine_megabytes_end_at_the_first_check),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(the_number_of_values_is_bounded),
        cmocka_unit_test(a_header_above_4_kib_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
