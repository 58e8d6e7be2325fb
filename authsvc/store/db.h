/* The seam between the store's statements (statements.def) and a database. A driver knows how to
 * run them; it knows nothing of users and sessions. SQLite is the embedded driver. */
#ifndef AUTHSVC_STORE_DB_H
#define AUTHSVC_STORE_DB_H

#include "common/base/buf.h"

enum { DB_COLUMNS_MAX = 24, DB_ARGS_MAX = 24 };

enum db_statement {
#define X(name, sql) DB_##name,
#include "authsvc/store/statements.def"
#undef X
    DB_STATEMENT_COUNT,
};

enum db_type { DB_NULL = 0, DB_INT, DB_TEXT, DB_BYTES };

/* An argument or a column; text and bytes are borrowed. */
struct db_value {
    enum db_type type;
    int64_t i;
    struct cw_str s;
};

static inline struct db_value db_int(int64_t i)
{
    return (struct db_value){.type = DB_INT, .i = i};
}

static inline struct db_value db_text(struct cw_str s)
{
    return (struct db_value){.type = DB_TEXT, .s = s};
}

static inline struct db_value db_bytes(const void *p, size_t n)
{
    return (struct db_value){.type = DB_BYTES, .s = {p, n}};
}

/* How much a commit must survive: the process (LAZY) or the machine too (DURABLE). */
enum db_durability { DB_DURABLE = 0, DB_LAZY };

/* Called once a row; the columns live until it returns. An error ends the statement with it. */
typedef enum cw_err db_row_fn(void *ctx, const struct db_value *columns, size_t n);

/* Told of every failure that is not an outcome (a lost disk, a damaged file). Any thread. */
typedef void db_error_fn(void *ctx, const char *operation, const char *message);

struct db {
    const struct db_driver *driver;
    db_error_fn *on_error; /* may be NULL */
    void *on_error_ctx;
};

/* A transaction holds one connection; it is used by one thread and ended by commit or rollback. */
struct db_tx {
    struct db *db;
};

struct db_driver {
    const char *scheme; /* of the store's URL */
    /* ret_message gets a sentence for people on failure. */
    enum cw_err (*open)(struct cw_str location, struct cw_buf *ret_message, struct db **ret_db);
    void (*close)(struct db *db);
    enum cw_err (*begin)(struct db *db, enum db_durability durability, struct db_tx **ret_tx);
    enum cw_err (*commit)(struct db_tx *tx);
    void (*rollback)(struct db_tx *tx);
    /* Several statements without arguments: migrations. */
    enum cw_err (*script)(struct db_tx *tx, const char *sql);
    /* row may be NULL; ret_changes (rows inserted, changed or deleted) may be NULL.
     * CW_CONFLICT: a unique key exists. CW_STORE_UNAVAILABLE: the database failed. */
    enum cw_err (*run)(struct db_tx *tx, enum db_statement statement, const struct db_value *args,
                       size_t n, db_row_fn *row, void *ctx, int64_t *ret_changes);
};

extern const struct db_driver db_sqlite;

/* The SQL of a statement; $1 … $n are its arguments. */
const char *db_statement_sql(enum db_statement statement);

/* Opens by URL (`sqlite:PATH`, `sqlite::memory:`). */
CW_MUST_USE enum cw_err db_open(struct cw_str url, struct cw_buf *ret_message, struct db **ret_db);
void db_close(struct db *db);

CW_MUST_USE enum cw_err db_begin(struct db *db, enum db_durability durability,
                                 struct db_tx **ret_tx);
/* Commits when err is CW_OK, rolls back otherwise; returns err, or the commit's error. */
CW_MUST_USE enum cw_err db_end(struct db_tx *tx, enum cw_err err);
CW_MUST_USE enum cw_err db_run(struct db_tx *tx, enum db_statement statement,
                               const struct db_value *args, size_t n, db_row_fn *row, void *ctx,
                               int64_t *ret_changes);
CW_MUST_USE enum cw_err db_script(struct db_tx *tx, const char *sql);

/* Brings the schema to this version; a newer one is refused with a message. */
CW_MUST_USE enum cw_err db_migrate(struct db *db, int64_t now, struct cw_buf *ret_message);

#endif
