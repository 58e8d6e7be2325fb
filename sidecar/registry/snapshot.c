/* Snapshots of the registry: lookups in sorted arrays, and their end. */
#include "sidecar/registry/snapshot.h"

#include <stdlib.h>
#include <string.h>

enum registry_part registry_part_of(const struct registry_instance *instance)
{
    return instance->origin == REGISTRY_EUREKA ? REGISTRY_PART_EUREKA : REGISTRY_PART_OWN;
}

struct registry_app *registry_app_ref(struct registry_app *app)
{
    atomic_fetch_add_explicit(&app->refs, 1, memory_order_relaxed);
    return app;
}

void registry_app_unref(struct registry_app *app)
{
    if (app == NULL || atomic_fetch_sub_explicit(&app->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < app->n; i++) {
        registry_instance_unref(app->items[i].instance);
    }
    free(app->items);
    free(app);
}

struct registry_snapshot *registry_snapshot_ref(struct registry_snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

void registry_snapshot_unref(struct registry_snapshot *snapshot)
{
    if (snapshot == NULL ||
        atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t a = 0; a < snapshot->n; a++) {
        registry_app_unref(snapshot->apps[a]);
    }
    free((void *)snapshot->apps);
    free(snapshot);
}

static int app_compare(const void *name, const void *app)
{
    return strcmp(name, (*(struct registry_app *const *)app)->name);
}

const struct registry_app *registry_snapshot_find(const struct registry_snapshot *snapshot,
                                                  const char *name)
{
    struct registry_app *const *found =
        snapshot->n == 0 ? NULL
                         : bsearch(name, (const void *)snapshot->apps, snapshot->n,
                                   sizeof(struct registry_app *), app_compare);
    return found != NULL ? *found : NULL;
}

static int item_compare(const void *id, const void *item)
{
    return strcmp(id, ((const struct registry_item *)item)->instance->id);
}

const struct registry_item *registry_app_find(const struct registry_app *app, const char *id)
{
    const struct registry_item *item =
        app->n == 0 ? NULL : bsearch(id, app->items, app->n, sizeof(*app->items), item_compare);
    return item != NULL && !item->gone ? item : NULL;
}
