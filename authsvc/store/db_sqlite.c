/* SQLite as the embedded database: one connection behind one mutex, a write-ahead log, and a lock
 * that a second authsvc meets before it touches the file. */
#include "authsvc/store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct sqlite_db {
    struct db db;
    struct db_tx tx;       /* the one transaction; its holder has the mutex */
    pthread_mutex_t mutex; /* connection, statements, tx */
    sqlite3 *handle;
    sqlite3_stmt *statements[DB_STATEMENT_COUNT]; /* prepared at first use */
    enum db_durability durability;                /* what PRAGMA synchronous says now */
    int lock_fd;                                  /* -1 for a database in memory */
};

static struct sqlite_db *sqlite_of(struct db *db)
{
    return CW_CONTAINER_OF(db, struct sqlite_db, db);
}

/* CONFLICT is an outcome; everything else is told to the operator. */
static enum cw_err report(struct sqlite_db *s, int rc, const char *operation)
{
    if (rc == SQLITE_CONSTRAINT) {
        int extended = sqlite3_extended_errcode(s->handle);
        if (extended == SQLITE_CONSTRAINT_PRIMARYKEY || extended == SQLITE_CONSTRAINT_UNIQUE) {
            return CW_CONFLICT;
        }
    }
    if (s->db.on_error != NULL) {
        s->db.on_error(s->db.on_error_ctx, operation, sqlite3_errmsg(s->handle));
    }
    return rc == SQLITE_NOMEM ? CW_NO_MEMORY : CW_STORE_UNAVAILABLE;
}

static enum cw_err pragma(struct sqlite_db *s, const char *sql)
{
    int rc = sqlite3_exec(s->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? CW_OK : report(s, rc, sql);
}

/* One authsvc a file: flock on PATH.lock, which names the holder for the message. */
static enum cw_err lock_file(const char *path, struct cw_buf *ret_message, int *ret_fd)
{
    char *name = NULL;
    if (asprintf(&name, "%s.lock", path) < 0) {
        return CW_NO_MEMORY;
    }
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        cw_buf_addf(ret_message, "%s: %s", name, strerror(errno));
        free(name);
        return CW_IO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        char pid[32] = "";
        ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        cw_buf_addf(ret_message,
                    "%s is in use by process %s: a SQLite database serves one cw-authsvc at a "
                    "time; stop that process first",
                    path, pid[0] != '\0' ? pid : "(unknown)");
        close(fd);
        free(name);
        return CW_CONFLICT;
    }
    free(name);
    char pid[32];
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        /* The lock holds all the same; only the message of the next one is poorer. */
    }
    *ret_fd = fd;
    return CW_OK;
}

static void sqlite_close(struct db *db)
{
    struct sqlite_db *s = sqlite_of(db);
    for (size_t i = 0; i < DB_STATEMENT_COUNT; i++) {
        sqlite3_finalize(s->statements[i]);
    }
    sqlite3_close(s->handle);
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

static enum cw_err configure(struct sqlite_db *s)
{
    /* EXCLUSIVE: no shared memory file, and no second process even without our lock file. */
    TRY(pragma(s, "PRAGMA locking_mode=EXCLUSIVE"));
    TRY(pragma(s, "PRAGMA journal_mode=WAL"));
    TRY(pragma(s, "PRAGMA synchronous=FULL"));
    TRY(pragma(s, "PRAGMA foreign_keys=ON"));
    return pragma(s, "PRAGMA trusted_schema=OFF");
}

static enum cw_err open_handle(struct sqlite_db *s, const char *path, struct cw_buf *ret_message)
{
    int rc = sqlite3_open_v2(
        path, &s->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK && configure(s) == CW_OK) {
        return CW_OK;
    }
    cw_buf_addf(ret_message, "%s: %s", path,
                s->handle != NULL ? sqlite3_errmsg(s->handle) : sqlite3_errstr(rc));
    return CW_STORE_UNAVAILABLE;
}

/* The file is made here with mode 0600; its log inherits that. */
static enum cw_err make_file(const char *path, struct cw_buf *ret_message)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        cw_buf_addf(ret_message, "%s: %s", path, strerror(errno));
        return CW_IO;
    }
    close(fd);
    return CW_OK;
}

