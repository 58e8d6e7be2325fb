/* The operator's questions. They are answered on a thread of their own: thousands of issuers take
 * longer to list than a poller may be away. */
#include "sidecar/handle/admin.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/version.h"
#include "proto/clinicwave/token/v1/admin.pb-c.h"
#include "sidecar/handle/job.h"

enum { ADMIN_ARENA = 64 * 1024 * 1024 };

struct admin_task {
    struct handle *handle;
    struct cw_rpc_call *call;
    const ProtobufCMessage *request; /* the call's */
    enum cw_err (*run)(struct admin_task *task);
    struct cw_arena arena;
};

static void task_run(void *arg)
{
    struct admin_task *task = arg;
    enum cw_err err = task->run(task);

    if (err != CW_OK) {
        cw_rpc_fail(task->call, err, NULL);
    }
    cw_arena_done(&task->arena);
    free(task);
}

static void submit(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx,
                   enum cw_err (*run)(struct admin_task *task))
{
    struct handle *handle = ctx;
    struct admin_task *task = calloc(1, sizeof(*task));

    if (!task) {
        cw_rpc_fail(call, CW_NO_MEMORY, NULL);
        return;
    }
    *task = (struct admin_task){handle, call, request, run, CW_ARENA_INIT(ADMIN_ARENA)};
    cw_rpc_call_defer(call);
    enum cw_err err = cw_work_submit(handle->admin, task_run, task);
    if (err != CW_OK) {
        free(task);
        cw_rpc_fail(call, err, NULL);
    }
}

/* A growing list of messages in the task's arena. */
struct list {
    struct admin_task *task;
    void **items;
    size_t n;
    size_t cap;
    bool failed;
};

static void *list_add(struct list *list, size_t size)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 16;
        void **items = cw_arena_alloc(&list->task->arena, cap * sizeof(void *));
        if (!items) {
            list->failed = true;
            return NULL;
        }
        if (list->n) {
            memcpy((void *)items, (void *)list->items, list->n * sizeof(void *));
        }
        list->items = items;
        list->cap = cap;
    }
    void *item = cw_arena_zalloc(&list->task->arena, size);
    if (item) {
        list->items[list->n++] = item;
    } else {
        list->failed = true;
    }
    return item;
}

/* NULL packs as an empty string. */
static char *copy(struct admin_task *task, const char *s)
{
    return cw_arena_dup(&task->arena, cw_str(s));
}

static char *copy_str(struct admin_task *task, struct cw_str s)
{
    return cw_arena_dup(&task->arena, s);
}

/* ---- keys ---- */

static void fill_key(struct admin_task *task, struct cw_jwk *key, Clinicwave__Token__V1__Key *to)
{
    struct list algorithms = {.task = task};

    clinicwave__token__v1__key__init(to);
    to->key_id = copy_str(task, cw_jwk_kid(key));
    to->key_type = copy(task, cw_jwk_kty(key));
    to->bits = cw_jwk_bits(key);
    for (unsigned id = 0; id < CW_ALG_COUNT; id++) {
        const struct cw_alg *alg = cw_alg_at(id);
        if (cw_jwk_algorithms(key) & cw_alg_bit(alg)) {
            char *name = list_add(&algorithms, strlen(alg->name) + 1);
            if (name) {
                memcpy(name, alg->name, strlen(alg->name) + 1);
            }
        }
    }
    to->algorithms = (char **)algorithms.items;
    to->n_algorithms = algorithms.n;
}

static void fill_set(struct admin_task *task, const struct cw_jwks *set,
                     Clinicwave__Token__V1__IssuerKeys *to)
{
    struct list keys = {.task = task};
    struct list skipped = {.task = task};

    for (size_t i = 0; i < cw_jwks_count(set); i++) {
        Clinicwave__Token__V1__Key *key = list_add(&keys, sizeof(*key));
        if (key) {
            fill_key(task, cw_jwks_at(set, i), key);
        }
    }
    for (size_t i = 0; i < cw_jwks_notes(set); i++) {
        const char *note = cw_jwks_note(set, i);
        char *line = list_add(&skipped, strlen(note) + 1);
        if (line) {
            memcpy(line, note, strlen(note) + 1);
        }
    }
    to->keys = (Clinicwave__Token__V1__Key **)keys.items;
    to->n_keys = keys.n;
    to->skipped = (char **)skipped.items;
    to->n_skipped = skipped.n;
}

