/* authsvc's tenants arrive on a poller and are applied on a worker, in their order; what is applied
 * is acknowledged, since somebody may wait for it. */
#include "sidecar/main/feed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/work/work.h"
#include "proto/clinicwave/identity/v1/tenant.pb-c.h"
#include "sidecar/main/events.h"

typedef Clinicwave__Identity__V1__WatchRequest request_message;
typedef Clinicwave__Identity__V1__WatchResponse response_message;

/* A packed WatchResponse that waits. */
struct waiting {
    struct waiting *next;
    size_t n;
    char bytes[];
};

struct feed {
    struct cw_rpc_runtime *runtime;
    struct tenants *tenants;
    struct cw_rpc_channel *channel;
    struct cw_rpc_subscription *subscription; /* after the start the worker's alone */
    struct cw_work *work;
    pthread_mutex_t lock; /* below */
    struct waiting *first;
    struct waiting *last;
    size_t bytes; /* of all that waits */
    bool missed;  /* something did not fit: begin anew */
    bool scheduled;
};

static void send(struct cw_rpc_subscription *subscription, uint64_t generation)
{
    request_message request = CLINICWAVE__IDENTITY__V1__WATCH_REQUEST__INIT;

    request.generation = generation;
    request.increments = true;
    enum cw_err err = cw_rpc_subscription_send(subscription, &request.base);
    if (err != CW_OK) {
        CW_LOG(&events[EVENT_FEED_LOST], cw_log_err(err));
    }
}

static void on_start(struct cw_rpc_subscription *subscription, void *ctx)
{
    struct feed *feed = ctx;

    send(subscription, tenants_feed_generation(feed->tenants));
}

static const struct cw_rpc_subscription_ops ops;

static void subscribe(struct feed *feed)
{
    cw_rpc_subscription_free(feed->subscription, 0);
    feed->subscription = NULL;
    enum cw_err err =
        cw_rpc_subscription_new(feed->runtime, feed->channel, &ops, feed, &feed->subscription);
    if (err != CW_OK) {
        CW_LOG(&events[EVENT_FEED_LOST], cw_log_err(err));
    }
}

static void tell(struct cw_buf *problems)
{
    struct cw_str rest = cw_buf_str(problems);
    struct cw_str line;

    while (cw_str_word(&rest, '\n', &line)) {
        CW_LOG(&events[EVENT_TENANT_REFUSED], cw_log_str("error.message", line));
    }
    cw_buf_clear(problems);
}

/* ---- the worker ---- */

static void drop_all(struct feed *feed)
{
    while (feed->first) {
        struct waiting *next = feed->first->next;
        free(feed->first);
        feed->first = next;
    }
    feed->last = NULL;
    feed->bytes = 0;
}

/* NULL: nothing waits any more, and the next one schedules anew. */
static struct waiting *next(struct feed *feed, bool *ret_missed)
{
    pthread_mutex_lock(&feed->lock);
    struct waiting *taken = feed->first;
    *ret_missed = feed->missed;
    feed->missed = false;
    if (taken) {
        feed->first = taken->next;
        feed->last = feed->first ? feed->last : NULL;
        feed->bytes -= taken->n;
    } else {
        feed->scheduled = *ret_missed;
    }
    pthread_mutex_unlock(&feed->lock);
    return taken;
}

static enum cw_err apply_one(struct feed *feed, struct cw_str packed, struct cw_buf *problems)
{
    uint64_t before = tenants_version(feed->tenants);

    TRY(tenants_learn(feed->tenants, packed, problems));
    if (tenants_version(feed->tenants) != before) {
        struct tenants_set *set = tenants_get(feed->tenants);
        if (feed->subscription) {
            send(feed->subscription, tenants_feed_generation(feed->tenants));
        }
        CW_LOG(&events[EVENT_TENANTS_LEARNED],
               cw_log_int("clinicwave.tenants", (int64_t)tenants_set_count(set)));
        tenants_set_unref(set);
    }
    return CW_OK;
}

