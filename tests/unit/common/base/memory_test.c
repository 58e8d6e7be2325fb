/* Buffers, arenas and secrets: their bounds, and what is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants the ones above */
#include <cmocka.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/secret.h"

static void a_buffer_grows_to_its_bound_and_fails_past_it(void **state)
{
    (void)state;
    struct cw_buf buf = CW_BUF_INIT(1000);
    char block[100];
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 10; i++) {
        cw_buf_add(&buf, block, sizeof(block));
    }
    assert_int_equal(cw_buf_check(&buf), CW_OK);
    assert_int_equal(buf.n, 1000);
    cw_buf_add_char(&buf, 'y');
    assert_int_not_equal(cw_buf_check(&buf), CW_OK);
    assert_int_equal(buf.n, 1000);
    assert_null(cw_buf_extend(&buf, 1));
    assert_null(cw_buf_take(&buf));
    cw_buf_clear(&buf);
    cw_buf_add_cstr(&buf, "again");
    char *text = cw_buf_take(&buf);
    assert_string_equal(text, "again");
    free(text);
    cw_buf_done(&buf);
}

static void formatted_text_is_held_to_the_bound(void **state)
{
    (void)state;
    struct cw_buf buf = CW_BUF_INIT(8);
    cw_buf_addf(&buf, "%d-%s", 12, "ab");
    assert_true(cw_str_is(cw_buf_str(&buf), "12-ab"));
    cw_buf_addf(&buf, "%s", "0123456789");
    assert_true(buf.failed);
    cw_buf_done(&buf);
}

static void formatted_text_finds_its_room(void **state)
{
    (void)state;
    /* around the first capacity, where it is formatted twice */
    for (size_t before = 250; before < 260; before++) {
        struct cw_buf buf = CW_BUF_INIT(1000);
        for (size_t i = 0; i < before; i++) {
            cw_buf_add_char(&buf, 'x');
        }
        cw_buf_addf(&buf, "%s-%d", "abc", 12);
        assert_int_equal(cw_buf_check(&buf), CW_OK);
        assert_int_equal(buf.n, before + 6);
        assert_memory_equal(buf.p + before, "abc-12", 6);
        cw_buf_done(&buf);
    }
}

static void reserved_room_does_not_move(void **state)
{
    (void)state;
    struct cw_buf buf = CW_BUF_INIT(1000);
    cw_buf_reserve(&buf, 900);
    const char *before = buf.p;
    for (int i = 0; i < 900; i++) {
        cw_buf_add_char(&buf, 'x');
    }
    assert_ptr_equal(buf.p, before);
    assert_int_equal(buf.n, 900);
    cw_buf_reserve(&buf, 101);
    assert_int_not_equal(cw_buf_check(&buf), CW_OK);
    cw_buf_done(&buf);
}

static void numbers_are_written_in_decimal(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0, 7, -1, 10, -10, 999, 1893456000, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < CW_ARRAY_SIZE(numbers); i++) {
        struct cw_buf buf = CW_BUF_INIT(100);
        char wanted[32];
        snprintf(wanted, sizeof(wanted), "%lld", (long long)numbers[i]);
        cw_buf_add_int(&buf, numbers[i]);
        assert_true(cw_str_is(cw_buf_str(&buf), wanted));
        cw_buf_done(&buf);
    }
}

static void json_strings_are_escaped_and_repaired(void **state)
{
    (void)state;
    static const struct {
        struct cw_str text;
        const char *json;
    } cases[] = {
        {CW_STR_INIT("plain"), "\"plain\""},
        {CW_STR_INIT("a\"b\\c"), "\"a\\\"b\\\\c\""},
        {CW_STR_INIT("\n"), "\"\\u000a\""},
        {CW_STR_INIT("a\0b"), "\"a\\u0000b\""},
        {CW_STR_INIT("\x7f"), "\"\\u007f\""},
        {CW_STR_INIT(""), "\"\""},
        {CW_STR_INIT("ab\tcd\xc3\xa4z\xc3"), "\"ab\\u0009cd\xc3\xa4z\xef\xbf\xbd\""},
        {CW_STR_INIT("\xc3\xa4"), "\"\xc3\xa4\""},
        {CW_STR_INIT("\xff"), "\"\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct cw_buf buf = CW_BUF_INIT(100);
        cw_buf_add_json(&buf, cases[i].text);
        if (!cw_str_is(cw_buf_str(&buf), cases[i].json)) {
            fail_msg("%s: %.*s", cases[i].json, CW_STR_ARG(cw_buf_str(&buf)));
        }
        cw_buf_done(&buf);
    }
}

static void an_arena_hands_out_aligned_memory_up_to_its_bound(void **state)
{
    (void)state;
    struct cw_arena arena = CW_ARENA_INIT(100000);
    for (size_t size = 1; size < 200; size++) {
        char *p = cw_arena_alloc(&arena, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        memset(p, 0xff, size);
    }
    assert_non_null(cw_arena_alloc(&arena, 50000));
    assert_null(cw_arena_alloc(&arena, 100000));
    assert_null(cw_arena_alloc(&arena, SIZE_MAX));
    cw_arena_reset(&arena);
    char *zeroed = cw_arena_zalloc(&arena, 100);
    assert_non_null(zeroed);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(zeroed[i], 0);
    }
    assert_string_equal(cw_arena_dup(&arena, CW_STR("abc")), "abc");
    cw_arena_done(&arena);
    assert_int_equal(arena.used, 0);
}

static void a_secret_is_read_without_its_line_break_and_compared(void **state)
{
    (void)state;
    char path[] = "/tmp/cwsecretXXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hunter2\n\n", 9), 9);
    struct cw_secret secret;
    assert_int_equal(cw_secret_read(&secret, path), CW_OK);
    assert_true(cw_str_is(cw_secret_str(&secret), "hunter2\n"));
    assert_true(cw_secret_eq(cw_secret_str(&secret), CW_STR("hunter2\n")));
    assert_false(cw_secret_eq(cw_secret_str(&secret), CW_STR("hunter3\n")));
    assert_false(cw_secret_eq(cw_secret_str(&secret), CW_STR("hunter2")));
    cw_secret_done(&secret);
    assert_null(secret.p);
    assert_int_equal(ftruncate(fd, 64 * 1024 + 1), 0);
    assert_int_equal(cw_secret_read(&secret, path), CW_IO);
    close(fd);
    unlink(path);
    assert_int_equal(cw_secret_read(&secret, path), CW_IO);
}

static void wiping_leaves_zeros(void **state)
{
    (void)state;
    char bytes[] = "hunter2";
    cw_secret_wipe(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        assert_int_equal(bytes[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_grows_to_its_bound_and_fails_past_it),
        cmocka_unit_test(formatted_text_is_held_to_the_bound),
        cmocka_unit_test(formatted_text_finds_its_room),
        cmocka_unit_test(reserved_room_does_not_move),
        cmocka_unit_test(numbers_are_written_in_decimal),
        cmocka_unit_test(json_strings_are_escaped_and_repaired),
        cmocka_unit_test(an_arena_hands_out_aligned_memory_up_to_its_bound),
        cmocka_unit_test(a_secret_is_read_without_its_line_break_and_compared),
        cmocka_unit_test(wiping_leaves_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
