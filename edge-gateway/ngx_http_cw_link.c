
/*
 * Keeps the worker's HTTP/2 connection to the sidecar: connects its Unix
 * socket, checks who listens there, moves bytes between the socket and
 * nghttp2, and comes back with a jittered backoff when it ends.  Requests are
 * continued first, control frames leave after.
 */


#include "ngx_http_cw_call.h"


/* no frame of ours is larger: DATA stops at 16 KiB */
#define NGX_HTTP_CW_LINK_FRAME        (32 * 1024)

#define NGX_HTTP_CW_LINK_BACKOFF_MAX  500
#define NGX_HTTP_CW_LINK_PING         1000


static void ngx_http_cw_link_connect(ngx_http_cw_link_t *link);
static ngx_int_t ngx_http_cw_link_socket(ngx_http_cw_link_t *link);
static ngx_int_t ngx_http_cw_link_check_peer(ngx_http_cw_link_t *link,
    ngx_socket_t fd);
static void ngx_http_cw_link_later(ngx_http_cw_link_t *link);
static void ngx_http_cw_link_close(ngx_http_cw_link_t *link);
static void ngx_http_cw_link_retry_handler(ngx_event_t *ev);
static void ngx_http_cw_link_ping_handler(ngx_event_t *ev);
static void ngx_http_cw_link_flush_handler(ngx_event_t *ev);
static void ngx_http_cw_link_read_handler(ngx_event_t *rev);
static void ngx_http_cw_link_write_handler(ngx_event_t *wev);
static void ngx_http_cw_link_turn(ngx_http_cw_link_t *link);
static void ngx_http_cw_link_send(ngx_http_cw_link_t *link);
static ngx_int_t ngx_http_cw_link_collect(ngx_http_cw_link_t *link);
static void ngx_http_cw_link_tell_drained(ngx_http_cw_link_t *link);


ngx_http_cw_link_t *
ngx_http_cw_link_create(ngx_http_cw_link_conf_t *conf, ngx_log_t *log)
{
    ngx_http_cw_link_t  *link;

    link = ngx_calloc(sizeof(ngx_http_cw_link_t), log);
    if (link == NULL) {
        return NULL;
    }

    link->conf = *conf;
    link->log = log;
    link->out_pos = link->out;
    link->out_last = link->out;
    link->backoff = NGX_HTTP_CW_LINK_BACKOFF;

    ngx_queue_init(&link->calls);

    /* an old worker must not wait for any of these */

    link->retry.handler = ngx_http_cw_link_retry_handler;
    link->retry.data = link;
    link->retry.log = log;
    link->retry.cancelable = 1;

    link->ping.handler = ngx_http_cw_link_ping_handler;
    link->ping.data = link;
    link->ping.log = log;
    link->ping.cancelable = 1;

    link->flush.handler = ngx_http_cw_link_flush_handler;
    link->flush.data = link;
    link->flush.log = log;

    return link;
}


void
ngx_http_cw_link_add_user(ngx_http_cw_link_t *link,
    ngx_http_cw_link_user_t *user)
{
    user->next = link->users;
    link->users = user;
}


void
ngx_http_cw_link_start(ngx_http_cw_link_t *link)
{
    ngx_http_cw_link_connect(link);
}


void
ngx_http_cw_link_destroy(ngx_http_cw_link_t *link)
{
    link->stopped = 1;

    if (link->connection) {
        ngx_http_cw_link_close(link);
    }

    if (link->retry.timer_set) {
        ngx_del_timer(&link->retry);
    }

    ngx_free(link);
}


ngx_uint_t
ngx_http_cw_link_is_up(ngx_http_cw_link_t *link)
{
    return link->connection && !link->broken;
}


void
ngx_http_cw_link_suspect(ngx_http_cw_link_t *link)
{
    if (!ngx_http_cw_link_is_up(link) || link->ping.timer_set) {
        return;
    }

    (void) nghttp2_submit_ping(link->session, NGHTTP2_FLAG_NONE, NULL);
    ngx_add_timer(&link->ping, NGX_HTTP_CW_LINK_PING);
    ngx_post_event(&link->flush, &ngx_posted_events);
}


