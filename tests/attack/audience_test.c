/* D6: `aud` is a string or an array of strings, compared byte for byte, never by its parts. */
#include "tests/support/jose/judge.h"

#define AUD(json)                                                                                  \
    "{\"iss\":\"" JUDGE_ISSUER "\",\"sub\":\"alice\",\"exp\":1700000600,\"aud\":" json "}"
#define NO_AUD "{\"iss\":\"" JUDGE_ISSUER "\",\"sub\":\"alice\",\"exp\":1700000600}"
#define GOOD "\"" JUDGE_AUDIENCE "\""
#define ROW(what, err, json)                                                                       \
    {                                                                                              \
        .sentence = (what), .reason = (err), .payload = AUD(json), .twin_payload = AUD(GOOD)       \
    }

static const struct judge_case cases[] = {
    {.sentence = "missing", .reason = CW_AUDIENCE_MISMATCH, .payload = NO_AUD},
    ROW("another", CW_AUDIENCE_MISMATCH, "\"https://other.example\""),
    ROW("empty", CW_AUDIENCE_MISMATCH, "\"\""),
    ROW("an empty array", CW_AUDIENCE_MISMATCH, "[]"),
    ROW("an array of others", CW_AUDIENCE_MISMATCH, "[\"a\",\"b\"]"),
    ROW("a trailing slash", CW_AUDIENCE_MISMATCH, "\"" JUDGE_AUDIENCE "/\""),
    ROW("another scheme", CW_AUDIENCE_MISMATCH, "\"http://api.example\""),
    ROW("without the scheme", CW_AUDIENCE_MISMATCH, "\"api.example\""),
    ROW("another case", CW_AUDIENCE_MISMATCH, "\"https://API.example\""),
    ROW("a prefix", CW_AUDIENCE_MISMATCH, "\"https://api.exampl\""),
    ROW("a longer one", CW_AUDIENCE_MISMATCH, "\"https://api.example.evil\""),
    ROW("two in one string", CW_AUDIENCE_MISMATCH, "\"" JUDGE_AUDIENCE " b\""),
    ROW("a number", CW_CLAIM_INVALID, "1"),
    ROW("null", CW_CLAIM_INVALID, "null"),
    ROW("an object", CW_CLAIM_INVALID, "{\"0\":" GOOD "}"),
    ROW("a nested array", CW_CLAIM_INVALID, "[[" GOOD "]]"),
    {.sentence = "a number beside it",
     .reason = CW_CLAIM_INVALID,
     .payload = AUD("[" GOOD ",1]"),
     .twin_payload = AUD("[\"a\"," GOOD ",\"b\"]")},
};

static void the_audience_is_compared_byte_for_byte(void **state)
{
    (void)state;
    JUDGE_CASES(cases, NULL, NULL);
}

static void without_audiences_its_form_still_counts(void **state)
{
    (void)state;
    struct cw_token_policy policy = judge_policy();
    policy.claims.audience_count = 0;
    const struct judge_case rows[] = {
        {.sentence = "a number where any is accepted",
         .reason = CW_CLAIM_INVALID,
         .payload = AUD("[1]"),
         .twin_payload = AUD("\"whatever\"")},
        {.sentence = "an object where any is accepted",
         .reason = CW_CLAIM_INVALID,
         .payload = AUD("{}"),
         .twin_payload = NO_AUD},
    };
    JUDGE_CASES(rows, &policy, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_audience_is_compared_byte_for_byte),
        cmocka_unit_test(without_audiences_its_form_still_counts),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
