/* Hears what other processes on the same database have changed (LISTEN), on a thread and a
 * connection of its own. */
#ifndef AUTHSVC_STORE_DB_POSTGRESQL_LISTEN_H
#define AUTHSVC_STORE_DB_POSTGRESQL_LISTEN_H

#include "authsvc/store/db_postgresql_conn.h"

struct pg_listener;

/* The target must outlive the listener. Whenever the connection was lost, every topic is notified
 * of: something may have been missed. */
CW_MUST_USE enum cw_err pg_listener_start(const struct pg_target *target, db_notice_fn *notice,
                                          void *ctx, struct pg_listener **ret_listener);
void pg_listener_stop(struct pg_listener *listener);

/* The command that tells all listeners once its transaction is committed. */
const char *pg_notify_command(enum db_topic topic);

#endif
