/* authsvc's feed: snapshots, also in pieces, and increments. Each learned tenant is kept with the
 * message that it came in, of which the file for the next start is made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/tenants/learned.h"
#include "sidecar/tenants/tenants_impl.h"

typedef Clinicwave__Identity__V1__WatchResponse response_message;
typedef Clinicwave__Identity__V1__Tenant tenant_message;

enum {
    SPEC_ARENA = 64 * 1024 * 1024,
    KEEP_EVERY_MS = 2000,       /* between two writings of the file, which may be large */
    FIELD_TENANTS = 4 << 3 | 2, /* WatchResponse.tenants, length-delimited */
};

/* ---- entries ---- */

static void entry_done(struct tenants_entry *entry)
{
    tenant_unref(entry->tenant);
    free(entry->name);
    free(entry->packed);
}

void tenants_learned_done(struct tenants_learned *learned)
{
    for (size_t i = 0; i < learned->n; i++) {
        entry_done(&learned->entries[i]);
    }
    free(learned->entries);
    *learned = (struct tenants_learned){0};
}

/* Where the name is or belongs. */
static size_t position(const struct tenants_learned *learned, const char *name)
{
    size_t low = 0;
    size_t high = learned->n;

    /* Snapshots come in the order of names: mostly it is behind the last one. */
    if (high > 0 && strcmp(learned->entries[high - 1].name, name) < 0) {
        return high;
    }
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(learned->entries[mid].name, name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct tenants_entry *entry_find(const struct tenants_learned *learned, const char *name)
{
    size_t at = position(learned, name);

    return at < learned->n && strcmp(learned->entries[at].name, name) == 0 ? &learned->entries[at]
                                                                           : NULL;
}

/* Takes what is in the entry; replaces the one of its name. */
static enum cw_err entry_put(struct tenants_learned *learned, struct tenants_entry *entry)
{
    struct tenants_entry *found = entry_find(learned, entry->name);

    if (found) {
        entry_done(found);
        *found = *entry;
        return CW_OK;
    }
    if (learned->n == learned->cap) {
        size_t cap = learned->cap ? 2 * learned->cap : 16;
        struct tenants_entry *entries = reallocarray(learned->entries, cap, sizeof(*entries));
        if (!entries) {
            entry_done(entry);
            return CW_NO_MEMORY;
        }
        learned->entries = entries;
        learned->cap = cap;
    }
    size_t at = position(learned, entry->name);
    memmove(&learned->entries[at + 1], &learned->entries[at], (learned->n - at) * sizeof(*entry));
    learned->entries[at] = *entry;
    learned->n++;
    return CW_OK;
}

static void entry_remove(struct tenants_learned *learned, const char *name)
{
    struct tenants_entry *found = entry_find(learned, name);

    if (found) {
        size_t at = (size_t)(found - learned->entries);
        entry_done(found);
        learned->n--;
        memmove(found, found + 1, (learned->n - at) * sizeof(*found));
    }
}

/* ---- one tenant ---- */

static void publish_inline(const struct tenant *tenant, const struct tenant_spec *spec,
                           int64_t age_ms, struct cw_buf *problems)
{
    for (size_t i = 0; i < spec->n_issuers; i++) {
        char why[CW_JWK_WHY_SIZE] = "";
        if (spec->issuers[i].jwks.n &&
            cw_key_source_publish(tenant->issuers[i].keys, spec->issuers[i].jwks, age_ms, why) !=
                CW_OK) {
            cw_buf_addf(problems, "%.*s: keys of %.*s: %s\n", CW_STR_ARG(spec->name),
                        CW_STR_ARG(spec->issuers[i].issuer), why);
        }
    }
}

static enum cw_err make(struct tenants *tenants, const tenant_message *message,
                        struct cw_arena *arena, int64_t age_ms, struct cw_buf *problems,
                        struct tenant **ret)
{
    struct tenants_entry *old = entry_find(&tenants->learned, message->name);
    struct tenant_spec spec;
    char where[TENANT_NAME_MAX + 32];
    struct cw_str name = cw_str(message->name);

    snprintf(where, sizeof(where), "learned tenant \"%.*s\"", (int)CW_MIN(name.n, TENANT_NAME_MAX),
             name.p);
    enum cw_err err = learned_spec(message, arena, problems, &spec);
    err = err == CW_NO_MEMORY && arena->full ? CW_CONFIG_INVALID : err;
    if (err == CW_OK) {
        ENSURE(tenant_spec_check(&spec, where, problems), CW_CONFIG_INVALID);
        err = tenants_obtain(tenants, old ? old->tenant : NULL, &spec, ret);
    }
    if (err == CW_OK) {
        publish_inline(*ret, &spec, age_ms, problems);
    } else if (err != CW_NO_MEMORY) { /* of what passes the check, only the size is left */
        cw_buf_addf(problems, "%s: too large\n", where);
    }
    return err;
}

/* A tenant that cannot be used is remembered without one: a newer version of this program reads it
 * from the file. So is one that the configuration has, too: nobody would see it, and it would go on
 * fetching keys, in vain where only the configuration knows how (a CA of its own). */
static enum cw_err learn_one(struct tenants *tenants, struct tenants_learned *into,
                             const tenant_message *message, struct cw_arena *arena, int64_t age_ms,
                             struct cw_buf *problems)
{
    size_t n = clinicwave__identity__v1__tenant__get_packed_size(message);
    struct tenants_entry entry = {.name = strdup(message->name), .packed = malloc(n + 1), .n = n};

    if (!entry.name || !entry.packed) {
        entry_done(&entry);
        return CW_NO_MEMORY;
    }
    clinicwave__identity__v1__tenant__pack(message, (uint8_t *)entry.packed);
    cw_arena_reset(arena);
    enum cw_err err = tenants_is_local(tenants, cw_str(message->name))
                          ? CW_OK
                          : make(tenants, message, arena, age_ms, problems, &entry.tenant);
    if (err == CW_NO_MEMORY) {
        entry_done(&entry);
        return err;
    }
    entry.refused = err != CW_OK;
    return entry_put(into, &entry);
}

static enum cw_err learn_all(struct tenants *tenants, struct tenants_learned *into,
                             const response_message *message, int64_t age_ms,
                             struct cw_buf *problems)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(SPEC_ARENA);

    for (size_t i = 0; i < message->n_tenants; i++) {
        TRY(learn_one(tenants, into, message->tenants[i], &arena, age_ms, problems));
    }
    return CW_OK;
}

/* false without memory. */
static bool make_again(struct tenants *tenants, struct tenants_entry *entry, struct cw_arena *arena,
                       struct cw_buf *problems)
{
    int64_t age_ms = cw_clock_wall_ms(tenants->config.clock) - tenants->said_ms;
    tenant_message *message =
        clinicwave__identity__v1__tenant__unpack(NULL, entry->n, (const uint8_t *)entry->packed);

    cw_arena_reset(arena);
    enum cw_err err =
        message ? make(tenants, message, arena, CW_MAX(age_ms, 0), problems, &entry->tenant)
                : CW_NO_MEMORY;
    clinicwave__identity__v1__tenant__free_unpacked(message, NULL);
    entry->refused = err != CW_OK;
    if (err == CW_NO_MEMORY) {
        cw_buf_addf(problems, "learned tenant \"%s\": no memory\n", entry->name);
    }
    return err != CW_NO_MEMORY;
}

void tenants_learned_revise(struct tenants *tenants, struct cw_buf *problems)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(SPEC_ARENA);
    bool all = true;

    for (size_t i = 0; i < tenants->learned.n; i++) {
        struct tenants_entry *entry = &tenants->learned.entries[i];
        bool local = tenants_is_local(tenants, cw_str(entry->name));
        if (local && entry->tenant) {
            tenant_unref(entry->tenant);
            entry->tenant = NULL;
        } else if (local) {
            entry->refused = false; /* nobody asks for it */
        } else if (!local && !entry->tenant) {
            all = make_again(tenants, entry, &arena, problems) && all;
        }
    }
    tenants->unrevised = !all || tenants->pieces.n > 0; /* those are another configuration's */
}