static void add_issuer(void *ctx, struct cw_key_source *source,
                       const struct cw_key_source_info *info)
{
    struct list *list = ctx;
    const Clinicwave__Token__V1__ListKeysRequest *request =
        (const Clinicwave__Token__V1__ListKeysRequest *)list->task->request;

    (void)source;
    if (request->tenant[0] && strcmp(request->tenant, info->tenant) != 0) {
        return;
    }
    Clinicwave__Token__V1__IssuerKeys *keys = list_add(list, sizeof(*keys));
    if (!keys) {
        return;
    }
    clinicwave__token__v1__issuer_keys__init(keys);
    keys->tenant = copy(list->task, info->tenant);
    keys->issuer = copy(list->task, info->issuer);
    keys->source = copy(list->task, info->place);
    keys->fetched_at = info->fetched_at;
    keys->refresh_at = info->refresh_at;
    keys->error = copy(list->task, info->why);
    keys->fetches = info->fetches;
    keys->failures = info->failures;
    if (info->set) {
        fill_set(list->task, info->set, keys);
    }
}

static enum cw_err list_keys(struct admin_task *task)
{
    Clinicwave__Token__V1__ListKeysResponse response =
        CLINICWAVE__TOKEN__V1__LIST_KEYS_RESPONSE__INIT;
    struct list list = {.task = task};

    cw_key_store_each(task->handle->config.keys, add_issuer, &list);
    ENSURE(!list.failed, CW_NO_MEMORY);
    response.issuers = (Clinicwave__Token__V1__IssuerKeys **)list.items;
    response.n_issuers = list.n;
    cw_rpc_reply(task->call, &response.base);
    return CW_OK;
}

void admin_list_keys(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    submit(call, request, ctx, list_keys);
}

struct refresh {
    const char *issuer;
    Clinicwave__Token__V1__RefreshKeysResponse response;
};

static void refresh_one(void *ctx, struct cw_key_source *source,
                        const struct cw_key_source_info *info)
{
    struct refresh *refresh = ctx;

    if (refresh->issuer[0] && strcmp(refresh->issuer, info->issuer) != 0) {
        return;
    }
    if (cw_key_source_refresh(source)) {
        refresh->response.started++;
    } else {
        refresh->response.limited++;
    }
}

static enum cw_err refresh_keys(struct admin_task *task)
{
    const Clinicwave__Token__V1__RefreshKeysRequest *request =
        (const Clinicwave__Token__V1__RefreshKeysRequest *)task->request;
    struct refresh refresh = {request->issuer, CLINICWAVE__TOKEN__V1__REFRESH_KEYS_RESPONSE__INIT};

    cw_key_store_each(task->handle->config.keys, refresh_one, &refresh);
    cw_rpc_reply(task->call, &refresh.response.base);
    return CW_OK;
}

void admin_refresh_keys(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    submit(call, request, ctx, refresh_keys);
}

/* ---- cache ---- */

static enum cw_err get_stats(struct admin_task *task)
{
    Clinicwave__Token__V1__GetCacheStatsResponse response =
        CLINICWAVE__TOKEN__V1__GET_CACHE_STATS_RESPONSE__INIT;
    struct cache_stats stats;

    cache_stats(task->handle->config.cache, &stats);
    response.entries = stats.entries;
    response.bytes = stats.bytes;
    response.max_entries = stats.max_entries;
    response.max_bytes = stats.max_bytes;
    response.hits = stats.hits;
    response.misses = stats.misses;
    response.evictions = stats.evictions;
    response.expirations = stats.expirations;
    response.withdrawals = stats.withdrawals;
    cw_rpc_reply(task->call, &response.base);
    return CW_OK;
}

void admin_cache_stats(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    submit(call, request, ctx, get_stats);
}

static enum cw_err flush(struct admin_task *task)
{
    const Clinicwave__Token__V1__FlushCacheRequest *request =
        (const Clinicwave__Token__V1__FlushCacheRequest *)task->request;
    Clinicwave__Token__V1__FlushCacheResponse response =
        CLINICWAVE__TOKEN__V1__FLUSH_CACHE_RESPONSE__INIT;

    if (!request->tenant[0]) {
        response.dropped = cache_flush(task->handle->config.cache, 0);
        cw_rpc_reply(task->call, &response.base);
        return CW_OK;
    }
    struct tenants_set *set = tenants_get(task->handle->config.tenants);
    bool found = false;
    for (size_t i = 0; i < tenants_set_count(set); i++) {
        const struct tenant *tenant = tenants_set_at(set, i);
        if (cw_str_is(tenant->name, request->tenant)) {
            response.dropped = cache_flush(task->handle->config.cache, tenant->generation);
            found = true;
        }
    }
    tenants_set_unref(set);
    ENSURE(found, CW_NOT_FOUND);
    cw_rpc_reply(task->call, &response.base);
    return CW_OK;
}

