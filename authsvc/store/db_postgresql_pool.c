/* Connections are opened as they are needed, and one at a time while the server does not answer. */
#include "authsvc/store/db_postgresql_pool.h"

#include <stdlib.h>
#include <time.h>

enum {
    BACKOFF_MIN_MS = 100,
    BACKOFF_MAX_MS = 5000,
};

/* Conflicts and deadlocks are outcomes; everything else is told to the operator. */
enum cw_err pg_report(struct pg_conn *conn, enum cw_err err, const char *operation)
{
    struct db *db = conn->tx.db;
    if (err != CW_OK && err != CW_CONFLICT && err != CW_STORE_CONTENDED && db->on_error != NULL) {
        db->on_error(db->on_error_ctx, operation, conn->message);
    }
    return err;
}

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
            pg_report(conn, err, "connect");
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

enum cw_err pg_pool_take(struct pg_db *p, struct pg_conn **ret_conn)
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

void pg_pool_give(struct pg_conn *conn)
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

enum cw_err pg_pool_replace(struct pg_conn *conn)
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
    pg_pool_give(conn);
    return CW_OK;
}

enum cw_err pg_pool_open(struct pg_db *p, const struct db_options *options,
                         struct cw_buf *ret_message)
{
    unsigned connections = options->connections > 0 ? options->connections : PG_CONNECTIONS;
    p->max = CW_MIN(connections, (unsigned)PG_CONNECTIONS_MAX);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->freed, &attr);
    pthread_condattr_destroy(&attr);
    TRY(pg_target_init(&p->target, options, ret_message));
    p->db.connections = (unsigned)p->max;
    p->db.statement_timeout_ms = p->target.statement_timeout_ms;
    return first_connection(p, ret_message);
}

void pg_pool_close(struct pg_db *p)
{
    for (size_t i = 0; i < p->n_idle; i++) {
        pg_conn_close(p->idle[i]);
        free(p->idle[i]);
    }
    pg_target_done(&p->target);
    pthread_cond_destroy(&p->freed);
    pthread_mutex_destroy(&p->lock);
}