/* ---- messages; under `build` ---- */

static bool is_at(const struct tenants *tenants, const response_message *message,
                  uint64_t generation)
{
    return tenants->epoch && strcmp(tenants->epoch, message->epoch) == 0 &&
           generation == atomic_load(&tenants->feed_generation);
}

/* The feed says, or said so long ago, what is learned: all of it. */
static void said(struct tenants *tenants, int64_t age_ms)
{
    tenants->said_ms = cw_clock_wall_ms(tenants->config.clock) - age_ms;
}

static void confirm(struct tenants *tenants, int64_t age_ms)
{
    said(tenants, age_ms);
    for (size_t i = 0; i < tenants->learned.n; i++) {
        struct tenant *tenant = tenants->learned.entries[i].tenant;
        for (size_t j = 0; tenant && j < tenant->n_issuers; j++) {
            cw_key_source_confirm(tenant->issuers[j].keys);
        }
    }
}

/* What is learned is whole now. Between its pieces the configuration may have changed. */
static enum cw_err finish(struct tenants *tenants, const response_message *message, int64_t age_ms,
                          struct cw_buf *problems)
{
    said(tenants, age_ms);
    if (tenants->unrevised) {
        tenants_learned_revise(tenants, problems);
    }
    char *epoch = strdup(message->epoch);
    ENSURE(epoch, CW_NO_MEMORY);
    free(tenants->epoch);
    tenants->epoch = epoch;
    atomic_store(&tenants->feed_generation, message->generation);
    tenants->whole = true;
    tenants->unkept = true;
    return tenants_publish(tenants);
}

