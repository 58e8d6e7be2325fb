/* Picks the driver by URL and passes calls on to it. */
#include "authsvc/store/db.h"

static const struct db_driver *const drivers[] = {&db_sqlite};

static const char *const statements[] = {
#define X(name, sql) [DB_##name] = (sql),
#include "authsvc/store/statements.def"
#undef X
};

const char *db_statement_sql(enum db_statement statement)
{
    return statements[statement];
}

enum cw_err db_open(struct cw_str url, struct cw_buf *ret_message, struct db **ret_db)
{
    size_t colon = cw_str_find(url, ':');
    struct cw_str scheme = cw_str_slice(url, 0, colon);
    for (size_t i = 0; colon < url.n && i < CW_ARRAY_SIZE(drivers); i++) {
        if (cw_str_is(scheme, drivers[i]->scheme)) {
            return drivers[i]->open(cw_str_slice(url, colon + 1, url.n), ret_message, ret_db);
        }
    }
    cw_buf_addf(ret_message, "\"%.*s\" is no store: expected sqlite:PATH", CW_STR_ARG(url));
    return CW_CONFIG_INVALID;
}

void db_close(struct db *db)
{
    if (db != NULL) {
        db->driver->close(db);
    }
}

enum cw_err db_begin(struct db *db, enum db_durability durability, struct db_tx **ret_tx)
{
    return db->driver->begin(db, durability, ret_tx);
}

enum cw_err db_end(struct db_tx *tx, enum cw_err err)
{
    if (err != CW_OK) {
        tx->db->driver->rollback(tx);
        return err;
    }
    return tx->db->driver->commit(tx);
}

enum cw_err db_run(struct db_tx *tx, enum db_statement statement, const struct db_value *args,
                   size_t n, db_row_fn *row, void *ctx, int64_t *ret_changes)
{
    return tx->db->driver->run(tx, statement, args, n, row, ctx, ret_changes);
}

enum cw_err db_script(struct db_tx *tx, const char *sql)
{
    return tx->db->driver->script(tx, sql);
}
