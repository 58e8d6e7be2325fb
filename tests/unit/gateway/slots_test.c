/* Ids of questions in flight: found by their own answer, by no other, by none that is late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "edge-gateway/ngx_http_cw_slots.h"

static uint64_t put(ngx_http_cw_slots_t *slots, void *item)
{
    assert_int_equal(ngx_http_cw_slots_reserve(slots), NGX_OK);
    uint64_t id = ngx_http_cw_slots_next(slots);
    ngx_http_cw_slots_take(slots, item);
    return id;
}

static void nobody_is_found_in_an_empty_table(void **state)
{
    (void)state;
    ngx_http_cw_slots_t slots = {0};
    assert_null(ngx_http_cw_slots_find(&slots, 0));
    assert_null(ngx_http_cw_slots_find(&slots, UINT64_MAX));
    ngx_http_cw_slots_release(&slots, 0);
    ngx_http_cw_slots_done(&slots);
}

static void each_is_found_by_its_own_id_while_the_table_grows(void **state)
{
    (void)state;
    enum { N = 3000 };
    static int items[N];
    static uint64_t ids[N];
    ngx_http_cw_slots_t slots = {0};
    for (int i = 0; i < N; i++) {
        ids[i] = put(&slots, &items[i]);
    }
    for (int i = 0; i < N; i++) {
        assert_ptr_equal(ngx_http_cw_slots_find(&slots, ids[i]), &items[i]);
        assert_null(ngx_http_cw_slots_find(&slots, ids[i] + (1ull << 32)));
    }
    assert_null(ngx_http_cw_slots_find(&slots, 1u << 20));
    ngx_http_cw_slots_done(&slots);
}

static void a_late_answer_finds_nobody_although_the_slot_is_used_again(void **state)
{
    (void)state;
    int first, second;
    ngx_http_cw_slots_t slots = {0};
    uint64_t old = put(&slots, &first);
    ngx_http_cw_slots_release(&slots, old);
    ngx_http_cw_slots_release(&slots, old); /* twice is once */
    assert_null(ngx_http_cw_slots_find(&slots, old));
    uint64_t new = put(&slots, &second);
    assert_int_equal((uint32_t) new, (uint32_t)old);
    assert_true(new != old);
    assert_null(ngx_http_cw_slots_find(&slots, old));
    assert_ptr_equal(ngx_http_cw_slots_find(&slots, new), &second);
    ngx_http_cw_slots_release(&slots, old); /* of somebody else by now */
    assert_ptr_equal(ngx_http_cw_slots_find(&slots, new), &second);
    ngx_http_cw_slots_done(&slots);
}

static void slots_are_used_again_before_the_table_grows(void **state)
{
    (void)state;
    int item;
    ngx_http_cw_slots_t slots = {0};
    uint64_t ids[256];
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 256; i++) {
            ids[i] = put(&slots, &item);
        }
        for (int i = 0; i < 256; i++) {
            ngx_http_cw_slots_release(&slots, ids[i]);
        }
    }
    assert_int_equal(slots.n, 256);
    ngx_http_cw_slots_done(&slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_found_in_an_empty_table),
        cmocka_unit_test(each_is_found_by_its_own_id_while_the_table_grows),
        cmocka_unit_test(a_late_answer_finds_nobody_although_the_slot_is_used_again),
        cmocka_unit_test(slots_are_used_again_before_the_table_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
