/* Merges, swaps, follows. A tenant that did not change stays the same object in the next set. */
#include "authsvc/admin/book.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authsvc/admin/book_impl.h"
#include "authsvc/keys/sealed.h"
#include "authsvc/main/config.h"

enum { SECRETS_MAX = 64 * 1024 };

/* --- rows ------------------------------------------------------------------------------- */

static void row_done(struct book_row *row)
{
    tenant_unref(row->tenant);
    free(row->name);
    free(row->problem);
}

/* Where the name is or belongs. */
static size_t position(const struct book *book, struct cw_str name)
{
    size_t low = 0;
    size_t high = book->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (cw_str_order(cw_str(book->rows[mid].name), name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct book_row *book_row_find(struct book *book, struct cw_str name)
{
    size_t at = position(book, name);
    return at < book->n && cw_str_is(name, book->rows[at].name) ? &book->rows[at] : NULL;
}

/* Takes what is in the row. */
static enum cw_err put_row(struct book *book, struct book_row *row)
{
    struct book_row *found = book_row_find(book, cw_str(row->name));
    if (found != NULL) {
        row_done(found);
        *found = *row;
        return CW_OK;
    }
    if (book->n == book->cap) {
        size_t cap = book->cap > 0 ? book->cap * 2 : 16;
        struct book_row *rows = reallocarray(book->rows, cap, sizeof(*rows));
        if (rows == NULL) {
            row_done(row);
            return CW_NO_MEMORY;
        }
        book->rows = rows;
        book->cap = cap;
    }
    size_t at = position(book, cw_str(row->name));
    memmove(&book->rows[at + 1], &book->rows[at], (book->n - at) * sizeof(*row));
    book->rows[at] = *row;
    book->n++;
    return CW_OK;
}

/* --- reading ---------------------------------------------------------------------------- */

enum cw_err book_open_secrets(struct book *book, struct cw_str name, struct cw_str sealed,
                              struct document **ret_secrets)
{
    struct cw_secret plain = {0};
    if (sealed.n == 0) {
        return document_parse(CW_STR(""), ret_secrets);
    }
    TRY(sealed_open(keyring_kek(book->deps.keys), STORE_SEALED_TENANT, name, CW_STR(""), sealed,
                    &plain));
    enum cw_err err = document_parse(cw_secret_str(&plain), ret_secrets);
    cw_secret_done(&plain);
    return err;
}

enum cw_err book_seal_secrets(struct book *book, struct cw_str name, const struct document *secrets,
                              struct cw_buf *ret_sealed)
{
    struct cw_buf plain = CW_BUF_INIT(SECRETS_MAX);
    enum cw_err err = document_write(secrets, &plain);
    if (err == CW_OK && plain.n > 2) { /* {} */
        err = sealed_make(keyring_kek(book->deps.keys), STORE_SEALED_TENANT, name, CW_STR(""),
                          cw_buf_str(&plain), ret_sealed);
    }
    if (plain.n > 0) {
        cw_secret_wipe(plain.p, plain.n);
    }
    cw_buf_done(&plain);
    return err;
}

static enum cw_err make_tenant(struct book *book, const struct store_tenant *t,
                               struct cw_buf *problems, struct tenant **ret_tenant)
{
    struct document *document = NULL;
    struct document *secrets = NULL;
    enum cw_err err = document_parse(t->document, &document);
    if (err == CW_OK) {
        err = book_open_secrets(book, t->name, t->secrets, &secrets);
    }
    if (err == CW_OK) {
        err = document_tenant(document, secrets, t->name, &book->schema, problems, ret_tenant);
    }
    document_free(document);
    document_free(secrets);
    return err;
}

static void tell(struct book *book, struct cw_str name, struct cw_str text)
{
    if (book->deps.on_problem != NULL) {
        book->deps.on_problem(book->deps.ctx, name, text);
    }
}

/* One tenant that cannot be used does not stop the others. */
static enum cw_err read_row(void *ctx, const struct store_tenant *t)
{
    struct book *book = ctx;
    CW_CLEANUP(cw_buf_done) struct cw_buf problems = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct book_row row = {
        .name = cw_str_dup(t->name),
        .version = t->version,
        .created_at = t->created_at,
        .updated_at = t->updated_at,
        .disabled = t->disabled,
    };
    ENSURE(row.name != NULL, CW_NO_MEMORY);
    enum cw_err err = make_tenant(book, t, &problems, &row.tenant);
    if (err != CW_OK) {
        cw_buf_addf(&problems, "%s", problems.n == 0 ? cw_err_info(err)->meaning : "");
        row.problem = cw_str_dup(cw_buf_str(&problems));
        tell(book, t->name, cw_buf_str(&problems));
    } else {
        row.tenant->disabled = t->disabled;
    }
    return put_row(book, &row);
}

/* A tenant that another process removed: its private keys go out of memory, too. */
static void drop_row(struct book *book, struct book_row *row)
{
    struct cw_str name = cw_str(row->name);
    if (book->configured == NULL || tenant_set_by_name(book->configured, name) == NULL) {
        keyring_forget(book->deps.keys, name);
    }
    row_done(row);
}

struct names {
    struct book *book;
    size_t kept; /* rows before it are in the database */
};

/* Rows and names come in the same order: what lies between two names is gone. */
static enum cw_err keep_row(void *ctx, struct cw_str name)
{
    struct names *names = ctx;
    struct book *book = names->book;
    size_t at = names->kept;
    while (at < book->n && cw_str_order(cw_str(book->rows[at].name), name) < 0) {
        at++;
    }
    for (size_t i = names->kept; i < at; i++) {
        drop_row(book, &book->rows[i]);
    }
    memmove(&book->rows[names->kept], &book->rows[at], (book->n - at) * sizeof(struct book_row));
    book->n -= at - names->kept;
    names->kept += names->kept < book->n && cw_str_is(name, book->rows[names->kept].name);
    return CW_OK;
}

enum cw_err book_read(struct book *book)
{
    uint64_t version = 0;
    TRY(store_tenant_version(book->deps.store, &version));
    if (version == book->seen) {
        return CW_OK;
    }
    struct names names = {.book = book};
    book->dirty = true;
    TRY(store_tenant_since(book->deps.store, book->seen, read_row, book));
    TRY(store_tenant_names(book->deps.store, keep_row, &names));
    for (size_t i = names.kept; i < book->n; i++) {
        drop_row(book, &book->rows[i]);
    }
    book->n = names.kept;
    book->seen = version; /* a change since then is read once more */
    return CW_OK;
}

/* --- merging ---------------------------------------------------------------------------- */

static void tell_conflict(const struct tenant_conflict *c, struct cw_buf *detail)
{
    const struct tenant *holder = c->one->configured ? c->one : c->other;
    cw_buf_addf(detail, "%s %.*s: tenants %.*s and %.*s%s", c->what, CW_STR_ARG(c->value),
                CW_STR_ARG(c->one->name), CW_STR_ARG(c->other->name),
                holder->configured ? "; " : "");
    if (holder->configured) {
        cw_buf_addf(detail, "%.*s stands in the configuration file", CW_STR_ARG(holder->name));
    }
}

struct merging {
    struct tenant **list; /* borrowed */
    size_t n;
};

static void drop(struct merging *m, const struct tenant *tenant)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->list[i] == tenant) {
            m->list[i] = m->list[--m->n];
            return;
        }
    }
}

