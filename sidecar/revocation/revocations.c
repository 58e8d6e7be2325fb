/* A chained hash table behind a read-write lock; the feed is the only writer. */
#include "sidecar/revocation/revocations.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct entry *next;
    uint64_t hash;
    int64_t issued_until;
    int64_t expires_at;
    enum revocation_kind kind;
    size_t issuer_n;
    size_t value_n;
    char text[]; /* issuer, value */
};

struct table {
    struct entry **buckets;
    size_t mask;
    size_t n;
};

struct revocations {
    int64_t max_stale_ms;
    _Atomic int64_t heard_ms;
    atomic_size_t count; /* of the table, readable without the lock */
    pthread_rwlock_t lock;
    struct table table;
    struct table issuers; /* of the feed, as entries of kind ISSUER */
    int64_t cleaned_s;    /* when expired ones were dropped last; the feed's thread */
};

enum { ISSUER = REVOCATION_KINDS, CLEAN_EVERY_S = 60 };

static uint64_t hash_of(enum revocation_kind kind, struct cw_str issuer, struct cw_str value)
{
    uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)kind; /* FNV-1a */
    const struct cw_str parts[] = {issuer, CW_STR("\0"), value};

    for (size_t i = 0; i < CW_ARRAY_SIZE(parts); i++) {
        for (size_t k = 0; k < parts[i].n; k++) {
            hash = (hash ^ (unsigned char)parts[i].p[k]) * 0x100000001b3u;
        }
    }
    return hash ^ hash >> 32;
}

/* ---- the table ---- */

static bool table_init(struct table *table, size_t n)
{
    size_t size = 64;

    while (size < 2 * n) {
        size *= 2;
    }
    *table = (struct table){calloc(size, sizeof(struct entry *)), size - 1, 0};
    return table->buckets != NULL;
}

static void table_done(struct table *table)
{
    for (size_t i = 0; table->buckets && i <= table->mask; i++) {
        for (struct entry *e = table->buckets[i]; e;) {
            struct entry *next = e->next;
            free(e);
            e = next;
        }
    }
    free((void *)table->buckets);
    *table = (struct table){0};
}

/* The first one from `e` on that names this; a subject that was revoked twice has two. */
static struct entry *entry_from(struct entry *e, uint64_t hash, enum revocation_kind kind,
                                struct cw_str issuer, struct cw_str value)
{
    while (e && !(e->hash == hash && e->kind == kind &&
                  cw_str_eq((struct cw_str){e->text, e->issuer_n}, issuer) &&
                  cw_str_eq((struct cw_str){e->text + e->issuer_n, e->value_n}, value))) {
        e = e->next;
    }
    return e;
}

static struct entry *table_find(const struct table *table, enum revocation_kind kind,
                                struct cw_str issuer, struct cw_str value)
{
    uint64_t hash = hash_of(kind, issuer, value);

    return entry_from(table->buckets[hash & table->mask], hash, kind, issuer, value);
}

/* Whether one of those that name this counts for what was issued at that time. Each has its own
 * bounds, so all are asked, whatever their order. */
static bool table_revokes(const struct table *table, enum revocation_kind kind,
                          struct cw_str issuer, struct cw_str value, int64_t issued_at)
{
    const struct entry *e = table_find(table, kind, issuer, value);

    while (e && e->issued_until != 0 && issued_at > e->issued_until) {
        e = entry_from(e->next, e->hash, kind, issuer, value);
    }
    return e != NULL;
}

/* Whether what `e` says is said by `r`, too. */
static bool includes(const struct revocation *r, const struct entry *e)
{
    bool until =
        r->issued_until == 0 || (e->issued_until != 0 && r->issued_until >= e->issued_until);

    return until && r->expires_at >= e->expires_at;
}

