/* One thread reads what is new from the store and sends it to every watcher; a watcher says what it
 * has applied.
 *
 *   JOINED ──snapshot──▶ CURRENT ──increments, heartbeats──▶ … gone
 *
 * Nothing of it runs on a poller but taking numbers in. */
#include "authsvc/rpc/revocations.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authsvc/rpc/identity.h"
#include "clinicwave/identity/v1/revocation.pb-c.h"

typedef Clinicwave__Identity__V1__RevocationServiceWatchRequest request_message;
typedef Clinicwave__Identity__V1__RevocationServiceWatchResponse response_message;
typedef Clinicwave__Identity__V1__Revocation revocation_message;

enum {
    TICK_MS = 500,        /* a hint from another process may have been lost */
    HEARTBEAT_TICKS = 10, /* 5 s; the protocol promises 10 s */
    WATCHERS_MAX = 256,
    ARENA_MAX = 256 * 1024 * 1024, /* as many as a sidecar takes: a million */
};

struct watcher {
    struct cw_rpc_stream *stream; /* a reference */
    bool joined;                  /* has got its snapshot */
    uint64_t applied;
    bool late; /* let somebody wait in vain; not waited for before its next word */
};

struct revocations {
    struct store *store;
    struct tenant_current *tenants;
    char epoch[STORE_EPOCH_SIZE + 1];
    pthread_mutex_t lock; /* all below */
    pthread_cond_t work;  /* for the thread */
    pthread_cond_t acks;  /* for those who wait for watchers */
    pthread_t thread;
    bool stopping;
    bool pending;            /* announced, not yet read */
    uint64_t sent;           /* number of the newest one that was sent */
    struct tenant_set *told; /* whose issuers were told last, a reference; the thread's */
    struct watcher watchers[WATCHERS_MAX];
    size_t n;
};

/* --- messages, on the thread ------------------------------------------------------------ */

struct batch {
    struct cw_arena arena;
    const struct tenant_set *set;
    response_message message;
    size_t cap;
};

static const char *issuer_of(const struct tenant_set *set, struct cw_str tenant)
{
    const struct tenant *found = tenant_set_by_name(set, tenant);
    return found != NULL ? found->issuer.p : NULL; /* NUL-terminated by the arena */
}

static enum cw_err grow(struct batch *b)
{
    if (b->message.n_revocations < b->cap) {
        return CW_OK;
    }
    size_t cap = b->cap > 0 ? b->cap * 2 : 16;
    revocation_message **list = cw_arena_alloc(&b->arena, cap * sizeof(revocation_message *));
    ENSURE(list != NULL, CW_NO_MEMORY);
    if (b->cap > 0) {
        memcpy(list, b->message.revocations, b->cap * sizeof(revocation_message *));
    }
    b->message.revocations = list;
    b->cap = cap;
    return CW_OK;
}

static char *copy(struct batch *b, const char *text)
{
    return cw_arena_dup(&b->arena, cw_str(text));
}

static enum cw_err set_target(struct batch *b, const struct store_revocation *r,
                              revocation_message *m)
{
    char *value = cw_arena_dup(&b->arena, r->value);
    ENSURE(value != NULL, CW_NO_MEMORY);
    switch (r->kind) {
    case STORE_REVOKED_SESSION:
        m->target_case = CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_SESSION_ID;
        m->session_id = value;
        return CW_OK;
    case STORE_REVOKED_TOKEN:
        m->target_case = CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_TOKEN_ID;
        m->token_id = value;
        return CW_OK;
    case STORE_REVOKED_SUBJECT:
        m->target_case = CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_SUBJECT;
        m->subject = value;
        return CW_OK;
    case STORE_REVOKED_TENANT:
    default:
        m->target_case = CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_ALL;
        m->all = true;
        return CW_OK;
    }
}

static enum cw_err add(void *ctx, const struct store_revocation *r)
{
    struct batch *b = ctx;
    b->message.number = CW_MAX(b->message.number, r->number);
    const char *issuer = issuer_of(b->set, r->tenant);
    if (issuer == NULL) {
        return CW_OK; /* no sidecar knows this tenant any more */
    }
    TRY(grow(b));
    revocation_message *m = cw_arena_alloc(&b->arena, sizeof(*m));
    ENSURE(m != NULL, CW_NO_MEMORY);
    clinicwave__identity__v1__revocation__init(m);
    m->issuer = copy(b, issuer);
    m->issued_until = r->issued_until;
    m->expires_at = r->expires_at / 1000 + 1;
    TRY(set_target(b, r, m));
    ENSURE(m->issuer != NULL, CW_NO_MEMORY);
    b->message.revocations[b->message.n_revocations++] = m;
    return CW_OK;
}

static enum cw_err add_issuers(struct batch *b)
{
    char **issuers = cw_arena_alloc(&b->arena, CW_MAX(b->set->n, 1) * sizeof(char *));
    ENSURE(issuers != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < b->set->n; i++) {
        issuers[i] = copy(b, b->set->tenants[i]->issuer.p);
        ENSURE(issuers[i] != NULL, CW_NO_MEMORY);
    }
    b->message.issuers = issuers;
    b->message.n_issuers = b->set->n;
    return CW_OK;
}

