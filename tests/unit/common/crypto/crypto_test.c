/* Digest, hexadecimal and random ids against known answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/crypto/hex.h"
#include "common/crypto/random.h"
#include "common/crypto/sha256.h"

static void sha256_of_known_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *digest;
    } rows[] = {
        /* FIPS 180-4, examples */
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        unsigned char digest[CW_SHA256_SIZE], again[CW_SHA256_SIZE];
        char text[2 * CW_SHA256_SIZE + 1];
        assert_int_equal(cw_sha256(cw_str(rows[i].text), digest), CW_OK);
        cw_hex_encode(digest, sizeof digest, text);
        assert_string_equal(text, rows[i].digest);
        assert_int_equal(cw_hex_decode(cw_str(text), again, sizeof again), CW_OK);
        assert_memory_equal(again, digest, sizeof digest);
    }
}

static void hex_takes_whole_digits_of_either_case_only(void **state)
{
    (void)state;
    unsigned char bytes[2];
    assert_int_equal(cw_hex_decode(CW_STR("aBcD"), bytes, 2), CW_OK);
    assert_memory_equal(bytes, "\xab\xcd", 2);
    static const char *const bad[] = {"", "abc", "abcde", "abcg", "ab d", "-bcd", "0xab", "ab`d"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(bad); i++) {
        assert_int_equal(cw_hex_decode(cw_str(bad[i]), bytes, 2), CW_REQUEST_MALFORMED);
    }
}

static enum cw_err counting(void *ctx, void *bytes, size_t n)
{
    unsigned char *next = ctx, *p = bytes;
    for (size_t i = 0; i < n; i++) {
        p[i] = (*next)++;
    }
    return CW_OK;
}

static enum cw_err failing(void *ctx, void *bytes, size_t n)
{
    (void)ctx;
    (void)bytes;
    (void)n;
    return CW_INTERNAL;
}

static void an_id_is_sixteen_bytes_in_base64url(void **state)
{
    (void)state;
    unsigned char next = 0;
    struct cw_random counted = {.fill = counting, .ctx = &next};
    char id[CW_RANDOM_ID_SIZE], other[CW_RANDOM_ID_SIZE];
    assert_int_equal(cw_random_id(&counted, id), CW_OK);
    assert_string_equal(id, "AAECAwQFBgcICQoLDA0ODw");
    assert_int_equal(next, 16);
    assert_int_equal(cw_random_id(&cw_random_system, id), CW_OK);
    assert_int_equal(cw_random_id(&cw_random_system, other), CW_OK);
    assert_string_not_equal(id, other);
    struct cw_random broken = {.fill = failing};
    assert_int_equal(cw_random_id(&broken, id), CW_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_of_known_texts),
        cmocka_unit_test(hex_takes_whole_digits_of_either_case_only),
        cmocka_unit_test(an_id_is_sixteen_bytes_in_base64url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
