/* What a registration, a heartbeat and an administrator's override do to a lease, as the real
 * Eureka server does it. */
#include "sidecar/registry/rest_lease.h"

#include <string.h>

#include "sidecar/registry/store_internal.h"

/* The embedded registry's own: what a REST client may change. Restored ones count when they came
 * from there. */
static bool is_rest(const struct store_entry *entry)
{
    return entry->instance->origin == REGISTRY_REST;
}

static enum cw_err find(struct registry_store *store, const char *app, const char *id,
                        struct store_entry **ret_entry)
{
    struct store_entry *entry = store_find_live(store, app, id);
    ENSURE(entry != NULL, CW_NOT_FOUND);
    ENSURE(is_rest(entry), CW_FORBIDDEN);
    *ret_entry = entry;
    return CW_OK;
}

/* A lease runs for its duration after the registration and for twice as long after a heartbeat: the
 * real server adds the duration twice, and clients that renew just within that would flap here
 * otherwise. */
static void lease_run(struct registry_store *store, struct store_entry *entry, int64_t times)
{
    store_entry_until(store, entry,
                      store_now_ms(store) +
                          times * (int64_t)entry->instance->eureka.lease.duration_s * 1000);
}

static void renewed(struct registry_store *store, struct store_entry *entry)
{
    atomic_store_explicit(&entry->instance->renewal_ms, cw_clock_wall_ms(store->clock),
                          memory_order_relaxed);
    lease_run(store, entry, 2);
}

/* The changed copy of an entry's instance becomes its instance; what was restored is thereby
 * confirmed. */
static enum cw_err change(struct registry_store *store, struct store_entry *entry,
                          const struct cw_eureka_instance *eureka, enum cw_eureka_action action)
{
    struct registry_spec spec = registry_instance_spec(entry->instance);
    spec.eureka = *eureka;
    spec.eureka.last_updated_ms = cw_clock_wall_ms(store->clock);
    spec.eureka.lease.renewal_ms =
        atomic_load_explicit(&entry->instance->renewal_ms, memory_order_relaxed);
    spec.eureka.action = action;
    if (spec.eureka.status == CW_EUREKA_UP && spec.eureka.lease.service_up_ms == 0) {
        spec.eureka.lease.service_up_ms = spec.eureka.last_updated_ms;
    }
    spec.source = REGISTRY_REST;
    struct registry_instance *instance;
    TRY(registry_instance_new(&spec, &instance));
    if (store_room(store, entry, instance) != CW_OK) {
        registry_instance_unref(instance);
        return CW_REGISTRY_FULL;
    }
    store_entry_set(store, entry, instance, action);
    return CW_OK;
}

/* The real server's order of rules: what an instance says when it is not ready counts as said; then
 * an administrator's override; then, for a lease that stands, its status; then what was sent. */
static enum cw_eureka_status decide_status(enum cw_eureka_status sent,
                                           enum cw_eureka_status override,
                                           const struct store_entry *held)
{
    if (sent != CW_EUREKA_UP && sent != CW_EUREKA_OUT_OF_SERVICE) {
        return sent;
    }
    if (override != CW_EUREKA_UNKNOWN) {
        return override;
    }
    if (held != NULL && (held->instance->eureka.status == CW_EUREKA_UP ||
                         held->instance->eureka.status == CW_EUREKA_OUT_OF_SERVICE)) {
        return held->instance->eureka.status;
    }
    return sent;
}

static enum cw_err register_locked(struct registry_store *store,
                                   const struct cw_eureka_instance *sent)
{
    const char *id = cw_eureka_instance_id(sent);
    ENSURE(sent->app != NULL && id != NULL, CW_REQUEST_MALFORMED);
    struct store_entry *held = store_find_live(store, sent->app, id);
    ENSURE(held == NULL || is_rest(held), CW_FORBIDDEN);
    ENSURE(held != NULL || store_count(store, REGISTRY_REST, 0) < store->limits.per_owner,
           CW_REGISTRY_FULL);
    int64_t wall = cw_clock_wall_ms(store->clock);
    struct registry_spec spec = {.eureka = *sent, .source = REGISTRY_REST};
    if (spec.eureka.last_dirty_ms == 0) {
        spec.eureka.last_dirty_ms = wall;
    }
    if (held != NULL && held->instance->eureka.last_dirty_ms > spec.eureka.last_dirty_ms) {
        spec.eureka = held->instance->eureka; /* the older record loses, and is not told */
    }
    enum cw_eureka_status override = held != NULL ? held->override : CW_EUREKA_UNKNOWN;
    if (override == CW_EUREKA_UNKNOWN) {
        override = spec.eureka.overridden;
    }
    spec.eureka.overridden = override;
    spec.eureka.status = decide_status(spec.eureka.status, override, held);
    spec.eureka.last_updated_ms = wall;
    spec.eureka.action = CW_EUREKA_ADDED;
    spec.eureka.lease.registration_ms = spec.eureka.lease.renewal_ms = wall;
    spec.eureka.lease.eviction_ms = 0;
    spec.eureka.lease.service_up_ms = held != NULL ? held->instance->eureka.lease.service_up_ms : 0;
    if (spec.eureka.status == CW_EUREKA_UP && spec.eureka.lease.service_up_ms == 0) {
        spec.eureka.lease.service_up_ms = wall;
    }
    struct registry_instance *instance;
    TRY(registry_instance_new(&spec, &instance));
    struct store_entry *entry;
    enum cw_err err = store_entry_make(store, instance, &entry);
    if (err != CW_OK) {
        registry_instance_unref(instance);
        return err;
    }
    entry->override = override;
    entry->lease = 0;
    store_entry_set(store, entry, instance, CW_EUREKA_ADDED);
    lease_run(store, entry, 1);
    return CW_OK;
}

