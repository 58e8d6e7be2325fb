/* Keeps one packed snapshot and gives it to every watcher; in between, heartbeats. */
#include "authsvc/rpc/feed.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/rpc/identity.h"
#include "clinicwave/identity/v1/tenant.pb-c.h"

typedef Clinicwave__Identity__V1__WatchRequest watch_request;
typedef Clinicwave__Identity__V1__WatchResponse watch_response;
typedef Clinicwave__Identity__V1__Tenant tenant_message;
typedef Clinicwave__Identity__V1__Issuer issuer_message;
typedef Clinicwave__Identity__V1__ClaimMap claim_map;

enum {
    HEARTBEAT_S = 5, /* the protocol promises 10 s */
    WATCHERS_MAX = 256,
    SNAPSHOT_MAX = 64 * 1024 * 1024,
    JWKS_MAX = 256 * 1024,
};

struct feed {
    struct store *store;
    struct keyring *keys;
    char epoch[STORE_EPOCH_SIZE + 1];
    pthread_mutex_t lock; /* all below */
    pthread_cond_t wake;
    pthread_t heart;
    bool stopping;
    uint64_t generation;
    char *snapshot; /* packed WatchResponse */
    size_t snapshot_n;
    struct cw_rpc_stream *watchers[WATCHERS_MAX]; /* references */
    size_t n_watchers;
};

/* --- the snapshot ----------------------------------------------------------------------- */

static char *text(struct cw_arena *arena, struct cw_str s)
{
    return cw_arena_dup(arena, s);
}

static enum cw_err texts(struct cw_arena *arena, const struct cw_str *list, size_t n,
                         char ***ret_texts)
{
    char **out = cw_arena_zalloc(arena, (n > 0 ? n : 1) * sizeof(char *));
    ENSURE(out != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        out[i] = text(arena, list[i]);
        ENSURE(out[i] != NULL, CW_NO_MEMORY);
    }
    *ret_texts = out;
    return CW_OK;
}

/* Our own issuer: its keys travel here, and its tokens name the tenant. */
static enum cw_err own_issuer(struct feed *feed, struct cw_arena *arena,
                              const struct tenant *tenant, issuer_message **ret_issuer)
{
    issuer_message *issuer = cw_arena_alloc(arena, sizeof(*issuer));
    claim_map *claims = cw_arena_alloc(arena, sizeof(*claims));
    ENSURE(issuer != NULL && claims != NULL, CW_NO_MEMORY);
    clinicwave__identity__v1__issuer__init(issuer);
    clinicwave__identity__v1__claim_map__init(claims);
    CW_CLEANUP(cw_buf_done) struct cw_buf jwks = CW_BUF_INIT(JWKS_MAX);
    TRY(keyring_jwks(feed->keys, tenant->name, &jwks));
    issuer->issuer = text(arena, tenant->issuer);
    issuer->jwks = (ProtobufCBinaryData){jwks.n, (uint8_t *)text(arena, cw_buf_str(&jwks))};
    struct cw_str algorithms[] = {CW_STR("RS256"), CW_STR("ES256")};
    /* Both: after a change of algorithm the old key's tokens live on until they expire. */
    TRY(texts(arena, algorithms, CW_ARRAY_SIZE(algorithms), &issuer->algorithms));
    issuer->n_algorithms = CW_ARRAY_SIZE(algorithms);
    struct cw_str type = CW_STR("at+jwt");
    TRY(texts(arena, &type, 1, &issuer->types));
    issuer->n_types = 1;
    claims->client_id = text(arena, CW_STR("client_id"));
    claims->session_id = text(arena, CW_STR("sid"));
    claims->scopes = text(arena, CW_STR("scope"));
    claims->roles = text(arena, CW_STR("roles"));
    claims->permissions = text(arena, CW_STR("permissions"));
    claims->tenant = text(arena, CW_STR("tenant"));
    issuer->claims = claims;
    ENSURE(issuer->issuer != NULL && issuer->jwks.data != NULL && claims->tenant != NULL,
           CW_NO_MEMORY);
    *ret_issuer = issuer;
    return CW_OK;
}

/* Another's issuer: the sidecar finds its keys by discovery. Both of Auth0's dialects of access
 * tokens are accepted, as is the rest of the world's. */
static enum cw_err idp_issuer(struct cw_arena *arena, const struct tenant *tenant,
                              issuer_message **ret_issuer)
{
    const struct tenant_idp *idp = tenant->idp;
    issuer_message *issuer = cw_arena_alloc(arena, sizeof(*issuer));
    claim_map *claims = cw_arena_alloc(arena, sizeof(*claims));
    ENSURE(issuer != NULL && claims != NULL, CW_NO_MEMORY);
    clinicwave__identity__v1__issuer__init(issuer);
    clinicwave__identity__v1__claim_map__init(claims);
    issuer->issuer = text(arena, tenant->issuer);
    TRY(texts(arena, idp->algorithms, idp->n_algorithms, &issuer->algorithms));
    issuer->n_algorithms = idp->n_algorithms;
    const struct cw_str types[] = {CW_STR("at+jwt"), CW_STR("jwt")};
    TRY(texts(arena, types, CW_ARRAY_SIZE(types), &issuer->types));
    issuer->n_types = CW_ARRAY_SIZE(types);
    claims->client_id = text(arena, idp->client_claim);
    claims->scopes = text(arena, idp->scopes_claim);
    claims->roles = text(arena, idp->roles_claim);
    claims->permissions = text(arena, idp->permissions_claim);
    issuer->claims = claims;
    ENSURE(issuer->issuer != NULL && claims->client_id != NULL && claims->scopes != NULL &&
               claims->roles != NULL && claims->permissions != NULL,
           CW_NO_MEMORY);
    *ret_issuer = issuer;
    return CW_OK;
}