void
ngx_http_cw_link_break(ngx_http_cw_link_t *link, const char *why)
{
    if (link->connection == NULL || link->broken) {
        return;
    }

    link->broken = 1;
    link->why = why;

    if (!link->busy) {
        ngx_http_cw_link_close(link);
    }
}


static void
ngx_http_cw_link_connect(ngx_http_cw_link_t *link)
{
    ngx_http_cw_link_user_t  *user;

    if (ngx_http_cw_link_socket(link) != NGX_OK) {
        ngx_http_cw_link_later(link);
        return;
    }

    if (ngx_http_cw_call_session(link) != NGX_OK) {
        ngx_http_cw_link_break(link, "no memory for an HTTP/2 session");
        return;
    }

    link->busy = 1;

    for (user = link->users; user && !link->broken; user = user->next) {
        user->up(link, user->data);
    }

    link->busy = 0;

    if (link->broken) {
        ngx_http_cw_link_close(link);
        return;
    }

    ngx_http_cw_link_send(link);
}


static ngx_int_t
ngx_http_cw_link_socket(ngx_http_cw_link_t *link)
{
    ngx_err_t          err;
    ngx_uint_t         level;
    ngx_socket_t       fd;
    ngx_connection_t  *c;

    fd = socket(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_ALERT, link->log, ngx_socket_errno,
                      ngx_socket_n " for the sidecar failed");
        return NGX_ERROR;
    }

    /* a Unix socket connects at once or, its backlog full, not now */

    if (connect(fd, link->conf.sockaddr, link->conf.socklen) == -1) {
        err = ngx_socket_errno;
        level = link->complained ? NGX_LOG_INFO : NGX_LOG_ERR;
        link->complained = 1;

        ngx_log_error(level, link->log, err,
                      "connect() to sidecar %V failed", &link->conf.name);
        goto failed;
    }

    if (ngx_http_cw_link_check_peer(link, fd) != NGX_OK) {
        goto failed;
    }

    c = ngx_get_connection(fd, link->log);
    if (c == NULL) {
        goto failed;
    }

    c->data = link;
    c->recv = ngx_recv;
    c->send = ngx_send;
    c->log = link->log;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    c->read->handler = ngx_http_cw_link_read_handler;
    c->read->log = link->log;
    c->write->handler = ngx_http_cw_link_write_handler;
    c->write->log = link->log;
    c->write->ready = 1;

    /*
     * No write event before it is needed: each read of the peer would raise
     * an edge, and each edge wake the worker.
     */

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_close_connection(c);
        return NGX_ERROR;
    }

    link->connection = c;
    link->broken = 0;

    return NGX_OK;

failed:

    if (ngx_close_socket(fd) == -1) {
        ngx_log_error(NGX_LOG_ALERT, link->log, ngx_socket_errno,
                      ngx_close_socket_n " for the sidecar failed");
    }

    return NGX_ERROR;
}


/*
 * Who can put a socket into the path's place would see every token: its owner
 * must be root, our own user, or one that the configuration names.
 */

static ngx_int_t
ngx_http_cw_link_check_peer(ngx_http_cw_link_t *link, ngx_socket_t fd)
{
    uid_t         *uid;
    socklen_t      len;
    ngx_uint_t     i, level;
    struct ucred   cred;

    len = sizeof(struct ucred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1) {
        ngx_log_error(NGX_LOG_ALERT, link->log, ngx_socket_errno,
                      "getsockopt(SO_PEERCRED) failed");
        return NGX_ERROR;
    }

    if (cred.uid == 0 || cred.uid == geteuid()) {
        return NGX_OK;
    }

    if (link->conf.uids) {
        uid = link->conf.uids->elts;

        for (i = 0; i < link->conf.uids->nelts; i++) {
            if (uid[i] == cred.uid) {
                return NGX_OK;
            }
        }
    }

    level = link->complained ? NGX_LOG_INFO : NGX_LOG_ERR;
    link->complained = 1;

    ngx_log_error(level, link->log, 0,
                  "sidecar %V belongs to user %d, who is not trusted",
                  &link->conf.name, (int) cred.uid);

    return NGX_ERROR;
}


