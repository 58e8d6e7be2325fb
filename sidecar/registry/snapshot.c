/* Snapshots of the registry: lookups in sorted arrays, and their end. */
#include "sidecar/registry/snapshot.h"

#include <stdlib.h>
#include <string.h>

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
        for (size_t i = 0; i < snapshot->apps[a].n; i++) {
            registry_instance_unref(snapshot->apps[a].items[i].instance);
        }
        free(snapshot->apps[a].items);
    }
    free(snapshot->apps);
    free(snapshot);
}

static int app_compare(const void *name, const void *app)
{
    return strcmp(name, ((const struct registry_app *)app)->name);
}

const struct registry_app *registry_snapshot_find(const struct registry_snapshot *snapshot,
                                                  const char *name)
{
    return snapshot->n == 0
               ? NULL
               : bsearch(name, snapshot->apps, snapshot->n, sizeof(*snapshot->apps), app_compare);
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
