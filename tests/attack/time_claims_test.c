/* D1–D5: times are finite numbers within bounds, never saturate, and the leeway counts once. */
#include "tests/support/jose/judge.h"

#define ID "\"iss\":\"" JUDGE_ISSUER "\",\"sub\":\"alice\",\"aud\":\"" JUDGE_AUDIENCE "\""
#define EXP(json) "{" ID ",\"exp\":" json "}"
#define NBF(json) "{" ID ",\"exp\":1700000600,\"nbf\":" json "}"
#define IAT(json) "{" ID ",\"exp\":1700000600,\"iat\":" json "}"
#define GOOD EXP("1700000600")
#define ROW(what, err, bad)                                                                        \
    {                                                                                              \
        .sentence = (what), .reason = (err), .payload = bad, .twin_payload = GOOD                  \
    }
#define PAIR(what, err, bad, good)                                                                 \
    {                                                                                              \
        .sentence = (what), .reason = (err), .payload = bad, .twin_payload = good                  \
    }

static const struct judge_case cases[] = {
    ROW("exp missing", CW_CLAIM_MISSING, "{" ID "}"),
    ROW("exp a string", CW_CLAIM_INVALID, EXP("\"1700000600\"")),
    ROW("exp true", CW_CLAIM_INVALID, EXP("true")),
    ROW("exp null", CW_CLAIM_INVALID, EXP("null")),
    ROW("exp an array", CW_CLAIM_INVALID, EXP("[1700000600]")),
    ROW("exp an object", CW_CLAIM_INVALID, EXP("{}")),
    ROW("exp 1e400", CW_CLAIMS_MALFORMED, EXP("1e400")),
    ROW("exp 2^63", CW_CLAIMS_MALFORMED, EXP("9223372036854775808")),
    ROW("exp 2^63 - 1", CW_CLAIM_INVALID, EXP("9223372036854775807")),
    ROW("exp 2.001e206", CW_CLAIM_INVALID, EXP("2.001e206")),
    ROW("exp -1", CW_CLAIM_INVALID, EXP("-1")),
    ROW("exp 0", CW_CLAIM_INVALID, EXP("0")),
    ROW("exp -0", CW_CLAIM_INVALID, EXP("-0")),
    ROW("exp -0.0", CW_CLAIM_INVALID, EXP("-0.0")),
    ROW("exp 0.5", CW_CLAIM_INVALID, EXP("0.5")),
    ROW("exp 1e-400", CW_CLAIM_INVALID, EXP("1e-400")),
    ROW("exp NaN", CW_CLAIMS_MALFORMED, EXP("NaN")),
    ROW("exp Infinity", CW_CLAIMS_MALFORMED, EXP("Infinity")),
    ROW("exp with a leading zero", CW_CLAIMS_MALFORMED, EXP("01700000600")),
    ROW("exp hexadecimal", CW_CLAIMS_MALFORMED, EXP("0x7fffffff")),
    PAIR("exp in the year 10000", CW_CLAIM_INVALID, EXP("253402300800"), EXP("253402300799")),
    PAIR("exp 1e9 is 2001", CW_TOKEN_EXPIRED, EXP("1e9"), EXP("1.7000006e9")),
    PAIR("exp mod 2^32 would be alive", CW_TOKEN_EXPIRED, EXP("1"), EXP("4294967296")),
    PAIR("exp now", CW_TOKEN_EXPIRED, EXP("1700000000"), EXP("1700000001")),
    PAIR("exp past", CW_TOKEN_EXPIRED, EXP("1699999999"), EXP("1700000001")),
    PAIR("exp rounds down", CW_TOKEN_EXPIRED, EXP("1700000000.999"), EXP("1700000001.0")),
    PAIR("nbf to come", CW_TOKEN_NOT_YET_VALID, NBF("1700000001"), NBF("1700000000")),
    PAIR("nbf rounds up", CW_TOKEN_NOT_YET_VALID, NBF("1700000000.001"), NBF("1699999999.5")),
    ROW("nbf a string", CW_CLAIM_INVALID, NBF("\"1\"")),
    ROW("nbf null", CW_CLAIM_INVALID, NBF("null")),
    ROW("nbf negative", CW_CLAIM_INVALID, NBF("-1")),
    PAIR("iat to come", CW_TOKEN_NOT_YET_VALID, IAT("1700000001"), IAT("1700000000")),
    ROW("iat a string", CW_CLAIM_INVALID, IAT("\"1700000000\"")),
    ROW("iat false", CW_CLAIM_INVALID, IAT("false")),
    ROW("iat in the year 10000", CW_CLAIM_INVALID, IAT("253402300800")),
};

static void times_are_exact(void **state)
{
    (void)state;
    JUDGE_CASES(cases, NULL, NULL);
}

static const struct judge_case with_leeway[] = {
    PAIR("exp 30 s ago", CW_TOKEN_EXPIRED, EXP("1699999970"), EXP("1699999971")),
    PAIR("nbf in 31 s", CW_TOKEN_NOT_YET_VALID, NBF("1700000031"), NBF("1700000030")),
    PAIR("iat in 31 s", CW_TOKEN_NOT_YET_VALID, IAT("1700000031"), IAT("1700000030")),
    PAIR("nbf after exp", CW_CLAIM_INVALID, "{" ID ",\"exp\":1699999980,\"nbf\":1699999990}",
         "{" ID ",\"exp\":1699999990,\"nbf\":1699999980}"),
    PAIR("iat after exp", CW_CLAIM_INVALID, "{" ID ",\"exp\":1699999980,\"iat\":1699999990}",
         "{" ID ",\"exp\":1699999990,\"iat\":1699999980}"),
};

static void the_leeway_counts_once(void **state)
{
    (void)state;
    struct cw_token_policy policy = judge_policy();
    policy.claims.leeway = 30;
    JUDGE_CASES(with_leeway, &policy, NULL);
}

static const struct judge_case beyond_bound[] = {
    PAIR("exp 60 s ago", CW_TOKEN_EXPIRED, EXP("1699999940"), EXP("1699999941")),
};

static void no_setting_makes_the_leeway_more_than_a_minute(void **state)
{
    (void)state;
    struct cw_token_policy policy = judge_policy();
    policy.claims.leeway = 1000000;
    JUDGE_CASES(beyond_bound, &policy, NULL);
    policy.claims.leeway = -1000;
    const struct judge_case negative[] = {
        PAIR("exp now", CW_TOKEN_EXPIRED, EXP("1700000000"), EXP("1700000001"))};
    JUDGE_CASES(negative, &policy, NULL);
}

static const struct judge_case lifetimes[] = {
    PAIR("an hour and a second", CW_LIFETIME_EXCESSIVE,
         "{" ID ",\"iat\":1700000000,\"exp\":1700003601}",
         "{" ID ",\"iat\":1700000000,\"exp\":1700003600}"),
    PAIR("without iat from now", CW_LIFETIME_EXCESSIVE, EXP("1700003601"), EXP("1700003600")),
    PAIR("a hundred years", CW_LIFETIME_EXCESSIVE, "{" ID ",\"iat\":1700000000,\"exp\":4853600000}",
         "{" ID ",\"iat\":1700000000,\"exp\":1700000001}"),
};

static void a_life_can_be_bounded(void **state)
{
    (void)state;
    struct cw_token_policy policy = judge_policy();
    policy.claims.max_lifetime = 3600;
    JUDGE_CASES(lifetimes, &policy, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_exact),
        cmocka_unit_test(the_leeway_counts_once),
        cmocka_unit_test(no_setting_makes_the_leeway_more_than_a_minute),
        cmocka_unit_test(a_life_can_be_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
