/* The thread that tells, and its watchers. The newest snapshot is all that matters: a slow watcher
 * skips those between, and what leaves the origins as they were is told to nobody. */
#include "sidecar/origins/origins.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/crypto/random.h"
#include "common/crypto/sha256.h"
#include "sidecar/listeners.h"
#include "sidecar/origins/snapshot.h"

struct watcher {
    _Atomic unsigned refs;
    struct cw_rpc_stream *stream; /* one reference */
    struct watcher *next;
    bool told; /* of the thread only */
};

struct origins {
    struct origins_config config;
    uint64_t epoch;
    pthread_t thread;
    bool running; /* of those who start and stop */

    pthread_mutex_t lock; /* below */
    pthread_cond_t wake;
    bool news;
    bool stopping;
    struct watcher *first;
    size_t n;

    /* of the thread only: */
    bool made;
    uint64_t generation;
    unsigned char digest[CW_SHA256_SIZE]; /* of the last snapshot */
    size_t left_out;
};

/* ---- watchers ---- */

static void watcher_unref(struct watcher *watcher)
{
    if (atomic_fetch_sub_explicit(&watcher->refs, 1, memory_order_acq_rel) == 1) {
        cw_rpc_stream_unref(watcher->stream);
        free(watcher);
    }
}

static void on_message(struct cw_rpc_stream *stream, const ProtobufCMessage *request)
{
    struct origins *origins = cw_rpc_stream_ctx(stream);
    struct watcher *watcher = calloc(1, sizeof(*watcher));

    (void)request;
    if (!watcher) {
        cw_rpc_stream_finish(stream, CW_NO_MEMORY, NULL);
        return;
    }
    atomic_init(&watcher->refs, 1);
    watcher->stream = cw_rpc_stream_ref(stream);
    pthread_mutex_lock(&origins->lock);
    watcher->next = origins->first;
    origins->first = watcher;
    origins->n++;
    pthread_mutex_unlock(&origins->lock);
    origins_wake(origins);
}

static void on_close(struct cw_rpc_stream *stream, enum cw_rpc_end end)
{
    struct origins *origins = cw_rpc_stream_ctx(stream);
    struct watcher *found = NULL;

    (void)end;
    pthread_mutex_lock(&origins->lock);
    for (struct watcher **at = &origins->first; *at; at = &(*at)->next) {
        if ((*at)->stream == stream) {
            found = *at;
            *at = found->next;
            origins->n--;
            break;
        }
    }
    pthread_mutex_unlock(&origins->lock);
    if (found) {
        watcher_unref(found);
    }
}

/* References to all; NULL without memory. */
static struct watcher **watchers_list(struct origins *origins, size_t *ret_n)
{
    size_t n = 0;

    pthread_mutex_lock(&origins->lock);
    struct watcher **list = calloc(origins->n + 1, sizeof(struct watcher *));
    for (struct watcher *w = origins->first; list && w; w = w->next) {
        atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
        list[n++] = w;
    }
    pthread_mutex_unlock(&origins->lock);
    *ret_n = n;
    return list;
}

/* ---- the thread ---- */

/* A snapshot like the last one keeps its generation. */
static enum cw_err number(struct origins *origins, snapshot_message *message)
{
    unsigned char digest[CW_SHA256_SIZE];

    TRY(snapshot_digest(message, digest));
    if (!origins->made || memcmp(digest, origins->digest, sizeof(digest)) != 0) {
        memcpy(origins->digest, digest, sizeof(digest));
        origins->generation++;
        origins->made = true;
    }
    message->epoch = origins->epoch;
    message->generation = origins->generation;
    return CW_OK;
}

static enum cw_err tell(struct origins *origins, struct watcher *const *list, size_t n)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(4 * ORIGINS_MESSAGE_MAX);
    uint64_t before = origins->generation;
    snapshot_message message;
    size_t left_out = 0;
    /* Asked before the set is taken: what was heard is in it, what is heard meanwhile wakes us. */
    bool provisional = origins->config.learns && !tenants_feed_heard(origins->config.tenants);
    struct tenants_set *set = tenants_get(origins->config.tenants);
    enum cw_err err = snapshot_make(set, ORIGINS_MESSAGE_MAX, &arena, &message, &left_out);

    tenants_set_unref(set);
    TRY(err);
    message.provisional = provisional;
    TRY(number(origins, &message));
    for (size_t i = 0; i < n; i++) {
        if (!list[i]->told || origins->generation != before) {
            list[i]->told =
                cw_rpc_stream_send_latest(list[i]->stream, &message.base) == CW_RPC_SENT;
            err = list[i]->told ? err : CW_NO_MEMORY; /* or it is about to leave the list */
        }
    }
    if (left_out != origins->left_out) {
        origins->left_out = left_out;
        if (origins->config.left_out) {
            origins->config.left_out(origins->config.ctx, left_out);
        }
    }
    return err;
}

