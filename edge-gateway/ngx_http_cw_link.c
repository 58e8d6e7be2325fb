
/*
 * Keeps the worker's HTTP/2 connection to the sidecar: connects its Unix
 * socket, checks who listens there, and comes back with a jittered backoff
 * when it ends.
 */


#include "ngx_http_cw_call.h"


#define NGX_HTTP_CW_LINK_BACKOFF_MAX  500
#define NGX_HTTP_CW_LINK_PING         1000


static void ngx_http_cw_link_connect(ngx_http_cw_link_t *link);
static ngx_int_t ngx_http_cw_link_socket(ngx_http_cw_link_t *link);
static ngx_int_t ngx_http_cw_link_check_peer(ngx_http_cw_link_t *link,
    ngx_socket_t fd);
static void ngx_http_cw_link_later(ngx_http_cw_link_t *link);
static void ngx_http_cw_link_retry_handler(ngx_event_t *ev);
static void ngx_http_cw_link_ping_handler(ngx_event_t *ev);
static void ngx_http_cw_link_flush_handler(ngx_event_t *ev);


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

    ngx_http_cw_frames_send(link);
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

    c->read->handler = ngx_http_cw_frames_read_handler;
    c->read->log = link->log;
    c->write->handler = ngx_http_cw_frames_write_handler;
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


void
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
    ngx_http_cw_frames_send(ev->data);
}
