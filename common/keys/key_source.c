/* Step 4a: the key set of the token's issuer. Verifiers take a reference to an immutable set; a
 * fetch replaces the set as a whole, before it expires and off every request path.
 *
 *            due, or an unknown kid outside of the cooldown
 *   resting ───────────────────────────────────────────────▶ fetching ──▶ resting
 *                                                              │ good: publish, withdraw what is
 *                                                              │       gone, wake who waits
 *                                                              └ bad:  keep the old set, report,
 *                                                                      back off, wake who waits */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/keys/key_internal.h"

enum {
    BACKOFF_FIRST_MS = 1000,
    BACKOFF_MAX_MS = 60 * 1000,
    FILE_CHECK_MS = 30 * 1000,
};

/* A number of [0, 1024), for jitter. */
static int64_t jitter(const struct cw_key_store *store)
{
    uint16_t n = 0;

    return cw_random_fill(store->config.random, &n, sizeof(n)) == CW_OK ? n & 1023 : 512;
}

/* ---- sources ---- */

static const char *source_place(const struct cw_key_source *source)
{
    switch (source->spec.kind) {
    case CW_KEY_INLINE:
        return "inline";
    case CW_KEY_DISCOVERY:
        return "discovery";
    case CW_KEY_FILE:
    case CW_KEY_URI:
    default:
        return source->location;
    }
}

static bool source_is(const struct cw_key_source *source, const struct cw_key_source_spec *spec)
{
    return source->spec.kind == spec->kind && source->spec.plain_loopback == spec->plain_loopback &&
           source->spec.required == spec->required && strcmp(source->tenant, spec->tenant) == 0 &&
           strcmp(source->issuer, spec->issuer) == 0 &&
           strcmp(source->location, spec->location) == 0 &&
           strcmp(source->ca_file, spec->ca_file) == 0;
}

static void source_free(struct cw_key_source *source)
{
    cw_jwks_unref(source->set);
    pthread_mutex_destroy(&source->lock);
    free(source->tenant);
    free(source->issuer);
    free(source->location);
    free(source->ca_file);
    free(source);
}

/* The set that was good before the restart. Its age goes on counting. */
static void source_load(struct cw_key_source *source)
{
    struct cw_buf buf CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(CW_JWKS_TEXT_MAX + 64);
    struct cw_jwks_options options = {0};
    struct cw_str text;
    int64_t fetched_at = 0;
    int64_t age_ms = 0;

    if (cw_key_disk_read(source->path, &buf, &text, &fetched_at) != CW_OK ||
        cw_jwks_parse(text, &options, &source->set, NULL) != CW_OK) {
        return;
    }
    age_ms = CW_MAX(cw_clock_wall_ms(source->store->config.clock) - fetched_at * 1000, 0);
    source->good = true;
    source->good_began_ms = cw_key_now_ms(source->store) - age_ms;
    source->fetched_at = fetched_at;
    source->stale = age_ms >= CW_KEY_STORE_STALE_MS;
}

static struct cw_key_source *source_new(struct cw_key_store *store,
                                        const struct cw_key_source_spec *spec)
{
    struct cw_key_source *source = calloc(1, sizeof(*source));

    if (!source) {
        return NULL;
    }
    pthread_mutex_init(&source->lock, NULL);
    source->store = store;
    source->refs = 1;
    source->tenant = strdup(spec->tenant);
    source->issuer = strdup(spec->issuer);
    source->location = strdup(spec->location);
    source->ca_file = strdup(spec->ca_file);
    if (!source->tenant || !source->issuer || !source->location || !source->ca_file) {
        source_free(source);
        return NULL;
    }
    source->spec = *spec;
    source->spec.tenant = source->tenant;
    source->spec.issuer = source->issuer;
    source->spec.location = source->location;
    source->spec.ca_file = source->ca_file;
    source->fetch_spec = (struct cw_key_fetch_spec){spec->kind, source->issuer, source->location,
                                                    source->ca_file, spec->plain_loopback};
    source->next_ms = spec->kind == CW_KEY_INLINE ? INT64_MAX : 0;
    if (store->config.state_dir && (spec->kind == CW_KEY_URI || spec->kind == CW_KEY_DISCOVERY) &&
        cw_key_disk_path(store->config.state_dir, spec->tenant, spec->issuer, source_place(source),
                         source->path) == CW_OK) {
        source_load(source);
    }
    return source;
}

