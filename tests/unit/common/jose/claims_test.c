/* What is kept of a token: the standard identity, the claim map's paths, and further claims as
 * JSON. */
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "tests/support/jose/judge.h"

static struct cw_claim_path path(const char *text)
{
    struct cw_claim_path p = {.n = 0};
    if (text) {
        judge_expect(text, cw_claim_path_parse(cw_str(text), &p), CW_OK);
    }
    return p;
}

static const struct {
    const char *text;
    size_t n;
    const char *names[3];
} good_paths[] = {
    {"roles", 1, {"roles"}},
    {"realm_access.roles", 2, {"realm_access", "roles"}},
    {"resource_access.\"my.app\".roles", 3, {"resource_access", "my.app", "roles"}},
    {"\"https://abott.example/roles\"", 1, {"https://abott.example/roles"}},
    {"https://abott.example/roles", 1, {"https://abott.example/roles"}},
    {"\"https://abott.example/app\".roles", 2, {"https://abott.example/app", "roles"}},
};

static const char *const bad_paths[] = {
    "", ".", "a.", ".a", "a..b", "\"a", "\"\"", "\"a\"b", "\"a\"bc", "a.\"\"", "a.b.c.d.e.f.g.h.i",
};

static void paths_are_dotted_names_with_quotes(void **state)
{
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(good_paths); i++) {
        struct cw_claim_path p = path(good_paths[i].text);
        assert_int_equal(p.n, good_paths[i].n);
        for (size_t k = 0; k < p.n; k++) {
            assert_true(cw_str_is(p.names[k], good_paths[i].names[k]));
        }
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(bad_paths); i++) {
        struct cw_claim_path p;
        judge_expect(bad_paths[i], cw_claim_path_parse(cw_str(bad_paths[i]), &p),
                     CW_CONFIG_INVALID);
    }
}

static const struct cw_doc_value *read_claims(const char *text, struct cw_arena *arena)
{
    const struct cw_doc_value *claims = NULL;
    char *copy = cw_arena_dup(arena, cw_str(text));
    assert_non_null(copy);
    judge_expect(text, cw_doc_parse(copy, strlen(copy), CW_CLAIMS_MALFORMED, arena, &claims),
                 CW_OK);
    return claims;
}

#define PROFILE(more)                                                                              \
    "{\"iss\":\"" JUDGE_ISSUER "\",\"sub\":\"a\",\"aud\":\"" JUDGE_AUDIENCE                        \
    "\",\"exp\":1700000600" more "}"

/* Lists joined by '|', so that a row can name them. */
static void expect_list(const char *sentence, const char *what, const struct cw_str_list *list,
                        const char *want)
{
    struct cw_buf text = CW_BUF_INIT(1024);
    for (size_t i = 0; i < list->n; i++) {
        cw_buf_addf(&text, "%s%.*s", i ? "|" : "", CW_STR_ARG(list->items[i]));
    }
    if (!cw_str_is(cw_buf_str(&text), want)) {
        fail_msg("%s: %s %.*s, want %s", sentence, what, CW_STR_ARG(cw_buf_str(&text)), want);
    }
    cw_buf_done(&text);
}

static const struct {
    const char *sentence;
    const char *payload;
    const char *roles_path, *permissions_path, *scopes_path;
    const char *roles, *permissions, *scopes, *client, *session;
} profiles[] = {
    {"authsvc's own (RFC 9068)",
     PROFILE(",\"client_id\":\"web\",\"scope\":\"a b\",\"roles\":[\"doctor\"],"
             "\"permissions\":[\"x:read\"],\"sid\":\"s1\",\"tenant\":\"clinicwave\""),
     NULL, NULL, NULL, "doctor", "x:read", "a|b", "web", "s1"},
    {"Auth0 with namespaced roles",
     PROFILE(",\"azp\":\"spa\",\"scope\":\"openid  profile\",\"permissions\":[\"read:files\"],"
             "\"https://abott.example/roles\":[\"nurse\",\"admin\"]"),
     "https://abott.example/roles", NULL, NULL, "nurse|admin", "read:files", "openid|profile",
     "spa", ""},
    {"Keycloak",
     PROFILE(",\"azp\":\"app\",\"scope\":\"email\",\"sid\":\"k\",\"typ\":\"Bearer\","
             "\"realm_access\":{\"roles\":[\"r1\",\"r2\"]},"
             "\"resource_access\":{\"my.app\":{\"roles\":[\"p\"]}}"),
     "realm_access.roles", "resource_access.\"my.app\".roles", NULL, "r1|r2", "p", "email", "app",
     "k"},
    {"Okta with scp and cid", PROFILE(",\"cid\":\"okta\",\"scp\":[\"openid\",\"files\"]"), NULL,
     NULL, NULL, "", "", "openid|files", "okta", ""},
    {"a mapped scope wins over the usual names", PROFILE(",\"scope\":\"a\",\"x\":{\"s\":\"b c\"}"),
     NULL, NULL, "x.s", "", "", "b|c", "", ""},
    {"a path that leads nowhere is an empty list",
     PROFILE(",\"realm_access\":1,\"roles\":[\"not-these\"]"), "realm_access.roles", NULL, NULL, "",
     "", "", "", ""},
    {"roles as words", PROFILE(",\"roles\":\"a b\""), NULL, NULL, NULL, "a|b", "", "", "", ""},
    {"nulls are absent", PROFILE(",\"roles\":null,\"scope\":null"), NULL, NULL, NULL, "", "", "",
     "", ""},
};

