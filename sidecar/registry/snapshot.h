/* What is registered at one moment: immutable and counted. Readers encode from it without any lock.
 */
#ifndef SIDECAR_REGISTRY_SNAPSHOT_H
#define SIDECAR_REGISTRY_SNAPSHOT_H

#include "common/eureka/encode.h"
#include "sidecar/registry/rules.h"

struct registry_item {
    struct registry_instance *instance;
    enum registry_reach reach;
    enum cw_eureka_action action;
    enum cw_eureka_status
        override; /* an administrator's at Eureka, of a service of this host; UNKNOWN: none */
    bool gone; /* it left while the snapshot is provisional: takes no request, Eureka's readers do
                  not see it */
};

/* One application's instances; snapshots share it until it changes. */
struct registry_app {
    _Atomic unsigned refs;
    const char *name;            /* upper case */
    uint64_t generation;         /* of its last change */
    struct registry_item *items; /* by id */
    size_t n;
};

/* Whose word an instance is: each has a file of its own (state.h). */
enum registry_part {
    REGISTRY_PART_OWN = 0, /* services of this host, and what came by REST */
    REGISTRY_PART_EUREKA,  /* what Eureka servers said */
    REGISTRY_PART_COUNT,
};

struct registry_snapshot {
    _Atomic unsigned refs;
    uint64_t generation;
    uint64_t changed[REGISTRY_PART_COUNT]; /* the generation of a part's last change, 0: none */
    bool provisional;
    struct registry_app **apps; /* by name; a reference each */
    size_t n;
};

enum registry_part registry_part_of(const struct registry_instance *instance);
struct registry_app *registry_app_ref(struct registry_app *app);
/* NULL is fine. */
void registry_app_unref(struct registry_app *app);

struct registry_snapshot *registry_snapshot_ref(struct registry_snapshot *snapshot);
/* NULL is fine. */
void registry_snapshot_unref(struct registry_snapshot *snapshot);
/* By name in upper case; NULL where nothing is registered. */
const struct registry_app *registry_snapshot_find(const struct registry_snapshot *snapshot,
                                                  const char *name);
/* NULL when absent or gone. */
const struct registry_item *registry_app_find(const struct registry_app *app, const char *id);

#endif
