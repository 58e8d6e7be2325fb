/* A token's whole way on a miss: issuer, keys, claims, cache, policy. */
#include "sidecar/handle/verify.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto/sha256.h"
#include "tests/unit/sidecar/world.h"

#define ISSUER "https://issuer.example/"
#define CLAIMS(more)                                                                               \
    "{\"iss\":\"" ISSUER "\",\"sub\":\"anna\",\"aud\":\"api\",\"exp\":1700000600,"                 \
    "\"iat\":1700000000,\"client_id\":\"web\",\"scope\":\"read write\"" more "}"

#define S(text) CW_STR_INIT(text)

struct fixture {
    struct world world;
    struct cw_key_store *keys;
    struct tenant *tenant;
    struct cache *cache;
    struct verify_context context;
    struct cw_key_waiter waiter;
    int woken;
};

static struct fixture *fixture;

static void woken(struct cw_key_waiter *waiter, bool late)
{
    (void)waiter;
    (void)late;
    fixture->woken++;
}

static struct tenant *make_tenant(struct fixture *f, uint64_t generation, struct cw_str tenant_path)
{
    static struct cw_str domains[] = {S("a.example")};
    static struct cw_str audiences[] = {S("api")};
    struct issuer_spec issuer = {
        .issuer = S(ISSUER),
        .jwks_uri = S("https://issuer.example/jwks"),
        .leeway = 10,
        .tenant_path = tenant_path,
    };
    struct tenant_spec spec = {
        .name = S("clinic"),
        .domains = {domains, 1},
        .audiences = {audiences, 1},
        .issuers = &issuer,
        .n_issuers = 1,
    };
    struct tenant *tenant = NULL;

    assert_int_equal(tenant_new(&spec, generation, f->keys, &tenant), CW_OK);
    return tenant;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    world_init(&f->world);
    struct cache_config config = {
        .max_entries = 1000, .max_bytes = 1 << 20, .ttl_ms = 300000, .clock = &f->world.clock};
    f->keys = world_store(&f->world, NULL);
    f->tenant = make_tenant(f, 1, (struct cw_str){0});
    f->cache = cache_new(&config);
    f->context = (struct verify_context){f->cache, &f->world.clock, NULL};
    f->waiter = (struct cw_key_waiter){.wake = woken, .deadline_ms = INT64_MAX};
    *state = fixture = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    cw_key_store_stop(f->keys);
    while (world_open(&f->world)) {
        world_break(&f->world, CW_CANCELLED);
    }
    tenant_unref(f->tenant);
    cw_key_store_free(f->keys);
    cache_free(f->cache);
    free(f);
    return 0;
}

static void give_keys(struct fixture *f, const char *kid, const char *more)
{
    const char *names[] = {kid, more};
    char *set = world_jwks(names, more ? 2 : 1);

    cw_key_store_tick(f->keys);
    world_answer(&f->world, 200, set, "");
    free(set);
}

static enum verify_state run(struct fixture *f, const char *token, struct verify_result *result)
{
    unsigned char digest[CW_SHA256_SIZE];

    assert_int_equal(cw_sha256(cw_str(token), digest), CW_OK);
    return verify_run(&f->context, f->tenant, rule_none(), cw_str(token), digest, false, &f->waiter,
                      NULL, result);
}

static bool is_cached(struct fixture *f, const char *token)
{
    unsigned char digest[CW_SHA256_SIZE];
    struct cache_key key = {f->tenant->generation, digest};
    struct cache_hit hit;

    assert_int_equal(cw_sha256(cw_str(token), digest), CW_OK);
    return cache_get(f->cache, &key, f->world.wall_ms / 1000, f->world.mono_ms, &hit);
}

static void expect(struct fixture *f, const char *sentence, const char *kid, const char *claims,
                   enum cw_err want, bool cached)
{
    char *token = world_token(kid, claims);
    struct verify_result result;

    assert_int_equal(run(f, token, &result), VERIFY_DONE);
    if (result.err != want) {
        fail_msg("%s: %s", sentence, cw_err_code(result.err));
    }
    if (is_cached(f, token) != cached) {
        fail_msg("%s: %s", sentence, cached ? "not cached" : "cached");
    }
    cw_buf_done(&result.blob);
    free(token);
}

