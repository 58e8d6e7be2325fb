/* RFC 4226 and RFC 6238 by their own tables, and what authenticator apps are given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "authsvc/totp/totp.h"

static const struct cw_str rfc_secret = CW_STR_INIT("12345678901234567890");

static void rfc_4226_appendix_d(void **state)
{
    (void)state;
    static const uint32_t codes[] = {755224, 287082, 359152, 969429, 338314,
                                     254676, 287922, 162583, 399871, 520489};
    for (size_t i = 0; i < CW_ARRAY_SIZE(codes); i++) {
        uint32_t code = 0;
        assert_int_equal(hotp_code(rfc_secret, i, 6, &code), CW_OK);
        assert_int_equal(code, codes[i]);
    }
}

static void rfc_6238_appendix_b(void **state)
{
    (void)state;
    static const struct {
        int64_t time;
        uint32_t code;
    } rows[] = {{59, 94287082},         {1111111109, 7081804},  {1111111111, 14050471},
                {1234567890, 89005924}, {2000000000, 69279037}, {20000000000, 65353130}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        uint32_t code = 0;
        assert_int_equal(hotp_code(rfc_secret, (uint64_t)(rows[i].time / 30), 8, &code), CW_OK);
        assert_int_equal(code, rows[i].code);
    }
}

static enum cw_err check_at(const char *code, int64_t now, int64_t after, int64_t *step)
{
    return totp_check(rfc_secret, cw_str(code), now, after, step);
}

static void a_code_counts_in_its_step_and_one_beside_it(void **state)
{
    (void)state;
    int64_t step = 0;
    /* 287082 is the code of step 1: seconds 30 to 59. */
    static const struct {
        int64_t now;
        enum cw_err expected;
    } rows[] = {{0, CW_OK},  {29, CW_OK}, {30, CW_OK},          {59, CW_OK},
                {60, CW_OK}, {89, CW_OK}, {90, CW_MFA_INVALID}, {1000000, CW_MFA_INVALID}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        assert_int_equal(check_at("287082", rows[i].now, 0, &step), rows[i].expected);
    }
    assert_int_equal(step, 1);
    assert_int_equal(check_at("359152", 29, 0, &step), CW_MFA_INVALID); /* two steps ahead */
}

static void a_step_that_was_used_counts_no_more(void **state)
{
    (void)state;
    int64_t step = 0;
    assert_int_equal(check_at("287082", 45, 1, &step), CW_MFA_INVALID);
    assert_int_equal(check_at("755224", 45, 0, &step), CW_MFA_INVALID); /* step 0, before it */
    assert_int_equal(check_at("359152", 45, 1, &step), CW_OK);          /* step 2, after it */
    assert_int_equal(step, 2);
}

static void only_six_digits_are_a_code(void **state)
{
    (void)state;
    int64_t step = 0;
    assert_int_equal(check_at("287 082", 45, 0, &step), CW_OK);
    static const char arabic[] = "\xd9\xa2"
                                 "87082";
    static const char *const wrong[] = {"",        "28708",    "2870820",  "28708a",
                                        "-287082", "0287082",  "287082\n", arabic,
                                        "287083",  "0x287082", "      "};
    for (size_t i = 0; i < CW_ARRAY_SIZE(wrong); i++) {
        assert_int_equal(check_at(wrong[i], 45, 0, &step), CW_MFA_INVALID);
    }
}

static void base32_is_rfc_4648s(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        const char *text;
    } rows[] = {{"", ""},
                {"f", "MY"},
                {"fo", "MZXQ"},
                {"foo", "MZXW6"},
                {"foob", "MZXW6YQ"},
                {"fooba", "MZXW6YTB"},
                {"foobar", "MZXW6YTBOI"}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        CW_CLEANUP(cw_buf_done) struct cw_buf out = CW_BUF_INIT(64);
        totp_base32(&out, cw_str(rows[i].bytes));
        assert_true(cw_str_eq(cw_buf_str(&out), cw_str(rows[i].text)));
    }
}

static void the_url_escapes_what_is_not_plain(void **state)
{
    (void)state;
    CW_CLEANUP(cw_buf_done) struct cw_buf out = CW_BUF_INIT(1024);
    totp_url(&out, CW_STR("clinic wave"), CW_STR("a:b&c@x"), CW_STR("foo"));
    assert_true(cw_str_is(cw_buf_str(&out),
                          "otpauth://totp/clinic%20wave:a%3Ab%26c%40x?secret=MZXW6&issuer=clinic%"
                          "20wave&algorithm=SHA1&digits=6&period=30"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_4226_appendix_d),
        cmocka_unit_test(rfc_6238_appendix_b),
        cmocka_unit_test(a_code_counts_in_its_step_and_one_beside_it),
        cmocka_unit_test(a_step_that_was_used_counts_no_more),
        cmocka_unit_test(only_six_digits_are_a_code),
        cmocka_unit_test(base32_is_rfc_4648s),
        cmocka_unit_test(the_url_escapes_what_is_not_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
