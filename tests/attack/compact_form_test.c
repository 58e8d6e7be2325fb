/* A1–A6, A8, A9: whatever is not exactly three canonical base64url segments is refused before
 * anything is believed of it. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"

static char *format(size_t *ret_n, char *text)
{
    *ret_n = strlen(text);
    return text;
}

#define MUTATION(name, ...)                                                                        \
    static char *name(const char *token, size_t *ret_n)                                            \
    {                                                                                              \
        return format(ret_n, mint_format(__VA_ARGS__));                                            \
    }
#define DOT1 ((int)strcspn(token, "."))
#define DOT2 ((int)(strrchr(token, '.') - token))

MUTATION(empty, "%.0s", token)
MUTATION(one_segment, "%.*s", DOT1, token)
MUTATION(two_segments, "%.*s", DOT2, token)
MUTATION(four_segments, "%s.e30", token)
MUTATION(leading_dot, ".%s", token)
MUTATION(trailing_dot, "%s.", token)
MUTATION(six_segments, "%s.a.b.c", token)
MUTATION(only_dots, "..%.0s", token)
MUTATION(empty_header, "%s", token + DOT1)
MUTATION(empty_payload, "%.*s.%s", DOT1, token, token + DOT2)
MUTATION(empty_signature, "%.*s.", DOT2, token)
MUTATION(space_before, " %s", token)
MUTATION(space_after, "%s ", token)
MUTATION(newline_after, "%s\n", token)
MUTATION(crlf_after, "%s\r\n", token)
MUTATION(space_in_payload, "%.*s. %s", DOT1, token, token + DOT1 + 1)
MUTATION(newline_in_signature, "%.*s.\n%s", DOT2, token, token + DOT2 + 1)
MUTATION(question_mark, "%s?", token)
MUTATION(hash_mark, "%s#", token)
MUTATION(exclamation, "%s!", token)
MUTATION(percent, "%s%%3D", token)
MUTATION(eight_ats, "%s@@@@@@@@", token)
MUTATION(padding, "%s=", token)
MUTATION(double_padding, "%s==", token)
MUTATION(padding_in_header, "%.*s==%s", DOT1, token, token + DOT1)
MUTATION(padding_in_payload, "%.*s=%s", DOT2, token, token + DOT2)
MUTATION(high_byte, "%s\xc3\xa9", token)
MUTATION(flattened_json, "{\"payload\":\"%.*s\",\"protected\":\"%.*s\",\"signature\":\"%s\"}",
         DOT2 - DOT1 - 1, token + DOT1 + 1, DOT1, token, token + DOT2 + 1)
MUTATION(json_with_dots, "{\"a\":1}%s", token)
MUTATION(one_character_more, "%s%s", token, "A")

static char *standard_alphabet(const char *token, size_t *ret_n)
{
    /* 64 bytes of 0xff are '_' only; the standard alphabet writes '/' */
    char *text = mint_format("%.*s.%s", DOT2, token,
                             "///////////////////////////////////////////"
                             "//////////////////////////////////////////w");
    return format(ret_n, text);
}

static char *plus_sign(const char *token, size_t *ret_n)
{
    char *text = mint_format("%s", token);
    text[strlen(text) - 2] = '+';
    return format(ret_n, text);
}

/* 64 bytes end in 4 unused bits: the last character has 15 other spellings (RFC 4648 §3.5). */
static char *unused_bits(const char *token, size_t *ret_n)
{
    char *text = mint_format("%s", token);
    char *last = text + strlen(text) - 1;
    *last = (char)(*last == 'A' ? 'B' : *last == 'Q' ? 'R' : *last == 'g' ? 'h' : 'x');
    return format(ret_n, text);
}

static char *nul_inside(const char *token, size_t *ret_n)
{
    char *text = mint_format("%s", token);
    text[DOT2 + 3] = '\0';
    *ret_n = strlen(token);
    return text;
}

static char *nul_behind(const char *token, size_t *ret_n)
{
    char *text = mint_format("%s", token);
    *ret_n = strlen(token) + 1;
    return text;
}

