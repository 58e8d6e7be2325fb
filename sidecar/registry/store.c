/* The registry as its readers see it: snapshots, the generation, what ends with time. */
#include "sidecar/registry/store.h"

#include <stdlib.h>
#include <string.h>

#include "sidecar/registry/store_internal.h"

enum {
    INSTANCES_DEFAULT = 4096,
    APPS_DEFAULT = 1024,
    BYTES_DEFAULT = 8 << 20,
    PER_OWNER_DEFAULT = 1024,
    GRACE_DEFAULT_MS = 10000,
    PROVISIONAL_DEFAULT_MS = 30000,
    RETENTION_DEFAULT_MS = 180000,
    TICK_MAX_MS = 60000,
};

int64_t store_now_ms(const struct registry_store *store)
{
    return cw_clock_monotonic_ms(store->clock);
}

enum cw_err registry_store_new(const struct registry_limits *limits, const struct cw_clock *clock,
                               struct registry_rules *rules, struct registry_store **ret_store)
{
    struct registry_store *store = calloc(1, sizeof(*store));
    ENSURE(store != NULL, CW_NO_MEMORY);
    if (pthread_mutex_init(&store->lock, NULL) != 0) {
        free(store);
        return CW_NO_MEMORY;
    }
    struct registry_limits *l = &store->limits;
    *l = *limits;
    l->instances = l->instances != 0 ? l->instances : INSTANCES_DEFAULT;
    l->apps = l->apps != 0 ? l->apps : APPS_DEFAULT;
    l->bytes = l->bytes != 0 ? l->bytes : BYTES_DEFAULT;
    l->per_owner = l->per_owner != 0 ? l->per_owner : PER_OWNER_DEFAULT;
    l->grace_ms = l->grace_ms != 0 ? l->grace_ms : GRACE_DEFAULT_MS;
    l->provisional_ms = l->provisional_ms != 0 ? l->provisional_ms : PROVISIONAL_DEFAULT_MS;
    l->retention_ms = l->retention_ms != 0 ? l->retention_ms : RETENTION_DEFAULT_MS;
    store->clock = clock;
    store->rules = registry_rules_ref(rules);
    /* the wall clock, so that generations also rise over a restart */
    store->generation = (uint64_t)cw_clock_wall_ms(clock);
    store->first_change = store->next_change = 1;
    store->first_deadline_ms = STORE_NEVER;
    store->provisional = l->provisional_ms > 0;
    store->provisional_until_ms = store_now_ms(store) + l->provisional_ms;
    *ret_store = store;
    return CW_OK;
}