/* False without memory: to be tried again. Without watchers there is nothing to do. */
static bool tell_all(struct origins *origins)
{
    size_t n = 0;
    struct watcher **list = watchers_list(origins, &n);
    bool done = list && (n == 0 || tell(origins, list, n) == CW_OK);

    for (size_t i = 0; i < n; i++) {
        watcher_unref(list[i]);
    }
    free((void *)list);
    return done;
}

/* Under `lock`. */
static void pause_for(struct origins *origins, long ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!origins->stopping &&
           pthread_cond_timedwait(&origins->wake, &origins->lock, &until) == 0) {
    }
}

static void *run(void *arg)
{
    struct origins *origins = arg;

    pthread_mutex_lock(&origins->lock);
    while (!origins->stopping) {
        if (!origins->news) {
            pthread_cond_wait(&origins->wake, &origins->lock);
            continue;
        }
        origins->news = false;
        pthread_mutex_unlock(&origins->lock);
        bool done = tell_all(origins);
        pthread_mutex_lock(&origins->lock);
        origins->news = origins->news || !done;
        pause_for(origins, ORIGINS_PACE_MS);
    }
    pthread_mutex_unlock(&origins->lock);
    return NULL;
}

void origins_wake(struct origins *origins)
{
    if (origins) {
        pthread_mutex_lock(&origins->lock);
        origins->news = true;
        pthread_cond_signal(&origins->wake);
        pthread_mutex_unlock(&origins->lock);
    }
}

/* ---- life ---- */

enum cw_err origins_new(const struct origins_config *config, struct origins **ret_origins)
{
    struct origins *origins = calloc(1, sizeof(*origins));
    pthread_condattr_t monotonic;

    ENSURE(origins, CW_NO_MEMORY);
    origins->config = *config;
    enum cw_err err = cw_random_fill(&cw_random_system, &origins->epoch, sizeof(origins->epoch));
    if (err != CW_OK) {
        free(origins);
        return err;
    }
    origins->epoch |= 1; /* 0 is nobody's */
    pthread_mutex_init(&origins->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&origins->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret_origins = origins;
    return CW_OK;
}

enum cw_err origins_start(struct origins *origins)
{
    ENSURE(pthread_create(&origins->thread, NULL, run, origins) == 0, CW_UNAVAILABLE);
    origins->running = true;
    pthread_setname_np(origins->thread, "origins");
    return CW_OK;
}

void origins_stop(struct origins *origins)
{
    if (!origins || !origins->running) {
        return;
    }
    pthread_mutex_lock(&origins->lock);
    origins->stopping = true;
    pthread_cond_signal(&origins->wake);
    pthread_mutex_unlock(&origins->lock);
    pthread_join(origins->thread, NULL);
    origins->running = false;
}

void origins_free(struct origins *origins)
{
    if (!origins) {
        return;
    }
    origins_stop(origins);
    while (origins->first) {
        struct watcher *next = origins->first->next;
        watcher_unref(origins->first);
        origins->first = next;
    }
    pthread_cond_destroy(&origins->wake);
    pthread_mutex_destroy(&origins->lock);
    free(origins);
}

/* ---- the table ---- */

static const struct cw_rpc_stream_ops watch_ops = {
    .on_message = on_message,
    .on_close = on_close,
};

const struct cw_rpc_method origins_methods[] = {
    {.path = "/clinicwave.token.v1.OriginService/Watch",
     .kind = CW_RPC_SERVER_STREAM,
     .listeners = ON_GATEWAY,
     .request = &clinicwave__token__v1__watch_request__descriptor,
     .stream = &watch_ops},
};

const size_t origins_n_methods = CW_ARRAY_SIZE(origins_methods);
