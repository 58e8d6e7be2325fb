/* Step 4a: the key set of the token's issuer. Verifiers take a reference to an immutable set; a
 * fetch replaces the set as a whole, before it expires and off every request path.
 *
 *            due, or an unknown kid outside of the cooldown
 *   resting ───────────────────────────────────────────────▶ fetching ──▶ resting
 *                                                              │ good: publish, withdraw what is
 *                                                              │       gone, wake who waits
 *                                                              └ bad:  keep the old set, report,
 *                                                                      back off, wake who waits
 *
 * An unknown kid (a token may name any) is answered by what is known about the published set:
 *
 *   a good fetch began after the kid was first seen, or at most 30 s ago   no such key
 *   a fetch runs                                                           wait for it, bounded
 *   the last fetch began more than 30 s ago                                begin one, wait
 *   else (it failed)                                                       cannot be told
 *
 * so that a flood of made-up kids costs the issuer one fetch in 30 s at most. */
#include "sidecar/keys/key_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sidecar/keys/key_disk.h"

enum {
    TICK_MS = 1000,
    TICK_WAITING_MS = 20, /* while somebody waits */
    BACKOFF_FIRST_MS = 1000,
    BACKOFF_MAX_MS = 60 * 1000,
    FILE_CHECK_MS = 30 * 1000,
};

struct unknown_kid {
    uint64_t hash;
    int64_t first_ms;
};

struct key_source {
    struct key_store *store;
    struct key_source *next; /* of the store; its lock */
    unsigned refs;           /* the store's lock */
    char *tenant;
    char *issuer;
    char *location;
    char *ca_file;
    struct key_source_spec spec;
    struct key_fetch_spec fetch_spec;
    char path[KEY_DISK_PATH_MAX]; /* "": not kept on disk */

    pthread_mutex_t lock; /* for all below */
    struct cw_jwks *set;
    bool stale;
    bool fetching;
    bool good;             /* a fetch has ever been good */
    bool failed;           /* the last one was not */
    int64_t good_began_ms; /* monotonic */
    int64_t began_ms;      /* of the last fetch, good or not */
    bool began;
    int64_t next_ms; /* planned; INT64_MAX: none */
    unsigned failures_in_row;
    int64_t fetched_at; /* wall clock, seconds */
    uint64_t fetches;
    uint64_t failures;
    char why[KEY_FETCH_WHY_SIZE];
    struct unknown_kid unknown[KEY_STORE_UNKNOWN_MAX];
    unsigned unknown_next;
    struct key_waiter *waiters;
    unsigned n_waiters;
};

struct key_store {
    struct key_store_config config;
    pthread_mutex_t lock; /* the list and the references */
    struct key_source *sources;
    _Atomic unsigned fetching;
    _Atomic unsigned waiting;
    _Atomic bool closing;

    pthread_t thread;
    bool started;
    pthread_mutex_t wake_lock;
    pthread_cond_t wake;
    bool woken;
};

static int64_t now_ms(const struct key_store *store)
{
    return cw_clock_monotonic_ms(store->config.clock);
}

/* A number of [0, 1024), for jitter. */
static int64_t jitter(const struct key_store *store)
{
    uint16_t n = 0;

    return cw_random_fill(store->config.random, &n, sizeof(n)) == CW_OK ? n & 1023 : 512;
}

struct key_store *key_store_new(const struct key_store_config *config)
{
    struct key_store *store = calloc(1, sizeof(*store));
    pthread_condattr_t attr;

    if (!store) {
        return NULL;
    }
    store->config = *config;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->wake_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&store->wake, &attr);
    pthread_condattr_destroy(&attr);
    return store;
}

static void store_nudge(struct key_store *store)
{
    pthread_mutex_lock(&store->wake_lock);
    store->woken = true;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->wake_lock);
}

