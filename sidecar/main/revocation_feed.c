/* Answers are applied on the poller, before the next decision there, and acknowledged; a worker
 * writes the whole set to disk, so that a restart without authsvc forgets nothing. */
#include "sidecar/main/revocation_feed.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/keys/key_disk.h"
#include "common/work/work.h"
#include "proto/clinicwave/identity/v1/revocation.pb-c.h"
#include "sidecar/main/events.h"
#include "sidecar/main/restarts.h"

typedef Clinicwave__Identity__V1__RevocationServiceWatchRequest request_message;
typedef Clinicwave__Identity__V1__RevocationServiceWatchResponse response_message;
typedef Clinicwave__Identity__V1__Revocation revocation_message;

enum {
    MESSAGE_MAX = 256 * 1024 * 1024,
    SAVE_EVERY_MS = 60 * 1000, /* so that the file's age says when the feed was heard */
    PATH_SIZE = CW_KEY_DISK_PATH_MAX,
};

struct revocation_feed {
    struct revocations *revocations;
    struct cw_rpc_channel *channel;
    struct cw_rpc_subscription *subscription;
    struct cw_work *work;
    char path[PATH_SIZE];
    bool missed;              /* an answer that could not be applied; the poller's */
    struct restarts restarts; /* of the call, since then; the poller's */
    pthread_mutex_t lock;     /* below */
    bool scheduled;           /* a save waits or runs */
    bool changed;             /* since the save began */
    int64_t saved_ms;         /* monotonic */
};

/* ---- applying ---- */

static bool read_target(const revocation_message *m, struct revocation *ret)
{
    *ret = (struct revocation){
        .issuer = cw_str(m->issuer),
        .issued_until = m->issued_until,
        .expires_at = m->expires_at,
    };
    switch (m->target_case) {
    case CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_SESSION_ID:
        ret->kind = REVOCATION_SESSION;
        ret->value = cw_str(m->session_id);
        break;
    case CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_TOKEN_ID:
        ret->kind = REVOCATION_TOKEN;
        ret->value = cw_str(m->token_id);
        break;
    case CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_SUBJECT:
        ret->kind = REVOCATION_SUBJECT;
        ret->value = cw_str(m->subject);
        break;
    case CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_ALL:
        ret->kind = REVOCATION_ALL;
        ret->value = REVOCATION_ALL_VALUE;
        break;
    case CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET__NOT_SET:
    default:
        return false;
    }
    return ret->value.n > 0;
}

/* What a newer authsvc revokes in a way that is not understood here must not be passed over. */
static enum cw_err apply(struct revocations *revocations, const response_message *m)
{
    struct revocation *list = calloc(m->n_revocations + 1, sizeof(*list));
    struct cw_str *issuers = calloc(m->n_issuers + 1, sizeof(*issuers));
    enum cw_err err = list && issuers ? CW_OK : CW_NO_MEMORY;

    for (size_t i = 0; err == CW_OK && i < m->n_revocations; i++) {
        err = read_target(m->revocations[i], &list[i]) ? CW_OK : CW_UNIMPLEMENTED;
    }
    for (size_t i = 0; err == CW_OK && i < m->n_issuers; i++) {
        issuers[i] = cw_str(m->issuers[i]);
    }
    if (err == CW_OK) {
        err = revocations_apply(revocations, m->snapshot, list, m->n_revocations, issuers,
                                m->n_issuers, cw_clock_wall_s(&cw_clock_system));
    }
    free(list);
    free(issuers);
    return err;
}

/* ---- the file: a snapshot as it would come from authsvc ---- */

struct packing {
    response_message message;
    size_t cap_revocations;
    size_t cap_issuers;
    bool failed;
};

/* Room for one more pointer in a growing array. */
static void *room(void *array, size_t n, size_t *cap)
{
    if (n < *cap) {
        return array;
    }
    size_t next = *cap ? *cap * 2 : 64;
    void *grown = realloc(array, next * sizeof(void *));
    *cap = grown ? next : *cap;
    return grown;
}