static void tokens_and_what_is_kept_of_them(void **state)
{
    struct fixture *f = *state;

    give_keys(f, "one", NULL);
    expect(f, "a good token", "one", CLAIMS(""), CW_OK, true);
    expect(f, "of another issuer", "one", "{\"iss\":\"https://other/\",\"exp\":1700000600}",
           CW_ISSUER_UNKNOWN, false);
    expect(f, "issuer without its slash", "one",
           "{\"iss\":\"https://issuer.example\",\"exp\":1700000600}", CW_ISSUER_UNKNOWN, false);
    expect(f, "with an unknown key", "two", CLAIMS(""), CW_KEY_UNKNOWN, false);
    expect(f, "for another audience: the identity is kept, the decision is not", "one",
           "{\"iss\":\"" ISSUER "\",\"sub\":\"anna\",\"aud\":\"x\",\"exp\":1700000600}",
           CW_AUDIENCE_MISMATCH, true);
    expect(f, "expired beyond the leeway", "one",
           "{\"iss\":\"" ISSUER "\",\"sub\":\"anna\",\"aud\":\"api\",\"exp\":1699999980}",
           CW_TOKEN_EXPIRED, false);
    expect(f, "expired within the leeway", "one",
           "{\"iss\":\"" ISSUER "\",\"sub\":\"anna\",\"aud\":\"api\",\"exp\":1699999995}", CW_OK,
           true);
}

static void leeway_counts_for_cached_tokens_as_for_new_ones(void **state)
{
    struct fixture *f = *state;
    char *token = world_token("one", CLAIMS(""));
    struct verify_result result;

    give_keys(f, "one", NULL);
    assert_int_equal(run(f, token, &result), VERIFY_DONE);
    cw_buf_done(&result.blob);
    f->world.wall_ms = 1700000609ll * 1000;
    assert_true(is_cached(f, token));
    f->world.wall_ms = 1700000610ll * 1000;
    assert_false(is_cached(f, token));
    free(token);
}

static void a_forged_signature_is_refused_and_not_kept(void **state)
{
    struct fixture *f = *state;
    char *token = world_token("one", CLAIMS(""));
    struct verify_result result;

    give_keys(f, "one", NULL);
    char *last = strrchr(token, '.') + 10;
    *last = *last == 'A' ? 'B' : 'A';
    assert_int_equal(run(f, token, &result), VERIFY_DONE);
    assert_int_equal(result.err, CW_SIGNATURE_INVALID);
    assert_false(result.has_identity);
    assert_false(is_cached(f, token));
    cw_buf_done(&result.blob);
    free(token);
}

static void without_keys_a_token_waits_and_is_decided_when_they_come(void **state)
{
    struct fixture *f = *state;
    char *token = world_token("one", CLAIMS(""));
    struct verify_result result;

    assert_int_equal(run(f, token, &result), VERIFY_WAITS);
    cw_buf_done(&result.blob);
    give_keys(f, "one", NULL);
    assert_int_equal(f->woken, 1);
    assert_int_equal(run(f, token, &result), VERIFY_DONE);
    assert_int_equal(result.err, CW_OK);
    cw_buf_done(&result.blob);
    free(token);
}

static void keys_that_cannot_be_had_leave_it_undecided(void **state)
{
    struct fixture *f = *state;
    char *token = world_token("one", CLAIMS(""));
    struct verify_result result;

    cw_key_store_tick(f->keys);
    world_break(&f->world, CW_UNAVAILABLE);
    assert_int_equal(run(f, token, &result), VERIFY_DONE);
    assert_int_equal(result.err, CW_KEYS_UNAVAILABLE);
    assert_in_range(result.retry_after_s, 1, 60);
    cw_buf_done(&result.blob);
    free(token);
}

static void cheap_refusals_never_ask_for_keys(void **state)
{
    struct fixture *f = *state;
    static const char *const claims[] = {
        "{\"iss\":\"" ISSUER "\",\"sub\":\"a\",\"aud\":\"api\",\"exp\":1600000000}",
        "{\"iss\":\"https://other/\"}",
        "no json",
    };

    give_keys(f, "one", NULL);
    world_pass(&f->world, 40 * 1000);
    unsigned before = f->world.n_urls;
    for (size_t i = 0; i < CW_ARRAY_SIZE(claims); i++) {
        char *token = world_token("made up", claims[i]);
        struct verify_result result;
        assert_int_equal(run(f, token, &result), VERIFY_DONE);
        assert_int_equal(cw_err_info(result.err)->category, CW_CATEGORY_TOKEN);
        cw_buf_done(&result.blob);
        free(token);
    }
    assert_int_equal(f->world.n_urls, before);
}

static void the_tenant_claim_must_be_the_tenants_name_where_the_map_names_it(void **state)
{
    struct fixture *f = *state;

    tenant_unref(f->tenant);
    f->tenant = make_tenant(f, 2, CW_STR("org.tenant"));
    give_keys(f, "one", NULL);
    expect(f, "its name", "one", CLAIMS(",\"org\":{\"tenant\":\"clinic\"}"), CW_OK, true);
    expect(f, "another name", "one", CLAIMS(",\"org\":{\"tenant\":\"abott\"}"), CW_TENANT_MISMATCH,
           false);
    expect(f, "no name", "one", CLAIMS(",\"tenant\":\"clinic\""), CW_TENANT_MISMATCH, false);
}

