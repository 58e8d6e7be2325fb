/* The Eureka client as a whole: its lock, its clock, what it tells about itself. */
#include "sidecar/registry/eureka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sidecar/registry/eureka_internal.h"

enum { TICK_MAX_MS = 60000, LATE_POLLS = 3 };

int64_t eureka_now(const struct eureka *eureka)
{
    return cw_clock_monotonic_ms(eureka->options.clock);
}

enum cw_err eureka_new(const struct eureka_options *options, struct eureka **ret)
{
    struct eureka *eureka = calloc(1, sizeof(*eureka));
    pthread_condattr_t monotonic;
    ENSURE(eureka != NULL, CW_NO_MEMORY);
    eureka->options = *options;
    eureka->config = options->config;
    pthread_mutex_init(&eureka->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&eureka->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    snprintf(eureka->zone, sizeof(eureka->zone), "%s",
             eureka->config->zone != NULL ? eureka->config->zone : "");
    eureka->zone_base = eureka->config->ec2_base;
    eureka->zone_step = eureka->zone_base != NULL ? EUREKA_ZONE_TOKEN : EUREKA_ZONE_KNOWN;
    eureka_servers_init(&eureka->servers, eureka->config, eureka->config->zone, options->random,
                        eureka_now(eureka));
    eureka_reader_start(eureka);
    *ret = eureka;
    return CW_OK;
}

void eureka_free(struct eureka *eureka)
{
    if (eureka == NULL) {
        return;
    }
    eureka_publisher_free(eureka);
    eureka_mirror_done(&eureka->reader.mirror);
    pthread_cond_destroy(&eureka->idle);
    pthread_mutex_destroy(&eureka->lock);
    free(eureka);
}

void eureka_sync(struct eureka *eureka, const struct registry_snapshot *snapshot)
{
    if (!eureka->config->publish) {
        return;
    }
    pthread_mutex_lock(&eureka->lock);
    eureka_publisher_sync(eureka, snapshot);
    pthread_mutex_unlock(&eureka->lock);
}

int64_t eureka_tick(struct eureka *eureka)
{
    pthread_mutex_lock(&eureka->lock);
    int64_t now = eureka_now(eureka);
    int64_t next = TICK_MAX_MS;
    if (eureka_zone_tick(eureka)) {
        next = eureka_reader_tick(eureka, now);
        next = CW_MIN(next, eureka_publisher_tick(eureka, now));
    }
    pthread_mutex_unlock(&eureka->lock);
    return CW_MIN(CW_MAX(next, 1), TICK_MAX_MS);
}

void eureka_stop(struct eureka *eureka, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (ms % 1000) * 1000000;
    until.tv_sec += ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&eureka->lock);
    eureka->stopping = true;
    int late = 0;
    while (late == 0 && eureka_publisher_cancels(eureka)) {
        (void)eureka_publisher_tick(eureka, eureka_now(eureka));
        late = pthread_cond_timedwait(&eureka->idle, &eureka->lock, &until);
    }
    pthread_mutex_unlock(&eureka->lock);
}

void eureka_stats(struct eureka *eureka, struct eureka_stats *ret_stats)
{
    pthread_mutex_lock(&eureka->lock);
    const struct eureka_reader *reader = &eureka->reader;
    const struct eureka_config *config = eureka->config;
    struct eureka_stats stats = eureka->stats;
    int64_t now = eureka_now(eureka);
    int64_t silent = now - (reader->complete ? reader->good_ms : reader->started_ms);
    stats.age_ms = reader->complete ? silent : -1;
    stats.late = config->fetch && silent > LATE_POLLS * config->poll_ms + config->total_ms;
    stats.instances = reader->mirror.n;
    stats.held = reader->mirror.held;
    stats.wanted = stats.registered = 0;
    for (size_t i = 0; i < eureka->publisher.n; i++) {
        const struct eureka_published *p = eureka->publisher.p[i];
        stats.wanted += p->wanted != NULL;
        stats.registered += p->wanted != NULL && p->known;
    }
    pthread_mutex_unlock(&eureka->lock);
    *ret_stats = stats;
}