enum cw_err registry_rest_register(struct registry_store *store,
                                   const struct cw_eureka_instance *instance)
{
    uint64_t generation;
    store_lock(store, &generation);
    enum cw_err err = register_locked(store, instance);
    store->refused += err != CW_OK;
    store_unlock(store, generation);
    return err;
}

static enum cw_err renew_locked(struct registry_store *store, const char *app, const char *id,
                                int64_t dirty_ms)
{
    struct store_entry *entry;
    TRY(find(store, app, id, &entry));
    const struct cw_eureka_instance *held = &entry->instance->eureka;
    enum cw_eureka_status status = decide_status(held->status, entry->override, entry);
    ENSURE(status != CW_EUREKA_UNKNOWN, CW_NOT_FOUND);
    if (status != held->status || entry->instance->source == REGISTRY_RESTORED) {
        struct cw_eureka_instance changed = *held;
        changed.status = status;
        TRY(change(store, entry, &changed, entry->action));
    }
    renewed(store, entry);
    /* the client has changed since it registered: let it say how */
    ENSURE(dirty_ms <= entry->instance->eureka.last_dirty_ms, CW_NOT_FOUND);
    return CW_OK;
}

enum cw_err registry_rest_renew(struct registry_store *store, const char *app, const char *id,
                                int64_t dirty_ms)
{
    uint64_t generation;
    store_lock(store, &generation);
    enum cw_err err = renew_locked(store, app, id, dirty_ms);
    store_unlock(store, generation);
    return err;
}

enum cw_err registry_rest_cancel(struct registry_store *store, const char *app, const char *id)
{
    uint64_t generation;
    store_lock(store, &generation);
    struct store_entry *entry;
    enum cw_err err = find(store, app, id, &entry);
    if (err == CW_OK) {
        store_entry_end(store, entry);
    }
    store_unlock(store, generation);
    return err;
}

static enum cw_err status_change(struct registry_store *store, struct store_entry *entry,
                                 enum cw_eureka_status status, enum cw_eureka_status override,
                                 int64_t dirty_ms)
{
    struct cw_eureka_instance changed = entry->instance->eureka;
    changed.status = status;
    changed.overridden = override;
    changed.last_dirty_ms = CW_MAX(changed.last_dirty_ms, dirty_ms);
    TRY(change(store, entry, &changed, CW_EUREKA_MODIFIED));
    entry->override = override;
    renewed(store, entry);
    return CW_OK;
}

enum cw_err registry_rest_override(struct registry_store *store, const char *app, const char *id,
                                   enum cw_eureka_status status, int64_t dirty_ms)
{
    uint64_t generation;
    store_lock(store, &generation);
    struct store_entry *entry;
    enum cw_err err = find(store, app, id, &entry);
    if (err == CW_OK) {
        err = status_change(store, entry, status, status, dirty_ms);
    }
    store_unlock(store, generation);
    return err;
}

enum cw_err registry_rest_override_end(struct registry_store *store, const char *app,
                                       const char *id, enum cw_eureka_status status,
                                       int64_t dirty_ms)
{
    uint64_t generation;
    store_lock(store, &generation);
    struct store_entry *entry;
    enum cw_err err = find(store, app, id, &entry);
    if (err == CW_OK && entry->override != CW_EUREKA_UNKNOWN) {
        err = status_change(store, entry, status, CW_EUREKA_UNKNOWN, dirty_ms);
    } else if (err == CW_OK) {
        renewed(store, entry);
    }
    store_unlock(store, generation);
    return err;
}

static enum cw_err metadata_locked(struct registry_store *store, const char *app, const char *id,
                                   struct cw_eureka_pairs metadata)
{
    struct store_entry *entry;
    TRY(find(store, app, id, &entry));
    struct cw_arena arena = CW_ARENA_INIT(CW_EUREKA_INSTANCE_MAX);
    struct cw_eureka_instance changed = entry->instance->eureka;
    enum cw_err err = cw_eureka_pairs_merge(&arena, changed.metadata, metadata, &changed.metadata);
    if (err == CW_OK) {
        /* the real server registers the instance anew */
        changed.lease.registration_ms = cw_clock_wall_ms(store->clock);
        err = change(store, entry, &changed, CW_EUREKA_ADDED);
    }
    if (err == CW_OK) {
        lease_run(store, entry, 1);
    }
    cw_arena_done(&arena);
    return err;
}

enum cw_err registry_rest_metadata(struct registry_store *store, const char *app, const char *id,
                                   struct cw_eureka_pairs metadata)
{
    uint64_t generation;
    store_lock(store, &generation);
    enum cw_err err = metadata_locked(store, app, id, metadata);
    store_unlock(store, generation);
    return err;
}
