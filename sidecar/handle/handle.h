/* TokenService and TokenAdminService: from a caller's bytes to the answer's. */
#ifndef SIDECAR_HANDLE_HANDLE_H
#define SIDECAR_HANDLE_HANDLE_H

#include "common/keys/key_store.h"
#include "common/metrics/metrics.h"
#include "common/rpc/server.h"
#include "sidecar/cache/cache.h"
#include "sidecar/revocation/revocations.h"
#include "sidecar/tenants/tenants.h"

struct handle;

/* One thing that health depends on; borrowed for the call. Statuses are GetHealth's. */
enum handle_status { HANDLE_UP = 1, HANDLE_DEGRADED = 2, HANDLE_DOWN = 3 };
struct handle_health {
    const char *name;
    enum handle_status status;
    bool counts; /* for the whole */
    const char *detail;
    int64_t age_s; /* since it was last good, -1: never */
    const char *remedy;
};
typedef void handle_add_health(void *to, const struct handle_health *health);

/* Everything is borrowed and outlives the handle. */
struct handle_config {
    struct cache *cache;
    struct tenants *tenants;
    struct cw_key_store *keys;
    const struct cw_clock *clock;
    struct revocations *revocations; /* NULL: no feed */
    unsigned verifiers;              /* threads */
    unsigned queue_max;              /* tokens that wait for one */
    int64_t timeout_ms;              /* for callers that name no deadline */
    int64_t key_wait_ms;             /* how long a token waits for a fetch of keys */
    /* By error: the series that counts its answers; NULL: not counted. */
    struct cw_series **answers;
    struct cw_series *hits;   /* answers from the cache */
    struct cw_series *verify; /* histogram of verifications, nanoseconds */
    /* GetHealth's components: calls `add` for each; not on a poller. */
    void (*health)(void *ctx, handle_add_health *add, void *to);
    void *health_ctx;
};

CW_MUST_USE enum cw_err handle_new(const struct handle_config *config, struct handle **ret_handle);
/* Answers what waits; nothing new is taken. The key store has been stopped, the server not freed.
 */
void handle_stop(struct handle *handle);
void handle_free(struct handle *handle);
/* Tokens that wait for a verifier. */
unsigned handle_depth(struct handle *handle);

/* The method table of both services; ctx is the handle. */
extern const struct cw_rpc_method handle_methods[];
extern const size_t handle_n_methods;

#endif
