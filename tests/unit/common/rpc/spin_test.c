/* A poller asks on only where that pays: short gaps, and a core that nobody else wants. */
#include "common/rpc/spin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

enum { BOUND = 300000, SHORT = 100000, LONG = 1000000, STEP = 1500, ALONE = 400 };

/* A gap of `gap_ns`, slept through or spent asking; how many questions were asked in vain. */
static unsigned gap(struct cw_rpc_spin *spin, int64_t *now, int64_t gap_ns, int64_t yield_ns)
{
    int64_t end = *now + gap_ns;
    unsigned asked = 0;
    bool asks = cw_rpc_spin_begin(spin, *now);
    while (asks && *now + STEP < end) {
        *now += STEP;
        asked++;
        int64_t before = *now;
        *now += yield_ns;
        asks = cw_rpc_spin_again(spin, before, *now);
    }
    *now = *now > end ? *now : end;
    cw_rpc_spin_end(spin, *now);
    return asked;
}

static void test_the_first_gap_is_slept_through(void **state)
{
    struct cw_rpc_spin spin = CW_RPC_SPIN_INIT(BOUND);
    int64_t now = 0;
    (void)state;
    assert_int_equal(gap(&spin, &now, SHORT, ALONE), 0);
}

static void test_short_gaps_are_spent_asking(void **state)
{
    struct cw_rpc_spin spin = CW_RPC_SPIN_INIT(BOUND);
    int64_t now = 0;
    (void)state;
    gap(&spin, &now, SHORT, ALONE);
    for (int i = 0; i < 100; i++) {
        assert_true(gap(&spin, &now, SHORT, ALONE) > 10);
    }
}

static void test_a_long_gap_costs_no_more_than_the_bound_and_the_next_is_slept_through(void **state)
{
    struct cw_rpc_spin spin = CW_RPC_SPIN_INIT(BOUND);
    int64_t now = 0;
    (void)state;
    gap(&spin, &now, SHORT, ALONE);
    unsigned asked = gap(&spin, &now, LONG, ALONE);
    assert_in_range(asked, 1, BOUND / (STEP + ALONE) + 1);
    for (int i = 0; i < 100; i++) { /* 1000 questions a second: a process that sleeps */
        assert_int_equal(gap(&spin, &now, LONG, ALONE), 0);
    }
}

static void test_the_events_of_one_exchange_make_no_habit(void **state)
{
    struct cw_rpc_spin spin = CW_RPC_SPIN_INIT(BOUND);
    int64_t now = 0;
    (void)state;
    for (int i = 0; i < 100; i++) { /* asked, answered, and then nothing for long */
        assert_int_equal(gap(&spin, &now, LONG, ALONE), 0);
        assert_int_equal(gap(&spin, &now, CW_RPC_SPIN_GAP_NS - 1, ALONE), 0);
    }
}

static void test_several_questions_at_once_are_slept_after(void **state)
{
    struct cw_rpc_spin spin = CW_RPC_SPIN_INIT(BOUND);
    int64_t now = 0;
    (void)state;
    gap(&spin, &now, SHORT, ALONE);
    cw_rpc_spin_several(&spin);
    for (int i = 0; i < CW_RPC_SPIN_PAUSE; i++) {
        assert_int_equal(gap(&spin, &now, SHORT, ALONE), 0);
    }
    assert_true(gap(&spin, &now, SHORT, ALONE) > 0);
    /* as many events as one exchange has are one question; more are several */
    for (int i = 1; i < CW_RPC_SPIN_EXCHANGE; i++) {
        gap(&spin, &now, 1000, 0);
    }
    assert_true(gap(&spin, &now, SHORT, ALONE) > 0);
    for (int i = 1; i <= CW_RPC_SPIN_EXCHANGE; i++) {
        gap(&spin, &now, 1000, 0);
    }
    assert_int_equal(gap(&spin, &now, SHORT, ALONE), 0);
}

