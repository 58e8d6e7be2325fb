/* The quick looks at a value agree, byte for byte, with the slow ones that the standards describe.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "edge-gateway/ngx_http_cw_text.h"

enum { SIZE = 40 };

static bool is_control(unsigned c)
{
    return c < 0x20 || c == 0x7f;
}

/* RFC 6750 §2.1 without the "=" of the end */
static bool is_b64token_char(unsigned c)
{
    return c &&
           strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/", (int)c);
}

static void each_control_character_is_found_wherever_it_stands(void **state)
{
    (void)state;
    u_char text[SIZE];
    for (size_t n = 1; n <= SIZE; n++) {
        for (size_t at = 0; at < n; at++) {
            for (unsigned c = 0; c < 256; c++) {
                memset(text, 'a', n);
                text[at] = (u_char)c;
                ngx_str_t s = {n, text};
                assert_int_equal(ngx_http_cw_text_clean(&s), !is_control(c));
            }
        }
    }
}

static void a_neighbour_hides_nothing_and_accuses_nobody(void **state)
{
    (void)state;
    u_char text[8];
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            memset(text, 'x', sizeof(text));
            text[3] = (u_char)a;
            text[4] = (u_char)b;
            ngx_str_t s = {sizeof(text), text};
            assert_int_equal(ngx_http_cw_text_clean(&s), !is_control(a) && !is_control(b));
        }
    }
}

static void nothing_behind_the_end_is_looked_at(void **state)
{
    (void)state;
    u_char text[] = "clean\r\n";
    ngx_str_t s = {5, text}, none = {0, NULL};
    assert_true(ngx_http_cw_text_clean(&s));
    assert_true(ngx_http_cw_text_b64token(&s));
    assert_true(ngx_http_cw_text_clean(&none));
    assert_false(ngx_http_cw_text_b64token(&none));
}

static void a_token_has_the_characters_of_rfc_6750_and_no_other(void **state)
{
    (void)state;
    u_char text[SIZE];
    for (size_t n = 2; n <= SIZE; n++) {
        for (size_t at = 0; at < n - 1; at++) {
            for (unsigned c = 0; c < 256; c++) {
                memset(text, 'a', n);
                text[at] = (u_char)c;
                ngx_str_t s = {n, text};
                assert_int_equal(ngx_http_cw_text_b64token(&s), is_b64token_char(c));
            }
        }
    }
}

static void equals_signs_stand_at_the_end_only(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } rows[] = {{"a", true},          {"a=", true},    {"a==", true},  {"abcd====", true},
                {"=", false},         {"====", false}, {"=a", false},  {"a=b", false},
                {"abcd=e", false},    {"a= ", false},  {"a=,", false}, {"a=\n", false},
                {"abc.def.ghi", true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        u_char copy[16];
        ngx_str_t s = {strlen(rows[i].text), copy};
        memcpy(copy, rows[i].text, s.len);
        assert_int_equal(ngx_http_cw_text_b64token(&s), rows[i].good);
    }
}

static void one_bit_anywhere_makes_another_text(void **state)
{
    (void)state;
    u_char a[SIZE], b[SIZE];
    for (size_t n = 0; n <= SIZE; n++) {
        memset(a, 'a', SIZE);
        memset(b, 'a', SIZE);
        if (n < SIZE) {
            b[n] = 'b'; /* behind the end */
        }
        assert_true(ngx_http_cw_text_same(a, b, n));
        for (size_t at = 0; at < n; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                b[at] ^= (u_char)(1u << bit);
                assert_false(ngx_http_cw_text_same(a, b, n));
                b[at] ^= (u_char)(1u << bit);
            }
        }
        assert_true(ngx_http_cw_text_same(a, b, n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_control_character_is_found_wherever_it_stands),
        cmocka_unit_test(a_neighbour_hides_nothing_and_accuses_nobody),
        cmocka_unit_test(nothing_behind_the_end_is_looked_at),
        cmocka_unit_test(a_token_has_the_characters_of_rfc_6750_and_no_other),
        cmocka_unit_test(equals_signs_stand_at_the_end_only),
        cmocka_unit_test(one_bit_anywhere_makes_another_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
