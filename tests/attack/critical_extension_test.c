/* B10, B11: no extension is implemented, so whatever demands one is refused. */
#include "tests/support/jose/judge.h"

#define WITH(more) "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ES256\"," more "}"
#define ROW(what, more)                                                                            \
    {                                                                                              \
        .sentence = (what), .reason = CW_CRITICAL_UNSUPPORTED, .header = WITH(more),               \
        .twin_header = WITH("\"exp\":1,\"x\":1")                                                   \
    }

static const struct judge_case cases[] = {
    ROW("an unknown name", "\"crit\":[\"x\"],\"x\":1"),
    ROW("a registered name", "\"crit\":[\"alg\"]"),
    ROW("an absent name", "\"crit\":[\"exp\"]"),
    ROW("an empty array", "\"crit\":[]"),
    ROW("duplicates", "\"crit\":[\"x\",\"x\"],\"x\":1"),
    ROW("a string", "\"crit\":\"x\",\"x\":1"),
    ROW("null", "\"crit\":null"),
    ROW("b64 false with crit", "\"crit\":[\"b64\"],\"b64\":false"),
    ROW("b64 true with crit", "\"crit\":[\"b64\"],\"b64\":true"),
    ROW("b64 false without crit", "\"b64\":false"),
    ROW("b64 true without crit", "\"b64\":true"),
};

static void extensions_are_refused(void **state)
{
    (void)state;
    JUDGE_CASES(cases, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(extensions_are_refused)};
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
