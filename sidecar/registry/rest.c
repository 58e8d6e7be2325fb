/* Eureka's REST API for this host, as Spring's and other stock clients speak it. Reads are for
 * every local process, writes as registry.embedded.writers says. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/eureka/parse.h"
#include "sidecar/registry/registry_internal.h"
#include "sidecar/registry/rest_lease.h"

enum {
    BODY_MAX = 64 << 10,
    DOCUMENT_MAX = 64 << 20,
    MEDIA_MAX = 64,
    CONNECTIONS = 256,
};

/* ---- what a request says ---- */

/* JSON only for those who say so: the real server's rule, by which readers of XML live. */
static enum cw_eureka_format format_of(const struct cw_http_request *request)
{
    struct cw_str accept;
    char copy[256];
    if (!cw_http_header(request, "Accept", &accept)) {
        return CW_EUREKA_XML;
    }
    size_t n = CW_MIN(accept.n, sizeof(copy) - 1);
    memcpy(copy, accept.p, n);
    copy[n] = '\0';
    return strcasestr(copy, "json") != NULL ? CW_EUREKA_JSON : CW_EUREKA_XML;
}

static void reply_document(struct cw_http_request *request, enum cw_eureka_format format,
                           struct cw_buf *document)
{
    if (cw_buf_check(document) != CW_OK) {
        cw_http_problem(request, CW_NO_MEMORY, NULL);
    } else {
        cw_http_reply(request, 200,
                      format == CW_EUREKA_JSON ? "application/json" : "application/xml",
                      cw_buf_str(document));
    }
    cw_buf_done(document);
}

/* The route's application in upper case; NULL, and 404 answered, for what can be none. */
static const char *app_of(struct cw_http_request *request)
{
    struct cw_str app = cw_http_param(request, "app");
    const char *upper =
        cw_eureka_app_is_valid(app) ? cw_eureka_app_upper(cw_http_arena(request), app) : NULL;
    if (upper == NULL) {
        cw_http_problem(request, CW_NOT_FOUND, NULL);
    }
    return upper;
}

static const char *id_of(struct cw_http_request *request)
{
    struct cw_str id = cw_http_param(request, "id");
    const char *copy = cw_eureka_id_is_valid(id) ? cw_arena_dup(cw_http_arena(request), id) : NULL;
    if (copy == NULL) {
        cw_http_problem(request, CW_NOT_FOUND, NULL);
    }
    return copy;
}

/* Milliseconds; 0 when absent. False, and 400 answered, when malformed. */
static bool dirty_of(struct cw_http_request *request, int64_t *ret_ms)
{
    struct cw_str text;
    uint64_t number = 0;
    if (cw_http_query(request, "lastDirtyTimestamp", &text) && text.n > 0 &&
        cw_str_to_u64(text, INT64_MAX, &number) != CW_OK) {
        cw_http_problem(request, CW_REQUEST_MALFORMED, "lastDirtyTimestamp is no number");
        return false;
    }
    *ret_ms = (int64_t)number;
    return true;
}

static bool may_write(struct cw_http_request *request, const struct registry *registry)
{
    if (!registry->config.writers) {
        cw_http_problem(request, CW_FORBIDDEN,
                        "this registry is read-only (registry.embedded.writers)");
    }
    return registry->config.writers;
}

static void reply_done(struct cw_http_request *request, int status, enum cw_err err)
{
    if (err == CW_OK) {
        cw_http_reply(request, status, NULL, CW_STR(""));
    } else if (err == CW_FORBIDDEN) {
        cw_http_problem(request, err, "this instance was not registered by REST");
    } else {
        cw_http_problem(request, err, NULL);
    }
}

/* ---- reading ---- */

/* A Unix socket cannot be told in Eureka's words, and one that is gone is none. */
static bool is_shown(const struct registry_instance *instance, bool gone)
{
    return !gone && instance->socket_path == NULL;
}

static struct cw_eureka_entry entry_of(const struct registry_instance *instance,
                                       enum cw_eureka_action action)
{
    return (struct cw_eureka_entry){
        .instance = &instance->eureka,
        .renewal_ms = atomic_load_explicit(&instance->renewal_ms, memory_order_relaxed),
        .action = action,
    };
}

struct document {
    struct cw_eureka_entry *entries;
    struct cw_eureka_app *apps;
    size_t n_entries, n_apps;
    struct cw_eureka_hash hash;
};

