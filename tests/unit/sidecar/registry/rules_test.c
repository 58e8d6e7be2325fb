/* Registered is not reachable: which instance a request may go to, and who may register it. */
#include "tests/unit/sidecar/registry/fixture.h"

static void reach_depends_on_where_it_is_and_where_it_is_known_from(void **state)
{
    (void)state;
    static const struct {
        const char *sentence;
        enum registry_source source;
        const char *address;
        uint16_t port;
        enum registry_reach reach;
    } rows[] = {
        {"a local service on loopback", REGISTRY_LOCAL, "127.0.0.1", 9000, REGISTRY_REACHABLE},
        {"a local service on IPv6 loopback", REGISTRY_LOCAL, "::1", 9000, REGISTRY_REACHABLE},
        {"a local service on the host's own address", REGISTRY_REST, "192.168.7.7", 9000,
         REGISTRY_REACHABLE},
        {"a REST client on loopback", REGISTRY_REST, "127.0.0.1", 9000, REGISTRY_REACHABLE},
        {"a local registration for another host", REGISTRY_REST, "192.168.7.8", 9000,
         REGISTRY_NOT_ALLOWED},
        {"one that the allow-list has", REGISTRY_REST, "10.1.2.3", 9000, REGISTRY_REACHABLE},
        {"the sidecar's own management port", REGISTRY_LOCAL, "127.0.0.1", 9082,
         REGISTRY_RESERVED_PORT},
        {"the same port in disguise", REGISTRY_REST, "::ffff:127.0.0.1", 9082,
         REGISTRY_RESERVED_PORT},
        {"the same port on the host's address", REGISTRY_REST, "192.168.7.7", 9082,
         REGISTRY_RESERVED_PORT},
        {"the same number on another host, told from here", REGISTRY_REST, "10.1.2.3", 9082,
         REGISTRY_REACHABLE},
        {"a management port from Eureka", REGISTRY_EUREKA, "10.1.2.3", 9082,
         REGISTRY_RESERVED_PORT},
        {"from Eureka, within the allow-list", REGISTRY_EUREKA, "10.1.2.3", 9000,
         REGISTRY_REACHABLE},
        {"from Eureka, outside", REGISTRY_EUREKA, "10.2.2.3", 9000, REGISTRY_NOT_ALLOWED},
        {"from Eureka, mapped into IPv6", REGISTRY_EUREKA, "::ffff:10.1.2.3", 9000,
         REGISTRY_REACHABLE},
        {"loopback from Eureka", REGISTRY_EUREKA, "127.0.0.1", 9000, REGISTRY_LOOPBACK},
        {"all of 127/8", REGISTRY_EUREKA, "127.9.9.9", 9000, REGISTRY_LOOPBACK},
        {"IPv6 loopback from Eureka", REGISTRY_EUREKA, "::1", 9000, REGISTRY_LOOPBACK},
        {"loopback in IPv6's clothes", REGISTRY_EUREKA, "::ffff:7f00:1", 9000, REGISTRY_LOOPBACK},
        {"the clouds' metadata, even from here", REGISTRY_LOCAL, "169.254.169.254", 80,
         REGISTRY_LINK_LOCAL},
        {"IPv6 link-local", REGISTRY_REST, "fe80::1", 80, REGISTRY_LINK_LOCAL},
        {"the unspecified address", REGISTRY_REST, "0.0.0.0", 80, REGISTRY_LINK_LOCAL},
        {"the unspecified IPv6 address", REGISTRY_REST, "::", 80, REGISTRY_LINK_LOCAL},
        {"multicast", REGISTRY_REST, "224.0.0.1", 80, REGISTRY_LINK_LOCAL},
        {"broadcast", REGISTRY_REST, "255.255.255.255", 80, REGISTRY_LINK_LOCAL},
        {"NAT64 of the metadata address", REGISTRY_EUREKA, "64:ff9b::a9fe:a9fe", 80,
         REGISTRY_LINK_LOCAL},
        {"an IPv4-compatible address", REGISTRY_EUREKA, "::7f00:1", 80, REGISTRY_LINK_LOCAL},
        {"a name instead of an address", REGISTRY_REST, "localhost", 80, REGISTRY_NO_ADDRESS},
        {"a number that inet_aton would take", REGISTRY_REST, "2130706433", 80,
         REGISTRY_NO_ADDRESS},
        {"no port", REGISTRY_LOCAL, "127.0.0.1", 0, REGISTRY_NO_ADDRESS},
        {"what the operator wrote down", REGISTRY_STATIC, "203.0.113.9", 9082, REGISTRY_REACHABLE},
    };
    struct registry_rules *rules = fixture_rules();
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        struct registry_spec spec = fixture_spec("X", "a");
        spec.source = rows[i].source;
        spec.eureka.ip_addr = rows[i].address;
        spec.eureka.port.number = rows[i].port;
        struct registry_instance *instance;
        assert_int_equal(registry_instance_new(&spec, &instance), CW_OK);
        enum registry_reach reach = registry_rules_reach(rules, instance);
        if (reach != rows[i].reach) {
            fail_msg("%s: %s", rows[i].sentence, registry_reach_name(reach));
        }
        registry_instance_unref(instance);
    }
    registry_rules_unref(rules);
}