void registry_store_free(struct registry_store *store)
{
    if (store == NULL) {
        return;
    }
    for (size_t a = 0; a < store->n; a++) {
        for (size_t i = 0; i < store->apps[a].n; i++) {
            registry_instance_unref(store->apps[a].entries[i].instance);
        }
        free(store->apps[a].entries);
        registry_app_unref(store->apps[a].copy);
    }
    free(store->apps);
    for (size_t i = 0; i < STORE_CHANGES_MAX; i++) {
        registry_instance_unref(store->changes[i].instance);
    }
    registry_snapshot_unref(store->snapshot);
    registry_rules_unref(store->rules);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

void registry_store_on_change(struct registry_store *store, void (*changed)(void *ctx), void *ctx)
{
    store->changed = changed;
    store->changed_ctx = ctx;
}

void store_lock(struct registry_store *store, uint64_t *ret_generation)
{
    pthread_mutex_lock(&store->lock);
    *ret_generation = store->generation;
}

void store_unlock(struct registry_store *store, uint64_t generation)
{
    bool moved = store->generation != generation;
    pthread_mutex_unlock(&store->lock);
    if (moved && store->changed != NULL) {
        store->changed(store->changed_ctx);
    }
}

void registry_store_set_rules(struct registry_store *store, struct registry_rules *rules)
{
    uint64_t generation;
    store_lock(store, &generation);
    registry_rules_ref(rules);
    registry_rules_unref(store->rules);
    store->rules = rules;
    for (size_t a = 0; a < store->n; a++) {
        struct store_app *app = &store->apps[a];
        for (size_t i = 0; i < app->n; i++) {
            struct store_entry *entry = &app->entries[i];
            enum registry_reach reach = registry_rules_reach(rules, entry->instance);
            if (reach != entry->reach) {
                entry->reach = reach;
                store_touch(store, app);
            }
        }
    }
    store_unlock(store, generation);
}

static void provisional_end(struct registry_store *store)
{
    store->provisional = false;
    store->generation++;
    registry_snapshot_unref(store->snapshot);
    store->snapshot = NULL;
    for (size_t a = store->n; a-- > 0;) {
        for (size_t i = store->apps[a].n; i-- > 0;) {
            struct store_app *app = &store->apps[a];
            if (app->entries[i].state == ENTRY_GONE) {
                store_entry_remove(store, app, &app->entries[i]);
            }
        }
    }
}

/* Ends what is due, and finds the next deadline. */
static void entries_expire(struct registry_store *store, int64_t now)
{
    int64_t next = STORE_NEVER;
    for (size_t a = store->n; a-- > 0;) {
        for (size_t i = store->apps[a].n; i-- > 0;) {
            struct store_entry *entry = &store->apps[a].entries[i];
            if (entry->state != ENTRY_TIMED) {
                continue;
            }
            if (entry->deadline_ms <= now) {
                store_entry_end(store, entry);
            } else {
                next = CW_MIN(next, entry->deadline_ms);
            }
        }
    }
    store->first_deadline_ms = next;
}

int64_t registry_store_tick(struct registry_store *store)
{
    uint64_t generation;
    store_lock(store, &generation);
    int64_t now = store_now_ms(store);
    if (store->first_deadline_ms <= now) {
        entries_expire(store, now);
    }
    int64_t next = CW_MIN(now + TICK_MAX_MS, store->first_deadline_ms);
    if (store->provisional && !store->held && store->provisional_until_ms <= now) {
        provisional_end(store);
    }
    if (store->provisional && !store->held) {
        next = CW_MIN(next, store->provisional_until_ms);
    }
    store_changes_expire(store);
    store_unlock(store, generation);
    return next - now;
}

void registry_store_hold(struct registry_store *store, bool held)
{
    pthread_mutex_lock(&store->lock);
    store->held = held && store->provisional;
    pthread_mutex_unlock(&store->lock);
}

uint64_t registry_store_generation(struct registry_store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t generation = store->generation;
    pthread_mutex_unlock(&store->lock);
    return generation;
}

/* NULL without memory. */
static struct registry_app *app_copy(const struct store_app *from)
{
    struct registry_app *to = calloc(1, sizeof(*to));
    struct registry_item *items = calloc(from->n + 1, sizeof(*items));
    if (to == NULL || items == NULL) {
        free(to);
        free(items);
        return NULL;
    }
    for (size_t i = 0; i < from->n; i++) {
        const struct store_entry *entry = &from->entries[i];
        items[i] = (struct registry_item){
            .instance = registry_instance_ref(entry->instance),
            .reach = entry->reach,
            .action = entry->action,
            .override =
                registry_instance_is_own(entry->instance) ? entry->override : CW_EUREKA_UNKNOWN,
            .gone = entry->state == ENTRY_GONE,
        };
    }
    atomic_init(&to->refs, 1);
    to->items = items;
    to->n = from->n;
    to->name = items[0].instance->eureka.app;
    to->generation = from->generation;
    return to;
}

/* Costs what changed: applications that did not are those of the last snapshot. */
static struct registry_snapshot *snapshot_make(struct registry_store *store)
{
    struct registry_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL) {
        return NULL;
    }
    atomic_init(&snapshot->refs, 1);
    snapshot->generation = store->generation;
    memcpy(snapshot->changed, store->part_changed, sizeof(snapshot->changed));
    snapshot->provisional = store->provisional;
    snapshot->apps = calloc(store->n + 1, sizeof(struct registry_app *));
    for (size_t a = 0; snapshot->apps != NULL && a < store->n; a++) {
        struct store_app *app = &store->apps[a];
        app->copy = app->copy != NULL ? app->copy : app_copy(app);
        if (app->copy == NULL) {
            break;
        }
        snapshot->apps[snapshot->n++] = registry_app_ref(app->copy);
    }
    if (snapshot->apps == NULL || snapshot->n != store->n) {
        registry_snapshot_unref(snapshot);
        return NULL;
    }
    return snapshot;
}

struct registry_snapshot *registry_store_snapshot(struct registry_store *store)
{
    pthread_mutex_lock(&store->lock);
    if (store->snapshot == NULL) {
        store->snapshot = snapshot_make(store);
    }
    struct registry_snapshot *snapshot =
        store->snapshot != NULL ? registry_snapshot_ref(store->snapshot) : NULL;
    pthread_mutex_unlock(&store->lock);
    return snapshot;
}

void registry_store_stats(struct registry_store *store, struct registry_store_stats *ret_stats)
{
    struct registry_store_stats stats = {0};
    pthread_mutex_lock(&store->lock);
    stats.refused = store->refused;
    stats.provisional = store->provisional;
    for (size_t a = 0; a < store->n; a++) {
        size_t live = 0;
        for (size_t i = 0; i < store->apps[a].n; i++) {
            const struct store_entry *entry = &store->apps[a].entries[i];
            live += entry->state != ENTRY_GONE;
            stats.unreachable += entry->state != ENTRY_GONE && entry->reach != REGISTRY_REACHABLE;
        }
        stats.instances += live;
        stats.apps += live > 0;
    }
    pthread_mutex_unlock(&store->lock);
    *ret_stats = stats;
}