static void *store_run(void *arg)
{
    struct key_store *store = arg;

    while (!atomic_load(&store->closing)) {
        int64_t wait = key_store_tick(store);
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

enum cw_err key_store_start(struct key_store *store)
{
    ENSURE(pthread_create(&store->thread, NULL, store_run, store) == 0, CW_UNAVAILABLE);
    store->started = true;
    return CW_OK;
}

static void wake_all(struct key_store *store, struct key_waiter *waiter, bool late)
{
    while (waiter) {
        struct key_waiter *next = waiter->next;
        atomic_fetch_sub(&store->waiting, 1);
        waiter->wake(waiter, late);
        waiter = next;
    }
}

/* Under the source's lock. */
static struct key_waiter *take_waiters(struct key_source *source)
{
    struct key_waiter *waiters = source->waiters;

    source->waiters = NULL;
    source->n_waiters = 0;
    return waiters;
}

/* All sources with a reference each; the caller unrefs and frees. */
static struct key_source **list_sources(struct key_store *store, size_t *ret_n)
{
    size_t n = 0;

    pthread_mutex_lock(&store->lock);
    for (struct key_source *s = store->sources; s; s = s->next) {
        n++;
    }
    struct key_source **list = calloc(n + 1, sizeof(struct key_source *));
    size_t i = 0;
    for (struct key_source *s = store->sources; list && s; s = s->next) {
        s->refs++;
        list[i++] = s;
    }
    pthread_mutex_unlock(&store->lock);
    *ret_n = list ? n : 0;
    return list;
}

static void free_sources(struct key_source **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        key_source_unref(list[i]);
    }
    free((void *)list);
}

void key_store_stop(struct key_store *store)
{
    size_t n = 0;

    atomic_store(&store->closing, true);
    if (store->started) {
        store_nudge(store);
        pthread_join(store->thread, NULL);
        store->started = false;
    }
    struct key_source **list = list_sources(store, &n);
    for (size_t i = 0; i < n; i++) {
        pthread_mutex_lock(&list[i]->lock);
        struct key_waiter *waiters = take_waiters(list[i]);
        pthread_mutex_unlock(&list[i]->lock);
        wake_all(store, waiters, true);
    }
    free_sources(list, n);
}

void key_store_free(struct key_store *store)
{
    if (!store) {
        return;
    }
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->wake_lock);
    pthread_cond_destroy(&store->wake);
    free(store);
}

/* ---- sources ---- */

static const char *source_place(const struct key_source *source)
{
    switch (source->spec.kind) {
    case KEY_INLINE:
        return "inline";
    case KEY_DISCOVERY:
        return "discovery";
    case KEY_FILE:
    case KEY_URI:
    default:
        return source->location;
    }
}

static bool source_is(const struct key_source *source, const struct key_source_spec *spec)
{
    return source->spec.kind == spec->kind && source->spec.plain_loopback == spec->plain_loopback &&
           source->spec.required == spec->required && strcmp(source->tenant, spec->tenant) == 0 &&
           strcmp(source->issuer, spec->issuer) == 0 &&
           strcmp(source->location, spec->location) == 0 &&
           strcmp(source->ca_file, spec->ca_file) == 0;
}

static void source_free(struct key_source *source)
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
static void source_load(struct key_source *source)
{
    struct cw_buf buf CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(CW_JWKS_TEXT_MAX + 64);
    struct cw_jwks_options options = {0};
    struct cw_str text;
    int64_t fetched_at = 0;
    int64_t age_ms = 0;

    if (key_disk_read(source->path, &buf, &text, &fetched_at) != CW_OK ||
        cw_jwks_parse(text, &options, &source->set, NULL) != CW_OK) {
        return;
    }
    age_ms = CW_MAX(cw_clock_wall_ms(source->store->config.clock) - fetched_at * 1000, 0);
    source->good = true;
    source->good_began_ms = now_ms(source->store) - age_ms;
    source->fetched_at = fetched_at;
    source->stale = age_ms >= KEY_STORE_STALE_MS;
}

