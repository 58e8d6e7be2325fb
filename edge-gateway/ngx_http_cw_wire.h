
/*
 * Protobuf's encoding (https://protobuf.dev/programming-guides/encoding/):
 * fields written and read by hand, no allocation, strings borrowed from the
 * message.  Needs nginx's types only, so that it is tested and fuzzed outside
 * of nginx.
 */


#ifndef _NGX_HTTP_CW_WIRE_H_INCLUDED_
#define _NGX_HTTP_CW_WIRE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CW_WIRE_VARINT   0
#define NGX_HTTP_CW_WIRE_FIXED64  1
#define NGX_HTTP_CW_WIRE_BYTES    2
#define NGX_HTTP_CW_WIRE_FIXED32  5


/* fields of a message one after the other.  NGX_OK, NGX_DONE at the end,
 * NGX_ERROR */

typedef struct {
    ngx_uint_t    number;
    ngx_uint_t    type;              /* NGX_HTTP_CW_WIRE_… */
    uint64_t      value;             /* of all but BYTES */
    ngx_str_t     bytes;             /* of BYTES */
} ngx_http_cw_wire_field_t;

ngx_int_t ngx_http_cw_wire_field(ngx_str_t *message,
    ngx_http_cw_wire_field_t *field);

size_t ngx_http_cw_wire_varint_size(uint64_t value);
u_char *ngx_http_cw_wire_varint(u_char *p, uint64_t value);
/* a length-delimited field; its size is 1 + varint_size(len) + len for
 * field numbers below 16 */
u_char *ngx_http_cw_wire_bytes(u_char *p, ngx_uint_t number, ngx_str_t *bytes);


#endif /* _NGX_HTTP_CW_WIRE_H_INCLUDED_ */