static bool table_add(struct table *table, const struct revocation *r)
{
    struct entry *e = table_find(table, r->kind, r->issuer, r->value);

    if (e && includes(r, e)) { /* the same subject again: one entry, however often */
        e->issued_until = r->issued_until;
        e->expires_at = r->expires_at;
        return true;
    }
    e = malloc(sizeof(*e) + r->issuer.n + r->value.n);
    if (!e) {
        return false;
    }
    *e = (struct entry){
        .hash = hash_of(r->kind, r->issuer, r->value),
        .issued_until = r->issued_until,
        .expires_at = r->expires_at,
        .kind = r->kind,
        .issuer_n = r->issuer.n,
        .value_n = r->value.n,
    };
    if (r->issuer.n > 0) {
        memcpy(e->text, r->issuer.p, r->issuer.n);
    }
    if (r->value.n > 0) { /* an empty one has no bytes to point to */
        memcpy(e->text + r->issuer.n, r->value.p, r->value.n);
    }
    e->next = table->buckets[e->hash & table->mask];
    table->buckets[e->hash & table->mask] = e;
    table->n++;
    return true;
}

static struct revocation view_of(const struct entry *e)
{
    return (struct revocation){
        .kind = e->kind,
        .issuer = {e->text, e->issuer_n},
        .value = {e->text + e->issuer_n, e->value_n},
        .issued_until = e->issued_until,
        .expires_at = e->expires_at,
    };
}

