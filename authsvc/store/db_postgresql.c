/* PostgreSQL as the database that several cw-authsvc share: a bounded pool of connections, and
 * transactions that send as few messages as they can.
 *
 *   begin        first statement       further ones     commit
 *   (nothing)    BEGIN + statement     statement        COMMIT (+ NOTIFY)
 *
 * Until the first answer nothing has happened, so a connection that turns out to be dead there is
 * replaced and the messages sent once more. A connection that is lost later ends the transaction;
 * lost in COMMIT, nobody knows (CW_STORE_UNCERTAIN). */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authsvc/store/db_postgresql_conn.h"
#include "authsvc/store/db_postgresql_listen.h"

enum {
    CONNECTIONS = 8,
    CONNECTIONS_MAX = 256,
    BACKOFF_MIN_MS = 100,
    BACKOFF_MAX_MS = 5000,
    MIGRATION_MS = 10 * 60 * 1000, /* another process may be in the middle of one */
    LOCK_CLASS = 0x6377,           /* "cw": our part of the advisory locks' name space */
};

struct pg_db {
    struct db db;
    struct pg_target target;
    struct pg_listener *listener; /* NULL: nobody listens */
    pthread_mutex_t lock;         /* all below */
    pthread_cond_t freed;         /* a connection became idle, or may be opened */
    size_t max;
    size_t n_open; /* in use, idle or being opened */
    size_t n_opening;
    size_t n_idle;
    struct pg_conn *idle[CONNECTIONS_MAX];
    int64_t backoff_ms; /* 0: the server answers */
    int64_t retry_at;
};

static struct pg_db *pg_of(struct db *db)
{
    return CW_CONTAINER_OF(db, struct pg_db, db);
}

static struct pg_conn *conn_of(struct db_tx *tx)
{
    return CW_CONTAINER_OF(tx, struct pg_conn, tx);
}

/* Conflicts and deadlocks are outcomes; everything else is told to the operator. */
static enum cw_err report(struct pg_conn *conn, enum cw_err err, const char *operation)
{
    struct db *db = conn->tx.db;
    if (err != CW_OK && err != CW_CONFLICT && err != CW_STORE_CONTENDED && db->on_error != NULL) {
        db->on_error(db->on_error_ctx, operation, conn->message);
    }
    return err;
}

/* --- the pool --------------------------------------------------------------------------- */