static void a_socket_lies_in_a_directory_that_is_meant_for_it(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *path;
        enum registry_source source;
        enum registry_reach reach;
    } rows[] = {
        {"below the directory", "/run/services/x.sock", REGISTRY_LOCAL, REGISTRY_REACHABLE},
        {"deeper", "/run/services/x/y.sock", REGISTRY_LOCAL, REGISTRY_REACHABLE},
        {"another program's socket", "/run/docker.sock", REGISTRY_LOCAL, REGISTRY_NOT_ALLOWED},
        {"climbing out", "/run/services/../docker.sock", REGISTRY_LOCAL, REGISTRY_NOT_ALLOWED},
        {"a name that begins alike", "/run/services2/x.sock", REGISTRY_LOCAL, REGISTRY_NOT_ALLOWED},
        {"told by anything but a stream", "/run/services/x.sock", REGISTRY_EUREKA,
         REGISTRY_NOT_ALLOWED},
        {"configured", "/run/docker.sock", REGISTRY_STATIC, REGISTRY_REACHABLE},
    };
    struct registry_rules *rules = fixture_rules();
    assert_int_equal(registry_rules_socket_dir(rules, CW_STR("/run/services")), CW_OK);
    assert_int_equal(registry_rules_socket_dir(rules, CW_STR("/run/../x")), CW_CONFIG_INVALID);
    assert_int_equal(registry_rules_socket_dir(rules, CW_STR("run")), CW_CONFIG_INVALID);
    assert_int_equal(registry_rules_socket_dir(rules, CW_STR("/")), CW_CONFIG_INVALID);
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        struct registry_spec spec = fixture_spec("X", "a");
        struct registry_instance *instance;
        spec.source = rows[i].source;
        spec.socket_path = rows[i].path;
        assert_int_equal(registry_instance_new(&spec, &instance), CW_OK);
        if (registry_rules_reach(rules, instance) != rows[i].reach) {
            fail_msg("%s", rows[i].sentence);
        }
        registry_instance_unref(instance);
    }
    registry_rules_unref(rules);
}

static void anywhere_is_no_address(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool unspecified;
    } rows[] = {{"0.0.0.0", true},        {"::", true},         {"0:0::0", true},
                {"::ffff:0.0.0.0", true}, {"0.0.0.1", false},   {"127.0.0.1", false},
                {"::1", false},           {"localhost", false}, {"", false}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        if (registry_address_is_unspecified(cw_str(rows[i].address)) != rows[i].unspecified) {
            fail_msg("%s", rows[i].address);
        }
    }
}

static void a_restored_instance_is_judged_by_where_it_came_from(void **state)
{
    (void)state;
    struct registry_rules *rules = fixture_rules();
    struct registry_spec spec = fixture_spec("X", "a");
    struct registry_instance *instance;
    spec.source = REGISTRY_RESTORED;
    spec.origin = REGISTRY_EUREKA;
    assert_int_equal(registry_instance_new(&spec, &instance), CW_OK);
    assert_int_equal(registry_rules_reach(rules, instance), REGISTRY_LOOPBACK);
    registry_instance_unref(instance);
    spec.origin = REGISTRY_LOCAL;
    assert_int_equal(registry_instance_new(&spec, &instance), CW_OK);
    assert_int_equal(registry_rules_reach(rules, instance), REGISTRY_REACHABLE);
    registry_instance_unref(instance);
    registry_rules_unref(rules);
}

static void without_an_allow_list_nothing_from_elsewhere_is_reached(void **state)
{
    (void)state;
    struct registry_rules *rules;
    assert_int_equal(registry_rules_new(&rules), CW_OK);
    struct registry_spec spec = fixture_spec("X", "a");
    struct registry_instance *instance;
    spec.source = REGISTRY_EUREKA;
    spec.eureka.ip_addr = "10.1.2.3";
    assert_int_equal(registry_instance_new(&spec, &instance), CW_OK);
    assert_int_equal(registry_rules_reach(rules, instance), REGISTRY_NOT_ALLOWED);
    registry_instance_unref(instance);
    registry_rules_unref(rules);
}

