/* Key sets over time: the same key stays the same object, a key that is gone is withdrawn, and a
 * token finds the key that it means. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"

static struct cw_jwks *set_of(const struct cw_jwks *previous, const char *first, const char *second)
{
    char *text = mint_format("{\"keys\":[%s%s%s]}", first, second ? "," : "", second ? second : "");
    struct cw_jwks_options options = {.previous = previous};
    struct cw_jwks *set = NULL;
    judge_expect(text, cw_jwks_parse(cw_str(text), &options, &set, NULL), CW_OK);
    free(text);
    return set;
}

static char *jwk(const char *alg, const char *members)
{
    return mint_jwk(mint_key(alg), alg, members);
}

static void a_key_that_stays_is_carried_over_and_one_that_goes_is_withdrawn(void **state)
{
    (void)state;
    char *a = jwk("ES256", "\"kid\":\"a\""), *b = jwk("EdDSA", "\"kid\":\"b\"");
    struct cw_jwks *old = set_of(NULL, a, b);
    struct cw_jwk *key_a = cw_jwk_ref(cw_jwks_at(old, 0)), *key_b = cw_jwk_ref(cw_jwks_at(old, 1));
    struct cw_jwks *now = set_of(old, a, NULL);
    assert_ptr_equal(cw_jwks_at(now, 0), key_a);
    assert_false(cw_jwk_is_withdrawn(key_b));
    assert_int_equal(cw_jwks_withdraw_missing(old, now), 1);
    assert_true(cw_jwk_is_withdrawn(key_b));
    assert_false(cw_jwk_is_withdrawn(key_a));
    /* it comes back: as another object, for what was dropped stays dropped */
    struct cw_jwks *back = set_of(old, a, b);
    assert_ptr_equal(cw_jwks_at(back, 0), key_a);
    assert_ptr_not_equal(cw_jwks_at(back, 1), key_b);
    assert_false(cw_jwk_is_withdrawn(cw_jwks_at(back, 1)));
    cw_jwks_unref(back);
    cw_jwks_unref(now);
    cw_jwks_unref(old);
    assert_true(cw_jwk_is_withdrawn(key_b)); /* the reference outlives its sets */
    cw_jwk_unref(key_a);
    cw_jwk_unref(key_b);
    free(b);
    free(a);
}

static void the_same_numbers_for_another_use_are_another_key(void **state)
{
    (void)state;
    char *a = jwk("RS256", "\"kid\":\"a\""), *renamed = jwk("RS256", "\"kid\":\"b\""),
         *bound = jwk("RS256", "\"kid\":\"a\",\"alg\":\"RS256\"");
    struct cw_jwks *old = set_of(NULL, a, NULL);
    struct cw_jwks *one = set_of(old, renamed, NULL), *two = set_of(old, bound, NULL);
    assert_ptr_not_equal(cw_jwks_at(one, 0), cw_jwks_at(old, 0));
    assert_ptr_not_equal(cw_jwks_at(two, 0), cw_jwks_at(old, 0));
    assert_int_equal(cw_jwks_withdraw_missing(old, two), 1);
    cw_jwks_unref(two);
    cw_jwks_unref(one);
    cw_jwks_unref(old);
    free(bound);
    free(renamed);
    free(a);
}

static void a_withdrawn_key_refuses_even_within_its_old_set(void **state)
{
    (void)state;
    char *a = jwk("ES256", "\"kid\":\"ES256\"");
    struct cw_jwks *set = set_of(NULL, a, NULL);
    char *header = judge_header("ES256");
    char *token = mint_token(mint_key("ES256"), "ES256", cw_str(header), CW_STR(JUDGE_CLAIMS("")));
    judge_expect("published", judge(cw_str(token), NULL, set, NULL), CW_OK);
    cw_jwk_withdraw(cw_jwks_at(set, 0));
    judge_expect("withdrawn", judge(cw_str(token), NULL, set, NULL), CW_KEY_WITHDRAWN);
    free(token);
    free(header);
    cw_jwks_unref(set);
    free(a);
}

static void a_token_without_kid_tries_the_keys_that_fit(void **state)
{
    (void)state;
    struct mint_key *other = mint_key_new("ES256");
    char *a = mint_jwk(other, "ES256", "\"kid\":\"a\""), *b = jwk("ES256", "\"kid\":\"b\"");
    struct cw_jwks *set = set_of(NULL, a, b);
    struct cw_jwk *keys[CW_JWKS_CANDIDATES];
    size_t n = 0;
    const struct cw_alg *es256 = cw_alg_at(CW_ALG_ES256), *rs256 = cw_alg_at(CW_ALG_RS256);
    assert_int_equal(cw_jwks_find(set, NULL, es256, keys, &n), CW_OK);
    assert_int_equal(n, 2);
    assert_int_equal(cw_jwks_find(set, NULL, rs256, keys, &n), CW_ALGORITHM_MISMATCH);
    struct cw_str kid = CW_STR("b");
    assert_int_equal(cw_jwks_find(set, &kid, es256, keys, &n), CW_OK);
    assert_int_equal(n, 1);
    assert_true(cw_str_is(cw_jwk_kid(keys[0]), "b"));
    kid = CW_STR("c");
    assert_int_equal(cw_jwks_find(set, &kid, es256, keys, &n), CW_KEY_UNKNOWN);
    char *token =
        mint_token(mint_key("ES256"), "ES256", CW_STR("{\"alg\":\"ES256\",\"typ\":\"JWT\"}"),
                   CW_STR(JUDGE_CLAIMS("")));
    judge_expect("the second fits", judge(cw_str(token), NULL, set, NULL), CW_OK);
    free(token);
    cw_jwks_unref(set);
    free(b);
    free(a);
    mint_key_free(other);
}

