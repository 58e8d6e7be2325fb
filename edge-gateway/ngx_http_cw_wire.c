
/*
 * Turns what a worker asks into protobuf bytes and the sidecar's answers back
 * into fields (https://protobuf.dev/programming-guides/encoding/).
 */


#include "ngx_http_cw_wire.h"


#define NGX_HTTP_CW_WIRE_VARINT   0
#define NGX_HTTP_CW_WIRE_FIXED64  1
#define NGX_HTTP_CW_WIRE_BYTES    2
#define NGX_HTTP_CW_WIRE_FIXED32  5


/* the elements of a repeated field */

typedef struct {
    ngx_str_t                 from;  /* the message from the first on */
    ngx_uint_t                n;
} ngx_http_cw_wire_list_t;


static size_t ngx_http_cw_wire_requirement(u_char *p,
    ngx_http_cw_wire_rule_t *rule);
static size_t ngx_http_cw_wire_strings(u_char *p, ngx_uint_t number,
    ngx_array_t *strings);
static size_t ngx_http_cw_wire_entry_body(ngx_http_cw_wire_entry_t *entry);
static ngx_inline ngx_int_t ngx_http_cw_wire_read_varint(ngx_str_t *s,
    uint64_t *value);
static ngx_int_t ngx_http_cw_wire_read_long(ngx_str_t *s, uint64_t *value);
static ngx_int_t ngx_http_cw_wire_read_verdict(ngx_str_t *s,
    ngx_http_cw_wire_result_t *result);
static ngx_int_t ngx_http_cw_wire_read_undecided(ngx_str_t *s,
    ngx_http_cw_wire_result_t *result);
static void ngx_http_cw_wire_list_add(ngx_http_cw_wire_list_t *list,
    ngx_str_t *at);
static ngx_int_t ngx_http_cw_wire_join(ngx_http_cw_wire_list_t *list,
    ngx_uint_t number, u_char separator, u_char **joined,
    ngx_http_cw_wire_identity_t *result, ngx_str_t *value);


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


size_t
ngx_http_cw_wire_rule(u_char *p, ngx_uint_t number,
    ngx_http_cw_wire_rule_t *rule)
{
    size_t  body, requirement;

    requirement = ngx_http_cw_wire_requirement(NULL, rule);

    body = 1 + ngx_http_cw_wire_varint_size(number)
           + 1 + ngx_http_cw_wire_varint_size(requirement) + requirement
           + ngx_http_cw_wire_strings(NULL, 3, rule->claims);

    if (p) {
        *p++ = 1 << 3 | NGX_HTTP_CW_WIRE_BYTES;        /* rules */
        p = ngx_http_cw_wire_varint(p, body);

        *p++ = 1 << 3 | NGX_HTTP_CW_WIRE_VARINT;       /* rule */
        p = ngx_http_cw_wire_varint(p, number);

        *p++ = 2 << 3 | NGX_HTTP_CW_WIRE_BYTES;        /* requirement */
        p = ngx_http_cw_wire_varint(p, requirement);
        p += ngx_http_cw_wire_requirement(p, rule);

        (void) ngx_http_cw_wire_strings(p, 3, rule->claims);
    }

    return 1 + ngx_http_cw_wire_varint_size(body) + body;
}


static size_t
ngx_http_cw_wire_requirement(u_char *p, ngx_http_cw_wire_rule_t *rule)
{
    size_t        n, size;
    ngx_uint_t    i;
    ngx_array_t  *fields[5];

    fields[0] = rule->audiences;
    fields[1] = rule->scopes_all;
    fields[2] = rule->scopes_any;
    fields[3] = rule->roles_any;
    fields[4] = rule->roles_all;

    size = 0;

    for (i = 0; i < 5; i++) {
        n = ngx_http_cw_wire_strings(p, i + 1, fields[i]);
        size += n;

        if (p) {
            p += n;
        }
    }

    return size;
}


static size_t
ngx_http_cw_wire_strings(u_char *p, ngx_uint_t number, ngx_array_t *strings)
{
    size_t      size;
    ngx_str_t  *s;
    ngx_uint_t  i;

    if (strings == NULL) {
        return 0;
    }

    size = 0;
    s = strings->elts;

    for (i = 0; i < strings->nelts; i++) {
        size += 1 + ngx_http_cw_wire_varint_size(s[i].len) + s[i].len;

        if (p) {
            p = ngx_http_cw_wire_bytes(p, number, &s[i]);
        }
    }

    return size;
}


static size_t
ngx_http_cw_wire_entry_body(ngx_http_cw_wire_entry_t *entry)
{
    size_t  size;

    size = 1 + ngx_http_cw_wire_varint_size(entry->id)
           + 1 + ngx_http_cw_wire_varint_size(entry->subject.len)
           + entry->subject.len
           + 1 + ngx_http_cw_wire_varint_size(entry->domain.len)
           + entry->domain.len;

    if (entry->rule) {
        size += 1 + ngx_http_cw_wire_varint_size(entry->rule);
    }

    if (entry->timeout) {
        size += 1 + ngx_http_cw_wire_varint_size(entry->timeout);
    }

    return size;
}


size_t
ngx_http_cw_wire_entry_size(ngx_http_cw_wire_entry_t *entry)
{
    size_t  body;

    body = ngx_http_cw_wire_entry_body(entry);

    return 1 + ngx_http_cw_wire_varint_size(body) + body;
}


