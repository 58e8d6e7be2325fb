/* Metrics from one declared table, in Prometheus' text exposition format 0.0.4.
 *
 * A series is a metric with its label values; look it up once and keep the pointer. Updating one is
 * a relaxed atomic add on a cache line that few threads share (a few ns); reading sums the shards.
 */
#ifndef CW_METRICS_METRICS_H
#define CW_METRICS_METRICS_H

#include "common/base/buf.h"
#include "common/base/str.h"

enum cw_metric_type { CW_METRIC_COUNTER = 0, CW_METRIC_GAUGE, CW_METRIC_HISTOGRAM };

enum {
    CW_METRIC_LABELS_MAX = 4,
    CW_METRIC_BUCKETS_MAX = 24,
    CW_METRIC_SERIES_MAX = 1000, /* per metric; further label values count under `other` */
};

struct cw_metric {
    const char *name; /* `cw_sidecar_verdicts_total` */
    enum cw_metric_type type;
    const char *help;
    const char *labels[CW_METRIC_LABELS_MAX + 1]; /* NULL-terminated */
    /* Histogram: upper bounds in the unit of cw_series_observe(), rising, 0-terminated. */
    uint64_t buckets[CW_METRIC_BUCKETS_MAX + 1];
    double scale; /* shown = kept × scale: 1e-9 shows seconds of nanoseconds; 0 is 1 */
};

struct cw_metrics;
struct cw_series;

/* The table is borrowed and must outlive the registry. NULL without memory. */
struct cw_metrics *cw_metrics_new(const struct cw_metric *table, size_t n);
/* Series pointers are dead afterwards. */
void cw_metrics_free(struct cw_metrics *metrics);

/* The series of table[metric] with these label values, made when it is new. `values` has one entry
 * per label (NULL where there is none). Takes a lock: not for the hot path. Never NULL except for
 * metrics == NULL or without memory, and updates of a NULL series do nothing. Any thread. */
struct cw_series *cw_metrics_series(struct cw_metrics *metrics, size_t metric,
                                    const struct cw_str *values);
/* A series whose value is read when it is shown; `read` runs on the scraping thread and must not
 * block. */
void cw_metrics_read(struct cw_metrics *metrics, size_t metric, const struct cw_str *values,
                     int64_t (*read)(void *ctx), void *ctx);

/* Any thread, wait-free. */
void cw_series_add(struct cw_series *series, uint64_t n);         /* counter */
void cw_series_move(struct cw_series *series, int64_t delta);     /* gauge */
void cw_series_set(struct cw_series *series, int64_t value);      /* gauge; last writer wins */
void cw_series_observe(struct cw_series *series, uint64_t value); /* histogram */
/* Counter or gauge now; histogram: number of observations. */
int64_t cw_series_value(const struct cw_series *series);

/* Text exposition of all series and of the process (process_start_time_seconds,
 * process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds, process_max_fds).
 * `common` labels ("application=\"cw-sidecar\"", may be NULL) go on every line. */
void cw_metrics_render(struct cw_metrics *metrics, const char *common, struct cw_buf *out);

#endif
