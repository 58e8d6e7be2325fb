/* authsvc's snapshots arrive on a poller and are applied on a worker; of several that arrive
 * meanwhile only the newest matters. */
#include "sidecar/main/feed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/work/work.h"
#include "proto/clinicwave/identity/v1/tenant.pb-c.h"
#include "sidecar/main/events.h"

struct feed {
    struct cw_rpc_runtime *runtime;
    struct tenants *tenants;
    struct cw_rpc_channel *channel;
    struct cw_rpc_subscription *subscription;
    struct cw_work *work;
    pthread_mutex_t lock;
    struct cw_buf waiting; /* a packed WatchResponse */
    bool scheduled;
};

static void on_start(struct cw_rpc_subscription *subscription, void *ctx)
{
    struct feed *feed = ctx;
    Clinicwave__Identity__V1__WatchRequest request = CLINICWAVE__IDENTITY__V1__WATCH_REQUEST__INIT;

    request.generation = tenants_feed_generation(feed->tenants);
    enum cw_err err = cw_rpc_subscription_send(subscription, &request.base);
    if (err != CW_OK) {
        CW_LOG(&events[EVENT_FEED_LOST], cw_log_err(err));
    }
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
}

/* On the worker. */
static void apply(void *arg)
{
    struct feed *feed = arg;
    struct cw_buf problems CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(TENANTS_PROBLEMS_MAX);
    struct cw_buf message CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(TENANTS_FEED_MAX);
    uint64_t before = tenants_version(feed->tenants);

    pthread_mutex_lock(&feed->lock);
    struct cw_buf taken = feed->waiting;
    feed->waiting = message;
    message = taken;
    feed->scheduled = false;
    pthread_mutex_unlock(&feed->lock);

    enum cw_err err = tenants_learn(feed->tenants, cw_buf_str(&message), &problems);
    tell(&problems);
    if (err == CW_CONFLICT) {
        subscribe(feed);
    } else if (err != CW_OK) {
        CW_LOG(&events[EVENT_TENANT_REFUSED], cw_log_err(err));
    } else if (tenants_version(feed->tenants) != before) {
        struct tenants_set *set = tenants_get(feed->tenants);
        CW_LOG(&events[EVENT_TENANTS_LEARNED],
               cw_log_int("clinicwave.tenants", (int64_t)tenants_set_count(set)));
        tenants_set_unref(set);
    }
}

static void on_message(struct cw_rpc_subscription *subscription, const ProtobufCMessage *message,
                       void *ctx)
{
    struct feed *feed = ctx;
    size_t n = protobuf_c_message_get_packed_size(message);
    const Clinicwave__Identity__V1__WatchResponse *response =
        (const Clinicwave__Identity__V1__WatchResponse *)message;

    (void)subscription;
    pthread_mutex_lock(&feed->lock);
    /* A heartbeat does not push out a snapshot. */
    if (!feed->scheduled || !response->heartbeat) {
        cw_buf_clear(&feed->waiting);
        char *p = cw_buf_extend(&feed->waiting, n);
        if (p) {
            protobuf_c_message_pack(message, (uint8_t *)p);
            feed->scheduled = feed->scheduled || cw_work_submit(feed->work, apply, feed) == CW_OK;
        }
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
    .server_stream = true,
    .response = &clinicwave__identity__v1__watch_response__descriptor,
    .on_start = on_start,
    .on_message = on_message,
    .on_end = on_end,
};

enum cw_err feed_new(struct cw_rpc_runtime *runtime, const char *socket, struct tenants *tenants,
                     struct feed **ret_feed)
{
    struct feed *feed = calloc(1, sizeof(*feed));
    char target[128];

    ENSURE(feed, CW_NO_MEMORY);
    snprintf(target, sizeof(target), "unix:%s", socket);
    feed->runtime = runtime;
    feed->tenants = tenants;
    feed->waiting.max = TENANTS_FEED_MAX;
    pthread_mutex_init(&feed->lock, NULL);
    enum cw_err err = cw_work_new("feed", 1, 2, &feed->work);
    if (err == CW_OK) {
        err = cw_rpc_channel_new(target, TENANTS_FEED_MAX, &feed->channel);
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
    cw_buf_done(&feed->waiting);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}