static void
ngx_http_cw_link_later(ngx_http_cw_link_t *link)
{
    ngx_msec_t  delay;

    if (link->stopped) {
        return;
    }

    /* one half fixed, one half random: workers do not come back together */

    delay = link->backoff / 2 + (ngx_msec_t) ngx_random() % link->backoff;

    link->backoff = ngx_min(link->backoff * 2, NGX_HTTP_CW_LINK_BACKOFF_MAX);

    ngx_add_timer(&link->retry, delay);
}


static void
ngx_http_cw_link_close(ngx_http_cw_link_t *link)
{
    ngx_uint_t                level;
    ngx_queue_t              *q;
    ngx_http_cw_call_t       *call;
    ngx_http_cw_link_user_t  *user;

    if (!link->stopped) {
        level = link->complained ? NGX_LOG_INFO : NGX_LOG_WARN;
        link->complained = 1;

        ngx_log_error(level, link->log, 0,
                      "connection to sidecar %V ended: %s",
                      &link->conf.name, link->why ? link->why : "closed");
    }

    if (link->flush.posted) {
        ngx_delete_posted_event(&link->flush);
    }

    if (link->ping.timer_set) {
        ngx_del_timer(&link->ping);
    }

    nghttp2_session_del(link->session);
    link->session = NULL;

    ngx_close_connection(link->connection);
    link->connection = NULL;

    link->out_pos = link->out;
    link->out_last = link->out;
    link->broken = 0;
    link->why = NULL;

    while (!ngx_queue_empty(&link->calls)) {
        q = ngx_queue_head(&link->calls);
        call = ngx_queue_data(q, ngx_http_cw_call_t, queue);

        ngx_queue_remove(q);

        call->type->closed(call, call->data,
                           call->ended ? call->status
                                       : NGX_HTTP_CW_GRPC_UNAVAILABLE);
        ngx_http_cw_call_free(call);
    }

    for (user = link->users; user; user = user->next) {
        if (user->down) {
            user->down(link, user->data);
        }
    }

    ngx_http_cw_link_later(link);
}


static void
ngx_http_cw_link_retry_handler(ngx_event_t *ev)
{
    ngx_http_cw_link_connect(ev->data);
}


static void
ngx_http_cw_link_ping_handler(ngx_event_t *ev)
{
    ngx_http_cw_link_break(ev->data, "no answer");
}


static void
ngx_http_cw_link_flush_handler(ngx_event_t *ev)
{
    ngx_http_cw_link_send(ev->data);
}


static void
ngx_http_cw_link_read_handler(ngx_event_t *rev)
{
    ssize_t              n, used;
    ngx_connection_t    *c;
    ngx_http_cw_link_t  *link;

    c = rev->data;
    link = c->data;

    do {
        n = c->recv(c, link->in, NGX_HTTP_CW_LINK_IN);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR || n == 0) {
            ngx_http_cw_link_break(link, n ? "recv() failed"
                                           : "closed by the sidecar");
            return;
        }

        if (link->ping.timer_set) {
            ngx_del_timer(&link->ping);
        }

        link->busy = 1;
        used = nghttp2_session_mem_recv(link->session, link->in, (size_t) n);
        link->busy = 0;

        if (used != n && !link->broken) {
            link->broken = 1;
            link->why = "malformed HTTP/2";
        }

        ngx_http_cw_link_turn(link);

        /* what went on may have ended the connection */

        if (link->connection != c) {
            return;
        }

        if (link->broken) {
            ngx_http_cw_link_close(link);
            return;
        }

    } while (rev->ready);

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_cw_link_break(link, "no event");
        return;
    }

    if (nghttp2_session_want_write(link->session)) {
        ngx_post_event(&link->flush, &ngx_posted_events);

    } else if (!nghttp2_session_want_read(link->session)) {
        ngx_http_cw_link_break(link, "the session is over");
    }
}


