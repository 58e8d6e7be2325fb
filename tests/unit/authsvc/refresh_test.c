/* Opaque refresh tokens: the derived chain, its proof, the text form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "authsvc/token/refresh.h"

static const uint8_t key[REFRESH_KEY_SIZE] = {1, 2, 3};
static const uint8_t other_key[REFRESH_KEY_SIZE] = {1, 2, 4};

static void the_successor_is_always_the_same_and_needs_the_key(void **state)
{
    (void)state;
    struct refresh_token first;
    struct refresh_token a;
    struct refresh_token b;
    refresh_token_new(&first);
    refresh_token_next(key, &first, &a);
    refresh_token_next(key, &first, &b);
    assert_memory_equal(a.secret, b.secret, REFRESH_SECRET_SIZE);
    assert_int_equal(a.generation, 1);
    assert_memory_equal(a.family, first.family, REFRESH_FAMILY_SIZE);
    assert_memory_not_equal(a.secret, first.secret, REFRESH_SECRET_SIZE);
    refresh_token_next(other_key, &first, &b);
    assert_memory_not_equal(a.secret, b.secret, REFRESH_SECRET_SIZE);
}

static void an_old_token_proves_that_it_was_given_out(void **state)
{
    (void)state;
    struct refresh_token first;
    struct refresh_token now;
    refresh_token_new(&first);
    now = first;
    for (int i = 0; i < 100; i++) {
        refresh_token_next(key, &now, &now);
    }
    uint8_t hash[REFRESH_HASH_SIZE];
    refresh_token_hash(&now, hash);
    assert_true(refresh_token_leads_to(key, &first, 100, hash));
    assert_true(refresh_token_leads_to(key, &now, 100, hash));
    assert_false(refresh_token_leads_to(other_key, &first, 100, hash));
    assert_false(refresh_token_leads_to(key, &first, 99, hash));
    assert_false(refresh_token_leads_to(key, &now, 99, hash));
    first.secret[0] ^= 1; /* guessed */
    assert_false(refresh_token_leads_to(key, &first, 100, hash));
    assert_false(refresh_token_leads_to(key, &first, INT64_MAX, hash));
}

static void the_text_form_comes_back_and_has_one_spelling(void **state)
{
    (void)state;
    struct refresh_token token;
    refresh_token_new(&token);
    token.generation = 0x01020304;
    char text[REFRESH_TEXT_SIZE];
    refresh_token_encode(&token, text);
    assert_int_equal(strlen(text), REFRESH_TEXT_SIZE - 1);
    struct refresh_token read;
    assert_int_equal(refresh_token_parse(cw_str(text), &read), CW_OK);
    assert_memory_equal(read.family, token.family, REFRESH_FAMILY_SIZE);
    assert_memory_equal(read.secret, token.secret, REFRESH_SECRET_SIZE);
    assert_int_equal(read.generation, token.generation);

    struct cw_str whole = cw_str(text);
    assert_int_equal(refresh_token_parse(cw_str_slice(whole, 0, whole.n - 1), &read),
                     CW_REFRESH_INVALID);
    assert_int_equal(refresh_token_parse((struct cw_str){text, whole.n + 1}, &read),
                     CW_REFRESH_INVALID);
    text[10] = '=';
    assert_int_equal(refresh_token_parse(whole, &read), CW_REFRESH_INVALID);
    text[10] = '/';
    assert_int_equal(refresh_token_parse(whole, &read), CW_REFRESH_INVALID);
    text[0] = 'C';
    assert_int_equal(refresh_token_parse(whole, &read), CW_REFRESH_INVALID);
    assert_int_equal(refresh_token_parse(CW_STR(""), &read), CW_REFRESH_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_successor_is_always_the_same_and_needs_the_key),
        cmocka_unit_test(an_old_token_proves_that_it_was_given_out),
        cmocka_unit_test(the_text_form_comes_back_and_has_one_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
