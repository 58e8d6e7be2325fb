
/*
 * gRPC's message framing over HTTP/2 DATA
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): a byte
 * that says "compressed", four of length, the message.  No nginx functions.
 */


#ifndef _NGX_HTTP_CW_GRPC_H_INCLUDED_
#define _NGX_HTTP_CW_GRPC_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CW_GRPC_PREFIX        5

/* status codes */

#define NGX_HTTP_CW_GRPC_OK            0
#define NGX_HTTP_CW_GRPC_CANCELLED     1
#define NGX_HTTP_CW_GRPC_UNKNOWN       2
#define NGX_HTTP_CW_GRPC_DENIED        7
#define NGX_HTTP_CW_GRPC_UNIMPLEMENTED 12
#define NGX_HTTP_CW_GRPC_UNAVAILABLE   14


/* one whole message, borrowed; NGX_OK or NGX_ERROR */
typedef ngx_int_t (*ngx_http_cw_grpc_message_pt)(void *data, u_char *p,
    size_t len);


typedef struct {
    size_t        max;               /* bound of a message in bytes */
    size_t        prefix_len;        /* bytes of the prefix seen */
    u_char        prefix[NGX_HTTP_CW_GRPC_PREFIX];

    u_char       *buf;               /* a message that came in pieces */
    size_t        buf_size;
    size_t        got;
    size_t        len;               /* of the message being read */
} ngx_http_cw_grpc_reader_t;


/* zero-filled with max set is a fresh reader */
void ngx_http_cw_grpc_reader_done(ngx_http_cw_grpc_reader_t *reader);

/* feeds bytes; whole messages go to the handler, those that lie in one piece
 * without a copy.  NGX_ERROR: compressed, above the bound, without memory, or
 * what the handler says */
ngx_int_t ngx_http_cw_grpc_read(ngx_http_cw_grpc_reader_t *reader, u_char *p,
    size_t len, ngx_http_cw_grpc_message_pt handler, void *data);

/* nothing of a message is left behind: the stream may end here */
ngx_uint_t ngx_http_cw_grpc_at_boundary(ngx_http_cw_grpc_reader_t *reader);

u_char *ngx_http_cw_grpc_prefix(u_char *p, size_t len);


#endif /* _NGX_HTTP_CW_GRPC_H_INCLUDED_ */