static void document_done(struct document *document)
{
    free(document->entries);
    free(document->apps);
}

static bool vip_has(const char *vips, struct cw_str wanted)
{
    struct cw_str rest = cw_str(vips), vip;
    while (cw_str_word(&rest, ',', &vip)) {
        if (cw_str_eq_nocase(cw_str_trim(vip), wanted)) {
            return true;
        }
    }
    return false;
}

/* The snapshot as a document; `vip` picks by vipAddress or secureVipAddress, an empty one takes
 * all. */
static enum cw_err document_make(const struct registry_snapshot *snapshot, struct cw_str vip,
                                 bool secure, struct document *ret_document)
{
    struct document d = {0};
    size_t most = 0;
    for (size_t a = 0; a < snapshot->n; a++) {
        most += snapshot->apps[a].n;
    }
    d.entries = calloc(most + 1, sizeof(*d.entries));
    d.apps = calloc(snapshot->n + 1, sizeof(*d.apps));
    if (d.entries == NULL || d.apps == NULL) {
        document_done(&d);
        return CW_NO_MEMORY;
    }
    for (size_t a = 0; a < snapshot->n; a++) {
        struct cw_eureka_app app = {snapshot->apps[a].name, &d.entries[d.n_entries], 0};
        for (size_t i = 0; i < snapshot->apps[a].n; i++) {
            const struct registry_item *item = &snapshot->apps[a].items[i];
            const struct cw_eureka_instance *e = &item->instance->eureka;
            if (is_shown(item->instance, item->gone) &&
                (vip.n == 0 || vip_has(secure ? e->secure_vip_address : e->vip_address, vip))) {
                d.entries[d.n_entries++] = entry_of(item->instance, item->action);
                cw_eureka_hash_add(&d.hash, e->status);
                app.n++;
            }
        }
        if (app.n > 0) {
            d.apps[d.n_apps++] = app;
        }
    }
    *ret_document = d;
    return CW_OK;
}

static void get_document(struct cw_http_request *request, const struct registry *registry,
                         struct cw_str vip, bool secure)
{
    struct registry_snapshot *snapshot = registry_store_snapshot(registry->store);
    struct document d = {0};
    enum cw_err err = snapshot != NULL ? document_make(snapshot, vip, secure, &d) : CW_NO_MEMORY;
    if (err != CW_OK) {
        cw_http_problem(request, err, NULL);
    } else if (vip.n > 0 && d.n_apps == 0) {
        cw_http_problem(request, CW_NOT_FOUND, NULL);
    } else {
        enum cw_eureka_format format = format_of(request);
        struct cw_buf out = CW_BUF_INIT(DOCUMENT_MAX);
        cw_eureka_encode_document(format, vip.n > 0 ? -1 : 1, &d.hash, d.apps, d.n_apps, &out);
        reply_document(request, format, &out);
    }
    document_done(&d);
    registry_snapshot_unref(snapshot);
}

static void get_apps(struct cw_http_request *request, void *ctx)
{
    get_document(request, ctx, (struct cw_str){0}, false);
}

static void get_vip(struct cw_http_request *request, void *ctx)
{
    get_document(request, ctx, cw_http_param(request, "vip"), false);
}

static void get_svip(struct cw_http_request *request, void *ctx)
{
    get_document(request, ctx, cw_http_param(request, "vip"), true);
}

/* Changes of one application stand together; their order within it is the order in which they
 * happened. */
static int change_order(const void *a, const void *b)
{
    const struct registry_change *const *first = a;
    const struct registry_change *const *second = b;
    int order = strcmp((*first)->instance->eureka.app, (*second)->instance->eureka.app);
    return order != 0 ? order : (*first > *second) - (*first < *second);
}