static enum cw_err sqlite_open(const struct db_options *options, struct cw_str location,
                               struct cw_buf *ret_message, struct db **ret_db)
{
    (void)options; /* only servers have any */
    struct sqlite_db *s = calloc(1, sizeof(*s));
    char *path = cw_str_dup(location);
    if (s == NULL || path == NULL) {
        free(s);
        free(path);
        return CW_NO_MEMORY;
    }
    s->db.driver = &db_sqlite;
    s->tx.db = &s->db;
    s->lock_fd = -1;
    pthread_mutex_init(&s->mutex, NULL);
    enum cw_err err = CW_OK;
    if (!cw_str_is(location, ":memory:")) {
        err = lock_file(path, ret_message, &s->lock_fd);
        if (err == CW_OK) {
            err = make_file(path, ret_message);
        }
    }
    if (err == CW_OK) {
        err = open_handle(s, path, ret_message);
    }
    free(path);
    if (err != CW_OK) {
        sqlite_close(&s->db);
        return err;
    }
    *ret_db = &s->db;
    return CW_OK;
}

static enum cw_err sqlite_begin(struct db *db, enum db_durability durability, struct db_tx **ret_tx)
{
    struct sqlite_db *s = sqlite_of(db);
    pthread_mutex_lock(&s->mutex);
    enum cw_err err = CW_OK;
    if (s->durability != durability) {
        /* With a write-ahead log NORMAL does not wait for the disk at commit. */
        err = pragma(s, durability == DB_LAZY ? "PRAGMA synchronous=NORMAL"
                                              : "PRAGMA synchronous=FULL");
        s->durability = err == CW_OK ? durability : s->durability;
    }
    if (err == CW_OK) {
        err = pragma(s, "BEGIN IMMEDIATE");
    }
    if (err != CW_OK) {
        pthread_mutex_unlock(&s->mutex);
        return err;
    }
    *ret_tx = &s->tx;
    return CW_OK;
}

static void sqlite_rollback(struct db_tx *tx)
{
    struct sqlite_db *s = sqlite_of(tx->db);
    /* After some errors SQLite has rolled back by itself. */
    if (sqlite3_get_autocommit(s->handle) == 0) {
        (void)pragma(s, "ROLLBACK");
    }
    pthread_mutex_unlock(&s->mutex);
}

static enum cw_err sqlite_commit(struct db_tx *tx)
{
    struct sqlite_db *s = sqlite_of(tx->db);
    enum cw_err err = pragma(s, "COMMIT");
    if (err != CW_OK) {
        sqlite_rollback(tx);
        return err;
    }
    pthread_mutex_unlock(&s->mutex);
    return CW_OK;
}

static enum cw_err sqlite_script(struct db_tx *tx, const char *sql)
{
    return pragma(sqlite_of(tx->db), sql);
}

static enum cw_err prepare(struct sqlite_db *s, enum db_statement statement,
                           sqlite3_stmt **ret_stmt)
{
    if (s->statements[statement] == NULL) {
        int rc = sqlite3_prepare_v3(s->handle, db_statement_sql(statement), -1,
                                    SQLITE_PREPARE_PERSISTENT, &s->statements[statement], NULL);
        if (rc != SQLITE_OK) {
            return report(s, rc, db_statement_sql(statement));
        }
    }
    *ret_stmt = s->statements[statement];
    return CW_OK;
}

static enum cw_err sqlite_check(struct db_tx *tx, enum db_statement statement)
{
    sqlite3_stmt *stmt = NULL;
    return prepare(sqlite_of(tx->db), statement, &stmt);
}

