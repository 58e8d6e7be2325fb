/* The gate before a provider: number of calls, rate, breaker, pauses that the provider asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "authsvc/idp/gate.h"

static const struct gate_limits limits = {
    .concurrency = 2,
    .rate_per_second = 0,
    .rate_burst = 1,
    .failures = 3,
    .open_ms = 1000,
};

static void assert_shut(struct gate *gate, const struct gate_limits *l, int64_t now, uint32_t wait)
{
    uint32_t retry = 0;
    assert_int_equal(gate_enter(gate, l, now, &retry), CW_IDP_UNAVAILABLE);
    assert_int_equal(retry, wait);
}

static void assert_open(struct gate *gate, const struct gate_limits *l, int64_t now)
{
    uint32_t retry = 0;
    assert_int_equal(gate_enter(gate, l, now, &retry), CW_OK);
}

static void fail_once(struct gate *gate, int64_t now)
{
    assert_open(gate, &limits, now);
    gate_leave(gate, &limits, now, GATE_FAILED, 0);
}

static void more_calls_than_allowed_are_refused_at_once(void **state)
{
    (void)state;
    struct gate gate;
    gate_init(&gate);
    assert_open(&gate, &limits, 0);
    assert_open(&gate, &limits, 0);
    assert_shut(&gate, &limits, 0, 1000);
    gate_leave(&gate, &limits, 0, GATE_GOOD, 0);
    assert_open(&gate, &limits, 0);
    gate_done(&gate);
}

static void calls_beyond_the_rate_wait(void **state)
{
    (void)state;
    struct gate gate;
    const struct gate_limits l = {
        .concurrency = 100, .rate_per_second = 10, .rate_burst = 3, .failures = 3, .open_ms = 1};
    gate_init(&gate);
    for (int i = 0; i < 3; i++) {
        assert_open(&gate, &l, 5000);
    }
    assert_shut(&gate, &l, 5000, 100);
    assert_shut(&gate, &l, 5060, 40);
    assert_open(&gate, &l, 5100);
    assert_shut(&gate, &l, 5100, 100);
    assert_open(&gate, &l, 100000); /* never more than the burst is saved up */
    assert_open(&gate, &l, 100000);
    assert_open(&gate, &l, 100000);
    assert_shut(&gate, &l, 100000, 100);
    gate_done(&gate);
}

static void failures_in_a_row_open_the_breaker(void **state)
{
    (void)state;
    struct gate gate;
    gate_init(&gate);
    fail_once(&gate, 0);
    fail_once(&gate, 0);
    assert_open(&gate, &limits, 0);
    gate_leave(&gate, &limits, 0, GATE_GOOD, 0); /* not in a row */
    fail_once(&gate, 0);
    fail_once(&gate, 0);
    assert_int_equal(gate_state(&gate), GATE_CLOSED);
    fail_once(&gate, 10);
    assert_int_equal(gate_state(&gate), GATE_OPEN);
    assert_shut(&gate, &limits, 10, 1000);
    assert_shut(&gate, &limits, 1009, 1);
    gate_done(&gate);
}

static void one_call_probes_and_decides(void **state)
{
    (void)state;
    struct gate gate;
    gate_init(&gate);
    for (int i = 0; i < 3; i++) {
        fail_once(&gate, 0);
    }
    assert_open(&gate, &limits, 1000);
    assert_shut(&gate, &limits, 1000, 1000); /* the probe is under way */
    gate_leave(&gate, &limits, 1500, GATE_FAILED, 0);
    assert_shut(&gate, &limits, 2499, 1);
    assert_open(&gate, &limits, 2500);
    gate_leave(&gate, &limits, 2500, GATE_ABANDONED, 0); /* tells nothing: the next one probes */
    assert_open(&gate, &limits, 2500);
    gate_leave(&gate, &limits, 2600, GATE_GOOD, 0);
    assert_int_equal(gate_state(&gate), GATE_CLOSED);
    assert_open(&gate, &limits, 2600);
    gate_done(&gate);
}

static void a_pause_that_the_provider_asks_for_is_kept(void **state)
{
    (void)state;
    struct gate gate;
    gate_init(&gate);
    assert_open(&gate, &limits, 0);
    gate_leave(&gate, &limits, 0, GATE_GOOD, 7000);
    assert_shut(&gate, &limits, 100, 6900);
    assert_open(&gate, &limits, 7000);
    gate_leave(&gate, &limits, 7000, GATE_GOOD, INT32_MAX); /* but not for ever */
    assert_shut(&gate, &limits, 7000, 5 * 60 * 1000);
    gate_done(&gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_calls_than_allowed_are_refused_at_once),
        cmocka_unit_test(calls_beyond_the_rate_wait),
        cmocka_unit_test(failures_in_a_row_open_the_breaker),
        cmocka_unit_test(one_call_probes_and_decides),
        cmocka_unit_test(a_pause_that_the_provider_asks_for_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