/* The living entries of `from`; false without memory. */
static bool table_copy(struct table *to, const struct table *from, int64_t wall_s)
{
    for (size_t i = 0; i <= from->mask; i++) {
        for (const struct entry *e = from->buckets[i]; e; e = e->next) {
            struct revocation r = view_of(e);
            if (r.expires_at > wall_s && !table_add(to, &r)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- the set ---- */

struct revocations *revocations_new(int64_t max_stale_ms, int64_t mono_ms)
{
    struct revocations *r = calloc(1, sizeof(*r));

    if (r) {
        pthread_rwlock_init(&r->lock, NULL);
    }
    if (!r || !table_init(&r->table, 0) || !table_init(&r->issuers, 0)) {
        revocations_free(r);
        return NULL;
    }
    r->max_stale_ms = max_stale_ms;
    atomic_init(&r->heard_ms, mono_ms);
    return r;
}

void revocations_free(struct revocations *r)
{
    if (r) {
        table_done(&r->table);
        table_done(&r->issuers);
        pthread_rwlock_destroy(&r->lock);
        free(r);
    }
}

/* Puts a whole table in place. */
static void swap(struct revocations *r, struct table *next)
{
    pthread_rwlock_wrlock(&r->lock);
    struct table old = r->table;
    r->table = *next;
    atomic_store(&r->count, next->n);
    pthread_rwlock_unlock(&r->lock);
    table_done(&old);
}

/* A new table of what lives of the old one (or, for a snapshot, nothing) and the list. Only the
 * feed writes, so it may read the old one without the lock. */
static enum cw_err rebuild(struct revocations *r, bool snapshot, const struct revocation *list,
                           size_t n, int64_t wall_s)
{
    struct table next;

    ENSURE(table_init(&next, n + (snapshot ? 0 : r->table.n)), CW_NO_MEMORY);
    bool ok = snapshot || table_copy(&next, &r->table, wall_s);
    for (size_t i = 0; ok && i < n; i++) {
        ok = list[i].expires_at <= wall_s || table_add(&next, &list[i]);
    }
    if (ok && next.n > REVOCATIONS_MAX) {
        table_done(&next);
        return CW_TOO_MANY_REQUESTS;
    }
    if (!ok) {
        table_done(&next);
        return CW_NO_MEMORY;
    }
    swap(r, &next);
    r->cleaned_s = wall_s;
    return CW_OK;
}

static enum cw_err add_in_place(struct revocations *r, const struct revocation *list, size_t n)
{
    bool ok = true;

    pthread_rwlock_wrlock(&r->lock);
    for (size_t i = 0; ok && i < n; i++) {
        ok = table_add(&r->table, &list[i]);
    }
    atomic_store(&r->count, r->table.n);
    pthread_rwlock_unlock(&r->lock);
    return ok ? CW_OK : CW_NO_MEMORY;
}

static enum cw_err name_issuers(struct revocations *r, const struct cw_str *issuers, size_t n)
{
    struct table next;
    bool ok = table_init(&next, n);

    for (size_t i = 0; ok && i < n; i++) {
        const struct revocation entry = {.kind = (enum revocation_kind)ISSUER,
                                         .issuer = issuers[i]};
        ok = table_add(&next, &entry);
    }
    if (!ok) {
        table_done(&next);
        return CW_NO_MEMORY;
    }
    pthread_rwlock_wrlock(&r->lock);
    struct table old = r->issuers;
    r->issuers = next;
    pthread_rwlock_unlock(&r->lock);
    table_done(&old);
    return CW_OK;
}

enum cw_err revocations_apply(struct revocations *r, bool snapshot, const struct revocation *list,
                              size_t n, const struct cw_str *issuers, size_t n_issuers,
                              int64_t wall_s)
{
    bool crowded = r->table.n + n > r->table.mask || r->table.n + n > REVOCATIONS_MAX;
    bool clean = r->table.n > 0 && wall_s - r->cleaned_s >= CLEAN_EVERY_S;

    if (n_issuers > 0) {
        TRY(name_issuers(r, issuers, n_issuers));
    }
    if (snapshot || crowded || clean) {
        return rebuild(r, snapshot, list, n, wall_s);
    }
    return n > 0 ? add_in_place(r, list, n) : CW_OK;
}

void revocations_heard(struct revocations *r, int64_t mono_ms)
{
    atomic_store_explicit(&r->heard_ms, mono_ms, memory_order_relaxed);
}

int64_t revocations_age_ms(const struct revocations *r, int64_t mono_ms)
{
    return CW_MAX(mono_ms - atomic_load_explicit(&r->heard_ms, memory_order_relaxed), 0);
}

bool revocations_idle(const struct revocations *r, int64_t mono_ms)
{
    return atomic_load_explicit(&r->count, memory_order_acquire) == 0 &&
           revocations_age_ms(r, mono_ms) <= r->max_stale_ms;
}

enum cw_err revocations_check(struct revocations *r, const struct revocation_subject *subject,
                              int64_t mono_ms)
{
    bool revoked = false;
    bool stale = revocations_age_ms(r, mono_ms) > r->max_stale_ms;
    bool fed = subject->learned;

    pthread_rwlock_rdlock(&r->lock);
    for (size_t kind = 0; kind < REVOCATION_KINDS && !revoked; kind++) {
        if (subject->values[kind].n > 0) {
            revoked = table_revokes(&r->table, (enum revocation_kind)kind, subject->issuer,
                                    subject->values[kind], subject->issued_at);
        }
    }
    if (stale && !fed) {
        fed = table_find(&r->issuers, (enum revocation_kind)ISSUER, subject->issuer, CW_STR("")) !=
              NULL;
    }
    pthread_rwlock_unlock(&r->lock);
    ENSURE(!revoked, CW_TOKEN_REVOKED); /* what is known counts, however old */
    return stale && fed ? CW_FEED_STALE : CW_OK;
}

size_t revocations_count(const struct revocations *r)
{
    return atomic_load(&r->count);
}

void revocations_each(struct revocations *r,
                      void (*each)(void *ctx, const struct revocation *revocation),
                      void (*issuer)(void *ctx, struct cw_str issuer), void *ctx)
{
    pthread_rwlock_rdlock(&r->lock);
    for (size_t i = 0; i <= r->table.mask; i++) {
        for (const struct entry *e = r->table.buckets[i]; e; e = e->next) {
            struct revocation view = view_of(e);
            each(ctx, &view);
        }
    }
    for (size_t i = 0; i <= r->issuers.mask; i++) {
        for (const struct entry *e = r->issuers.buckets[i]; e; e = e->next) {
            issuer(ctx, view_of(e).issuer);
        }
    }
    pthread_rwlock_unlock(&r->lock);
}
