
/*
 * Between the link's three parts: the connection (link), the bytes on it
 * (frames) and the calls of its HTTP/2 session (call).  Nobody else includes
 * this.
 */


#ifndef _NGX_HTTP_CW_CALL_H_INCLUDED_
#define _NGX_HTTP_CW_CALL_H_INCLUDED_


#include "ngx_http_cw_link.h"
#include "ngx_http_cw_grpc.h"

#include <nghttp2/nghttp2.h>


#define NGX_HTTP_CW_LINK_IN           (64 * 1024)
#define NGX_HTTP_CW_LINK_OUT          (192 * 1024)
#define NGX_HTTP_CW_LINK_BACKOFF      10


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


/* the connection has ended, or shall: tells calls and users, comes back later.
 * Not within nghttp2 */
void ngx_http_cw_link_close(ngx_http_cw_link_t *link);

/* of the connection's events */
void ngx_http_cw_frames_read_handler(ngx_event_t *rev);
void ngx_http_cw_frames_write_handler(ngx_event_t *wev);
/* what the session has to say leaves, as far as the socket takes it */
void ngx_http_cw_frames_send(ngx_http_cw_link_t *link);

/* a fresh HTTP/2 session for the link; NGX_ERROR without memory */
ngx_int_t ngx_http_cw_call_session(ngx_http_cw_link_t *link);
/* the call is out of the link's list already */
void ngx_http_cw_call_free(ngx_http_cw_call_t *call);


#endif /* _NGX_HTTP_CW_CALL_H_INCLUDED_ */