/*
 * Tells the calls what came for them.  Each function may open and cancel
 * calls and end the connection, so the list is read afresh after each.
 */

static void
ngx_http_cw_link_turn(ngx_http_cw_link_t *link)
{
    ngx_queue_t         *q;
    ngx_connection_t    *c;
    ngx_http_cw_call_t  *call;

    c = link->connection;

again:

    for (q = ngx_queue_head(&link->calls);
         q != ngx_queue_sentinel(&link->calls);
         q = ngx_queue_next(q))
    {
        call = ngx_queue_data(q, ngx_http_cw_call_t, queue);

        if (call->got) {
            call->got = 0;

            if (call->type->turn) {
                call->type->turn(call, call->data);

                if (link->connection != c) {
                    return;
                }

                goto again;
            }
        }

        if (call->ended && !link->broken) {
            ngx_queue_remove(q);

            call->type->closed(call, call->data, call->status);
            ngx_http_cw_call_free(call);

            if (link->connection != c) {
                return;
            }

            goto again;
        }
    }
}


static void
ngx_http_cw_link_write_handler(ngx_event_t *wev)
{
    ngx_connection_t    *c;
    ngx_http_cw_link_t  *link;

    c = wev->data;
    link = c->data;

    if (wev->active && (ngx_event_flags & NGX_USE_CLEAR_EVENT)) {
        if (ngx_del_event(wev, NGX_WRITE_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
            ngx_http_cw_link_break(link, "no event");
            return;
        }
    }

    ngx_http_cw_link_send(link);
}


static void
ngx_http_cw_link_send(ngx_http_cw_link_t *link)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = link->connection;

    if (c == NULL) {
        return;
    }

    for ( ;; ) {

        if (ngx_http_cw_link_collect(link) != NGX_OK) {
            ngx_http_cw_link_break(link, "nghttp2_session_mem_send() failed");
            return;
        }

        if (link->out_pos == link->out_last) {
            break;
        }

        if (!c->write->ready) {
            break;
        }

        n = c->send(c, link->out_pos, link->out_last - link->out_pos);

        if (n == NGX_ERROR) {
            ngx_http_cw_link_break(link, "send() failed");
            return;
        }

        if (n == NGX_AGAIN) {
            break;
        }

        link->out_pos += n;

        if (link->out_pos == link->out_last) {
            link->out_pos = link->out;
            link->out_last = link->out;
        }
    }

    if (!c->write->ready && ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_http_cw_link_break(link, "no event");
        return;
    }

    ngx_http_cw_link_tell_drained(link);

    /* nghttp2 closes streams while it sends, too */

    if (link->connection == c) {
        ngx_http_cw_link_turn(link);
    }
}


static ngx_int_t
ngx_http_cw_link_collect(ngx_http_cw_link_t *link)
{
    size_t          room;
    ssize_t         n;
    const uint8_t  *p;

    for ( ;; ) {
        room = link->out + NGX_HTTP_CW_LINK_OUT - link->out_last;

        if (room < NGX_HTTP_CW_LINK_FRAME) {
            return NGX_OK;
        }

        link->busy = 1;
        n = nghttp2_session_mem_send(link->session, &p);
        link->busy = 0;

        if (n < 0 || (size_t) n > room) {
            return NGX_ERROR;
        }

        if (n == 0) {
            return NGX_OK;
        }

        link->out_last = ngx_cpymem(link->out_last, p, n);
    }
}


static void
ngx_http_cw_link_tell_drained(ngx_http_cw_link_t *link)
{
    ngx_queue_t         *q;
    ngx_http_cw_call_t  *call;

again:

    for (q = ngx_queue_head(&link->calls);
         q != ngx_queue_sentinel(&link->calls);
         q = ngx_queue_next(q))
    {
        call = ngx_queue_data(q, ngx_http_cw_call_t, queue);

        if (call->drained) {
            call->drained = 0;

            if (call->type->drained && !call->ended) {
                call->type->drained(call, call->data);
                goto again;
            }
        }
    }
}
