/* Leases of Register streams, of configuration and of the last run. */
#include <stdlib.h>
#include <string.h>

#include "sidecar/registry/store_internal.h"

static enum cw_err register_check(struct registry_store *store, uid_t uid,
                                  const struct registry_instance *instance,
                                  const struct registry_lease *lease)
{
    const char *app = instance->eureka.app;
    ENSURE(registry_rules_may_register(store->rules, uid, app), CW_PERMISSION_DENIED);
    if (lease->number != 0) {
        ENSURE(strcmp(lease->app, app) == 0 && strcmp(lease->id, instance->id) == 0,
               CW_REQUEST_MALFORMED);
    }
    const struct store_entry *held = store_find_live(store, app, instance->id);
    if (held == NULL) {
        return store_count(store, REGISTRY_LOCAL, uid) < store->limits.per_owner ? CW_OK
                                                                                 : CW_REGISTRY_FULL;
    }
    ENSURE(held->instance->source != REGISTRY_STATIC, CW_CONFLICT);
    if (held->instance->source == REGISTRY_LOCAL && held->lease != lease->number) {
        /* a message of the stream that was overtaken does not take the lease back */
        ENSURE(lease->number == 0, CW_CONFLICT);
        ENSURE(held->state == ENTRY_TIMED || held->owner == uid, CW_CONFLICT);
    }
    return CW_OK;
}

static enum cw_err register_locked(struct registry_store *store, uid_t uid,
                                   struct registry_instance *instance, struct registry_lease *lease)
{
    TRY(register_check(store, uid, instance, lease));
    struct store_entry *entry;
    TRY(store_entry_make(store, instance, &entry));
    bool known = entry->instance != NULL && entry->state != ENTRY_GONE;
    bool same = known && registry_instance_same(entry->instance, instance);
    enum cw_eureka_action action =
        known && lease->number != 0 ? CW_EUREKA_MODIFIED : CW_EUREKA_ADDED;
    entry->state = ENTRY_LIVE;
    entry->owner = uid;
    if (!known || entry->instance->origin != REGISTRY_LOCAL) {
        entry->override = CW_EUREKA_UNKNOWN;
    }
    entry->deadline_ms = STORE_NEVER;
    if (lease->number == 0) {
        entry->lease = lease->number = ++store->next_lease;
        memcpy(lease->app, instance->eureka.app, strlen(instance->eureka.app) + 1);
        memcpy(lease->id, instance->id, strlen(instance->id) + 1);
    }
    if (same) {
        registry_instance_unref(instance);
    } else {
        store_entry_set(store, entry, instance, action);
    }
    return CW_OK;
}

enum cw_err registry_store_register(struct registry_store *store, uid_t uid,
                                    const struct registry_spec *spec, struct registry_lease *lease)
{
    struct registry_spec local = *spec;
    local.source = REGISTRY_LOCAL;
    int64_t wall = cw_clock_wall_ms(store->clock);
    local.eureka.last_updated_ms = local.eureka.last_dirty_ms = wall;
    local.eureka.lease.registration_ms = local.eureka.lease.renewal_ms = wall;
    local.eureka.lease.service_up_ms = local.eureka.status == CW_EUREKA_UP ? wall : 0;
    struct registry_instance *instance;
    TRY(registry_instance_new(&local, &instance));
    uint64_t generation;
    store_lock(store, &generation);
    enum cw_err err = register_locked(store, uid, instance, lease);
    store->refused += err != CW_OK;
    store_unlock(store, generation);
    if (err != CW_OK) {
        registry_instance_unref(instance);
    }
    return err;
}

static struct store_entry *lease_entry(struct registry_store *store,
                                       const struct registry_lease *lease)
{
    struct store_entry *entry =
        lease->number == 0 ? NULL : store_find_live(store, lease->app, lease->id);
    return entry != NULL && entry->lease == lease->number ? entry : NULL;
}

