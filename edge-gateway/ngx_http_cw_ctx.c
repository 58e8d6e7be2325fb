
/*
 * The state of a main request: made once, found again after internal
 * redirects, its question withdrawn when the request ends.
 */


#include "ngx_http_cw_module.h"


static void ngx_http_cw_ctx_cleanup(void *data);


ngx_http_cw_ctx_t *
ngx_http_cw_find_ctx(ngx_http_request_t *r)
{
    ngx_http_cw_ctx_t   *ctx;
    ngx_pool_cleanup_t  *cln;

    r = r->main;
    ctx = ngx_http_get_module_ctx(r, ngx_http_cw_module);

    if (ctx || (!r->internal && !r->filter_finalize && !r->error_page
                && r->uri_changes == NGX_HTTP_MAX_URI_CHANGES + 1))
    {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_cw_ctx_cleanup) {
            ctx = cln->data;
            ngx_http_set_ctx(r, ctx, ngx_http_cw_module);
            return ctx;
        }
    }

    return NULL;
}


ngx_http_cw_ctx_t *
ngx_http_cw_get_ctx(ngx_http_request_t *r)
{
    ngx_http_cw_ctx_t   *ctx;
    ngx_pool_cleanup_t  *cln;

    ctx = ngx_http_cw_find_ctx(r);

    if (ctx) {
        return ctx;
    }

    r = r->main;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_cw_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_cw_ctx_cleanup;
    cln->data = ctx;

    ctx->request = r;

    ngx_http_set_ctx(r, ctx, ngx_http_cw_module);

    return ctx;
}


static void
ngx_http_cw_ctx_cleanup(void *data)
{
    ngx_http_cw_ctx_t *ctx = data;

    ngx_http_cw_ask_cancel(&ctx->ask);
}
