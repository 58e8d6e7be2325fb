/* A ring of waiting items under one lock, taken by a fixed number of threads. */
#include "common/work/work.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct item {
    void (*run)(void *arg);
    void *arg;
};

struct cw_work {
    pthread_mutex_t lock;
    pthread_cond_t more; /* an item came, or stop */
    pthread_t *threads;
    unsigned n_threads;
    bool stopping;
    bool joined;
    size_t head; /* oldest waiting item */
    size_t n;    /* waiting items */
    size_t max;
    struct item *ring;
};

static void *worker(void *arg)
{
    struct cw_work *work = arg;
    sigset_t all; /* signals belong to main */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_mutex_lock(&work->lock);
    for (;;) {
        while (work->n == 0 && !work->stopping) {
            pthread_cond_wait(&work->more, &work->lock);
        }
        if (work->n == 0) {
            break; /* stopping, and all that waited has run */
        }
        struct item item = work->ring[work->head];
        work->head = (work->head + 1) % work->max;
        work->n--;
        pthread_mutex_unlock(&work->lock);
        item.run(item.arg);
        pthread_mutex_lock(&work->lock);
    }
    pthread_mutex_unlock(&work->lock);
    return NULL;
}

static bool start_thread(struct cw_work *work, const char *name)
{
    pthread_t *thread = &work->threads[work->n_threads];
    if (pthread_create(thread, NULL, worker, work) != 0) {
        return false;
    }
    char short_name[16]; /* the kernel's bound */
    snprintf(short_name, sizeof(short_name), "%s-%u", name, work->n_threads);
    pthread_setname_np(*thread, short_name);
    work->n_threads++;
    return true;
}

enum cw_err cw_work_new(const char *name, unsigned threads, size_t queue_max,
                        struct cw_work **ret_work)
{
    ENSURE(threads > 0 && queue_max > 0, CW_INTERNAL);
    struct cw_work *work = calloc(1, sizeof(*work));
    ENSURE(work, CW_NO_MEMORY);
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->more, NULL);
    work->max = queue_max;
    work->ring = calloc(queue_max, sizeof(*work->ring));
    work->threads = calloc(threads, sizeof(*work->threads));
    if (!work->ring || !work->threads) {
        cw_work_free(work);
        return CW_NO_MEMORY;
    }
    while (work->n_threads < threads) {
        if (!start_thread(work, name)) {
            cw_work_free(work);
            return CW_UNAVAILABLE;
        }
    }
    *ret_work = work;
    return CW_OK;
}

enum cw_err cw_work_submit(struct cw_work *work, void (*run)(void *arg), void *arg)
{
    enum cw_err err = CW_OK;
    pthread_mutex_lock(&work->lock);
    if (work->stopping) {
        err = CW_SHUTTING_DOWN;
    } else if (work->n == work->max) {
        err = CW_UNAVAILABLE;
    } else {
        work->ring[(work->head + work->n) % work->max] = (struct item){run, arg};
        work->n++;
    }
    pthread_mutex_unlock(&work->lock);
    if (err == CW_OK) {
        pthread_cond_signal(&work->more); /* who wakes finds the lock free */
    }
    return err;
}

size_t cw_work_depth(struct cw_work *work)
{
    pthread_mutex_lock(&work->lock);
    size_t n = work->n;
    pthread_mutex_unlock(&work->lock);
    return n;
}

void cw_work_stop(struct cw_work *work)
{
    if (!work) {
        return;
    }
    pthread_mutex_lock(&work->lock);
    bool joined = work->joined;
    work->stopping = true;
    work->joined = true;
    pthread_cond_broadcast(&work->more);
    pthread_mutex_unlock(&work->lock);
    for (unsigned i = 0; i < work->n_threads && !joined; i++) {
        pthread_join(work->threads[i], NULL);
    }
}

void cw_work_free(struct cw_work *work)
{
    if (!work) {
        return;
    }
    cw_work_stop(work);
    pthread_cond_destroy(&work->more);
    pthread_mutex_destroy(&work->lock);
    free(work->threads);
    free(work->ring);
    free(work);
}
