
/*
 * The phases around the access phase: headers go before anybody looks at
 * them, error pages are told apart, and subrequests get no further than their
 * main request.
 */


#include "ngx_http_cw_module.h"


ngx_int_t
ngx_http_cw_post_read_handler(ngx_http_request_t *r)
{
    ngx_http_cw_ctx_t  *ctx;

    ctx = ngx_http_cw_get_ctx(r);

    if (ctx == NULL || ngx_http_cw_headers_clean(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->headers_in.content_type
        && r->headers_in.content_type->value.len >= 16
        && ngx_strncasecmp(r->headers_in.content_type->value.data,
                           (u_char *) "application/grpc", 16)
           == 0)
    {
        ctx->grpc = 1;
    }

    return NGX_DECLINED;
}


/*
 * A pass through the phases begins here.  The status of an error page is kept
 * aside, so that the header filter sees err_status only in answers that nginx
 * itself makes.
 */

ngx_int_t
ngx_http_cw_rewrite_handler(ngx_http_request_t *r)
{
    ngx_http_cw_ctx_t  *ctx;

    if (r != r->main || (r->err_status == 0 && !r->internal)) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_cw_get_ctx(r);

    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* an error before all phases: nobody has looked at the headers yet */

    if (!ctx->cleaned && ngx_http_cw_headers_clean(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->err_status) {
        ctx->err_status = r->err_status;
        r->err_status = 0;
    }

    return NGX_DECLINED;
}


/*
 * Subrequests (SSI, mirror, auth_request, …) do not pass the access phase:
 * one gets into a ruled location only with the verdict of its main request on
 * the same rule.
 */

ngx_int_t
ngx_http_cw_preaccess_handler(ngx_http_request_t *r)
{
    ngx_http_cw_ctx_t       *ctx;
    ngx_http_cw_loc_conf_t  *lcf;

    if (r == r->main) {
        return NGX_DECLINED;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cw_module);

    if (lcf->auth == NGX_CONF_UNSET_UINT) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_cw_get_ctx(r);

    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (lcf->auth != NGX_HTTP_CW_AUTH_OFF
        && ctx->allowed != lcf->rule
        && !(lcf->auth == NGX_HTTP_CW_AUTH_OPTIONAL && ctx->anonymous))
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "subrequest \"%V\" is refused: its main request has no "
                      "verdict on this location's rule", &r->uri);

        return NGX_HTTP_FORBIDDEN;
    }

    if (ngx_http_cw_identity_subrequest(r, ctx, lcf) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}