/* Everything in effect after `after`; with 0 a snapshot. */
static enum cw_err fill(struct revocations *r, uint64_t after, bool snapshot, struct batch *b)
{
    clinicwave__identity__v1__revocation_service_watch_response__init(&b->message);
    b->message.epoch = r->epoch;
    b->message.snapshot = snapshot;
    b->message.number = after;
    uint64_t newest = 0;
    /* Read first: a snapshot whose newest ones have expired must still carry the number. */
    TRY(store_revocation_number(r->store, &newest));
    TRY(store_revocation_list(r->store, after, add, b));
    b->message.number = CW_MAX(b->message.number, newest);
    /* Thousands of them: only to whoever joins, and when they have changed. */
    return snapshot || b->set != r->told ? add_issuers(b) : CW_OK;
}

/* --- the thread ------------------------------------------------------------------------- */

/* Streams that are (or are not yet) joined, as references. With the lock held. */
static size_t take_streams(struct revocations *r, bool joined, struct cw_rpc_stream **ret_streams)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        if (r->watchers[i].joined == joined) {
            ret_streams[n++] = cw_rpc_stream_ref(r->watchers[i].stream);
        }
    }
    return n;
}

static void mark_joined(struct revocations *r, struct cw_rpc_stream *const *streams, size_t n)
{
    for (size_t i = 0; i < r->n; i++) {
        for (size_t k = 0; k < n; k++) {
            r->watchers[i].joined = r->watchers[i].joined || r->watchers[i].stream == streams[k];
        }
    }
}

/* A watcher that takes nothing, or that we cannot serve, begins anew with a snapshot. */
static void send_all(struct cw_rpc_stream **streams, size_t n, const response_message *message,
                     enum cw_err err)
{
    for (size_t i = 0; i < n; i++) {
        if (err != CW_OK) {
            cw_rpc_stream_finish(streams[i], err, NULL);
        } else if (cw_rpc_stream_send_message(streams[i], &message->base) == CW_RPC_FULL) {
            cw_rpc_stream_finish(streams[i], CW_UNAVAILABLE, NULL);
        }
        cw_rpc_stream_unref(streams[i]);
    }
}

static void serve(struct revocations *r, bool snapshot, bool beat)
{
    struct cw_rpc_stream *streams[WATCHERS_MAX];
    pthread_mutex_lock(&r->lock);
    size_t n = take_streams(r, !snapshot, streams);
    uint64_t after = snapshot ? 0 : r->sent;
    if (snapshot) {
        mark_joined(r, streams, n); /* before the store is read: what comes then is sent twice */
    }
    pthread_mutex_unlock(&r->lock);
    struct tenant_set *set = tenant_current_get(r->tenants);
    struct batch b = {.arena = CW_ARENA_INIT(ARENA_MAX), .set = set};
    enum cw_err err = fill(r, after, snapshot, &b);
    bool news =
        b.message.number > after || snapshot || beat || err != CW_OK || b.message.n_issuers > 0;
    if (err == CW_OK && !snapshot && set != r->told) {
        tenant_set_unref(r->told);
        r->told = tenant_set_ref(set);
    }
    if (err == CW_OK && !snapshot) {
        pthread_mutex_lock(&r->lock);
        r->sent = b.message.number;
        pthread_mutex_unlock(&r->lock);
    }
    if (news) {
        send_all(streams, n, &b.message, err);
    } else {
        for (size_t i = 0; i < n; i++) {
            cw_rpc_stream_unref(streams[i]);
        }
    }
    cw_arena_done(&b.arena);
    tenant_set_unref(set);
}

static struct timespec in_ms(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static bool somebody_joins(const struct revocations *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (!r->watchers[i].joined) {
            return true;
        }
    }
    return false;
}

static void *run(void *arg)
{
    struct revocations *r = arg;
    unsigned ticks = 0;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        const struct timespec until = in_ms(TICK_MS);
        int rc = 0;
        while (!r->stopping && !r->pending && !somebody_joins(r) && rc == 0) {
            rc = pthread_cond_timedwait(&r->work, &r->lock, &until);
        }
        bool joins = somebody_joins(r);
        bool beat = rc != 0 && ++ticks % HEARTBEAT_TICKS == 0;
        r->pending = false;
        if (r->stopping || r->n == 0) {
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        serve(r, false, beat); /* first: a snapshot then holds all that was sent before */
        if (joins) {
            serve(r, true, false);
        }
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* --- watchers, on the poller ------------------------------------------------------------ */

static struct watcher *find(struct revocations *r, const struct cw_rpc_stream *stream)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->watchers[i].stream == stream) {
            return &r->watchers[i];
        }
    }
    return NULL;
}