static void gather(struct book *book, const struct tenant_set *configured, struct tenant *instead,
                   struct merging *m)
{
    for (size_t i = 0; configured != NULL && i < configured->n; i++) {
        m->list[m->n++] = configured->tenants[i];
    }
    for (size_t i = 0; i < book->n; i++) {
        struct book_row *row = &book->rows[i];
        bool replaced = instead != NULL && cw_str_is(instead->name, row->name);
        if (row->tenant != NULL && !replaced) {
            m->list[m->n++] = row->tenant;
        }
    }
    if (instead != NULL) {
        m->list[m->n++] = instead;
    }
}

enum cw_err book_merge(struct book *book, const struct tenant_set *configured,
                       struct tenant *instead, bool strict, struct cw_buf *detail,
                       struct tenant_set **ret_set)
{
    size_t n_configured = configured != NULL ? configured->n : 0;
    struct merging m = {.list = calloc(n_configured + book->n + 2, sizeof(struct tenant *))};
    ENSURE(m.list != NULL, CW_NO_MEMORY);
    gather(book, configured, instead, &m);
    struct tenant_conflict conflict;
    enum cw_err err = tenant_set_new(m.list, m.n, &conflict, ret_set);
    while (err == CW_CONFLICT && !strict) {
        /* Another authsvc, with another file, let it in: the file that is here wins. */
        const struct tenant *loser = conflict.other->configured ? conflict.one : conflict.other;
        CW_CLEANUP(cw_buf_done) struct cw_buf text = CW_BUF_INIT(4096);
        tell_conflict(&conflict, &text);
        tell(book, loser->name, cw_buf_str(&text));
        drop(&m, loser);
        err = tenant_set_new(m.list, m.n, &conflict, ret_set);
    }
    if (err == CW_CONFLICT) {
        tell_conflict(&conflict, detail);
    }
    free((void *)m.list);
    return err;
}