static enum cw_err take_snapshot(struct tenants *tenants, const response_message *message,
                                 int64_t age_ms, struct cw_buf *problems)
{
    if (message->generation != tenants->pieces_generation) { /* the rest of another will not come */
        tenants_learned_done(&tenants->pieces);
        tenants->pieces_generation = message->generation;
    }
    enum cw_err err = learn_all(tenants, &tenants->pieces, message, age_ms, problems);
    if (err != CW_OK) {
        tenants_learned_done(&tenants->pieces);
        return err;
    }
    if (message->more) {
        return CW_OK;
    }
    tenants_learned_done(&tenants->learned);
    tenants->learned = tenants->pieces;
    tenants->pieces = (struct tenants_learned){0};
    return finish(tenants, message, age_ms, problems);
}

static enum cw_err take_increment(struct tenants *tenants, const response_message *message,
                                  struct cw_buf *problems)
{
    ENSURE(is_at(tenants, message, message->since), CW_CONFLICT);
    enum cw_err err = learn_all(tenants, &tenants->learned, message, 0, problems);
    for (size_t i = 0; i < message->n_removed; i++) {
        entry_remove(&tenants->learned, message->removed[i]);
    }
    return err == CW_OK ? finish(tenants, message, 0, problems) : err;
}

/* A message from the feed (age 0) or from disk. */
static enum cw_err take(struct tenants *tenants, const response_message *message, int64_t age_ms,
                        struct cw_buf *problems)
{
    enum cw_err err;

    if (is_at(tenants, message, message->generation)) {
        confirm(tenants, age_ms);
        return CW_OK;
    }
    if (message->heartbeat) {
        err = CW_CONFLICT;
    } else if (message->since) {
        err = take_increment(tenants, message, problems);
    } else {
        err = take_snapshot(tenants, message, age_ms, problems);
    }
    if (err != CW_OK) {
        /* The database behind the feed is another one, we missed something, or what we have is not
         * whole: ask for all. */
        tenants_learned_done(&tenants->pieces);
        atomic_store(&tenants->feed_generation, 0);
    }
    return err;
}

static enum cw_err unpack_and_take(struct tenants *tenants, struct cw_str packed, int64_t age_ms,
                                   struct cw_buf *problems)
{
    response_message *message =
        clinicwave__identity__v1__watch_response__unpack(NULL, packed.n, (const uint8_t *)packed.p);

