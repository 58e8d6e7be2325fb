/* What Eureka servers know, beside what this host knows. */
#include <stdlib.h>

#include "sidecar/registry/store_internal.h"

enum cw_err registry_news_add(struct registry_news *news, struct registry_instance *instance,
                              bool gone)
{
    if (news->n == news->cap) {
        size_t cap = news->cap == 0 ? 64 : 2 * news->cap;
        void *p = reallocarray(news->p, cap, sizeof(*news->p));
        ENSURE(p != NULL, CW_NO_MEMORY);
        news->p = p;
        news->cap = cap;
    }
    news->p[news->n].instance = registry_instance_ref(instance);
    news->p[news->n++].gone = gone;
    return CW_OK;
}

void registry_news_done(struct registry_news *news)
{
    for (size_t i = 0; i < news->n; i++) {
        registry_instance_unref(news->p[i].instance);
    }
    free(news->p);
    *news = (struct registry_news){0};
}

/* A server's to change: its own, and what it said before the last start. */
static bool is_eureka(const struct store_entry *entry)
{
    return entry->instance->origin == REGISTRY_EUREKA;
}

static enum cw_err tell_one(struct registry_store *store, struct registry_instance *instance,
                            bool gone)
{
    struct store_entry *entry = store_find(store, instance->eureka.app, instance->id);
    bool live = entry != NULL && entry->state != ENTRY_GONE;
    if (live && !is_eureka(entry)) {
        return CW_OK;
    }
    if (gone) {
        if (live) {
            store_entry_end(store, entry);
        }
        return CW_OK;
    }
    TRY(store_entry_make(store, instance, &entry));
    entry->state = ENTRY_LIVE;
    entry->lease = 0;
    entry->override = CW_EUREKA_UNKNOWN;
    entry->deadline_ms = STORE_NEVER;
    store_entry_set(store, entry, registry_instance_ref(instance),
                    live ? CW_EUREKA_MODIFIED : CW_EUREKA_ADDED);
    return CW_OK;
}

size_t registry_store_tell(struct registry_store *store, const struct registry_news *news)
{
    uint64_t generation;
    size_t refused = 0;
    store_lock(store, &generation);
    for (size_t i = 0; i < news->n; i++) {
        refused += tell_one(store, news->p[i].instance, news->p[i].gone) != CW_OK;
    }
    store_unlock(store, generation);
    return refused;
}

void registry_store_override(struct registry_store *store, const char *app, const char *id,
                             enum cw_eureka_status status)
{
    uint64_t generation;
    store_lock(store, &generation);
    struct store_entry *entry = store_find_live(store, app, id);
    if (entry != NULL && entry->override != status && registry_instance_is_own(entry->instance)) {
        entry->override = status;
        store_touch(store, store_find_app(store, app));
        store_part_touch(store, entry->instance);
    }
    store_unlock(store, generation);
}