static void on_message(struct cw_rpc_stream *stream, const ProtobufCMessage *message)
{
    struct revocations *r = cw_rpc_stream_ctx(stream);
    const request_message *request = (const request_message *)message;
    enum cw_err err = CW_OK;
    pthread_mutex_lock(&r->lock);
    struct watcher *watcher = find(r, stream);
    if (watcher != NULL) {
        watcher->applied = request->number;
        watcher->late = false;
        pthread_cond_broadcast(&r->acks);
    } else if (r->stopping) {
        err = CW_SHUTTING_DOWN;
    } else if (r->n == WATCHERS_MAX) {
        err = CW_TOO_MANY_REQUESTS;
    } else {
        r->watchers[r->n++] = (struct watcher){.stream = cw_rpc_stream_ref(stream)};
        pthread_cond_signal(&r->work);
    }
    pthread_mutex_unlock(&r->lock);
    if (err != CW_OK) {
        cw_rpc_stream_finish(stream, err, NULL);
    }
}

static void on_close(struct cw_rpc_stream *stream, enum cw_rpc_end end)
{
    (void)end;
    struct revocations *r = cw_rpc_stream_ctx(stream);
    pthread_mutex_lock(&r->lock);
    struct watcher *watcher = find(r, stream);
    if (watcher != NULL) {
        *watcher = r->watchers[--r->n];
        pthread_cond_broadcast(&r->acks); /* nobody waits for it any more */
    }
    pthread_mutex_unlock(&r->lock);
    if (watcher != NULL) {
        cw_rpc_stream_unref(stream);
    }
}

static const struct cw_rpc_stream_ops watch_ops = {
    .on_message = on_message,
    .on_close = on_close,
};

const struct cw_rpc_method revocations_methods[] = {
    {.path = "/clinicwave.identity.v1.RevocationService/Watch",
     .kind = CW_RPC_BIDI,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__revocation_service_watch_request__descriptor,
     .stream = &watch_ops},
};
const size_t revocations_n_methods = CW_ARRAY_SIZE(revocations_methods);

/* --- as a whole ------------------------------------------------------------------------- */

enum cw_err revocations_new(struct store *store, struct tenant_current *tenants,
                            struct revocations **ret_revocations)
{
    struct revocations *r = calloc(1, sizeof(*r));
    ENSURE(r != NULL, CW_NO_MEMORY);
    r->store = store;
    r->tenants = tenants;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->work, &attr);
    pthread_cond_init(&r->acks, &attr);
    pthread_condattr_destroy(&attr);
    enum cw_err err = store_epoch(store, r->epoch);
    if (err == CW_OK) {
        err = store_revocation_number(store, &r->sent);
    }
    if (err == CW_OK && pthread_create(&r->thread, NULL, run, r) != 0) {
        err = CW_UNAVAILABLE;
    }
    if (err != CW_OK) {
        pthread_cond_destroy(&r->work);
        pthread_cond_destroy(&r->acks);
        pthread_mutex_destroy(&r->lock);
        free(r);
        return err;
    }
    *ret_revocations = r;
    return CW_OK;
}

void revocations_stop(struct revocations *r)
{
    struct cw_rpc_stream *streams[2 * WATCHERS_MAX];
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    size_t n = take_streams(r, true, streams);
    n += take_streams(r, false, streams + n);
    pthread_cond_broadcast(&r->work);
    pthread_cond_broadcast(&r->acks);
    pthread_mutex_unlock(&r->lock);
    send_all(streams, n, NULL, CW_SHUTTING_DOWN);
}

void revocations_free(struct revocations *r)
{
    if (r == NULL) {
        return;
    }
    revocations_stop(r);
    pthread_join(r->thread, NULL);
    tenant_set_unref(r->told);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->acks);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* With the lock held. */
static bool all_applied(const struct revocations *r, uint64_t number)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->watchers[i].applied < number && !r->watchers[i].late) {
            return false;
        }
    }
    return true;
}

/* With the lock held: a sidecar that stands still costs one logout its wait, not each. */
static void stop_waiting(struct revocations *r, uint64_t number)
{
    for (size_t i = 0; i < r->n; i++) {
        r->watchers[i].late = r->watchers[i].late || r->watchers[i].applied < number;
    }
}

void revocations_poke(struct revocations *r)
{
    pthread_mutex_lock(&r->lock);
    r->pending = true;
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
}

void revocations_announce(struct revocations *r, unsigned wait_ms)
{
    uint64_t number = 0;
    const struct timespec until = in_ms(wait_ms);
    bool known = store_revocation_number(r->store, &number) == CW_OK;
    pthread_mutex_lock(&r->lock);
    r->pending = true;
    pthread_cond_signal(&r->work);
    int rc = 0;
    while (known && rc == 0 && !r->stopping && !all_applied(r, number)) {
        rc = pthread_cond_timedwait(&r->acks, &r->lock, &until);
    }
    if (rc != 0) {
        stop_waiting(r, number);
    }
    pthread_mutex_unlock(&r->lock);
}