/* A cache that is flushed between the reading of the keys and the insertion: the waker of time. */
static int64_t flushing_clock(void *ctx)
{
    struct fixture *f = ctx;

    cache_advance(f->cache);
    return f->world.wall_ms;
}

static void what_changes_during_a_verification_keeps_it_out_of_the_cache(void **state)
{
    struct fixture *f = *state;
    struct cw_clock clock = {flushing_clock, f->world.clock.monotonic_ms, f};
    char *token = world_token("one", CLAIMS(""));
    struct verify_result result;

    give_keys(f, "one", NULL);
    f->context.clock = &clock;
    assert_int_equal(run(f, token, &result), VERIFY_DONE);
    assert_int_equal(result.err, CW_OK);
    assert_false(is_cached(f, token));
    cw_buf_done(&result.blob);
    free(token);
}

static void a_key_that_is_withdrawn_ends_its_cached_tokens(void **state)
{
    struct fixture *f = *state;
    char *old = world_token("one", CLAIMS(""));
    char *kept = world_token("two", CLAIMS(""));
    struct verify_result result;

    give_keys(f, "one", "two");
    assert_int_equal(run(f, old, &result), VERIFY_DONE);
    cw_buf_done(&result.blob);
    assert_int_equal(run(f, kept, &result), VERIFY_DONE);
    cw_buf_done(&result.blob);
    assert_true(is_cached(f, old) && is_cached(f, kept));
    world_pass(&f->world, 31 * 1000);
    assert_true(cw_key_source_refresh(f->tenant->issuers[0].keys));
    give_keys(f, "two", NULL);
    assert_false(is_cached(f, old));
    assert_true(is_cached(f, kept));
    free(old);
    free(kept);
}

static void rules_are_judged_for_misses_as_for_hits(void **state)
{
    struct fixture *f = *state;
    char *token = world_token("one", CLAIMS(""));
    unsigned char digest[CW_SHA256_SIZE];
    char *scopes[] = {"read", "delete"};
    Clinicwave__Token__V1__Requirement requirement;
    struct rule *rule = NULL;
    struct verify_result result;

    give_keys(f, "one", NULL);
    clinicwave__token__v1__requirement__init(&requirement);
    requirement.scopes_all = scopes;
    requirement.n_scopes_all = 2;
    assert_int_equal(rule_new(&requirement, NULL, 0, &rule), CW_OK);
    assert_true(cw_str_is(rule->required_scope, "read delete"));
    assert_int_equal(cw_sha256(cw_str(token), digest), CW_OK);
    assert_int_equal(verify_run(&f->context, f->tenant, rule, cw_str(token), digest, false,
                                &f->waiter, NULL, &result),
                     VERIFY_DONE);
    assert_int_equal(result.err, CW_SCOPE_INSUFFICIENT);
    assert_true(result.has_identity);
    assert_true(is_cached(f, token));
    cw_buf_done(&result.blob);
    rule_unref(rule);
    free(token);
}

static void rules_with_empty_or_too_many_values_are_refused(void **state)
{
    char *values[RULE_LIST_MAX + 1];
    Clinicwave__Token__V1__Requirement requirement;
    struct rule *rule = NULL;

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(values); i++) {
        values[i] = "x";
    }
    clinicwave__token__v1__requirement__init(&requirement);
    requirement.roles_any = values;
    requirement.n_roles_any = RULE_LIST_MAX + 1;
    assert_int_equal(rule_new(&requirement, NULL, 0, &rule), CW_REQUEST_MALFORMED);
    requirement.n_roles_any = RULE_LIST_MAX;
    assert_int_equal(rule_new(&requirement, NULL, 0, &rule), CW_OK);
    rule_unref(rule);
    values[3] = "";
    assert_int_equal(rule_new(&requirement, NULL, 0, &rule), CW_REQUEST_MALFORMED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(tokens_and_what_is_kept_of_them),
        T(leeway_counts_for_cached_tokens_as_for_new_ones),
        T(a_forged_signature_is_refused_and_not_kept),
        T(without_keys_a_token_waits_and_is_decided_when_they_come),
        T(keys_that_cannot_be_had_leave_it_undecided),
        T(cheap_refusals_never_ask_for_keys),
        T(the_tenant_claim_must_be_the_tenants_name_where_the_map_names_it),
        T(what_changes_during_a_verification_keeps_it_out_of_the_cache),
        T(a_key_that_is_withdrawn_ends_its_cached_tokens),
        T(rules_are_judged_for_misses_as_for_hits),
        cmocka_unit_test(rules_with_empty_or_too_many_values_are_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    world_done();
    return failed;
}