u_char *
ngx_http_cw_wire_entry(u_char *p, ngx_http_cw_wire_entry_t *entry)
{
    *p++ = 2 << 3 | NGX_HTTP_CW_WIRE_BYTES;            /* entries */
    p = ngx_http_cw_wire_varint(p, ngx_http_cw_wire_entry_body(entry));

    *p++ = 1 << 3 | NGX_HTTP_CW_WIRE_VARINT;           /* id */
    p = ngx_http_cw_wire_varint(p, entry->id);

    p = ngx_http_cw_wire_bytes(p, entry->digest ? 2 : 3, &entry->subject);
    p = ngx_http_cw_wire_bytes(p, 4, &entry->domain);

    if (entry->rule) {
        *p++ = 5 << 3 | NGX_HTTP_CW_WIRE_VARINT;
        p = ngx_http_cw_wire_varint(p, entry->rule);
    }

    if (entry->timeout) {
        *p++ = 6 << 3 | NGX_HTTP_CW_WIRE_VARINT;       /* timeout_ms */
        p = ngx_http_cw_wire_varint(p, entry->timeout);
    }

    return p;
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


ngx_int_t
ngx_http_cw_wire_result(ngx_str_t *message, ngx_http_cw_wire_result_t *result)
{
    ngx_int_t                 rc;
    ngx_str_t                 body;
    ngx_http_cw_wire_field_t  field;

    for ( ;; ) {
        rc = ngx_http_cw_wire_field(message, &field);

        if (rc != NGX_OK) {
            return rc;
        }

        if (field.number == 1) {
            break;
        }
    }

    if (field.type != NGX_HTTP_CW_WIRE_BYTES) {
        return NGX_ERROR;
    }

    body = field.bytes;
    ngx_memzero(result, sizeof(ngx_http_cw_wire_result_t));

    for ( ;; ) {
        rc = ngx_http_cw_wire_field(&body, &field);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        switch (field.number) {

        case 1:
            if (field.type != NGX_HTTP_CW_WIRE_VARINT) {
                return NGX_ERROR;
            }

            result->id = field.value;
            break;

        case 2:
        case 3:
            if (field.type != NGX_HTTP_CW_WIRE_BYTES
                || result->verdict || result->undecided)
            {
                return NGX_ERROR;
            }

            rc = (field.number == 2)
                 ? ngx_http_cw_wire_read_verdict(&field.bytes, result)
                 : ngx_http_cw_wire_read_undecided(&field.bytes, result);

            if (rc != NGX_OK) {
                return NGX_ERROR;
            }

            break;
        }
    }

    return (result->verdict || result->undecided) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_cw_wire_read_verdict(ngx_str_t *s, ngx_http_cw_wire_result_t *result)
{
    ngx_int_t                 rc;
    ngx_str_t                *str;
    ngx_http_cw_wire_field_t  field;

    result->verdict = 1;

    while ((rc = ngx_http_cw_wire_field(s, &field)) == NGX_OK) {

        str = NULL;

        switch (field.number) {

        case 1:
        case 4:
            if (field.type != NGX_HTTP_CW_WIRE_VARINT) {
                return NGX_ERROR;
            }

            if (field.number == 1) {
                result->decision = (ngx_uint_t) field.value;

            } else {
                result->cached = (field.value != 0);
            }

            break;

        case 2:
            str = &result->reason;
            break;

        case 3:
            if (result->has_identity) {
                return NGX_ERROR;
            }

            result->has_identity = 1;
            str = &result->identity;
            break;

        case 5:
            str = &result->required_scope;
            break;
        }

        if (str) {
            if (field.type != NGX_HTTP_CW_WIRE_BYTES) {
                return NGX_ERROR;
            }

            *str = field.bytes;
        }
    }

    return (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_cw_wire_read_undecided(ngx_str_t *s,
    ngx_http_cw_wire_result_t *result)
{
    ngx_int_t                 rc;
    ngx_http_cw_wire_field_t  field;

    result->undecided = 1;

    while ((rc = ngx_http_cw_wire_field(s, &field)) == NGX_OK) {

        switch (field.number) {

        case 1:
        case 3:
            if (field.type != NGX_HTTP_CW_WIRE_VARINT) {
                return NGX_ERROR;
            }

            if (field.number == 1) {
                result->cause = (ngx_uint_t) field.value;

            } else {
                result->retry_after = (uint32_t) field.value;
            }

            break;

        case 2:
            if (field.type != NGX_HTTP_CW_WIRE_BYTES) {
                return NGX_ERROR;
            }

            result->reason = field.bytes;
            break;
        }
    }

    return (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_cw_wire_identity(ngx_str_t *identity, u_char *joined,
    ngx_http_cw_wire_identity_t *result)
{
    ngx_int_t                 rc;
    ngx_str_t                 s, at, *str;
    ngx_http_cw_wire_list_t   scopes, roles;
    ngx_http_cw_wire_field_t  field;

    ngx_memzero(result, sizeof(ngx_http_cw_wire_identity_t));
    ngx_memzero(&scopes, sizeof(ngx_http_cw_wire_list_t));
    ngx_memzero(&roles, sizeof(ngx_http_cw_wire_list_t));

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
            ngx_http_cw_wire_list_add(&scopes, &at);
            break;

        case 7:
            ngx_http_cw_wire_list_add(&roles, &at);
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

    if (ngx_http_cw_wire_join(&scopes, 6, ' ', &joined, result,
                              &result->scopes)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_cw_wire_join(&roles, 7, ',', &joined, result,
                                 &result->roles);
}


static void
ngx_http_cw_wire_list_add(ngx_http_cw_wire_list_t *list, ngx_str_t *at)
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
ngx_http_cw_wire_join(ngx_http_cw_wire_list_t *list, ngx_uint_t number,
    u_char separator, u_char **joined, ngx_http_cw_wire_identity_t *result,
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
ngx_http_cw_wire_claim(ngx_str_t *identity, ngx_str_t *name, ngx_str_t *json)
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
