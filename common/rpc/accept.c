/* New connections are accepted and counted here.
 *
 * The core owns a connection's descriptor and does not tell when it closes it. So each has a
 * duplicate here that is only watched for hang-up: when that comes, the duplicate is closed and the
 * connection no longer counts. */
#include "common/rpc/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_LISTENERS = 32, EVENTS = 64, ACCEPT_BURST = 64, EXHAUSTED_PAUSE_MS = 100 };

struct watched {
    struct watched *next, **link;
    int fd;
    unsigned listener; /* index; for connections, where they came from */
    bool connection, stranger;
};

struct cw_rpc_accept {
    const struct cw_rpc_accept_ops *ops;
    void *ctx;
    int epoll;
    int stop; /* eventfd */
    unsigned max_connections;
    size_t n_listeners;
    struct watched listeners[MAX_LISTENERS];
    unsigned connections[MAX_LISTENERS], strangers[MAX_LISTENERS];
    struct watched *open; /* the watched connections */
    bool exhausted;       /* no descriptors: accepting pauses */
    pthread_t thread;
};

static void connection_forget(struct cw_rpc_accept *accept, struct watched *w)
{
    accept->connections[w->listener]--;
    accept->strangers[w->listener] -= w->stranger;
    *w->link = w->next;
    if (w->next) {
        w->next->link = w->link;
    }
    /* closing does not end the watch: the core's descriptor keeps the open file alive */
    epoll_ctl(accept->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    close(w->fd);
    free(w);
}

/* NULL: it cannot be watched, so it must not be served. */
static struct watched *connection_watch(struct cw_rpc_accept *accept, unsigned listener, int fd)
{
    struct watched *w = calloc(1, sizeof *w);
    int duplicate = w ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
    if (duplicate < 0) {
        free(w);
        return NULL;
    }
    *w = (struct watched){.next = accept->open,
                          .link = &accept->open,
                          .fd = duplicate,
                          .listener = listener,
                          .connection = true};
    if (w->next) {
        w->next->link = &w->next;
    }
    accept->open = w;
    accept->connections[listener]++;
    struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = w}; /* EPOLLHUP comes unasked */
    if (epoll_ctl(accept->epoll, EPOLL_CTL_ADD, duplicate, &event) != 0) {
        connection_forget(accept, w);
        return NULL;
    }
    return w;
}

static void accept_one(struct cw_rpc_accept *accept, unsigned listener, int fd)
{
    bool full = accept->connections[listener] >= accept->max_connections;
    bool room = accept->strangers[listener] < CW_MAX(accept->max_connections / 4, 1u);
    struct watched *w = full ? NULL : connection_watch(accept, listener, fd);
    enum cw_rpc_accepted what =
        w ? accept->ops->on_connection(accept->ctx, listener, fd, room) : CW_RPC_ACCEPT_CLOSE;
    if (what == CW_RPC_ACCEPT_CLOSE) {
        if (w) {
            connection_forget(accept, w);
        }
        accept->ops->on_turned_away(accept->ctx); /* first: who sees the end finds it counted */
        close(fd);
    } else if (what == CW_RPC_ACCEPT_STRANGER) {
        w->stranger = true;
        accept->strangers[listener]++;
    }
}

static void accept_burst(struct cw_rpc_accept *accept, const struct watched *listener)
{
    for (int i = 0; i < ACCEPT_BURST; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            /* without descriptors the listener stays readable: pause instead of spinning */
            accept->exhausted = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
            return;
        }
        accept_one(accept, listener->listener, fd);
    }
}

static void *accept_loop(void *arg)
{
    struct cw_rpc_accept *accept = arg;
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(accept->epoll, events, EVENTS, -1);
        accept->exhausted = false;
        for (int i = 0; i < n; i++) {
            struct watched *w = events[i].data.ptr;
            if (!w) {
                return NULL;
            }
            if (w->connection) {
                connection_forget(accept, w);
            } else {
                accept_burst(accept, w);
            }
        }
        if (accept->exhausted) {
            usleep(EXHAUSTED_PAUSE_MS * 1000);
        }
    }
}

static void accept_free(struct cw_rpc_accept *accept)
{
    while (accept->open) {
        connection_forget(accept, accept->open);
    }
    if (accept->epoll >= 0) {
        close(accept->epoll);
    }
    if (accept->stop >= 0) {
        close(accept->stop);
    }
    free(accept);
}

static bool watch_all(struct cw_rpc_accept *accept, const int *listeners, size_t n)
{
    struct epoll_event stop = {.events = EPOLLIN};
    if (accept->epoll < 0 || accept->stop < 0 ||
        epoll_ctl(accept->epoll, EPOLL_CTL_ADD, accept->stop, &stop) != 0) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        accept->listeners[i] = (struct watched){.fd = listeners[i], .listener = (unsigned)i};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &accept->listeners[i]};
        if (epoll_ctl(accept->epoll, EPOLL_CTL_ADD, listeners[i], &event) != 0) {
            return false;
        }
    }
    return true;
}

enum cw_err cw_rpc_accept_start(const int *listeners, size_t n, unsigned max_connections,
                                const struct cw_rpc_accept_ops *ops, void *ctx,
                                struct cw_rpc_accept **ret_accept)
{
    ENSURE(n <= MAX_LISTENERS, CW_CONFIG_INVALID);
    struct cw_rpc_accept *accept = calloc(1, sizeof *accept);
    ENSURE(accept, CW_NO_MEMORY);
    accept->ops = ops;
    accept->ctx = ctx;
    accept->max_connections = max_connections;
    accept->n_listeners = n;
    accept->epoll = epoll_create1(EPOLL_CLOEXEC);
    accept->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = watch_all(accept, listeners, n) &&
              pthread_create(&accept->thread, NULL, accept_loop, accept) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!ok) {
        accept_free(accept);
        return CW_IO;
    }
    pthread_setname_np(accept->thread, "cw-rpc-accept");
    *ret_accept = accept;
    return CW_OK;
}

void cw_rpc_accept_stop(struct cw_rpc_accept *accept)
{
    if (!accept) {
        return;
    }
    uint64_t one = 1;
    while (write(accept->stop, &one, sizeof one) < 0 && errno == EINTR) {
    }
    pthread_join(accept->thread, NULL);
    accept_free(accept);
}
