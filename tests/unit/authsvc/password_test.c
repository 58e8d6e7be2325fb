/* Hashing, bounds on stored parameters, the dummy, Unicode preparation. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "authsvc/password/password.h"

#define START "$argon2id$v=19$m=8,t=1,p=1$"
#define SALT "c2FsdHNhbHRzYWx0c2FsdA"
#define TAG "AAAAAAAAAAAAAAAAAAAAAA"

/* Cheap, as tests want it. */
static const struct password_params cheap = {.memory_kib = 8, .iterations = 1};
static const struct password_params bound = {.memory_kib = 1024, .iterations = 4};

static int setup(void **state)
{
    struct password_hasher *hasher = NULL;
    assert_int_equal(password_hasher_new(cheap, bound, &hasher), CW_OK);
    *state = hasher;
    return 0;
}

static int teardown(void **state)
{
    password_hasher_free(*state);
    return 0;
}

static enum password_outcome verify(struct password_hasher *hasher, const char *hash,
                                    const char *password)
{
    enum password_outcome outcome = PASSWORD_RIGHT;
    assert_int_equal(password_verify(hasher, cw_str(hash), cw_str(password), &outcome), CW_OK);
    return outcome;
}

static void the_right_password_is_right_and_others_are_wrong(void **state)
{
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(*state, CW_STR("correct horse"), hash), CW_OK);
    assert_true(cw_str_starts(cw_str(hash), CW_STR("$argon2id$v=19$m=8,t=1,p=1$")));
    assert_int_equal(verify(*state, hash, "correct horse"), PASSWORD_RIGHT);
    assert_int_equal(verify(*state, hash, "correct hors"), PASSWORD_WRONG);
    assert_int_equal(verify(*state, hash, "correct horse "), PASSWORD_WRONG);
    assert_int_equal(verify(*state, hash, ""), PASSWORD_WRONG);
    char again[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(*state, CW_STR("correct horse"), again), CW_OK);
    assert_string_not_equal(hash, again); /* salted */
}

static void no_user_no_password_and_a_spoilt_hash_are_wrong(void **state)
{
    static const char *const hashes[] = {
        "",
        "*",
        "$argon2id$v=19$m=8,t=1,p=1$",
        "$argon2i$v=19$m=8,t=1,p=1$" SALT "$" TAG,
        "$2b$10$abcdefghijklmnopqrstuv",
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(hashes); i++) {
        assert_int_equal(verify(*state, hashes[i], "x"), PASSWORD_WRONG);
        assert_int_equal(verify(*state, hashes[i], ""), PASSWORD_WRONG);
    }
}

static void an_empty_password_is_wrong_even_where_its_hash_is_stored(void **state)
{
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(*state, CW_STR(""), hash), CW_OK);
    assert_int_equal(verify(*state, hash, ""), PASSWORD_WRONG);
}

/* Each differs from what is accepted in one thing. */
static void a_spoilt_salt_or_tag_is_not_even_tried(void **state)
{
    static const char *const hashes[] = {
        START "c2FsdA$" TAG,    /* a salt of 4 bytes */
        START SALT "$AAAAAAAA", /* a tag of 6 bytes */
        START SALT "==$" TAG,   /* padding */
        START SALT "$" TAG "=", /* padding */
        START SALT "$" TAG "$", /* something behind it */
        START SALT "$" TAG " ", /* something behind it */
        START SALT TAG,         /* one part */
        START "$" TAG,          /* no salt */
        START SALT "$",         /* no tag */
        START "c2Fsd!NhbHRzYWx0c2FsdA$" TAG,
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(hashes); i++) {
        if (password_hash_acceptable(*state, cw_str(hashes[i]))) {
            fail_msg("%s", hashes[i]);
        }
        assert_int_equal(verify(*state, hashes[i], "x"), PASSWORD_WRONG);
    }
    assert_true(password_hash_acceptable(*state, CW_STR(START SALT "$" TAG)));
}

/* Those that are stored already, and those that we write, for whoever reads them. */
static void hashes_are_libsodiums_in_both_directions(void **state)
{
    char hash[crypto_pwhash_STRBYTES];
    assert_int_equal(crypto_pwhash_argon2id_str(hash, "correct horse", 13, 4, 1024 * 1024), 0);
    assert_int_equal(verify(*state, hash, "correct horse"), PASSWORD_RIGHT_REHASH);
    assert_int_equal(verify(*state, hash, "correct mule"), PASSWORD_WRONG);
    memset(hash, 0, sizeof(hash));
    assert_int_equal(password_hash(*state, CW_STR("correct horse"), hash), CW_OK);
    assert_int_equal(crypto_pwhash_argon2id_str_verify(hash, "correct horse", 13), 0);
    assert_int_equal(crypto_pwhash_argon2id_str_verify(hash, "correct mule", 12), -1);
}

