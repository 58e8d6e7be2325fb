/* Which passwords may be chosen, and the codes that people type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "authsvc/password/code.h"
#include "authsvc/password/password.h"
#include "authsvc/password/policy.h"

static const struct cw_str words[] = {
    CW_STR_INIT("anna.berg@clinicwave.com"),
    CW_STR_INIT("anna.berg"),
    CW_STR_INIT("clinicwave.com"),
    CW_STR_INIT("clinicwave"),
    CW_STR_INIT("xy"),
};

static enum cw_err check_with(int64_t min, int64_t max, const struct password_blocklist *list,
                              const char *typed)
{
    const struct password_policy policy = {.min_length = min, .max_length = max};
    struct cw_secret prepared = {0};
    assert_int_equal(password_prepare(cw_str(typed), &prepared), CW_OK);
    enum cw_err err =
        password_policy_check(&policy, list, cw_secret_str(&prepared), words, CW_ARRAY_SIZE(words));
    cw_secret_done(&prepared);
    return err;
}

static enum cw_err check(const char *typed)
{
    return check_with(8, 64, NULL, typed);
}

static void length_counts_code_points_after_normalisation(void **state)
{
    (void)state;
    assert_int_equal(check("kq7vz2m"), CW_PASSWORD_TOO_SHORT);
    assert_int_equal(check("kq7vz2mw"), CW_OK);
    assert_int_equal(check("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa9\xc3\xa8\xc3\xa0"), /* 7 */
                     CW_PASSWORD_TOO_SHORT);
    assert_int_equal(check("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa9\xc3\xa8\xc3\xa0x"), CW_OK);
    /* Seven letters, one of them with its accent apart: NFKC makes it one code point. */
    assert_int_equal(check("kq7vz2e\xcc\x81"), CW_PASSWORD_TOO_SHORT);
    assert_int_equal(check(""), CW_PASSWORD_TOO_SHORT);
    assert_int_equal(
        check_with(8, 64, NULL, "a sentence of sixty-four characters, neither more nor less: here"),
        CW_OK);
    assert_int_equal(
        check_with(8, 64, NULL,
                   "a sentence of sixty-five characters, neither more nor less: here!"),
        CW_PASSWORD_TOO_LONG);
}

static void nothing_is_said_of_composition(void **state)
{
    (void)state;
    static const char kanji[] = "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x81\xae\xe3\x83"
                                "\x91\xe3\x82\xb9\xe3\x83\xaf\xe3\x83\xbc\xe3\x83\x89";
    static const char *const fine[] = {
        "kqzvwtmj", "QXZVKWTJ", "73920461", "correct horse battery", "        x  y    ", kanji,
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(fine); i++) {
        assert_int_equal(check(fine[i]), CW_OK);
    }
}

static void what_many_others_have_is_refused(void **state)
{
    (void)state;
    static const char *const common[] = {
        "password",         "PassWord",        "password1", "password2026!", "!!password!!",
        "passwordpassword", "qwertyuiop",      "football",  "iloveyou",      "12345678",
        "123456789012345",  "987654321098765", "aaaaaaaa",  "abcabcabcabc",  "abcdefghijklmno",
        "zyxwvutsrqponml",  "trustno1"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(common); i++) {
        if (check(common[i]) != CW_PASSWORD_TOO_COMMON) {
            fail_msg("\"%s\" was taken", common[i]);
        }
    }
    assert_int_equal(check("password of my own making"), CW_OK);
    assert_int_equal(check("abcdefghijklmnp"), CW_OK); /* no run to its end */
}

static void names_that_are_near_at_hand_do_not_count(void **state)
{
    (void)state;
    static const char *const near[] = {"anna.berg@clinicwave.com", "Clinicwave2026!",
                                       "clinicwave.com",           "anna.berg1234567",
                                       "bestclinicwave",           "clinicwaveclinicwave",
                                       "CLINICWAVEanna.berg12"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(near); i++) {
        if (check(near[i]) != CW_PASSWORD_TOO_COMMON) {
            fail_msg("\"%s\" was taken", near[i]);
        }
    }
    assert_int_equal(check("my clinicwave horse battery"), CW_OK);
    assert_int_equal(check("xyxyqwpd73nz"), CW_OK); /* too short a word */
}

static void a_file_adds_to_the_list(void **state)
{
    (void)state;
    char path[] = "/tmp/cwXXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char text[] = "# of our own\n\nHospital-Passwort\r\nzz top forever\n";
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    struct password_blocklist *list = NULL;
    assert_int_equal(password_blocklist_read(path, &message, &list), CW_OK);
    assert_int_equal(check("hospital-passwort"), CW_OK);
    assert_int_equal(check_with(8, 64, list, "hospital-PASSWORT"), CW_PASSWORD_TOO_COMMON);
    assert_int_equal(check_with(8, 64, list, "zz top forever99"), CW_PASSWORD_TOO_COMMON);
    assert_int_equal(check_with(8, 64, list, "password"), CW_PASSWORD_TOO_COMMON);
    assert_int_equal(check_with(8, 64, list, "# of our own"), CW_OK);
    password_blocklist_free(list);
    unlink(path);
    assert_int_equal(password_blocklist_read(path, &message, &list), CW_IO);
    assert_true(message.n > 0);
}

static void a_blocklist_is_text(void **state)
{
    (void)state;
    char path[] = "/tmp/cwXXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "\xff\n", 2), 2);
    close(fd);
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    struct password_blocklist *list = NULL;
    assert_int_equal(password_blocklist_read(path, &message, &list), CW_CONFIG_INVALID);
    unlink(path);
}

static void codes_are_read_as_people_type_them(void **state)
{
    (void)state;
    char text[CODE_TEXT_SIZE], other[CODE_TEXT_SIZE], plain[CODE_CHARS], again[CODE_CHARS];
    code_new(text);
    code_new(other);
    assert_int_equal(strlen(text), 19);
    assert_string_not_equal(text, other);
    assert_true(code_plain(cw_str(text), plain));
    char lower[CODE_TEXT_SIZE];
    for (size_t i = 0; i < sizeof(text); i++) {
        char c = text[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c == '-' ? ' ' : c);
    }
    assert_true(code_plain(cw_str(lower), again));
    assert_memory_equal(plain, again, CODE_CHARS);
    static const char *const none[] = {"",
                                       "AAAA-BBBB-CCCC-DDD",
                                       "AAAA-BBBB-CCCC-DDDDD",
                                       "AAAA-BBBB-CCCC-DDD1",
                                       "AAAA_BBBB-CCCC-DDDD",
                                       "AAAA-BBBB-CCCC-DDD\xc3\xa4"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(none); i++) {
        assert_false(code_plain(cw_str(none[i]), plain));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(length_counts_code_points_after_normalisation),
        cmocka_unit_test(nothing_is_said_of_composition),
        cmocka_unit_test(what_many_others_have_is_refused),
        cmocka_unit_test(names_that_are_near_at_hand_do_not_count),
        cmocka_unit_test(a_file_adds_to_the_list),
        cmocka_unit_test(a_blocklist_is_text),
        cmocka_unit_test(codes_are_read_as_people_type_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
