/* Sets of tenants: found by domain and name, conflicts refused, shared by reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "authsvc/tenants/tenants.h"

enum { MANY = 10000 };

static struct cw_str keep(struct tenant *t, const char *text)
{
    char *p = cw_arena_dup(&t->arena, cw_str(text));
    assert_non_null(p);
    return cw_str(p);
}

/* Domains divided by blanks. */
static struct tenant *make(const char *name, const char *domains, const char *issuer)
{
    struct tenant *t = tenant_new();
    assert_non_null(t);
    struct cw_str *list = cw_arena_zalloc(&t->arena, 4 * sizeof(*list));
    assert_non_null(list);
    struct cw_str rest = keep(t, domains);
    while (cw_str_word(&rest, ' ', &list[t->n_domains])) {
        t->n_domains++;
    }
    t->name = keep(t, name);
    t->domains = list;
    t->issuer = keep(t, issuer);
    return t;
}

static enum cw_err set_of(struct tenant *a, struct tenant *b, struct tenant_conflict *conflict,
                          struct tenant_set **ret_set)
{
    struct tenant *list[] = {a, b};
    enum cw_err err = tenant_set_new(list, 2, conflict, ret_set);
    tenant_unref(a);
    tenant_unref(b);
    return err;
}

static void finds_by_domain_in_any_spelling_and_by_name(void **state)
{
    (void)state;
    struct tenant_set *set = NULL;
    struct tenant_conflict conflict;
    assert_int_equal(set_of(make("b", "b.com www.b.com", "https://b.com"),
                            make("a", "a.com", "https://a.com"), &conflict, &set),
                     CW_OK);
    assert_string_equal(tenant_set_by_host(set, CW_STR("WWW.B.com.:8443"))->name.p, "b");
    assert_string_equal(tenant_set_by_host(set, CW_STR("a.com"))->name.p, "a");
    assert_null(tenant_set_by_host(set, CW_STR("c.com")));
    assert_null(tenant_set_by_host(set, CW_STR("")));
    assert_string_equal(tenant_set_by_name(set, CW_STR("a"))->issuer.p, "https://a.com");
    assert_null(tenant_set_by_name(set, CW_STR("a.com")));
    assert_null(tenant_set_by_name(set, CW_STR("")));
    tenant_set_unref(set);
}

static void refuses_what_two_tenants_want(void **state)
{
    (void)state;
    static const struct {
        const char *name, *domains, *issuer, *what, *value;
    } cases[] = {
        {"a", "b.com", "https://b.com", "name", "a"},
        {"b", "b.com a.com", "https://b.com", "domain", "a.com"},
        {"b", "b.com", "https://a.com", "issuer", "https://a.com"},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct tenant *one = make("a", "a.com", "https://a.com");
        struct tenant *two = make(cases[i].name, cases[i].domains, cases[i].issuer);
        struct tenant *list[] = {one, two};
        struct tenant_set *set = NULL;
        struct tenant_conflict conflict = {0};
        assert_int_equal(tenant_set_new(list, 2, &conflict, &set), CW_CONFLICT);
        assert_null(set);
        assert_string_equal(conflict.what, cases[i].what);
        assert_true(cw_str_is(conflict.value, cases[i].value));
        assert_ptr_not_equal(conflict.one, conflict.other);
        tenant_unref(one);
        tenant_unref(two);
    }
}

static void an_unchanged_tenant_is_the_same_object_in_the_next_set(void **state)
{
    (void)state;
    struct tenant *stays = make("a", "a.com", "https://a.com");
    struct tenant_set *first = NULL;
    struct tenant_set *second = NULL;
    struct tenant_conflict conflict;
    assert_int_equal(
        set_of(tenant_ref(stays), make("b", "b.com", "https://b.com"), &conflict, &first), CW_OK);
    assert_int_equal(tenant_set_new(&stays, 1, &conflict, &second), CW_OK);
    tenant_unref(stays);
    struct tenant_current *current = tenant_current_new(first);
    struct tenant_set *held = tenant_current_get(current);
    tenant_current_swap(current, second);
    assert_string_equal(tenant_set_by_host(held, CW_STR("b.com"))->name.p, "b"); /* still alive */
    struct tenant_set *now = tenant_current_get(current);
    assert_null(tenant_set_by_host(now, CW_STR("b.com")));
    assert_ptr_equal(tenant_set_by_name(held, CW_STR("a")), tenant_set_by_name(now, CW_STR("a")));
    tenant_set_unref(held);
    tenant_set_unref(now);
    tenant_current_free(current);
}