static enum cw_err delta_encode(const struct registry_changes *changes,
                                const struct cw_eureka_hash *hash, uint64_t version,
                                enum cw_eureka_format format, struct cw_buf *out)
{
    const struct registry_change **sorted = calloc(changes->n + 1, sizeof(*sorted));
    struct document d = {.entries = calloc(changes->n + 1, sizeof(*d.entries)),
                         .apps = calloc(changes->n + 1, sizeof(*d.apps))};
    bool made = sorted != NULL && d.entries != NULL && d.apps != NULL;
    size_t n = 0;
    for (size_t i = 0; made && i < changes->n; i++) {
        if (is_shown(changes->p[i].instance, false)) {
            sorted[n++] = &changes->p[i];
        }
    }
    if (made && n > 0) {
        qsort(sorted, n, sizeof(*sorted), change_order);
    }
    for (size_t i = 0; made && i < n; i++) {
        const char *app = sorted[i]->instance->eureka.app;
        if (d.n_apps == 0 || strcmp(d.apps[d.n_apps - 1].name, app) != 0) {
            d.apps[d.n_apps++] = (struct cw_eureka_app){app, &d.entries[i], 0};
        }
        d.entries[i] = entry_of(sorted[i]->instance, sorted[i]->action);
        d.apps[d.n_apps - 1].n++;
    }
    if (made) {
        cw_eureka_encode_document(format, (int64_t)version, hash, d.apps, d.n_apps, out);
    }
    document_done(&d);
    free(sorted);
    return made ? CW_OK : CW_NO_MEMORY;
}

/* The hash is of the registry, which may have moved on past the changes: the reader then fetches
 * all, as with the real server. */
static void get_delta(struct cw_http_request *request, void *ctx)
{
    struct registry *registry = ctx;
    struct registry_changes changes = {0};
    struct document whole = {0};
    struct cw_buf out = CW_BUF_INIT(DOCUMENT_MAX);
    enum cw_eureka_format format = format_of(request);
    struct registry_snapshot *snapshot = registry_store_snapshot(registry->store);
    enum cw_err err =
        snapshot != NULL ? registry_store_changes(registry->store, &changes) : CW_NO_MEMORY;
    if (err == CW_OK) {
        err = document_make(snapshot, (struct cw_str){0}, false, &whole);
    }
    if (err == CW_OK) {
        err = delta_encode(&changes, &whole.hash, snapshot->generation, format, &out);
    }
    if (err == CW_OK) {
        reply_document(request, format, &out);
    } else {
        cw_http_problem(request, err, NULL);
    }
    cw_buf_done(&out);
    document_done(&whole);
    registry_changes_done(&changes);
    registry_snapshot_unref(snapshot);
}

static void get_app(struct cw_http_request *request, void *ctx)
{
    struct registry *registry = ctx;
    const char *name = app_of(request);
    if (name == NULL) {
        return;
    }
    struct registry_snapshot *snapshot = registry_store_snapshot(registry->store);
    struct document d = {0};
    enum cw_err err =
        snapshot != NULL ? document_make(snapshot, (struct cw_str){0}, false, &d) : CW_NO_MEMORY;
    size_t at = 0;
    while (at < d.n_apps && strcmp(d.apps[at].name, name) != 0) {
        at++;
    }
    if (err != CW_OK || at == d.n_apps) {
        cw_http_problem(request, err != CW_OK ? err : CW_NOT_FOUND, NULL);
    } else {
        enum cw_eureka_format format = format_of(request);
        struct cw_buf out = CW_BUF_INIT(DOCUMENT_MAX);
        cw_eureka_encode_app(format, &d.apps[at], &out);
        reply_document(request, format, &out);
    }
    document_done(&d);
    registry_snapshot_unref(snapshot);
}

static const struct registry_item *item_find(const struct registry_snapshot *snapshot,
                                             const char *app, const char *id)
{
    for (size_t a = 0; a < snapshot->n; a++) {
        if (app == NULL || strcmp(snapshot->apps[a].name, app) == 0) {
            const struct registry_item *item = registry_app_find(&snapshot->apps[a], id);
            if (item != NULL && is_shown(item->instance, item->gone)) {
                return item;
            }
        }
    }
    return NULL;
}

static void get_item(struct cw_http_request *request, const struct registry *registry,
                     const char *app, const char *id)
{
    struct registry_snapshot *snapshot = registry_store_snapshot(registry->store);
    const struct registry_item *item = snapshot != NULL ? item_find(snapshot, app, id) : NULL;
    if (item == NULL) {
        cw_http_problem(request, snapshot != NULL ? CW_NOT_FOUND : CW_NO_MEMORY, NULL);
    } else {
        enum cw_eureka_format format = format_of(request);
        struct cw_eureka_entry entry = entry_of(item->instance, item->action);
        struct cw_buf out = CW_BUF_INIT(DOCUMENT_MAX);
        cw_eureka_encode_instance(format, &entry, &out);
        reply_document(request, format, &out);
    }
    registry_snapshot_unref(snapshot);
}