/* Grows from try to try, and not in step with other processes. With the lock held. */
static void back_off(struct pg_db *p)
{
    p->backoff_ms = CW_MIN(CW_MAX(2 * p->backoff_ms, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
    int64_t now = pg_now_ms();
    p->retry_at = now + p->backoff_ms - now % (p->backoff_ms / 4 + 1);
}

/* Opens the connection that n_open and n_opening already count. */
static enum cw_err open_counted(struct pg_db *p, struct pg_conn *conn)
{
    enum cw_err err = conn != NULL ? pg_conn_open(conn, &p->target) : CW_NO_MEMORY;
    pthread_mutex_lock(&p->lock);
    p->n_opening--;
    if (err == CW_OK) {
        p->backoff_ms = 0;
    } else {
        p->n_open--;
        back_off(p);
    }
    pthread_cond_broadcast(&p->freed);
    pthread_mutex_unlock(&p->lock);
    return err;
}

static enum cw_err open_new(struct pg_db *p, struct pg_conn **ret_conn)
{
    struct pg_conn *conn = calloc(1, sizeof(*conn));
    if (conn != NULL) {
        conn->tx.db = &p->db;
    }
    enum cw_err err = open_counted(p, conn);
    if (err != CW_OK) {
        if (conn != NULL) {
            (void)report(conn, err, "connect");
        }
        free(conn);
        return err;
    }
    *ret_conn = conn;
    return CW_OK;
}

static void discard(struct pg_db *p, struct pg_conn *conn)
{
    pg_conn_close(conn);
    free(conn);
    pthread_mutex_lock(&p->lock);
    p->n_open--;
    pthread_cond_signal(&p->freed);
    pthread_mutex_unlock(&p->lock);
}

/* While the server does not answer, one caller at a time tries again, and not too often. With the
 * lock held. */
static bool may_open(const struct pg_db *p)
{
    return p->n_open < p->max &&
           (p->backoff_ms == 0 || (p->n_opening == 0 && pg_now_ms() >= p->retry_at));
}

static struct timespec at_ms(int64_t ms)
{
    return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

enum choice { USE_IDLE, OPEN_NEW, FAIL };

/* With the lock held; waits for a connection of the others. */
static enum choice choose(struct pg_db *p, int64_t deadline)
{
    const struct timespec until = at_ms(deadline);
    for (;;) {
        if (p->n_idle > 0) {
            return USE_IDLE;
        }
        if (may_open(p)) {
            p->n_open++;
            p->n_opening++;
            return OPEN_NEW;
        }
        /* Without a server there is nothing to wait for: the caller is told at once. */
        if (p->backoff_ms > 0 && p->n_open == p->n_opening) {
            return FAIL;
        }
        if (pthread_cond_timedwait(&p->freed, &p->lock, &until) != 0) {
            return FAIL;
        }
    }
}

static enum cw_err take(struct pg_db *p, struct pg_conn **ret_conn)
{
    int64_t deadline = pg_now_ms() + p->target.statement_timeout_ms;
    for (;;) {
        struct pg_conn *conn = NULL;
        pthread_mutex_lock(&p->lock);
        enum choice choice = choose(p, deadline);
        if (choice == USE_IDLE) {
            conn = p->idle[--p->n_idle];
        }
        bool down = p->backoff_ms > 0;
        pthread_mutex_unlock(&p->lock);
        if (choice == OPEN_NEW) {
            return open_new(p, ret_conn);
        }
        if (choice == FAIL) {
            if (!down && p->db.on_error != NULL) {
                p->db.on_error(p->db.on_error_ctx, "begin",
                               "all connections are in use (authsvc.store.connections)");
            }
            return CW_STORE_UNAVAILABLE;
        }
        if (pg_conn_is_alive(conn)) {
            *ret_conn = conn;
            return CW_OK;
        }
        discard(p, conn);
    }
}

static void give(struct pg_conn *conn)
{
    struct pg_db *p = pg_of(conn->tx.db);
    if (conn->broken) {
        discard(p, conn);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->idle[p->n_idle++] = conn;
    pthread_cond_signal(&p->freed);
    pthread_mutex_unlock(&p->lock);
}

/* A fresh connection in the place of one that was dead when it was taken. */
static enum cw_err replace(struct pg_conn *conn)
{
    struct pg_db *p = pg_of(conn->tx.db);
    pg_conn_close(conn);
    enum cw_err err = pg_conn_open(conn, &p->target);
    pthread_mutex_lock(&p->lock);
    if (err != CW_OK) {
        back_off(p);
    } else {
        p->backoff_ms = 0;
    }
    pthread_mutex_unlock(&p->lock);
    return err;
}

/* --- transactions ----------------------------------------------------------------------- */

static enum cw_err pg_begin(struct db *db, enum db_durability durability, struct db_tx **ret_tx)
{
    struct pg_conn *conn = NULL;
    TRY(take(pg_of(db), &conn));
    conn->durability = durability;
    conn->begun = false;
    conn->wrote = false;
    conn->single_read = false;
    conn->topics = 0;
    *ret_tx = &conn->tx;
    return CW_OK;
}

static void pg_single_read(struct db_tx *tx)
{
    conn_of(tx)->single_read = true;
}

/* BEGIN, and what else must stand before the first statement. */
static size_t opening_steps(const struct pg_conn *conn, struct pg_step *steps)
{
    size_t n = 0;
    if (!conn->begun && !conn->single_read) {
        steps[n++] = (struct pg_step){.command = "BEGIN"};
        if (conn->durability == DB_LAZY) {
            steps[n++] = (struct pg_step){.command = "SET LOCAL synchronous_commit TO off"};
        }
    }
    return n;
}

static enum cw_err try_step(struct pg_conn *conn, const struct pg_step *step, PGresult **ret_result)
{
    struct pg_step steps[PG_STEPS_MAX];
    size_t n = opening_steps(conn, steps);
    steps[n++] = *step;
    if (step->command == NULL) {
        TRY(pg_conn_prepare(conn, step->statement));
    }
    TRY(pg_conn_round(conn, steps, n, ret_result));
    conn->begun = !conn->single_read;
    return CW_OK;
}

static enum cw_err run_step(struct pg_conn *conn, const struct pg_step *step, PGresult **ret_result)
{
    enum cw_err err = try_step(conn, step, ret_result);
    if (err == CW_STORE_UNAVAILABLE && conn->broken && !conn->begun) {
        err = replace(conn);
        if (err == CW_OK) {
            err = try_step(conn, step, ret_result);
        }
    }
    return err;
}

static enum cw_err deliver(const PGresult *result, db_row_fn *row, void *ctx)
{
    int n = CW_MIN(PQnfields(result), (int)DB_COLUMNS_MAX);
    for (int r = 0; row != NULL && r < PQntuples(result); r++) {
        struct db_value columns[DB_COLUMNS_MAX] = {0};
        for (int c = 0; c < n; c++) {
            TRY(pg_value(result, r, c, &columns[c]));
        }
        TRY(row(ctx, columns, (size_t)n));
    }
    return CW_OK;
}

static int64_t changes_of(PGresult *result, enum db_statement statement)
{
    uint64_t changes = 0;
    if (db_statement_reads(statement) ||
        cw_str_to_u64(cw_str(PQcmdTuples(result)), INT64_MAX, &changes) != CW_OK) {
        return 0;
    }
    return (int64_t)changes;
}

static enum cw_err pg_run(struct db_tx *tx, enum db_statement statement,
                          const struct db_value *args, size_t n, db_row_fn *row, void *ctx,
                          int64_t *ret_changes)
{
    struct pg_conn *conn = conn_of(tx);
    const struct pg_step step = {.statement = statement, .args = args, .n = n};
    PGresult *result = NULL;
    TRY(report(conn, run_step(conn, &step, &result), db_statement_sql(statement)));
    conn->wrote = conn->wrote || !db_statement_reads(statement);
    if (ret_changes != NULL) {
        *ret_changes = changes_of(result, statement);
    }
    enum cw_err err = deliver(result, row, ctx);
    PQclear(result);
    return err;
}

static enum cw_err pg_check(struct db_tx *tx, enum db_statement statement)
{
    struct pg_conn *conn = conn_of(tx);
    return report(conn, pg_conn_prepare(conn, statement), db_statement_sql(statement));
}

static enum cw_err command(struct pg_conn *conn, const char *sql)
{
    const struct pg_step step = {.command = sql};
    return report(conn, run_step(conn, &step, NULL), sql);
}

static enum cw_err pg_script(struct db_tx *tx, const char *sql)
{
    struct pg_conn *conn = conn_of(tx);
    if (!conn->begun) {
        TRY(command(conn, "SELECT 1"));
    }
    conn->wrote = true;
    return report(conn, pg_conn_script(conn, sql), sql);
}

static enum cw_err pg_lock(struct db_tx *tx, enum db_lock lock)
{
    struct pg_conn *conn = conn_of(tx);
    if (lock == DB_LOCK_SCHEMA) {
        conn->timeout_ms = MIGRATION_MS;
        TRY(command(conn, "SET LOCAL statement_timeout = 0"));
    }
    char sql[80];
    snprintf(sql, sizeof(sql), "SELECT pg_advisory_xact_lock(%d, %d)", LOCK_CLASS, (int)lock);
    return command(conn, sql);
}

static void pg_notify(struct db_tx *tx, enum db_topic topic)
{
    conn_of(tx)->topics |= 1U << topic;
}

static void end(struct pg_conn *conn)
{
    conn->timeout_ms =
        CW_MIN(conn->timeout_ms, pg_of(conn->tx.db)->target.statement_timeout_ms + 1000);
    give(conn);
}

static void pg_rollback(struct db_tx *tx)
{
    struct pg_conn *conn = conn_of(tx);
    if (conn->begun || (!conn->broken && PQtransactionStatus(conn->pg) != PQTRANS_IDLE)) {
        const struct pg_step step = {.command = "ROLLBACK"};
        if (!conn->broken && pg_conn_round(conn, &step, 1, NULL) != CW_OK) {
            conn->broken = true; /* its end rolls back, too */
        }
    }
    end(conn);
}

/* The answer must be COMMIT: a transaction that had failed would say ROLLBACK. */
static enum cw_err commit_of(struct pg_conn *conn)
{
    struct pg_step steps[PG_STEPS_MAX];
    size_t n = 0;
    for (enum db_topic topic = 0; topic < DB_TOPIC_COUNT; topic++) {
        if ((conn->topics & 1U << topic) != 0) {
            steps[n++] = (struct pg_step){.command = pg_notify_command(topic)};
        }
    }
    steps[n++] = (struct pg_step){.command = "COMMIT"};
    PGresult *result = NULL;
    enum cw_err err = pg_conn_round(conn, steps, n, &result);
    if (err == CW_OK && strcmp(PQcmdStatus(result), "COMMIT") != 0) {
        snprintf(conn->message, sizeof(conn->message), "rolled back");
        err = CW_STORE_UNAVAILABLE;
    }
    PQclear(result);
    if (conn->broken) {
        return conn->wrote ? CW_STORE_UNCERTAIN : CW_OK; /* what was read has been read */
    }
    return err == CW_CONFLICT ? CW_STORE_UNAVAILABLE : err;
}

static enum cw_err pg_commit(struct db_tx *tx)
{
    struct pg_conn *conn = conn_of(tx);
    enum cw_err err = conn->begun ? report(conn, commit_of(conn), "COMMIT") : CW_OK;
    end(conn);
    return err;
}

/* --- opening and closing ---------------------------------------------------------------- */

static enum cw_err pg_listen(struct db *db, db_notice_fn *notice, void *ctx)
{
    struct pg_db *p = pg_of(db);
    pg_listener_stop(p->listener);
    p->listener = NULL;
    return notice != NULL ? pg_listener_start(&p->target, notice, ctx, &p->listener) : CW_OK;
}

static void pg_close(struct db *db)
{
    struct pg_db *p = pg_of(db);
    pg_listener_stop(p->listener);
    for (size_t i = 0; i < p->n_idle; i++) {
        pg_conn_close(p->idle[i]);
        free(p->idle[i]);
    }
    pg_target_done(&p->target);
    pthread_cond_destroy(&p->freed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* One connection at once: a wrong URL is told at the start. */
static enum cw_err first_connection(struct pg_db *p, struct cw_buf *ret_message)
{
    struct pg_conn *conn = calloc(1, sizeof(*conn));
    ENSURE(conn != NULL, CW_NO_MEMORY);
    conn->tx.db = &p->db;
    p->n_open++;
    p->n_opening++;
    enum cw_err err = open_counted(p, conn);
    if (err != CW_OK) {
        cw_buf_addf(ret_message, "the database cannot be reached: %s", conn->message);
        free(conn);
        return err;
    }
    give(conn);
    return CW_OK;
}

static enum cw_err pg_open(const struct db_options *options, struct cw_str location,
                           struct cw_buf *ret_message, struct db **ret_db)
{
    (void)location; /* libpq reads the URL as a whole */
    struct pg_db *p = calloc(1, sizeof(*p));
    ENSURE(p != NULL, CW_NO_MEMORY);
    p->db.driver = &db_postgresql;
    p->max = CW_MIN(options->connections > 0 ? options->connections : CONNECTIONS, CONNECTIONS_MAX);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->freed, &attr);
    pthread_condattr_destroy(&attr);
    enum cw_err err = pg_target_init(&p->target, options, ret_message);
    if (err == CW_OK) {
        err = first_connection(p, ret_message);
    }
    if (err != CW_OK) {
        pg_close(&p->db);
        return err;
    }
    *ret_db = &p->db;
    return CW_OK;
}

static enum cw_err pg_check_url(struct cw_str url, struct cw_buf *ret_message)
{
    const struct db_options options = {.url = url};
    struct pg_target target;
    enum cw_err err = pg_target_init(&target, &options, ret_message);
    pg_target_done(&target);
    return err;
}

const struct db_driver db_postgresql = {
    .open = pg_open,
    .check_url = pg_check_url,
    .close = pg_close,
    .begin = pg_begin,
    .commit = pg_commit,
    .rollback = pg_rollback,
    .script = pg_script,
    .run = pg_run,
    .check = pg_check,
    .single_read = pg_single_read,
    .lock = pg_lock,
    .notify = pg_notify,
    .listen = pg_listen,
};
