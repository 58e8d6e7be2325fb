/* The worker pool: its bound, its order, its end. */
#include "common/work/work.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the ones above */
#include <cmocka.h>

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    int waiting;
};

static void gate_init(struct gate *gate)
{
    *gate = (struct gate){0};
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->changed, NULL);
}

static void wait_at_gate(void *arg)
{
    struct gate *gate = arg;
    pthread_mutex_lock(&gate->lock);
    gate->waiting++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

static void open_gate(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void until_waiting(struct gate *gate, int n)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->waiting < n) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

static void count(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static void everything_that_was_taken_runs_once(void **state)
{
    (void)state;
    struct cw_work *work;
    _Atomic int n = 0;
    int taken = 0;
    assert_int_equal(cw_work_new("test", 4, 100, &work), CW_OK);
    for (int i = 0; i < 10000; i++) {
        enum cw_err err = cw_work_submit(work, count, &n);
        assert_true(err == CW_OK || err == CW_UNAVAILABLE);
        taken += err == CW_OK;
    }
    cw_work_stop(work);
    assert_int_equal(n, taken);
    assert_true(taken >= 100);
    cw_work_free(work);
}

static void a_full_queue_refuses_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct cw_work *work;
    struct gate gate;
    _Atomic int n = 0;
    gate_init(&gate);
    assert_int_equal(cw_work_new("test", 1, 3, &work), CW_OK);
    assert_int_equal(cw_work_submit(work, wait_at_gate, &gate), CW_OK);
    until_waiting(&gate, 1); /* it runs, and waits no more in the queue */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cw_work_submit(work, count, &n), CW_OK);
    }
    assert_int_equal(cw_work_depth(work), 3);
    assert_int_equal(cw_work_submit(work, count, &n), CW_UNAVAILABLE);
    open_gate(&gate);
    cw_work_free(work);
    assert_int_equal(n, 3);
}

static void as_many_run_at_once_as_there_are_threads(void **state)
{
    (void)state;
    struct cw_work *work;
    struct gate gate;
    gate_init(&gate);
    assert_int_equal(cw_work_new("test", 3, 10, &work), CW_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cw_work_submit(work, wait_at_gate, &gate), CW_OK);
    }
    until_waiting(&gate, 3);
    open_gate(&gate);
    cw_work_free(work);
}

static void after_the_stop_nothing_is_taken(void **state)
{
    (void)state;
    struct cw_work *work;
    _Atomic int n = 0;
    assert_int_equal(cw_work_new("test", 1, 10, &work), CW_OK);
    cw_work_stop(work);
    assert_int_equal(cw_work_submit(work, count, &n), CW_SHUTTING_DOWN);
    cw_work_stop(work);
    cw_work_free(work);
    cw_work_stop(NULL);
    cw_work_free(NULL);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_was_taken_runs_once),
        cmocka_unit_test(a_full_queue_refuses_and_keeps_what_it_has),
        cmocka_unit_test(as_many_run_at_once_as_there_are_threads),
        cmocka_unit_test(after_the_stop_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
