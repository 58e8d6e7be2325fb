/* The store's inside, for store.c and for the rules of Eureka's API in rest_lease.c: both work
 * under its lock. */
#ifndef SIDECAR_REGISTRY_STORE_INTERNAL_H
#define SIDECAR_REGISTRY_STORE_INTERNAL_H

#include <pthread.h>

#include "sidecar/registry/store.h"

enum { STORE_CHANGES_MAX = 4096 };

#define STORE_NEVER INT64_MAX

enum entry_state {
    ENTRY_LIVE = 0, /* its stream, or its configuration, stands */
    ENTRY_TIMED,    /* until deadline_ms: grace, a REST lease, restored */
    ENTRY_GONE,     /* shown as such until the provisional phase ends */
};

struct store_entry {
    struct registry_instance *instance; /* one reference */
    enum entry_state state;
    enum registry_reach reach;
    enum cw_eureka_action action;
    enum cw_eureka_status override; /* an administrator's, UNKNOWN: none */
    uid_t owner;                    /* of a LOCAL one */
    uint64_t lease;                 /* of a LOCAL one */
    int64_t deadline_ms;            /* monotonic, STORE_NEVER */
    uint64_t change;                /* its record in the ring, 0: none */
};

struct store_app {
    char name[CW_EUREKA_NAME_MAX + 1];
    uint64_t generation;
    struct registry_app *copy;   /* for snapshots; NULL after a change */
    struct store_entry *entries; /* by id */
    size_t n, cap;
};

struct registry_store {
    struct registry_limits limits;
    const struct cw_clock *clock;
    void (*changed)(void *ctx);
    void *changed_ctx;

    pthread_mutex_t lock; /* what follows */
    struct registry_rules *rules;
    struct store_app *apps; /* by name */
    size_t n, cap;
    size_t instances; /* entries of all applications, gone ones included */
    size_t bytes;     /* of their texts */
    size_t change_bytes;
    uint64_t generation;
    uint64_t part_changed[REGISTRY_PART_COUNT];
    int64_t first_deadline_ms; /* no entry's time is over before */
    uint64_t next_lease;
    uint64_t refused;
    bool provisional;
    bool held; /* the provisional phase does not end by itself */
    int64_t provisional_until_ms;
    struct registry_snapshot *snapshot; /* cached; NULL after a change */
    /* Change s lies at s % STORE_CHANGES_MAX; those below first_change have left, those without
     * instance are overtaken. */
    struct registry_change changes[STORE_CHANGES_MAX];
    uint64_t first_change, next_change;
};

/* Lock held, all of these. */
struct store_app *store_find_app(struct registry_store *store, const char *name);
struct store_entry *store_find(struct registry_store *store, const char *app, const char *id);
/* The entry is there and not gone. */
struct store_entry *store_find_live(struct registry_store *store, const char *app, const char *id);
/* Room for one more: a new entry without instance, or the existing one. CW_REGISTRY_FULL. */
CW_MUST_USE enum cw_err store_entry_make(struct registry_store *store,
                                         const struct registry_instance *instance,
                                         struct store_entry **ret_entry);
/* CW_REGISTRY_FULL when the instance, in place of the entry's (NULL: new), would pass the bound of
 * bytes. */
CW_MUST_USE enum cw_err store_room(const struct registry_store *store,
                                   const struct store_entry *entry,
                                   const struct registry_instance *instance);
/* Takes the reference; a change for readers. */
void store_entry_set(struct registry_store *store, struct store_entry *entry,
                     struct registry_instance *instance, enum cw_eureka_action action);
/* Its time is over then; monotonic. */
void store_entry_until(struct registry_store *store, struct store_entry *entry, int64_t ms);
/* Out, or gone while provisional. */
void store_entry_end(struct registry_store *store, struct store_entry *entry);
/* Instances under that source, of that owner if LOCAL. */
size_t store_count(const struct registry_store *store, enum registry_source source, uid_t owner);

/* Out of the table, whatever the phase. */
void store_entry_remove(struct registry_store *store, struct store_app *app,
                        struct store_entry *entry);
/* The application changed: the generation rises, the cached snapshot is over. */
void store_touch(struct registry_store *store, struct store_app *app);
/* What is saved of the instance's part has changed; after store_touch. */
void store_part_touch(struct registry_store *store, const struct registry_instance *instance);
/* Drops changes past the retention. */
void store_changes_expire(struct registry_store *store);
/* Monotonic. No lock needed. */
int64_t store_now_ms(const struct registry_store *store);

void store_lock(struct registry_store *store, uint64_t *ret_generation);
/* Unlocks, and tells of a change when the generation moved. */
void store_unlock(struct registry_store *store, uint64_t generation);

#endif
