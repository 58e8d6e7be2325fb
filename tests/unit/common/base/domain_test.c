/* The domain normaliser: what names the same tenant must come out the same, what is no name must
 * not come out at all. */
#include "common/base/domain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the ones above */
#include <cmocka.h>

#define LABEL_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
/* 63 + 1 + 63 + 1 + 63 + 1 = 192 */
#define PREFIX_192 LABEL_63 "." LABEL_63 "." LABEL_63 "."
/* 61 */
#define LABEL_61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void names_that_are_equal_come_out_equal(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct cw_str host;
        const char *name;
    } cases[] = {
        {"as it is", CW_STR_INIT("abott.com"), "abott.com"},
        {"letters", CW_STR_INIT("ABOTT.Com"), "abott.com"},
        {"a port", CW_STR_INIT("abott.com:8443"), "abott.com"},
        {"an empty port", CW_STR_INIT("abott.com:"), "abott.com"},
        {"a trailing dot", CW_STR_INIT("abott.com."), "abott.com"},
        {"both", CW_STR_INIT("abott.com.:443"), "abott.com"},
        {"one label", CW_STR_INIT("localhost"), "localhost"},
        {"an underscore", CW_STR_INIT("my_host.abott.com"), "my_host.abott.com"},
        {"a U-label", CW_STR_INIT("m\xc3\xbcnchen.example"), "xn--mnchen-3ya.example"},
        {"the same in capitals", CW_STR_INIT("M\xc3\x9cNCHEN.example:80"),
         "xn--mnchen-3ya.example"},
        {"the same, decomposed", CW_STR_INIT("mu\xcc\x88nchen.example"), "xn--mnchen-3ya.example"},
        {"its A-label", CW_STR_INIT("XN--MNCHEN-3YA.example"), "xn--mnchen-3ya.example"},
        {"a sharp s stays one (IDNA 2008)",
         CW_STR_INIT("stra\xc3\x9f"
                     "e.example"),
         "xn--strae-oqa.example"},
        {"an ideographic dot",
         CW_STR_INIT("abott\xe3\x80\x82"
                     "com"),
         "abott.com"},
        {"an IPv4 address", CW_STR_INIT("127.0.0.1:8080"), "127.0.0.1"},
        {"an IPv6 address", CW_STR_INIT("[2001:DB8::1]:8443"), "[2001:db8::1]"},
        {"a label of 63 bytes", CW_STR_INIT(LABEL_63), LABEL_63},
        {"253 bytes", CW_STR_INIT(PREFIX_192 LABEL_61), PREFIX_192 LABEL_61},
        {"253 bytes and a dot", CW_STR_INIT(PREFIX_192 LABEL_61 "."), PREFIX_192 LABEL_61},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        char name[CW_DOMAIN_MAX + 1] = "untouched";
        enum cw_err err = cw_domain_normalize(cases[i].host, name);
        if (err != CW_OK || strcmp(name, cases[i].name) != 0) {
            fail_msg("%s: %s %s", cases[i].what, cw_err_code(err), name);
        }
    }
}

static void what_is_no_name_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct cw_str host;
    } cases[] = {
        {"nothing", CW_STR_INIT("")},
        {"a dot", CW_STR_INIT(".")},
        {"a port alone", CW_STR_INIT(":80")},
        {"two dots at the end", CW_STR_INIT("abott.com..")},
        {"an empty label", CW_STR_INIT("abott..com")},
        {"a dot at the front", CW_STR_INIT(".abott.com")},
        {"a NUL byte", CW_STR_INIT("abott.com\0.evil.example")},
        {"a blank", CW_STR_INIT("abott.com ")},
        {"a slash", CW_STR_INIT("abott.com/x")},
        {"an at sign", CW_STR_INIT("user@abott.com")},
        {"a percent sign", CW_STR_INIT("abott%2ecom")},
        {"a comma", CW_STR_INIT("abott.com,clinicwave.com")},
        {"a port with a letter", CW_STR_INIT("abott.com:8o")},
        {"a port of six digits", CW_STR_INIT("abott.com:123456")},
        {"two ports", CW_STR_INIT("abott.com:80:80")},
        {"an IPv6 address without brackets", CW_STR_INIT("2001:db8::1")},
        {"a bracket left open", CW_STR_INIT("[2001:db8::1")},
        {"a name in brackets", CW_STR_INIT("[abott.com]")},
        {"something behind the bracket", CW_STR_INIT("[::1]x")},
        {"a zone", CW_STR_INIT("[fe80::1%25eth0]")},
        {"a label of 64 bytes", CW_STR_INIT("a" LABEL_63)},
        {"254 bytes", CW_STR_INIT(PREFIX_192 LABEL_61 "a")},
        {"not UTF-8", CW_STR_INIT("m\xfcnchen.example")},
        {"overlong UTF-8", CW_STR_INIT("a\xc0\xae"
                                       "com")},
        {"an ideographic dot at the end", CW_STR_INIT("abott.com\xe3\x80\x82")},
        {"a U-label that is none", CW_STR_INIT("\xe2\x98\x83\xcc\x88-.example")},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        char name[CW_DOMAIN_MAX + 1] = "untouched";
        enum cw_err err = cw_domain_normalize(cases[i].host, name);
        if (err != CW_TENANT_UNKNOWN || strcmp(name, "untouched") != 0) {
            fail_msg("%s: %s %s", cases[i].what, cw_err_code(err), name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_are_equal_come_out_equal),
        cmocka_unit_test(what_is_no_name_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
