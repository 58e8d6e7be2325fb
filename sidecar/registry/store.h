/* All instances that this host knows, each under a lease.
 *
 *   Register stream     LIVE ──connection lost──▶ GRACE ──10 s──▶ out
 *                         └──────clean close──────────────────▶ out
 *   Eureka's REST       TIMED, moved on by heartbeats ──────────▶ out
 *   a Eureka server, configuration: as long as their owner says
 *   last run's state    RESTORED until confirmed, or its time is over
 *
 * For provisional_ms after the start the registry is provisional: what leaves stays in snapshots as
 * `gone`, since a gateway that still knows it would not believe a mere absence.
 *
 * One lock, held for table work only. Any thread, unless said otherwise. */
#ifndef SIDECAR_REGISTRY_STORE_H
#define SIDECAR_REGISTRY_STORE_H

#include "common/base/clock.h"
#include "sidecar/registry/snapshot.h"

struct registry_store;

/* Zero means the default in brackets. */
struct registry_limits {
    size_t instances;       /* [4096] */
    size_t apps;            /* [1024] */
    size_t bytes;           /* of all texts, and of those in the list of changes [8 MiB] */
    size_t per_owner;       /* instances of one uid, or of all REST writers together [1024] */
    int64_t grace_ms;       /* [10000] */
    int64_t provisional_ms; /* [30000]; negative: none */
    int64_t retention_ms;   /* how long a change stays in a delta [180000] */
    bool eureka;            /* what came from servers before the restart stays until they speak */
};

CW_MUST_USE enum cw_err registry_store_new(const struct registry_limits *limits,
                                           const struct cw_clock *clock,
                                           struct registry_rules *rules,
                                           struct registry_store **ret_store);
/* Nobody uses it any more. NULL is fine. */
void registry_store_free(struct registry_store *store);
/* Judges all instances anew. */
void registry_store_set_rules(struct registry_store *store, struct registry_rules *rules);
/* `changed` runs after each change on the thread that made it, without the lock. Before other
 * threads start. */
void registry_store_on_change(struct registry_store *store, void (*changed)(void *ctx), void *ctx);

/* The current snapshot, owned by the caller. NULL without memory. */
struct registry_snapshot *registry_store_snapshot(struct registry_store *store);
uint64_t registry_store_generation(struct registry_store *store);
/* Ends what is due. Returns the milliseconds until the next lease or phase ends, at most 60000. */
int64_t registry_store_tick(struct registry_store *store);

/* ---- Register streams ---- */

/* Held by the stream; zeroed before its first message. */
struct registry_lease {
    uint64_t number; /* 0: none */
    char app[CW_EUREKA_NAME_MAX + 1];
    char id[CW_EUREKA_ID_MAX + 1];
};

/* The stream's instance, as it is now. The first call takes the lease, over from an older stream of
 * the same user or from one in its grace period; later ones change status and metadata.
 * CW_PERMISSION_DENIED without a grant, CW_CONFLICT when somebody else holds the id,
 * CW_REQUEST_MALFORMED when application or id change, CW_REGISTRY_FULL at a bound. */
CW_MUST_USE enum cw_err registry_store_register(struct registry_store *store, uid_t uid,
                                                const struct registry_spec *spec,
                                                struct registry_lease *lease);
/* The connection broke: the grace period begins. Nothing happens when a newer stream holds the
 * lease, here and below. */
void registry_store_lost(struct registry_store *store, const struct registry_lease *lease);
/* A clean close: the lease ends now. */
void registry_store_release(struct registry_store *store, const struct registry_lease *lease);

/* ---- configuration and disk ---- */

/* Replaces all static instances by these. All or nothing. */
CW_MUST_USE enum cw_err registry_store_set_static(struct registry_store *store,
                                                  const struct registry_spec *specs, size_t n);
/* What the health check of a static instance says; nothing where there is no such instance any
 * more. CW_NO_MEMORY. */
CW_MUST_USE enum cw_err registry_store_checked(struct registry_store *store, const char *app,
                                               const char *id, enum cw_eureka_status status,
                                               bool *ret_changed);
/* One instance of the last run (spec->source RESTORED, spec->origin where it was known from),
 * unless something stronger is there already. */
CW_MUST_USE enum cw_err registry_store_restore(struct registry_store *store,
                                               const struct registry_spec *spec);

/* ---- Eureka servers ---- */

/* What changed at the servers, in their order; a reference each. */
struct registry_news {
    struct {
        struct registry_instance *instance;
        bool gone;
    } * p;
    size_t n, cap;
};

/* Takes a reference of its own. CW_NO_MEMORY. */
CW_MUST_USE enum cw_err registry_news_add(struct registry_news *news,
                                          struct registry_instance *instance, bool gone);
void registry_news_done(struct registry_news *news);
/* All of them at once, for readers one change. What this host knows by itself is stronger and stays
 * as it is. Returns how many found no room. */
size_t registry_store_tell(struct registry_store *store, const struct registry_news *news);
/* What an administrator said at the servers about a service of this host: it takes no requests
 * while that is OUT_OF_SERVICE or DOWN, whatever it says itself. UNKNOWN ends it. */
void registry_store_override(struct registry_store *store, const char *app, const char *id,
                             enum cw_eureka_status status);
/* While it is held, the provisional phase does not end: the servers have not spoken yet. */
void registry_store_hold(struct registry_store *store, bool held);

/* ---- deltas ---- */

struct registry_change {
    struct registry_instance *instance; /* as it was when it changed; owned by the list */
    enum cw_eureka_action action;
    int64_t at_ms; /* monotonic */
};

struct registry_changes {
    struct registry_change *p;
    size_t n;
};

/* The latest change of each instance within the retention, oldest first. The caller ends the list
 * with registry_changes_done. CW_NO_MEMORY. */
CW_MUST_USE enum cw_err registry_store_changes(struct registry_store *store,
                                               struct registry_changes *ret_changes);
void registry_changes_done(struct registry_changes *changes);

struct registry_store_stats {
    size_t instances, apps;
    size_t unreachable; /* registered, yet no request goes to them */
    uint64_t refused;   /* registrations turned away since the start */
    bool provisional;
};

void registry_store_stats(struct registry_store *store, struct registry_store_stats *ret_stats);

#endif
