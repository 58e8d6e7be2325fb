/* When the registry is fetched, how much of it, and what becomes of it. */
#include <stdio.h>
#include <string.h>

#include "sidecar/registry/eureka_internal.h"

enum {
    JITTER = 10,          /* percent */
    FORCED_SHIFT_MAX = 4, /* a registry whose hash never fits is fetched each 16th poll */
};

static void restore(struct eureka *eureka)
{
    struct registry_snapshot *snapshot = registry_store_snapshot(eureka->options.store);
    for (size_t a = 0; snapshot != NULL && a < snapshot->n; a++) {
        for (size_t i = 0; i < snapshot->apps[a]->n; i++) {
            struct registry_instance *instance = snapshot->apps[a]->items[i].instance;
            if (instance->origin == REGISTRY_EUREKA &&
                eureka_mirror_restore(&eureka->reader.mirror, instance) != CW_OK) {
                break; /* without memory: it stays in the store, and nobody ends it */
            }
        }
    }
    registry_snapshot_unref(snapshot);
}

void eureka_reader_start(struct eureka *eureka)
{
    struct eureka_reader *reader = &eureka->reader;
    reader->mirror.max = eureka->config->max_instances;
    reader->started_ms = reader->due_ms = eureka_now(eureka);
    if (eureka->config->fetch) {
        restore(eureka);
        registry_store_hold(eureka->options.store, true);
    }
}

void eureka_tell(struct eureka *eureka, struct registry_news *news)
{
    size_t kept = 0;
    for (size_t i = 0; i < news->n; i++) {
        struct registry_instance *instance = news->p[i].instance;
        if (eureka_publisher_find(eureka, instance->eureka.app, instance->id) != NULL) {
            registry_instance_unref(instance); /* ours: we know better than any server */
        } else {
            news->p[kept++] = news->p[i];
        }
    }
    news->n = kept;
    if (kept > 0) {
        (void)registry_store_tell(eureka->options.store, news);
    }
}

int64_t eureka_reader_tick(struct eureka *eureka, int64_t now_ms)
{
    struct eureka_reader *reader = &eureka->reader;
    if (!eureka->config->fetch || eureka->stopping) {
        return INT64_MAX;
    }
    struct registry_news news = {0};
    int64_t held = eureka_mirror_expire(&reader->mirror, now_ms, &news);
    eureka_tell(eureka, &news);
    registry_news_done(&news);
    if (reader->busy) {
        return held;
    }
    if (reader->due_ms <= now_ms) {
        bool delta = reader->complete && eureka->config->delta;
        if (eureka_call(eureka, delta ? EUREKA_DELTA : EUREKA_FULL, NULL)) {
            return held;
        }
        reader->due_ms = now_ms + EUREKA_RETRY_MS;
    }
    return CW_MIN(held, reader->due_ms - now_ms);
}

static int64_t next_poll(const struct eureka *eureka)
{
    return eureka_now(eureka) +
           eureka_jitter(eureka->options.random, eureka->config->poll_ms, JITTER);
}

static void failed(struct eureka *eureka, const char *error)
{
    struct eureka_reader *reader = &eureka->reader;
    int64_t poll = eureka->config->poll_ms;
    int64_t pause = CW_MIN(poll, (int64_t)EUREKA_RETRY_MS << CW_MIN(reader->failures, 10u));
    reader->failures++;
    /* one that knows nothing yet asks soon again; one that has a registry has time */
    reader->due_ms = reader->complete ? next_poll(eureka)
                                      : eureka_now(eureka) +
                                            eureka_jitter(eureka->options.random, pause, JITTER);
    snprintf(eureka->stats.error, sizeof(eureka->stats.error), "%s", error);
    eureka_log_server(EUREKA_EVENT_UNREAD,
                      eureka->config->n_servers == 1 ? eureka->config->servers[0].name : "all",
                      error, reader->mirror.n);
}

static void good(struct eureka *eureka)
{
    struct eureka_reader *reader = &eureka->reader;
    if (!reader->complete || reader->failures > 0) {
        eureka_log_server(EUREKA_EVENT_READING, eureka->stats.server, NULL, reader->mirror.n);
    }
    reader->failures = 0;
    reader->good_ms = eureka_now(eureka);
    reader->due_ms = next_poll(eureka);
    eureka->stats.error[0] = '\0';
}

