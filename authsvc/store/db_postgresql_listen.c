/* Waits for notifications, and for the end. */
#include "authsvc/store/db_postgresql_listen.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    RETRY_MS = 1000,
    IDLE_MS = 15 * 1000, /* then the connection is tried: a peer that vanished says nothing */
};

#define CHANNEL "clinicwave"

static const struct {
    const char *payload;
    const char *command;
} topics[DB_TOPIC_COUNT] = {
    [DB_TOPIC_REVOCATIONS] = {"revocations", "NOTIFY " CHANNEL ", 'revocations'"},
    [DB_TOPIC_TENANTS] = {"tenants", "NOTIFY " CHANNEL ", 'tenants'"},
    [DB_TOPIC_KEYS] = {"keys", "NOTIFY " CHANNEL ", 'keys'"},
};

struct pg_listener {
    const struct pg_target *target;
    db_notice_fn *notice;
    void *ctx;
    int stop_fd; /* eventfd: readable when it is time to end */
    pthread_t thread;
    struct pg_conn conn;
};

const char *pg_notify_command(enum db_topic topic)
{
    return topics[topic].command;
}

static void tell_all(struct pg_listener *l)
{
    for (enum db_topic topic = 0; topic < DB_TOPIC_COUNT; topic++) {
        l->notice(l->ctx, topic);
    }
}

static void tell(struct pg_listener *l, const char *payload)
{
    for (enum db_topic topic = 0; topic < DB_TOPIC_COUNT; topic++) {
        if (strcmp(topics[topic].payload, payload) == 0) {
            l->notice(l->ctx, topic);
        }
    }
}

/* True when it is time to end. fd may be -1. */
static bool wait_on(struct pg_listener *l, int fd, int timeout_ms)
{
    struct pollfd fds[] = {{.fd = l->stop_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    (void)poll(fds, CW_ARRAY_SIZE(fds), timeout_ms);
    return (fds[0].revents & POLLIN) != 0;
}

static bool take_notifications(struct pg_listener *l)
{
    if (PQconsumeInput(l->conn.pg) == 0) {
        return false;
    }
    PGnotify *n = NULL;
    while ((n = PQnotifies(l->conn.pg)) != NULL) {
        tell(l, n->extra);
        PQfreemem(n);
    }
    return PQstatus(l->conn.pg) == CONNECTION_OK;
}

static void *run(void *arg)
{
    struct pg_listener *l = arg;
    for (;;) {
        if (pg_conn_open(&l->conn, l->target) == CW_OK &&
            pg_conn_script(&l->conn, "LISTEN " CHANNEL) == CW_OK) {
            tell_all(l);
            bool ending = false;
            bool alive = true;
            while (!ending && alive) {
                ending = wait_on(l, PQsocket(l->conn.pg), IDLE_MS);
                alive = take_notifications(l) && pg_conn_is_alive(&l->conn) &&
                        pg_conn_script(&l->conn, "") == CW_OK && take_notifications(l);
            }
        }
        pg_conn_close(&l->conn);
        if (wait_on(l, -1, RETRY_MS)) {
            return NULL;
        }
    }
}

enum cw_err pg_listener_start(const struct pg_target *target, db_notice_fn *notice, void *ctx,
                              struct pg_listener **ret_listener)
{
    struct pg_listener *l = calloc(1, sizeof(*l));
    ENSURE(l != NULL, CW_NO_MEMORY);
    l->target = target;
    l->notice = notice;
    l->ctx = ctx;
    l->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (l->stop_fd < 0 || pthread_create(&l->thread, NULL, run, l) != 0) {
        if (l->stop_fd >= 0) {
            close(l->stop_fd);
        }
        free(l);
        return CW_UNAVAILABLE;
    }
    *ret_listener = l;
    return CW_OK;
}

void pg_listener_stop(struct pg_listener *l)
{
    if (l == NULL) {
        return;
    }
    (void)eventfd_write(l->stop_fd, 1);
    pthread_join(l->thread, NULL);
    close(l->stop_fd);
    free(l);
}