static void test_a_short_gap_after_long_ones_wakes_the_habit(void **state)
{
    struct cw_rpc_spin spin = CW_RPC_SPIN_INIT(BOUND);
    int64_t now = 0;
    (void)state;
    gap(&spin, &now, LONG, ALONE);
    assert_int_equal(gap(&spin, &now, SHORT, ALONE), 0);
    assert_true(gap(&spin, &now, SHORT, ALONE) > 0);
}

static void test_a_core_that_others_want_is_left_to_them(void **state)
{
    struct cw_rpc_spin spin = CW_RPC_SPIN_INIT(BOUND);
    int64_t now = 0;
    (void)state;
    gap(&spin, &now, SHORT, ALONE);
    assert_int_equal(gap(&spin, &now, SHORT, CW_RPC_SPIN_CROWDED_NS + 1), CW_RPC_SPIN_CROWDED);
    for (int i = 0; i < CW_RPC_SPIN_PAUSE; i++) {
        assert_int_equal(gap(&spin, &now, SHORT, ALONE), 0);
    }
    assert_true(gap(&spin, &now, SHORT, ALONE) > 0);
}

/* Gaps that are slept through after one in which others wanted the core. */
static unsigned crowded_pause(struct cw_rpc_spin *spin, int64_t *now)
{
    unsigned slept = 0;
    assert_int_equal(gap(spin, now, SHORT, CW_RPC_SPIN_CROWDED_NS + 1), CW_RPC_SPIN_CROWDED);
    while (spin->pause > 0) {
        assert_int_equal(gap(spin, now, SHORT, ALONE), 0);
        slept++;
    }
    return slept;
}

static void test_a_machine_that_stays_busy_is_asked_ever_less(void **state)
{
    struct cw_rpc_spin spin = CW_RPC_SPIN_INIT(BOUND);
    int64_t now = 0;
    unsigned want = CW_RPC_SPIN_PAUSE;
    (void)state;
    gap(&spin, &now, SHORT, ALONE);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(crowded_pause(&spin, &now), want);
        want = want < CW_RPC_SPIN_PAUSE_MAX ? want * 2 : CW_RPC_SPIN_PAUSE_MAX;
    }
    assert_true(gap(&spin, &now, SHORT, ALONE) > 0); /* alone once: as at the beginning */
    assert_int_equal(crowded_pause(&spin, &now), CW_RPC_SPIN_PAUSE);
}

static void test_others_who_run_now_and_then_do_not_end_it(void **state)
{
    struct cw_rpc_spin spin = CW_RPC_SPIN_INIT(BOUND);
    int64_t now = 0;
    (void)state;
    gap(&spin, &now, SHORT, ALONE);
    for (int i = 0; i < 100; i++) { /* each gap has fewer crowded yields than end it */
        assert_true(cw_rpc_spin_begin(&spin, now));
        for (int k = 0; k < CW_RPC_SPIN_CROWDED - 1; k++) {
            int64_t before = now += STEP;
            now += CW_RPC_SPIN_CROWDED_NS + 1;
            assert_true(cw_rpc_spin_again(&spin, before, now));
        }
        now += CW_RPC_SPIN_GAP_NS;
        cw_rpc_spin_end(&spin, now);
    }
}

static void test_without_a_bound_nobody_asks(void **state)
{
    struct cw_rpc_spin spin = CW_RPC_SPIN_INIT(0);
    int64_t now = 0;
    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(gap(&spin, &now, STEP, ALONE), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_gap_is_slept_through),
        cmocka_unit_test(test_short_gaps_are_spent_asking),
        cmocka_unit_test(
            test_a_long_gap_costs_no_more_than_the_bound_and_the_next_is_slept_through),
        cmocka_unit_test(test_the_events_of_one_exchange_make_no_habit),
        cmocka_unit_test(test_several_questions_at_once_are_slept_after),
        cmocka_unit_test(test_a_short_gap_after_long_ones_wakes_the_habit),
        cmocka_unit_test(test_a_core_that_others_want_is_left_to_them),
        cmocka_unit_test(test_a_machine_that_stays_busy_is_asked_ever_less),
        cmocka_unit_test(test_others_who_run_now_and_then_do_not_end_it),
        cmocka_unit_test(test_without_a_bound_nobody_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