    ENSURE(message, CW_REQUEST_MALFORMED);
    pthread_mutex_lock(&tenants->build);
    enum cw_err err = take(tenants, message, age_ms, problems);
    pthread_mutex_unlock(&tenants->build);
    clinicwave__identity__v1__watch_response__free_unpacked(message, NULL);
    return err;
}

enum cw_err tenants_learn(struct tenants *tenants, struct cw_str packed, struct cw_buf *problems)
{
    TRY(unpack_and_take(tenants, packed, 0, problems));
    atomic_store(&tenants->feed_ms, CW_MAX(cw_clock_monotonic_ms(tenants->config.clock), 1));
    return CW_OK;
}

/* ---- the file: one snapshot as it would come ---- */

static enum cw_err pack_all(const struct tenants *tenants, struct cw_buf *out)
{
    response_message head;

    clinicwave__identity__v1__watch_response__init(&head);
    head.generation = atomic_load(&tenants->feed_generation);
    head.epoch = tenants->epoch;
    char *p = cw_buf_extend(out, clinicwave__identity__v1__watch_response__get_packed_size(&head));
    ENSURE(p, CW_NO_MEMORY);
    clinicwave__identity__v1__watch_response__pack(&head, (uint8_t *)p);
    for (size_t i = 0; i < tenants->learned.n; i++) {
        const struct tenants_entry *entry = &tenants->learned.entries[i];
        size_t n = entry->n;
        cw_buf_add_char(out, FIELD_TENANTS);
        for (; n >= 0x80; n >>= 7) {
            cw_buf_add_char(out, (char)(n | 0x80));
        }
        cw_buf_add_char(out, (char)n);
        cw_buf_add(out, entry->packed, entry->n);
    }
    return cw_buf_check(out);
}

void tenants_keep(struct tenants *tenants, bool now, struct cw_buf *problems)
{
    struct cw_buf packed CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(TENANTS_FEED_MAX);
    int64_t at_ms = cw_clock_monotonic_ms(tenants->config.clock);

    pthread_mutex_lock(&tenants->build);
    bool due = now || tenants->kept_ms == 0 || at_ms - tenants->kept_ms >= KEEP_EVERY_MS;
    bool write = tenants->unkept && due && tenants->path[0] && tenants->epoch &&
                 atomic_load(&tenants->feed_generation) > 0;
    enum cw_err err = write ? pack_all(tenants, &packed) : CW_OK;
    if (write) {
        tenants->unkept = false;
        tenants->kept_ms = CW_MAX(at_ms, 1);
    }
    pthread_mutex_unlock(&tenants->build);
    if (write && err == CW_OK) {
        err = cw_key_disk_write(tenants->path, cw_buf_str(&packed),
                                cw_clock_wall_s(tenants->config.clock));
    }
    if (err != CW_OK) {
        cw_buf_addf(problems, "tenants cannot be kept in %s\n", tenants->path);
    }
}

void tenants_load(struct tenants *tenants)
{
    struct cw_buf file CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(TENANTS_FEED_MAX);
    struct cw_buf problems CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(TENANTS_PROBLEMS_MAX);
    struct cw_str packed;
    int64_t at = 0;

    if (cw_key_disk_read(tenants->path, &file, &packed, &at) == CW_OK) {
        int64_t age = cw_clock_wall_ms(tenants->config.clock) - at * 1000;
        (void)unpack_and_take(tenants, packed, CW_MAX(age, 1), &problems);
        tenants->unkept = false;
    }
}

uint64_t tenants_feed_generation(struct tenants *tenants)
{
    return atomic_load(&tenants->feed_generation);
}

bool tenants_feed_heard(const struct tenants *tenants)
{
    return atomic_load(&tenants->heard);
}

size_t tenants_left_out(const struct tenants *tenants)
{
    return atomic_load(&tenants->left_out);
}

int64_t tenants_feed_age_ms(struct tenants *tenants)
{
    int64_t at = atomic_load(&tenants->feed_ms);

    return at ? cw_clock_monotonic_ms(tenants->config.clock) - at : -1;
}
