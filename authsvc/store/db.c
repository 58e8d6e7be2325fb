/* Picks the driver by URL, passes calls on to it, and holds all drivers to the same manners. */
#include "authsvc/store/db.h"

#include <string.h>

static const struct {
    const char *scheme;
    const struct db_driver *driver;
} drivers[] = {
    {"sqlite", &db_sqlite},
    {"postgresql", &db_postgresql},
    {"postgres", &db_postgresql},
};

static const char *const statements[] = {
#define X(name, sql) [DB_##name] = (sql),
#include "authsvc/store/statements.def"
#undef X
};

const char *db_statement_sql(enum db_statement statement)
{
    return statements[statement];
}

bool db_statement_reads(enum db_statement statement)
{
    return cw_str_starts(cw_str(statements[statement]), CW_STR("SELECT"));
}

static enum cw_err find_driver(struct cw_str url, struct cw_str *ret_location,
                               struct cw_buf *ret_message, const struct db_driver **ret_driver)
{
    size_t colon = cw_str_find(url, ':');
    struct cw_str scheme = cw_str_slice(url, 0, colon);
    for (size_t i = 0; colon < url.n && i < CW_ARRAY_SIZE(drivers); i++) {
        if (cw_str_is(scheme, drivers[i].scheme)) {
            *ret_location = cw_str_slice(url, colon + 1, url.n);
            *ret_driver = drivers[i].driver;
            return CW_OK;
        }
    }
    /* Not the rest of it: it may hold a password. */
    cw_buf_addf(ret_message, "\"%.*s\" is no store: expected sqlite:PATH or postgresql://HOST/NAME",
                (int)CW_MIN(scheme.n, 32), scheme.p);
    return CW_CONFIG_INVALID;
}

enum cw_err db_open(const struct db_options *options, struct cw_buf *ret_message,
                    struct db **ret_db)
{
    struct cw_str location;
    const struct db_driver *driver = NULL;
    TRY(find_driver(options->url, &location, ret_message, &driver));
    return driver->open(options, location, ret_message, ret_db);
}

enum cw_err db_check_url(struct cw_str url, struct cw_buf *ret_message)
{
    struct cw_str location;
    const struct db_driver *driver = NULL;
    TRY(find_driver(url, &location, ret_message, &driver));
    return driver->check_url != NULL ? driver->check_url(url, ret_message) : CW_OK;
}

void db_close(struct db *db)
{
    if (db != NULL) {
        db->driver->close(db);
    }
}

enum cw_err db_begin(struct db *db, enum db_durability durability, struct db_tx **ret_tx)
{
    TRY(db->driver->begin(db, durability, ret_tx));
    (*ret_tx)->failed = false;
    return CW_OK;
}

enum cw_err db_end(struct db_tx *tx, enum cw_err err)
{
    if (err == CW_OK && tx->failed) {
        err =
            CW_STORE_UNAVAILABLE; /* whoever overlooked a failure has not got what was asked for */
    }
    if (err != CW_OK) {
        tx->db->driver->rollback(tx);
        return err;
    }
    return tx->db->driver->commit(tx);
}

bool db_texts_are_text(const struct db_value *args, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (args[i].type == DB_ARRAY && !db_texts_are_text(args[i].items, (size_t)args[i].i)) {
            return false;
        }
        if (args[i].type == DB_TEXT && args[i].s.n > 0 &&
            (memchr(args[i].s.p, '\0', args[i].s.n) != NULL || !cw_str_is_utf8(args[i].s))) {
            return false;
        }
    }
    return true;
}

enum cw_err db_run(struct db_tx *tx, enum db_statement statement, const struct db_value *args,
                   size_t n, db_row_fn *row, void *ctx, int64_t *ret_changes)
{
    ENSURE(!tx->failed, CW_STORE_UNAVAILABLE);
    enum cw_err err = CW_REQUEST_MALFORMED;
    if (db_texts_are_text(args, n)) {
        err = tx->db->driver->run(tx, statement, args, n, row, ctx, ret_changes);
    }
    tx->failed = err != CW_OK;
    return err;
}

enum cw_err db_run_alone(struct db *db, enum db_durability durability, enum db_statement statement,
                         const struct db_value *args, size_t n, db_row_fn *row, void *ctx,
                         int64_t *ret_changes)
{
    struct db_tx *tx = NULL;
    TRY(db_begin(db, durability, &tx));
    if (db->driver->single_read != NULL && db_statement_reads(statement)) {
        db->driver->single_read(tx);
    }
    return db_end(tx, db_run(tx, statement, args, n, row, ctx, ret_changes));
}

static enum cw_err run_one_by_one(struct db_tx *tx, const struct db_call *calls, size_t n)
{
    const struct db_driver *driver = tx->db->driver;
    for (size_t i = 0; i < n; i++) {
        const struct db_call *c = &calls[i];
        TRY(driver->run(tx, c->statement, c->args, c->n, c->row, c->ctx, c->ret_changes));
    }
    return CW_OK;
}

static enum cw_err run_all(struct db_tx *tx, const struct db_call *calls, size_t n, bool whole)
{
    ENSURE(!tx->failed, CW_STORE_UNAVAILABLE);
    enum cw_err err = n <= DB_CALLS_MAX ? CW_OK : CW_INTERNAL;
    for (size_t i = 0; i < n && err == CW_OK; i++) {
        err = db_texts_are_text(calls[i].args, calls[i].n) ? CW_OK : CW_REQUEST_MALFORMED;
    }
    if (err == CW_OK) {
        err = tx->db->driver->run_all != NULL ? tx->db->driver->run_all(tx, calls, n, whole)
                                              : run_one_by_one(tx, calls, n);
    }
    tx->failed = err != CW_OK;
    return err;
}

enum cw_err db_run_all(struct db_tx *tx, const struct db_call *calls, size_t n)
{
    return run_all(tx, calls, n, false);
}

enum cw_err db_run_all_alone(struct db *db, enum db_durability durability,
                             const struct db_call *calls, size_t n)
{
    struct db_tx *tx = NULL;
    TRY(db_begin(db, durability, &tx));
    return db_end(tx, run_all(tx, calls, n, true));
}

enum cw_err db_script(struct db_tx *tx, const char *sql)
{
    ENSURE(!tx->failed, CW_STORE_UNAVAILABLE);
    enum cw_err err = tx->db->driver->script(tx, sql);
    tx->failed = err != CW_OK;
    return err;
}

enum cw_err db_lock(struct db_tx *tx, enum db_lock lock)
{
    ENSURE(!tx->failed, CW_STORE_UNAVAILABLE);
    enum cw_err err = tx->db->driver->lock != NULL ? tx->db->driver->lock(tx, lock) : CW_OK;
    tx->failed = err != CW_OK;
    return err;
}

void db_notify(struct db_tx *tx, enum db_topic topic)
{
    if (tx->db->driver->notify != NULL) {
        tx->db->driver->notify(tx, topic);
    }
}

enum cw_err db_listen(struct db *db, db_notice_fn *notice, void *ctx)
{
    return db->driver->listen != NULL ? db->driver->listen(db, notice, ctx) : CW_OK;
}

enum cw_err db_check_statements(struct db *db)
{
    struct db_tx *tx = NULL;
    TRY(db_begin(db, DB_LAZY, &tx));
    enum cw_err err = CW_OK;
    for (int i = 0; err == CW_OK && i < DB_STATEMENT_COUNT; i++) {
        err = db->driver->check(tx, (enum db_statement)i);
    }
    return db_end(tx, err);
}
