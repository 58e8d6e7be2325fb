/* One spelling per IP address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "authsvc/login/address.h"

static void addresses_have_one_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want; /* "": none */
    } rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {" 192.0.2.1\t", "192.0.2.1"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:c000:0201", "192.0.2.1"},
        {"0:0:0:0:0:ffff:c000:201", "192.0.2.1"},
        {"0000:0000:0000:0000:0000:ffff:192.000.2.1", ""}, /* no octal, and no guess at it */
        {"::192.0.2.1", "::192.0.2.1"},                    /* deprecated, and another address */
        {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},       /* a translator's, not the host itself */
        {"::1", "::1"},
        {"", ""},
        {"192.0.2.256", ""},
        {"192.0.2.1:80", ""},
        {"[::1]", ""},
        {"fe80::1%eth0", ""},
        {"nonsense", ""},
        {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", ""},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        char address[LOGIN_ADDRESS_SIZE] = "before";
        bool is = login_address_canonical(cw_str(rows[i].text), address);
        assert_string_equal(address, rows[i].want);
        assert_int_equal(is, rows[i].want[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(addresses_have_one_spelling)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