void registry_store_lost(struct registry_store *store, const struct registry_lease *lease)
{
    uint64_t generation;
    store_lock(store, &generation);
    struct store_entry *entry = lease_entry(store, lease);
    if (entry != NULL) {
        store_entry_until(store, entry, store_now_ms(store) + store->limits.grace_ms);
    }
    store_unlock(store, generation);
}

void registry_store_release(struct registry_store *store, const struct registry_lease *lease)
{
    uint64_t generation;
    store_lock(store, &generation);
    struct store_entry *entry = lease_entry(store, lease);
    if (entry != NULL) {
        store_entry_end(store, entry);
    }
    store_unlock(store, generation);
}

static enum cw_err specs_make(const struct registry_spec *specs, size_t n, int64_t wall,
                              struct registry_instance **made)
{
    for (size_t i = 0; i < n; i++) {
        struct registry_spec spec = specs[i];
        spec.source = REGISTRY_STATIC;
        spec.eureka.last_updated_ms = spec.eureka.last_dirty_ms = wall;
        spec.eureka.lease.registration_ms = spec.eureka.lease.renewal_ms = wall;
        TRY(registry_instance_new(&spec, &made[i]));
    }
    return CW_OK;
}

static bool list_has(struct registry_instance *const *list, size_t n,
                     const struct registry_instance *instance)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i]->eureka.app, instance->eureka.app) == 0 &&
            strcmp(list[i]->id, instance->id) == 0) {
            return true;
        }
    }
    return false;
}

/* Static entries that the new list no longer has. */
static void static_drop(struct registry_store *store, struct registry_instance *const *list,
                        size_t n)
{
    for (size_t a = store->n; a-- > 0;) {
        for (size_t i = store->apps[a].n; i-- > 0;) {
            struct store_entry *entry = &store->apps[a].entries[i];
            if (entry->instance->source == REGISTRY_STATIC && entry->state != ENTRY_GONE &&
                !list_has(list, n, entry->instance)) {
                store_entry_end(store, entry);
            }
        }
    }
}

static enum cw_err static_set(struct registry_store *store, struct registry_instance *instance)
{
    struct store_entry *entry;
    TRY(store_entry_make(store, instance, &entry));
    bool known = entry->instance != NULL && entry->state != ENTRY_GONE;
    if (known && instance->check_url != NULL && entry->instance->check_url != NULL) {
        /* nobody else has it yet; what the last check said stands until the next one */
        instance->eureka.status = entry->instance->eureka.status;
    }
    if (known && registry_instance_same(entry->instance, instance)) {
        return CW_OK;
    }
    entry->state = ENTRY_LIVE;
    entry->lease = 0;
    entry->deadline_ms = STORE_NEVER;
    store_entry_set(store, entry, registry_instance_ref(instance), CW_EUREKA_ADDED);
    return CW_OK;
}

enum cw_err registry_store_set_static(struct registry_store *store,
                                      const struct registry_spec *specs, size_t n)
{
    struct registry_instance **made = calloc(n + 1, sizeof(struct registry_instance *));
    ENSURE(made != NULL, CW_NO_MEMORY);
    enum cw_err err = specs_make(specs, n, cw_clock_wall_ms(store->clock), made);
    uint64_t generation;
    store_lock(store, &generation);
    /* room first: a list that does not fit changes nothing */
    if (err == CW_OK &&
        n + store->instances > store->limits.instances + store_count(store, REGISTRY_STATIC, 0)) {
        err = CW_REGISTRY_FULL;
    }
    if (err == CW_OK) {
        static_drop(store, made, n);
        for (size_t i = 0; i < n && err == CW_OK; i++) {
            err = static_set(store, made[i]);
        }
    }
    store_unlock(store, generation);
    for (size_t i = 0; i < n; i++) {
        registry_instance_unref(made[i]);
    }
    free(made);
    return err;
}

