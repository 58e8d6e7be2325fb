
/*
 * Reads an Identity: its strings, its lists joined as headers have them, its
 * kept claims.
 */


#include "ngx_http_cw_who.h"
#include "ngx_http_cw_wire.h"


/* the elements of a repeated field */

typedef struct {
    ngx_str_t                 from;  /* the message from the first on */
    ngx_uint_t                n;
} ngx_http_cw_who_list_t;


static void ngx_http_cw_who_list_add(ngx_http_cw_who_list_t *list,
    ngx_str_t *at);
static ngx_int_t ngx_http_cw_who_join(ngx_http_cw_who_list_t *list,
    ngx_uint_t number, u_char separator, u_char **joined,
    ngx_http_cw_who_t *result, ngx_str_t *value);


ngx_int_t
ngx_http_cw_who_read(ngx_str_t *identity, u_char *joined,
    ngx_http_cw_who_t *result)
{
    ngx_int_t                 rc;
    ngx_str_t                 s, at, *str;
    ngx_http_cw_who_list_t    scopes, roles;
    ngx_http_cw_wire_field_t  field;

    ngx_memzero(result, sizeof(ngx_http_cw_who_t));
    ngx_memzero(&scopes, sizeof(ngx_http_cw_who_list_t));
    ngx_memzero(&roles, sizeof(ngx_http_cw_who_list_t));

    s = *identity;

    for ( ;; ) {
        at = s;
        rc = ngx_http_cw_wire_field(&s, &field);

        if (rc != NGX_OK) {
            break;
        }

        str = NULL;

        switch (field.number) {

        case 1:
            str = &result->tenant;
            break;

        case 2:
            str = &result->subject;
            break;

        case 3:
            str = &result->issuer;
            break;

        case 4:
            str = &result->client;
            break;

        case 5:
            str = &result->session;
            break;

        case 6:
            ngx_http_cw_who_list_add(&scopes, &at);
            break;

        case 7:
            ngx_http_cw_who_list_add(&roles, &at);
            break;

        case 9:
            if (field.type != NGX_HTTP_CW_WIRE_VARINT) {
                return NGX_ERROR;
            }

            result->expires = (int64_t) field.value;
            break;

        case 11:
            str = &result->token_id;
            break;
        }

        if (str) {
            if (field.type != NGX_HTTP_CW_WIRE_BYTES) {
                return NGX_ERROR;
            }

            *str = field.bytes;
        }
    }

    if (rc != NGX_DONE) {
        return NGX_ERROR;
    }

    if (ngx_http_cw_who_join(&scopes, 6, ' ', &joined, result,
                             &result->scopes)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_cw_who_join(&roles, 7, ',', &joined, result,
                                &result->roles);
}


static void
ngx_http_cw_who_list_add(ngx_http_cw_who_list_t *list, ngx_str_t *at)
{
    if (list->n++ == 0) {
        list->from = *at;
    }
}


/*
 * An element costs two bytes at least beside its own in the message, its
 * separator one: the joined values never need more room than the message.
 */

static ngx_int_t
ngx_http_cw_who_join(ngx_http_cw_who_list_t *list, ngx_uint_t number,
    u_char separator, u_char **joined, ngx_http_cw_who_t *result,
    ngx_str_t *value)
{
    u_char                   *p;
    ngx_http_cw_wire_field_t  field;

    p = *joined;

    while (list->n) {

        if (ngx_http_cw_wire_field(&list->from, &field) != NGX_OK) {
            return NGX_ERROR;
        }

        if (field.number != number) {
            continue;
        }

        list->n--;

        if (field.type != NGX_HTTP_CW_WIRE_BYTES) {
            return NGX_ERROR;
        }

        if (field.bytes.len == 0
            || memchr(field.bytes.data, separator, field.bytes.len))
        {
            result->ambiguous = 1;
            continue;
        }

        if (p != *joined) {
            *p++ = separator;
        }

        p = ngx_cpymem(p, field.bytes.data, field.bytes.len);
    }

    value->data = *joined;
    value->len = p - *joined;

    *joined = p;

    return NGX_OK;
}


ngx_int_t
ngx_http_cw_who_claim(ngx_str_t *identity, ngx_str_t *name, ngx_str_t *json)
{
    ngx_int_t                 rc;
    ngx_str_t                 s, claim, value;
    ngx_uint_t                found;
    ngx_http_cw_wire_field_t  field, inner;

    s = *identity;

    while ((rc = ngx_http_cw_wire_field(&s, &field)) == NGX_OK) {

        if (field.number != 12 || field.type != NGX_HTTP_CW_WIRE_BYTES) {
            continue;
        }

        found = 0;
        claim = field.bytes;
        ngx_str_null(&value);

        while ((rc = ngx_http_cw_wire_field(&claim, &inner)) == NGX_OK) {

            if (inner.type != NGX_HTTP_CW_WIRE_BYTES) {
                continue;
            }

            if (inner.number == 1) {
                found = (inner.bytes.len == name->len
                         && memcmp(inner.bytes.data, name->data, name->len)
                            == 0);

            } else if (inner.number == 2) {
                value = inner.bytes;
            }
        }

        if (rc != NGX_DONE) {
            return NGX_ERROR;
        }

        if (found) {
            *json = value;
            return NGX_OK;
        }
    }

    return (rc == NGX_DONE) ? NGX_DECLINED : NGX_ERROR;
}
