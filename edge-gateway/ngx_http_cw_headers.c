
/*
 * What the client sent under names that speak for the gateway is taken away
 * from every request; what the gateway knows is put in its place.
 */


#include "ngx_http_cw_module.h"


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


static ngx_uint_t ngx_http_cw_headers_ours(ngx_http_request_t *r,
    ngx_table_elt_t *h);
static ngx_uint_t ngx_http_cw_headers_is(ngx_table_elt_t *h,
    const char *name, size_t len, ngx_uint_t prefix);
static ngx_int_t ngx_http_cw_headers_note(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_table_elt_t *h);
static ngx_int_t ngx_http_cw_headers_keep(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_str_t *name, u_char *p, u_char *last);
static ngx_uint_t ngx_http_cw_headers_listed(ngx_table_elt_t *h,
    ngx_array_t *names);
static ngx_int_t ngx_http_cw_headers_cookie(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_table_elt_t *h);
static ngx_int_t ngx_http_cw_headers_remove(ngx_http_request_t *r,
    ngx_list_part_t *prev, ngx_list_part_t *part, ngx_uint_t i);
static ngx_int_t ngx_http_cw_headers_connection(ngx_http_request_t *r,
    ngx_table_elt_t *h);
static void ngx_http_cw_headers_save(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_headers_push(ngx_http_request_t *r,
    ngx_uint_t header, ngx_str_t *value);
static ngx_int_t ngx_http_cw_headers_put(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *lowcase, ngx_uint_t hash, ngx_str_t *value);
static ngx_int_t ngx_http_cw_headers_authorization(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
static ngx_int_t ngx_http_cw_headers_identity(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
static ngx_int_t ngx_http_cw_headers_claims(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
static ngx_int_t ngx_http_cw_headers_forwarded(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_headers_all(ngx_http_request_t *r,
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


#define ngx_http_cw_headers_named(h, name)                                    \
    ngx_http_cw_headers_is(h, name, sizeof(name) - 1, 0)
#define ngx_http_cw_headers_begins(h, name)                                   \
    ngx_http_cw_headers_is(h, name, sizeof(name) - 1, 1)


/* once, before anything has looked at the headers */

ngx_int_t
ngx_http_cw_headers_clean(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    ngx_uint_t                i;
    ngx_list_part_t          *part, *prev;
    ngx_table_elt_t          *h;
    ngx_http_cw_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);

    ctx->cleaned = 1;
    ctx->peer = r->connection->addr_text;

    if (mcf->trusted
        && ngx_cidr_match(r->connection->sockaddr, mcf->trusted) == NGX_OK)
    {
        ctx->trusted = 1;
    }

    prev = NULL;
    part = &r->headers_in.headers.part;
    i = 0;

    for ( ;; ) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            prev = part;
            part = part->next;
            i = 0;
            continue;
        }

        h = part->elts;

        if (!ngx_http_cw_headers_ours(r, &h[i])) {

            if (ngx_http_cw_headers_named(&h[i], "connection")
                && ngx_http_cw_headers_connection(r, &h[i]) != NGX_OK)
            {
                return NGX_ERROR;
            }

            if (mcf->cookie_names.nelts == 0
                || !ngx_http_cw_headers_named(&h[i], "cookie"))
            {
                i++;
                continue;
            }

            if (ngx_http_cw_headers_cookie(r, ctx, &h[i]) != NGX_OK) {
                return NGX_ERROR;
            }

            if (h[i].value.len) {
                i++;
                continue;
            }

            /* nothing else was in it */

        } else if (ngx_http_cw_headers_note(r, ctx, &h[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        /* what came after is now at i, or in the part that follows */

        if (ngx_http_cw_headers_remove(r, prev, part, i) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (!ctx->trusted) {
        r->headers_in.x_forwarded_for.nelts = 0;
    }

    return NGX_OK;
}


/* whether a header speaks for the gateway, in whatever spelling */

static ngx_uint_t
ngx_http_cw_headers_ours(ngx_http_request_t *r, ngx_table_elt_t *h)
{
    ngx_http_cw_main_conf_t  *mcf;

    switch (h->lowcase_key[0]) {

    case 'x':
        if (ngx_http_cw_headers_begins(h, "x-auth-")
            || ngx_http_cw_headers_begins(h, "x-forwarded-")
            || ngx_http_cw_headers_named(h, "x-request-id")
            || ngx_http_cw_headers_named(h, "x-real-ip")
            || ngx_http_cw_headers_named(h, "x-original-url")
            || ngx_http_cw_headers_named(h, "x-rewrite-url"))
        {
            return 1;
        }

        break;

    case 't':
        if (ngx_http_cw_headers_named(h, "traceparent")
            || ngx_http_cw_headers_named(h, "tracestate"))
        {
            return 1;
        }

        break;

    case 'f':
        if (ngx_http_cw_headers_named(h, "forwarded")) {
            return 1;
        }

        break;

    case 'a':
        if (ngx_http_cw_headers_named(h, "authorization")) {
            return 1;
        }

        break;

    case 'p':
        if (ngx_http_cw_headers_named(h, "proxy-authorization")) {
            return 1;
        }

        break;

    case 'u':

        /* h2c would give the client a connection of its own behind the
         * gateway */

        if (ngx_http_cw_headers_named(h, "upgrade")
            && (h->value.len != 9
                || ngx_strncasecmp(h->value.data, (u_char *) "websocket", 9)
                   != 0))
        {
            return 1;
        }

        break;

    case 'h':
        if (ngx_http_cw_headers_named(h, "http2-settings")) {
            return 1;
        }

        break;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);

    return ngx_http_cw_headers_listed(h, &mcf->claim_names)
           || ngx_http_cw_headers_listed(h, &mcf->token_names);
}


static ngx_uint_t
ngx_http_cw_headers_listed(ngx_table_elt_t *h, ngx_array_t *names)
{
    ngx_str_t   *name;
    ngx_uint_t   i;

    name = names->elts;

    for (i = 0; i < names->nelts; i++) {
        if (ngx_http_cw_headers_is(h, (char *) name[i].data, name[i].len, 0)) {
            return 1;
        }
    }

    return 0;
}


/* CGI and its heirs read "_" and "." as "-" (RFC 3875 §4.1.18) */

static ngx_uint_t
ngx_http_cw_headers_is(ngx_table_elt_t *h, const char *name, size_t len,
    ngx_uint_t prefix)
{
    u_char  c;
    size_t  i;

    if (h->key.len < len || (!prefix && h->key.len != len)) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        c = h->lowcase_key[i];

        if (c == '_' || c == '.') {
            c = '-';
        }

        if (c != (u_char) name[i]) {
            return 0;
        }
    }

    return 1;
}


/* keeps what is used: the token, and a trusted proxy's words */

static ngx_int_t
ngx_http_cw_headers_note(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_table_elt_t *h)
{
    ngx_uint_t                i;
    ngx_str_t                *name;
    ngx_http_cw_main_conf_t  *mcf;

    if (ngx_http_cw_headers_named(h, "authorization")) {

        if (ctx->authorizations == 0) {
            ctx->authorization = h->value;
        }

        if (ctx->authorizations < 2) {
            ctx->authorizations++;
        }

        return NGX_OK;
    }

    if (h == r->headers_in.upgrade) {
        r->headers_in.upgrade = NULL;
        return NGX_OK;
    }

    if (ngx_http_cw_headers_named(h, "traceparent")) {
        ctx->traceparent = h->value;

    } else if (ngx_http_cw_headers_named(h, "tracestate")) {
        ctx->tracestate = h->value;

    } else if (ctx->trusted) {

        if (ngx_http_cw_headers_named(h, "x-request-id")) {
            ctx->request_id = h->value;

        } else if (ngx_http_cw_headers_named(h, "x-forwarded-for")) {
            ctx->forwarded_for = h->value;

        } else if (ngx_http_cw_headers_named(h, "x-forwarded-proto")) {
            ctx->forwarded_proto = h->value;

        } else if (ngx_http_cw_headers_named(h, "x-forwarded-host")) {
            ctx->forwarded_host = h->value;
        }
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);
    name = mcf->token_names.elts;

    for (i = 0; i < mcf->token_names.nelts; i++) {
        if (ngx_http_cw_headers_is(h, (char *) name[i].data, name[i].len, 0)) {
            return ngx_http_cw_headers_keep(r, ctx, &name[i], h->value.data,
                                            h->value.data + h->value.len);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_headers_keep(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_str_t *name, u_char *p, u_char *last)
{
    ngx_keyval_t  *kept;

    if (ctx->tokens == NULL) {
        ctx->tokens = ngx_array_create(r->pool, 2, sizeof(ngx_keyval_t));
        if (ctx->tokens == NULL) {
            return NGX_ERROR;
        }
    }

    kept = ngx_array_push(ctx->tokens);
    if (kept == NULL) {
        return NGX_ERROR;
    }

    kept->key = *name;
    kept->value.data = p;
    kept->value.len = last - p;

    return NGX_OK;
}


/* takes the cookies that hold tokens out of a Cookie header */

static ngx_int_t
ngx_http_cw_headers_cookie(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_table_elt_t *h)
{
    u_char                   *p, *last, *end, *to, *start;
    ngx_str_t                *name;
    ngx_uint_t                i, taken;
    ngx_http_cw_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);
    name = mcf->cookie_names.elts;

    /* each ";" may grow by a blank */

    start = ngx_pnalloc(r->pool, 2 * h->value.len + 1);
    if (start == NULL) {
        return NGX_ERROR;
    }

    taken = 0;
    to = start;
    p = h->value.data;
    last = p + h->value.len;

    while (p < last) {

        while (p < last && (*p == ' ' || *p == ';')) {
            p++;
        }

        end = ngx_strlchr(p, last, ';');

        if (end == NULL) {
            end = last;
        }

        for (i = 0; i < mcf->cookie_names.nelts; i++) {
            if ((size_t) (end - p) > name[i].len && p[name[i].len] == '='
                && ngx_strncmp(p, name[i].data, name[i].len) == 0)
            {
                break;
            }
        }

        if (i < mcf->cookie_names.nelts) {
            taken = 1;

            if (ngx_http_cw_headers_keep(r, ctx, &name[i],
                                         p + name[i].len + 1, end)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

        } else if (p < end) {

            if (to != start) {
                *to++ = ';';
                *to++ = ' ';
            }

            to = ngx_cpymem(to, p, end - p);
        }

        p = end;
    }

    if (taken) {
        *to = '\0';
        h->value.data = start;
        h->value.len = to - start;
    }

    return NGX_OK;
}


/*
 * Takes one element out of the list.  No other element moves, for nginx keeps
 * pointers to them; and no part but the first may be empty.
 */

static ngx_int_t
ngx_http_cw_headers_remove(ngx_http_request_t *r, ngx_list_part_t *prev,
    ngx_list_part_t *part, ngx_uint_t i)
{
    ngx_list_t       *list;
    ngx_list_part_t  *rest;
    ngx_table_elt_t  *h;

    list = &r->headers_in.headers;
    h = part->elts;

    if (i == 0) {
        part->elts = &h[1];
        part->nelts--;

        if (part == list->last) {
            list->nalloc--;
        }

        if (part->nelts || part->next == NULL) {

            if (part->nelts || prev == NULL) {
                return NGX_OK;
            }

            /* the last part is empty: the one before is the last and full */

            prev->next = NULL;
            list->last = prev;
            list->nalloc = prev->nelts;

            return NGX_OK;
        }

        /* an empty part in the middle: its successor takes its place */

        rest = part->next;
        *part = *rest;

        if (list->last == rest) {
            list->last = part;
        }

        return NGX_OK;
    }

    if (i == part->nelts - 1) {
        part->nelts--;
        return NGX_OK;
    }

    rest = ngx_palloc(r->pool, sizeof(ngx_list_part_t));
    if (rest == NULL) {
        return NGX_ERROR;
    }

    rest->elts = &h[i + 1];
    rest->nelts = part->nelts - i - 1;
    rest->next = part->next;

    part->nelts = i;
    part->next = rest;

    if (list->last == part) {
        list->last = rest;
        list->nalloc -= i + 1;
    }

    return NGX_OK;
}


/*
 * Connection may name headers that the next hop then drops (RFC 9110 §7.6.1):
 * only the words that nginx itself knows stay.
 */

static ngx_int_t
ngx_http_cw_headers_connection(ngx_http_request_t *r, ngx_table_elt_t *h)
{
    size_t      n;
    u_char     *p, *last, *word, *to;
    ngx_str_t  *value;
    ngx_uint_t  keep, dropped;

    value = &h->value;

    if ((value->len == 5 && ngx_strncasecmp(value->data, (u_char *) "close", 5)
                            == 0)
        || (value->len == 10
            && ngx_strncasecmp(value->data, (u_char *) "keep-alive", 10) == 0)
        || (value->len == 7
            && ngx_strncasecmp(value->data, (u_char *) "upgrade", 7) == 0))
    {
        return NGX_OK;
    }

    to = ngx_pnalloc(r->pool, value->len + 1);
    if (to == NULL) {
        return NGX_ERROR;
    }

    dropped = 0;
    n = 0;
    p = value->data;
    last = p + value->len;

    while (p < last) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        word = p;

        while (p < last && *p != ' ' && *p != '\t' && *p != ',') {
            p++;
        }

        if (p == word) {
            break;
        }

        keep = (p - word == 5
                && ngx_strncasecmp(word, (u_char *) "close", 5) == 0)
               || (p - word == 10
                   && ngx_strncasecmp(word, (u_char *) "keep-alive", 10) == 0)
               || (p - word == 7
                   && ngx_strncasecmp(word, (u_char *) "upgrade", 7) == 0);

        if (!keep) {
            dropped = 1;
            continue;
        }

        if (n) {
            to[n++] = ',';
        }

        ngx_memcpy(to + n, word, p - word);
        n += p - word;
    }

    if (dropped) {
        to[n] = '\0';
        value->data = to;
        value->len = n;
    }

    return NGX_OK;
}


/*
 * The headers of a main request for the location that it is in now.  After an
 * internal redirect what was put in for the location before goes first.
 */

ngx_int_t
ngx_http_cw_headers_add(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ngx_http_cw_headers_save(r, ctx);

    return ngx_http_cw_headers_all(r, ctx, lcf);
}


static void
ngx_http_cw_headers_save(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
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
ngx_http_cw_headers_subrequest(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
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

        if (ngx_http_cw_headers_ours(r, &h[i])) {
            continue;
        }

        copy = ngx_list_push(&r->headers_in.headers);
        if (copy == NULL) {
            return NGX_ERROR;
        }

        *copy = h[i];
    }

    return ngx_http_cw_headers_all(r, ctx, lcf);
}


static ngx_int_t
ngx_http_cw_headers_all(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    u_char     *p;
    ngx_str_t   value;

    if (ngx_http_cw_trace(r, ctx) != NGX_OK
        || ngx_http_cw_headers_push(r, NGX_HTTP_CW_H_REQUEST_ID,
                                    &ctx->request_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(r->pool, sizeof("00-") + 32 + 1 + 16 + sizeof("-00"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "00-%*s-%*s-%s%Z", (size_t) 32, ctx->trace,
                            (size_t) 16, ctx->span,
                            ctx->trace_sampled ? "01" : "00")
                - p - 1;

    if (ngx_http_cw_headers_push(r, NGX_HTTP_CW_H_TRACEPARENT, &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->trace_continued
        && ngx_http_cw_headers_push(r, NGX_HTTP_CW_H_TRACESTATE,
                                    &ctx->tracestate)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_cw_headers_forwarded(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (lcf->pass_authorization
        && ngx_http_cw_headers_authorization(r, ctx, lcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (lcf->rule == NULL || ctx->allowed != lcf->rule) {
        return NGX_OK;
    }

    if (ngx_http_cw_headers_identity(r, ctx, lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_cw_headers_claims(r, ctx, lcf);
}


/* the service reads the token in one place, wherever it was found */

static ngx_int_t
ngx_http_cw_headers_authorization(ngx_http_request_t *r,
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
    }

    return ngx_http_cw_headers_push(r, NGX_HTTP_CW_H_AUTHORIZATION, &value);
}


static ngx_int_t
ngx_http_cw_headers_identity(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
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

    for (i = 0; i < 7; i++) {
        if (ngx_http_cw_headers_push(r, i, values[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* a string claim goes without its quotes, everything else as JSON */

static ngx_int_t
ngx_http_cw_headers_claims(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ngx_int_t                    rc;
    ngx_str_t                    value;
    ngx_uint_t                   i;
    ngx_http_cw_claim_header_t  *claim;

    if (lcf->claims == NULL) {
        return NGX_OK;
    }

    claim = lcf->claims->elts;

    for (i = 0; i < lcf->claims->nelts; i++) {

        rc = ngx_http_cw_wire_claim(&ctx->identity, &claim[i].claim, &value);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            continue;
        }

        if (value.len >= 2 && value.data[0] == '"'
            && memchr(value.data, '\\', value.len) == NULL)
        {
            value.data++;
            value.len -= 2;
        }

        if (ngx_http_cw_headers_put(r, &claim[i].header, &claim[i].lowcase,
                                    claim[i].hash, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_headers_forwarded(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
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

    if (ngx_http_cw_headers_push(r, NGX_HTTP_CW_H_FORWARDED_FOR, &value)
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

    if (ngx_http_cw_headers_push(r, NGX_HTTP_CW_H_FORWARDED_PROTO, &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    value = ctx->forwarded_host;

    if (value.len == 0 && r->headers_in.host) {
        value = r->headers_in.host->value;
    }

    if (ngx_http_cw_headers_push(r, NGX_HTTP_CW_H_FORWARDED_HOST, &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_cw_headers_push(r, NGX_HTTP_CW_H_FORWARDED_PREFIX,
                                    &ctx->prefix);
}


static ngx_int_t
ngx_http_cw_headers_push(ngx_http_request_t *r, ngx_uint_t header,
    ngx_str_t *value)
{
    ngx_http_cw_name_t  *name;

    name = &ngx_http_cw_names[header];

    if (name->hash == 0) {
        name->hash = ngx_hash_key(name->lowcase.data, name->lowcase.len);
    }

    return ngx_http_cw_headers_put(r, &name->name, &name->lowcase, name->hash,
                                   value);
}


/* an empty value is no header; one that would end its line is refused */

static ngx_int_t
ngx_http_cw_headers_put(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *lowcase, ngx_uint_t hash, ngx_str_t *value)
{
    size_t            i;
    ngx_table_elt_t  *h;

    if (value->len == 0) {
        return NGX_OK;
    }

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < 0x20 || value->data[i] == 0x7f) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "value for header \"%V\" has a control character",
                          name);
            return NGX_ERROR;
        }
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
