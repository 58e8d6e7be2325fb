
/*
 * Turns what a worker asks into the bytes of a ValidateStreamRequest.
 */


#include "ngx_http_cw_question.h"
#include "ngx_http_cw_wire.h"


static size_t ngx_http_cw_question_requirement(u_char *p,
    ngx_http_cw_question_rule_t *rule);
static size_t ngx_http_cw_question_strings(u_char *p, ngx_uint_t number,
    ngx_array_t *strings);
static size_t ngx_http_cw_question_entry_body(
    ngx_http_cw_question_entry_t *entry);


size_t
ngx_http_cw_question_rule(u_char *p, ngx_uint_t number,
    ngx_http_cw_question_rule_t *rule)
{
    size_t  body, requirement;

    requirement = ngx_http_cw_question_requirement(NULL, rule);

    body = 1 + ngx_http_cw_wire_varint_size(number)
           + 1 + ngx_http_cw_wire_varint_size(requirement) + requirement
           + ngx_http_cw_question_strings(NULL, 3, rule->claims);

    if (p) {
        *p++ = 1 << 3 | NGX_HTTP_CW_WIRE_BYTES;        /* rules */
        p = ngx_http_cw_wire_varint(p, body);

        *p++ = 1 << 3 | NGX_HTTP_CW_WIRE_VARINT;       /* rule */
        p = ngx_http_cw_wire_varint(p, number);

        *p++ = 2 << 3 | NGX_HTTP_CW_WIRE_BYTES;        /* requirement */
        p = ngx_http_cw_wire_varint(p, requirement);
        p += ngx_http_cw_question_requirement(p, rule);

        (void) ngx_http_cw_question_strings(p, 3, rule->claims);
    }

    return 1 + ngx_http_cw_wire_varint_size(body) + body;
}


static size_t
ngx_http_cw_question_requirement(u_char *p, ngx_http_cw_question_rule_t *rule)
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
        n = ngx_http_cw_question_strings(p, i + 1, fields[i]);
        size += n;

        if (p) {
            p += n;
        }
    }

    return size;
}


static size_t
ngx_http_cw_question_strings(u_char *p, ngx_uint_t number,
    ngx_array_t *strings)
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
ngx_http_cw_question_entry_body(ngx_http_cw_question_entry_t *entry)
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
ngx_http_cw_question_entry_size(ngx_http_cw_question_entry_t *entry)
{
    size_t  body;

    body = ngx_http_cw_question_entry_body(entry);

    return 1 + ngx_http_cw_wire_varint_size(body) + body;
}


u_char *
ngx_http_cw_question_entry(u_char *p, ngx_http_cw_question_entry_t *entry)
{
    *p++ = 2 << 3 | NGX_HTTP_CW_WIRE_BYTES;            /* entries */
    p = ngx_http_cw_wire_varint(p, ngx_http_cw_question_entry_body(entry));

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