static uint64_t hash_of(const struct cw_key_source_spec *spec)
{
    const char *const parts[] = {spec->tenant, spec->issuer};
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; i < CW_ARRAY_SIZE(parts); i++) {
        for (const char *p = parts[i]; *p; p++) {
            hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
        }
        hash *= 0x100000001b3u;
    }
    return hash ^ hash >> 32;
}

/* With the store's lock held, both. */
static void source_enter(struct cw_key_store *store, struct cw_key_source *source)
{
    struct cw_key_source **bucket = &store->buckets[source->hash % CW_KEY_BUCKETS];

    source->next = store->sources;
    source->link = &store->sources;
    if (source->next) {
        source->next->link = &source->next;
    }
    store->sources = source;
    source->same = *bucket;
    *bucket = source;
}

static void source_leave(struct cw_key_store *store, struct cw_key_source *source)
{
    struct cw_key_source **at = &store->buckets[source->hash % CW_KEY_BUCKETS];

    while (*at != source) {
        at = &(*at)->same;
    }
    *at = source->same;
    *source->link = source->next;
    if (source->next) {
        source->next->link = source->link;
    }
}

struct cw_key_source *cw_key_store_open(struct cw_key_store *store,
                                        const struct cw_key_source_spec *spec)
{
    struct cw_key_source *made = source_new(store, spec);

    uint64_t hash = hash_of(spec);

    pthread_mutex_lock(&store->lock);
    struct cw_key_source *source = store->buckets[hash % CW_KEY_BUCKETS];
    while (source && !source_is(source, spec)) {
        source = source->same;
    }
    if (source) {
        source->refs++;
    } else if (made) {
        source = made;
        made = NULL;
        source->hash = hash;
        source_enter(store, source);
    }
    pthread_mutex_unlock(&store->lock);
    if (made) {
        source_free(made);
    }
    if (source && source->spec.kind != CW_KEY_INLINE) { /* nothing is ever due of an inline one */
        cw_key_store_nudge(store);
    }
    return source;
}

struct cw_key_source *cw_key_source_ref(struct cw_key_source *source)
{
    pthread_mutex_lock(&source->store->lock);
    source->refs++;
    pthread_mutex_unlock(&source->store->lock);
    return source;
}

void cw_key_source_unref(struct cw_key_source *source)
{
    if (!source) {
        return;
    }
    struct cw_key_store *store = source->store;
    pthread_mutex_lock(&store->lock);
    bool last = --source->refs == 0;
    if (last) {
        source_leave(store, source);
    }
    pthread_mutex_unlock(&store->lock);
    if (last) {
        source_free(source);
    }
}

struct cw_jwks *cw_key_source_get(struct cw_key_source *source)
{
    pthread_mutex_lock(&source->lock);
    struct cw_jwks *set = source->set && !source->stale ? cw_jwks_ref(source->set) : NULL;
    pthread_mutex_unlock(&source->lock);
    return set;
}

/* ---- fetching ---- */

/* Under the lock. A good set is asked for again between 80 and 95 % of its life, so that it never
 * runs out and the hosts of a fleet do not all come at once. */
static void plan_good(struct cw_key_source *source, int64_t max_age)
{
    int64_t life = source->spec.kind == CW_KEY_FILE ? FILE_CHECK_MS : max_age * 1000;
    int64_t part = 800 + jitter(source->store) * 150 / 1024;

    source->failures_in_row = 0;
    source->next_ms = source->began_ms + life * part / 1000;
}