static enum cw_err checked_locked(struct registry_store *store, const char *app, const char *id,
                                  enum cw_eureka_status status, bool *ret_changed)
{
    struct store_entry *entry = store_find_live(store, app, id);
    *ret_changed = false;
    if (entry == NULL || entry->instance->check_url == NULL ||
        entry->instance->eureka.status == status) {
        return CW_OK; /* the configuration has changed meanwhile, or nothing has */
    }
    struct registry_spec spec = registry_instance_spec(entry->instance);
    struct registry_instance *instance;
    spec.eureka.status = status;
    spec.eureka.last_updated_ms = spec.eureka.last_dirty_ms = cw_clock_wall_ms(store->clock);
    TRY(registry_instance_new(&spec, &instance));
    store_entry_set(store, entry, instance, CW_EUREKA_MODIFIED);
    *ret_changed = true;
    return CW_OK;
}

enum cw_err registry_store_checked(struct registry_store *store, const char *app, const char *id,
                                   enum cw_eureka_status status, bool *ret_changed)
{
    uint64_t generation;
    store_lock(store, &generation);
    enum cw_err err = checked_locked(store, app, id, status, ret_changed);
    store_unlock(store, generation);
    return err;
}

/* A REST lease keeps its time: its client does not know that we were away. All others have the
 * provisional phase. */
static int64_t restored_deadline(const struct registry_store *store,
                                 const struct registry_instance *instance)
{
    int64_t until = store_now_ms(store) + CW_MAX(store->limits.provisional_ms, 0);
    if (instance->origin == REGISTRY_REST) {
        until =
            CW_MAX(until, store_now_ms(store) + (int64_t)instance->eureka.lease.duration_s * 1000);
    }
    if (instance->origin == REGISTRY_EUREKA && store->limits.eureka) {
        return STORE_NEVER; /* as long as it takes: its servers may be down */
    }
    return until;
}

/* The static instance is as the last run left it, until its check says otherwise. */
static enum cw_err restore_static(struct registry_store *store, struct store_entry *entry,
                                  const struct registry_instance *last)
{
    if (entry == NULL || entry->instance->source != REGISTRY_STATIC ||
        !entry->instance->published) {
        return CW_OK; /* the configuration has changed */
    }
    struct registry_spec spec = registry_instance_spec(entry->instance);
    struct registry_instance *instance;
    spec.was_drained = last->eureka.status == CW_EUREKA_OUT_OF_SERVICE;
    if (spec.was_drained && spec.check_url != NULL) {
        spec.eureka.status = CW_EUREKA_OUT_OF_SERVICE;
    }
    TRY(registry_instance_new(&spec, &instance));
    entry->override = last->eureka.overridden;
    store_entry_set(store, entry, instance, CW_EUREKA_MODIFIED);
    return CW_OK;
}

enum cw_err registry_store_restore(struct registry_store *store, const struct registry_spec *spec)
{
    struct registry_spec restored = *spec;
    restored.source = REGISTRY_RESTORED;
    if (!store->limits.eureka && restored.origin != REGISTRY_REST) {
        restored.eureka.overridden = CW_EUREKA_UNKNOWN; /* without a server nobody could end it */
    }
    struct registry_instance *instance;
    TRY(registry_instance_new(&restored, &instance));
    uint64_t generation;
    store_lock(store, &generation);
    struct store_entry *entry = store_find(store, instance->eureka.app, instance->id);
    enum cw_err err = CW_OK;
    if (instance->origin == REGISTRY_STATIC) {
        err = restore_static(store, entry, instance);
    } else if (entry == NULL) {
        err = store_entry_make(store, instance, &entry);
        if (err == CW_OK) {
            store_entry_until(store, entry, restored_deadline(store, instance));
            entry->override = instance->eureka.overridden;
            store_entry_set(store, entry, registry_instance_ref(instance), CW_EUREKA_ADDED);
        }
    }
    store_unlock(store, generation);
    registry_instance_unref(instance);
    return err;
}