static void swap(struct book *book, struct tenant_set *set, unsigned wait_ms)
{
    struct tenant_set *mine = tenant_set_ref(set);
    book->dirty = false;
    tenant_current_swap(book->current, set);
    enum cw_err err = CW_OK;
    if (book->deps.publish != NULL) {
        err = book->deps.publish(book->deps.ctx, mine, wait_ms);
    }
    if (err != CW_OK) { /* the sidecars get it with the next change, or when they connect anew */
        tell(book, CW_STR(""), cw_str(cw_err_info(err)->meaning));
    }
    tenant_set_unref(mine);
}

/* --- keys ------------------------------------------------------------------------------- */

enum cw_err book_load_keys(struct book *book, const struct tenant *tenant, struct cw_buf *message)
{
    if (tenant->login != TENANT_LOGIN_DATABASE) {
        return CW_OK; /* its provider signs */
    }
    const struct keyring_want want = book_keys_wanted(tenant);
    return keyring_load(book->deps.keys, tenant->name, &want, message);
}

/* Of all tenants of the database that have none in memory yet. */
static enum cw_err load_stored_keys(struct book *book, struct cw_buf *message)
{
    for (size_t i = 0; i < book->n; i++) {
        struct book_row *row = &book->rows[i];
        if (row->tenant != NULL && !row->has_keys) {
            TRY(book_load_keys(book, row->tenant, message));
            row->has_keys = true;
        }
    }
    return CW_OK;
}

/* Every tenant has a row and its keys before anybody can ask for them. */
static enum cw_err load_configured_keys(struct book *book, const struct tenant_set *set,
                                        struct cw_buf *message)
{
    for (size_t i = 0; i < set->n; i++) {
        TRY(store_tenant_add(book->deps.store, set->tenants[i]->name));
        TRY(book_load_keys(book, set->tenants[i], message));
    }
    return CW_OK;
}

/* --- configuration and following -------------------------------------------------------- */

static enum cw_err configure(struct book *book, const struct tenant_set *configured,
                             struct cw_buf *message)
{
    struct tenant_set *set = NULL;
    TRY(book_read(book));
    TRY(book_merge(book, configured, NULL, true, message, &set));
    enum cw_err err = load_configured_keys(book, configured, message);
    if (err == CW_OK) {
        err = load_stored_keys(book, message);
    }
    if (err != CW_OK) {
        tenant_set_unref(set);
        return err;
    }
    swap(book, set, 0);
    return CW_OK;
}

