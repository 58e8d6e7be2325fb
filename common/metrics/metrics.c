/* The registry: metrics by table row, series by label values, values in sharded atomics. */
#include "common/metrics/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/metrics/internal.h"

/* Shard of the calling thread: threads are numbered as they first count. */
static unsigned shard(void)
{
    static _Atomic unsigned next;
    static _Thread_local unsigned mine;
    if (mine == 0) {
        mine = 1 + atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % CW_METRIC_SHARDS;
    }
    return mine - 1;
}

static size_t n_buckets(const struct cw_metric *metric)
{
    size_t n = 0;
    while (n < CW_METRIC_BUCKETS_MAX && metric->buckets[n] != 0) {
        n++;
    }
    return n;
}

/* Words of one shard. A histogram has one per bucket, one for +Inf and one for the sum. */
static size_t n_words(const struct cw_metric *metric)
{
    return metric->type == CW_METRIC_HISTOGRAM ? n_buckets(metric) + 2 : 1;
}

struct cw_metrics *cw_metrics_new(const struct cw_metric *table, size_t n)
{
    struct cw_metrics *metrics = calloc(1, sizeof(*metrics));
    struct cw_metrics_family *families = calloc(n ? n : 1, sizeof(*families));
    if (!metrics || !families) {
        free(metrics);
        free(families);
        return NULL;
    }
    pthread_mutex_init(&metrics->lock, NULL);
    metrics->families = families;
    metrics->n_families = n;
    for (size_t i = 0; i < n; i++) {
        families[i].metric = &table[i];
        while (families[i].n_labels < CW_METRIC_LABELS_MAX &&
               table[i].labels[families[i].n_labels]) {
            families[i].n_labels++;
        }
    }
    return metrics;
}

static void series_free(struct cw_series *series)
{
    for (size_t i = 0; i < CW_METRIC_LABELS_MAX; i++) {
        free(series->values[i]);
    }
    free(series->words);
    free(series);
}

void cw_metrics_free(struct cw_metrics *metrics)
{
    if (!metrics) {
        return;
    }
    for (size_t i = 0; i < metrics->n_families; i++) {
        struct cw_series *series = metrics->families[i].series;
        while (series) {
            struct cw_series *next = series->next;
            series_free(series);
            series = next;
        }
    }
    pthread_mutex_destroy(&metrics->lock);
    free(metrics->families);
    free(metrics);
}

static struct cw_series *series_new(const struct cw_metrics_family *family,
                                    const struct cw_str *values)
{
    enum { WORDS_PER_LINE = 64 / sizeof(uint64_t) };
    struct cw_series *series = calloc(1, sizeof(*series));
    if (!series) {
        return NULL;
    }
    series->metric = family->metric;
    series->n_buckets = n_buckets(family->metric);
    size_t words = n_words(family->metric);
    series->stride = (words + WORDS_PER_LINE - 1) / WORDS_PER_LINE * WORDS_PER_LINE;
    /* a gauge that is set needs one place */
    size_t shards = family->metric->type == CW_METRIC_GAUGE ? 1 : CW_METRIC_SHARDS;
    size_t size = shards * series->stride * sizeof(uint64_t);
    series->words = aligned_alloc(64, size);
    bool ok = series->words != NULL;
    if (ok) {
        memset(series->words, 0, size);
    }
    for (size_t i = 0; ok && i < family->n_labels; i++) {
        series->values[i] = cw_str_dup(values[i]);
        ok = series->values[i] != NULL;
    }
    if (!ok) {
        series_free(series);
        return NULL;
    }
    return series;
}

static struct cw_series *find(const struct cw_metrics_family *family, const struct cw_str *values)
{
    for (struct cw_series *series = family->series; series; series = series->next) {
        size_t i = 0;
        while (i < family->n_labels && cw_str_is(values[i], series->values[i])) {
            i++;
        }
        if (i == family->n_labels) {
            return series;
        }
    }
    return NULL;
}

struct cw_series *cw_metrics_series(struct cw_metrics *metrics, size_t metric,
                                    const struct cw_str *values)
{
    if (!metrics || metric >= metrics->n_families) {
        return NULL;
    }
    static const struct cw_str others[CW_METRIC_LABELS_MAX] = {
        CW_STR_INIT("other"), CW_STR_INIT("other"), CW_STR_INIT("other"), CW_STR_INIT("other")};
    struct cw_metrics_family *family = &metrics->families[metric];
    pthread_mutex_lock(&metrics->lock);
    struct cw_series *series = find(family, values);
    if (!series && family->n_series >= CW_METRIC_SERIES_MAX) {
        values = others;
        series = find(family, values);
    }
    if (!series) {
        series = series_new(family, values);
        if (series) {
            series->next = family->series;
            family->series = series;
            family->n_series++;
        }
    }
    pthread_mutex_unlock(&metrics->lock);
    return series;
}

void cw_metrics_read(struct cw_metrics *metrics, size_t metric, const struct cw_str *values,
                     int64_t (*read)(void *ctx), void *ctx)
{
    struct cw_series *series = cw_metrics_series(metrics, metric, values);
    if (series) {
        series->read_ctx = ctx;
        atomic_store_explicit(&series->read, read, memory_order_release);
    }
}

void cw_series_add(struct cw_series *series, uint64_t n)
{
    if (series) {
        size_t at = series->metric->type == CW_METRIC_GAUGE ? 0 : shard() * series->stride;
        atomic_fetch_add_explicit(&series->words[at], n, memory_order_relaxed);
    }
}

void cw_series_move(struct cw_series *series, int64_t delta)
{
    /* two's complement: adding the negative as unsigned wraps to the right value */
    cw_series_add(series, (uint64_t)delta);
}

void cw_series_set(struct cw_series *series, int64_t value)
{
    if (series) {
        atomic_store_explicit(&series->words[0], (uint64_t)value, memory_order_relaxed);
    }
}

void cw_series_observe(struct cw_series *series, uint64_t value)
{
    if (!series) {
        return;
    }
    size_t bucket = 0;
    while (bucket < series->n_buckets && value > series->metric->buckets[bucket]) {
        bucket++;
    }
    _Atomic uint64_t *words = series->words + shard() * series->stride;
    atomic_fetch_add_explicit(&words[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&words[series->n_buckets + 1], value, memory_order_relaxed);
}

uint64_t cw_series_word(const struct cw_series *series, size_t word)
{
    if (series->metric->type == CW_METRIC_GAUGE) {
        return atomic_load_explicit(&series->words[word], memory_order_relaxed);
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < CW_METRIC_SHARDS; i++) {
        sum +=
            atomic_load_explicit(&series->words[i * series->stride + word], memory_order_relaxed);
    }
    return sum;
}

int64_t cw_series_value(const struct cw_series *series)
{
    if (!series) {
        return 0;
    }
    int64_t (*read)(void *ctx) = atomic_load_explicit(&series->read, memory_order_acquire);
    if (read) {
        return read(series->read_ctx);
    }
    if (series->metric->type != CW_METRIC_HISTOGRAM) {
        return (int64_t)cw_series_word(series, 0);
    }
    uint64_t count = 0;
    for (size_t i = 0; i <= series->n_buckets; i++) {
        count += cw_series_word(series, i);
    }
    return (int64_t)count;
}
