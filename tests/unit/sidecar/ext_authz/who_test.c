/* An identity as headers carry it, or not at all. */
#include "sidecar/ext_authz/who.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LIST(...)                                                                                  \
    {                                                                                              \
        (struct cw_str[]){__VA_ARGS__}, CW_ARRAY_SIZE(((struct cw_str[]){__VA_ARGS__}))            \
    }
#define S(text) CW_STR_INIT(text)

struct world {
    struct cw_buf blob;
    struct cw_buf joined;
    struct who who;
};

static enum cw_err read_it(struct world *world, const struct cw_claims *claims)
{
    /* Static: it begins on a cache line, which not every stack frame of a sanitizer does. */
    static struct issuer issuer = {.name = CW_STR_INIT("https://issuer")};
    static const struct tenant tenant = {
        .name = CW_STR_INIT("clinicwave"), .issuers = &issuer, .n_issuers = 1};
    struct cache_parts parts;

    *world = (struct world){CW_BUF_INIT(IDENTITY_MAX), CW_BUF_INIT(IDENTITY_MAX), {{{0}}}};
    assert_int_equal(identity_pack(claims, 0, &world->blob, &parts), CW_OK);
    struct identity identity = identity_view(&parts, world->blob.p);
    return who_read(&identity, &tenant, &world->joined, &world->who);
}

static void done(struct world *world)
{
    cw_buf_done(&world->blob);
    cw_buf_done(&world->joined);
}

static void all_of_an_identity_is_told(void **state)
{
    static const char *const want[WHO_N] = {
        [WHO_TENANT] = "clinicwave",       [WHO_SUBJECT] = "anna", [WHO_ISSUER] = "https://issuer",
        [WHO_CLIENT] = "portal",           [WHO_SESSION] = "s1",   [WHO_SCOPE] = "a b",
        [WHO_ROLES] = "doctor,head of it",
    };
    const struct cw_claims claims = {
        .subject = CW_STR("anna"),
        .client_id = CW_STR("portal"),
        .session_id = CW_STR("s1"),
        .scopes = LIST(S("a"), S("b")),
        .roles = LIST(S("doctor"), S("head of it")),
        .permissions = LIST(S("delete,all")),
        .expires_at = 1700000000,
        .token_id = CW_STR("t1"),
    };
    struct world world;

    (void)state;
    assert_int_equal(read_it(&world, &claims), CW_OK);
    for (size_t i = 0; i < WHO_N; i++) {
        if (!cw_str_is(world.who.values[i], want[i])) {
            fail_msg("%s: %.*s", who_names[i], CW_STR_ARG(world.who.values[i]));
        }
    }
    done(&world);
}

static void what_a_token_has_not_is_empty(void **state)
{
    const struct cw_claims claims = {.subject = CW_STR("anna"), .expires_at = 1};
    struct world world;

    (void)state;
    assert_int_equal(read_it(&world, &claims), CW_OK);
    assert_true(cw_str_is(world.who.values[WHO_SUBJECT], "anna"));
    assert_int_equal(world.who.values[WHO_CLIENT].n, 0);
    assert_int_equal(world.who.values[WHO_SESSION].n, 0);
    assert_int_equal(world.who.values[WHO_SCOPE].n, 0);
    assert_int_equal(world.who.values[WHO_ROLES].n, 0);
    done(&world);
}

static void an_identity_that_would_arrive_as_another_is_refused(void **state)
{
    const struct cw_claims cases[] = {
        {.subject = CW_STR("anna\r\nx-auth-roles: admin")},
        {.subject = CW_STR("a\0b")},
        {.client_id = CW_STR("x\x7f")},
        {.session_id = CW_STR("\t")},
        {.roles = LIST(S("doctor,admin"))},
        {.roles = LIST(S("doctor"), S(""))},
        {.scopes = LIST(S("a b"))},
        {.scopes = LIST(S(""))},
        {.scopes = LIST(S("a\nb"))},
    };

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct world world;
        enum cw_err err = read_it(&world, &cases[i]);
        if (err != CW_CLAIM_INVALID) {
            fail_msg("case %zu: %s", i, cw_err_code(err));
        }
        done(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_an_identity_is_told),
        cmocka_unit_test(what_a_token_has_not_is_empty),
        cmocka_unit_test(an_identity_that_would_arrive_as_another_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
