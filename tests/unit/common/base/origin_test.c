/* Origins that a tenant may name: those that a browser can send, and none that says more than one.
 */
#include "common/base/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the ones above */
#include <cmocka.h>

static void what_browsers_send_is_one(void **state)
{
    static const char *const origins[] = {
        "https://portal.clinicwave.com",
        "https://portal.clinicwave.com:8443",
        "https://xn--mnchen-3ya.example",
        "https://192.0.2.7:65535",
        "https://[2001:db8::1]:8443",
        "https://portal.example:80",
        "http://localhost",
        "http://localhost:5173",
        "http://portal.localhost:3000",
        "http://127.0.0.1:3000",
        "http://127.8.8.8",
        "http://[::1]:5173",
        "http://localhost:443",
    };
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(origins); i++) {
        const char *problem = cw_origin_problem(cw_str(origins[i]));
        if (problem != NULL) {
            fail_msg("%s %s", origins[i], problem);
        }
    }
}

static void what_is_none_is_told_why(void **state)
{
    static const struct {
        struct cw_str origin;
        const char *part; /* of the sentence */
    } cases[] = {
        {CW_STR_INIT(""), "expected https://"},
        {CW_STR_INIT("null"), "expected https://"},
        {CW_STR_INIT("*"), "expected https://"},
        {CW_STR_INIT("portal.example"), "expected https://"},
        {CW_STR_INIT("HTTPS://portal.example"), "expected https://"},
        {CW_STR_INIT("ftp://portal.example"), "expected https://"},
        {CW_STR_INIT("app://portal"), "expected https://"},
        {CW_STR_INIT("https://*.example"), "wildcard"},
        {CW_STR_INIT("https://*"), "wildcard"},
        {CW_STR_INIT("https://"), "nothing but a host"},
        {CW_STR_INIT("https://portal.example/"), "nothing but a host"},
        {CW_STR_INIT("https://portal.example/app"), "nothing but a host"},
        {CW_STR_INIT("https://portal.example?x"), "nothing but a host"},
        {CW_STR_INIT("https://portal.example#x"), "nothing but a host"},
        {CW_STR_INIT("https://anna@portal.example"), "nothing but a host"},
        {CW_STR_INIT("https://portal .example"), "nothing but a host"},
        {CW_STR_INIT("https://portal.example, https://b.example"), "nothing but a host"},
        {CW_STR_INIT("https://portal.example https://b.example"), "nothing but a host"},
        {CW_STR_INIT("https://portal\0.example"), "nothing but a host"},
        {CW_STR_INIT("https://a..b"), "nothing but a host"},
        {CW_STR_INIT("https://::1"), "nothing but a host"},
        {CW_STR_INIT("https://portal.example:x"), "nothing but a host"},
        {CW_STR_INIT("https://Portal.example"), "spelled"},
        {CW_STR_INIT("https://portal.example."), "spelled"},
        {CW_STR_INIT("https://m\xc3\xbcnchen.example"), "spelled"},
        {CW_STR_INIT("https://portal.example:"), "no port"},
        {CW_STR_INIT("https://portal.example:0"), "no port"},
        {CW_STR_INIT("https://portal.example:08443"), "no port"},
        {CW_STR_INIT("https://portal.example:65536"), "no port"},
        {CW_STR_INIT("https://portal.example:443"), "own port"},
        {CW_STR_INIT("http://localhost:80"), "own port"},
        {CW_STR_INIT("http://portal.example"), "loopback"},
        {CW_STR_INIT("http://10.0.0.1:3000"), "loopback"},
        {CW_STR_INIT("http://localhost.example"), "loopback"},
        {CW_STR_INIT("http://127.0.0.1.example"), "loopback"},
        {CW_STR_INIT("http://127.0.0.1.1"), "loopback"},
        {CW_STR_INIT("http://127.0.1"), "loopback"},
        {CW_STR_INIT("http://128.0.0.1"), "loopback"},
        {CW_STR_INIT("http://[::2]"), "loopback"},
    };
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        const char *problem = cw_origin_problem(cases[i].origin);
        if (problem == NULL || strstr(problem, cases[i].part) == NULL) {
            fail_msg("%.*s: %s", CW_STR_ARG(cases[i].origin), problem != NULL ? problem : "fine");
        }
    }
}

static void the_longest_is_one_and_a_longer_is_none(void **state)
{
    char text[CW_ORIGIN_MAX + 2] = "https://";
    size_t n = 8;
    (void)state;
    for (size_t i = 0; i < CW_DOMAIN_MAX; i++) { /* labels of 63 and one of 61 */
        text[n++] = i % 64 == 63 ? '.' : 'a';
    }
    memcpy(text + n, ":65535", 6);
    n += 6;
    assert_int_equal(n, CW_ORIGIN_MAX);
    assert_null(cw_origin_problem((struct cw_str){text, n}));
    text[n++] = '0';
    assert_non_null(strstr(cw_origin_problem((struct cw_str){text, n}), "too long"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_browsers_send_is_one),
        cmocka_unit_test(what_is_none_is_told_why),
        cmocka_unit_test(the_longest_is_one_and_a_longer_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
