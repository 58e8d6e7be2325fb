/* A worker's memory of digests: what it forgets and what it never invents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "edge-gateway/ngx_http_cw_digests.h"

static void digest_of(unsigned n, u_char digest[NGX_HTTP_CW_DIGEST_LEN])
{
    memset(digest, 0, NGX_HTTP_CW_DIGEST_LEN);
    for (size_t i = 0; i < sizeof(n); i++) {
        digest[i] = (u_char)(n >> (8 * i));
        digest[31 - i] = (u_char)(n >> (8 * i));
    }
}

static void a_digest_is_known_after_it_was_added_and_not_before(void **state)
{
    (void)state;
    u_char digest[NGX_HTTP_CW_DIGEST_LEN];
    ngx_http_cw_digests_t *digests = ngx_http_cw_digests_create(1024);
    digest_of(7, digest);
    assert_false(ngx_http_cw_digests_has(digests, digest));
    ngx_http_cw_digests_add(digests, digest);
    assert_true(ngx_http_cw_digests_has(digests, digest));
    digest[16] ^= 1; /* the same set, another digest */
    assert_false(ngx_http_cw_digests_has(digests, digest));
    ngx_http_cw_digests_destroy(digests);
}

static void a_removed_digest_is_unknown_and_its_neighbours_stay(void **state)
{
    (void)state;
    u_char a[NGX_HTTP_CW_DIGEST_LEN], b[NGX_HTTP_CW_DIGEST_LEN];
    ngx_http_cw_digests_t *digests = ngx_http_cw_digests_create(4);
    digest_of(1, a);
    digest_of(2, b);
    ngx_http_cw_digests_add(digests, a);
    ngx_http_cw_digests_add(digests, b);
    ngx_http_cw_digests_remove(digests, a);
    ngx_http_cw_digests_remove(digests, a);
    assert_false(ngx_http_cw_digests_has(digests, a));
    assert_true(ngx_http_cw_digests_has(digests, b));
    ngx_http_cw_digests_destroy(digests);
}

static void nothing_is_known_after_a_clear(void **state)
{
    (void)state;
    u_char digest[NGX_HTTP_CW_DIGEST_LEN];
    ngx_http_cw_digests_t *digests = ngx_http_cw_digests_create(64);
    for (unsigned i = 0; i < 64; i++) {
        digest_of(i, digest);
        ngx_http_cw_digests_add(digests, digest);
    }
    ngx_http_cw_digests_clear(digests);
    for (unsigned i = 0; i < 64; i++) {
        digest_of(i, digest);
        assert_false(ngx_http_cw_digests_has(digests, digest));
    }
    ngx_http_cw_digests_destroy(digests);
}

static void the_oldest_of_a_set_gives_way(void **state)
{
    (void)state;
    u_char digest[NGX_HTTP_CW_DIGEST_LEN];
    ngx_http_cw_digests_t *digests = ngx_http_cw_digests_create(4); /* one set */
    for (unsigned i = 0; i < 6; i++) {
        digest_of(i, digest);
        ngx_http_cw_digests_add(digests, digest);
        ngx_http_cw_digests_add(digests, digest); /* again is nothing */
    }
    for (unsigned i = 0; i < 6; i++) {
        digest_of(i, digest);
        assert_int_equal(ngx_http_cw_digests_has(digests, digest), i >= 2);
    }
    ngx_http_cw_digests_destroy(digests);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_digest_is_known_after_it_was_added_and_not_before),
        cmocka_unit_test(a_removed_digest_is_unknown_and_its_neighbours_stay),
        cmocka_unit_test(nothing_is_known_after_a_clear),
        cmocka_unit_test(the_oldest_of_a_set_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