static struct key_source *source_new(struct key_store *store, const struct key_source_spec *spec)
{
    struct key_source *source = calloc(1, sizeof(*source));

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
    source->fetch_spec = (struct key_fetch_spec){spec->kind, source->issuer, source->location,
                                                 source->ca_file, spec->plain_loopback};
    source->next_ms = spec->kind == KEY_INLINE ? INT64_MAX : 0;
    if (store->config.state_dir && (spec->kind == KEY_URI || spec->kind == KEY_DISCOVERY) &&
        key_disk_path(store->config.state_dir, spec->tenant, spec->issuer, source_place(source),
                      source->path) == CW_OK) {
        source_load(source);
    }
    return source;
}

struct key_source *key_store_open(struct key_store *store, const struct key_source_spec *spec)
{
    struct key_source *made = source_new(store, spec);

    pthread_mutex_lock(&store->lock);
    struct key_source *source = store->sources;
    while (source && !source_is(source, spec)) {
        source = source->next;
    }
    if (source) {
        source->refs++;
    } else if (made) {
        source = made;
        made = NULL;
        source->next = store->sources;
        store->sources = source;
    }
    pthread_mutex_unlock(&store->lock);
    if (made) {
        source_free(made);
    }
    store_nudge(store);
    return source;
}

struct key_source *key_source_ref(struct key_source *source)
{
    pthread_mutex_lock(&source->store->lock);
    source->refs++;
    pthread_mutex_unlock(&source->store->lock);
    return source;
}

void key_source_unref(struct key_source *source)
{
    if (!source) {
        return;
    }
    struct key_store *store = source->store;
    pthread_mutex_lock(&store->lock);
    bool last = --source->refs == 0;
    if (last) {
        struct key_source **at = &store->sources;
        while (*at != source) {
            at = &(*at)->next;
        }
        *at = source->next;
    }
    pthread_mutex_unlock(&store->lock);
    if (last) {
        source_free(source);
    }
}

struct cw_jwks *key_source_get(struct key_source *source)
{
    pthread_mutex_lock(&source->lock);
    struct cw_jwks *set = source->set && !source->stale ? cw_jwks_ref(source->set) : NULL;
    pthread_mutex_unlock(&source->lock);
    return set;
}

/* ---- fetching ---- */

/* Under the lock. A good set is asked for again between 80 and 95 % of its life, so that it never
 * runs out and the hosts of a fleet do not all come at once. */
static void plan_good(struct key_source *source, int64_t max_age)
{
    int64_t life = source->spec.kind == KEY_FILE ? FILE_CHECK_MS : max_age * 1000;
    int64_t part = 800 + jitter(source->store) * 150 / 1024;

    source->failures_in_row = 0;
    source->next_ms = source->began_ms + life * part / 1000;
}

/* Under the lock. Without a set, quickly at first: the issuer may just be starting. */
static void plan_bad(struct key_source *source)
{
    unsigned shift = CW_MIN(source->failures_in_row, 6u);
    int64_t pause = CW_MIN((int64_t)BACKOFF_FIRST_MS << shift, BACKOFF_MAX_MS);

    if (source->set) {
        pause = CW_MAX(pause, KEY_STORE_COOLDOWN_MS);
    }
    source->failures_in_row++;
    source->next_ms = now_ms(source->store) + pause + pause * jitter(source->store) / 4096;
}

/* Parses against the present set, publishes, marks what is gone. Under the lock; the number of
 * withdrawn keys. */
