/* Prometheus' text exposition format 0.0.4 of all series, and the process's own. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/metrics/internal.h"

static const char *const type_names[] = {"counter", "gauge", "histogram"};

/* In a label value: \, " and newline; in HELP: \ and newline. */
static void add_escaped(struct cw_buf *out, const char *s, bool quotes)
{
    for (; *s; s++) {
        if (*s == '\n') {
            cw_buf_add_cstr(out, "\\n");
        } else {
            if (*s == '\\' || (quotes && *s == '"')) {
                cw_buf_add_char(out, '\\');
            }
            cw_buf_add_char(out, *s);
        }
    }
}

/* {common,label="value",le="…"} or nothing. */
static void add_labels(struct cw_buf *out, const struct cw_metrics_family *family,
                       const struct cw_series *series, const char *common, const char *le)
{
    const char *sep = "{";
    if (common && *common) {
        cw_buf_addf(out, "{%s", common);
        sep = ",";
    }
    for (size_t i = 0; i < family->n_labels; i++) {
        cw_buf_addf(out, "%s%s=\"", sep, family->metric->labels[i]);
        add_escaped(out, series->values[i], true);
        cw_buf_add_char(out, '"');
        sep = ",";
    }
    if (le) {
        cw_buf_addf(out, "%sle=\"%s\"", sep, le);
        sep = ",";
    }
    if (*sep == ',') {
        cw_buf_add_char(out, '}');
    }
}

static void add_number(struct cw_buf *out, double value)
{
    cw_buf_addf(out, " %.15g\n", value);
}

static void add_histogram(struct cw_buf *out, const struct cw_metrics_family *family,
                          const struct cw_series *series, const char *common, double scale)
{
    const char *name = family->metric->name;
    uint64_t count = 0; /* buckets are cumulative */
    for (size_t i = 0; i <= series->n_buckets; i++) {
        char le[32] = "+Inf";
        if (i < series->n_buckets) {
            snprintf(le, sizeof(le), "%.10g", (double)family->metric->buckets[i] * scale);
        }
        count += cw_series_word(series, i);
        cw_buf_addf(out, "%s_bucket", name);
        add_labels(out, family, series, common, le);
        cw_buf_addf(out, " %llu\n", (unsigned long long)count);
    }
    cw_buf_addf(out, "%s_sum", name);
    add_labels(out, family, series, common, NULL);
    add_number(out, (double)cw_series_word(series, series->n_buckets + 1) * scale);
    cw_buf_addf(out, "%s_count", name);
    add_labels(out, family, series, common, NULL);
    cw_buf_addf(out, " %llu\n", (unsigned long long)count);
}

static void add_head(struct cw_buf *out, const char *name, const char *help, const char *type)
{
    cw_buf_addf(out, "# HELP %s ", name);
    add_escaped(out, help, false);
    cw_buf_addf(out, "\n# TYPE %s %s\n", name, type);
}

static void add_family(struct cw_buf *out, const struct cw_metrics_family *family,
                       const struct cw_series *first, const char *common)
{
    const struct cw_metric *metric = family->metric;
    double scale = metric->scale != 0 ? metric->scale : 1;
    if (!first) {
        return;
    }
    add_head(out, metric->name, metric->help, type_names[metric->type]);
    for (const struct cw_series *series = first; series; series = series->next) {
        if (metric->type == CW_METRIC_HISTOGRAM) {
            add_histogram(out, family, series, common, scale);
            continue;
        }
        cw_buf_add_cstr(out, metric->name);
        add_labels(out, family, series, common, NULL);
        add_number(out, (double)cw_series_value(series) * scale);
    }
}

static double start_time_seconds(void)
{
    /* field 22 of /proc/self/stat: clock ticks after boot; the name in field 2 may hold blanks */
    char text[1024];
    FILE *f = fopen("/proc/self/stat", "re");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f) {
        fclose(f);
    }
    text[n] = '\0';
    const char *p = strrchr(text, ')');
    unsigned long long ticks = 0;
    if (!p || sscanf(p,
                     ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                     "%*d %llu",
                     &ticks) != 1) {
        return 0;
    }
    struct timespec wall, boot;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    double booted =
        (double)(wall.tv_sec - boot.tv_sec) + (double)(wall.tv_nsec - boot.tv_nsec) / 1e9;
    return booted + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static double resident_bytes(void)
{
    unsigned long long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%llu %llu", &total, &resident) != 2) {
            resident = 0;
        }
        fclose(f);
    }
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double n = -3; /* ".", ".." and the directory itself */
    while (dir && readdir(dir)) {
        n++;
    }
    if (dir) {
        closedir(dir);
    }
    return n < 0 ? 0 : n;
}

static void add_process_value(struct cw_buf *out, const char *common, const char *name,
                              const char *type, const char *help, double value)
{
    add_head(out, name, help, type);
    cw_buf_add_cstr(out, name);
    if (common && *common) {
        cw_buf_addf(out, "{%s}", common);
    }
    add_number(out, value);
}

static void add_process(struct cw_buf *out, const char *common)
{
    struct rusage usage;
    struct rlimit files;
    getrusage(RUSAGE_SELF, &usage);
    getrlimit(RLIMIT_NOFILE, &files);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    add_process_value(out, common, "process_start_time_seconds", "gauge",
                      "Start of the process, Unix seconds.", start_time_seconds());
    add_process_value(out, common, "process_cpu_seconds_total", "counter",
                      "CPU time of the process, user and system.", cpu);
    add_process_value(out, common, "process_resident_memory_bytes", "gauge", "Resident memory.",
                      resident_bytes());
    add_process_value(out, common, "process_open_fds", "gauge", "Open file descriptors.",
                      open_files());
    add_process_value(out, common, "process_max_fds", "gauge", "Bound on open file descriptors.",
                      (double)files.rlim_cur);
}

void cw_metrics_render(struct cw_metrics *metrics, const char *common, struct cw_buf *out)
{
    for (size_t i = 0; metrics && i < metrics->n_families; i++) {
        struct cw_metrics_family *family = &metrics->families[i];
        /* lists are only prepended to: a head read under the lock stays walkable without it, and no
         * callback runs under it */
        pthread_mutex_lock(&metrics->lock);
        const struct cw_series *first = family->series;
        pthread_mutex_unlock(&metrics->lock);
        add_family(out, family, first, common);
    }
    add_process(out, common);
}
