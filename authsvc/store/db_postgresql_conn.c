/* Talks to one PostgreSQL server. Statements are prepared once a connection and travel in binary
 * form; what belongs together goes out in one round trip, and every one has a deadline here, too,
 * since a server that stands still keeps none. */
#include "authsvc/store/db_postgresql_conn.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authsvc/store/db_postgresql_values.h"
#include "common/base/secret.h"

enum {
    PROBES = 3,      /* without an answer, and the host is taken to be gone */
    SLACK_MS = 1000, /* the server's own time-out comes first, and says more */
    BINARY = 1,
};

int64_t pg_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- failures --------------------------------------------------------------------------- */

/* Without its newline. No DETAIL: that may quote rows. */
static void remember(struct pg_conn *conn, const char *sqlstate, const char *text)
{
    snprintf(conn->message, sizeof(conn->message), "%s%s%s", sqlstate != NULL ? sqlstate : "",
             sqlstate != NULL ? ": " : "", text != NULL ? text : "connection lost");
    size_t n = strlen(conn->message);
    while (n > 0 && (conn->message[n - 1] == '\n' || conn->message[n - 1] == ' ')) {
        conn->message[--n] = '\0';
    }
    for (size_t i = 0; i < n; i++) {
        conn->message[i] = conn->message[i] == '\n' ? ' ' : conn->message[i];
    }
}

static enum cw_err lost(struct pg_conn *conn, const char *text)
{
    conn->broken = true;
    conn->unknown = true;
    remember(conn, NULL, text);
    return CW_STORE_UNAVAILABLE;
}

/* What an error of the server means for the store, and for the connection. */
static enum cw_err judge(struct pg_conn *conn, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    remember(conn, state, text != NULL ? text : PQresultErrorMessage(result));
    if (state == NULL || severity == NULL || strcmp(severity, "ERROR") != 0 ||
        PQstatus(conn->pg) != CONNECTION_OK) {
        conn->broken = true;
        conn->unknown = true;
        return CW_STORE_UNAVAILABLE;
    }
    if (strcmp(state, "23505") == 0) { /* unique_violation */
        return CW_CONFLICT;
    }
    /* deadlock_detected, serialization_failure, lock_not_available (LOCKS_BRIEFLY) */
    if (strcmp(state, "40P01") == 0 || strcmp(state, "40001") == 0 || strcmp(state, "55P03") == 0) {
        return CW_STORE_CONTENDED;
    }
    /* A server that was made a standby, or a plan that a migration has outdated: the next
     * connection does better. */
    conn->broken = strcmp(state, "25006") == 0 || strcmp(state, "0A000") == 0;
    return CW_STORE_UNAVAILABLE;
}

/* --- waiting ---------------------------------------------------------------------------- */

static enum cw_err wait_for(struct pg_conn *conn, short events, int64_t deadline)
{
    struct pollfd fd = {.fd = PQsocket(conn->pg), .events = events};
    int64_t left = deadline - pg_now_ms();
    int rc = left > 0 ? poll(&fd, 1, (int)CW_MIN(left, 60 * 1000)) : 0;
    if (rc == 0 && pg_now_ms() >= deadline) {
        return lost(conn, "the server did not answer in time");
    }
    if ((fd.revents & (POLLIN | POLLERR | POLLHUP)) != 0 && PQconsumeInput(conn->pg) == 0) {
        return lost(conn, PQerrorMessage(conn->pg));
    }
    return CW_OK;
}

/* The next result, NULL at the end of a step's. */
static enum cw_err next_result(struct pg_conn *conn, int64_t deadline, PGresult **ret_result)
{
    int unsent = 1;
    while (unsent != 0 || PQisBusy(conn->pg)) {
        unsent = unsent != 0 ? PQflush(conn->pg) : 0;
        if (unsent < 0) {
            return lost(conn, PQerrorMessage(conn->pg));
        }
        if (unsent == 0 && !PQisBusy(conn->pg)) {
            break;
        }
        TRY(wait_for(conn, (short)(unsent > 0 ? POLLIN | POLLOUT : POLLIN), deadline));
    }
    *ret_result = PQgetResult(conn->pg);
    return CW_OK;
}