static void get_instance(struct cw_http_request *request, void *ctx)
{
    const char *app = app_of(request);
    const char *id = app != NULL ? id_of(request) : NULL;
    if (id != NULL) {
        get_item(request, ctx, app, id);
    }
}

static void get_by_id(struct cw_http_request *request, void *ctx)
{
    const char *id = id_of(request);
    if (id != NULL) {
        get_item(request, ctx, NULL, id);
    }
}

/* ---- writing ---- */

static bool media_is_taken(const struct cw_http_request *request)
{
    struct cw_str type, parameter;
    if (!cw_http_header(request, "Content-Type", &type)) {
        return false;
    }
    size_t end = cw_str_find(type, ';');
    if (!cw_str_eq_nocase(cw_str_trim(cw_str_slice(type, 0, end)), CW_STR("application/json"))) {
        return false;
    }
    struct cw_str rest = cw_str_slice(type, CW_MIN(end + 1, type.n), type.n);
    while (cw_str_word(&rest, ';', &parameter)) {
        parameter = cw_str_trim(parameter);
        if (parameter.n > 8 &&
            cw_str_eq_nocase(cw_str_slice(parameter, 0, 8), CW_STR("charset="))) {
            struct cw_str name = cw_str_slice(parameter, 8, parameter.n);
            if (!cw_str_eq_nocase(name, CW_STR("utf-8")) &&
                !cw_str_eq_nocase(name, CW_STR("\"utf-8\""))) {
                return false;
            }
        }
    }
    return true;
}

static void post_app(struct cw_http_request *request, void *ctx)
{
    struct registry *registry = ctx;
    if (!may_write(request, registry)) {
        return;
    }
    if (!media_is_taken(request)) {
        cw_http_problem(request, CW_MEDIA_TYPE_UNSUPPORTED, NULL);
        return;
    }
    struct cw_arena arena = CW_ARENA_INIT(2 * CW_EUREKA_INSTANCE_MAX);
    struct cw_eureka_instance instance;
    struct cw_eureka_refusal refusal;
    enum cw_err err = cw_eureka_parse_registration(&arena, cw_http_param(request, "app"),
                                                   cw_http_body(request), &instance, &refusal);
    bool parsed = err == CW_OK;
    if (parsed) {
        err = registry_rest_register(registry->store, &instance);
        if (err != CW_OK) {
            registry_log(REGISTRY_EVENT_REFUSED, instance.app, cw_eureka_instance_id(&instance),
                         err);
        }
    }
    if (!parsed && err == CW_REQUEST_MALFORMED) {
        cw_http_reply(request, 400, refusal.text[0] == '{' ? "application/json" : "text/plain",
                      cw_str(refusal.text));
    } else {
        reply_done(request, 204, err);
    }
    cw_arena_done(&arena);
}

/* Application, id and dirty timestamp of a write; false when it was answered already. */
static bool write_begin(struct cw_http_request *request, const struct registry *registry,
                        const char **ret_app, const char **ret_id, int64_t *ret_dirty)
{
    return may_write(request, registry) && (*ret_app = app_of(request)) != NULL &&
           (*ret_id = id_of(request)) != NULL && dirty_of(request, ret_dirty);
}

static void put_instance(struct cw_http_request *request, void *ctx)
{
    struct registry *registry = ctx;
    const char *app, *id;
    int64_t dirty;
    if (write_begin(request, registry, &app, &id, &dirty)) {
        reply_done(request, 200, registry_rest_renew(registry->store, app, id, dirty));
    }
}

static void delete_instance(struct cw_http_request *request, void *ctx)
{
    struct registry *registry = ctx;
    const char *app, *id;
    int64_t dirty;
    if (write_begin(request, registry, &app, &id, &dirty)) {
        reply_done(request, 200, registry_rest_cancel(registry->store, app, id));
    }
}

static void put_status(struct cw_http_request *request, void *ctx)
{
    struct registry *registry = ctx;
    const char *app, *id;
    int64_t dirty;
    if (!write_begin(request, registry, &app, &id, &dirty)) {
        return;
    }
    struct cw_str value = {0};
    bool given = cw_http_query(request, "value", &value);
    enum cw_eureka_status status = cw_eureka_status_parse(value);
    if (!given || (status == CW_EUREKA_UNKNOWN && !cw_str_is(value, "UNKNOWN"))) {
        cw_http_problem(request, CW_REQUEST_MALFORMED, "value is no status");
        return;
    }
    reply_done(request, 200, registry_rest_override(registry->store, app, id, status, dirty));
}

