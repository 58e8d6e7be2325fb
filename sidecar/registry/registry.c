/* The agent's thread: ends leases, publishes to watchers, writes the state files; everything else
 * asks the store. */
#include "sidecar/registry/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/version.h"
#include "common/crypto/random.h"
#include "sidecar/registry/registry_internal.h"
#include "sidecar/registry/state.h"

enum {
    SAVE_EVERY_MS = 1000,
    SAVE_EUREKA_EVERY_MS = 30000, /* the servers say it again anyway */
    EUREKA_ACTIVE = 32,
    EUREKA_STOP_MS = 2000,
    LOOKUP_QUEUE = 64, /* of all callers, a quarter of it of one; more are CW_UNAVAILABLE */
};

void registry_check(const struct cw_config *config, struct cw_buf *problems)
{
    struct registry_config read;
    if (registry_config_read(config, problems, &read) == CW_OK) {
        registry_config_done(&read);
    }
}

void registry_wake(struct registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    registry->news = true;
    pthread_cond_signal(&registry->wake);
    pthread_mutex_unlock(&registry->lock);
}

static void on_change(void *ctx)
{
    registry_wake(ctx);
}

static enum cw_err file_load(struct registry *registry, const char *state_dir, const char *name,
                             struct registry_file *file)
{
    size_t size = strlen(state_dir) + strlen(name) + sizeof("/");
    file->path = malloc(size);
    ENSURE(file->path != NULL, CW_NO_MEMORY);
    snprintf(file->path, size, "%s/%s", state_dir, name);
    size_t restored, skipped;
    enum cw_err err = registry_state_load(file->path, registry->store, &restored, &skipped);
    if (err == CW_OK && restored + skipped > 0) {
        registry_log_count(REGISTRY_EVENT_RESTORED, restored, skipped);
    } else if (err != CW_OK && err != CW_NOT_FOUND) {
        /* a start with nothing restored is better than no start */
        registry_log(REGISTRY_EVENT_STATE_UNREADABLE, NULL, NULL, err);
    }
    return CW_OK;
}

static enum cw_err state_load(struct registry *registry, const char *state_dir)
{
    static const char *const names[] = {
        [REGISTRY_PART_OWN] = "registry.json",
        [REGISTRY_PART_EUREKA] = "eureka.json",
    };
    for (size_t part = 0; state_dir != NULL && part < REGISTRY_PART_COUNT; part++) {
        TRY(file_load(registry, state_dir, names[part], &registry->files[part]));
    }
    /* written at each start: an older version's has the servers' word in it */
    registry->files[REGISTRY_PART_OWN].saved = UINT64_MAX;
    return CW_OK;
}

static void wake(void *ctx)
{
    registry_wake(ctx);
}

/* After the state was read: what the servers told before the start is their client's to keep. */
static enum cw_err make_eureka(struct registry *registry)
{
    if (registry->config.eureka.n_servers == 0) {
        return CW_OK;
    }
    TRY(cw_http_client_new("cw-sidecar/" CW_VERSION, EUREKA_ACTIVE, &registry->network.client));
    registry->network.config = &registry->config.eureka;
    struct eureka_options options = {
        .config = &registry->config.eureka,
        .store = registry->store,
        .clock = registry->clock,
        .random = &cw_random_system,
        .transport = eureka_http_transport(&registry->network),
        .wake = wake,
        .wake_ctx = registry,
    };
    return eureka_new(&options, &registry->eureka);
}

static enum cw_err fill(struct registry *registry, const struct cw_config *config,
                        const char *state_dir)
{
    struct registry_config *read = &registry->config;
    TRY(registry_config_read(config, NULL, read));
    TRY(registry_watchers_new(read->max_watchers, &registry->watchers));
    TRY(registry_store_new(&read->limits, registry->clock, read->rules, &registry->store));
    registry->grace_s = (uint32_t)((read->limits.grace_ms + 999) / 1000);
    if (gethostname(registry->host, sizeof(registry->host) - 1) != 0) {
        memcpy(registry->host, "localhost", sizeof("localhost"));
    }
    TRY(registry_store_set_static(registry->store, read->statics, read->n_statics));
    TRY(registry_checks_new(registry->store, registry->clock, &registry->checks));
    TRY(registry_checks_set(registry->checks, read->statics, read->n_statics, read->check_ms));
    TRY(state_load(registry, state_dir));
    TRY(pool_new("cw-lookup", 1, LOOKUP_QUEUE, registry_lookup_run, NULL, &registry->lookups));
    return make_eureka(registry);
}

enum cw_err registry_new(const struct cw_config *config, const char *state_dir,
                         const struct cw_clock *clock, struct registry **ret_registry)
{
    struct registry *registry = calloc(1, sizeof(*registry));
    ENSURE(registry != NULL, CW_NO_MEMORY);
    registry->clock = clock;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&registry->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&registry->lock, NULL);
    enum cw_err err = fill(registry, config, state_dir);
    if (err != CW_OK) {
        registry_free(registry);
        return err;
    }
    registry_store_on_change(registry->store, on_change, registry);
    *ret_registry = registry;
    return CW_OK;
}

void registry_free(struct registry *registry)
{
    if (registry == NULL) {
        return;
    }
    registry_stop(registry);
    pool_free(registry->lookups);
    registry_checks_free(registry->checks);
    cw_http_client_free(registry->network.client);
    eureka_free(registry->eureka);
    registry_watchers_free(registry->watchers);
    registry_store_free(registry->store);
    registry_config_done(&registry->config);
    for (size_t part = 0; part < REGISTRY_PART_COUNT; part++) {
        free(registry->files[part].path);
    }
    pthread_cond_destroy(&registry->wake);
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

/* ---- the thread ---- */

/* Until there is news or the time is over; false when the thread has to end. */
static bool rest(struct registry *registry, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (ms % 1000) * 1000000;
    until.tv_sec += ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&registry->lock);
    while (!registry->news && !registry->stopping &&
           pthread_cond_timedwait(&registry->wake, &registry->lock, &until) == 0) {
    }
    registry->news = false;
    bool go_on = !registry->stopping;
    pthread_mutex_unlock(&registry->lock);
    return go_on;
}