/* --- round trips ------------------------------------------------------------------------ */

static void name_of(enum db_statement statement, char ret_name[16])
{
    snprintf(ret_name, 16, "s%d", (int)statement);
}

static bool send_step(struct pg_conn *conn, const struct pg_step *step)
{
    if (step->command != NULL) {
        return PQsendQueryParams(conn->pg, step->command, 0, NULL, NULL, NULL, NULL, BINARY) == 1;
    }
    struct pg_args out = {0};
    size_t n = conn->n_types[step->statement];
    bool sent = false;
    if (step->n >= n && pg_args_encode(&out, conn->types[step->statement], step->args, n)) {
        char name[16];
        name_of(step->statement, name);
        sent = PQsendQueryPrepared(conn->pg, name, (int)n, out.values, out.lengths, out.formats,
                                   BINARY) == 1;
    }
    pg_args_done(&out);
    return sent;
}

/* Keeps the first failure; the steps behind it were not run. */
static enum cw_err take_step(struct pg_conn *conn, int64_t deadline, enum cw_err before,
                             PGresult **ret_result)
{
    PGresult *result = NULL;
    TRY(next_result(conn, deadline, &result));
    if (result == NULL) {
        return lost(conn, PQerrorMessage(conn->pg));
    }
    enum cw_err err = before;
    ExecStatusType status = PQresultStatus(result);
    if (before == CW_OK && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        err = status == PGRES_PIPELINE_ABORTED ? lost(conn, "out of step") : judge(conn, result);
    }
    *ret_result = result;
    PGresult *end = NULL;
    while (!conn->broken) {
        TRY(next_result(conn, deadline, &end));
        if (end == NULL) {
            break;
        }
        PQclear(end);
    }
    return err;
}

static enum cw_err take_sync(struct pg_conn *conn, int64_t deadline)
{
    PGresult *result = NULL;
    TRY(next_result(conn, deadline, &result));
    bool synced = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
    PQclear(result);
    if (!synced || PQexitPipelineMode(conn->pg) != 1) {
        return lost(conn, "out of step");
    }
    return CW_OK;
}

/* Sends a step that does not fit as nothing at all: a mistake of ours, told by its text. */
static enum cw_err send_all(struct pg_conn *conn, const struct pg_step *steps, size_t n)
{
    if (PQenterPipelineMode(conn->pg) != 1) {
        return lost(conn, PQerrorMessage(conn->pg));
    }
    for (size_t i = 0; i < n; i++) {
        if (!send_step(conn, &steps[i])) {
            bool gone = PQstatus(conn->pg) != CONNECTION_OK;
            lost(conn, gone ? PQerrorMessage(conn->pg) : "the arguments do not fit the statement");
            return gone ? CW_STORE_UNAVAILABLE : CW_INTERNAL;
        }
    }
    return PQpipelineSync(conn->pg) == 1 ? CW_OK : lost(conn, PQerrorMessage(conn->pg));
}

enum cw_err pg_conn_round(struct pg_conn *conn, const struct pg_step *steps, size_t n,
                          PGresult **ret_results)
{
    int64_t deadline = pg_now_ms() + conn->timeout_ms;
    TRY(send_all(conn, steps, n));
    PGresult *results[PG_STEPS_MAX] = {0};
    enum cw_err err = CW_OK;
    for (size_t i = 0; i < n && !conn->broken; i++) {
        err = take_step(conn, deadline, err, &results[i]);
    }
    if (!conn->broken) {
        enum cw_err synced = take_sync(conn, deadline);
        err = err == CW_OK ? synced : err;
    }
    for (size_t i = 0; i < n; i++) {
        if (err == CW_OK && ret_results != NULL) {
            ret_results[i] = results[i];
        } else {
            PQclear(results[i]);
        }
    }
    return err;
}