static size_t resident_kib(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*u %zu", &pages), 1);
    (void)fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void memory_that_nobody_uses_is_given_back(void **state)
{
    (void)state;
    enum { KIB = 32 * 1024 };
    const struct password_params large = {.memory_kib = KIB, .iterations = 1};
    struct password_hasher *hasher = NULL;
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hasher_new(large, large, &hasher), CW_OK);
    assert_int_equal(password_hash(hasher, CW_STR("secret"), hash), CW_OK);
    password_hasher_trim(hasher); /* there was a hash since the last call: it stays */
    size_t kept = resident_kib();
    password_hasher_trim(hasher);
    size_t given_back = resident_kib();
    assert_true(kept > given_back && kept - given_back >= KIB / 2); /* sanitizers give back more */
    assert_int_equal(verify(hasher, hash, "secret"), PASSWORD_RIGHT);
    password_hasher_free(hasher);
}

static void a_stored_hash_out_of_bounds_is_not_even_tried(void **state)
{
    static const char *const hashes[] = {
        "$argon2id$v=19$m=1025,t=1,p=1$" SALT "$" TAG,
        "$argon2id$v=19$m=8,t=5,p=1$" SALT "$" TAG,
        "$argon2id$v=19$m=4294967295,t=4294967295,p=1$" SALT "$" TAG,
        "$argon2id$v=19$m=99999999999999999999,t=1,p=1$" SALT "$" TAG,
        "$argon2id$v=19$m=8,t=1,p=2$" SALT "$" TAG,
        "$argon2id$v=16$m=8,t=1,p=1$" SALT "$" TAG,
        "$argon2id$v=19$m=0,t=0,p=1$" SALT "$" TAG,
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(hashes); i++) {
        assert_false(password_hash_acceptable(*state, cw_str(hashes[i])));
        assert_int_equal(verify(*state, hashes[i], "x"), PASSWORD_WRONG);
    }
    assert_true(
        password_hash_acceptable(*state, CW_STR("$argon2id$v=19$m=1024,t=4,p=1$" SALT "$" TAG)));
}

static void *hash_some(void *arg)
{
    char hash[PASSWORD_HASH_MAX];
    for (int i = 0; i < 20; i++) {
        if (password_hash(arg, CW_STR("secret"), hash) != CW_OK) {
            return arg;
        }
    }
    return NULL;
}

static void run_some(struct password_hasher *hasher)
{
    pthread_t threads[4];
    for (size_t i = 0; i < CW_ARRAY_SIZE(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hash_some, hasher), 0);
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(threads); i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
}

/* What one login now and then needs stays; what many at once have needed does not. */
static void memory_of_a_burst_is_given_back_beside_single_logins(void **state)
{
    (void)state;
    enum { BURSTS = 1000 };
    const struct password_params few = {.memory_kib = 512, .iterations = 2};
    struct password_hasher *hasher = NULL;
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hasher_new(few, few, &hasher), CW_OK);
    password_hasher_limit(hasher, 4);
    for (int i = 0; i < BURSTS && password_hasher_kept(hasher) < 2; i++) {
        run_some(hasher); /* until two were at it at once */
    }
    assert_true(password_hasher_kept(hasher) >= 2);
    password_hasher_trim(hasher);
    assert_true(password_hasher_kept(hasher) >= 2); /* they were needed since the last call */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(password_hash(hasher, CW_STR("secret"), hash), CW_OK);
        password_hasher_trim(hasher);
        assert_int_equal(password_hasher_kept(hasher), 1);
    }
    assert_int_equal(verify(hasher, hash, "secret"), PASSWORD_RIGHT);
    password_hasher_trim(hasher);
    assert_int_equal(password_hasher_kept(hasher), 1);
    password_hasher_trim(hasher);
    assert_int_equal(password_hasher_kept(hasher), 0);
    password_hasher_free(hasher);
}

/* That they wait is to be seen by their memory: tests/e2e/authsvc/password_test.py. */
static void a_limit_makes_many_wait_and_lets_all_through(void **state)
{
    password_hasher_limit(*state, 1);
    run_some(*state);
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(*state, CW_STR("secret"), hash), CW_OK);
    assert_int_equal(verify(*state, hash, "secret"), PASSWORD_RIGHT);
}

static void other_parameters_ask_for_a_rehash(void **state)
{
    struct password_hasher *dearer = NULL;
    const struct password_params params = {.memory_kib = 16, .iterations = 2};
    assert_int_equal(password_hasher_new(params, bound, &dearer), CW_OK);
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(*state, CW_STR("secret"), hash), CW_OK);
    assert_int_equal(verify(dearer, hash, "secret"), PASSWORD_RIGHT_REHASH);
    assert_int_equal(verify(dearer, hash, "wrong"), PASSWORD_WRONG);
    password_hasher_free(dearer);
}

