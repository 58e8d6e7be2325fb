/* Metrics: values under many threads, labels, bounds, and the exposition format to the byte. */
#include "common/metrics/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the ones above */
#include <cmocka.h>

enum { REQUESTS, ENTRIES, DURATION, SIZE_NOW };

static const struct cw_metric table[] = {
    [REQUESTS] = {.name = "t_requests_total",
                  .help = "Requests.\nAll \\ of them.",
                  .labels = {"tenant", "outcome"}},
    [ENTRIES] = {.name = "t_entries", .type = CW_METRIC_GAUGE, .help = "Entries."},
    [DURATION] = {.name = "t_duration_seconds",
                  .type = CW_METRIC_HISTOGRAM,
                  .help = "Duration.",
                  .buckets = {1000000, 10000000},
                  .scale = 1e-9},
    [SIZE_NOW] = {.name = "t_size", .type = CW_METRIC_GAUGE, .help = "Size."},
};

static char *render(struct cw_metrics *metrics, const char *common)
{
    struct cw_buf out = CW_BUF_INIT(1 << 20);
    cw_metrics_render(metrics, common, &out);
    char *text = cw_buf_take(&out);
    assert_non_null(text);
    return text;
}

static int64_t read_size(void *ctx)
{
    return *(const int64_t *)ctx;
}

static void values_are_shown_as_prometheus_reads_them(void **state)
{
    (void)state;
    struct cw_metrics *metrics = cw_metrics_new(table, CW_ARRAY_SIZE(table));
    const struct cw_str values[] = {CW_STR_INIT("a\"b\\c\nd"), CW_STR_INIT("allow")};
    cw_series_add(cw_metrics_series(metrics, REQUESTS, values), 3);
    struct cw_series *entries = cw_metrics_series(metrics, ENTRIES, NULL);
    cw_series_set(entries, 10);
    cw_series_move(entries, -12);
    struct cw_series *duration = cw_metrics_series(metrics, DURATION, NULL);
    cw_series_observe(duration, 1000000);
    cw_series_observe(duration, 1000001);
    cw_series_observe(duration, 2000000000);
    static int64_t size = 42;
    cw_metrics_read(metrics, SIZE_NOW, NULL, read_size, &size);
    char *text = render(metrics, "application=\"x\"");
    static const char *const expected =
        "# HELP t_requests_total Requests.\\nAll \\\\ of them.\n"
        "# TYPE t_requests_total counter\n"
        "t_requests_total{application=\"x\",tenant=\"a\\\"b\\\\c\\nd\",outcome=\"allow\"} 3\n"
        "# HELP t_entries Entries.\n"
        "# TYPE t_entries gauge\n"
        "t_entries{application=\"x\"} -2\n"
        "# HELP t_duration_seconds Duration.\n"
        "# TYPE t_duration_seconds histogram\n"
        "t_duration_seconds_bucket{application=\"x\",le=\"0.001\"} 1\n"
        "t_duration_seconds_bucket{application=\"x\",le=\"0.01\"} 2\n"
        "t_duration_seconds_bucket{application=\"x\",le=\"+Inf\"} 3\n"
        "t_duration_seconds_sum{application=\"x\"} 2.002000001\n"
        "t_duration_seconds_count{application=\"x\"} 3\n"
        "# HELP t_size Size.\n"
        "# TYPE t_size gauge\n"
        "t_size{application=\"x\"} 42\n";
    if (strncmp(text, expected, strlen(expected)) != 0) {
        fail_msg("%s", text);
    }
    assert_non_null(strstr(text, "\nprocess_start_time_seconds{application=\"x\"} 1"));
    assert_non_null(strstr(text, "\nprocess_open_fds{application=\"x\"} "));
    assert_int_equal(cw_series_value(duration), 3);
    free(text);
    text = render(metrics, NULL);
    assert_non_null(strstr(text, "\nt_entries -2\n"));
    free(text);
    cw_metrics_free(metrics);
}

static void the_same_labels_are_the_same_series(void **state)
{
    (void)state;
    struct cw_metrics *metrics = cw_metrics_new(table, CW_ARRAY_SIZE(table));
    const struct cw_str a[] = {CW_STR_INIT("a"), CW_STR_INIT("x")};
    const struct cw_str b[] = {CW_STR_INIT("a"), CW_STR_INIT("y")};
    assert_ptr_equal(cw_metrics_series(metrics, REQUESTS, a),
                     cw_metrics_series(metrics, REQUESTS, a));
    assert_ptr_not_equal(cw_metrics_series(metrics, REQUESTS, a),
                         cw_metrics_series(metrics, REQUESTS, b));
    cw_metrics_free(metrics);
}

static void too_many_label_values_count_as_other(void **state)
{
    (void)state;
    struct cw_metrics *metrics = cw_metrics_new(table, CW_ARRAY_SIZE(table));
    for (int i = 0; i < CW_METRIC_SERIES_MAX + 50; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%d", i);
        const struct cw_str values[] = {cw_str(name), CW_STR_INIT("x")};
        cw_series_add(cw_metrics_series(metrics, REQUESTS, values), 1);
    }
    const struct cw_str other[] = {CW_STR_INIT("other"), CW_STR_INIT("other")};
    assert_int_equal(cw_series_value(cw_metrics_series(metrics, REQUESTS, other)), 50);
    cw_metrics_free(metrics);
}

static void nothing_to_count_in_is_fine(void **state)
{
    (void)state;
    struct cw_series *none = cw_metrics_series(NULL, 0, NULL);
    assert_null(none);
    cw_series_add(none, 1);
    cw_series_move(none, 1);
    cw_series_set(none, 1);
    cw_series_observe(none, 1);
    assert_int_equal(cw_series_value(none), 0);
    char *text = render(NULL, NULL);
    assert_non_null(strstr(text, "process_cpu_seconds_total "));
    free(text);
}

enum { THREADS = 12, TIMES = 20000 };

struct shared {
    struct cw_series *counter;
    struct cw_series *gauge;
    struct cw_series *histogram;
};

static void *count(void *arg)
{
    const struct shared *shared = arg;
    for (uint64_t i = 0; i < TIMES; i++) {
        cw_series_add(shared->counter, 2);
        cw_series_move(shared->gauge, i % 2 ? -1 : 1);
        cw_series_observe(shared->histogram, i);
    }
    return NULL;
}

static void no_count_is_lost_between_threads(void **state)
{
    (void)state;
    struct cw_metrics *metrics = cw_metrics_new(table, CW_ARRAY_SIZE(table));
    const struct cw_str values[] = {CW_STR_INIT("a"), CW_STR_INIT("x")};
    struct shared shared = {cw_metrics_series(metrics, REQUESTS, values),
                            cw_metrics_series(metrics, ENTRIES, NULL),
                            cw_metrics_series(metrics, DURATION, NULL)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count, &shared), 0);
    }
    free(render(metrics, NULL)); /* while they count */
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(cw_series_value(shared.counter), 2 * THREADS * TIMES);
    assert_int_equal(cw_series_value(shared.gauge), 0);
    assert_int_equal(cw_series_value(shared.histogram), THREADS * TIMES);
    cw_metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_shown_as_prometheus_reads_them),
        cmocka_unit_test(the_same_labels_are_the_same_series),
        cmocka_unit_test(too_many_label_values_count_as_other),
        cmocka_unit_test(nothing_to_count_in_is_fine),
        cmocka_unit_test(no_count_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
