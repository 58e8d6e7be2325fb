/* A miss on its way: what a verifier needs to answer in the poller's stead. */
#ifndef SIDECAR_HANDLE_JOB_H
#define SIDECAR_HANDLE_JOB_H

#include <stdatomic.h>

#include "common/work/work.h"
#include "sidecar/handle/ask.h"
#include "sidecar/handle/handle.h"
#include "sidecar/handle/outgoing.h"
#include "sidecar/handle/pool.h"

enum { JOB_TIMEOUT_MAX_MS = 30 * 1000, JOB_CHECKS_MAX = 32 * 1024 };

struct handle {
    struct handle_config config;
    struct pool *pool;
    struct cw_work *admin; /* for answers that take long to gather */
    int64_t started_ms;
    _Atomic unsigned jobs; /* live ones: queued, running, waiting for keys */
    unsigned jobs_max;
    struct outgoing_queued queued; /* jobs of streams in the pool's queue */
};

/* Where the answer goes: one of the two. */
struct job_target {
    struct cw_rpc_call *call; /* deferred already */
    ask_answer *answer;       /* ends it */
    void *ctx;
    bool explain;
    struct cw_rpc_stream *stream; /* the job takes a reference */
    uint64_t id;                  /* of the stream's entry */
    uint64_t source;              /* whose budget it is */
};

/* Takes references to set and rule, copies the token (at most CW_JWS_TOKEN_MAX bytes). On CW_OK the
 * target will be answered; else (CW_VALIDATOR_OVERLOADED, CW_NO_MEMORY, CW_SHUTTING_DOWN) that is
 * the caller's to do. Any thread. */
CW_MUST_USE enum cw_err job_submit(struct handle *handle, struct tenants_set *set,
                                   const struct tenant *tenant, struct rule *rule,
                                   struct cw_str token,
                                   const unsigned char digest[CACHE_DIGEST_SIZE],
                                   int64_t timeout_ms, const struct job_target *target);
/* For pool_new. */
void job_run(struct pool_item *item);
void job_idle(void);

/* One answer more; err as in verify_result. */
static inline void handle_count(struct handle *handle, enum cw_err err)
{
    if (handle->config.answers) {
        cw_series_add(handle->config.answers[err], 1);
    }
}

#endif