static enum cw_err tenant_message_of(struct feed *feed, struct cw_arena *arena,
                                     const struct tenant *tenant, tenant_message **ret_message)
{
    tenant_message *m = cw_arena_alloc(arena, sizeof(*m));
    issuer_message **issuers = cw_arena_alloc(arena, sizeof(issuer_message *));
    ENSURE(m != NULL && issuers != NULL, CW_NO_MEMORY);
    clinicwave__identity__v1__tenant__init(m);
    m->name = text(arena, tenant->name);
    ENSURE(m->name != NULL, CW_NO_MEMORY);
    TRY(texts(arena, tenant->domains, tenant->n_domains, &m->domains));
    m->n_domains = tenant->n_domains;
    TRY(texts(arena, tenant->audiences, tenant->n_audiences, &m->audiences));
    m->n_audiences = tenant->n_audiences;
    if (tenant->login == TENANT_LOGIN_IDP) {
        TRY(idp_issuer(arena, tenant, &issuers[0]));
    } else {
        TRY(own_issuer(feed, arena, tenant, &issuers[0]));
    }
    m->issuers = issuers;
    m->n_issuers = 1;
    *ret_message = m;
    return CW_OK;
}

static enum cw_err pack(const watch_response *response, char **ret_bytes, size_t *ret_n)
{
    size_t n = clinicwave__identity__v1__watch_response__get_packed_size(response);
    char *bytes = malloc(n > 0 ? n : 1);
    ENSURE(bytes != NULL, CW_NO_MEMORY);
    *ret_n = clinicwave__identity__v1__watch_response__pack(response, (uint8_t *)bytes);
    *ret_bytes = bytes;
    return CW_OK;
}

/* Packed twice: without a generation for the fingerprint, then with the one that it has. */
static enum cw_err build(struct feed *feed, struct cw_arena *arena, const struct tenant_set *set,
                         uint64_t *ret_generation, char **ret_bytes, size_t *ret_n)
{
    watch_response response = CLINICWAVE__IDENTITY__V1__WATCH_RESPONSE__INIT;
    response.epoch = feed->epoch;
    response.tenants = cw_arena_alloc(arena, CW_MAX(set->n, 1) * sizeof(tenant_message *));
    ENSURE(response.tenants != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < set->n; i++) {
        TRY(tenant_message_of(feed, arena, set->tenants[i], &response.tenants[i]));
    }
    response.n_tenants = set->n;
    char *bytes = NULL;
    size_t n = 0;
    TRY(pack(&response, &bytes, &n));
    uint8_t digest[crypto_hash_sha256_BYTES];
    char fingerprint[2 * sizeof(digest) + 1];
    crypto_hash_sha256(digest, (const uint8_t *)bytes, n);
    free(bytes);
    sodium_bin2hex(fingerprint, sizeof(fingerprint), digest, sizeof(digest));
    TRY(store_generation(feed->store, cw_str(fingerprint), &response.generation));
    *ret_generation = response.generation;
    return pack(&response, ret_bytes, ret_n);
}

/* --- watchers --------------------------------------------------------------------------- */

static void send_heartbeat(struct cw_rpc_stream *stream, uint64_t generation, char *epoch)
{
    watch_response beat = CLINICWAVE__IDENTITY__V1__WATCH_RESPONSE__INIT;
    beat.generation = generation;
    beat.epoch = epoch;
    beat.heartbeat = true;
    /* A full outbox holds a snapshot already; the next beat follows. */
    (void)cw_rpc_stream_send_message(stream, &beat.base);
}

/* A watcher's streams as references, so that nothing is sent with the lock held. */
static size_t borrow_watchers(struct feed *feed, struct cw_rpc_stream **ret_streams)
{
    for (size_t i = 0; i < feed->n_watchers; i++) {
        ret_streams[i] = cw_rpc_stream_ref(feed->watchers[i]);
    }
    return feed->n_watchers;
}

static void *beat(void *arg)
{
    struct feed *feed = arg;
    pthread_mutex_lock(&feed->lock);
    while (!feed->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += HEARTBEAT_S;
        (void)pthread_cond_timedwait(&feed->wake, &feed->lock, &until);
        struct cw_rpc_stream *streams[WATCHERS_MAX];
        size_t n = feed->stopping ? 0 : borrow_watchers(feed, streams);
        uint64_t generation = feed->generation;
        pthread_mutex_unlock(&feed->lock);
        for (size_t i = 0; i < n; i++) {
            send_heartbeat(streams[i], generation, feed->epoch);
            cw_rpc_stream_unref(streams[i]);
        }
        pthread_mutex_lock(&feed->lock);
    }
    pthread_mutex_unlock(&feed->lock);
    return NULL;
}

