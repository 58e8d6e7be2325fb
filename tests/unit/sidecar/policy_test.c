/* Requirements against identities. */
#include "sidecar/policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sidecar/handle/identity.h"

#define LIST(...)                                                                                  \
    {                                                                                              \
        (struct cw_str[]){__VA_ARGS__},                                                            \
            sizeof((struct cw_str[]){__VA_ARGS__}) / sizeof(struct cw_str)                         \
    }
#define S(text) CW_STR_INIT(text)

/* A token for api and files, with scopes read write, role doctor, of generation 5. */
static enum cw_err judge(const struct policy_requirement *requirement, uint64_t generation)
{
    struct cw_claims claims = {
        .subject = CW_STR("anna"),
        .client_id = CW_STR("doctor"), /* is no role */
        .audiences = LIST(S("api"), S("files")),
        .scopes = LIST(S("read"), S("write")),
        .roles = LIST(S("doctor")),
        .permissions = LIST(S("delete")), /* are no scopes */
        .expires_at = 1700000000,
    };
    struct cw_buf blob = CW_BUF_INIT(IDENTITY_MAX);
    struct cache_parts parts;
    struct policy_tenant tenant = {5, LIST(S("api"), S("other"))};

    assert_int_equal(identity_pack(&claims, 0, &blob, &parts), CW_OK);
    struct identity view = identity_view(&parts, blob.p);
    struct policy_identity identity = {generation, view.standard, view.audience};
    enum cw_err err = policy_judge(&identity, requirement, &tenant);
    cw_buf_done(&blob);
    return err;
}

static void requirements_and_what_they_find(void **state)
{
    const struct {
        const char *sentence;
        struct policy_requirement requirement;
        enum cw_err want;
    } cases[] = {
        {"nothing: the tenant's audience is enough", {.audiences = {NULL, 0}}, CW_OK},
        {"the second audience counts", {.audiences = LIST(S("files"))}, CW_OK},
        {"one of several audiences", {.audiences = LIST(S("x"), S("api"))}, CW_OK},
        {"another audience", {.audiences = LIST(S("x"))}, CW_AUDIENCE_MISMATCH},
        {"the tenant's audience is not added to the rule's",
         {.audiences = LIST(S("other"))},
         CW_AUDIENCE_MISMATCH},
        {"a prefix is no audience", {.audiences = LIST(S("ap"))}, CW_AUDIENCE_MISMATCH},
        {"case counts", {.audiences = LIST(S("API"))}, CW_AUDIENCE_MISMATCH},
        {"all scopes are there", {.scopes_all = LIST(S("write"), S("read"))}, CW_OK},
        {"one of all is missing", {.scopes_all = LIST(S("read"), S("x"))}, CW_SCOPE_INSUFFICIENT},
        {"any of two", {.scopes_any = LIST(S("x"), S("write"))}, CW_OK},
        {"none of any", {.scopes_any = LIST(S("x"), S("y"))}, CW_SCOPE_INSUFFICIENT},
        {"all hold, none of any",
         {.scopes_all = LIST(S("read")), .scopes_any = LIST(S("x"))},
         CW_SCOPE_INSUFFICIENT},
        {"a permission is no scope", {.scopes_any = LIST(S("delete"))}, CW_SCOPE_INSUFFICIENT},
        {"a role is no scope", {.scopes_any = LIST(S("doctor"))}, CW_SCOPE_INSUFFICIENT},
        {"the role is there", {.roles_any = LIST(S("nurse"), S("doctor"))}, CW_OK},
        {"the role is not", {.roles_any = LIST(S("nurse"))}, CW_ROLE_INSUFFICIENT},
        {"all roles", {.roles_all = LIST(S("doctor"))}, CW_OK},
        {"not all roles", {.roles_all = LIST(S("doctor"), S("nurse"))}, CW_ROLE_INSUFFICIENT},
        {"a scope is no role", {.roles_any = LIST(S("read"))}, CW_ROLE_INSUFFICIENT},
        {"a client of that name is no role", {.roles_all = LIST(S("anna"))}, CW_ROLE_INSUFFICIENT},
        {"the audience is judged before the scope",
         {.audiences = LIST(S("x")), .scopes_all = LIST(S("x"))},
         CW_AUDIENCE_MISMATCH},
        {"the scope before the role",
         {.scopes_all = LIST(S("x")), .roles_all = LIST(S("x"))},
         CW_SCOPE_INSUFFICIENT},
    };

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        enum cw_err got = judge(&cases[i].requirement, 5);
        if (got != cases[i].want) {
            fail_msg("%s: %s", cases[i].sentence, cw_err_code(got));
        }
    }
}

static void an_identity_of_another_generation_is_another_tenants(void **state)
{
    struct policy_requirement nothing = {.audiences = {NULL, 0}};

    (void)state;
    assert_int_equal(judge(&nothing, 4), CW_TENANT_MISMATCH);
}

static void a_tenant_without_audiences_accepts_none(void **state)
{
    struct policy_requirement nothing = {.audiences = {NULL, 0}};
    struct policy_identity identity = {1, {NULL, 0}, {"\3\0api", 5}};
    struct policy_tenant tenant = {1, {NULL, 0}};

    (void)state;
    assert_int_equal(policy_judge(&identity, &nothing, &tenant), CW_AUDIENCE_MISMATCH);
}

static void bytes_that_end_early_hold_nothing(void **state)
{
    struct cw_str value;
    static const struct cw_str broken[] = {S(""), S("\x32"),
                                           S("\x32\x05"
                                             "abc"),
                                           S("\x32\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
                                           S("\x35"
                                             "abcd")};

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(broken); i++) {
        struct cw_str rest = broken[i];
        assert_false(policy_next(&rest, POLICY_SCOPES, &value));
        rest = (struct cw_str){"\5\0abc", CW_MIN(i, (size_t)5)};
        assert_false(policy_next_audience(&rest, &value));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requirements_and_what_they_find),
        cmocka_unit_test(an_identity_of_another_generation_is_another_tenants),
        cmocka_unit_test(a_tenant_without_audiences_accepts_none),
        cmocka_unit_test(bytes_that_end_early_hold_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
