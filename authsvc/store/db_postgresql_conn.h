/* One connection to PostgreSQL: opening it, prepared statements, round trips that end in time.
 * For the driver's own files; a connection is used by one thread at a time. */
#ifndef AUTHSVC_STORE_DB_POSTGRESQL_CONN_H
#define AUTHSVC_STORE_DB_POSTGRESQL_CONN_H

#include <postgresql/libpq-fe.h>

#include "authsvc/store/db.h"

enum { PG_MESSAGE_MAX = 512 };

/* Where and how to connect; immutable once made. */
struct pg_target {
    char **keywords; /* NULL-terminated, as libpq takes them; the password's value is a place */
    char **values;
    size_t password_at;
    char *password_file; /* may be NULL */
    int64_t connect_timeout_ms;
    int64_t statement_timeout_ms;
};

struct pg_conn {
    struct db_tx tx;
    PGconn *pg;
    bool broken;  /* not to be used again */
    bool unknown; /* it broke without an answer: what was sent may have happened */
    bool prepared[DB_STATEMENT_COUNT];
    bool known[DB_STATEMENT_COUNT]; /* types[] has been asked for */
    Oid types[DB_STATEMENT_COUNT][DB_ARGS_MAX];
    uint8_t n_types[DB_STATEMENT_COUNT];
    uint64_t n_run;     /* statements so far */
    uint64_t replan_at; /* of n_run: plans are made anew */
    int64_t timeout_ms; /* of a round trip */
    char message[PG_MESSAGE_MAX];
    /* The transaction. */
    enum db_durability durability;
    bool begun;       /* BEGIN was sent with the first statement */
    bool wrote;       /* a commit that is lost matters */
    bool single_read; /* needs no BEGIN */
    unsigned topics;  /* bits of enum db_topic to notify of */
};

/* Checks the URL. CW_CONFIG_INVALID with a sentence for people, which never holds the URL. */
CW_MUST_USE enum cw_err pg_target_init(struct pg_target *target, const struct db_options *options,
                                       struct cw_buf *ret_message);
void pg_target_done(struct pg_target *target);

/* CW_STORE_UNAVAILABLE: see conn->message. Blocks up to the connect time-out. */
CW_MUST_USE enum cw_err pg_conn_open(struct pg_conn *conn, const struct pg_target *target);
void pg_conn_close(struct pg_conn *conn);
/* Whether an idle connection is still one; a server that ended it has said so by now. */
bool pg_conn_is_alive(struct pg_conn *conn);

/* What one round trip carries: a command without arguments, or a prepared statement. */
struct pg_step {
    const char *command; /* NULL: the statement */
    enum db_statement statement;
    const struct db_value *args;
    size_t n;
};

/* BEGIN, how durable it is, new plans, and COMMIT around the store's statements. */
enum { PG_STEPS_MAX = DB_CALLS_MAX + 4 };

/* Sends all steps at once and waits for their results. Outside of a transaction they are one, which
 * the end of the round commits. ret_results, which may be NULL, gets one for each step (PQclear);
 * after an error none. CW_CONFLICT, CW_STORE_CONTENDED, CW_STORE_UNAVAILABLE; conn->broken tells
 * whether the connection is lost, too. */
CW_MUST_USE enum cw_err pg_conn_round(struct pg_conn *conn, const struct pg_step *steps, size_t n,
                                      PGresult **ret_results);
CW_MUST_USE enum cw_err pg_conn_prepare(struct pg_conn *conn, enum db_statement statement);
/* Several commands in one text. */
CW_MUST_USE enum cw_err pg_conn_script(struct pg_conn *conn, const char *sql);
int64_t pg_now_ms(void);

#endif