static bool register_watcher(struct feed *feed, struct cw_rpc_stream *stream)
{
    bool taken = !feed->stopping && feed->n_watchers < WATCHERS_MAX;
    if (taken) {
        feed->watchers[feed->n_watchers++] = cw_rpc_stream_ref(stream);
    }
    return taken;
}

/* The one request: what the sidecar has decides whether it gets the snapshot. Generations of
 * another database cannot be told from ours by their number, so a sidecar with a snapshot of
 * another epoch must ask with 0. */
static void on_message(struct cw_rpc_stream *stream, const ProtobufCMessage *message)
{
    struct feed *feed = cw_rpc_stream_ctx(stream);
    const watch_request *request = (const watch_request *)message;
    char *snapshot = NULL;
    size_t n = 0;
    pthread_mutex_lock(&feed->lock);
    bool taken = register_watcher(feed, stream);
    bool stopping = feed->stopping;
    uint64_t generation = feed->generation;
    if (taken && request->generation != generation) {
        snapshot = malloc(feed->snapshot_n > 0 ? feed->snapshot_n : 1);
        if (snapshot != NULL) {
            memcpy(snapshot, feed->snapshot, feed->snapshot_n);
            n = feed->snapshot_n;
        }
    }
    pthread_mutex_unlock(&feed->lock);
    if (!taken) {
        cw_rpc_stream_finish(stream, stopping ? CW_SHUTTING_DOWN : CW_TOO_MANY_REQUESTS, NULL);
    } else if (request->generation == generation) {
        send_heartbeat(stream, generation, feed->epoch);
    } else if (snapshot == NULL ||
               cw_rpc_stream_send(stream, (struct cw_str){snapshot, n}) != CW_RPC_SENT) {
        cw_rpc_stream_finish(stream, CW_NO_MEMORY, NULL);
    }
    free(snapshot);
}

static void on_close(struct cw_rpc_stream *stream, enum cw_rpc_end end)
{
    (void)end;
    struct feed *feed = cw_rpc_stream_ctx(stream);
    bool found = false;
    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < feed->n_watchers && !found; i++) {
        if (feed->watchers[i] == stream) {
            feed->watchers[i] = feed->watchers[--feed->n_watchers];
            found = true;
        }
    }
    pthread_mutex_unlock(&feed->lock);
    if (found) {
        cw_rpc_stream_unref(stream);
    }
}

static const struct cw_rpc_stream_ops watch_ops = {
    .on_message = on_message,
    .on_close = on_close,
};

const struct cw_rpc_method feed_methods[] = {
    {.path = "/clinicwave.identity.v1.TenantService/Watch",
     .kind = CW_RPC_SERVER_STREAM,
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
    pthread_condattr_destroy(&attr);
    enum cw_err err = store_epoch(store, feed->epoch);
    if (err == CW_OK && pthread_create(&feed->heart, NULL, beat, feed) != 0) {
        err = CW_UNAVAILABLE;
    }
    if (err != CW_OK) {
        pthread_cond_destroy(&feed->wake);
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
    free(feed->snapshot);
    pthread_cond_destroy(&feed->wake);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

enum cw_err feed_publish(struct feed *feed, const struct tenant_set *set)
{
    struct cw_arena arena = CW_ARENA_INIT(SNAPSHOT_MAX);
    uint64_t generation = 0;
    char *bytes = NULL;
    size_t n = 0;
    enum cw_err err = build(feed, &arena, set, &generation, &bytes, &n);
    cw_arena_done(&arena);
    TRY(err);

    struct cw_rpc_stream *streams[WATCHERS_MAX];
    pthread_mutex_lock(&feed->lock);
    bool changed = generation != feed->generation;
    char *old = feed->snapshot;
    feed->snapshot = bytes;
    feed->snapshot_n = n;
    feed->generation = generation;
    size_t n_streams = changed ? borrow_watchers(feed, streams) : 0;
    pthread_mutex_unlock(&feed->lock);
    free(old);
    for (size_t i = 0; i < n_streams; i++) {
        /* A watcher that takes nothing is better off with a new stream. */
        if (cw_rpc_stream_send(streams[i], (struct cw_str){bytes, n}) == CW_RPC_FULL) {
            cw_rpc_stream_finish(streams[i], CW_UNAVAILABLE, NULL);
        }
        cw_rpc_stream_unref(streams[i]);
    }
    return CW_OK;
}

void feed_stop(struct feed *feed)
{
    struct cw_rpc_stream *streams[WATCHERS_MAX];
    pthread_mutex_lock(&feed->lock);
    feed->stopping = true;
    size_t n = borrow_watchers(feed, streams);
    pthread_cond_broadcast(&feed->wake);
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
