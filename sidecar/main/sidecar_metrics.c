/* What the sidecar's parts say about themselves, as metrics; the Eureka client's are in
 * eureka_metrics.c. */
#include <stdlib.h>

#include "sidecar/main/metrics.h"
#include "sidecar/main/sidecar.h"

static int64_t read_queue(void *ctx)
{
    struct sidecar *sidecar = ctx;

    return handle_depth(sidecar->handle);
}

static int64_t read_tenants(void *ctx)
{
    struct sidecar *sidecar = ctx;
    struct tenants_set *set = tenants_get(sidecar->tenants);
    int64_t n = (int64_t)tenants_set_count(set);

    tenants_set_unref(set);
    return n;
}

static int64_t read_tenants_left_out(void *ctx)
{
    struct sidecar *sidecar = ctx;

    return (int64_t)tenants_left_out(sidecar->tenants);
}

static int64_t read_feed_age(void *ctx)
{
    struct sidecar *sidecar = ctx;
    int64_t age = tenants_feed_age_ms(sidecar->tenants);

    return age < 0 ? -1 : age / 1000;
}

static int64_t read_revocations(void *ctx)
{
    struct sidecar *sidecar = ctx;

    return sidecar->revocations ? (int64_t)revocations_count(sidecar->revocations) : 0;
}

static int64_t read_revocations_age(void *ctx)
{
    struct sidecar *sidecar = ctx;

    ENSURE(sidecar->revocations, -1);
    return revocations_age_ms(sidecar->revocations, cw_clock_monotonic_ms(&cw_clock_system)) / 1000;
}

#define READ_CACHE(field)                                                                          \
    static int64_t read_cache_##field(void *ctx)                                                   \
    {                                                                                              \
        struct sidecar *sidecar = ctx;                                                             \
        struct cache_stats stats;                                                                  \
                                                                                                   \
        cache_stats(sidecar->cache, &stats);                                                       \
        return (int64_t)stats.field;                                                               \
    }
READ_CACHE(entries)
READ_CACHE(bytes)
READ_CACHE(evictions)
READ_CACHE(expirations)
READ_CACHE(withdrawals)

#define READ_RPC(field)                                                                            \
    static int64_t read_rpc_##field(void *ctx)                                                     \
    {                                                                                              \
        struct sidecar *sidecar = ctx;                                                             \
        struct cw_rpc_server_stats stats;                                                          \
                                                                                                   \
        cw_rpc_server_stats(sidecar->server, &stats);                                              \
        return (int64_t)stats.field;                                                               \
    }
READ_RPC(refused)
READ_RPC(in_flight)

#define READ_REGISTRY(field)                                                                       \
    static int64_t read_registry_##field(void *ctx)                                                \
    {                                                                                              \
        struct sidecar *sidecar = ctx;                                                             \
        struct registry_store_stats stats;                                                         \
                                                                                                   \
        registry_stats(sidecar->registry, &stats);                                                 \
        return (int64_t)stats.field;                                                               \
    }
READ_REGISTRY(instances)
READ_REGISTRY(unreachable)
READ_REGISTRY(refused)

static const char *decision_of(enum cw_err err)
{
    switch (cw_err_info(err)->category) {
    case CW_CATEGORY_TOKEN:
        return "unauthenticated";
    case CW_CATEGORY_POLICY:
        return "forbidden";
    case CW_CATEGORY_INTERNAL:
    case CW_CATEGORY_UNDECIDED:
    case CW_CATEGORY_REQUEST:
    case CW_CATEGORY_LOGIN:
    case CW_CATEGORY_UPSTREAM:
    default:
        return err == CW_OK ? "allow" : "undecided";
    }
}

/* Reasons that an answer can have; the rest of the list is other parts'. */
static bool is_answer(enum cw_err err)
{
    enum cw_err_category category = cw_err_info(err)->category;

    return err == CW_OK || category == CW_CATEGORY_TOKEN || category == CW_CATEGORY_POLICY ||
           category == CW_CATEGORY_UNDECIDED || err == CW_REQUEST_MALFORMED ||
           err == CW_TENANT_UNKNOWN || err == CW_NO_MEMORY || err == CW_INTERNAL;
}

enum cw_err sidecar_metrics(struct sidecar *sidecar)
{
    static const struct {
        enum metric metric;
        int64_t (*read)(void *ctx);
    } reads[] = {
        {METRIC_QUEUE, read_queue},
        {METRIC_TENANTS, read_tenants},
        {METRIC_TENANTS_LEFT_OUT, read_tenants_left_out},
        {METRIC_FEED_AGE, read_feed_age},
        {METRIC_REVOCATIONS, read_revocations},
        {METRIC_REVOCATIONS_AGE, read_revocations_age},
        {METRIC_CACHE_ENTRIES, read_cache_entries},
        {METRIC_CACHE_BYTES, read_cache_bytes},
        {METRIC_CACHE_EVICTIONS, read_cache_evictions},
        {METRIC_CACHE_EXPIRATIONS, read_cache_expirations},
        {METRIC_CACHE_WITHDRAWALS, read_cache_withdrawals},
        {METRIC_RPC_REFUSED, read_rpc_refused},
        {METRIC_RPC_IN_FLIGHT, read_rpc_in_flight},
        {METRIC_REGISTRY_INSTANCES, read_registry_instances},
        {METRIC_REGISTRY_UNREACHABLE, read_registry_unreachable},
        {METRIC_REGISTRY_REFUSED, read_registry_refused},
    };

    sidecar->metrics = cw_metrics_new(metrics_table, METRIC_COUNT);
    sidecar->answers = calloc(cw_err_count(), sizeof(struct cw_series *));
    ENSURE(sidecar->metrics && sidecar->answers, CW_NO_MEMORY);
    for (size_t err = 0; err < cw_err_count(); err++) {
        if (!is_answer(err)) {
            continue;
        }
        struct cw_str values[] = {cw_str(decision_of(err)),
                                  err == CW_OK ? CW_STR("ok") : cw_str(cw_err_code(err))};
        sidecar->answers[err] = cw_metrics_series(sidecar->metrics, METRIC_ANSWERS, values);
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(reads); i++) {
        cw_metrics_read(sidecar->metrics, reads[i].metric, NULL, reads[i].read, sidecar);
    }
    eureka_metrics(sidecar);
    struct cw_str good = CW_STR("good");
    struct cw_str bad = CW_STR("failed");
    sidecar->fetches_good = cw_metrics_series(sidecar->metrics, METRIC_KEY_FETCHES, &good);
    sidecar->fetches_bad = cw_metrics_series(sidecar->metrics, METRIC_KEY_FETCHES, &bad);
    sidecar->keys_withdrawn = cw_metrics_series(sidecar->metrics, METRIC_KEYS_WITHDRAWN, NULL);
    return CW_OK;
}
