
/*
 * Keeps the worker's HTTP/2 connection to the sidecar: connects its Unix
 * socket, checks who listens there, moves bytes between the socket and
 * nghttp2, and comes back with a jittered backoff when it ends.  Requests are
 * continued first, control frames leave after.
 */


#include "ngx_http_cw_link.h"
#include "ngx_http_cw_grpc.h"

#include <nghttp2/nghttp2.h>


#define NGX_HTTP_CW_LINK_WINDOW       (16 * 1024 * 1024)
#define NGX_HTTP_CW_LINK_IN           (64 * 1024)
#define NGX_HTTP_CW_LINK_OUT          (192 * 1024)
/* no frame of ours is larger: DATA stops at 16 KiB */
#define NGX_HTTP_CW_LINK_FRAME        (32 * 1024)
#define NGX_HTTP_CW_LINK_HEADERS      (16 * 1024)

#define NGX_HTTP_CW_LINK_BACKOFF      10
#define NGX_HTTP_CW_LINK_BACKOFF_MAX  500
#define NGX_HTTP_CW_LINK_PING         1000


struct ngx_http_cw_link_s {
    ngx_http_cw_link_conf_t    conf;
    ngx_log_t                 *log;

    ngx_connection_t          *connection;   /* NULL: down */
    nghttp2_session           *session;
    ngx_queue_t                calls;
    ngx_http_cw_link_user_t   *users;

    ngx_event_t                retry;
    ngx_event_t                ping;
    ngx_event_t                flush;
    ngx_msec_t                 backoff;

    u_char                    *out_pos;
    u_char                    *out_last;

    const char                *why;          /* broken: the reason */

    unsigned                   busy:1;       /* within nghttp2 */
    unsigned                   broken:1;
    unsigned                   complained:1;
    unsigned                   stopped:1;

    u_char                     in[NGX_HTTP_CW_LINK_IN];
    u_char                     out[NGX_HTTP_CW_LINK_OUT];
};


struct ngx_http_cw_call_s {
    ngx_queue_t                queue;        /* of link->calls */
    ngx_http_cw_link_t        *link;
    ngx_http_cw_call_type_t   *type;
    void                      *data;

    int32_t                    stream;
    ngx_http_cw_grpc_reader_t  reader;

    u_char                    *buf;          /* messages to be sent */
    size_t                     size;
    size_t                     pos;
    size_t                     last;

    size_t                     headers;      /* bytes of a header block */
    ngx_uint_t                 http_status;
    ngx_uint_t                 status;       /* grpc-status */

    unsigned                   grpc:1;       /* content-type was seen */
    unsigned                   half_closed:1;
    unsigned                   deferred:1;
    unsigned                   got:1;        /* messages in this turn */
    unsigned                   drained:1;
    unsigned                   ended:1;
};


static void ngx_http_cw_link_connect(ngx_http_cw_link_t *link);
static ngx_int_t ngx_http_cw_link_socket(ngx_http_cw_link_t *link);
static ngx_int_t ngx_http_cw_link_check_peer(ngx_http_cw_link_t *link,
    ngx_socket_t fd);
static ngx_int_t ngx_http_cw_link_session(ngx_http_cw_link_t *link);
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
static void ngx_http_cw_call_free(ngx_http_cw_call_t *call);

static int ngx_http_cw_link_on_header(nghttp2_session *session,
    const nghttp2_frame *frame, const uint8_t *name, size_t namelen,
    const uint8_t *value, size_t valuelen, uint8_t flags, void *data);
static int ngx_http_cw_link_on_frame(nghttp2_session *session,
    const nghttp2_frame *frame, void *data);
static int ngx_http_cw_link_on_data(nghttp2_session *session, uint8_t flags,
    int32_t stream, const uint8_t *p, size_t len, void *data);
static int ngx_http_cw_link_on_close(nghttp2_session *session, int32_t stream,
    uint32_t error, void *data);
static ssize_t ngx_http_cw_link_read_call(nghttp2_session *session,
    int32_t stream, uint8_t *p, size_t len, uint32_t *flags,
    nghttp2_data_source *source, void *data);