/* --- statements ------------------------------------------------------------------------- */

/* What stands in a pg-comment is ours: locks on rows. */
static enum cw_err text_of(enum db_statement statement, struct cw_buf *sql)
{
    const char *p = db_statement_sql(statement);
    for (;;) {
        const char *open = strstr(p, "/*pg ");
        const char *close = open != NULL ? strstr(open, "*/") : NULL;
        if (close == NULL) {
            cw_buf_add_cstr(sql, p);
            cw_buf_add_char(sql, '\0');
            return cw_buf_check(sql);
        }
        cw_buf_add(sql, p, (size_t)(open - p));
        cw_buf_add(sql, open + 5, (size_t)(close - open - 5));
        p = close + 2;
    }
}

static enum cw_err only_result(struct pg_conn *conn, PGresult **ret_result)
{
    int64_t deadline = pg_now_ms() + conn->timeout_ms;
    PGresult *result = NULL;
    enum cw_err err = take_step(conn, deadline, CW_OK, &result);
    if (err == CW_OK) {
        *ret_result = result;
    } else {
        PQclear(result);
    }
    return err;
}

static enum cw_err describe(struct pg_conn *conn, enum db_statement statement, const char *name)
{
    PGresult *result = NULL;
    if (PQsendDescribePrepared(conn->pg, name) != 1) {
        return lost(conn, PQerrorMessage(conn->pg));
    }
    TRY(only_result(conn, &result));
    int n = PQnparams(result);
    for (int i = 0; i < CW_MIN(n, (int)DB_ARGS_MAX); i++) {
        conn->types[statement][i] = PQparamtype(result, i);
    }
    conn->n_types[statement] = (uint8_t)n;
    conn->known[statement] = n <= DB_ARGS_MAX;
    PQclear(result);
    return n <= DB_ARGS_MAX ? CW_OK : CW_INTERNAL;
}

enum cw_err pg_conn_prepare(struct pg_conn *conn, enum db_statement statement)
{
    if (conn->prepared[statement]) {
        return CW_OK;
    }
    CW_CLEANUP(cw_buf_done) struct cw_buf sql = CW_BUF_INIT(64 * 1024);
    TRY(text_of(statement, &sql));
    char name[16];
    name_of(statement, name);
    if (PQsendPrepare(conn->pg, name, sql.p, 0, NULL) != 1) {
        return lost(conn, PQerrorMessage(conn->pg));
    }
    PGresult *result = NULL;
    TRY(only_result(conn, &result));
    PQclear(result);
    if (!conn->known[statement]) {
        TRY(describe(conn, statement, name));
    }
    conn->prepared[statement] = true;
    return CW_OK;
}

enum cw_err pg_conn_script(struct pg_conn *conn, const char *sql)
{
    if (PQsendQuery(conn->pg, sql) != 1) {
        return lost(conn, PQerrorMessage(conn->pg));
    }
    int64_t deadline = pg_now_ms() + conn->timeout_ms;
    enum cw_err err = CW_OK;
    for (;;) {
        PGresult *result = NULL;
        TRY(next_result(conn, deadline, &result));
        if (result == NULL) {
            return err;
        }
        ExecStatusType status = PQresultStatus(result);
        if (err == CW_OK && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
            status != PGRES_EMPTY_QUERY) {
            err = judge(conn, result);
        }
        PQclear(result);
    }
}

/* --- opening and closing ---------------------------------------------------------------- */

