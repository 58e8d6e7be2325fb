/* Step 4a, from the outside: all sources, the thread that looks after them, and who waits. */
#include "common/keys/key_store.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/keys/key_internal.h"

enum {
    TICK_MS = 1000,
    TICK_WAITING_MS = 20, /* while somebody waits */
};

struct cw_key_store *cw_key_store_new(const struct cw_key_store_config *config)
{
    struct cw_key_store *store = calloc(1, sizeof(*store));
    pthread_condattr_t attr;

    if (!store) {
        return NULL;
    }
    store->config = *config;
    store->config.waiters = config->waiters ? config->waiters : UINT_MAX;
    store->config.waiters_each =
        config->waiters_each ? CW_MIN(config->waiters_each, (unsigned)CW_KEY_STORE_WAITERS_MAX)
                             : CW_KEY_STORE_WAITERS_MAX;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->wake_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&store->wake, &attr);
    pthread_condattr_destroy(&attr);
    return store;
}

void cw_key_store_nudge(struct cw_key_store *store)
{
    pthread_mutex_lock(&store->wake_lock);
    store->woken = true;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->wake_lock);
}

static void *store_run(void *arg)
{
    struct cw_key_store *store = arg;

    while (!atomic_load(&store->closing)) {
        int64_t wait = cw_key_store_tick(store);
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += wait / 1000;
        until.tv_nsec += (wait % 1000) * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        pthread_mutex_lock(&store->wake_lock);
        while (!store->woken &&
               pthread_cond_timedwait(&store->wake, &store->wake_lock, &until) == 0) {
        }
        store->woken = false;
        pthread_mutex_unlock(&store->wake_lock);
    }
    return NULL;
}

enum cw_err cw_key_store_start(struct cw_key_store *store)
{
    ENSURE(pthread_create(&store->thread, NULL, store_run, store) == 0, CW_UNAVAILABLE);
    store->started = true;
    return CW_OK;
}

void cw_key_wake_all(struct cw_key_store *store, struct cw_key_waiter *waiter, bool late)
{
    while (waiter) {
        struct cw_key_waiter *next = waiter->next;
        atomic_fetch_sub(&store->waiting, 1);
        waiter->wake(waiter, late);
        waiter = next;
    }
}

/* Under the source's lock. */
struct cw_key_waiter *cw_key_take_waiters(struct cw_key_source *source)
{
    struct cw_key_waiter *waiters = source->waiters;

    source->waiters = NULL;
    source->n_waiters = 0;
    return waiters;
}

/* All sources with a reference each; the caller unrefs and frees. */
static struct cw_key_source **list_sources(struct cw_key_store *store, size_t *ret_n)
{
    size_t n = 0;

    pthread_mutex_lock(&store->lock);
    for (struct cw_key_source *s = store->sources; s; s = s->next) {
        n++;
    }
    struct cw_key_source **list = calloc(n + 1, sizeof(struct cw_key_source *));
    size_t i = 0;
    for (struct cw_key_source *s = store->sources; list && s; s = s->next) {
        s->refs++;
        list[i++] = s;
    }
    pthread_mutex_unlock(&store->lock);
    *ret_n = list ? n : 0;
    return list;
}

static void free_sources(struct cw_key_source **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cw_key_source_unref(list[i]);
    }
    free((void *)list);
}

void cw_key_store_stop(struct cw_key_store *store)
{
    size_t n = 0;

    atomic_store(&store->closing, true);
    if (store->started) {
        cw_key_store_nudge(store);
        pthread_join(store->thread, NULL);
        store->started = false;
    }
    struct cw_key_source **list = list_sources(store, &n);
    for (size_t i = 0; i < n; i++) {
        pthread_mutex_lock(&list[i]->lock);
        struct cw_key_waiter *waiters = cw_key_take_waiters(list[i]);
        pthread_mutex_unlock(&list[i]->lock);
        cw_key_wake_all(store, waiters, true);
    }
    free_sources(list, n);
}

void cw_key_store_free(struct cw_key_store *store)
{
    if (!store) {
        return;
    }
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->wake_lock);
    pthread_cond_destroy(&store->wake);
    free(store);
}

/* Under the lock: waiters whose time is over leave the list. */
static struct cw_key_waiter *take_late(struct cw_key_source *source, int64_t now)
{
    struct cw_key_waiter *late = NULL;
    struct cw_key_waiter **at = &source->waiters;

    while (*at) {
        struct cw_key_waiter *waiter = *at;
        if (waiter->deadline_ms <= now) {
            *at = waiter->next;
            waiter->next = late;
            late = waiter;
            source->n_waiters--;
        } else {
            at = &waiter->next;
        }
    }
    return late;
}

/* false: it is due, and there was no place for it. */
static bool tick_source(struct cw_key_source *source, int64_t now)
{
    struct cw_key_store *store = source->store;
    bool stale = false;

    pthread_mutex_lock(&source->lock);
    struct cw_key_waiter *late = take_late(source, now);
    bool due = now >= source->next_ms && !source->fetching;
    bool begin = due && cw_key_begin_fetch(source, now);
    /* A file is this host's own; its set has no age. */
    if (source->set && !source->stale && source->spec.kind != CW_KEY_FILE &&
        now - source->good_began_ms >= CW_KEY_STORE_STALE_MS) {
        source->stale = stale = true;
    }
    pthread_mutex_unlock(&source->lock);
    cw_key_wake_all(store, late, true);
    if (stale && store->config.stale) {
        store->config.stale(store->config.ctx);
    }
    if (begin) {
        cw_key_run_fetch(source);
    }
    return begin || !due;
}

int64_t cw_key_store_tick(struct cw_key_store *store)
{
    size_t n = 0;
    struct cw_key_source **list = list_sources(store, &n);

    size_t first = n ? store->turn % n : 0;
    bool refused = false;
    for (size_t i = 0; i < n; i++) {
        size_t at = (first + i) % n;
        if (!tick_source(list[at], cw_key_now_ms(store)) && !refused) {
            refused = true;
            store->turn = at;
        }
    }
    free_sources(list, n);
    return atomic_load(&store->waiting) ? TICK_WAITING_MS : TICK_MS;
}

void cw_key_store_reread(struct cw_key_store *store)
{
    size_t n = 0;
    struct cw_key_source **list = list_sources(store, &n);

    for (size_t i = 0; i < n; i++) {
        cw_key_source_reread(list[i]);
    }
    free_sources(list, n);
    cw_key_store_nudge(store);
}

void cw_key_store_each(struct cw_key_store *store,
                       void (*each)(void *ctx, struct cw_key_source *source,
                                    const struct cw_key_source_info *info),
                       void *ctx)
{
    size_t n = 0;
    struct cw_key_source **list = list_sources(store, &n);

    for (size_t i = 0; i < n; i++) {
        struct cw_key_source_info info;
        cw_key_source_describe(list[i], &info);
        each(ctx, list[i], &info);
        cw_jwks_unref(info.set);
    }
    free_sources(list, n);
}
