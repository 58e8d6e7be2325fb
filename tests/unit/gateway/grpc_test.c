/* gRPC's framing: messages come out whole, however their bytes are cut, and no prefix gets more
 * memory than the bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "edge-gateway/ngx_http_cw_grpc.h"

struct seen {
    char text[256];
    unsigned messages;
    int refuse;
};

static ngx_int_t note(void *data, u_char *p, size_t len)
{
    struct seen *seen = data;
    size_t n = strlen(seen->text);
    assert_true(n + len + 2 < sizeof(seen->text));
    memcpy(seen->text + n, p, len);
    memcpy(seen->text + n + len, "|", 2);
    seen->messages++;
    return seen->refuse ? NGX_ERROR : NGX_OK;
}

static const u_char two[] = "\0\0\0\0\005hello\0\0\0\0\0\0\0\0\0\005world";
enum { TWO = sizeof(two) - 1 };

static void messages_come_out_whole_for_every_cut(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= TWO; piece++) {
        struct seen seen = {.text = ""};
        ngx_http_cw_grpc_reader_t reader = {.max = 64};
        u_char bytes[TWO];
        memcpy(bytes, two, TWO);
        for (size_t at = 0; at < TWO; at += piece) {
            size_t n = piece < TWO - at ? piece : TWO - at;
            assert_int_equal(ngx_http_cw_grpc_read(&reader, bytes + at, n, note, &seen), NGX_OK);
        }
        assert_string_equal(seen.text, "hello||world|");
        assert_true(ngx_http_cw_grpc_at_boundary(&reader));
        ngx_http_cw_grpc_reader_done(&reader);
    }
}

static void half_a_message_is_no_boundary(void **state)
{
    (void)state;
    struct seen seen = {.text = ""};
    for (size_t n = 1; n < 10; n++) {
        ngx_http_cw_grpc_reader_t reader = {.max = 64};
        u_char bytes[TWO];
        memcpy(bytes, two, TWO);
        assert_int_equal(ngx_http_cw_grpc_read(&reader, bytes, n, note, &seen), NGX_OK);
        assert_false(ngx_http_cw_grpc_at_boundary(&reader));
        ngx_http_cw_grpc_reader_done(&reader);
    }
    assert_int_equal(seen.messages, 0);
}

static void a_compressed_message_is_refused(void **state)
{
    (void)state;
    struct seen seen = {.text = ""};
    ngx_http_cw_grpc_reader_t reader = {.max = 64};
    u_char bytes[] = {1, 0, 0, 0, 1, 'x'};
    assert_int_equal(ngx_http_cw_grpc_read(&reader, bytes, sizeof(bytes), note, &seen), NGX_ERROR);
    ngx_http_cw_grpc_reader_done(&reader);
}

static void a_message_past_the_bound_is_refused_by_its_prefix(void **state)
{
    (void)state;
    struct seen seen = {.text = ""};
    ngx_http_cw_grpc_reader_t fits = {.max = 64}, over = {.max = 64}, vast = {.max = 64};
    u_char at[] = {0, 0, 0, 0, 64}, above[] = {0, 0, 0, 0, 65}, most[] = {0, 255, 255, 255, 255};
    assert_int_equal(ngx_http_cw_grpc_read(&fits, at, 5, note, &seen), NGX_OK);
    assert_int_equal(ngx_http_cw_grpc_read(&over, above, 5, note, &seen), NGX_ERROR);
    assert_int_equal(ngx_http_cw_grpc_read(&vast, most, 5, note, &seen), NGX_ERROR);
    assert_null(vast.buf);
    ngx_http_cw_grpc_reader_done(&fits);
}

static void a_handler_that_refuses_ends_the_reading(void **state)
{
    (void)state;
    struct seen seen = {.text = "", .refuse = 1};
    ngx_http_cw_grpc_reader_t reader = {.max = 64};
    u_char bytes[TWO];
    memcpy(bytes, two, TWO);
    assert_int_equal(ngx_http_cw_grpc_read(&reader, bytes, TWO, note, &seen), NGX_ERROR);
    assert_int_equal(seen.messages, 1);
    ngx_http_cw_grpc_reader_done(&reader);
}

static void a_prefix_is_what_the_reader_reads(void **state)
{
    (void)state;
    u_char prefix[NGX_HTTP_CW_GRPC_PREFIX];
    static const u_char expected[] = {0, 0x01, 0x02, 0x03, 0x04};
    assert_ptr_equal(ngx_http_cw_grpc_prefix(prefix, 0x01020304), prefix + 5);
    assert_memory_equal(prefix, expected, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_whole_for_every_cut),
        cmocka_unit_test(half_a_message_is_no_boundary),
        cmocka_unit_test(a_compressed_message_is_refused),
        cmocka_unit_test(a_message_past_the_bound_is_refused_by_its_prefix),
        cmocka_unit_test(a_handler_that_refuses_ends_the_reading),
        cmocka_unit_test(a_prefix_is_what_the_reader_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
