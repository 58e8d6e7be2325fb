/* Encoding and decoding are each other's inverse, and nothing else decodes. */
#include <stdlib.h>
#include <string.h>

#include "common/jose/b64url.h"
#include "tests/support/jose/judge.h"

static const struct {
    const char *bytes;
    const char *text;
} known[] = {
    /* RFC 4648 §10, without padding */
    {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
    {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xbf", "-_-_"},
};

static void the_standards_examples_go_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(known); i++) {
        struct cw_str bytes = cw_str(known[i].bytes), text = cw_str(known[i].text);
        assert_int_equal(cw_b64url_encoded_size(bytes.n), text.n);
        assert_int_equal(cw_b64url_decoded_size(text.n), bytes.n);
        char *encoded = mint_b64url(bytes.p, bytes.n);
        assert_string_equal(encoded, known[i].text);
        free(encoded);
        unsigned char decoded[8];
        assert_int_equal(cw_b64url_decode(text, decoded), CW_OK);
        assert_memory_equal(decoded, bytes.p, bytes.n);
    }
}

/* All 2^16 texts of two bytes, and of three with a fixed first: what decodes encodes to itself. */
static void only_the_canonical_text_decodes(void **state)
{
    (void)state;
    size_t two = 0, three = 0;
    for (unsigned v = 0; v < 65536; v++) {
        char text[3] = {(char)(v >> 8), (char)v, 0}, again[4];
        unsigned char bytes[2];
        if (cw_b64url_decode((struct cw_str){text, 2}, bytes) == CW_OK) {
            cw_b64url_encode(bytes, 1, again);
            assert_memory_equal(again, text, 2);
            two++;
        }
        char longer[3] = {'Q', (char)(v >> 8), (char)v};
        if (cw_b64url_decode((struct cw_str){longer, 3}, bytes) == CW_OK) {
            cw_b64url_encode(bytes, 2, again);
            assert_memory_equal(again, longer, 3);
            three++;
        }
    }
    assert_int_equal(two, 256);
    assert_int_equal(three, 64 * 16);
}

/* The character behind the text is a good one: it is not read, and it does not help. */
static void six_bits_are_no_byte(void **state)
{
    (void)state;
    static const char text[] = "QUFBQUFBQ";
    unsigned char bytes[8];
    for (size_t n = 1; n < sizeof text; n++) {
        enum cw_err want = n % 4 == 1 ? CW_TOKEN_MALFORMED : CW_OK;
        if (n % 4 != 1 && n % 4 != 0) {
            continue; /* cut there, unused bits are set */
        }
        judge_expect(text + n, cw_b64url_decode((struct cw_str){text, n}, bytes), want);
    }
    judge_expect("one", cw_b64url_decode((struct cw_str){"AA", 1}, bytes), CW_TOKEN_MALFORMED);
}

/* Long texts are read many characters at a time: each length, and each byte at each place. The
 * memory is of exactly the size, so that a sanitizer sees a step behind it. */
static void every_place_of_a_long_text_counts(void **state)
{
    (void)state;
    enum { LONGEST = 70 };
    unsigned char bytes[LONGEST];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 151 + 7);
    }
    for (size_t n = 1; n <= LONGEST; n++) {
        size_t size = cw_b64url_encoded_size(n);
        char *text = malloc(size);
        unsigned char *decoded = malloc(n);
        cw_b64url_encode(bytes, n, text);
        assert_int_equal(cw_b64url_decode((struct cw_str){text, size}, decoded), CW_OK);
        assert_memory_equal(decoded, bytes, n);
        for (size_t at = 0; n == LONGEST && at < size; at++) {
            char good = text[at];
            for (int c = 0; c < 256; c++) {
                text[at] = (char)c;
                bool good_one = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                                (c >= '0' && c <= '9') || c == '-' || c == '_';
                bool accepted = cw_b64url_decode((struct cw_str){text, size}, decoded) == CW_OK;
                /* the last character's unused bits are another test's */
                assert_true(accepted == good_one || (at == size - 1 && good_one));
            }
            text[at] = good;
        }
        free(decoded);
        free(text);
    }
}

static void appending_respects_the_bound(void **state)
{
    (void)state;
    struct cw_buf buf = CW_BUF_INIT(6);
    cw_b64url_add(&buf, (const unsigned char *)"foo", 3);
    cw_b64url_add(&buf, (const unsigned char *)"", 0);
    assert_true(cw_str_is(cw_buf_str(&buf), "Zm9v"));
    assert_int_equal(cw_buf_check(&buf), CW_OK);
    cw_b64url_add(&buf, (const unsigned char *)"foo", 3);
    assert_int_equal(cw_buf_check(&buf), CW_NO_MEMORY);
    cw_buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standards_examples_go_both_ways),
        cmocka_unit_test(only_the_canonical_text_decodes),
        cmocka_unit_test(six_bits_are_no_byte),
        cmocka_unit_test(every_place_of_a_long_text_counts),
        cmocka_unit_test(appending_respects_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