/* More keys of one algorithm than may be tried: a token without kid costs a bounded number. */
static void without_kid_only_so_many_keys_are_tried(void **state)
{
    (void)state;
    struct mint_key *more[CW_JWKS_CANDIDATES + 2];
    char *text = mint_format("%s", "");
    for (size_t i = 0; i < CW_ARRAY_SIZE(more); i++) {
        more[i] = mint_key_new("ES256");
        char *key = mint_jwk(more[i], "ES256", "");
        char *longer = mint_format("%s%s%s", text, i ? "," : "", key);
        free(text);
        free(key);
        text = longer;
    }
    struct cw_jwks *set = set_of(NULL, text, NULL);
    struct cw_jwk *keys[CW_JWKS_CANDIDATES];
    size_t n = 0;
    assert_int_equal(cw_jwks_find(set, NULL, cw_alg_at(CW_ALG_ES256), keys, &n), CW_OK);
    assert_int_equal(n, CW_JWKS_CANDIDATES);
    cw_jwks_unref(set);
    free(text);
    for (size_t i = 0; i < CW_ARRAY_SIZE(more); i++) {
        mint_key_free(more[i]);
    }
}

static void what_a_key_is_can_be_listed(void **state)
{
    (void)state;
    char *a = jwk("RS256", "\"kid\":\"a\""), *b = jwk("ES384", "\"kid\":\"b\"");
    struct cw_jwks *set = set_of(NULL, a, b);
    assert_int_equal(cw_jwks_count(set), 2);
    assert_null(cw_jwks_at(set, 2));
    assert_null(cw_jwks_note(set, 0));
    assert_string_equal(cw_jwk_kty(cw_jwks_at(set, 0)), "RSA");
    assert_int_equal(cw_jwk_bits(cw_jwks_at(set, 0)), 2048);
    assert_int_equal(cw_jwk_bits(cw_jwks_at(set, 1)), 384);
    cw_alg_set rsa = 0;
    for (unsigned id = CW_ALG_RS256; id <= CW_ALG_PS512; id++) {
        rsa |= cw_alg_bit(cw_alg_at((enum cw_alg_id)id));
    }
    assert_int_equal(cw_jwk_algorithms(cw_jwks_at(set, 0)), rsa);
    assert_int_equal(cw_jwk_algorithms(cw_jwks_at(set, 1)), cw_alg_bit(cw_alg_at(CW_ALG_ES384)));
    cw_jwks_unref(set);
    free(b);
    free(a);
}

static void a_note_is_plain_text(void **state)
{
    (void)state;
    char *good = jwk("ES256", "\"kid\":\"a\""),
         *bad = jwk("RS256", "\"use\":\"enc\",\"kid\":\"\\u001b\xc3\xa9\\n\"");
    struct cw_jwks *set = set_of(NULL, good, bad);
    assert_int_equal(cw_jwks_notes(set), 1);
    assert_string_equal(cw_jwks_note(set, 0), "key 2 (kid ???"
                                              "?): `use` is not sig");
    cw_jwks_unref(set);
    free(bad);
    free(good);
}

struct shared {
    struct cw_jwks *set;
    const char *token;
    unsigned accepted;
};

static void *verify_often(void *ctx)
{
    struct shared *shared = ctx;
    struct cw_token_policy policy = judge_policy();
    for (int i = 0; i < 50; i++) {
        struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
        struct cw_token token;
        struct cw_claims claims;
        struct cw_jwk *key = NULL;
        if (cw_token_parse(cw_str(shared->token), &arena, NULL, &token) == CW_OK) {
            shared->accepted += cw_token_verify(&token, &policy, shared->set, JUDGE_NOW, NULL,
                                                &arena, &claims, &key) == CW_OK;
        }
        cw_jwk_unref(key);
        cw_arena_done(&arena);
    }
    return NULL;
}

static void one_set_serves_many_threads(void **state)
{
    (void)state;
    static const char *const algorithms[] = {"RS256", "PS256", "ES256", "EdDSA"};
    struct cw_jwks *set = judge_keys(false);
    for (size_t a = 0; a < CW_ARRAY_SIZE(algorithms); a++) {
        char *header = judge_header(algorithms[a]);
        char *token = mint_token(mint_key(algorithms[a]), algorithms[a], cw_str(header),
                                 CW_STR(JUDGE_CLAIMS("")));
        pthread_t threads[4];
        struct shared shared[4];
        for (size_t i = 0; i < 4; i++) {
            shared[i] = (struct shared){set, token, 0};
            assert_int_equal(pthread_create(&threads[i], NULL, verify_often, &shared[i]), 0);
        }
        for (size_t i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(shared[i].accepted, 50);
        }
        free(token);
        free(header);
    }
    cw_jwks_unref(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_stays_is_carried_over_and_one_that_goes_is_withdrawn),
        cmocka_unit_test(the_same_numbers_for_another_use_are_another_key),
        cmocka_unit_test(a_withdrawn_key_refuses_even_within_its_old_set),
        cmocka_unit_test(a_token_without_kid_tries_the_keys_that_fit),
        cmocka_unit_test(without_kid_only_so_many_keys_are_tried),
        cmocka_unit_test(what_a_key_is_can_be_listed),
        cmocka_unit_test(a_note_is_plain_text),
        cmocka_unit_test(one_set_serves_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
