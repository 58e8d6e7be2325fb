/* Deadlines come in their order, whatever lengths they have and whoever leaves before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "edge-gateway/ngx_http_cw_deadlines.h"

static void add(ngx_http_cw_deadlines_t *all, ngx_http_cw_deadline_t *one, ngx_msec_t now,
                ngx_msec_t timeout)
{
    assert_int_equal(ngx_http_cw_deadlines_add(all, one, now, timeout), NGX_OK);
    assert_true(one->at == (ngx_msec_t)(now + timeout));
}

static void the_next_is_the_earliest_of_all_lengths(void **state)
{
    (void)state;
    ngx_http_cw_deadlines_t all = {NULL};
    assert_null(ngx_http_cw_deadlines_next(&all));
    ngx_http_cw_deadline_t one[5];
    add(&all, &one[0], 1000, 2000);
    add(&all, &one[1], 1001, 2000);
    add(&all, &one[2], 1001, 500);
    add(&all, &one[3], 1400, 500);
    add(&all, &one[4], 1400, 100);
    static const int order[] = {4, 2, 3, 0, 1};
    for (size_t i = 0; i < 5; i++) {
        ngx_http_cw_deadline_t *next = ngx_http_cw_deadlines_next(&all);
        assert_ptr_equal(next, &one[order[i]]);
        assert_ptr_equal(ngx_http_cw_deadlines_next(&all), next);
        ngx_http_cw_deadlines_remove(next);
    }
    assert_null(ngx_http_cw_deadlines_next(&all));
    ngx_http_cw_deadlines_done(&all);
}

static void who_leaves_from_the_middle_leaves_no_gap(void **state)
{
    (void)state;
    ngx_http_cw_deadlines_t all = {NULL};
    ngx_http_cw_deadline_t one[3];
    for (size_t i = 0; i < 3; i++) {
        add(&all, &one[i], 10 + i, 300);
    }
    ngx_http_cw_deadlines_remove(&one[1]);
    assert_ptr_equal(ngx_http_cw_deadlines_next(&all), &one[0]);
    ngx_http_cw_deadlines_remove(&one[0]);
    assert_ptr_equal(ngx_http_cw_deadlines_next(&all), &one[2]);
    add(&all, &one[1], 20, 300);
    assert_ptr_equal(ngx_http_cw_deadlines_next(&all), &one[2]);
    ngx_http_cw_deadlines_remove(&one[2]);
    assert_ptr_equal(ngx_http_cw_deadlines_next(&all), &one[1]);
    ngx_http_cw_deadlines_remove(&one[1]);
    ngx_http_cw_deadlines_done(&all);
}

static void a_clock_that_wraps_keeps_the_order(void **state)
{
    (void)state;
    ngx_http_cw_deadlines_t all = {NULL};
    ngx_http_cw_deadline_t before, after;
    ngx_msec_t now = (ngx_msec_t)-1000;
    add(&all, &after, now, 2000);
    add(&all, &before, now, 999);
    assert_true(after.at < before.at);
    assert_ptr_equal(ngx_http_cw_deadlines_next(&all), &before);
    ngx_http_cw_deadlines_remove(&before);
    assert_ptr_equal(ngx_http_cw_deadlines_next(&all), &after);
    ngx_http_cw_deadlines_remove(&after);
    ngx_http_cw_deadlines_done(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_is_the_earliest_of_all_lengths),
        cmocka_unit_test(who_leaves_from_the_middle_leaves_no_gap),
        cmocka_unit_test(a_clock_that_wraps_keeps_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