static void apply(void *arg)
{
    struct feed *feed = arg;
    struct cw_buf problems CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(TENANTS_PROBLEMS_MAX);
    bool missed = false;

    for (struct waiting *taken = next(feed, &missed); taken || missed;
         taken = next(feed, &missed)) {
        enum cw_err err = CW_CONFLICT;
        if (taken) {
            err = apply_one(feed, (struct cw_str){taken->bytes, taken->n}, &problems);
        }
        free(taken);
        tell(&problems);
        if (err == CW_CONFLICT || missed) {
            subscribe(feed);
        } else if (err != CW_OK) {
            CW_LOG(&events[EVENT_TENANT_REFUSED], cw_log_err(err));
        }
    }
    tenants_keep(feed->tenants, false, &problems);
    tell(&problems);
}

/* ---- the poller ---- */

static void on_message(struct cw_rpc_subscription *subscription, const ProtobufCMessage *message,
                       void *ctx)
{
    struct feed *feed = ctx;
    size_t n = protobuf_c_message_get_packed_size(message);
    const response_message *response = (const response_message *)message;

    (void)subscription;
    pthread_mutex_lock(&feed->lock);
    if (!response->heartbeat || !feed->first) { /* what waits says more than a heartbeat */
        struct waiting *w = feed->bytes + n <= TENANTS_FEED_MAX ? malloc(sizeof(*w) + n) : NULL;
        if (w) {
            w->next = NULL;
            w->n = protobuf_c_message_pack(message, (uint8_t *)w->bytes);
            *(feed->last ? &feed->last->next : &feed->first) = w;
            feed->last = w;
            feed->bytes += w->n;
        } else {
            drop_all(feed);
            feed->missed = true;
        }
        feed->scheduled = feed->scheduled || cw_work_submit(feed->work, apply, feed) == CW_OK;
    }
    pthread_mutex_unlock(&feed->lock);
}

static void on_end(struct cw_rpc_subscription *subscription, const struct cw_rpc_answer *how,
                   void *ctx)
{
    (void)subscription;
    (void)ctx;
    CW_LOG(&events[EVENT_FEED_LOST], cw_log_err(how->err),
           cw_log_cstr("error.message", how->message));
}

static const struct cw_rpc_subscription_ops ops = {
    .path = "/clinicwave.identity.v1.TenantService/Watch",
    .response = &clinicwave__identity__v1__watch_response__descriptor,
    .on_start = on_start,
    .on_message = on_message,
    .on_end = on_end,
};

enum cw_err authsvc_channel(const struct authsvc_place *authsvc, uint32_t max_message,
                            struct cw_rpc_channel **ret_channel)
{
    char target[128];

    if (authsvc->path == NULL) {
        return cw_rpc_channel_new_to(authsvc->remote, max_message, ret_channel);
    }
    snprintf(target, sizeof(target), "unix:%s", authsvc->path);
    TRY(cw_rpc_channel_new(target, max_message, ret_channel));
    return cw_rpc_channel_guard(*ret_channel, authsvc->path, authsvc->uids, authsvc->n_uids);
}

enum cw_err feed_new(struct cw_rpc_runtime *runtime, const struct authsvc_place *authsvc,
                     struct tenants *tenants, struct feed **ret_feed)
{
    struct feed *feed = calloc(1, sizeof(*feed));

    ENSURE(feed, CW_NO_MEMORY);
    feed->runtime = runtime;
    feed->tenants = tenants;
    pthread_mutex_init(&feed->lock, NULL);
    enum cw_err err = cw_work_new("feed", 1, 2, &feed->work);
    if (err == CW_OK) {
        err = authsvc_channel(authsvc, TENANTS_FEED_MAX, &feed->channel);
    }
    if (err == CW_OK) {
        err = cw_rpc_subscription_new(runtime, feed->channel, &ops, feed, &feed->subscription);
    }
    if (err != CW_OK) {
        feed_free(feed);
        return err;
    }
    *ret_feed = feed;
    return CW_OK;
}

void feed_free(struct feed *feed)
{
    if (!feed) {
        return;
    }
    /* The worker may subscribe anew: it ends first. */
    if (feed->work) {
        cw_work_stop(feed->work);
    }
    cw_rpc_subscription_free(feed->subscription, 0);
    cw_work_free(feed->work);
    cw_rpc_channel_free(feed->channel);
    struct cw_buf problems CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(TENANTS_PROBLEMS_MAX);
    tenants_keep(feed->tenants, true, &problems);
    tell(&problems);
    drop_all(feed);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}
