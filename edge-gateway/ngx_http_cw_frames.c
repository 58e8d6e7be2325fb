
/*
 * Moves bytes between the link's socket and its HTTP/2 session, and tells the
 * calls what came for them.  Requests are continued first, control frames
 * leave after.
 */


#include "ngx_http_cw_call.h"


/* no frame of ours is larger: DATA stops at 16 KiB */
#define NGX_HTTP_CW_LINK_FRAME  (32 * 1024)


static void ngx_http_cw_frames_turn(ngx_http_cw_link_t *link);
static ngx_int_t ngx_http_cw_frames_collect(ngx_http_cw_link_t *link);
static void ngx_http_cw_frames_tell_drained(ngx_http_cw_link_t *link);


void
ngx_http_cw_frames_read_handler(ngx_event_t *rev)
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

        ngx_http_cw_frames_turn(link);

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
ngx_http_cw_frames_turn(ngx_http_cw_link_t *link)
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


void
ngx_http_cw_frames_write_handler(ngx_event_t *wev)
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

    ngx_http_cw_frames_send(link);
}


void
ngx_http_cw_frames_send(ngx_http_cw_link_t *link)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = link->connection;

    if (c == NULL) {
        return;
    }

    for ( ;; ) {

        if (ngx_http_cw_frames_collect(link) != NGX_OK) {
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

    ngx_http_cw_frames_tell_drained(link);

    /* nghttp2 closes streams while it sends, too */

    if (link->connection == c) {
        ngx_http_cw_frames_turn(link);
    }
}


static ngx_int_t
ngx_http_cw_frames_collect(ngx_http_cw_link_t *link)
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
ngx_http_cw_frames_tell_drained(ngx_http_cw_link_t *link)
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
