/* What the Eureka client says about itself, as metrics. */
#include "sidecar/main/metrics.h"
#include "sidecar/main/sidecar.h"

#define READ_EUREKA(field, without, divisor)                                                       \
    static int64_t read_eureka_##field(void *ctx)                                                  \
    {                                                                                              \
        struct sidecar *sidecar = ctx;                                                             \
        struct eureka_stats stats;                                                                 \
        bool some = registry_eureka_stats(sidecar->registry, &stats);                              \
                                                                                                   \
        return some && (int64_t)stats.field >= 0 ? (int64_t)stats.field / (divisor) : (without);   \
    }
READ_EUREKA(age_ms, -1, 1000)
READ_EUREKA(instances, 0, 1)
READ_EUREKA(held, 0, 1)
READ_EUREKA(left_out, 0, 1)
READ_EUREKA(duplicates, 0, 1)
READ_EUREKA(wanted, 0, 1)
READ_EUREKA(registered, 0, 1)
READ_EUREKA(full_good, 0, 1)
READ_EUREKA(full_failed, 0, 1)
READ_EUREKA(delta_good, 0, 1)
READ_EUREKA(delta_failed, 0, 1)
READ_EUREKA(mismatches, 0, 1)
READ_EUREKA(beats_good, 0, 1)
READ_EUREKA(beats_failed, 0, 1)
READ_EUREKA(failovers, 0, 1)
READ_EUREKA(outbid, 0, 1)

void eureka_metrics(struct sidecar *sidecar)
{
    static const struct {
        enum metric metric;
        int64_t (*read)(void *ctx);
        const char *labels[2];
    } reads[] = {
        {METRIC_EUREKA_AGE, read_eureka_age_ms, {NULL}},
        {METRIC_EUREKA_INSTANCES, read_eureka_instances, {NULL}},
        {METRIC_EUREKA_HELD, read_eureka_held, {NULL}},
        {METRIC_EUREKA_LEFT_OUT, read_eureka_left_out, {NULL}},
        {METRIC_EUREKA_DUPLICATES, read_eureka_duplicates, {NULL}},
        {METRIC_EUREKA_WANTED, read_eureka_wanted, {NULL}},
        {METRIC_EUREKA_REGISTERED, read_eureka_registered, {NULL}},
        {METRIC_EUREKA_FETCHES, read_eureka_full_good, {"full", "good"}},
        {METRIC_EUREKA_FETCHES, read_eureka_full_failed, {"full", "failed"}},
        {METRIC_EUREKA_FETCHES, read_eureka_delta_good, {"delta", "good"}},
        {METRIC_EUREKA_FETCHES, read_eureka_delta_failed, {"delta", "failed"}},
        {METRIC_EUREKA_MISMATCHES, read_eureka_mismatches, {NULL}},
        {METRIC_EUREKA_HEARTBEATS, read_eureka_beats_good, {"good", NULL}},
        {METRIC_EUREKA_HEARTBEATS, read_eureka_beats_failed, {"failed", NULL}},
        {METRIC_EUREKA_FAILOVERS, read_eureka_failovers, {NULL}},
        {METRIC_EUREKA_OUTBID, read_eureka_outbid, {NULL}},
    };

    for (size_t i = 0; i < CW_ARRAY_SIZE(reads); i++) {
        struct cw_str values[] = {cw_str(reads[i].labels[0]), cw_str(reads[i].labels[1])};

        cw_metrics_read(sidecar->metrics, reads[i].metric, values, reads[i].read, sidecar);
    }
}
