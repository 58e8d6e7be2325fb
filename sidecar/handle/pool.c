/* Verification costs 20 to 100 µs, a hundred times a hit, and whoever sends made-up tokens decides
 * how often it is done. Each source has a lane; lanes that hold something stand in a ring, and a
 * thread takes one item of the lane whose turn it is. */
#include "sidecar/handle/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

struct lane {
    struct pool_item *head;
    struct pool_item **tail;
    unsigned n;
    struct lane *next; /* of the ring */
};

struct pool {
    const char *name;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct lane lanes[POOL_LANES];
    struct lane *ring; /* the lane that was served last; its next is served next */
    unsigned n;
    unsigned max;
    bool stopping;
    void (*run)(struct pool_item *item);
    void (*idle)(void);
    unsigned n_threads;
    pthread_t *threads;
};

/* Under the lock. */
static struct pool_item *take(struct pool *pool)
{
    struct lane *lane = pool->ring->next;
    struct pool_item *item = lane->head;

    lane->head = item->next;
    lane->n--;
    pool->n--;
    if (lane->n > 0) {
        pool->ring = lane;
    } else if (lane == pool->ring) {
        pool->ring = NULL;
    } else {
        pool->ring->next = lane->next;
    }
    if (!lane->head) {
        lane->tail = &lane->head;
    }
    return item;
}

/* Under the lock, which is let go meanwhile. */
static void run_all(struct pool *pool)
{
    while (pool->ring) {
        struct pool_item *item = take(pool);
        pthread_mutex_unlock(&pool->lock);
        pool->run(item);
        /* A verification is short and the scheduler's slice long: whoever has waited for this core
         * meanwhile, the poller above all, has it now (docs/decisions/0021). */
        sched_yield();
        pthread_mutex_lock(&pool->lock);
        if (!pool->ring && pool->idle) {
            pthread_mutex_unlock(&pool->lock);
            pool->idle();
            pthread_mutex_lock(&pool->lock);
        }
    }
}

/* Where there are fewer cores than threads with work, who asks about known tokens goes first: the
 * poller is kept from no core by somebody's flood. On Linux each thread has a nice value of its own
 * (sched(7)); where it cannot be changed nothing is lost but that. */
static void be_nice(void)
{
    (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + POOL_NICE);
}

static void *work(void *arg)
{
    struct pool *pool = arg;

    be_nice();
    pthread_setname_np(pthread_self(), pool->name);
    pthread_mutex_lock(&pool->lock);
    while (pool->ring || !pool->stopping) {
        run_all(pool);
        /* Something may have come while `idle` ran without the lock. */
        if (!pool->ring && !pool->stopping) {
            pthread_cond_wait(&pool->more, &pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

enum cw_err pool_new(const char *name, unsigned threads, unsigned queue_max,
                     void (*run)(struct pool_item *item), void (*idle)(void),
                     struct pool **ret_pool)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    sigset_t all;
    sigset_t old;

    ENSURE(pool, CW_NO_MEMORY);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    for (size_t i = 0; i < POOL_LANES; i++) {
        pool->lanes[i].tail = &pool->lanes[i].head;
    }
    pool->name = name;
    pool->max = queue_max;
    pool->run = run;
    pool->idle = idle;
    pool->threads = calloc(threads, sizeof(*pool->threads));
    /* Signals belong to main. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (pool->threads && pool->n_threads < threads &&
           pthread_create(&pool->threads[pool->n_threads], NULL, work, pool) == 0) {
        pool->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (pool->n_threads < threads) {
        pool_stop(pool);
        pool_free(pool);
        return CW_UNAVAILABLE;
    }
    *ret_pool = pool;
    return CW_OK;
}

/* Under the lock. */
static void put(struct pool *pool, struct lane *lane, struct pool_item *item)
{
    item->next = NULL;
    *lane->tail = item;
    lane->tail = &item->next;
    pool->n++;
    if (lane->n++ > 0) {
        return;
    }
    if (pool->ring) {
        lane->next = pool->ring->next;
        pool->ring->next = lane;
        pool->ring = lane; /* at the end of the round */
    } else {
        lane->next = lane;
        pool->ring = lane;
    }
}

enum cw_err pool_submit(struct pool *pool, uint64_t source, struct pool_item *item)
{
    struct lane *lane = &pool->lanes[(source * 0x9E3779B97F4A7C15u) >> 58];
    enum cw_err err = CW_OK;

    pthread_mutex_lock(&pool->lock);
    if (pool->stopping) {
        err = CW_SHUTTING_DOWN;
    } else if (pool->n >= pool->max || lane->n >= CW_MAX(pool->max / POOL_LANE_SHARE, 1u)) {
        err = CW_VALIDATOR_OVERLOADED;
    } else {
        put(pool, lane, item);
        pthread_cond_signal(&pool->more);
    }
    pthread_mutex_unlock(&pool->lock);
    return err;
}

unsigned pool_depth(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    unsigned n = pool->n;
    pthread_mutex_unlock(&pool->lock);
    return n;
}

void pool_stop(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->more);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->n_threads; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    pool->n_threads = 0;
}

void pool_free(struct pool *pool)
{
    if (!pool) {
        return;
    }
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->more);
    free(pool->threads);
    free(pool);
}
