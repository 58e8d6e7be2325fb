/* The verifiers' queue: whose turn it is, and what happens when it is full. */
#include "sidecar/handle/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cmocka.h>

enum { ITEMS = 400 };

struct work {
    struct pool_item item;
    int source;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool held; /* the threads stand still */
static int order[ITEMS];
static int n_order;
static int running;
static int nice_of_verifier;

static void run(struct pool_item *item)
{
    struct work *work = CW_CONTAINER_OF(item, struct work, item);

    pthread_mutex_lock(&lock);
    running++;
    nice_of_verifier = getpriority(PRIO_PROCESS, 0);
    pthread_cond_broadcast(&changed);
    while (held) {
        pthread_cond_wait(&changed, &lock);
    }
    order[n_order++] = work->source;
    pthread_mutex_unlock(&lock);
}

static struct work works[ITEMS];
static int n_works;

static enum cw_err submit(struct pool *pool, int source)
{
    struct work *work = &works[n_works++];

    work->source = source;
    return pool_submit(pool, (uint64_t)source, &work->item);
}

/* A pool whose only thread is busy until let_go(). */
static struct pool *busy_pool(unsigned queue)
{
    struct pool *pool = NULL;

    n_works = n_order = running = 0;
    held = true;
    assert_int_equal(pool_new("pool-test", 1, queue, run, NULL, &pool), CW_OK);
    assert_int_equal(submit(pool, 0), CW_OK);
    pthread_mutex_lock(&lock);
    while (running == 0) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
    return pool;
}

static void let_go(struct pool *pool)
{
    pthread_mutex_lock(&lock);
    held = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    pool_stop(pool);
    pool_free(pool);
}

static void one_sources_flood_delays_another_by_one_item(void **state)
{
    struct pool *pool = busy_pool(200);

    (void)state;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(submit(pool, 1), CW_OK);
    }
    assert_int_equal(submit(pool, 2), CW_OK);
    assert_int_equal(submit(pool, 3), CW_OK);
    assert_int_equal(pool_depth(pool), 52);
    let_go(pool);
    assert_int_equal(n_order, 53);
    for (int i = 0; i < 4; i++) {
        if (order[i] == 2 || order[i] == 3) {
            return;
        }
    }
    fail_msg("the others waited for the flood");
}

static void everybody_comes_round_in_turn(void **state)
{
    struct pool *pool = busy_pool(200);
    int seen[5] = {0};

    (void)state;
    for (int i = 0; i < 20; i++) {
        for (int source = 1; source <= 4; source++) {
            assert_int_equal(submit(pool, source), CW_OK);
        }
    }
    let_go(pool);
    for (int i = 1; i < n_order; i++) {
        seen[order[i]]++;
        for (int source = 1; source <= 4; source++) {
            assert_in_range(seen[source] + 1 - seen[order[i]], 0, 2);
        }
    }
}

static void a_full_part_sheds_its_source_and_nobody_else(void **state)
{
    struct pool *pool = busy_pool(40);

    (void)state;
    for (int i = 0; i < 40 / POOL_LANE_SHARE; i++) {
        assert_int_equal(submit(pool, 1), CW_OK);
    }
    assert_int_equal(submit(pool, 1), CW_VALIDATOR_OVERLOADED);
    assert_int_equal(submit(pool, 2), CW_OK);
    let_go(pool);
}

static void a_full_queue_sheds_everybody(void **state)
{
    struct pool *pool = busy_pool(8);
    int taken = 0;

    (void)state;
    for (int source = 1; source <= 30; source++) {
        taken += submit(pool, source) == CW_OK;
    }
    assert_int_equal(taken, 8);
    let_go(pool);
    assert_int_equal(n_order, 9);
}

static void stopping_runs_what_waits_and_takes_nothing_new(void **state)
{
    struct pool *pool = busy_pool(100);

    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(submit(pool, i), CW_OK);
    }
    pthread_mutex_lock(&lock);
    held = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    pool_stop(pool);
    assert_int_equal(n_order, 11);
    assert_int_equal(submit(pool, 1), CW_SHUTTING_DOWN);
    pool_free(pool);
}

/* The threads that answer known tokens go first on a full machine. */
static void verifiers_are_nicer_than_the_others(void **state)
{
    int mine = getpriority(PRIO_PROCESS, 0);
    struct pool *pool = busy_pool(4);

    (void)state;
    assert_int_equal(nice_of_verifier, CW_MIN(mine + POOL_NICE, 19));
    assert_int_equal(getpriority(PRIO_PROCESS, 0), mine);
    let_go(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_sources_flood_delays_another_by_one_item),
        cmocka_unit_test(everybody_comes_round_in_turn),
        cmocka_unit_test(a_full_part_sheds_its_source_and_nobody_else),
        cmocka_unit_test(a_full_queue_sheds_everybody),
        cmocka_unit_test(verifiers_are_nicer_than_the_others),
        cmocka_unit_test(stopping_runs_what_waits_and_takes_nothing_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