/* Under the lock. Without a set, quickly at first: the issuer may just be starting. */
static void plan_bad(struct cw_key_source *source)
{
    unsigned shift = CW_MIN(source->failures_in_row, 6u);
    int64_t pause = CW_MIN((int64_t)BACKOFF_FIRST_MS << shift, BACKOFF_MAX_MS);

    if (source->set) {
        pause = CW_MAX(pause, CW_KEY_STORE_COOLDOWN_MS);
    }
    source->failures_in_row++;
    source->next_ms = cw_key_now_ms(source->store) + pause + pause * jitter(source->store) / 4096;
}

/* Parses against the present set, publishes, marks what is gone. Under the lock; the number of
 * withdrawn keys. */
static enum cw_err publish(struct cw_key_source *source, struct cw_str text, size_t *ret_withdrawn,
                           char ret_why[CW_JWK_WHY_SIZE])
{
    struct cw_jwks_options options = {.previous = source->set};
    struct cw_jwks *set = NULL;

    TRY(cw_jwks_parse(text, &options, &set, ret_why));
    *ret_withdrawn = source->set ? cw_jwks_withdraw_missing(source->set, set) : 0;
    cw_jwks_unref(source->set);
    source->set = set;
    source->stale = false;
    source->good = true;
    source->failed = false;
    source->why[0] = '\0';
    source->fetched_at = cw_clock_wall_s(source->store->config.clock);
    return CW_OK;
}

static void fetch_done(void *arg, const struct cw_key_fetched *fetched)
{
    struct cw_key_source *source = arg;
    struct cw_key_store *store = source->store;
    char why[CW_JWK_WHY_SIZE] = "";
    size_t withdrawn = 0;
    enum cw_err err = fetched->err;

    pthread_mutex_lock(&source->lock);
    if (err == CW_OK) {
        err = publish(source, fetched->text, &withdrawn, why);
    }
    if (err == CW_OK) {
        source->good_began_ms = source->began_ms;
        plan_good(source, fetched->max_age);
    } else {
        source->failed = true;
        source->failures++;
        snprintf(source->why, sizeof(source->why), "%s", why[0] ? why : fetched->why);
        plan_bad(source);
    }
    char told[CW_KEY_FETCH_WHY_SIZE];
    memcpy(told, source->why, sizeof(told));
    int64_t fetched_at = source->fetched_at;
    unsigned retries = source->retrying;
    if (source->again) {
        source->next_ms = cw_key_now_ms(store);
    }
    source->fetching = source->retrying = source->again = false;
    struct cw_key_waiter *waiters = cw_key_take_waiters(source);
    pthread_mutex_unlock(&source->lock);

    atomic_fetch_sub(&store->fetching, 1);
    atomic_fetch_sub(&store->retrying, retries);
    if (withdrawn && store->config.withdrawn) {
        store->config.withdrawn(store->config.ctx, withdrawn);
    }
    cw_key_wake_all(store, waiters, false);
    if (err == CW_OK && source->path[0] &&
        cw_key_disk_write(source->path, fetched->text, fetched_at) != CW_OK) {
        snprintf(told, sizeof(told), "fetched, but cannot be kept in %.100s",
                 store->config.state_dir);
    }
    if (store->config.fetched) {
        store->config.fetched(store->config.ctx, source->tenant, source->issuer, err == CW_OK,
                              told);
    }
    cw_key_store_nudge(store);
    cw_key_source_unref(source);
}

/* Under the lock: whether a fetch may begin now; if so it is marked as begun and the caller must
 * call run_fetch after unlocking. Sources whose last fetch failed share half of the places, which
 * they get in turn (cw_key_store_tick); the other half is for those who answer. A provider that
 * hangs, with a thousand tenants, takes all places once, since each of them is then like one that
 * answers: 32 at a time for a fetch's bound each, some three minutes. After that it has one half.
 */