/* Writes the parts that changed and are due. Returns the milliseconds until one is due, INT64_MAX.
 * A failure is tried again with the next round, not the next change. */
static int64_t save(struct registry *registry, const struct registry_snapshot *snapshot,
                    int64_t now_ms)
{
    static const int64_t every_ms[] = {
        [REGISTRY_PART_OWN] = SAVE_EVERY_MS,
        [REGISTRY_PART_EUREKA] = SAVE_EUREKA_EVERY_MS,
    };
    int64_t next = INT64_MAX;
    for (enum registry_part part = 0; part < REGISTRY_PART_COUNT; part++) {
        struct registry_file *file = &registry->files[part];
        if (file->path == NULL || file->saved == snapshot->changed[part]) {
            continue;
        }
        if (now_ms >= file->next_ms) {
            enum cw_err err = registry_state_save(file->path, snapshot, part);
            if (err == CW_OK) {
                file->saved = snapshot->changed[part];
            } else {
                registry_log(REGISTRY_EVENT_STATE_UNSAVED, NULL, NULL, err);
            }
            file->next_ms = now_ms + every_ms[part];
        }
        if (file->saved != snapshot->changed[part]) {
            next = CW_MIN(next, CW_MAX(file->next_ms - now_ms, 1));
        }
    }
    return next;
}

static void *run(void *arg)
{
    struct registry *registry = arg;
    uint64_t synced = 0;
    bool go_on = true;
    pthread_setname_np(pthread_self(), "registry");
    while (go_on) {
        int64_t wait = CW_MAX(registry_store_tick(registry->store), 1);
        struct registry_snapshot *snapshot = registry_store_snapshot(registry->store);
        int64_t now = cw_clock_monotonic_ms(registry->clock);
        if (snapshot != NULL) {
            registry_watchers_publish(registry->watchers, snapshot);
            uint64_t own = snapshot->changed[REGISTRY_PART_OWN];
            if (registry->eureka != NULL && own != synced) {
                eureka_sync(registry->eureka, snapshot);
                synced = own;
            }
            wait = CW_MIN(wait, save(registry, snapshot, now));
            registry_snapshot_unref(snapshot);
        } else {
            wait = CW_MIN(wait, SAVE_EVERY_MS);
        }
        if (registry->eureka != NULL) {
            wait = CW_MIN(wait, eureka_tick(registry->eureka));
        }
        wait = CW_MIN(wait, registry_checks_tick(registry->checks));
        go_on = rest(registry, wait);
    }
    return NULL;
}

enum cw_err registry_start(struct registry *registry, char ret_detail[REGISTRY_DETAIL_MAX])
{
    snprintf(ret_detail, REGISTRY_DETAIL_MAX, "the registry's thread cannot be made");
    ENSURE(pthread_create(&registry->thread, NULL, run, registry) == 0, CW_NO_MEMORY);
    registry->running = true;
    if (registry->config.port != 0) {
        TRY(registry_rest_start(registry, ret_detail));
    }
    return CW_OK;
}

void registry_stop(struct registry *registry)
{
    registry_rest_stop(registry);
    if (registry->lookups != NULL) { /* NULL after half a registry_new */
        pool_stop(registry->lookups);
    }
    if (!registry->running) {
        return;
    }
    pthread_mutex_lock(&registry->lock);
    registry->stopping = true;
    pthread_cond_signal(&registry->wake);
    pthread_mutex_unlock(&registry->lock);
    pthread_join(registry->thread, NULL);
    registry->running = false;
    /* what the stop itself did to streams is not what the next run should begin with: they are
     * within their grace, and so still in this last snapshot */
    struct registry_snapshot *snapshot = registry_store_snapshot(registry->store);
    if (registry->eureka != NULL) {
        if (snapshot != NULL) {
            eureka_sync(registry->eureka, snapshot);
        }
        eureka_stop(registry->eureka, EUREKA_STOP_MS);
    }
    if (snapshot != NULL) {
        (void)save(registry, snapshot, INT64_MAX - SAVE_EUREKA_EVERY_MS); /* now or never */
        registry_snapshot_unref(snapshot);
    }
}

enum cw_err registry_reload(struct registry *registry, const struct cw_config *config)
{
    struct registry_config read;
    TRY(registry_config_read(config, NULL, &read));
    enum cw_err err = registry_store_set_static(registry->store, read.statics, read.n_statics);
    if (err == CW_OK) {
        registry_store_set_rules(registry->store, read.rules);
        err = registry_checks_set(registry->checks, read.statics, read.n_statics, read.check_ms);
        registry_wake(registry);
    }
    registry_config_done(&read);
    return err;
}

void registry_stats(const struct registry *registry, struct registry_store_stats *ret_stats)
{
    registry_store_stats(registry->store, ret_stats);
}

bool registry_eureka_stats(const struct registry *registry, struct eureka_stats *ret_stats)
{
    if (registry->eureka != NULL) {
        eureka_stats(registry->eureka, ret_stats);
    }
    return registry->eureka != NULL;
}

uint16_t registry_port(const struct registry *registry)
{
    return registry->http != NULL ? cw_http_server_port(registry->http) : 0;
}