static void an_empty_set_finds_nothing(void **state)
{
    (void)state;
    struct tenant_set *set = NULL;
    struct tenant_conflict conflict;
    assert_int_equal(tenant_set_new(NULL, 0, &conflict, &set), CW_OK);
    assert_null(tenant_set_by_host(set, CW_STR("a.com")));
    assert_null(tenant_set_by_name(set, CW_STR("a")));
    tenant_set_unref(set);
}

static void ten_thousand_tenants_are_each_found_and_no_other(void **state)
{
    (void)state;
    struct tenant **list = calloc(MANY, sizeof(struct tenant *));
    assert_non_null(list);
    char name[16];
    char domain[32];
    char issuer[48];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "t%zu", i);
        snprintf(domain, sizeof(domain), "t%zu.example", i);
        snprintf(issuer, sizeof(issuer), "https://t%zu.example", i);
        list[i] = make(name, domain, issuer);
    }
    struct tenant_set *set = NULL;
    struct tenant_conflict conflict;
    assert_int_equal(tenant_set_new(list, MANY, &conflict, &set), CW_OK);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "t%zu", i);
        snprintf(domain, sizeof(domain), "t%zu.example", i);
        assert_ptr_equal(tenant_set_by_host(set, cw_str(domain)), list[i]);
        assert_ptr_equal(tenant_set_by_name(set, cw_str(name)), list[i]);
    }
    assert_null(tenant_set_by_host(set, CW_STR("t10000.example")));
    tenant_set_unref(set);
    for (size_t i = 0; i < MANY; i++) {
        tenant_unref(list[i]);
    }
    free((void *)list);
}

static void origins_are_the_issuers_and_the_clients_or_the_tenants(void **state)
{
    (void)state;
    static const struct cw_str of_client[] = {CW_STR_INIT("https://client.example")};
    static const struct cw_str of_tenant[] = {CW_STR_INIT("https://tenant.example"),
                                              CW_STR_INIT("http://localhost:3000")};
    const struct tenant_client named = {.origins = of_client, .n_origins = 1};
    const struct tenant_client unnamed = {.n_origins = 0};
    struct tenant *t = make("a", "a.com", "https://a.com");
    t->issuer_origin = CW_STR("https://a.com");
    t->origins = of_tenant;
    t->n_origins = 2;
    static const struct {
        const char *origin;
        bool named, unnamed;
    } cases[] = {
        {"https://a.com", true, true},
        {"https://client.example", true, false},
        {"https://tenant.example", false, true},
        {"http://localhost:3000", false, true},
        {"https://tenant.example.evil", false, false},
        {"https://tenant.exampl", false, false},
        {"null", false, false},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct cw_str origin = cw_str(cases[i].origin);
        assert_int_equal(tenant_origin_allowed(t, &named, origin), cases[i].named);
        assert_int_equal(tenant_origin_allowed(t, &unnamed, origin), cases[i].unnamed);
    }
    tenant_unref(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_by_domain_in_any_spelling_and_by_name),
        cmocka_unit_test(refuses_what_two_tenants_want),
        cmocka_unit_test(an_unchanged_tenant_is_the_same_object_in_the_next_set),
        cmocka_unit_test(an_empty_set_finds_nothing),
        cmocka_unit_test(origins_are_the_issuers_and_the_clients_or_the_tenants),
        cmocka_unit_test(ten_thousand_tenants_are_each_found_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
