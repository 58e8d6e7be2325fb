
/*
 * Puts in what the gateway knows: who the request speaks for, where it came
 * from, which trace it belongs to.
 */


#include "ngx_http_cw_module.h"
#include "ngx_http_cw_text.h"


typedef enum {
    NGX_HTTP_CW_H_TENANT = 0,
    NGX_HTTP_CW_H_SUBJECT,
    NGX_HTTP_CW_H_ISSUER,
    NGX_HTTP_CW_H_CLIENT,
    NGX_HTTP_CW_H_SESSION,
    NGX_HTTP_CW_H_SCOPE,
    NGX_HTTP_CW_H_ROLES,
    NGX_HTTP_CW_H_REQUEST_ID,
    NGX_HTTP_CW_H_TRACEPARENT,
    NGX_HTTP_CW_H_TRACESTATE,
    NGX_HTTP_CW_H_FORWARDED_FOR,
    NGX_HTTP_CW_H_FORWARDED_PROTO,
    NGX_HTTP_CW_H_FORWARDED_HOST,
    NGX_HTTP_CW_H_FORWARDED_PREFIX,
    NGX_HTTP_CW_H_AUTHORIZATION
} ngx_http_cw_header_e;


typedef struct {
    ngx_str_t    name;
    ngx_str_t    lowcase;
    ngx_uint_t   hash;                   /* 0: not computed yet */
} ngx_http_cw_name_t;