static void full_came(struct eureka *eureka, struct eureka_batch *batch, struct registry_news *news)
{
    struct eureka_reader *reader = &eureka->reader;
    size_t held = reader->mirror.held;
    enum cw_err err = eureka_mirror_replace(&reader->mirror, batch, eureka_now(eureka),
                                            eureka->config->hold_ms, news);
    if (err != CW_OK) {
        eureka->stats.full_failed++;
        failed(eureka, "no memory for the document");
        return;
    }
    eureka->stats.full_good++;
    eureka->stats.left_out = batch->dropped + batch->skipped;
    eureka->stats.duplicates = reader->mirror.duplicates;
    if (batch->dropped > 0) {
        eureka_log_server(EUREKA_EVENT_LEFT_OUT, eureka->stats.server, NULL, batch->dropped);
    }
    if (batch->skipped > 0) {
        eureka_log_server(EUREKA_EVENT_UNREADABLE, eureka->stats.server, NULL, batch->skipped);
    }
    if (reader->mirror.duplicates > 0) {
        eureka_log_server(EUREKA_EVENT_DUPLICATES, eureka->stats.server, NULL,
                          reader->mirror.duplicates);
    }
    if (reader->mirror.held > held) {
        eureka_log_server(EUREKA_EVENT_HOLDING, eureka->stats.server, NULL, reader->mirror.held);
    }
    good(eureka);
    reader->complete = true;
}

/* A hash that does not fit asks for all, at once the first time, then more and more seldom: a
 * server may count what cannot be read. */
static void delta_came(struct eureka *eureka, const struct eureka_batch *batch,
                       struct registry_news *news)
{
    struct eureka_reader *reader = &eureka->reader;
    int64_t now = eureka_now(eureka);
    enum cw_err err = eureka_mirror_apply(&reader->mirror, batch, news);
    eureka->stats.delta_good++;
    if (err == CW_OK && eureka_mirror_hash_is(&reader->mirror, batch->hash)) {
        /* Nothing is missing then, and nothing there twice. */
        eureka->stats.left_out = 0;
        eureka->stats.duplicates = 0;
        reader->forced = 0;
        good(eureka);
        return;
    }
    eureka->stats.mismatches++;
    eureka_log_server(EUREKA_EVENT_MISMATCH, eureka->stats.server, NULL, 0);
    if (reader->forced > 0 && now < reader->forced_after_ms) {
        good(eureka);
        return;
    }
    unsigned shift = CW_MIN(reader->forced, (unsigned)FORCED_SHIFT_MAX);
    reader->forced++;
    reader->forced_after_ms = now + (eureka->config->poll_ms << shift);
    reader->due_ms = now;
    if (!eureka_call(eureka, EUREKA_FULL, NULL)) {
        failed(eureka, "the whole registry could not be asked for");
    }
}

void eureka_reader_done(struct eureka *eureka, struct eureka_outcome *outcome)
{
    struct registry_news news = {0};
    if (eureka->stopping) {
        return;
    }
    if (outcome->answered && outcome->batch != NULL) {
        if (outcome->kind == EUREKA_FULL) {
            full_came(eureka, outcome->batch, &news);
        } else {
            delta_came(eureka, outcome->batch, &news);
        }
    } else if (outcome->answered) {
        /* no delta at this server */
        eureka->stats.delta_failed++;
        if (!eureka_call(eureka, EUREKA_FULL, NULL)) {
            failed(eureka, outcome->error);
        }
    } else {
        eureka->stats.full_failed += outcome->kind == EUREKA_FULL;
        eureka->stats.delta_failed += outcome->kind == EUREKA_DELTA;
        failed(eureka, outcome->error);
    }
    eureka_tell(eureka, &news);
    registry_news_done(&news);
    eureka_publisher_overrides(eureka);
    if (eureka->reader.complete) {
        registry_store_hold(eureka->options.store, false);
    }
}
