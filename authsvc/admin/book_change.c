/* Changes of one tenant: judged as a whole, written, then swapped in. What another process changed
 * meanwhile is read first. */
#include <stdlib.h>
#include <string.h>

#include "authsvc/admin/book_impl.h"

enum { ARENA_MAX = 1024 * 1024, SEALED_MAX = 128 * 1024 };

/* The new state of a tenant on its way. */
struct change {
    struct book *book;
    const struct book_change *wanted;
    struct cw_buf *detail;
    struct cw_arena arena;
    struct store_tenant before; /* version 0: a new one */
    struct document *document;
    struct document *secrets;
    struct tenant *tenant;
    struct tenant_set *set;
};

static bool name_ok(struct cw_str name)
{
    bool ok = name.n > 0 && name.n <= BOOK_NAME_MAX && name.p[0] != '.' && name.p[0] != '-';
    for (size_t i = 0; ok && i < name.n; i++) {
        char c = name.p[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.';
    }
    return ok;
}

static enum cw_err check_not_configured(const struct book *book, struct cw_str name,
                                        struct cw_buf *detail)
{
    if (book->configured == NULL || tenant_set_by_name(book->configured, name) == NULL) {
        return CW_OK;
    }
    cw_buf_addf(detail, "tenant %.*s stands in the configuration file", CW_STR_ARG(name));
    return CW_TENANT_CONFIGURED;
}

/* --- settings --------------------------------------------------------------------------- */

static enum cw_err apply_list(const struct book *book, struct document *document,
                              const struct book_setting *list, size_t n, struct cw_buf *detail)
{
    for (size_t i = 0; i < n; i++) {
        enum cw_err err =
            document_set(document, &book->schema, list[i].name, list[i].values, list[i].n);
        if (err == CW_TENANT_INVALID) {
            cw_buf_addf(detail, "setting %zu has no valid name or value\n", i + 1);
        }
        TRY(err);
    }
    return CW_OK;
}

static enum cw_err apply(struct change *c)
{
    const struct book_change *wanted = c->wanted;
    struct cw_str base = wanted->text.n > 0 ? CW_STR("") : c->before.document;
    TRY(document_parse(base, &c->document));
    TRY(book_open_secrets(c->book, wanted->name, c->before.secrets, &c->secrets));
    if (wanted->text.n > 0) {
        TRY(document_add_text(c->document, wanted->text, &c->book->schema, c->detail));
    }
    TRY(apply_list(c->book, c->document, wanted->settings, wanted->n_settings, c->detail));
    TRY(apply_list(c->book, c->secrets, wanted->secrets, wanted->n_secrets, c->detail));
    TRY(document_tenant(c->document, c->secrets, wanted->name, &c->book->schema, c->detail,
                        &c->tenant));
    c->tenant->disabled = c->before.disabled;
    return CW_OK;
}

/* --- writing ---------------------------------------------------------------------------- */

static enum cw_err write(struct change *c)
{
    struct book *book = c->book;
    CW_CLEANUP(cw_buf_done) struct cw_buf json = CW_BUF_INIT(DOCUMENT_BYTES_MAX);
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(SEALED_MAX);
    TRY(document_write(c->document, &json));
    TRY(book_seal_secrets(book, c->wanted->name, c->secrets, &sealed));
    TRY(store_tenant_add(book->deps.store, c->wanted->name));
    if (c->before.version == 0) {
        /* The key first: a tenant that is there can sign. A later one follows the change. */
        TRY(book_load_keys(book, c->tenant, c->detail));
    }
    const struct store_tenant row = {
        .name = c->wanted->name,
        .issuer = c->tenant->issuer,
        .domains = c->tenant->domains,
        .n_domains = c->tenant->n_domains,
        .document = cw_buf_str(&json),
        .secrets = cw_buf_str(&sealed),
    };
    enum cw_err err = store_tenant_put(book->deps.store, &row, c->before.version);
    if (err == CW_CONFLICT) {
        cw_buf_add_cstr(c->detail, "its name, its issuer or one of its domains was taken just now");
    }
    return err == CW_CONFLICT ? CW_TENANT_CONFLICT : err;
}

static enum cw_err put(struct change *c)
{
    struct book *book = c->book;
    TRY(apply(c));
    enum cw_err err = book_merge(book, book->configured, c->tenant, true, c->detail, &c->set);
    ENSURE(err != CW_CONFLICT, CW_TENANT_CONFLICT);
    TRY(err);
    TRY(write(c));
    return book_settle(book, BOOK_SPREAD_MS);
}

static void change_done(struct change *c)
{
    document_free(c->document);
    document_free(c->secrets);
    tenant_unref(c->tenant);
    tenant_set_unref(c->set);
    cw_arena_done(&c->arena);
}

static enum cw_err create(struct change *c)
{
    struct book *book = c->book;
    struct cw_str name = c->wanted->name;
    if (!name_ok(name)) {
        cw_buf_addf(c->detail,
                    "a tenant's name is 1 to %d letters, digits, '-', '_' and '.', and begins with "
                    "none of the last two",
                    BOOK_NAME_MAX);
        return CW_TENANT_INVALID;
    }
    TRY(book_read(book));
    if (check_not_configured(book, name, c->detail) != CW_OK) {
        return CW_TENANT_CONFLICT;
    }
    if (book_row_find(book, name) != NULL) {
        cw_buf_addf(c->detail, "there is a tenant %.*s already", CW_STR_ARG(name));
        return CW_TENANT_CONFLICT;
    }
    return put(c);
}

enum cw_err book_create(struct book *book, const struct book_change *change, struct cw_buf *detail)
{
    struct change c = {
        .book = book, .wanted = change, .detail = detail, .arena = CW_ARENA_INIT(ARENA_MAX)};
    pthread_mutex_lock(&book->lock);
    enum cw_err err = create(&c);
    pthread_mutex_unlock(&book->lock);
    change_done(&c);
    return err;
}

static enum cw_err update(struct change *c)
{
    struct book *book = c->book;
    TRY(check_not_configured(book, c->wanted->name, c->detail));
    TRY(book_read(book));
    TRY(store_tenant_get(book->deps.store, c->wanted->name, &c->arena, &c->before));
    ENSURE(c->wanted->if_version == 0 || c->wanted->if_version == c->before.version,
           CW_PRECONDITION_FAILED);
    return put(c);
}

enum cw_err book_update(struct book *book, const struct book_change *change, struct cw_buf *detail)
{
    struct change c = {
        .book = book, .wanted = change, .detail = detail, .arena = CW_ARENA_INIT(ARENA_MAX)};
    pthread_mutex_lock(&book->lock);
    enum cw_err err = update(&c);
    pthread_mutex_unlock(&book->lock);
    change_done(&c);
    return err;
}

/* --- disabling, removing ---------------------------------------------------------------- */

static enum cw_err disable(struct book *book, struct cw_str name, bool disabled,
                           struct cw_buf *detail)
{
    TRY(check_not_configured(book, name, detail));
    TRY(store_tenant_set_disabled(book->deps.store, name, disabled));
    return book_settle(book, BOOK_SPREAD_MS);
}

enum cw_err book_set_disabled(struct book *book, struct cw_str name, bool disabled,
                              struct cw_buf *detail)
{
    pthread_mutex_lock(&book->lock);
    enum cw_err err = disable(book, name, disabled, detail);
    pthread_mutex_unlock(&book->lock);
    return err;
}

static enum cw_err remove_tenant(struct book *book, struct cw_str name, struct cw_buf *detail)
{
    TRY(check_not_configured(book, name, detail));
    TRY(book_read(book));
    const struct book_row *row = book_row_find(book, name);
    ENSURE(row != NULL, CW_NOT_FOUND);
    ENSURE(row->disabled, CW_TENANT_ENABLED);
    TRY(store_tenant_remove(book->deps.store, name));
    keyring_forget(book->deps.keys, name);
    return book_settle(book, BOOK_SPREAD_MS);
}

enum cw_err book_remove(struct book *book, struct cw_str name, struct cw_buf *detail)
{
    pthread_mutex_lock(&book->lock);
    enum cw_err err = remove_tenant(book, name, detail);
    pthread_mutex_unlock(&book->lock);
    return err;
}

/* --- signing keys ----------------------------------------------------------------------- */

struct keyring_want book_keys_wanted(const struct tenant *tenant)
{
    return (struct keyring_want){
        .algorithm = tenant->algorithm,
        .life_ms = CW_MAX(tenant->access_life_s, tenant->id_life_s) * 1000,
    };
}

enum cw_err book_spread(struct book *book, unsigned wait_ms)
{
    enum cw_err err = CW_OK;
    pthread_mutex_lock(&book->lock); /* one at a time publishes */
    struct tenant_set *set = tenant_current_get(book->current);
    if (book->deps.publish != NULL) {
        err = book->deps.publish(book->deps.ctx, set, wait_ms);
    }
    tenant_set_unref(set);
    pthread_mutex_unlock(&book->lock);
    return err;
}

/* --- looking ---------------------------------------------------------------------------- */

static struct book_entry entry_of(const struct book_row *row)
{
    return (struct book_entry){
        .name = cw_str(row->name),
        .disabled = row->disabled,
        .version = row->version,
        .created_at = row->created_at,
        .updated_at = row->updated_at,
        .problem = row->problem != NULL ? cw_str(row->problem) : CW_STR(""),
        .tenant = row->tenant,
    };
}

static struct book_entry entry_of_configured(const struct tenant *tenant)
{
    return (struct book_entry){.name = tenant->name, .configured = true, .tenant = tenant};
}

/* Two lists in the order of names, merged. */
static enum cw_err list(struct book *book, struct cw_str after, size_t max,
                        enum cw_err (*each)(void *ctx, const struct book_entry *entry), void *ctx)
{
    size_t i = 0;
    size_t k = 0;
    size_t n_configured = book->configured != NULL ? book->configured->n : 0;
    while (max > 0 && (i < book->n || k < n_configured)) {
        const struct tenant *tenant = k < n_configured ? book->configured->tenants[k] : NULL;
        bool stored = tenant == NULL ||
                      (i < book->n && cw_str_order(tenant->name, cw_str(book->rows[i].name)) > 0);
        struct book_entry entry = stored ? entry_of(&book->rows[i]) : entry_of_configured(tenant);
        i += stored;
        k += !stored;
        if (cw_str_order(entry.name, after) > 0) {
            TRY(each(ctx, &entry));
            max--;
        }
    }
    return CW_OK;
}

enum cw_err book_list(struct book *book, struct cw_str after, size_t max,
                      enum cw_err (*each)(void *ctx, const struct book_entry *entry), void *ctx)
{
    pthread_mutex_lock(&book->lock);
    enum cw_err err = list(book, after, max, each, ctx);
    pthread_mutex_unlock(&book->lock);
    return err;
}

/* The settings of a tenant as they stand in the configuration file. */
static enum cw_err configured_document(struct book *book, struct cw_str name,
                                       struct document *document)
{
    struct cw_config_at root = cw_config_root(book->config);
    for (size_t i = 0; i < cw_config_count(&root, "tenants"); i++) {
        struct cw_config_at tenant = cw_config_item(&root, "tenants", i);
        if (cw_str_is(name, cw_config_string(&tenant, "name"))) {
            return document_add_config(document, book->config, tenant.prefix);
        }
    }
    return CW_NOT_FOUND;
}

static enum cw_err get(struct book *book, struct cw_str name,
                       enum cw_err (*each)(void *ctx, const struct book_entry *entry), void *ctx,
                       struct document **ret_document)
{
    const struct tenant *configured =
        book->configured != NULL ? tenant_set_by_name(book->configured, name) : NULL;
    if (configured != NULL) {
        struct book_entry entry = entry_of_configured(configured);
        TRY(document_parse(CW_STR(""), ret_document));
        TRY(configured_document(book, name, *ret_document));
        return each(ctx, &entry);
    }
    TRY(book_read(book));
    const struct book_row *row = book_row_find(book, name);
    ENSURE(row != NULL, CW_NOT_FOUND);
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(ARENA_MAX);
    struct store_tenant stored;
    TRY(store_tenant_get(book->deps.store, name, &arena, &stored));
    TRY(document_parse(stored.document, ret_document));
    struct book_entry entry = entry_of(row);
    return each(ctx, &entry);
}

enum cw_err book_get(struct book *book, struct cw_str name,
                     enum cw_err (*each)(void *ctx, const struct book_entry *entry), void *ctx,
                     struct document **ret_document)
{
    *ret_document = NULL;
    pthread_mutex_lock(&book->lock);
    enum cw_err err = get(book, name, each, ctx, ret_document);
    pthread_mutex_unlock(&book->lock);
    if (err != CW_OK) {
        document_free(*ret_document);
        *ret_document = NULL;
    }
    return err;
}
