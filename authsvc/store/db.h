/* The seam between the store's statements (statements.def) and a database. A driver knows how to
 * run them; it knows nothing of users and sessions. SQLite is the embedded driver, PostgreSQL the
 * one that several cw-authsvc share. */
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

enum db_type { DB_NULL = 0, DB_INT, DB_TEXT, DB_BYTES, DB_ARRAY };

/* An argument or a column; text, bytes and items are borrowed. */
struct db_value {
    enum db_type type;
    int64_t i; /* DB_ARRAY: how many items */
    union {
        struct cw_str s;
        const struct db_value *items; /* all of one type, none of them an array */
    };
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

/* Only an argument, and only where the driver takes them. */
static inline struct db_value db_array(const struct db_value *items, size_t n)
{
    return (struct db_value){.type = DB_ARRAY, .i = (int64_t)n, .items = items};
}

/* How much a commit must survive: the process (LAZY) or the machine too (DURABLE). */
enum db_durability { DB_DURABLE = 0, DB_LAZY };

/* What no row lock can guard, because the row may not be there yet. Held until the transaction's
 * end. Taken first, in this order; a driver with one writer needs none. */
enum db_lock { DB_LOCK_SCHEMA = 1, DB_LOCK_SETTINGS, DB_LOCK_KEYS };

/* What other processes on the same database are told of, once the transaction is committed. */
enum db_topic { DB_TOPIC_REVOCATIONS = 0, DB_TOPIC_TENANTS, DB_TOPIC_KEYS, DB_TOPIC_COUNT };

/* Something may have changed: a hint, which may come late, twice or for nothing. On a thread of
 * the driver; it may not call the database. */
typedef void db_notice_fn(void *ctx, enum db_topic topic);

/* Called once a row; the columns live until it returns. An error ends the statement with it. */
typedef enum cw_err db_row_fn(void *ctx, const struct db_value *columns, size_t n);

/* One of several statements that are run together: its arguments hang on no row of the others. */
struct db_call {
    enum db_statement statement;
    const struct db_value *args;
    size_t n;
    db_row_fn *row; /* may be NULL */
    void *ctx;
    int64_t *ret_changes; /* may be NULL */
};

enum { DB_CALLS_MAX = 65 };

/* Told of every failure that is not an outcome (a lost disk, a damaged file). Any thread. */
typedef void db_error_fn(void *ctx, const char *operation, const char *message);

struct db {
    const struct db_driver *driver;
    db_error_fn *on_error; /* may be NULL */
    void *on_error_ctx;
    /* Of a server; 0: transactions are one by one. */
    unsigned connections;         /* transactions that can be under way at once */
    int64_t statement_timeout_ms; /* a row of another process's is waited for so long */
};

/* A transaction holds one connection; it is used by one thread and ended by commit or rollback. */
struct db_tx {
    struct db *db;
    bool failed; /* a statement did: nothing but rollback is left */
};

struct db_options {
    struct cw_str url;            /* sqlite:PATH, sqlite::memory:, postgresql://… */
    const char *password_file;    /* of a server; read for each connection; may be NULL */
    unsigned connections;         /* at most; 0: 16 */
    int64_t connect_timeout_ms;   /* 0: 3000 */
    int64_t statement_timeout_ms; /* also for a connection to become free; 0: 5000 */
};

struct db_driver {
    /* location: the URL after its scheme. ret_message gets a sentence for people on failure. */
    enum cw_err (*open)(const struct db_options *options, struct cw_str location,
                        struct cw_buf *ret_message, struct db **ret_db);
    /* What is wrong with a URL, as a sentence, before anything is opened. May be NULL. */
    enum cw_err (*check_url)(struct cw_str url, struct cw_buf *ret_message);
    void (*close)(struct db *db);
    enum cw_err (*begin)(struct db *db, enum db_durability durability, struct db_tx **ret_tx);
    enum cw_err (*commit)(struct db_tx *tx);
    void (*rollback)(struct db_tx *tx);
    /* Several statements without arguments: migrations. */
    enum cw_err (*script)(struct db_tx *tx, const char *sql);
    /* row may be NULL; ret_changes (rows inserted, changed or deleted) may be NULL. */
    enum cw_err (*run)(struct db_tx *tx, enum db_statement statement, const struct db_value *args,
                       size_t n, db_row_fn *row, void *ctx, int64_t *ret_changes);
    /* Prepares a statement without running it. */
    enum cw_err (*check)(struct db_tx *tx, enum db_statement statement);
    /* The rest may be NULL: one process has this database, and its transactions are one by one. */
    /* The transaction is one SELECT. */
    void (*single_read)(struct db_tx *tx);
    /* Several statements in one round trip, the commit too where `whole` says that they are the
     * transaction. NULL: there are no round trips to save. */
    enum cw_err (*run_all)(struct db_tx *tx, const struct db_call *calls, size_t n, bool whole);
    enum cw_err (*lock)(struct db_tx *tx, enum db_lock lock);
    void (*notify)(struct db_tx *tx, enum db_topic topic);
    bool arrays; /* takes DB_ARRAY */
    enum cw_err (*listen)(struct db *db, db_notice_fn *notice, void *ctx);
};

extern const struct db_driver db_sqlite;
extern const struct db_driver db_postgresql;

/* The SQL of a statement; $1 … $n are its arguments, and what stands in a comment that begins with
 * `pg` is for PostgreSQL only. */
const char *db_statement_sql(enum db_statement statement);
/* Whether it is a SELECT: it leaves nothing behind. */
bool db_statement_reads(enum db_statement statement);

CW_MUST_USE enum cw_err db_open(const struct db_options *options, struct cw_buf *ret_message,
                                struct db **ret_db);
CW_MUST_USE enum cw_err db_check_url(struct cw_str url, struct cw_buf *ret_message);
void db_close(struct db *db);

/* Errors of everything below:
 *   CW_STORE_UNAVAILABLE  the database failed; nothing was changed
 *   CW_STORE_CONTENDED    it broke a deadlock, or waited for a row longer than it was told to
 *                         (LOCKS_BRIEFLY); nothing was changed, and again may succeed
 *   CW_STORE_UNCERTAIN    (db_end) it went away during the commit: changed or not, nobody knows
 *   CW_CONFLICT           (db_run) a unique key exists
 *   CW_REQUEST_MALFORMED  (db_run) a text that is not UTF-8 or holds a NUL
 * After any error of db_run or db_script the transaction can only be ended. */
CW_MUST_USE enum cw_err db_begin(struct db *db, enum db_durability durability,
                                 struct db_tx **ret_tx);
/* Commits when err is CW_OK, rolls back otherwise; returns err, or the commit's error. */
CW_MUST_USE enum cw_err db_end(struct db_tx *tx, enum cw_err err);
/* PostgreSQL takes no other text, so no database does: CW_REQUEST_MALFORMED. */
bool db_texts_are_text(const struct db_value *args, size_t n);
CW_MUST_USE enum cw_err db_run(struct db_tx *tx, enum db_statement statement,
                               const struct db_value *args, size_t n, db_row_fn *row, void *ctx,
                               int64_t *ret_changes);
/* One statement as a transaction of its own. */
CW_MUST_USE enum cw_err db_run_alone(struct db *db, enum db_durability durability,
                                     enum db_statement statement, const struct db_value *args,
                                     size_t n, db_row_fn *row, void *ctx, int64_t *ret_changes);
/* At most DB_CALLS_MAX statements in their order, each of which sees what those before it have
 * changed; a server gets them in one round trip. All are sent: where an outcome of the first must
 * keep the second from happening, the second's WHERE says so, or a rollback follows. */
CW_MUST_USE enum cw_err db_run_all(struct db_tx *tx, const struct db_call *calls, size_t n);
/* The same as a transaction of its own, with its commit in the same round trip. All errors, of
 * db_end too; rows may be read after the commit, so that an error of a row function says nothing
 * about it. */
CW_MUST_USE enum cw_err db_run_all_alone(struct db *db, enum db_durability durability,
                                         const struct db_call *calls, size_t n);
CW_MUST_USE enum cw_err db_script(struct db_tx *tx, const char *sql);
CW_MUST_USE enum cw_err db_lock(struct db_tx *tx, enum db_lock lock);
/* Tells the other processes when the transaction is committed. */
void db_notify(struct db_tx *tx, enum db_topic topic);
/* Calls `notice` for what other processes (and this one) have changed, until it is told to stop by
 * NULL, which waits for a running call, or until db_close. Not from two threads at once. Does
 * nothing where no other process can be. */
CW_MUST_USE enum cw_err db_listen(struct db *db, db_notice_fn *notice, void *ctx);
/* Prepares every statement, so that a mistake in one is told with its text. */
CW_MUST_USE enum cw_err db_check_statements(struct db *db);

/* Brings the schema to this version, one process at a time; a newer one is refused with a
 * message. */
CW_MUST_USE enum cw_err db_migrate(struct db *db, int64_t now, struct cw_buf *ret_message);

#endif
