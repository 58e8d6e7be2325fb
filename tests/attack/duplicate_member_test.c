/* B12, B15, D10: a name is there once, however it is escaped, at every depth; no normalisation
 * makes two names one. */
#include "tests/support/jose/judge.h"

static const struct judge_case cases[] = {
    {.sentence = "alg twice",
     .reason = CW_HEADER_MALFORMED,
     .header = "{\"alg\":\"none\",\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\"}"},
    {.sentence = "alg twice, once escaped",
     .reason = CW_HEADER_MALFORMED,
     .header = "{\"alg\":\"ES256\",\"al\\u0067\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\"}"},
    {.sentence = "kid twice, the same",
     .reason = CW_HEADER_MALFORMED,
     .header = "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\",\"kid\":\"ES256\"}"},
    {.sentence = "an escaped name is that name",
     .reason = CW_CRITICAL_UNSUPPORTED,
     .header = "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\",\"cri\\u0074\":[]}",
     .twin_header = "{\"al\\u0067\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\"}"},
    {.sentence = "a name in another normal form is another name",
     .reason = CW_ALGORITHM_MISSING,
     .header = "{\"al\xef\xbd\x87\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\"}"},
    {.sentence = "exp twice",
     .reason = CW_CLAIMS_MALFORMED,
     .payload = JUDGE_CLAIMS(",\"exp\":1900000000")},
    {.sentence = "sub twice, the same",
     .reason = CW_CLAIMS_MALFORMED,
     .payload = JUDGE_CLAIMS(",\"sub\":\"alice\"")},
    {.sentence = "sub twice, once escaped",
     .reason = CW_CLAIMS_MALFORMED,
     .payload = JUDGE_CLAIMS(",\"\\u0073ub\":\"admin\"")},
    {.sentence = "roles twice inside",
     .reason = CW_CLAIMS_MALFORMED,
     .payload = JUDGE_CLAIMS(",\"realm_access\":{\"roles\":[],\"roles\":[\"admin\"]}"),
     .twin_payload = JUDGE_CLAIMS(",\"realm_access\":{\"roles\":[]}")},
};

static void names_are_unique(void **state)
{
    (void)state;
    JUDGE_CASES(cases, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_are_unique)};
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