bool cw_key_begin_fetch(struct cw_key_source *source, int64_t now)
{
    struct cw_key_store *store = source->store;

    if (source->fetching || source->spec.kind == CW_KEY_INLINE || atomic_load(&store->closing) ||
        atomic_load(&store->fetching) >= CW_KEY_STORE_FETCHES_MAX ||
        (source->failures_in_row > 0 &&
         atomic_load(&store->retrying) >= CW_KEY_STORE_RETRIES_MAX)) {
        return false;
    }
    source->retrying = source->failures_in_row > 0;
    atomic_fetch_add(&store->retrying, source->retrying);
    atomic_fetch_add(&store->fetching, 1);
    source->fetching = true;
    source->began = true;
    source->began_ms = now;
    source->fetches++;
    return true;
}

void cw_key_run_fetch(struct cw_key_source *source)
{
    cw_key_fetch_start(&source->fetch_spec, &source->store->config.getter, fetch_done,
                       cw_key_source_ref(source));
}

/* ---- sets that come with the tenant ---- */

enum cw_err cw_key_source_publish(struct cw_key_source *source, struct cw_str text, int64_t age_ms,
                                  char ret_why[CW_JWK_WHY_SIZE])
{
    struct cw_key_store *store = source->store;
    size_t withdrawn = 0;

    pthread_mutex_lock(&source->lock);
    enum cw_err err = publish(source, text, &withdrawn, ret_why);
    if (err == CW_OK) {
        source->good_began_ms = cw_key_now_ms(store) - age_ms;
        source->fetched_at -= age_ms / 1000;
    } else {
        source->failed = true;
        source->failures++;
        snprintf(source->why, sizeof(source->why), "%s", ret_why);
    }
    pthread_mutex_unlock(&source->lock);
    if (withdrawn && store->config.withdrawn) {
        store->config.withdrawn(store->config.ctx, withdrawn);
    }
    return err;
}

void cw_key_source_confirm(struct cw_key_source *source)
{
    if (source->spec.kind != CW_KEY_INLINE) {
        return;
    }
    pthread_mutex_lock(&source->lock);
    if (source->set && !source->failed) {
        source->good_began_ms = cw_key_now_ms(source->store);
        source->fetched_at = cw_clock_wall_s(source->store->config.clock);
        source->stale = false;
    }
    pthread_mutex_unlock(&source->lock);
}

/* ---- for operators ---- */

void cw_key_source_reread(struct cw_key_source *source)
{
    if (source->spec.kind != CW_KEY_FILE) {
        return;
    }
    pthread_mutex_lock(&source->lock);
    if (source->fetching) {
        source->again = true;
    } else {
        source->next_ms = cw_key_now_ms(source->store);
    }
    pthread_mutex_unlock(&source->lock);
}

bool cw_key_source_refresh(struct cw_key_source *source)
{
    int64_t now = cw_key_now_ms(source->store);

    pthread_mutex_lock(&source->lock);
    bool may = source->spec.kind == CW_KEY_FILE || !source->began ||
               now - source->began_ms >= CW_KEY_STORE_COOLDOWN_MS;
    bool begin = may && cw_key_begin_fetch(source, now);
    pthread_mutex_unlock(&source->lock);
    if (begin) {
        cw_key_run_fetch(source);
    }
    return begin;
}

void cw_key_source_describe(struct cw_key_source *source, struct cw_key_source_info *ret_info)
{
    int64_t now = cw_key_now_ms(source->store);

    pthread_mutex_lock(&source->lock);
    *ret_info = (struct cw_key_source_info){
        .tenant = source->tenant,
        .issuer = source->issuer,
        .place = source_place(source),
        .required = source->spec.required,
        .stale = source->stale,
        .failed = source->failed,
        .set = source->set ? cw_jwks_ref(source->set) : NULL,
        .fetched_at = source->fetched_at,
        .fetches = source->fetches,
        .failures = source->failures,
    };
    if (source->next_ms != INT64_MAX) {
        ret_info->refresh_at =
            cw_clock_wall_s(source->store->config.clock) + CW_MAX(source->next_ms - now, 0) / 1000;
    }
    memcpy(ret_info->why, source->why, sizeof(ret_info->why));
    pthread_mutex_unlock(&source->lock);
}