static ngx_int_t ngx_http_cw_link_message(void *data, u_char *p, size_t len);


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

    if (ngx_http_cw_link_session(link) != NGX_OK) {
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


static ngx_int_t
ngx_http_cw_link_session(ngx_http_cw_link_t *link)
{
    int                         rc;
    nghttp2_option             *option;
    nghttp2_settings_entry      settings[3];
    nghttp2_session_callbacks  *callbacks;

    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return NGX_ERROR;
    }

    nghttp2_session_callbacks_set_on_header_callback(callbacks,
                                                  ngx_http_cw_link_on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks,
                                                  ngx_http_cw_link_on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
                                                  ngx_http_cw_link_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                  ngx_http_cw_link_on_close);

    rc = nghttp2_option_new(&option);

    if (rc == 0) {
        nghttp2_option_set_max_settings(option, 32);

        rc = nghttp2_session_client_new2(&link->session, callbacks, link,
                                         option);
        nghttp2_option_del(option);
    }

    nghttp2_session_callbacks_del(callbacks);

    if (rc != 0) {
        link->session = NULL;
        return NGX_ERROR;
    }

    settings[0].settings_id = NGHTTP2_SETTINGS_ENABLE_PUSH;
    settings[0].value = 0;
    settings[1].settings_id = NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE;
    settings[1].value = NGX_HTTP_CW_LINK_WINDOW;
    settings[2].settings_id = NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE;
    settings[2].value = NGX_HTTP_CW_LINK_HEADERS;

    if (nghttp2_submit_settings(link->session, NGHTTP2_FLAG_NONE, settings, 3)
        != 0)
    {
        return NGX_ERROR;
    }

    rc = nghttp2_session_set_local_window_size(link->session,
                                               NGHTTP2_FLAG_NONE, 0,
                                               NGX_HTTP_CW_LINK_WINDOW);

    return (rc == 0) ? NGX_OK : NGX_ERROR;
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
    ngx_queue_t              *q;
    ngx_http_cw_call_t       *call;
    ngx_http_cw_link_user_t  *user;

    if (!link->stopped) {
        ngx_log_error(NGX_LOG_WARN, link->log, 0,
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


ngx_http_cw_call_t *
ngx_http_cw_call_open(ngx_http_cw_link_t *link, ngx_http_cw_call_type_t *type,
    void *data)
{
    ngx_uint_t              i;
    ngx_http_cw_call_t     *call;
    nghttp2_data_provider   provider;

    static const struct {
        const char         *name;
        const char         *value;
    } headers[] = {
        { ":method", "POST" },
        { ":scheme", "http" },
        { ":path", NULL },
        { ":authority", "localhost" },
        { "te", "trailers" },
        { "content-type", "application/grpc" },
        { "user-agent", "clinicwave-gateway" }
    };

    nghttp2_nv              nv[sizeof(headers) / sizeof(headers[0])];

    if (!ngx_http_cw_link_is_up(link)) {
        return NULL;
    }

    call = ngx_calloc(sizeof(ngx_http_cw_call_t), link->log);
    if (call == NULL) {
        return NULL;
    }

    call->link = link;
    call->type = type;
    call->data = data;
    call->reader.max = type->max;
    call->status = NGX_HTTP_CW_GRPC_UNKNOWN;

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        nv[i].name = (uint8_t *) headers[i].name;
        nv[i].namelen = ngx_strlen(headers[i].name);
        nv[i].flags = NGHTTP2_NV_FLAG_NONE;

        if (headers[i].value) {
            nv[i].value = (uint8_t *) headers[i].value;
            nv[i].valuelen = ngx_strlen(headers[i].value);

        } else {
            nv[i].value = type->path.data;
            nv[i].valuelen = type->path.len;
        }
    }

    provider.source.ptr = call;
    provider.read_callback = ngx_http_cw_link_read_call;

    call->stream = nghttp2_submit_request(link->session, NULL, nv, i,
                                          &provider, call);
    if (call->stream < 0) {
        ngx_free(call);
        return NULL;
    }

    ngx_queue_insert_tail(&link->calls, &call->queue);
    ngx_post_event(&link->flush, &ngx_posted_events);

    return call;
}


u_char *
ngx_http_cw_call_reserve(ngx_http_cw_call_t *call, size_t size)
{
    size_t   need, room;
    u_char  *buf;

    need = call->last + NGX_HTTP_CW_GRPC_PREFIX + size;

    if (need > call->size) {
        room = ngx_max(need, 2 * call->size);

        buf = ngx_alloc(room, call->link->log);
        if (buf == NULL) {
            return NULL;
        }

        call->last -= call->pos;

        if (call->last) {
            ngx_memcpy(buf, call->buf + call->pos, call->last);
        }

        call->pos = 0;

        ngx_free(call->buf);

        call->buf = buf;
        call->size = room;
    }

    return call->buf + call->last + NGX_HTTP_CW_GRPC_PREFIX;
}


void
ngx_http_cw_call_commit(ngx_http_cw_call_t *call, size_t len, ngx_uint_t last)
{
    (void) ngx_http_cw_grpc_prefix(call->buf + call->last, len);

    call->last += NGX_HTTP_CW_GRPC_PREFIX + len;
    call->half_closed = last;

    if (call->deferred) {
        call->deferred = 0;
        (void) nghttp2_session_resume_data(call->link->session, call->stream);
    }

    ngx_post_event(&call->link->flush, &ngx_posted_events);
}


size_t
ngx_http_cw_call_unsent(ngx_http_cw_call_t *call)
{
    return call->last - call->pos;
}


void
ngx_http_cw_call_cancel(ngx_http_cw_call_t *call)
{
    ngx_http_cw_link_t  *link;

    link = call->link;

    if (!call->ended && link->session) {
        (void) nghttp2_session_set_stream_user_data(link->session,
                                                    call->stream, NULL);
        (void) nghttp2_submit_rst_stream(link->session, NGHTTP2_FLAG_NONE,
                                         call->stream, NGHTTP2_CANCEL);
        ngx_post_event(&link->flush, &ngx_posted_events);
    }

    ngx_queue_remove(&call->queue);
    ngx_http_cw_call_free(call);
}


static void
ngx_http_cw_call_free(ngx_http_cw_call_t *call)
{
    ngx_http_cw_grpc_reader_done(&call->reader);

    if (call->buf) {
        ngx_free(call->buf);
    }

    ngx_free(call);
}


static ssize_t
ngx_http_cw_link_read_call(nghttp2_session *session, int32_t stream,
    uint8_t *p, size_t len, uint32_t *flags, nghttp2_data_source *source,
    void *data)
{
    size_t               n;
    ngx_http_cw_call_t  *call;

    /* a cancelled call's stream asks no more, but its frame may be queued */

    call = nghttp2_session_get_stream_user_data(session, stream);

    if (call == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }

    n = ngx_min(len, call->last - call->pos);

    if (n == 0 && !call->half_closed) {
        call->deferred = 1;
        return NGHTTP2_ERR_DEFERRED;
    }

    ngx_memcpy(p, call->buf + call->pos, n);
    call->pos += n;

    if (call->pos == call->last) {
        call->pos = 0;
        call->last = 0;
        call->drained = 1;

        if (call->half_closed) {
            *flags |= NGHTTP2_DATA_FLAG_EOF;
        }
    }

    return n;
}


static int
ngx_http_cw_link_on_header(nghttp2_session *session,
    const nghttp2_frame *frame, const uint8_t *name, size_t namelen,
    const uint8_t *value, size_t valuelen, uint8_t flags, void *data)
{
    ngx_int_t            n;
    ngx_http_cw_call_t  *call;

    call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    if (call == NULL) {
        return 0;
    }

    call->headers += namelen + valuelen + 32;

    if (call->headers > NGX_HTTP_CW_LINK_HEADERS) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }

    if (namelen == 7 && ngx_memcmp(name, ":status", 7) == 0) {
        n = ngx_atoi((u_char *) value, valuelen);
        call->http_status = (n == NGX_ERROR) ? 0 : (ngx_uint_t) n;

    } else if (namelen == 11 && ngx_memcmp(name, "grpc-status", 11) == 0) {
        n = ngx_atoi((u_char *) value, valuelen);
        call->status = (n == NGX_ERROR) ? NGX_HTTP_CW_GRPC_UNKNOWN
                                        : (ngx_uint_t) n;

    } else if (namelen == 12 && ngx_memcmp(name, "content-type", 12) == 0) {
        call->grpc = (valuelen >= 16
                      && ngx_memcmp(value, "application/grpc", 16) == 0);
    }

    return 0;
}


static int
ngx_http_cw_link_on_frame(nghttp2_session *session, const nghttp2_frame *frame,
    void *data)
{
    ngx_http_cw_call_t  *call;
    ngx_http_cw_link_t  *link = data;

    switch (frame->hd.type) {

    case NGHTTP2_HEADERS:

        call = nghttp2_session_get_stream_user_data(session,
                                                    frame->hd.stream_id);
        if (call == NULL) {
            return 0;
        }

        call->headers = 0;

        if (call->http_status >= 200
            && (call->http_status != 200 || !call->grpc))
        {
            ngx_http_cw_link_break(link, "the peer does not speak gRPC");
        }

        return 0;

    case NGHTTP2_GOAWAY:
        ngx_http_cw_link_break(link, "GOAWAY");
        return 0;
    }

    return 0;
}


static int
ngx_http_cw_link_on_data(nghttp2_session *session, uint8_t flags,
    int32_t stream, const uint8_t *p, size_t len, void *data)
{
    ngx_int_t            rc;
    ngx_http_cw_call_t  *call;
    ngx_http_cw_link_t  *link = data;

    call = nghttp2_session_get_stream_user_data(session, stream);

    if (call == NULL || link->broken) {
        return 0;
    }

    rc = ngx_http_cw_grpc_read(&call->reader, (u_char *) p, len,
                               ngx_http_cw_link_message, call);

    if (rc != NGX_OK) {
        ngx_http_cw_link_break(link, "malformed gRPC message");
    }

    return 0;
}


static ngx_int_t
ngx_http_cw_link_message(void *data, u_char *p, size_t len)
{
    ngx_http_cw_call_t *call = data;

    call->got = 1;

    /* a peer that answers is not to be waited for the next time */

    call->link->backoff = NGX_HTTP_CW_LINK_BACKOFF;
    call->link->complained = 0;

    return call->type->message(call, call->data, p, len);
}


static int
ngx_http_cw_link_on_close(nghttp2_session *session, int32_t stream,
    uint32_t error, void *data)
{
    ngx_http_cw_call_t  *call;

    call = nghttp2_session_get_stream_user_data(session, stream);

    if (call == NULL) {
        return 0;
    }

    call->ended = 1;

    /* RFC 9113 §8.1: an error code other than NO_ERROR is no orderly end */

    if (error != NGHTTP2_NO_ERROR && call->status == NGX_HTTP_CW_GRPC_OK) {
        call->status = NGX_HTTP_CW_GRPC_UNKNOWN;
    }

    return 0;
}
