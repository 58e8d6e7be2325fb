/* B1, B2, B14: `alg` is one exact name of the issuer's list; `none` in no spelling. */
#include <stdlib.h>

#include "tests/support/jose/judge.h"

#define ALG(json) "{\"alg\":" json ",\"typ\":\"JWT\",\"kid\":\"ES256\"}"

static const struct judge_case cases[] = {
    {.sentence = "none", .reason = CW_ALGORITHM_NOT_ALLOWED, .header = ALG("\"none\"")},
    {.sentence = "None", .reason = CW_ALGORITHM_NOT_ALLOWED, .header = ALG("\"None\"")},
    {.sentence = "NONE", .reason = CW_ALGORITHM_NOT_ALLOWED, .header = ALG("\"NONE\"")},
    {.sentence = "nOnE", .reason = CW_ALGORITHM_NOT_ALLOWED, .header = ALG("\"nOnE\"")},
    {.sentence = "noNe", .reason = CW_ALGORITHM_NOT_ALLOWED, .header = ALG("\"noNe\"")},
    {.sentence = "empty", .reason = CW_ALGORITHM_NOT_ALLOWED, .header = ALG("\"\"")},
    {.sentence = "lower case", .reason = CW_ALGORITHM_NOT_ALLOWED, .header = ALG("\"es256\"")},
    {.sentence = "a space", .reason = CW_ALGORITHM_NOT_ALLOWED, .header = ALG("\"ES256 \"")},
    {.sentence = "a newline", .reason = CW_ALGORITHM_NOT_ALLOWED, .header = ALG("\"ES256\\n\"")},
    {.sentence = "an escaped NUL",
     .reason = CW_HEADER_MALFORMED,
     .header = ALG("\"ES256\\u0000\"")},
    {.sentence = "a curve that is not ours",
     .reason = CW_ALGORITHM_NOT_ALLOWED,
     .header = ALG("\"ES256K\"")},
    {.sentence = "HS256 of a public issuer",
     .reason = CW_ALGORITHM_NOT_ALLOWED,
     .header = ALG("\"HS256\"")},
    {.sentence = "alg absent",
     .reason = CW_ALGORITHM_MISSING,
     .header = "{\"typ\":\"JWT\",\"kid\":\"ES256\"}"},
    {.sentence = "alg a number", .reason = CW_ALGORITHM_MISSING, .header = ALG("256")},
    {.sentence = "alg null", .reason = CW_ALGORITHM_MISSING, .header = ALG("null")},
    {.sentence = "alg true", .reason = CW_ALGORITHM_MISSING, .header = ALG("true")},
    {.sentence = "alg an array", .reason = CW_ALGORITHM_MISSING, .header = ALG("[\"ES256\"]")},
    {.sentence = "alg an object", .reason = CW_ALGORITHM_MISSING, .header = ALG("{}")},
    {.sentence = "header an array", .reason = CW_HEADER_MALFORMED, .header = "[\"ES256\"]"},
    {.sentence = "header a string", .reason = CW_HEADER_MALFORMED, .header = "\"ES256\""},
    {.sentence = "header null", .reason = CW_HEADER_MALFORMED, .header = "null"},
    {.sentence = "header no JSON", .reason = CW_HEADER_MALFORMED, .header = "alg=ES256"},
    {.sentence = "text behind the header",
     .reason = CW_HEADER_MALFORMED,
     .header = "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\"} x"},
    {.sentence = "two headers",
     .reason = CW_HEADER_MALFORMED,
     .header = "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\"}{}"},
};

static void alg_is_one_exact_name(void **state)
{
    (void)state;
    JUDGE_CASES(cases, NULL, NULL);
}

static void the_issuers_list_decides(void **state)
{
    (void)state;
    struct cw_token_policy policy = judge_policy();
    for (unsigned id = CW_ALG_RS256; id < CW_ALG_COUNT; id++) {
        const struct cw_alg *alg = cw_alg_at((enum cw_alg_id)id);
        char *header = judge_header(alg->name);
        char *token =
            mint_token(mint_key(alg->name), alg->name, cw_str(header), CW_STR(JUDGE_CLAIMS("")));
        policy.algorithms = cw_alg_bit(alg);
        judge_expect(alg->name, judge(cw_str(token), &policy, NULL, NULL), CW_OK);
        policy.algorithms = CW_ALG_SET_PUBLIC & ~cw_alg_bit(alg);
        judge_expect(alg->name, judge(cw_str(token), &policy, NULL, NULL),
                     CW_ALGORITHM_NOT_ALLOWED);
        free(token);
        free(header);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alg_is_one_exact_name),
        cmocka_unit_test(the_issuers_list_decides),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
