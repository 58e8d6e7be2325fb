/* PostgreSQL as the database that several cw-authsvc share: transactions that send as few messages
 * as they can, over a bounded pool of connections.
 *
 *   begin        first statement       further ones     commit
 *   (nothing)    BEGIN + statement     statement        COMMIT (+ NOTIFY)
 *                statements that are the whole transaction: nothing but themselves
 *
 * Until the first answer nothing has happened, so a connection that turns out to be dead there is
 * replaced and the messages sent once more. A connection that is lost later ends the transaction;
 * lost in COMMIT, or in a round trip that commits, nobody knows (CW_STORE_UNCERTAIN). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/store/db_postgresql_listen.h"
#include "authsvc/store/db_postgresql_pool.h"
#include "authsvc/store/db_postgresql_values.h"

enum {
    MIGRATION_MS = 10 * 60 * 1000, /* another process may be in the middle of one */
    LOCK_CLASS = 0x6377,           /* "cw": our part of the advisory locks' name space */
    REPLAN_FIRST = 64,             /* statements of a connection */
    REPLAN_MAX = 64 * 1024,
};

static struct pg_conn *conn_of(struct db_tx *tx)
{
    return CW_CONTAINER_OF(tx, struct pg_conn, tx);
}

/* --- transactions ----------------------------------------------------------------------- */

static enum cw_err pg_begin(struct db *db, enum db_durability durability, struct db_tx **ret_tx)
{
    struct pg_conn *conn = NULL;
    TRY(pg_pool_take(pg_of(db), &conn));
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

/* The server keeps a statement's plan until somebody counts the tables' rows (ANALYZE), and one
 * that was made over empty tables may look through all rows of a tenant. So plans are made anew
 * while a connection is young, then now and then. */
static bool is_to_replan(struct pg_conn *conn)
{
    if (conn->n_run < conn->replan_at) {
        return false;
    }
    bool planned = conn->replan_at > 0;
    conn->replan_at = conn->n_run + CW_MIN(CW_MAX(3 * conn->n_run, REPLAN_FIRST), REPLAN_MAX);
    return planned;
}

/* BEGIN, unless `bare`, and what else must stand before the first statement. */
static size_t opening_steps(struct pg_conn *conn, bool bare, struct pg_step *steps)
{
    size_t n = 0;
    if (conn->begun) {
        return 0;
    }
    if (!bare) {
        steps[n++] = (struct pg_step){.command = "BEGIN"};
        if (conn->durability == DB_LAZY) {
            steps[n++] = (struct pg_step){.command = "SET LOCAL synchronous_commit TO off"};
        }
    }
    if (is_to_replan(conn)) {
        steps[n++] = (struct pg_step){.command = "DISCARD PLANS"};
    }
    return n;
}

static enum cw_err prepare_all(struct pg_conn *conn, const struct pg_step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (steps[i].command == NULL) {
            TRY(pg_conn_prepare(conn, steps[i].statement));
        }
    }
    return CW_OK;
}

/* `whole`: with the commit. What is durable needs neither BEGIN nor COMMIT then: the end of the
 * round trip commits. */
static enum cw_err try_steps(struct pg_conn *conn, const struct pg_step *steps, size_t n,
                             bool whole, PGresult **ret_results)
{
    struct pg_step all[PG_STEPS_MAX];
    PGresult *results[PG_STEPS_MAX] = {0};
    bool bare = conn->single_read || (whole && conn->durability == DB_DURABLE);
    size_t before = opening_steps(conn, bare, all);
    memcpy(&all[before], steps, n * sizeof(*steps));
    size_t total = before + n;
    if (whole && !bare) {
        all[total++] = (struct pg_step){.command = "COMMIT"};
    }
    enum cw_err err = pg_conn_round(conn, all, total, results);
    if (err != CW_OK) {
        return whole && conn->unknown && conn->wrote ? CW_STORE_UNCERTAIN : err;
    }
    for (size_t i = 0; i < total; i++) {
        if (i >= before && i < before + n) {
            ret_results[i - before] = results[i];
        } else {
            PQclear(results[i]);
        }
    }
    conn->begun = !bare && !whole;
    return CW_OK;
}

