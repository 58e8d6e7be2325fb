/* Whose request it is, behind a proxy and without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "authsvc/rest/rest.h"

static const char *const proxies[] = {"127.0.0.1", "::1", "10.0.0.7"};
static const struct rest_options options = {.trusted_proxies = proxies, .n_trusted_proxies = 3};

static void the_last_stranger_is_the_client(void **state)
{
    (void)state;
    static const struct {
        const char *peer;
        const char *forwarded;
        const char *want;
    } rows[] = {
        {"127.0.0.1", "", "127.0.0.1"},
        {"127.0.0.1", "192.0.2.1", "192.0.2.1"},
        {"127.0.0.1", " 192.0.2.1 ", "192.0.2.1"},
        {"127.0.0.1", "203.0.113.9, 192.0.2.1", "192.0.2.1"}, /* the first is hearsay */
        {"127.0.0.1", "203.0.113.9, 192.0.2.1, 10.0.0.7", "192.0.2.1"},
        {"::1", "2001:DB8:0:0::1", "2001:db8::1"},
        {"::ffff:127.0.0.1", "192.0.2.1", "192.0.2.1"},
        {"127.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"},
        {"192.0.2.50", "203.0.113.9", "192.0.2.50"}, /* not a proxy of ours */
        {"127.0.0.1", "unknown", "127.0.0.1"},
        {"127.0.0.1", "192.0.2.1,", "127.0.0.1"},
        {"127.0.0.1", "192.0.2.1:1234", "127.0.0.1"},
        {"127.0.0.1", "127.0.0.1, 127.0.0.1", "127.0.0.1"},
        {"nonsense", "192.0.2.1", ""},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        char address[REST_ADDRESS_SIZE];
        rest_client_address(&options, rows[i].peer, cw_str(rows[i].forwarded), address);
        assert_string_equal(address, rows[i].want);
    }
}

static void without_a_trusted_proxy_only_the_peer_counts(void **state)
{
    (void)state;
    const struct rest_options none = {0};
    char address[REST_ADDRESS_SIZE];
    rest_client_address(&none, "127.0.0.1", CW_STR("192.0.2.1"), address);
    assert_string_equal(address, "127.0.0.1");
    assert_false(rest_trusted(&none, "127.0.0.1"));
    assert_true(rest_trusted(&options, "0:0:0:0:0:0:0:1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_stranger_is_the_client),
        cmocka_unit_test(without_a_trusted_proxy_only_the_peer_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
