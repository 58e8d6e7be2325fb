/* Eureka's documents for readers: the whole registry, a delta, an application, an instance, by vip.
 */
#include <stdlib.h>
#include <string.h>

#include "common/eureka/encode.h"
#include "sidecar/registry/rest.h"

enum { DOCUMENT_MAX = 64 << 20 };

const char *rest_app(struct cw_http_request *request)
{
    struct cw_str app = cw_http_param(request, "app");
    const char *upper =
        cw_eureka_app_is_valid(app) ? cw_eureka_app_upper(cw_http_arena(request), app) : NULL;
    if (upper == NULL) {
        cw_http_problem(request, CW_NOT_FOUND, NULL);
    }
    return upper;
}

const char *rest_id(struct cw_http_request *request)
{
    struct cw_str id = cw_http_param(request, "id");
    const char *copy = cw_eureka_id_is_valid(id) ? cw_arena_dup(cw_http_arena(request), id) : NULL;
    if (copy == NULL) {
        cw_http_problem(request, CW_NOT_FOUND, NULL);
    }
    return copy;
}

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
        most += snapshot->apps[a]->n;
    }
    d.entries = calloc(most + 1, sizeof(*d.entries));
    d.apps = calloc(snapshot->n + 1, sizeof(*d.apps));
    if (d.entries == NULL || d.apps == NULL) {
        document_done(&d);
        return CW_NO_MEMORY;
    }
    for (size_t a = 0; a < snapshot->n; a++) {
        struct cw_eureka_app app = {snapshot->apps[a]->name, &d.entries[d.n_entries], 0};
        for (size_t i = 0; i < snapshot->apps[a]->n; i++) {
            const struct registry_item *item = &snapshot->apps[a]->items[i];
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

void rest_get_apps(struct cw_http_request *request, void *ctx)
{
    get_document(request, ctx, (struct cw_str){0}, false);
}

void rest_get_vip(struct cw_http_request *request, void *ctx)
{
    get_document(request, ctx, cw_http_param(request, "vip"), false);
}

void rest_get_svip(struct cw_http_request *request, void *ctx)
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
void rest_get_delta(struct cw_http_request *request, void *ctx)
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

void rest_get_app(struct cw_http_request *request, void *ctx)
{
    struct registry *registry = ctx;
    const char *name = rest_app(request);
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
        if (app == NULL || strcmp(snapshot->apps[a]->name, app) == 0) {
            const struct registry_item *item = registry_app_find(snapshot->apps[a], id);
            if (item != NULL && is_shown(item->instance, item->gone)) {
                return item;
            }
        }
    }
    return NULL;
}

/* Of the application that the route names, or of any. */
void rest_get_instance(struct cw_http_request *request, void *ctx)
{
    struct registry *registry = ctx;
    bool by_app = cw_http_param(request, "app").n > 0;
    const char *app = by_app ? rest_app(request) : NULL;
    const char *id = app != NULL || !by_app ? rest_id(request) : NULL;
    if (id == NULL) {
        return;
    }
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
