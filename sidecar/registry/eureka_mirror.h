/* What the Eureka servers know, as last told: the set that deltas change and full documents
 * replace. What a full document merely lacks is held for a while, since a registry that was
 * restarted empty is no proof that the services are gone; what a delta names as deleted leaves at
 * once. Held ones do not count for the reconcile hash. No network, no clock, no lock. */
#ifndef SIDECAR_REGISTRY_EUREKA_MIRROR_H
#define SIDECAR_REGISTRY_EUREKA_MIRROR_H

#include "common/eureka/parse.h"
#include "sidecar/registry/store.h"

/* A document taken apart. */
struct eureka_batch {
    struct registry_instance **p; /* a reference each, in the document's order */
    enum cw_eureka_action *actions;
    size_t n, cap;
    char hash[CW_EUREKA_HASH_MAX]; /* the server's reconcile hash */
    size_t skipped;                /* broken ones */
    size_t dropped;                /* past the bound */
    size_t room;                   /* how many fit */
};

/* CW_REQUEST_MALFORMED when it is no such document; CW_NO_MEMORY. The caller ends the batch. */
CW_MUST_USE enum cw_err eureka_batch_read(struct cw_str json, size_t max_instances,
                                          struct eureka_batch *ret_batch);
void eureka_batch_done(struct eureka_batch *batch);

struct eureka_mirrored {
    struct registry_instance *instance; /* one reference */
    int64_t held_until_ms;              /* 0: the server lists it */
};

struct eureka_mirror {
    struct eureka_mirrored *p; /* by application and id */
    size_t n, cap;
    size_t max;                   /* instances */
    size_t held;                  /* of them */
    size_t duplicates;            /* in the last full document */
    struct cw_eureka_hash counts; /* of those that the server lists */
};

void eureka_mirror_done(struct eureka_mirror *mirror);

/* All below append to `changes` what the store has to be told. CW_NO_MEMORY leaves the mirror
 * consistent, with part of the document applied: the hash then tells the reader to fetch all. */

CW_MUST_USE enum cw_err eureka_mirror_replace(struct eureka_mirror *mirror,
                                              const struct eureka_batch *batch, int64_t now_ms,
                                              int64_t hold_ms, struct registry_news *news);
CW_MUST_USE enum cw_err eureka_mirror_apply(struct eureka_mirror *mirror,
                                            const struct eureka_batch *batch,
                                            struct registry_news *news);
/* Ends what has been held long enough. Returns the milliseconds to the next end, INT64_MAX. */
int64_t eureka_mirror_expire(struct eureka_mirror *mirror, int64_t now_ms,
                             struct registry_news *news);
/* One that was known before the start. */
CW_MUST_USE enum cw_err eureka_mirror_restore(struct eureka_mirror *mirror,
                                              struct registry_instance *instance);

/* NULL when absent. */
struct registry_instance *eureka_mirror_find(const struct eureka_mirror *mirror, const char *app,
                                             const char *id);
bool eureka_mirror_hash_is(const struct eureka_mirror *mirror, const char *hash);

#endif
