
/*
 * Writes and reads the fields of a protobuf message.
 */


#include "ngx_http_cw_wire.h"


static ngx_inline ngx_int_t ngx_http_cw_wire_read_varint(ngx_str_t *s,
    uint64_t *value);
static ngx_int_t ngx_http_cw_wire_read_long(ngx_str_t *s, uint64_t *value);


size_t
ngx_http_cw_wire_varint_size(uint64_t value)
{
    size_t  n;

    for (n = 1; value > 0x7f; n++) {
        value >>= 7;
    }

    return n;
}


u_char *
ngx_http_cw_wire_varint(u_char *p, uint64_t value)
{
    while (value > 0x7f) {
        *p++ = (u_char) (value | 0x80);
        value >>= 7;
    }

    *p++ = (u_char) value;

    return p;
}


u_char *
ngx_http_cw_wire_bytes(u_char *p, ngx_uint_t number, ngx_str_t *bytes)
{
    *p++ = (u_char) (number << 3 | NGX_HTTP_CW_WIRE_BYTES);
    p = ngx_http_cw_wire_varint(p, bytes->len);

    return ngx_cpymem(p, bytes->data, bytes->len);
}


/* most are one byte */

static ngx_inline ngx_int_t
ngx_http_cw_wire_read_varint(ngx_str_t *s, uint64_t *value)
{
    if (s->len && *s->data < 0x80) {
        *value = *s->data++;
        s->len--;

        return NGX_OK;
    }

    return ngx_http_cw_wire_read_long(s, value);
}


static ngx_int_t
ngx_http_cw_wire_read_long(ngx_str_t *s, uint64_t *value)
{
    u_char      c;
    uint64_t    v;
    ngx_uint_t  shift;

    v = 0;

    for (shift = 0; shift < 64 && s->len; shift += 7) {
        c = *s->data++;
        s->len--;

        v |= (uint64_t) (c & 0x7f) << shift;

        if (c < 0x80) {
            *value = v;
            return NGX_OK;
        }
    }

    return NGX_ERROR;
}


ngx_int_t
ngx_http_cw_wire_field(ngx_str_t *message, ngx_http_cw_wire_field_t *field)
{
    size_t      size, i;
    uint64_t    tag;

    if (message->len == 0) {
        return NGX_DONE;
    }

    if (ngx_http_cw_wire_read_varint(message, &tag) != NGX_OK
        || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
    {
        return NGX_ERROR;
    }

    field->number = (ngx_uint_t) (tag >> 3);
    field->type = (ngx_uint_t) (tag & 7);
    field->value = 0;
    ngx_str_null(&field->bytes);

    switch (field->type) {

    case NGX_HTTP_CW_WIRE_VARINT:
        return ngx_http_cw_wire_read_varint(message, &field->value);

    case NGX_HTTP_CW_WIRE_BYTES:

        if (ngx_http_cw_wire_read_varint(message, &field->value) != NGX_OK
            || field->value > message->len)
        {
            return NGX_ERROR;
        }

        field->bytes.data = message->data;
        field->bytes.len = (size_t) field->value;

        message->data += field->bytes.len;
        message->len -= field->bytes.len;

        return NGX_OK;

    case NGX_HTTP_CW_WIRE_FIXED64:
    case NGX_HTTP_CW_WIRE_FIXED32:

        size = (field->type == NGX_HTTP_CW_WIRE_FIXED64) ? 8 : 4;

        if (message->len < size) {
            return NGX_ERROR;
        }

        for (i = 0; i < size; i++) {
            field->value |= (uint64_t) message->data[i] << (8 * i);
        }

        message->data += size;
        message->len -= size;

        return NGX_OK;
    }

    /* groups are not used, and nothing else exists */

    return NGX_ERROR;
}