static enum cw_err run_steps(struct pg_conn *conn, const struct pg_step *steps, size_t n,
                             bool whole, PGresult **ret_results)
{
    enum cw_err err = prepare_all(conn, steps, n);
    err = err == CW_OK ? try_steps(conn, steps, n, whole, ret_results) : err;
    if (err == CW_STORE_UNAVAILABLE && conn->broken && !conn->begun) {
        TRY(pg_pool_replace(conn));
        TRY(prepare_all(conn, steps, n));
        err = try_steps(conn, steps, n, whole, ret_results);
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

/* Results are cleared. */
static enum cw_err deliver_all(PGresult **results, const struct db_call *calls, size_t n)
{
    enum cw_err err = CW_OK;
    for (size_t i = 0; i < n; i++) {
        if (err == CW_OK && calls[i].ret_changes != NULL) {
            *calls[i].ret_changes = changes_of(results[i], calls[i].statement);
        }
        err = err == CW_OK ? deliver(results[i], calls[i].row, calls[i].ctx) : err;
        PQclear(results[i]);
    }
    return err;
}

static enum cw_err pg_run_all(struct db_tx *tx, const struct db_call *calls, size_t n, bool whole)
{
    struct pg_conn *conn = conn_of(tx);
    struct pg_step steps[PG_STEPS_MAX];
    PGresult *results[PG_STEPS_MAX] = {0};
    ENSURE(n > 0, CW_INTERNAL);
    for (size_t i = 0; i < n; i++) {
        steps[i] = (struct pg_step){
            .statement = calls[i].statement, .args = calls[i].args, .n = calls[i].n};
        conn->wrote = conn->wrote || !db_statement_reads(calls[i].statement);
    }
    conn->n_run += n;
    enum cw_err err = run_steps(conn, steps, n, whole, results);
    TRY(pg_report(conn, err, db_statement_sql(calls[0].statement)));
    return deliver_all(results, calls, n);
}

static enum cw_err pg_run(struct db_tx *tx, enum db_statement statement,
                          const struct db_value *args, size_t n, db_row_fn *row, void *ctx,
                          int64_t *ret_changes)
{
    const struct db_call call = {statement, args, n, row, ctx, ret_changes};
    return pg_run_all(tx, &call, 1, false);
}

static enum cw_err pg_check(struct db_tx *tx, enum db_statement statement)
{
    struct pg_conn *conn = conn_of(tx);
    return pg_report(conn, pg_conn_prepare(conn, statement), db_statement_sql(statement));
}

static enum cw_err command(struct pg_conn *conn, const char *sql)
{
    const struct pg_step step = {.command = sql};
    PGresult *result = NULL;
    TRY(pg_report(conn, run_steps(conn, &step, 1, false, &result), sql));
    PQclear(result);
    return CW_OK;
}

static enum cw_err pg_script(struct db_tx *tx, const char *sql)
{
    struct pg_conn *conn = conn_of(tx);
    if (!conn->begun) {
        TRY(command(conn, "SELECT 1"));
    }
    conn->wrote = true;
    return pg_report(conn, pg_conn_script(conn, sql), sql);
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
    pg_pool_give(conn);
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
    PGresult *results[PG_STEPS_MAX] = {0};
    enum cw_err err = pg_conn_round(conn, steps, n, results);
    if (err == CW_OK && strcmp(PQcmdStatus(results[n - 1]), "COMMIT") != 0) {
        snprintf(conn->message, sizeof(conn->message), "rolled back");
        err = CW_STORE_UNAVAILABLE;
    }
    for (size_t i = 0; i < n; i++) {
        PQclear(results[i]);
    }
    if (conn->broken) {
        return conn->wrote ? CW_STORE_UNCERTAIN : CW_OK; /* what was read has been read */
    }
    return err == CW_CONFLICT ? CW_STORE_UNAVAILABLE : err;
}

static enum cw_err pg_commit(struct db_tx *tx)
{
    struct pg_conn *conn = conn_of(tx);
    enum cw_err err = conn->begun ? pg_report(conn, commit_of(conn), "COMMIT") : CW_OK;
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
    pg_pool_close(p);
    free(p);
}

static enum cw_err pg_open(const struct db_options *options, struct cw_str location,
                           struct cw_buf *ret_message, struct db **ret_db)
{
    (void)location; /* libpq reads the URL as a whole */
    struct pg_db *p = calloc(1, sizeof(*p));
    ENSURE(p != NULL, CW_NO_MEMORY);
    p->db.driver = &db_postgresql;
    enum cw_err err = pg_pool_open(p, options, ret_message);
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
    .run_all = pg_run_all,
    .check = pg_check,
    .single_read = pg_single_read,
    .lock = pg_lock,
    .notify = pg_notify,
    .arrays = true,
    .listen = pg_listen,
};
