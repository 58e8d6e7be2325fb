/* SQLite with the pragmas of authsvc/store/db_sqlite.c, PostgreSQL as it is configured. */
#include <postgresql/libpq-fe.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/authsvc_loop.h"

enum { NUMBER_MAX = 24 };

struct loop_db {
    sqlite3 *sqlite;
    sqlite3_stmt *prepared[DB_STATEMENT_COUNT];
    pthread_mutex_t mutex;
    PGconn *pg;
};

void loop_die(const char *what, const char *detail)
{
    fprintf(stderr, "authsvc_loop: %s: %s\n", what, detail);
    exit(1);
}

bool loop_db_per_thread(struct cw_str url)
{
    return cw_str_starts(url, CW_STR("postgresql:"));
}

static void execute(struct loop_db *db, const char *sql)
{
    if (db->pg == NULL) {
        if (sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) != SQLITE_OK) {
            loop_die(sql, sqlite3_errmsg(db->sqlite));
        }
        return;
    }
    PGresult *result = PQexec(db->pg, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        loop_die(sql, PQerrorMessage(db->pg));
    }
    PQclear(result);
}

static void open_sqlite(struct loop_db *db, const char *path)
{
    if (sqlite3_open_v2(path, &db->sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        loop_die(path, "cannot be opened");
    }
    execute(db, "PRAGMA journal_mode=WAL");
    execute(db, "PRAGMA synchronous=FULL");
    execute(db, "PRAGMA foreign_keys=ON");
}

static void name_of(enum db_statement statement, char ret_name[NUMBER_MAX])
{
    snprintf(ret_name, NUMBER_MAX, "s%d", (int)statement);
}

static void prepare(struct loop_db *db, enum db_statement statement)
{
    const char *sql = db_statement_sql(statement);
    if (db->pg == NULL) {
        if (sqlite3_prepare_v3(db->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT,
                               &db->prepared[statement], NULL) != SQLITE_OK) {
            loop_die(sql, sqlite3_errmsg(db->sqlite));
        }
        return;
    }
    char name[NUMBER_MAX];
    name_of(statement, name);
    PGresult *result = PQprepare(db->pg, name, sql, 0, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        loop_die(sql, PQerrorMessage(db->pg));
    }
    PQclear(result);
}

struct loop_db *loop_db_open(struct cw_str url, const enum db_statement *statements, size_t n)
{
    struct loop_db *db = calloc(1, sizeof(*db));
    char *text = cw_str_dup(url);
    if (db == NULL || text == NULL) {
        loop_die("open", "no memory");
    }
    pthread_mutex_init(&db->mutex, NULL);
    if (loop_db_per_thread(url)) {
        db->pg = PQconnectdb(text);
        if (PQstatus(db->pg) != CONNECTION_OK) {
            loop_die("connect", PQerrorMessage(db->pg));
        }
    } else {
        open_sqlite(db, text + strlen("sqlite:"));
    }
    for (size_t i = 0; i < n; i++) {
        prepare(db, statements[i]);
    }
    free(text);
    return db;
}

void loop_db_close(struct loop_db *db)
{
    for (size_t i = 0; i < DB_STATEMENT_COUNT; i++) {
        sqlite3_finalize(db->prepared[i]);
    }
    sqlite3_close(db->sqlite);
    PQfinish(db->pg);
    pthread_mutex_destroy(&db->mutex);
    free(db);
}

void loop_db_begin(struct loop_db *db)
{
    pthread_mutex_lock(&db->mutex);
    execute(db, db->pg != NULL ? "BEGIN" : "BEGIN IMMEDIATE");
}

void loop_db_end(struct loop_db *db)
{
    execute(db, "COMMIT");
    pthread_mutex_unlock(&db->mutex);
}

static int64_t run_sqlite(struct loop_db *db, enum db_statement statement,
                          const struct db_value *args, size_t n)
{
    sqlite3_stmt *stmt = db->prepared[statement];
    for (size_t i = 0; i < n; i++) {
        char name[NUMBER_MAX]; /* SQLite numbers them in the order of their first use */
        snprintf(name, sizeof(name), "$%zu", i + 1);
        int at = sqlite3_bind_parameter_index(stmt, name);
        if (args[i].type == DB_INT) {
            sqlite3_bind_int64(stmt, at, args[i].i);
        } else if (args[i].type == DB_TEXT) {
            sqlite3_bind_text64(stmt, at, args[i].s.p, args[i].s.n, SQLITE_STATIC, SQLITE_UTF8);
        } else {
            sqlite3_bind_blob64(stmt, at, args[i].s.p, args[i].s.n, SQLITE_STATIC);
        }
    }
    int64_t rows = 0;
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        rows++;
    }
    if (rc != SQLITE_DONE) {
        loop_die(db_statement_sql(statement), sqlite3_errmsg(db->sqlite));
    }
    rows = sqlite3_stmt_readonly(stmt) ? rows : sqlite3_changes64(db->sqlite);
    sqlite3_reset(stmt);
    return rows;
}

static int64_t run_pg(struct loop_db *db, enum db_statement statement, const struct db_value *args,
                      size_t n)
{
    char name[NUMBER_MAX];
    char numbers[DB_ARGS_MAX][NUMBER_MAX];
    char texts[DB_ARGS_MAX][256];
    const char *values[DB_ARGS_MAX];
    int lengths[DB_ARGS_MAX], formats[DB_ARGS_MAX];
    for (size_t i = 0; i < n; i++) {
        formats[i] = args[i].type == DB_BYTES;
        lengths[i] = (int)args[i].s.n;
        values[i] = args[i].s.p;
        if (args[i].type == DB_INT) {
            snprintf(numbers[i], NUMBER_MAX, "%lld", (long long)args[i].i);
            values[i] = numbers[i];
        } else if (args[i].type == DB_TEXT) {
            snprintf(texts[i], sizeof(texts[i]), "%.*s", (int)args[i].s.n, args[i].s.p);
            values[i] = texts[i];
        }
    }
    name_of(statement, name);
    PGresult *result = PQexecPrepared(db->pg, name, (int)n, values, lengths, formats, 1);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        loop_die(db_statement_sql(statement), PQerrorMessage(db->pg));
    }
    int64_t rows = status == PGRES_TUPLES_OK ? PQntuples(result) : PQcmdTuples(result)[0] - '0';
    PQclear(result);
    return rows;
}

int64_t loop_db_run(struct loop_db *db, enum db_statement statement, const struct db_value *args,
                    size_t n)
{
    return db->pg != NULL ? run_pg(db, statement, args, n) : run_sqlite(db, statement, args, n);
}