void admin_flush_cache(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    submit(call, request, ctx, flush);
}

/* ---- health ---- */

struct health {
    struct list list;
    enum handle_status worst;
};

static void add_component(void *to, const struct handle_health *from)
{
    struct health *health = to;
    Clinicwave__Token__V1__HealthComponent *component = list_add(&health->list, sizeof(*component));

    if (from->counts && from->status > health->worst) {
        health->worst = from->status;
    }
    if (component) {
        clinicwave__token__v1__health_component__init(component);
        component->name = copy(health->list.task, from->name);
        component->status = (Clinicwave__Token__V1__HealthStatus)from->status;
        component->detail = copy(health->list.task, from->detail);
        component->age_seconds = from->age_s;
        component->remedy = copy(health->list.task, from->remedy);
    }
}

static enum cw_err get_health(struct admin_task *task)
{
    Clinicwave__Token__V1__GetHealthResponse response;
    const struct handle_config *config = &task->handle->config;
    struct health health = {.list = {.task = task}, .worst = HANDLE_UP};

    clinicwave__token__v1__get_health_response__init(&response);

    if (config->health) {
        config->health(config->health_ctx, add_component, &health);
    }
    ENSURE(!health.list.failed, CW_NO_MEMORY);
    response.status = (Clinicwave__Token__V1__HealthStatus)health.worst;
    response.components = (Clinicwave__Token__V1__HealthComponent **)health.list.items;
    response.n_components = health.list.n;
    response.version = copy(task, CW_VERSION);
    response.uptime_seconds =
        (cw_clock_monotonic_ms(config->clock) - task->handle->started_ms) / 1000;
    cw_rpc_reply(task->call, &response.base);
    return CW_OK;
}

void admin_health(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    submit(call, request, ctx, get_health);
}

/* ---- tenants ---- */

static char **copy_list(struct admin_task *task, const struct cw_str_list *from)
{
    char **to = cw_arena_zalloc(&task->arena, (from->n + 1) * sizeof(char *));

    for (size_t i = 0; to && i < from->n; i++) {
        to[i] = copy_str(task, from->items[i]);
    }
    return to;
}

static enum cw_err fill_tenant(struct admin_task *task, const struct tenant *tenant,
                               Clinicwave__Token__V1__TenantSummary *to)
{
    clinicwave__token__v1__tenant_summary__init(to);
    to->name = copy_str(task, tenant->name);
    to->domains = copy_list(task, &tenant->domains);
    to->audiences = copy_list(task, &tenant->audiences);
    to->issuers = cw_arena_zalloc(&task->arena, (tenant->n_issuers + 1) * sizeof(char *));
    to->origins = copy_list(task, &tenant->origins);
    ENSURE(to->domains && to->audiences && to->issuers && to->origins, CW_NO_MEMORY);
    to->n_domains = tenant->domains.n;
    to->n_origins = tenant->origins.n;
    to->n_audiences = tenant->audiences.n;
    to->n_issuers = tenant->n_issuers;
    for (size_t i = 0; i < tenant->n_issuers; i++) {
        to->issuers[i] = copy_str(task, tenant->issuers[i].name);
    }
    to->source = copy(task, tenant->learned ? "authsvc" : "configuration");
    to->generation = tenant->generation;
    return CW_OK;
}

static enum cw_err list_tenants(struct admin_task *task)
{
    Clinicwave__Token__V1__ListTenantsResponse response =
        CLINICWAVE__TOKEN__V1__LIST_TENANTS_RESPONSE__INIT;
    struct tenants_set *set = tenants_get(task->handle->config.tenants);
    struct list list = {.task = task};
    enum cw_err err = CW_OK;

    for (size_t i = 0; err == CW_OK && i < tenants_set_count(set); i++) {
        Clinicwave__Token__V1__TenantSummary *summary = list_add(&list, sizeof(*summary));
        err = summary ? fill_tenant(task, tenants_set_at(set, i), summary) : CW_NO_MEMORY;
    }
    tenants_set_unref(set);
    TRY(err);
    response.tenants = (Clinicwave__Token__V1__TenantSummary **)list.items;
    response.n_tenants = list.n;
    cw_rpc_reply(task->call, &response.base);
    return CW_OK;
}

void admin_list_tenants(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    submit(call, request, ctx, list_tenants);
}