static void delete_status(struct cw_http_request *request, void *ctx)
{
    struct registry *registry = ctx;
    const char *app, *id;
    int64_t dirty;
    if (!write_begin(request, registry, &app, &id, &dirty)) {
        return;
    }
    struct cw_str value = {0};
    bool given = cw_http_query(request, "value", &value);
    enum cw_eureka_status status = cw_eureka_status_parse(value);
    if (given && status == CW_EUREKA_UNKNOWN && !cw_str_is(value, "UNKNOWN")) {
        cw_http_problem(request, CW_REQUEST_MALFORMED, "value is no status");
        return;
    }
    reply_done(request, 200, registry_rest_override_end(registry->store, app, id, status, dirty));
}

static void put_metadata(struct cw_http_request *request, void *ctx)
{
    struct registry *registry = ctx;
    const char *app, *id;
    int64_t dirty;
    if (!write_begin(request, registry, &app, &id, &dirty)) {
        return;
    }
    struct cw_eureka_pair pairs[CW_EUREKA_PAIRS_MAX];
    struct cw_str name, value;
    size_t n = 0;
    while (n < CW_EUREKA_PAIRS_MAX && cw_http_query_at(request, n, &name, &value)) {
        const char *key = cw_arena_dup(cw_http_arena(request), name);
        const char *text = cw_arena_dup(cw_http_arena(request), value);
        if (key == NULL || text == NULL || name.n == 0 || name.n > CW_EUREKA_PAIR_KEY_MAX ||
            value.n > CW_EUREKA_TEXT_MAX) {
            cw_http_problem(request, CW_REQUEST_MALFORMED, "metadata too large");
            return;
        }
        pairs[n++] = (struct cw_eureka_pair){key, text};
    }
    reply_done(
        request, 200,
        registry_rest_metadata(registry->store, app, id, (struct cw_eureka_pairs){pairs, n}));
}

/* ---- the table ---- */

#define ROUTES(base)                                                                               \
    {.method = "GET", .path = base "/apps", .handle = get_apps},                                   \
        {.method = "GET", .path = base "/apps/", .handle = get_apps},                              \
        {.method = "GET", .path = base "/apps/delta", .handle = get_delta},                        \
        {.method = "GET", .path = base "/vips/{vip}", .handle = get_vip},                          \
        {.method = "GET", .path = base "/svips/{vip}", .handle = get_svip},                        \
        {.method = "GET", .path = base "/instances/{id}", .handle = get_by_id},                    \
        {.method = "GET", .path = base "/apps/{app}", .handle = get_app},                          \
        {.method = "GET", .path = base "/apps/{app}/{id}", .handle = get_instance},                \
        {.method = "POST", .path = base "/apps/{app}", .handle = post_app, .max_body = BODY_MAX},  \
        {.method = "PUT", .path = base "/apps/{app}/{id}", .handle = put_instance},                \
        {.method = "DELETE", .path = base "/apps/{app}/{id}", .handle = delete_instance},          \
        {.method = "PUT", .path = base "/apps/{app}/{id}/status", .handle = put_status},           \
        {.method = "DELETE", .path = base "/apps/{app}/{id}/status", .handle = delete_status},     \
    {                                                                                              \
        .method = "PUT", .path = base "/apps/{app}/{id}/metadata", .handle = put_metadata          \
    }

static const struct cw_http_route routes[] = {ROUTES("/eureka"), ROUTES("/eureka/v2")};

enum cw_err registry_rest_start(struct registry *registry, char ret_detail[REGISTRY_DETAIL_MAX])
{
    struct cw_http_routes table = {routes, CW_ARRAY_SIZE(routes), registry};
    struct cw_http_server_options options = {
        .name = "registry",
        .address = registry->config.address,
        .port = registry->config.port,
        .tables = &table,
        .n_tables = 1,
        .connections = CONNECTIONS,
        .idle_ms = 60000, /* clients keep their connection from heartbeat to heartbeat */
    };
    TRY(cw_http_server_start(&options, ret_detail, &registry->http));
    registry_log(REGISTRY_EVENT_LISTENING, NULL, NULL, CW_OK);
    return CW_OK;
}

void registry_rest_stop(struct registry *registry)
{
    cw_http_server_stop(registry->http, 1000);
    registry->http = NULL;
}
