
/*
 * Cross-origin rules of browsers (https://fetch.spec.whatwg.org/): answers
 * preflights without a token, and names the origins that may read answers.
 */


#include "ngx_http_cw_module.h"


static ngx_str_t *ngx_http_cw_cors_header(ngx_http_request_t *r,
    const char *name);
static ngx_uint_t ngx_http_cw_cors_allowed(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf, ngx_str_t *origin);
static ngx_uint_t ngx_http_cw_cors_find(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf, ngx_str_t *origin);
static void ngx_http_cw_cors_clear(ngx_http_request_t *r);


ngx_int_t
ngx_http_cw_cors_preflight(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ngx_str_t  *origin;

    if (lcf->cors == NULL || r->method != NGX_HTTP_OPTIONS) {
        return NGX_DECLINED;
    }

    origin = ngx_http_cw_cors_header(r, "origin");

    if (origin == NULL
        || ngx_http_cw_cors_header(r, "access-control-request-method") == NULL
        || !ngx_http_cw_cors_allowed(r, ctx, lcf, origin))
    {
        return NGX_DECLINED;
    }

    ctx->preflight = 1;

    return NGX_HTTP_NO_CONTENT;
}


ngx_int_t
ngx_http_cw_cors_headers(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ngx_str_t  *origin, *names;

    static ngx_str_t  vary = ngx_string("Origin");
    static ngx_str_t  yes = ngx_string("true");
    static ngx_str_t  age = ngx_string("600");
    static ngx_str_t  methods =
        ngx_string("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    static ngx_str_t  exposed =
        ngx_string("WWW-Authenticate, Retry-After, X-Request-Id");

    /* the rule is the gateway's: two answers would be none to a browser */

    ngx_http_cw_cors_clear(r);

    if (ngx_http_cw_add_header(r, "Vary", &vary) != NGX_OK) {
        return NGX_ERROR;
    }

    origin = ngx_http_cw_cors_header(r, "origin");

    if (origin == NULL
        || (!ctx->preflight
            && !ngx_http_cw_cors_allowed(r, ctx, lcf, origin)))
    {
        return NGX_OK;
    }

    if (ngx_http_cw_add_header(r, "Access-Control-Allow-Origin", origin)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* only tokens that browsers send by themselves need it */

    if (lcf->token_cookie.len
        && ngx_http_cw_add_header(r, "Access-Control-Allow-Credentials", &yes)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!ctx->preflight) {
        return ngx_http_cw_add_header(r, "Access-Control-Expose-Headers",
                                      &exposed);
    }

    names = ngx_http_cw_cors_header(r, "access-control-request-headers");

    if (names && names->len && ngx_http_cw_quotable(names)
        && ngx_http_cw_add_header(r, "Access-Control-Allow-Headers", names)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_cw_add_header(r, "Access-Control-Allow-Methods", &methods)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_cw_add_header(r, "Access-Control-Max-Age", &age);
}


/*
 * A token in a cookie comes along with forged requests, too: what changes
 * anything must say that it comes from this site or from an allowed origin.
 */

enum cw_err
ngx_http_cw_cors_same_site(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    size_t      skip;
    ngx_str_t  *origin, *host;

    if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_OPTIONS)) {
        return CW_OK;
    }

    origin = ngx_http_cw_cors_header(r, "origin");

    if (origin == NULL || r->headers_in.host == NULL) {
        return CW_ORIGIN_FORBIDDEN;
    }

    host = &r->headers_in.host->value;
    skip = sizeof("https://") - 1;

    if (origin->len == skip + host->len
        && ngx_strncmp(origin->data, "https://", skip) == 0
        && ngx_strncasecmp(origin->data + skip, host->data, host->len) == 0)
    {
        return CW_OK;
    }

    return (lcf->cors && ngx_http_cw_cors_allowed(r, ctx, lcf, origin))
           ? CW_OK : CW_ORIGIN_FORBIDDEN;
}


/* the only header of that name, NULL for none and for several */

static ngx_str_t *
ngx_http_cw_cors_header(ngx_http_request_t *r, const char *name)
{
    size_t            len;
    ngx_str_t        *value;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    value = NULL;
    len = ngx_strlen(name);
    part = &r->headers_in.headers.part;
    h = part->elts;

    if (part->elts == NULL) {
        return NULL;
    }

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return value;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == len
            && ngx_strncmp(h[i].lowcase_key, name, len) == 0)
        {
            if (value) {
                return NULL;
            }

            value = &h[i].value;
        }
    }
}


/* looked up once for a location: a request may be asked about it twice */

static ngx_uint_t
ngx_http_cw_cors_allowed(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf, ngx_str_t *origin)
{
    if (ctx->cors != lcf->cors) {
        ctx->origin_allowed = ngx_http_cw_cors_find(r, ctx, lcf, origin);
        ctx->cors = lcf->cors;
    }

    return ctx->origin_allowed;
}


static ngx_uint_t
ngx_http_cw_cors_find(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf, ngx_str_t *origin)
{
    ngx_str_t                *allowed;
    ngx_uint_t                i, n;
    ngx_http_cw_cors_t       *cors;
    ngx_http_cw_main_conf_t  *mcf;

    if (ngx_http_cw_extract_domain(r, ctx) != CW_OK) {
        return 0;
    }

    cors = lcf->cors->elts;

    for (i = 0; i < lcf->cors->nelts; i++) {

        if (cors[i].tenant) {
            mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);

            if (ngx_http_cw_origins_allowed(&mcf->origins, &ctx->domain,
                                            origin))
            {
                return 1;
            }

            continue;
        }

        if (!(cors[i].domain.len == 1 && cors[i].domain.data[0] == '*')
            && (cors[i].domain.len != ctx->domain.len
                || ngx_strncmp(cors[i].domain.data, ctx->domain.data,
                               ctx->domain.len)
                   != 0))
        {
            continue;
        }

        allowed = cors[i].origins.elts;

        for (n = 0; n < cors[i].origins.nelts; n++) {
            if (allowed[n].len == origin->len
                && ngx_strncmp(allowed[n].data, origin->data, origin->len)
                   == 0)
            {
                return 1;
            }
        }
    }

    return 0;
}


static void
ngx_http_cw_cors_clear(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_out.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len > 15
            && ngx_strncasecmp(h[i].key.data, (u_char *) "access-control-",
                               15)
               == 0)
        {
            h[i].hash = 0;
        }
    }
}