static void parameters_out_of_range_are_refused(void **state)
{
    (void)state;
    struct password_hasher *hasher = NULL;
    const struct password_params low = {.memory_kib = 1, .iterations = 1};
    const struct password_params none = {.memory_kib = 64, .iterations = 0};
    const struct password_params above = {.memory_kib = 2048, .iterations = 1};
    assert_int_equal(password_hasher_new(low, bound, &hasher), CW_CONFIG_INVALID);
    assert_int_equal(password_hasher_new(none, bound, &hasher), CW_CONFIG_INVALID);
    assert_int_equal(password_hasher_new(above, bound, &hasher), CW_CONFIG_INVALID);
    assert_null(hasher);
}

static void prepared_is(const char *password, const char *want)
{
    struct cw_secret prepared = {0};
    assert_int_equal(password_prepare(cw_str(password), &prepared), CW_OK);
    assert_true(cw_str_is(cw_secret_str(&prepared), want));
    cw_secret_done(&prepared);
}

static void the_same_password_typed_two_ways_is_the_same(void **state)
{
    (void)state;
    prepared_is("passe\u0301", "pass\u00e9");    /* e + combining acute */
    prepared_is("\uff21\uff11", "A1");           /* full width */
    prepared_is("\ufb01x", "fix");               /* ligature */
    prepared_is("Plain Ascii ", "Plain Ascii "); /* case and blanks count */
    prepared_is("", "");
}

static void a_password_that_is_no_text_is_malformed(void **state)
{
    (void)state;
    struct cw_secret prepared = {0};
    assert_int_equal(password_prepare(CW_STR("a\0b"), &prepared), CW_REQUEST_MALFORMED);
    assert_int_equal(password_prepare(CW_STR("\xff\xfe"), &prepared), CW_REQUEST_MALFORMED);
    assert_int_equal(password_prepare(CW_STR("\xed\xa0\x80"), &prepared), CW_REQUEST_MALFORMED);
    char longest[PASSWORD_BYTES_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    assert_int_equal(password_prepare((struct cw_str){longest, sizeof(longest)}, &prepared),
                     CW_REQUEST_MALFORMED);
    assert_int_equal(password_prepare((struct cw_str){longest, sizeof(longest) - 1}, &prepared),
                     CW_OK);
    assert_int_equal(prepared.n, PASSWORD_BYTES_MAX);
    cw_secret_done(&prepared);
}

static void nothing_of_a_long_password_is_cut_off(void **state)
{
    char longest[PASSWORD_BYTES_MAX];
    memset(longest, 'x', sizeof(longest));
    struct cw_str s = {longest, sizeof(longest)};
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(*state, s, hash), CW_OK);
    enum password_outcome outcome = PASSWORD_WRONG;
    assert_int_equal(password_verify(*state, cw_str(hash), s, &outcome), CW_OK);
    assert_int_equal(outcome, PASSWORD_RIGHT);
    longest[PASSWORD_BYTES_MAX - 1] = 'y';
    assert_int_equal(password_verify(*state, cw_str(hash), s, &outcome), CW_OK);
    assert_int_equal(outcome, PASSWORD_WRONG);
}

static void user_names_are_found_whatever_their_case(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *want;
    } rows[] = {
        {"Anna@ClinicWave.com", "anna@clinicwave.com"},
        {"  anna ", "anna"},
        {"\u00a0anna\u3000", "anna"}, /* other blanks */
        {"\u00c4rztin", "\u00e4rztin"},
        {"a\u0308rztin", "\u00e4rztin"},
        {"", ""},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        char *name = NULL;
        assert_int_equal(password_prepare_name(cw_str(rows[i].name), &name), CW_OK);
        assert_string_equal(name, rows[i].want);
        free(name);
    }
    char *name = NULL;
    assert_int_equal(password_prepare_name(CW_STR("a\nb"), &name), CW_REQUEST_MALFORMED);
    assert_int_equal(password_prepare_name(CW_STR("a\0b"), &name), CW_REQUEST_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_password_is_right_and_others_are_wrong),
        cmocka_unit_test(no_user_no_password_and_a_spoilt_hash_are_wrong),
        cmocka_unit_test(an_empty_password_is_wrong_even_where_its_hash_is_stored),
        cmocka_unit_test(a_spoilt_salt_or_tag_is_not_even_tried),
        cmocka_unit_test(hashes_are_libsodiums_in_both_directions),
        cmocka_unit_test(memory_that_nobody_uses_is_given_back),
        cmocka_unit_test(memory_of_a_burst_is_given_back_beside_single_logins),
        cmocka_unit_test(a_stored_hash_out_of_bounds_is_not_even_tried),
        cmocka_unit_test(other_parameters_ask_for_a_rehash),
        cmocka_unit_test(a_limit_makes_many_wait_and_lets_all_through),
        cmocka_unit_test(parameters_out_of_range_are_refused),
        cmocka_unit_test(the_same_password_typed_two_ways_is_the_same),
        cmocka_unit_test(a_password_that_is_no_text_is_malformed),
        cmocka_unit_test(nothing_of_a_long_password_is_cut_off),
        cmocka_unit_test(user_names_are_found_whatever_their_case),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