static enum cw_err connect(struct pg_conn *conn, const struct pg_target *target)
{
    struct cw_secret password = {0};
    if (target->password_file != NULL &&
        cw_secret_read(&password, target->password_file) != CW_OK) {
        snprintf(conn->message, sizeof(conn->message), "%s cannot be read", target->password_file);
        return CW_STORE_UNAVAILABLE;
    }
    size_t n = target->password_at + 1;
    const char **values = calloc(n + 1, sizeof(char *));
    if (values != NULL) {
        memcpy(values, target->values, n * sizeof(char *));
        values[target->password_at] = password.p;
        conn->pg = PQconnectdbParams((const char *const *)target->keywords, values, 0);
    }
    free(values);
    cw_secret_done(&password);
    ENSURE(conn->pg != NULL, CW_NO_MEMORY);
    if (PQstatus(conn->pg) != CONNECTION_OK) {
        return lost(conn, PQerrorMessage(conn->pg));
    }
    return PQsetnonblocking(conn->pg, 1) == 0 ? CW_OK : lost(conn, PQerrorMessage(conn->pg));
}

static void ignore_notice(void *ctx, const PGresult *result)
{
    (void)ctx;
    (void)result;
}

/* A session that stands still in a transaction must not hold its locks against the others, nor one
 * whose host is gone: only half of a round trip may have arrived, and then no time-out of a
 * statement or of a transaction runs, but what ends the connection (on a Unix socket: nothing of
 * this counts). A plan is made once, and for everybody: not for the one user who has half of the
 * sessions. */
static enum cw_err configure(struct pg_conn *conn, const struct pg_target *target)
{
    PQsetNoticeReceiver(conn->pg, ignore_notice, NULL);
    const char *encoding = PQparameterStatus(conn->pg, "server_encoding");
    if (encoding == NULL || strcmp(encoding, "UTF8") != 0) {
        return lost(conn, "the database's encoding is not UTF8: create it with ENCODING 'UTF8'");
    }
    char sql[600];
    long long ms = target->statement_timeout_ms;
    long long idle_s = CW_MAX((ms + 999) / 1000, 1);
    long long interval_s = CW_MAX(idle_s / PROBES, 1);
    snprintf(sql, sizeof(sql),
             "SET statement_timeout = %lld;"
             "SET idle_in_transaction_session_timeout = %lld;"
             "SET default_transaction_isolation = 'read committed';"
             "SET plan_cache_mode = force_generic_plan;"
             "SET standard_conforming_strings = on;"
             "SET tcp_keepalives_idle = %lld;"
             "SET tcp_keepalives_interval = %lld;"
             "SET tcp_keepalives_count = %d;"
             "SET tcp_user_timeout = %lld",
             ms, 2 * ms, idle_s, interval_s, (int)PROBES, (idle_s + PROBES * interval_s) * 1000);
    return pg_conn_script(conn, sql);
}

enum cw_err pg_conn_open(struct pg_conn *conn, const struct pg_target *target)
{
    conn->broken = false;
    conn->unknown = false;
    conn->n_run = 0;
    conn->replan_at = 0;
    conn->timeout_ms = target->statement_timeout_ms + SLACK_MS;
    memset(conn->prepared, 0, sizeof(conn->prepared));
    memset(conn->known, 0, sizeof(conn->known)); /* another server may infer otherwise */
    enum cw_err err = connect(conn, target);
    if (err == CW_OK) {
        err = configure(conn, target);
    }
    if (err != CW_OK) {
        pg_conn_close(conn);
        return err == CW_NO_MEMORY ? err : CW_STORE_UNAVAILABLE;
    }
    return CW_OK;
}

void pg_conn_close(struct pg_conn *conn)
{
    PQfinish(conn->pg);
    conn->pg = NULL;
    conn->broken = true;
}

bool pg_conn_is_alive(struct pg_conn *conn)
{
    /* A server that ends a session sends its reason, then the end: two reads. */
    for (int i = 0; i < 4; i++) {
        struct pollfd fd = {.fd = PQsocket(conn->pg), .events = POLLIN};
        if (fd.fd < 0 || poll(&fd, 1, 0) == 0) {
            break;
        }
        if (PQconsumeInput(conn->pg) == 0) {
            return false;
        }
    }
    return PQstatus(conn->pg) == CONNECTION_OK && PQtransactionStatus(conn->pg) == PQTRANS_IDLE;
}
