
/*
 * Cuts the bytes of an HTTP/2 stream into gRPC messages.
 */


#include "ngx_http_cw_grpc.h"


static ngx_int_t ngx_http_cw_grpc_begin(ngx_http_cw_grpc_reader_t *reader);


void
ngx_http_cw_grpc_reader_done(ngx_http_cw_grpc_reader_t *reader)
{
    free(reader->buf);
    reader->buf = NULL;
    reader->buf_size = 0;
}


ngx_int_t
ngx_http_cw_grpc_read(ngx_http_cw_grpc_reader_t *reader, u_char *p, size_t len,
    ngx_http_cw_grpc_message_pt handler, void *data)
{
    size_t   n;
    u_char  *message;

    while (len) {

        if (reader->prefix_len < NGX_HTTP_CW_GRPC_PREFIX) {
            n = ngx_min(NGX_HTTP_CW_GRPC_PREFIX - reader->prefix_len, len);

            ngx_memcpy(reader->prefix + reader->prefix_len, p, n);
            reader->prefix_len += n;
            p += n;
            len -= n;

            if (reader->prefix_len < NGX_HTTP_CW_GRPC_PREFIX) {
                return NGX_OK;
            }

            if (ngx_http_cw_grpc_begin(reader) != NGX_OK) {
                return NGX_ERROR;
            }
        }

        n = ngx_min(reader->len - reader->got, len);
        message = p;

        if (n < reader->len) {

            if (reader->buf_size < reader->len) {
                free(reader->buf);
                reader->buf_size = 0;

                reader->buf = malloc(reader->len);
                if (reader->buf == NULL) {
                    return NGX_ERROR;
                }

                reader->buf_size = reader->len;
            }

            ngx_memcpy(reader->buf + reader->got, p, n);
            message = reader->buf;
        }

        reader->got += n;
        p += n;
        len -= n;

        if (reader->got < reader->len) {
            return NGX_OK;
        }

        reader->prefix_len = 0;

        if (handler(data, message, reader->len) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_grpc_begin(ngx_http_cw_grpc_reader_t *reader)
{
    u_char  *q;

    q = reader->prefix;

    /* compression was not offered */

    if (q[0] != 0) {
        return NGX_ERROR;
    }

    reader->len = (size_t) q[1] << 24 | (size_t) q[2] << 16
                  | (size_t) q[3] << 8 | (size_t) q[4];
    reader->got = 0;

    return (reader->len > reader->max) ? NGX_ERROR : NGX_OK;
}


ngx_uint_t
ngx_http_cw_grpc_at_boundary(ngx_http_cw_grpc_reader_t *reader)
{
    return reader->prefix_len == 0;
}


u_char *
ngx_http_cw_grpc_prefix(u_char *p, size_t len)
{
    *p++ = 0;
    *p++ = (u_char) (len >> 24);
    *p++ = (u_char) (len >> 16);
    *p++ = (u_char) (len >> 8);
    *p++ = (u_char) len;

    return p;
}
