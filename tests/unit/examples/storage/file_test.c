/* The rules for names and types of files. */
#include "examples/storage-service/domain/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the ones above */
#include <cmocka.h>

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static void names_are_one_plain_segment(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct cw_str name;
        bool ok;
    } cases[] = {
        {"a plain name", CW_STR_INIT("report.pdf"), true},
        {"blanks and umlauts", CW_STR_INIT("Befund M\xc3\xa4rz 2025.pdf"), true},
        {"120 bytes", CW_STR_INIT(HUNDRED TEN TEN), true},
        {"121 bytes", CW_STR_INIT(HUNDRED TEN TEN "0"), false},
        {"nothing", CW_STR_INIT(""), false},
        {"here", CW_STR_INIT("."), false},
        {"above", CW_STR_INIT(".."), false},
        {"hidden", CW_STR_INIT(".profile"), false},
        {"dots within", CW_STR_INIT("a..b"), true},
        {"a slash", CW_STR_INIT("a/b"), false},
        {"a backslash", CW_STR_INIT("a\\b"), false},
        {"a NUL byte", CW_STR_INIT("a\0b"), false},
        {"a line break", CW_STR_INIT("a\nb"), false},
        {"DEL", CW_STR_INIT("a\x7f"), false},
        {"a C1 control", CW_STR_INIT("a\xc2\x85"), false},
        {"U+00A0 is none", CW_STR_INIT("a\xc2\xa0z"), true},
        {"a blank in front", CW_STR_INIT(" a"), false},
        {"a blank at the end", CW_STR_INIT("a "), false},
        {"not UTF-8", CW_STR_INIT("a\xff"), false},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        if ((file_name_check(cases[i].name) == CW_OK) != cases[i].ok) {
            fail_msg("%s", cases[i].what);
        }
    }
}

static void types_are_kept_as_sent_or_refused(void **state)
{
    (void)state;
    static const struct {
        struct cw_str header;
        const char *type; /* NULL: refused */
    } cases[] = {
        {CW_STR_INIT(""), "application/octet-stream"},
        {CW_STR_INIT("  text/plain "), "text/plain"},
        {CW_STR_INIT("text/html; charset=\"utf-8\""), "text/html; charset=\"utf-8\""},
        {CW_STR_INIT("application/vnd.x+json ;a=b"), "application/vnd.x+json ;a=b"},
        {CW_STR_INIT("text"), NULL},
        {CW_STR_INIT("/plain"), NULL},
        {CW_STR_INIT("text/"), NULL},
        {CW_STR_INIT("text/plain, text/html"), NULL},
        {CW_STR_INIT("text/pl ain"), NULL},
        {CW_STR_INIT("text/plain;a=\xc3\xa4"), NULL},
        {CW_STR_INIT("text/plain;\r\nX: y"), NULL},
        {CW_STR_INIT("text/" HUNDRED HUNDRED), NULL},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        char type[FILE_MEDIA_TYPE_MAX + 1] = "untouched";
        enum cw_err err = file_media_type(cases[i].header, type);
        if (strcmp(type, cases[i].type ? cases[i].type : "untouched") != 0 ||
            (err == CW_OK) != (cases[i].type != NULL)) {
            fail_msg("%.*s: %s", CW_STR_ARG(cases[i].header), type);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_one_plain_segment),
        cmocka_unit_test(types_are_kept_as_sent_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
