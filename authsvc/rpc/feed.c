/* Tells every watcher what has changed, and whoever changed it when all have it.
 *
 *   first request ──snapshot in pieces, or heartbeat──▶ increments, heartbeats ──▶ … gone
 *                 ◀──────── generation applied ─────────
 */
#include "authsvc/rpc/feed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authsvc/rpc/feed_impl.h"
#include "authsvc/rpc/identity.h"
#include "clinicwave/identity/v1/tenant.pb-c.h"

typedef Clinicwave__Identity__V1__WatchRequest watch_request;
typedef Clinicwave__Identity__V1__WatchResponse watch_response;

enum {
    HEARTBEAT_S = 5, /* the protocol promises 10 s */
    WATCHERS_MAX = 256,
    PIECE = 512 * 1024,                /* bytes of a snapshot's piece */
    INCREMENT_MAX = 256 * 1024 * 1024, /* bytes */
};

struct watcher {
    struct cw_rpc_stream *stream; /* a reference */
    bool increments;
    uint64_t applied;
};

struct feed {
    struct store *store;
    struct keyring *keys;
    char epoch[STORE_EPOCH_SIZE + 1];
    pthread_mutex_t lock; /* all below */
    pthread_cond_t wake;  /* for the heartbeats */
    pthread_cond_t acks;  /* for those who wait for watchers */
    pthread_t heart;
    bool stopping;
    uint64_t generation;
    struct feed_list list;
    struct watcher watchers[WATCHERS_MAX];
    size_t n_watchers;
};

static struct timespec in_ms(unsigned ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* --- sending ---------------------------------------------------------------------------- */

static void send_heartbeat(struct cw_rpc_stream *stream, uint64_t generation, char *epoch)
{
    watch_response beat = CLINICWAVE__IDENTITY__V1__WATCH_RESPONSE__INIT;
    beat.generation = generation;
    beat.epoch = epoch;
    beat.heartbeat = true;
    /* A full outbox holds a snapshot already; the next beat follows. */
    (void)cw_rpc_stream_send_message(stream, &beat.base);
}

static bool send_piece(void *ctx, struct cw_str packed)
{
    struct cw_rpc_stream *stream = ctx;
    enum cw_rpc_sent sent = cw_rpc_stream_send(stream, packed);
    if (sent == CW_RPC_FULL) { /* a watcher that takes nothing is better off with a new stream */
        cw_rpc_stream_finish(stream, CW_UNAVAILABLE, NULL);
    }
    return sent == CW_RPC_SENT;
}

/* With the lock held: what is sent is what is current, in the order of generations. Nothing of it
 * leaves here but into an outbox. */
static void send_snapshot(struct feed *feed, struct cw_rpc_stream *stream, bool increments)
{
    const struct feed_head head = {feed->generation, feed->epoch};
    enum cw_err err =
        feed_list_snapshot(&feed->list, &head, increments ? PIECE : 0, send_piece, stream);
    if (err != CW_OK) {
        cw_rpc_stream_finish(stream, err, NULL);
    }
}

static void *beat(void *arg)
{
    struct feed *feed = arg;
    pthread_mutex_lock(&feed->lock);
    while (!feed->stopping) {
        const struct timespec until = in_ms(HEARTBEAT_S * 1000);
        (void)pthread_cond_timedwait(&feed->wake, &feed->lock, &until);
        for (size_t i = 0; i < feed->n_watchers && !feed->stopping; i++) {
            send_heartbeat(feed->watchers[i].stream, feed->generation, feed->epoch);
        }
    }
    pthread_mutex_unlock(&feed->lock);
    return NULL;
}

/* --- watchers, on the poller ------------------------------------------------------------ */

static struct watcher *find(struct feed *feed, const struct cw_rpc_stream *stream)
{
    for (size_t i = 0; i < feed->n_watchers; i++) {
        if (feed->watchers[i].stream == stream) {
            return &feed->watchers[i];
        }
    }
    return NULL;
}

/* Generations of another database cannot be told from ours by their number; the heartbeat carries
 * the epoch, and whoever has a snapshot of another asks again with 0. */
static void join(struct feed *feed, struct cw_rpc_stream *stream, const watch_request *request)
{
    feed->watchers[feed->n_watchers++] = (struct watcher){
        .stream = cw_rpc_stream_ref(stream),
        .increments = request->increments,
        .applied = request->generation,
    };
    if (request->generation == feed->generation) {
        send_heartbeat(stream, feed->generation, feed->epoch);
    } else {
        send_snapshot(feed, stream, request->increments);
    }
}

static void on_message(struct cw_rpc_stream *stream, const ProtobufCMessage *message)
{
    struct feed *feed = cw_rpc_stream_ctx(stream);
    const watch_request *request = (const watch_request *)message;
    enum cw_err err = CW_OK;
    pthread_mutex_lock(&feed->lock);
    struct watcher *watcher = find(feed, stream);
    if (watcher != NULL) {
        watcher->applied = request->generation;
        pthread_cond_broadcast(&feed->acks);
    } else if (feed->stopping) {
        err = CW_SHUTTING_DOWN;
    } else if (feed->n_watchers == WATCHERS_MAX) {
        err = CW_TOO_MANY_REQUESTS;
    } else {
        join(feed, stream, request);
    }
    pthread_mutex_unlock(&feed->lock);
    if (err != CW_OK) {
        cw_rpc_stream_finish(stream, err, NULL);
    }
}

/* Whoever has nothing more to say goes on listening. */
static void on_half_close(struct cw_rpc_stream *stream)
{
    (void)stream;
}

static void on_close(struct cw_rpc_stream *stream, enum cw_rpc_end end)
{
    (void)end;
    struct feed *feed = cw_rpc_stream_ctx(stream);
    pthread_mutex_lock(&feed->lock);
    struct watcher *watcher = find(feed, stream);
    if (watcher != NULL) {
        *watcher = feed->watchers[--feed->n_watchers];
        pthread_cond_broadcast(&feed->acks); /* nobody waits for it any more */
    }
    pthread_mutex_unlock(&feed->lock);
    if (watcher != NULL) {
        cw_rpc_stream_unref(stream);
    }
}

static const struct cw_rpc_stream_ops watch_ops = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_close = on_close,
};