static void pack_revocation(void *ctx, const struct revocation *r)
{
    struct packing *p = ctx;
    revocation_message *m = calloc(1, sizeof(*m));
    revocation_message **list =
        room((void *)p->message.revocations, p->message.n_revocations, &p->cap_revocations);

    p->message.revocations = list ? list : p->message.revocations;
    if (!m || !list) {
        free(m);
        p->failed = true;
        return;
    }
    clinicwave__identity__v1__revocation__init(m);
    m->issuer = cw_str_dup(r->issuer);
    m->issued_until = r->issued_until;
    m->expires_at = r->expires_at;
    if (r->kind == REVOCATION_ALL) {
        m->target_case = CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_ALL;
        m->all = true;
        p->failed = p->failed || !m->issuer;
        p->message.revocations[p->message.n_revocations++] = m;
        return;
    }
    char *value = cw_str_dup(r->value);
    switch (r->kind) {
    case REVOCATION_SESSION:
        m->target_case = CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_SESSION_ID;
        m->session_id = value;
        break;
    case REVOCATION_TOKEN:
        m->target_case = CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_TOKEN_ID;
        m->token_id = value;
        break;
    case REVOCATION_SUBJECT:
    case REVOCATION_ALL:
    default:
        m->target_case = CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_SUBJECT;
        m->subject = value;
        break;
    }
    p->failed = p->failed || !m->issuer || !value;
    p->message.revocations[p->message.n_revocations++] = m;
}

static void pack_issuer(void *ctx, struct cw_str issuer)
{
    struct packing *p = ctx;
    char **list = room((void *)p->message.issuers, p->message.n_issuers, &p->cap_issuers);
    char *copy = list ? cw_str_dup(issuer) : NULL;

    p->message.issuers = list ? list : p->message.issuers;
    if (copy) {
        p->message.issuers[p->message.n_issuers++] = copy;
    } else {
        p->failed = true;
    }
}

static void packing_done(struct packing *p)
{
    for (size_t i = 0; i < p->message.n_revocations; i++) {
        free(p->message.revocations[i]->issuer);
        if (p->message.revocations[i]->target_case !=
            CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_ALL) {
            free(p->message.revocations[i]->session_id); /* each of the others is a string, too */
        }
        free(p->message.revocations[i]);
    }
    for (size_t i = 0; i < p->message.n_issuers; i++) {
        free(p->message.issuers[i]);
    }
    free((void *)p->message.revocations);
    free((void *)p->message.issuers);
}

static bool save_now(struct revocation_feed *feed)
{
    struct packing p = {0};
    bool ok = false;

    clinicwave__identity__v1__revocation_service_watch_response__init(&p.message);
    p.message.snapshot = true;
    revocations_each(feed->revocations, pack_revocation, pack_issuer, &p);
    if (!p.failed) {
        size_t n = clinicwave__identity__v1__revocation_service_watch_response__get_packed_size(
            &p.message);
        uint8_t *bytes = malloc(n + 1);
        if (bytes) {
            clinicwave__identity__v1__revocation_service_watch_response__pack(&p.message, bytes);
            ok = cw_file_replace(feed->path, (struct cw_str){(char *)bytes, n}) == CW_OK;
        }
        free(bytes);
    }
    packing_done(&p);
    return ok;
}

/* On the worker. */
static void save(void *arg)
{
    struct revocation_feed *feed = arg;
    bool again = true;

    while (again) {
        pthread_mutex_lock(&feed->lock);
        feed->changed = false;
        pthread_mutex_unlock(&feed->lock);
        if (!save_now(feed)) {
            CW_LOG(&events[EVENT_REVOCATIONS_UNSAVED], cw_log_cstr("file.path", feed->path));
        }
        pthread_mutex_lock(&feed->lock);
        feed->saved_ms = cw_clock_monotonic_ms(&cw_clock_system);
        again = feed->changed;
        feed->scheduled = again;
        pthread_mutex_unlock(&feed->lock);
    }
}

static void schedule(struct revocation_feed *feed, bool changed, int64_t now_ms)
{
    pthread_mutex_lock(&feed->lock);
    feed->changed = feed->changed || changed;
    if (!feed->scheduled && (changed || now_ms - feed->saved_ms >= SAVE_EVERY_MS)) {
        feed->scheduled = cw_work_submit(feed->work, save, feed) == CW_OK;
    }
    pthread_mutex_unlock(&feed->lock);
}

/* CW_NOT_FOUND: there is none. Since when it is as it is, in ret_age_ms. */
static enum cw_err read_file(const char *path, struct cw_buf *bytes, int64_t *ret_age_ms)
{
    struct stat st;

    TRY(cw_file_read(path, bytes));
    ENSURE(stat(path, &st) == 0, CW_IO);
    *ret_age_ms = CW_MAX(cw_clock_wall_ms(&cw_clock_system) - (int64_t)st.st_mtime * 1000, 0);
    return CW_OK;
}

/* What the file says; less than a whole snapshot (an empty file is a message, too) says nothing. */
static enum cw_err restore(struct revocations *revocations, const struct cw_buf *bytes)
{
    response_message *m = clinicwave__identity__v1__revocation_service_watch_response__unpack(
        NULL, bytes->n, (const uint8_t *)bytes->p);

    ENSURE(m, CW_REQUEST_MALFORMED);
    enum cw_err err = m->snapshot ? apply(revocations, m) : CW_REQUEST_MALFORMED;
    clinicwave__identity__v1__revocation_service_watch_response__free_unpacked(m, NULL);
    return err;
}