static const struct judge_case cases[] = {
    {.sentence = "nothing", .reason = CW_TOKEN_MALFORMED, .mutate = empty},
    {.sentence = "one segment", .reason = CW_TOKEN_MALFORMED, .mutate = one_segment},
    {.sentence = "two segments", .reason = CW_TOKEN_MALFORMED, .mutate = two_segments},
    {.sentence = "four segments", .reason = CW_TOKEN_MALFORMED, .mutate = four_segments},
    {.sentence = "six segments", .reason = CW_TOKEN_MALFORMED, .mutate = six_segments},
    {.sentence = "a leading dot", .reason = CW_TOKEN_MALFORMED, .mutate = leading_dot},
    {.sentence = "a trailing dot", .reason = CW_TOKEN_MALFORMED, .mutate = trailing_dot},
    {.sentence = "two dots alone", .reason = CW_TOKEN_MALFORMED, .mutate = only_dots},
    {.sentence = "an empty header", .reason = CW_TOKEN_MALFORMED, .mutate = empty_header},
    {.sentence = "an empty payload", .reason = CW_TOKEN_MALFORMED, .mutate = empty_payload},
    {.sentence = "an empty signature", .reason = CW_TOKEN_MALFORMED, .mutate = empty_signature},
    {.sentence = "a space before", .reason = CW_TOKEN_MALFORMED, .mutate = space_before},
    {.sentence = "a space behind", .reason = CW_TOKEN_MALFORMED, .mutate = space_after},
    {.sentence = "a newline behind", .reason = CW_TOKEN_MALFORMED, .mutate = newline_after},
    {.sentence = "CR LF behind", .reason = CW_TOKEN_MALFORMED, .mutate = crlf_after},
    {.sentence = "a space inside", .reason = CW_TOKEN_MALFORMED, .mutate = space_in_payload},
    {.sentence = "a newline inside", .reason = CW_TOKEN_MALFORMED, .mutate = newline_in_signature},
    {.sentence = "a question mark", .reason = CW_TOKEN_MALFORMED, .mutate = question_mark},
    {.sentence = "a hash mark", .reason = CW_TOKEN_MALFORMED, .mutate = hash_mark},
    {.sentence = "an exclamation mark", .reason = CW_TOKEN_MALFORMED, .mutate = exclamation},
    {.sentence = "a percent escape", .reason = CW_TOKEN_MALFORMED, .mutate = percent},
    {.sentence = "eight times @", .reason = CW_TOKEN_MALFORMED, .mutate = eight_ats},
    {.sentence = "padding", .reason = CW_TOKEN_MALFORMED, .mutate = padding},
    {.sentence = "double padding", .reason = CW_TOKEN_MALFORMED, .mutate = double_padding},
    {.sentence = "padded header", .reason = CW_TOKEN_MALFORMED, .mutate = padding_in_header},
    {.sentence = "padded payload", .reason = CW_TOKEN_MALFORMED, .mutate = padding_in_payload},
    {.sentence = "slashes of base64", .reason = CW_TOKEN_MALFORMED, .mutate = standard_alphabet},
    {.sentence = "a plus of base64", .reason = CW_TOKEN_MALFORMED, .mutate = plus_sign},
    {.sentence = "unused bits set", .reason = CW_TOKEN_MALFORMED, .mutate = unused_bits},
    {.sentence = "length 4n+1",
     .reason = CW_TOKEN_MALFORMED,
     .alg = "ES384",
     .mutate = one_character_more},
    {.sentence = "bytes above 0x7f", .reason = CW_TOKEN_MALFORMED, .mutate = high_byte},
    {.sentence = "a NUL inside", .reason = CW_TOKEN_MALFORMED, .mutate = nul_inside},
    {.sentence = "a NUL behind", .reason = CW_TOKEN_MALFORMED, .mutate = nul_behind},
    {.sentence = "flattened JSON", .reason = CW_TOKEN_MALFORMED, .mutate = flattened_json},
    {.sentence = "JSON with dots", .reason = CW_TOKEN_MALFORMED, .mutate = json_with_dots},
};

static void no_other_spelling_of_a_token_is_accepted(void **state)
{
    (void)state;
    JUDGE_CASES(cases, NULL, NULL);
}

/* Every other character in the last place of the signature, not one example. */
static void the_last_character_has_one_spelling(void **state)
{
    (void)state;
    char *header = judge_header("ES256");
    char *token = mint_token(mint_key("ES256"), "ES256", cw_str(header), CW_STR(JUDGE_CLAIMS("")));
    size_t n = strlen(token), accepted = 0;
    for (int c = 1; c < 256; c++) {
        char kept = token[n - 1];
        token[n - 1] = (char)c;
        accepted += judge((struct cw_str){token, n}, NULL, NULL, NULL) == CW_OK;
        token[n - 1] = kept;
    }
    assert_int_equal(accepted, 1);
    free(token);
    free(header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_other_spelling_of_a_token_is_accepted),
        cmocka_unit_test(the_last_character_has_one_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