const struct cw_rpc_method feed_methods[] = {
    {.path = "/clinicwave.identity.v1.TenantService/Watch",
     .kind = CW_RPC_BIDI,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__watch_request__descriptor,
     .stream = &watch_ops},
};
const size_t feed_n_methods = CW_ARRAY_SIZE(feed_methods);

/* --- the feed --------------------------------------------------------------------------- */

enum cw_err feed_new(struct store *store, struct keyring *keys, struct feed **ret_feed)
{
    struct feed *feed = calloc(1, sizeof(*feed));
    ENSURE(feed != NULL, CW_NO_MEMORY);
    feed->store = store;
    feed->keys = keys;
    pthread_mutex_init(&feed->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&feed->wake, &attr);
    pthread_cond_init(&feed->acks, &attr);
    pthread_condattr_destroy(&attr);
    enum cw_err err = store_epoch(store, feed->epoch);
    if (err == CW_OK && pthread_create(&feed->heart, NULL, beat, feed) != 0) {
        err = CW_UNAVAILABLE;
    }
    if (err != CW_OK) {
        pthread_cond_destroy(&feed->wake);
        pthread_cond_destroy(&feed->acks);
        pthread_mutex_destroy(&feed->lock);
        free(feed);
        return err;
    }
    *ret_feed = feed;
    return CW_OK;
}

void feed_free(struct feed *feed)
{
    if (feed == NULL) {
        return;
    }
    feed_stop(feed);
    pthread_join(feed->heart, NULL);
    feed_list_done(&feed->list);
    pthread_cond_destroy(&feed->wake);
    pthread_cond_destroy(&feed->acks);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

/* With the lock held. */
static void send_change(struct feed *feed, struct cw_str increment)
{
    for (size_t i = 0; i < feed->n_watchers; i++) {
        if (feed->watchers[i].increments) {
            (void)send_piece(feed->watchers[i].stream, increment);
        } else {
            send_snapshot(feed, feed->watchers[i].stream, false);
        }
    }
}

static bool all_applied(const struct feed *feed, uint64_t generation)
{
    for (size_t i = 0; i < feed->n_watchers; i++) {
        if (feed->watchers[i].increments && feed->watchers[i].applied < generation) {
            return false;
        }
    }
    return true;
}

/* Takes the list. With the lock held; waits without it. */
static void put(struct feed *feed, struct feed_list *list, uint64_t generation,
                struct cw_str increment, unsigned wait_ms)
{
    bool changed = generation != feed->generation;
    struct feed_list old = feed->list;
    feed->list = *list;
    feed->generation = generation;
    if (changed) {
        send_change(feed, increment);
    }
    feed_list_done(&old);
    const struct timespec until = in_ms(wait_ms);
    int rc = 0;
    while (wait_ms > 0 && rc == 0 && !feed->stopping && !all_applied(feed, generation)) {
        rc = pthread_cond_timedwait(&feed->acks, &feed->lock, &until);
    }
}

enum cw_err feed_publish(struct feed *feed, const struct tenant_set *set, unsigned wait_ms)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf increment = CW_BUF_INIT(INCREMENT_MAX);
    struct feed_list list = {0};
    char fingerprint[FEED_FINGERPRINT_SIZE];
    /* Only this function changes feed->list, and one thread at a time calls it. */
    TRY(feed_list_make(feed->keys, set, &feed->list, &list));
    feed_list_fingerprint(&list, fingerprint);
    struct feed_head head = {.epoch = feed->epoch};
    enum cw_err err = store_generation(feed->store, cw_str(fingerprint), &head.generation);
    if (err == CW_OK) {
        err = feed_list_increment(&feed->list, feed->generation, &list, &head, &increment);
    }
    if (err != CW_OK) {
        feed_list_done(&list);
        return err;
    }
    pthread_mutex_lock(&feed->lock);
    put(feed, &list, head.generation, cw_buf_str(&increment), wait_ms);
    pthread_mutex_unlock(&feed->lock);
    return CW_OK;
}

void feed_stop(struct feed *feed)
{
    struct cw_rpc_stream *streams[WATCHERS_MAX];
    pthread_mutex_lock(&feed->lock);
    feed->stopping = true;
    size_t n = feed->n_watchers;
    for (size_t i = 0; i < n; i++) {
        streams[i] = cw_rpc_stream_ref(feed->watchers[i].stream);
    }
    pthread_cond_broadcast(&feed->wake);
    pthread_cond_broadcast(&feed->acks);
    pthread_mutex_unlock(&feed->lock);
    for (size_t i = 0; i < n; i++) {
        cw_rpc_stream_finish(streams[i], CW_SHUTTING_DOWN, NULL);
        cw_rpc_stream_unref(streams[i]);
    }
}

size_t feed_watchers(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    size_t n = feed->n_watchers;
    pthread_mutex_unlock(&feed->lock);
    return n;
}
