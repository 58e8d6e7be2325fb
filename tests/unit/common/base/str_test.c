/* Borrowed strings. */
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the ones above */
#include <cmocka.h>

static void strings_are_compared_by_bytes_or_without_case(void **state)
{
    (void)state;
    assert_true(cw_str_eq(CW_STR("a\0b"), CW_STR("a\0b")));
    assert_false(cw_str_eq(CW_STR("a\0b"), CW_STR("a\0c")));
    assert_true(cw_str_eq(cw_str(NULL), CW_STR("")));
    assert_true(cw_str_is(CW_STR("abc"), "abc"));
    assert_false(cw_str_is(CW_STR("abc"), "abcd"));
    assert_false(cw_str_is(CW_STR("abc\0"), "abc"));
    assert_true(cw_str_order(CW_STR("a"), CW_STR("b")) < 0);
    assert_true(cw_str_order(CW_STR("b"), CW_STR("ab")) > 0);
    assert_true(cw_str_order(CW_STR("ab"), CW_STR("a")) > 0);
    assert_int_equal(0, cw_str_order(CW_STR("ab"), CW_STR("ab")));
    assert_true(cw_str_order((struct cw_str){0}, CW_STR("a")) < 0);
    assert_int_equal(0, cw_str_order((struct cw_str){0}, (struct cw_str){0}));
    assert_true(cw_str_eq_nocase(CW_STR("Bearer"), CW_STR("bEARER")));
    assert_false(cw_str_eq_nocase(CW_STR("[x"), CW_STR("{x")));
    assert_false(cw_str_eq_nocase(CW_STR("\xc3\xa4"), CW_STR("\xc3\x84")));
    assert_true(cw_str_starts(CW_STR("abc"), CW_STR("ab")));
    assert_false(cw_str_starts(CW_STR("a"), CW_STR("ab")));
    assert_true(cw_str_ends(CW_STR("abc"), CW_STR("bc")));
    assert_false(cw_str_ends(CW_STR("c"), CW_STR("bc")));
}

static void pieces_are_cut_off_within_bounds(void **state)
{
    (void)state;
    assert_int_equal(cw_str_find(CW_STR("abc"), 'c'), 2);
    assert_int_equal(cw_str_find(CW_STR("abc"), 'x'), 3);
    assert_true(cw_str_is(cw_str_slice(CW_STR("abcd"), 1, 3), "bc"));
    assert_true(cw_str_is(cw_str_slice(CW_STR("abcd"), 4, 4), ""));
    assert_true(cw_str_is(cw_str_trim(CW_STR(" \t a b \t")), "a b"));
    assert_true(cw_str_is(cw_str_trim(CW_STR("  ")), ""));
    struct cw_str rest = CW_STR("  one two   three "), word;
    assert_true(cw_str_word(&rest, ' ', &word) && cw_str_is(word, "one"));
    assert_true(cw_str_word(&rest, ' ', &word) && cw_str_is(word, "two"));
    assert_true(cw_str_word(&rest, ' ', &word) && cw_str_is(word, "three"));
    assert_false(cw_str_word(&rest, ' ', &word));
    char *copy = cw_str_dup(CW_STR("abc"));
    assert_string_equal(copy, "abc");
    free(copy);
}

static void numbers_are_whole_strings_of_digits(void **state)
{
    (void)state;
    static const struct {
        struct cw_str text;
        uint64_t max;
        bool ok;
        uint64_t value;
    } cases[] = {
        {CW_STR_INIT("0"), 10, true, 0},
        {CW_STR_INIT("10"), 10, true, 10},
        {CW_STR_INIT("11"), 10, false, 0},
        {CW_STR_INIT("18446744073709551615"), UINT64_MAX, true, UINT64_MAX},
        {CW_STR_INIT("18446744073709551616"), UINT64_MAX, false, 0},
        {CW_STR_INIT("99999999999999999999999"), UINT64_MAX, false, 0},
        {CW_STR_INIT(""), 10, false, 0},
        {CW_STR_INIT("+1"), 10, false, 0},
        {CW_STR_INIT("-1"), 10, false, 0},
        {CW_STR_INIT(" 1"), 10, false, 0},
        {CW_STR_INIT("1 "), 10, false, 0},
        {CW_STR_INIT("01"), 10, false, 0},
        {CW_STR_INIT("00"), 10, false, 0},
        {CW_STR_INIT("0x1"), 10, false, 0},
        {CW_STR_INIT("1\0"), 10, false, 0},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        uint64_t value = 77;
        enum cw_err err = cw_str_to_u64(cases[i].text, cases[i].max, &value);
        if (err != (cases[i].ok ? CW_OK : CW_REQUEST_MALFORMED) ||
            value != (cases[i].ok ? cases[i].value : 77)) {
            fail_msg("%.*s: %s", CW_STR_ARG(cases[i].text), cw_err_code(err));
        }
    }
}

static void utf8_is_well_formed_or_not(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct cw_str text;
        bool ok;
    } cases[] = {
        {"empty", CW_STR_INIT(""), true},
        {"ASCII", CW_STR_INIT("abc"), true},
        {"NUL", CW_STR_INIT("a\0b"), true},
        {"two bytes", CW_STR_INIT("\xc3\xa4"), true},
        {"three bytes", CW_STR_INIT("\xe2\x82\xac"), true},
        {"four bytes", CW_STR_INIT("\xf0\x9f\x98\x80"), true},
        {"the last code point", CW_STR_INIT("\xf4\x8f\xbf\xbf"), true},
        {"past it", CW_STR_INIT("\xf4\x90\x80\x80"), false},
        {"five bytes", CW_STR_INIT("\xf8\x88\x80\x80\x80"), false},
        {"an overlong slash", CW_STR_INIT("\xc0\xaf"), false},
        {"an overlong slash in three", CW_STR_INIT("\xe0\x80\xaf"), false},
        {"an overlong slash in four", CW_STR_INIT("\xf0\x80\x80\xaf"), false},
        {"a surrogate", CW_STR_INIT("\xed\xa0\x80"), false},
        {"cut off", CW_STR_INIT("\xe2\x82"), false},
        {"a continuation alone", CW_STR_INIT("\x80"), false},
        {"a start without continuation", CW_STR_INIT("\xc3("), false},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        if (cw_str_is_utf8(cases[i].text) != cases[i].ok) {
            fail_msg("%s", cases[i].what);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_compared_by_bytes_or_without_case),
        cmocka_unit_test(pieces_are_cut_off_within_bounds),
        cmocka_unit_test(numbers_are_whole_strings_of_digits),
        cmocka_unit_test(utf8_is_well_formed_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
