/* D11, D13, D16: the payload is one JSON object in UTF-8, without NUL and raw control bytes. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"

#define X(json) JUDGE_CLAIMS(",\"x\":" json)
#define ROW(what, bad)                                                                             \
    {                                                                                              \
        .sentence = (what), .reason = CW_CLAIMS_MALFORMED, .payload = bad                          \
    }
#define RAW(what, bad)                                                                             \
    {                                                                                              \
        .sentence = (what), .reason = CW_CLAIMS_MALFORMED, .raw_payload = CW_STR_INIT(bad)         \
    }

static const struct judge_case cases[] = {
    ROW("an array", "[]"),
    ROW("an array of the claims", "[" JUDGE_CLAIMS("") "]"),
    ROW("a string", "\"x\""),
    ROW("a number", "1"),
    ROW("null", "null"),
    ROW("text", "foo"),
    ROW("cut off", "{" JUDGE_BASE),
    ROW("text behind", JUDGE_CLAIMS("") "x"),
    ROW("two objects", JUDGE_CLAIMS("") "{}"),
    ROW("a comma behind the last", JUDGE_CLAIMS(",")),
    ROW("single quotes", "{'a':1," JUDGE_BASE "}"),
    ROW("a comment", "{/**/" JUDGE_BASE "}"),
    ROW("a byte order mark", "\xef\xbb\xbf" JUDGE_CLAIMS("")),
    ROW("an escaped NUL in sub", "{\"sub\":\"alice\\u0000\",\"iss\":\"" JUDGE_ISSUER "\"}"),
    ROW("an escaped NUL in a name", JUDGE_CLAIMS(",\"x\\u0000\":1")),
    RAW("a NUL behind a number", "{" JUDGE_BASE ",\"x\":1\0}"),
    RAW("a NUL behind a literal", "{" JUDGE_BASE ",\"x\":true\0}"),
    RAW("a NUL behind the object", "{" JUDGE_BASE "}\0"),
    RAW("a NUL in a string", "{" JUDGE_BASE ",\"x\":\"\0\"}"),
    ROW("a raw newline in a string", X("\"a\nb\"")),
    ROW("a raw tab in a string", X("\"a\tb\"")),
    ROW("a raw escape byte between members", JUDGE_CLAIMS("\x1b")),
    ROW("a vertical tab between members", JUDGE_CLAIMS("\v")),
    ROW("a lone high surrogate", X("\"\\ud800\"")),
    ROW("a lone low surrogate", X("\"\\udc00\"")),
    ROW("UTF-8 of a surrogate", X("\"\xed\xa0\x80\"")),
    ROW("an overlong slash", X("\"\xc0\xaf\"")),
    ROW("a lone continuation byte", X("\"\x80\"")),
    ROW("above U+10FFFF", X("\"\xf4\x90\x80\x80\"")),
    ROW("cut UTF-8", X("\"\xe2\x82\"")),
    ROW("latin-1", X("\"caf\xe9\"")),
    ROW("UTF-16", "\xff\xfe{"),
    {.sentence = "a bad escape beside good ones",
     .reason = CW_CLAIMS_MALFORMED,
     .payload = X("\"\\x41\""),
     .twin_payload = JUDGE_CLAIMS(" ,\r\n\t\"x\":\"\\ud83d\\ude00 caf\xc3\xa9 \\\" \\\\\"")},
};

static void the_payload_is_strict_json(void **state)
{
    (void)state;
    JUDGE_CASES(cases, NULL, NULL);
}

static const struct judge_case headers[] = {
    {.sentence = "a NUL behind a value of the header",
     .reason = CW_HEADER_MALFORMED,
     .raw_header = CW_STR_INIT("{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"JWT\",\"x\":1\0}")},
    {.sentence = "bad UTF-8 in the header",
     .reason = CW_HEADER_MALFORMED,
     .header = "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"JWT\",\"x\":\"\xff\"}"},
};

static void the_header_is_strict_json(void **state)
{
    (void)state;
    JUDGE_CASES(headers, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_payload_is_strict_json),
        cmocka_unit_test(the_header_is_strict_json),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