static int bind_value(sqlite3_stmt *stmt, int index, const struct db_value *v)
{
    /* A NULL pointer would bind NULL, an empty value must not. */
    const char *p = v->type != DB_ARRAY && v->s.p != NULL ? v->s.p : "";
    switch (v->type) {
    case DB_NULL:
        return sqlite3_bind_null(stmt, index);
    case DB_INT:
        return sqlite3_bind_int64(stmt, index, v->i);
    case DB_TEXT:
        return sqlite3_bind_text64(stmt, index, p, v->s.n, SQLITE_STATIC, SQLITE_UTF8);
    case DB_BYTES:
        return sqlite3_bind_blob64(stmt, index, p, v->s.n, SQLITE_STATIC);
    case DB_ARRAY:
        break; /* driver->arrays says so */
    }
    return SQLITE_MISUSE;
}

static int bind_args(sqlite3_stmt *stmt, const struct db_value *args, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char name[24];
        snprintf(name, sizeof(name), "$%zu", i + 1);
        int index = sqlite3_bind_parameter_index(stmt, name);
        int rc = index == 0 ? SQLITE_OK : bind_value(stmt, index, &args[i]);
        if (rc != SQLITE_OK) {
            return rc;
        }
    }
    return SQLITE_OK;
}

static void read_column(sqlite3_stmt *stmt, int column, struct db_value *ret_value)
{
    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        *ret_value = db_int(sqlite3_column_int64(stmt, column));
        return;
    case SQLITE_TEXT: {
        const void *text = sqlite3_column_text(stmt, column);
        *ret_value = db_text((struct cw_str){text, (size_t)sqlite3_column_bytes(stmt, column)});
        return;
    }
    case SQLITE_BLOB: {
        const void *blob = sqlite3_column_blob(stmt, column);
        *ret_value = db_bytes(blob, (size_t)sqlite3_column_bytes(stmt, column));
        return;
    }
    default:
        *ret_value = (struct db_value){.type = DB_NULL};
    }
}

/* Runs to the end even without a row function: SQLite does the work in step. */
static enum cw_err step_all(struct sqlite_db *s, sqlite3_stmt *stmt, db_row_fn *row, void *ctx)
{
    for (;;) {
        int rc = sqlite3_step(stmt);
        if (rc == SQLITE_DONE) {
            return CW_OK;
        }
        if (rc != SQLITE_ROW) {
            return report(s, rc & 0xff, sqlite3_sql(stmt));
        }
        struct db_value columns[DB_COLUMNS_MAX] = {0};
        int n = CW_MIN(sqlite3_column_count(stmt), (int)DB_COLUMNS_MAX);
        for (int i = 0; i < n; i++) {
            read_column(stmt, i, &columns[i]);
        }
        if (row != NULL) {
            TRY(row(ctx, columns, (size_t)n));
        }
    }
}

static enum cw_err sqlite_run(struct db_tx *tx, enum db_statement statement,
                              const struct db_value *args, size_t n, db_row_fn *row, void *ctx,
                              int64_t *ret_changes)
{
    struct sqlite_db *s = sqlite_of(tx->db);
    sqlite3_stmt *stmt = NULL;
    TRY(prepare(s, statement, &stmt));
    int rc = bind_args(stmt, args, n);
    enum cw_err err =
        rc == SQLITE_OK ? step_all(s, stmt, row, ctx) : report(s, rc, sqlite3_sql(stmt));
    if (ret_changes != NULL && err == CW_OK) {
        *ret_changes = sqlite3_stmt_readonly(stmt) ? 0 : sqlite3_changes64(s->handle);
    }
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return err;
}

const struct db_driver db_sqlite = {
    .open = sqlite_open,
    .close = sqlite_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .script = sqlite_script,
    .run = sqlite_run,
    .check = sqlite_check,
};
