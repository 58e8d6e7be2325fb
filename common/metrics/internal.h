/* What the registry and the renderer share. */
#ifndef CW_METRICS_INTERNAL_H
#define CW_METRICS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/metrics/metrics.h"

enum { CW_METRIC_SHARDS = 8 };

/* words: shard 0 | shard 1 | … each `stride` words long and on cache lines of its own. In a shard:
 * counter, gauge  value
 * histogram       bucket 0 | … | bucket n-1 | above all bounds | sum of values */
struct cw_series {
    struct cw_series *next;
    const struct cw_metric *metric;
    char *values[CW_METRIC_LABELS_MAX];
    size_t n_buckets;
    size_t stride; /* words */
    _Atomic uint64_t *words;
    void *read_ctx; /* set before `read` */
    int64_t (*_Atomic read)(void *ctx);
};

struct cw_metrics_family {
    const struct cw_metric *metric;
    size_t n_labels;
    size_t n_series;
    struct cw_series *series; /* newest first; only prepended to */
};

struct cw_metrics {
    pthread_mutex_t lock; /* the lists; not the values */
    struct cw_metrics_family *families;
    size_t n_families;
};

/* Sum over the shards. */
uint64_t cw_series_word(const struct cw_series *series, size_t word);

#endif
