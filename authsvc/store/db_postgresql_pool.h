/* The bounded pool of connections to one PostgreSQL server. For the driver's own files; any
 * thread. */
#ifndef AUTHSVC_STORE_DB_POSTGRESQL_POOL_H
#define AUTHSVC_STORE_DB_POSTGRESQL_POOL_H

#include <pthread.h>

#include "authsvc/store/db_postgresql_conn.h"

enum {
    PG_CONNECTIONS = 16, /* unless configured */
    PG_CONNECTIONS_MAX = 256,
};

struct pg_listener;

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
    struct pg_conn *idle[PG_CONNECTIONS_MAX];
    int64_t backoff_ms; /* 0: the server answers */
    int64_t retry_at;
};

static inline struct pg_db *pg_of(struct db *db)
{
    return CW_CONTAINER_OF(db, struct pg_db, db);
}

/* Tells the operator of what is no outcome, and gives err back. */
enum cw_err pg_report(struct pg_conn *conn, enum cw_err err, const char *operation);

/* Locks and bounds. One connection is opened at once: a wrong URL is told at the start. */
CW_MUST_USE enum cw_err pg_pool_open(struct pg_db *p, const struct db_options *options,
                                     struct cw_buf *ret_message);
void pg_pool_close(struct pg_db *p);
/* A connection that was alive a moment ago; waits for one of the others' up to the time-out of a
 * statement. CW_STORE_UNAVAILABLE, at once where the server does not answer. */
CW_MUST_USE enum cw_err pg_pool_take(struct pg_db *p, struct pg_conn **ret_conn);
void pg_pool_give(struct pg_conn *conn);
/* A fresh connection in the place of one that was dead when it was taken. */
CW_MUST_USE enum cw_err pg_pool_replace(struct pg_conn *conn);

#endif