static void each_profile_is_mapped(void **state)
{
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(profiles); i++) {
        struct cw_token_policy policy = judge_policy();
        policy.claims.map.roles = path(profiles[i].roles_path);
        policy.claims.map.permissions = path(profiles[i].permissions_path);
        policy.claims.map.scopes = path(profiles[i].scopes_path);
        struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
        const struct cw_doc_value *json = read_claims(profiles[i].payload, &arena);
        struct cw_claims claims;
        const char *what = profiles[i].sentence;
        judge_expect(what, cw_claims_check(json, &policy.claims, NULL, &arena, &claims), CW_OK);
        expect_list(what, "roles", &claims.roles, profiles[i].roles);
        expect_list(what, "permissions", &claims.permissions, profiles[i].permissions);
        expect_list(what, "scopes", &claims.scopes, profiles[i].scopes);
        assert_true(cw_str_is(claims.client_id, profiles[i].client));
        assert_true(cw_str_is(claims.session_id, profiles[i].session));
        assert_true(cw_str_is(claims.subject, "a"));
        assert_true(cw_str_list_has(&claims.audiences, CW_STR(JUDGE_AUDIENCE)));
        cw_arena_done(&arena);
    }
}

static void further_claims_are_kept_as_json(void **state)
{
    (void)state;
    const struct cw_claim_kept kept[] = {
        {CW_STR("org"), path("org.name")},
        {CW_STR("level"), path("level")},
        {CW_STR("absent"), path("absent")},
        {CW_STR("all"), path("org")},
    };
    struct cw_token_policy policy = judge_policy();
    policy.claims.map.kept = kept;
    policy.claims.map.kept_count = CW_ARRAY_SIZE(kept);
    struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cw_claims claims;
    const struct cw_doc_value *json =
        read_claims(PROFILE(",\"org\":{\"name\":\"caf\\u00e9 \\\"x\\\"\"},\"level\":3"), &arena);
    assert_int_equal(cw_claims_check(json, &policy.claims, NULL, &arena, &claims), CW_OK);
    assert_int_equal(claims.kept_count, 3);
    assert_true(cw_str_is(claims.kept[0].name, "org"));
    assert_true(cw_str_is(claims.kept[0].json, "\"caf\xc3\xa9 \\\"x\\\"\""));
    assert_true(cw_str_is(claims.kept[1].json, "3"));
    assert_true(cw_str_is(claims.kept[2].json, "{\"name\":\"caf\xc3\xa9 \\\"x\\\"\"}"));
    /* memory that is bounded too tightly decides nothing */
    struct cw_arena small = CW_ARENA_INIT(16);
    assert_int_equal(cw_claims_check(json, &policy.claims, NULL, &small, &claims), CW_NO_MEMORY);
    cw_arena_done(&small);
    cw_arena_done(&arena);
}

static void times_are_kept_rounded_to_the_safe_side(void **state)
{
    (void)state;
    char *header = judge_header("ES256");
    char *token =
        mint_token(mint_key("ES256"), "ES256", cw_str(header),
                   CW_STR("{\"iss\":\"" JUDGE_ISSUER "\",\"sub\":\"a\",\"aud\":\"" JUDGE_AUDIENCE
                          "\",\"exp\":1700000600.9,\"nbf\":1699999998.1,\"iat\":1699999997}"));
    struct cw_claims claims;
    assert_int_equal(judge(cw_str(token), NULL, NULL, &claims), CW_OK);
    assert_int_equal(claims.expires_at, 1700000600);
    assert_int_equal(claims.not_before, 1699999999);
    assert_int_equal(claims.issued_at, 1699999997);
    free(token);
    free(header);
}

/* `scope` as words or as an array, n of them. */
static enum cw_err with_scopes(size_t n, bool array)
{
    struct cw_buf text = CW_BUF_INIT(64 * 1024);
    cw_buf_addf(&text, "{\"iss\":\"i\",\"sub\":\"a\",\"scope\":%s", array ? "[" : "\"");
    for (size_t i = 0; i < n; i++) {
        cw_buf_addf(&text, array ? "%s\"a\"" : "%sa", !i ? "" : array ? "," : " ");
    }
    cw_buf_add_cstr(&text, array ? "]}" : "\"}");
    struct cw_claims_policy policy = {.issuer = CW_STR_INIT("i")};
    struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cw_claims claims;
    cw_buf_add_char(&text, '\0');
    enum cw_err err = cw_claims_check(read_claims(text.p, &arena), &policy, NULL, &arena, &claims);
    cw_arena_done(&arena);
    cw_buf_done(&text);
    return err;
}

static void a_list_has_a_bound(void **state)
{
    (void)state;
    for (int array = 0; array <= 1; array++) {
        judge_expect("1024 scopes", with_scopes(CW_CLAIM_VALUES_MAX, array), CW_OK);
        judge_expect("1025 scopes", with_scopes(CW_CLAIM_VALUES_MAX + 1, array), CW_CLAIM_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_dotted_names_with_quotes),
        cmocka_unit_test(each_profile_is_mapped),
        cmocka_unit_test(further_claims_are_kept_as_json),
        cmocka_unit_test(times_are_kept_rounded_to_the_safe_side),
        cmocka_unit_test(a_list_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