enum cw_err book_configure(struct book *book, const struct cw_config *config,
                           struct cw_buf *message)
{
    struct tenant_set *configured = NULL;
    TRY(authsvc_tenants(config, message, &configured));
    pthread_mutex_lock(&book->lock);
    enum cw_err err = configure(book, configured, message);
    if (err == CW_OK) {
        tenant_set_unref(book->configured);
        cw_config_unref(book->config);
        book->configured = configured;
        book->config = cw_config_ref(config);
    } else {
        tenant_set_unref(configured);
    }
    pthread_mutex_unlock(&book->lock);
    return err;
}

enum cw_err book_settle(struct book *book, unsigned wait_ms)
{
    struct tenant_set *set = NULL;
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(4096);
    enum cw_err err = book_read(book);
    if (err == CW_OK && !book->dirty) {
        return CW_OK;
    }
    if (err == CW_OK) {
        err = load_stored_keys(book, &message);
    }
    if (err == CW_OK) {
        err = book_merge(book, book->configured, NULL, false, &message, &set);
    }
    if (err != CW_OK) { /* the next round tries again */
        tell(book, CW_STR(""),
             message.n > 0 ? cw_buf_str(&message) : cw_str(cw_err_info(err)->meaning));
        return err;
    }
    swap(book, set, wait_ms);
    return CW_OK;
}

enum cw_err book_refresh(struct book *book)
{
    pthread_mutex_lock(&book->lock);
    enum cw_err err = book_settle(book, 0);
    pthread_mutex_unlock(&book->lock);
    return err;
}

static void *follow(void *arg)
{
    struct book *book = arg;
    pthread_mutex_lock(&book->lock);
    while (!book->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += BOOK_POLL_MS % 1000 * 1000000;
        until.tv_sec += BOOK_POLL_MS / 1000 + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        int rc = pthread_cond_timedwait(&book->wake, &book->lock, &until);
        if (atomic_exchange(&book->poked, false) || rc == ETIMEDOUT) {
            enum cw_err err = book_settle(book, 0);
            (void)err; /* told; the next round tries again */
        }
    }
    pthread_mutex_unlock(&book->lock);
    return NULL;
}

void book_poke(struct book *book)
{
    atomic_store(&book->poked, true);
    pthread_cond_signal(&book->wake); /* one that is missed is made up for by the next look */
}

enum cw_err book_follow(struct book *book)
{
    ENSURE(pthread_create(&book->thread, NULL, follow, book) == 0, CW_UNAVAILABLE);
    book->following = true;
    return CW_OK;
}

/* --- as a whole ------------------------------------------------------------------------- */

enum cw_err book_new(const struct book_deps *deps, struct book **ret_book)
{
    struct book *book = calloc(1, sizeof(*book));
    struct tenant_set *set = NULL;
    struct tenant_conflict conflict;
    ENSURE(book != NULL, CW_NO_MEMORY);
    book->deps = *deps;
    book->schema = authsvc_tenant_schema();
    pthread_mutex_init(&book->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&book->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (tenant_set_new(NULL, 0, &conflict, &set) == CW_OK) {
        book->current = tenant_current_new(set);
    }
    if (book->current == NULL) {
        tenant_set_unref(set);
        book_free(book);
        return CW_NO_MEMORY;
    }
    *ret_book = book;
    return CW_OK;
}

void book_free(struct book *book)
{
    if (book == NULL) {
        return;
    }
    pthread_mutex_lock(&book->lock);
    book->stopping = true;
    pthread_cond_signal(&book->wake);
    pthread_mutex_unlock(&book->lock);
    if (book->following) {
        pthread_join(book->thread, NULL);
    }
    for (size_t i = 0; i < book->n; i++) {
        row_done(&book->rows[i]);
    }
    free(book->rows);
    tenant_set_unref(book->configured);
    cw_config_unref(book->config);
    tenant_current_free(book->current);
    pthread_cond_destroy(&book->wake);
    pthread_mutex_destroy(&book->lock);
    free(book);
}

struct tenant_current *book_current(const struct book *book)
{
    return book->current;
}