static enum cw_err publish(struct key_source *source, struct cw_str text, size_t *ret_withdrawn,
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

static void fetch_done(void *arg, const struct key_fetched *fetched)
{
    struct key_source *source = arg;
    struct key_store *store = source->store;
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
    char told[KEY_FETCH_WHY_SIZE];
    memcpy(told, source->why, sizeof(told));
    int64_t fetched_at = source->fetched_at;
    source->fetching = false;
    struct key_waiter *waiters = take_waiters(source);
    pthread_mutex_unlock(&source->lock);

    atomic_fetch_sub(&store->fetching, 1);
    if (withdrawn && store->config.withdrawn) {
        store->config.withdrawn(store->config.ctx, withdrawn);
    }
    wake_all(store, waiters, false);
    if (err == CW_OK && source->path[0] &&
        key_disk_write(source->path, fetched->text, fetched_at) != CW_OK) {
        snprintf(told, sizeof(told), "fetched, but cannot be kept in %.100s",
                 store->config.state_dir);
    }
    if (store->config.fetched) {
        store->config.fetched(store->config.ctx, source->tenant, source->issuer, err == CW_OK,
                              told);
    }
    store_nudge(store);
    key_source_unref(source);
}

/* Under the lock: whether a fetch may begin now; if so it is marked as begun and the caller must
 * call run_fetch after unlocking. */
static bool begin_fetch(struct key_source *source, int64_t now)
{
    struct key_store *store = source->store;

    if (source->fetching || source->spec.kind == KEY_INLINE || atomic_load(&store->closing) ||
        atomic_load(&store->fetching) >= KEY_STORE_FETCHES_MAX) {
        return false;
    }
    atomic_fetch_add(&store->fetching, 1);
    source->fetching = true;
    source->began = true;
    source->began_ms = now;
    source->fetches++;
    return true;
}

static void run_fetch(struct key_source *source)
{
    key_fetch_start(&source->fetch_spec, &source->store->config.getter, fetch_done,
                    key_source_ref(source));
}

/* Under the lock: waiters whose time is over leave the list. */
static struct key_waiter *take_late(struct key_source *source, int64_t now)
{
    struct key_waiter *late = NULL;
    struct key_waiter **at = &source->waiters;

    while (*at) {
        struct key_waiter *waiter = *at;
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

static void tick_source(struct key_source *source, int64_t now)
{
    struct key_store *store = source->store;
    bool stale = false;

    pthread_mutex_lock(&source->lock);
    struct key_waiter *late = take_late(source, now);
    bool begin = now >= source->next_ms && begin_fetch(source, now);
    /* A file is this host's own; its set has no age. */
    if (source->set && !source->stale && source->spec.kind != KEY_FILE &&
        now - source->good_began_ms >= KEY_STORE_STALE_MS) {
        source->stale = stale = true;
    }
    pthread_mutex_unlock(&source->lock);
    wake_all(store, late, true);
    if (stale && store->config.stale) {
        store->config.stale(store->config.ctx);
    }
    if (begin) {
        run_fetch(source);
    }
}

int64_t key_store_tick(struct key_store *store)
{
    size_t n = 0;
    struct key_source **list = list_sources(store, &n);

    for (size_t i = 0; i < n; i++) {
        tick_source(list[i], now_ms(store));
    }
    free_sources(list, n);
    return atomic_load(&store->waiting) ? TICK_WAITING_MS : TICK_MS;
}

/* ---- unknown keys ---- */

/* Under the lock: when this kid was first asked for. A flood pushes older ones out, which makes
 * them newer than they are: more tokens wait or get "cannot be told", none is refused wrongly. */
static int64_t first_seen(struct key_source *source, const struct cw_str *kid, int64_t now)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; kid && i < kid->n; i++) {
        hash = (hash ^ (unsigned char)kid->p[i]) * 0x100000001b3u;
    }
    for (size_t i = 0; i < KEY_STORE_UNKNOWN_MAX; i++) {
        if (source->unknown[i].hash == hash) {
            return source->unknown[i].first_ms;
        }
    }
    source->unknown[source->unknown_next++ % KEY_STORE_UNKNOWN_MAX] =
        (struct unknown_kid){hash, now};
    return now;
}

/* Under the lock. */
static enum key_answer ask_locked(struct key_source *source, const struct cw_jwks *seen,
                                  const struct cw_str *kid, struct key_waiter *waiter, int64_t now,
                                  bool *ret_begin, int64_t *ret_retry_ms)
{
    struct cw_jwks *present = source->stale ? NULL : source->set;

    if (present != seen) {
        return KEY_ANSWER_AGAIN;
    }
    if (present && source->good &&
        (now - source->good_began_ms <= KEY_STORE_COOLDOWN_MS ||
         source->good_began_ms >= first_seen(source, kid, now))) {
        return KEY_ANSWER_UNKNOWN;
    }
    if (!source->fetching && (!source->began || now - source->began_ms >= KEY_STORE_COOLDOWN_MS)) {
        *ret_begin = begin_fetch(source, now);
    }
    *ret_retry_ms =
        source->next_ms == INT64_MAX ? KEY_STORE_COOLDOWN_MS : CW_MAX(source->next_ms - now, 0);
    if (!source->fetching || source->n_waiters >= KEY_STORE_WAITERS_MAX ||
        atomic_load(&source->store->closing)) {
        return KEY_ANSWER_UNAVAILABLE;
    }
    waiter->next = source->waiters;
    source->waiters = waiter;
    source->n_waiters++;
    atomic_fetch_add(&source->store->waiting, 1);
    return KEY_ANSWER_WAIT;
}

enum key_answer key_source_ask(struct key_source *source, const struct cw_jwks *seen,
                               const struct cw_str *kid, struct key_waiter *waiter,
                               int64_t *ret_retry_ms)
{
    int64_t now = now_ms(source->store);
    bool begin = false;

    *ret_retry_ms = 0;
    /* The source must outlive the waiter, which may be woken at once. */
    key_source_ref(source);
    pthread_mutex_lock(&source->lock);
    enum key_answer answer = ask_locked(source, seen, kid, waiter, now, &begin, ret_retry_ms);
    pthread_mutex_unlock(&source->lock);
    if (begin) {
        run_fetch(source);
    }
    if (answer == KEY_ANSWER_WAIT) {
        store_nudge(source->store);
    }
    key_source_unref(source);
    return answer;
}

/* ---- sets that come with the tenant ---- */

enum cw_err key_source_publish(struct key_source *source, struct cw_str text, int64_t age_ms,
                               char ret_why[CW_JWK_WHY_SIZE])
{
    struct key_store *store = source->store;
    size_t withdrawn = 0;

    pthread_mutex_lock(&source->lock);
    enum cw_err err = publish(source, text, &withdrawn, ret_why);
    if (err == CW_OK) {
        source->good_began_ms = now_ms(store) - age_ms;
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

void key_source_confirm(struct key_source *source)
{
    if (source->spec.kind != KEY_INLINE) {
        return;
    }
    pthread_mutex_lock(&source->lock);
    if (source->set && !source->failed) {
        source->good_began_ms = now_ms(source->store);
        source->fetched_at = cw_clock_wall_s(source->store->config.clock);
        source->stale = false;
    }
    pthread_mutex_unlock(&source->lock);
}

/* ---- for operators ---- */

bool key_source_refresh(struct key_source *source)
{
    int64_t now = now_ms(source->store);

    pthread_mutex_lock(&source->lock);
    bool begin = (!source->began || now - source->began_ms >= KEY_STORE_COOLDOWN_MS) &&
                 begin_fetch(source, now);
    pthread_mutex_unlock(&source->lock);
    if (begin) {
        run_fetch(source);
    }
    return begin;
}

static void describe(struct key_source *source, struct key_source_info *ret_info)
{
    int64_t now = now_ms(source->store);

    pthread_mutex_lock(&source->lock);
    *ret_info = (struct key_source_info){
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

void key_store_each(struct key_store *store,
                    void (*each)(void *ctx, struct key_source *source,
                                 const struct key_source_info *info),
                    void *ctx)
{
    size_t n = 0;
    struct key_source **list = list_sources(store, &n);

    for (size_t i = 0; i < n; i++) {
        struct key_source_info info;
        describe(list[i], &info);
        each(ctx, list[i], &info);
        cw_jwks_unref(info.set);
    }
    free_sources(list, n);
}
