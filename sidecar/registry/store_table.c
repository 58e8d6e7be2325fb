/* The table under the store: applications by name, instances by id in sorted arrays, and the ring
 * of recent changes. */
#include <stdlib.h>
#include <string.h>

#include "sidecar/registry/store_internal.h"

/* Position of the name, or where it belongs. */
static size_t app_position(const struct registry_store *store, const char *name, bool *ret_found)
{
    size_t low = 0, high = store->n;
    *ret_found = false;
    while (low < high && !*ret_found) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, store->apps[middle].name);
        *ret_found = order == 0;
        if (order == 0) {
            low = middle;
        } else if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static size_t entry_position(const struct store_app *app, const char *id, bool *ret_found)
{
    size_t low = 0, high = app->n;
    *ret_found = false;
    while (low < high && !*ret_found) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(id, app->entries[middle].instance->id);
        *ret_found = order == 0;
        if (order == 0) {
            low = middle;
        } else if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

struct store_app *store_find_app(struct registry_store *store, const char *name)
{
    bool found;
    size_t at = app_position(store, name, &found);
    return found ? &store->apps[at] : NULL;
}

struct store_entry *store_find(struct registry_store *store, const char *app, const char *id)
{
    struct store_app *a = store_find_app(store, app);
    bool found = false;
    size_t at = a != NULL ? entry_position(a, id, &found) : 0;
    return found ? &a->entries[at] : NULL;
}

struct store_entry *store_find_live(struct registry_store *store, const char *app, const char *id)
{
    struct store_entry *entry = store_find(store, app, id);
    return entry != NULL && entry->state != ENTRY_GONE ? entry : NULL;
}

/* One more element at `at` of an array that grows by doubling. */
static void *array_insert(void *array, size_t *n, size_t *cap, size_t size, size_t at)
{
    if (*n == *cap) {
        size_t grown = *cap == 0 ? 4 : *cap * 2;
        void *moved = reallocarray(array, grown, size);
        if (moved == NULL) {
            return NULL;
        }
        array = moved;
        *cap = grown;
    }
    char *slot = (char *)array + at * size;
    memmove(slot + size, slot, (*n - at) * size);
    memset(slot, 0, size);
    (*n)++;
    return array;
}

static enum cw_err app_make(struct registry_store *store, const char *name,
                            struct store_app **ret_app)
{
    bool found;
    size_t at = app_position(store, name, &found);
    if (!found) {
        ENSURE(store->n < store->limits.apps, CW_REGISTRY_FULL);
        struct store_app *apps =
            array_insert(store->apps, &store->n, &store->cap, sizeof(*apps), at);
        ENSURE(apps != NULL, CW_NO_MEMORY);
        store->apps = apps;
        memcpy(apps[at].name, name, strlen(name) + 1);
    }
    *ret_app = &store->apps[at];
    return CW_OK;
}

static void app_drop_if_empty(struct registry_store *store, struct store_app *app)
{
    if (app->n == 0) {
        size_t at = (size_t)(app - store->apps);
        free(app->entries);
        memmove(app, app + 1, (store->n - at - 1) * sizeof(*app));
        store->n--;
    }
}

void store_touch(struct registry_store *store, struct store_app *app)
{
    app->generation = ++store->generation;
    registry_app_unref(app->copy);
    app->copy = NULL;
    registry_snapshot_unref(store->snapshot);
    store->snapshot = NULL;
}

void store_part_touch(struct registry_store *store, const struct registry_instance *instance)
{
    store->part_changed[registry_part_of(instance)] = store->generation;
}

static void change_forget(struct registry_store *store, uint64_t number)
{
    struct registry_change *change = &store->changes[number % STORE_CHANGES_MAX];
    if (change->instance != NULL) {
        store->change_bytes -= change->instance->size;
        registry_instance_unref(change->instance);
        change->instance = NULL;
    }
}

/* The ring is full: the oldest is lost, the reconcile hash tells the reader to fetch all. */
static void change_add(struct registry_store *store, struct store_entry *entry,
                       enum cw_eureka_action action)
{
    if (entry->change >= store->first_change) {
        change_forget(store, entry->change);
    }
    store->change_bytes += entry->instance->size;
    while (store->first_change < store->next_change &&
           (store->next_change - store->first_change == STORE_CHANGES_MAX ||
            store->change_bytes > store->limits.bytes)) {
        change_forget(store, store->first_change++);
    }
    store->changes[store->next_change % STORE_CHANGES_MAX] = (struct registry_change){
        .instance = registry_instance_ref(entry->instance),
        .action = action,
        .at_ms = store_now_ms(store),
    };
    entry->change = store->next_change++;
}

void store_changes_expire(struct registry_store *store)
{
    int64_t oldest = store_now_ms(store) - store->limits.retention_ms;
    while (store->first_change < store->next_change &&
           store->changes[store->first_change % STORE_CHANGES_MAX].at_ms < oldest) {
        change_forget(store, store->first_change++);
    }
}

enum cw_err registry_store_changes(struct registry_store *store,
                                   struct registry_changes *ret_changes)
{
    struct registry_changes list = {0};
    pthread_mutex_lock(&store->lock);
    store_changes_expire(store);
    list.p = calloc(store->next_change - store->first_change + 1, sizeof(*list.p));
    for (uint64_t i = store->first_change; list.p != NULL && i < store->next_change; i++) {
        struct registry_change *change = &store->changes[i % STORE_CHANGES_MAX];
        if (change->instance != NULL) {
            registry_instance_ref(change->instance);
            list.p[list.n++] = *change;
        }
    }
    pthread_mutex_unlock(&store->lock);
    ENSURE(list.p != NULL, CW_NO_MEMORY);
    *ret_changes = list;
    return CW_OK;
}

void registry_changes_done(struct registry_changes *changes)
{
    for (size_t i = 0; i < changes->n; i++) {
        registry_instance_unref(changes->p[i].instance);
    }
    free(changes->p);
    *changes = (struct registry_changes){0};
}

enum cw_err store_room(const struct registry_store *store, const struct store_entry *entry,
                       const struct registry_instance *instance)
{
    size_t held = entry != NULL && entry->instance != NULL ? entry->instance->size : 0;
    return store->bytes - held + instance->size <= store->limits.bytes ? CW_OK : CW_REGISTRY_FULL;
}

enum cw_err store_entry_make(struct registry_store *store, const struct registry_instance *instance,
                             struct store_entry **ret_entry)
{
    const char *app_name = instance->eureka.app, *id = instance->id;
    struct store_entry *existing = store_find(store, app_name, id);
    TRY(store_room(store, existing, instance));
    if (existing == NULL) {
        ENSURE(store->instances < store->limits.instances, CW_REGISTRY_FULL);
        struct store_app *app;
        TRY(app_make(store, app_name, &app));
        bool found;
        size_t at = entry_position(app, id, &found);
        struct store_entry *entries =
            array_insert(app->entries, &app->n, &app->cap, sizeof(*entries), at);
        if (entries == NULL) {
            app_drop_if_empty(store, app);
            return CW_NO_MEMORY;
        }
        app->entries = entries;
        existing = &entries[at];
        store->instances++;
    }
    *ret_entry = existing;
    return CW_OK;
}

void store_entry_set(struct registry_store *store, struct store_entry *entry,
                     struct registry_instance *instance, enum cw_eureka_action action)
{
    struct registry_instance *old = entry->instance;
    store->bytes += instance->size - (old != NULL ? old->size : 0);
    entry->instance = instance;
    entry->action = action;
    entry->reach = registry_rules_reach(store->rules, instance);
    store_touch(store, store_find_app(store, instance->eureka.app));
    store_part_touch(store, instance);
    if (old != NULL) {
        store_part_touch(store, old);
        registry_instance_unref(old);
    }
    change_add(store, entry, action);
}

void store_entry_remove(struct registry_store *store, struct store_app *app,
                        struct store_entry *entry)
{
    size_t at = (size_t)(entry - app->entries);
    struct registry_instance *old = entry->instance;
    store->bytes -= old->size;
    memmove(entry, entry + 1, (app->n - at - 1) * sizeof(*entry));
    app->n--;
    store->instances--;
    store_touch(store, app);
    store_part_touch(store, old);
    registry_instance_unref(old);
    app_drop_if_empty(store, app);
}

void store_entry_until(struct registry_store *store, struct store_entry *entry, int64_t ms)
{
    entry->state = ENTRY_TIMED;
    entry->deadline_ms = ms;
    store->first_deadline_ms = CW_MIN(store->first_deadline_ms, ms);
}

void store_entry_end(struct registry_store *store, struct store_entry *entry)
{
    struct store_app *app = store_find_app(store, entry->instance->eureka.app);
    change_add(store, entry, CW_EUREKA_DELETED);
    if (!store->provisional) {
        store_entry_remove(store, app, entry);
        return;
    }
    entry->state = ENTRY_GONE;
    entry->lease = 0;
    entry->change = 0;
    entry->override = CW_EUREKA_UNKNOWN;
    entry->deadline_ms = STORE_NEVER;
    store_touch(store, app);
    store_part_touch(store, entry->instance);
}

size_t store_count(const struct registry_store *store, enum registry_source source, uid_t owner)
{
    size_t count = 0;
    for (size_t a = 0; a < store->n; a++) {
        for (size_t i = 0; i < store->apps[a].n; i++) {
            const struct store_entry *entry = &store->apps[a].entries[i];
            count += entry->instance->source == source && entry->state != ENTRY_GONE &&
                     (source != REGISTRY_LOCAL || entry->owner == owner);
        }
    }
    return count;
}