static void grants_name_user_and_application(void **state)
{
    (void)state;
    struct registry_rules *rules = fixture_rules();
    assert_true(registry_rules_may_register(rules, ALICE, "X"));
    assert_true(registry_rules_may_register(rules, ALICE, "Y"));
    assert_true(registry_rules_may_register(rules, BOB, "X"));
    assert_false(registry_rules_may_register(rules, BOB, "Y"));
    assert_false(registry_rules_may_register(rules, 0, "X")); /* root is not implied */
    assert_int_equal(registry_rules_grant(rules, 0, CW_STR("*")), CW_OK);
    assert_true(registry_rules_may_register(rules, 0, "X"));
    registry_rules_unref(rules);
}

static void networks_are_checked_when_they_are_configured(void **state)
{
    (void)state;
    static const struct {
        const char *cidr;
        enum cw_err err;
    } rows[] = {
        {"10.0.0.0/8", CW_OK},
        {"10.0.0.1", CW_OK},
        {"0.0.0.0/0", CW_OK},
        {"fd00::/8", CW_OK},
        {"::1/128", CW_OK},
        {"10.0.0.1/8", CW_CONFIG_INVALID}, /* bits behind the mask */
        {"10.0.0.0/33", CW_CONFIG_INVALID},
        {"10.0.0/8", CW_CONFIG_INVALID},
        {"10.0.0.0/", CW_CONFIG_INVALID},
        {"fd00::/129", CW_CONFIG_INVALID},
        {"example.com", CW_CONFIG_INVALID},
        {"", CW_CONFIG_INVALID},
    };
    struct registry_rules *rules;
    assert_int_equal(registry_rules_new(&rules), CW_OK);
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        if (registry_rules_allow(rules, cw_str(rows[i].cidr)) != rows[i].err) {
            fail_msg("%s", rows[i].cidr);
        }
    }
    assert_int_equal(registry_rules_grant(rules, 1, CW_STR("a b")), CW_CONFIG_INVALID);
    assert_int_equal(registry_rules_add_interfaces(rules), CW_OK);
    registry_rules_unref(rules);
}

static void an_instance_is_checked_before_it_is_one(void **state)
{
    (void)state;
    struct registry_spec good = fixture_spec("X", "a");
    good.source = REGISTRY_LOCAL;
    struct registry_instance *instance;
    assert_int_equal(registry_instance_new(&good, &instance), CW_OK);
    registry_instance_unref(instance);
    static char long_path[REGISTRY_PATH_MAX + 2];
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[0] = '/';
    const char *paths[] = {"", "relative", "/with blank", "/with\nbreak", long_path};
    for (size_t i = 0; i < CW_ARRAY_SIZE(paths); i++) {
        struct registry_spec spec = good;
        spec.socket_path = paths[i];
        assert_int_equal(registry_instance_new(&spec, &instance), CW_REQUEST_MALFORMED);
    }
    struct registry_spec spec = good;
    spec.eureka.ip_addr = "localhost";
    assert_int_equal(registry_instance_new(&spec, &instance), CW_REQUEST_MALFORMED);
    spec = good;
    spec.eureka.app = "a/b";
    assert_int_equal(registry_instance_new(&spec, &instance), CW_REQUEST_MALFORMED);
}

static void the_secure_port_is_taken_when_it_is_enabled(void **state)
{
    (void)state;
    struct registry_spec spec = fixture_spec("X", "a");
    struct registry_instance *instance;
    bool secure;
    spec.eureka.secure_port = (struct cw_eureka_port){8443, true};
    assert_int_equal(registry_instance_new(&spec, &instance), CW_OK);
    assert_int_equal(registry_instance_port(instance, &secure), 8443);
    assert_true(secure);
    registry_instance_unref(instance);
    spec.eureka.secure_port.enabled = false;
    assert_int_equal(registry_instance_new(&spec, &instance), CW_OK);
    assert_int_equal(registry_instance_port(instance, &secure), 9000);
    assert_false(secure);
    registry_instance_unref(instance);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reach_depends_on_where_it_is_and_where_it_is_known_from),
        cmocka_unit_test(a_socket_lies_in_a_directory_that_is_meant_for_it),
        cmocka_unit_test(anywhere_is_no_address),
        cmocka_unit_test(a_restored_instance_is_judged_by_where_it_came_from),
        cmocka_unit_test(without_an_allow_list_nothing_from_elsewhere_is_reached),
        cmocka_unit_test(grants_name_user_and_application),
        cmocka_unit_test(networks_are_checked_when_they_are_configured),
        cmocka_unit_test(an_instance_is_checked_before_it_is_one),
        cmocka_unit_test(the_secure_port_is_taken_when_it_is_enabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