struct revocations *revocation_feed_restore(const char *state_dir, int64_t max_stale_ms)
{
    struct cw_buf bytes CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(MESSAGE_MAX);
    char path[PATH_SIZE];
    int64_t age_ms = 0; /* without a file: the first start, with nothing to miss */

    snprintf(path, sizeof(path), "%s/revocations", state_dir);
    enum cw_err err = read_file(path, &bytes, &age_ms);
    struct revocations *revocations =
        revocations_new(max_stale_ms, cw_clock_monotonic_ms(&cw_clock_system) - age_ms);
    if (revocations && err == CW_OK) {
        err = restore(revocations, &bytes);
    }
    if (revocations && err != CW_OK && err != CW_NOT_FOUND) {
        /* A file that cannot be read is as if nothing had been heard for too long. */
        revocations_heard(revocations, cw_clock_monotonic_ms(&cw_clock_system) - max_stale_ms - 1);
    }
    return revocations;
}

/* ---- the subscription, on the poller ---- */

static void acknowledge(struct cw_rpc_subscription *subscription, uint64_t number)
{
    request_message request = CLINICWAVE__IDENTITY__V1__REVOCATION_SERVICE_WATCH_REQUEST__INIT;

    request.number = number;
    enum cw_err err = cw_rpc_subscription_send(subscription, &request.base);
    if (err != CW_OK) {
        CW_LOG(&events[EVENT_REVOCATIONS_LOST], cw_log_err(err));
    }
}

static void on_start(struct cw_rpc_subscription *subscription, void *ctx)
{
    (void)ctx;
    acknowledge(subscription, 0);
}

static void on_message(struct cw_rpc_subscription *subscription, const ProtobufCMessage *message,
                       void *ctx)
{
    struct revocation_feed *feed = ctx;
    const response_message *m = (const response_message *)message;
    int64_t now_ms = cw_clock_monotonic_ms(&cw_clock_system);

    if (feed->missed && !m->snapshot) {
        if (restarts_due(&feed->restarts, now_ms)) {
            cw_rpc_subscription_restart(subscription);
        }
        return;
    }
    enum cw_err err = apply(feed->revocations, m);
    feed->missed = err != CW_OK;
    if (err != CW_OK) {
        /* Not heard, not acknowledged, and nor is what comes after it: the feed goes stale, and
         * then nothing is decided by it. */
        CW_LOG(&events[EVENT_REVOCATIONS_LOST], cw_log_err(err));
        return;
    }
    restarts_applied(&feed->restarts);
    revocations_heard(feed->revocations, now_ms);
    acknowledge(subscription, m->number);
    schedule(feed, m->snapshot || m->n_revocations > 0, now_ms);
}

static void on_end(struct cw_rpc_subscription *subscription, const struct cw_rpc_answer *how,
                   void *ctx)
{
    (void)subscription;
    (void)ctx;
    CW_LOG(&events[EVENT_REVOCATIONS_LOST], cw_log_err(how->err),
           cw_log_cstr("error.message", how->message));
}

static const struct cw_rpc_subscription_ops ops = {
    .path = "/clinicwave.identity.v1.RevocationService/Watch",
    .response = &clinicwave__identity__v1__revocation_service_watch_response__descriptor,
    .on_start = on_start,
    .on_message = on_message,
    .on_end = on_end,
};

/* ---- as a whole ---- */

enum cw_err revocation_feed_new(struct cw_rpc_runtime *runtime, const struct authsvc_place *authsvc,
                                const char *state_dir, struct revocations *revocations,
                                struct revocation_feed **ret_feed)
{
    struct revocation_feed *feed = calloc(1, sizeof(*feed));

    ENSURE(feed, CW_NO_MEMORY);
    snprintf(feed->path, sizeof(feed->path), "%s/revocations", state_dir);
    feed->revocations = revocations;
    pthread_mutex_init(&feed->lock, NULL);
    enum cw_err err = cw_work_new("revocations", 1, 2, &feed->work);
    if (err == CW_OK) {
        err = authsvc_channel(authsvc, MESSAGE_MAX, &feed->channel);
    }
    if (err == CW_OK) {
        err = cw_rpc_subscription_new(runtime, feed->channel, &ops, feed, &feed->subscription);
    }
    if (err != CW_OK) {
        revocation_feed_free(feed);
        return err;
    }
    *ret_feed = feed;
    return CW_OK;
}

void revocation_feed_free(struct revocation_feed *feed)
{
    if (!feed) {
        return;
    }
    cw_rpc_subscription_free(feed->subscription, 0);
    cw_work_free(feed->work);
    cw_rpc_channel_free(feed->channel);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}