static void ngx_http_cw_identity_save(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_identity_push(ngx_http_request_t *r,
    ngx_uint_t header, ngx_str_t *value);
static ngx_int_t ngx_http_cw_identity_put(ngx_http_request_t *r,
    ngx_uint_t header, ngx_str_t *value);
static ngx_int_t ngx_http_cw_identity_check(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_cw_identity_list(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *lowcase, ngx_uint_t hash, ngx_str_t *value);
static ngx_int_t ngx_http_cw_identity_trace(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_identity_authorization(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
static ngx_int_t ngx_http_cw_identity_who(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
static ngx_int_t ngx_http_cw_identity_forwarded(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_identity_all(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);


/* in the order of ngx_http_cw_header_e */

static ngx_http_cw_name_t  ngx_http_cw_names[] = {
    { ngx_string("X-Auth-Tenant"), ngx_string("x-auth-tenant"), 0 },
    { ngx_string("X-Auth-Subject"), ngx_string("x-auth-subject"), 0 },
    { ngx_string("X-Auth-Issuer"), ngx_string("x-auth-issuer"), 0 },
    { ngx_string("X-Auth-Client"), ngx_string("x-auth-client"), 0 },
    { ngx_string("X-Auth-Session"), ngx_string("x-auth-session"), 0 },
    { ngx_string("X-Auth-Scope"), ngx_string("x-auth-scope"), 0 },
    { ngx_string("X-Auth-Roles"), ngx_string("x-auth-roles"), 0 },
    { ngx_string("X-Request-Id"), ngx_string("x-request-id"), 0 },
    { ngx_string("traceparent"), ngx_string("traceparent"), 0 },
    { ngx_string("tracestate"), ngx_string("tracestate"), 0 },
    { ngx_string("X-Forwarded-For"), ngx_string("x-forwarded-for"), 0 },
    { ngx_string("X-Forwarded-Proto"), ngx_string("x-forwarded-proto"), 0 },
    { ngx_string("X-Forwarded-Host"), ngx_string("x-forwarded-host"), 0 },
    { ngx_string("X-Forwarded-Prefix"), ngx_string("x-forwarded-prefix"),
      0 },
    { ngx_string("Authorization"), ngx_string("authorization"), 0 }
};


/*
 * Whether a header is one of those, or says where the message goes and where it
 * ends: a claim under its name would be a second one, or another request.
 */

ngx_uint_t
ngx_http_cw_identity_has(ngx_str_t *name)
{
    ngx_uint_t         i;
    static ngx_str_t   message[] = {
        ngx_string("host"), ngx_string("connection"),
        ngx_string("content-length"), ngx_string("transfer-encoding"),
        ngx_string("te"), ngx_string("upgrade"), ngx_string("expect")
    };

    for (i = 0; i < sizeof(ngx_http_cw_names) / sizeof(ngx_http_cw_name_t);
         i++)
    {
        if (ngx_http_cw_names[i].lowcase.len == name->len
            && ngx_strncasecmp(ngx_http_cw_names[i].lowcase.data, name->data,
                               name->len) == 0)
        {
            return 1;
        }
    }

    for (i = 0; i < sizeof(message) / sizeof(ngx_str_t); i++) {
        if (message[i].len == name->len
            && ngx_strncasecmp(message[i].data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * The headers of a main request for the location that it is in now.  After an
 * internal redirect what was put in for the location before goes first.
 */

ngx_int_t
ngx_http_cw_identity_add(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ngx_http_cw_identity_save(r, ctx);

    return ngx_http_cw_identity_all(r, ctx, lcf);
}


static void
ngx_http_cw_identity_save(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    ngx_list_t  *list;

    list = &r->headers_in.headers;

    if (ctx->saved) {
        *list = ctx->headers;
        list->last->nelts = ctx->headers_nelts;
        list->last->next = NULL;
        return;
    }

    ctx->saved = 1;
    ctx->headers = *list;
    ctx->headers_nelts = list->last->nelts;
}


/*
 * A subrequest starts with a copy of its parent's headers: it gets a list of
 * its own, with what its own location says.
 */

ngx_int_t
ngx_http_cw_identity_subrequest(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *copy;

    part = &r->main->headers_in.headers.part;
    h = part->elts;

    if (ngx_list_init(&r->headers_in.headers, r->pool, 20,
                      sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (ngx_http_cw_names_ours(r, &h[i])) {
            continue;
        }

        copy = ngx_list_push(&r->headers_in.headers);
        if (copy == NULL) {
            return NGX_ERROR;
        }

        *copy = h[i];
    }

    return ngx_http_cw_identity_all(r, ctx, lcf);
}


static ngx_int_t
ngx_http_cw_identity_all(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    if (ngx_http_cw_identity_trace(r, ctx) != NGX_OK
        || ngx_http_cw_identity_forwarded(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (lcf->pass_authorization
        && ngx_http_cw_identity_authorization(r, ctx, lcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (lcf->rule == NULL || ctx->allowed != lcf->rule) {
        return NGX_OK;
    }

    if (ngx_http_cw_identity_who(r, ctx, lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_cw_claims_add(r, ctx, lcf);
}


static ngx_int_t
ngx_http_cw_identity_trace(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    u_char     *p;
    ngx_str_t   value;

    if (ngx_http_cw_trace(r, ctx) != NGX_OK
        || ngx_http_cw_identity_push(r, NGX_HTTP_CW_H_REQUEST_ID,
                                     &ctx->request_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    value.len = sizeof("00--") - 1 + 32 + 16 + sizeof("-00") - 1;
    value.data = ngx_pnalloc(r->pool, value.len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(value.data, "00-", 3);
    p = ngx_cpymem(p, ctx->trace, 32);
    *p++ = '-';
    p = ngx_cpymem(p, ctx->span, 16);
    (void) ngx_cpymem(p, ctx->trace_sampled ? "-01" : "-00", 3);

    if (ngx_http_cw_identity_put(r, NGX_HTTP_CW_H_TRACEPARENT, &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!ctx->trace_continued) {
        return NGX_OK;
    }

    return ngx_http_cw_identity_push(r, NGX_HTTP_CW_H_TRACESTATE,
                                     &ctx->tracestate);
}


/* the service reads the token in one place, wherever it was found */

static ngx_int_t
ngx_http_cw_identity_authorization(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf)
{
    ngx_str_t  value;

    value = ctx->authorization;

    if (ctx->tokens && lcf->rule && ctx->allowed == lcf->rule) {
        value.len = sizeof("Bearer ") - 1 + ctx->token.len;
        value.data = ngx_pnalloc(r->pool, value.len);
        if (value.data == NULL) {
            return NGX_ERROR;
        }

        (void) ngx_sprintf(value.data, "Bearer %V", &ctx->token);

    } else if (ctx->bearer) {
        return ngx_http_cw_identity_put(r, NGX_HTTP_CW_H_AUTHORIZATION,
                                        &value);
    }

    return ngx_http_cw_identity_push(r, NGX_HTTP_CW_H_AUTHORIZATION, &value);
}


static ngx_int_t
ngx_http_cw_identity_who(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ngx_uint_t   i;
    ngx_str_t   *values[7];

    values[NGX_HTTP_CW_H_TENANT] = &ctx->who.tenant;
    values[NGX_HTTP_CW_H_SUBJECT] = &ctx->who.subject;
    values[NGX_HTTP_CW_H_ISSUER] = &ctx->who.issuer;
    values[NGX_HTTP_CW_H_CLIENT] = &ctx->who.client;
    values[NGX_HTTP_CW_H_SESSION] = &ctx->who.session;
    values[NGX_HTTP_CW_H_SCOPE] = &ctx->who.scopes;
    values[NGX_HTTP_CW_H_ROLES] = &ctx->who.roles;

    /* the verdict was taken only after a look at each of them */

    for (i = 0; i < 7; i++) {
        if (ngx_http_cw_identity_put(r, i, values[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_identity_forwarded(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    u_char     *p;
    ngx_str_t   value;

    value = ctx->peer;

    if (ctx->forwarded_for.len) {
        value.len = ctx->forwarded_for.len + 2 + ctx->peer.len;

        p = ngx_pnalloc(r->pool, value.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        value.data = p;
        (void) ngx_sprintf(p, "%V, %V", &ctx->forwarded_for, &ctx->peer);
    }

    if (ngx_http_cw_identity_push(r, NGX_HTTP_CW_H_FORWARDED_FOR, &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    value = ctx->forwarded_proto;

    if (value.len == 0) {
        ngx_str_set(&value, "http");

#if (NGX_HTTP_SSL)
        if (r->connection->ssl
            || (r->stream && r->stream->connection->connection->ssl))
        {
            ngx_str_set(&value, "https");
        }
#endif
    }

    if (ngx_http_cw_identity_push(r, NGX_HTTP_CW_H_FORWARDED_PROTO, &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    value = ctx->forwarded_host;

    if (value.len == 0 && r->headers_in.host) {
        value = r->headers_in.host->value;
    }

    if (ngx_http_cw_identity_push(r, NGX_HTTP_CW_H_FORWARDED_HOST, &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_cw_identity_push(r, NGX_HTTP_CW_H_FORWARDED_PREFIX,
                                     &ctx->prefix);
}


ngx_int_t
ngx_http_cw_identity_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *lowcase, ngx_uint_t hash, ngx_str_t *value)
{
    if (ngx_http_cw_identity_check(r, name, value) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_cw_identity_list(r, name, lowcase, hash, value);
}


/* a value that nobody has looked at yet */

static ngx_int_t
ngx_http_cw_identity_push(ngx_http_request_t *r, ngx_uint_t header,
    ngx_str_t *value)
{
    if (ngx_http_cw_identity_check(r, &ngx_http_cw_names[header].name, value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_cw_identity_put(r, header, value);
}


/* one that is known to be clean */

static ngx_int_t
ngx_http_cw_identity_put(ngx_http_request_t *r, ngx_uint_t header,
    ngx_str_t *value)
{
    ngx_http_cw_name_t  *name;

    name = &ngx_http_cw_names[header];

    if (name->hash == 0) {
        name->hash = ngx_hash_key(name->lowcase.data, name->lowcase.len);
    }

    return ngx_http_cw_identity_list(r, &name->name, &name->lowcase,
                                     name->hash, value);
}


/* one that would end its line is refused */

static ngx_int_t
ngx_http_cw_identity_check(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    if (ngx_http_cw_text_clean(value)) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "value for header \"%V\" has a control character", name);

    return NGX_ERROR;
}


/* an empty value is no header */

static ngx_int_t
ngx_http_cw_identity_list(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *lowcase, ngx_uint_t hash, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    if (value->len == 0) {
        return NGX_OK;
    }

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = hash;
    h->key = *name;
    h->lowcase_key = lowcase->data;
    h->value = *value;

    return NGX_OK;
}
