/* What context_extensions say, and what they may not. */
#include "sidecar/ext_authz/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define E(key, value)                                                                              \
    {                                                                                              \
        CW_STR_INIT(key), CW_STR_INIT(value)                                                       \
    }

struct world {
    struct cw_arena arena;
    struct cw_buf why;
    struct route route;
};

static enum cw_err read_it(struct world *world, const struct route_entry *entries, size_t n)
{
    *world = (struct world){.arena = CW_ARENA_INIT(64 * 1024), .why = CW_BUF_INIT(ROUTE_WHY_MAX)};
    return route_read(entries, n, &world->arena, &world->why, &world->route);
}

static void done(struct world *world)
{
    route_done(&world->route);
    cw_buf_done(&world->why);
    cw_arena_done(&world->arena);
}

static void no_rule_is_no_admission(void **state)
{
    static const struct route_entry half[] = {E("cw_scope", "files:read")};
    struct world world;

    (void)state;
    assert_int_equal(read_it(&world, NULL, 0), CW_FORBIDDEN);
    assert_true(world.why.n > 0);
    done(&world);
    assert_int_equal(read_it(&world, half, 1), CW_FORBIDDEN);
    done(&world);
}

static void required_alone_demands_nothing_more(void **state)
{
    static const struct route_entry entries[] = {E("cw_auth", "required")};
    struct world world;

    (void)state;
    assert_int_equal(read_it(&world, entries, 1), CW_OK);
    assert_int_equal(world.route.auth, ROUTE_REQUIRED);
    assert_false(world.route.pass_authorization);
    assert_false(world.route.ambiguous_path);
    assert_int_equal(world.route.realm.n, 0);
    assert_ptr_equal(world.route.rule, rule_none());
    done(&world);
}

static void assert_list(const struct cw_str_list *list, const char *first, const char *second)
{
    assert_int_equal(list->n, second ? 2 : 1);
    assert_true(cw_str_is(list->items[0], first));
    assert_true(!second || cw_str_is(list->items[1], second));
}

static void every_key_is_taken(void **state)
{
    static const struct route_entry entries[] = {
        E("cw_role_all", "a"),
        E("cw_role", "head doctor , nurse"),
        E("cw_scope_any", "x y"),
        E("cw_scope", "  files:read   files:write "),
        E("cw_audience", "https://api.clinicwave.com"),
        E("cw_realm", "files"),
        E("cw_ambiguous_path", "allow"),
        E("cw_authorization", "pass"),
        E("cw_auth", "optional"),
    };
    struct world world;

    (void)state;
    assert_int_equal(read_it(&world, entries, CW_ARRAY_SIZE(entries)), CW_OK);
    assert_int_equal(world.route.auth, ROUTE_OPTIONAL);
    assert_true(world.route.pass_authorization);
    assert_true(world.route.ambiguous_path);
    assert_true(cw_str_is(world.route.realm, "files"));
    const struct policy_requirement *requirement = &world.route.rule->requirement;
    assert_list(&requirement->audiences, "https://api.clinicwave.com", NULL);
    assert_list(&requirement->scopes_all, "files:read", "files:write");
    assert_list(&requirement->scopes_any, "x", "y");
    assert_list(&requirement->roles_any, "head doctor", "nurse");
    assert_list(&requirement->roles_all, "a", NULL);
    assert_true(cw_str_is(world.route.rule->required_scope, "files:read files:write x"));
    done(&world);
}

static void what_cannot_be_followed_is_refused_by_name(void **state)
{
    static const struct {
        struct route_entry entry;
        const char *says;
    } cases[] = {
        {E("cw_auth", "Required"), "cw_auth"},
        {E("cw_auth", ""), "cw_auth"},
        {E("cw_auth", "on"), "\"on\""},
        {E("cw_auth", "required "), "cw_auth"},
        {E("cw_scopes", "files:read"), "cw_scopes"},
        {E("scope", "files:read"), "scope"},
        {E("CW_SCOPE", "files:read"), "CW_SCOPE"},
        {E("", ""), "known"},
        {E("cw_scope", ""), "empty"},
        {E("cw_scope", "  "), "empty"},
        {E("cw_role", "doctor,"), "empty"},
        {E("cw_role", ",doctor"), "empty"},
        {E("cw_role", "doctor,,nurse"), "empty"},
        {E("cw_authorization", "passed"), "cw_authorization"},
        {E("cw_ambiguous_path", "yes"), "cw_ambiguous_path"},
        {E("cw_realm", ""), "cw_realm"},
        {E("cw_realm", "a\"b"), "cw_realm"},
        {E("cw_realm", "a\r\nb"), "cw_realm"},
        {E("cw_realm", "a\\"), "cw_realm"},
        {E("cw_auth", "required"), "twice"},
    };

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        const struct route_entry entries[] = {E("cw_auth", "required"), cases[i].entry};
        bool alone =
            cw_str_is(cases[i].entry.key, "cw_auth") && strcmp(cases[i].says, "twice") != 0;
        struct world world;
        enum cw_err err = read_it(&world, entries + alone, 2 - alone);
        cw_buf_add_char(&world.why, '\0');
        if (err != CW_CONFIG_INVALID || !strstr(world.why.p, cases[i].says)) {
            fail_msg("case %zu: %s, %s", i, cw_err_code(err), world.why.p);
        }
        done(&world);
    }
}

static void a_list_has_a_bound(void **state)
{
    char scopes[2 * RULE_LIST_MAX + 2];
    struct route_entry entries[] = {E("cw_auth", "required"), E("cw_scope", "")};
    struct world world;

    (void)state;
    for (size_t i = 0; i <= RULE_LIST_MAX; i++) {
        memcpy(scopes + 2 * i, "s ", 2);
    }
    entries[1].value = (struct cw_str){scopes, 2 * RULE_LIST_MAX};
    assert_int_equal(read_it(&world, entries, 2), CW_OK);
    done(&world);
    entries[1].value.n += 2;
    assert_int_equal(read_it(&world, entries, 2), CW_CONFIG_INVALID);
    done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_rule_is_no_admission),
        cmocka_unit_test(required_alone_demands_nothing_more),
        cmocka_unit_test(every_key_is_taken),
        cmocka_unit_test(what_cannot_be_followed_is_refused_by_name),
        cmocka_unit_test(a_list_has_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
