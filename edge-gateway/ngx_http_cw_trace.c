
/*
 * Gives each request its ids: a trace continued or begun (W3C Trace Context,
 * https://www.w3.org/TR/trace-context/) and X-Request-Id.
 */


#include "ngx_http_cw_module.h"

#include <openssl/rand.h>


#define NGX_HTTP_CW_TRACEPARENT  55


static ngx_int_t ngx_http_cw_trace_parse(ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_trace_hex(u_char *p, size_t len);
static ngx_int_t ngx_http_cw_trace_random(u_char *p, size_t len);


ngx_int_t
ngx_http_cw_trace(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    u_char                   id[24];
    ngx_http_cw_loc_conf_t  *lcf;

    if (ctx->traced) {
        return NGX_OK;
    }

    if (ngx_http_cw_trace_random(id, sizeof(id)) != NGX_OK) {
        return NGX_ERROR;
    }

    (void) ngx_hex_dump(ctx->trace, id, 16);
    (void) ngx_hex_dump(ctx->span, id + 16, 8);

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cw_module);

    if ((ctx->trusted || lcf->trace == NGX_HTTP_CW_TRACE_CONTINUE)
        && ngx_http_cw_trace_parse(ctx) == NGX_OK)
    {
        ctx->trace_continued = 1;
    }

    if (ctx->request_id.len == 0 || ctx->request_id.len > 128) {
        ctx->request_id.data = ctx->trace;
        ctx->request_id.len = 32;
    }

    ctx->traced = 1;

    return NGX_OK;
}


/* 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, later versions longer */

static ngx_int_t
ngx_http_cw_trace_parse(ngx_http_cw_ctx_t *ctx)
{
    u_char      *p;
    ngx_uint_t   i;

    static const u_char  zeros[32] = "00000000000000000000000000000000";

    p = ctx->traceparent.data;

    if (ctx->traceparent.len < NGX_HTTP_CW_TRACEPARENT
        || p[2] != '-' || p[35] != '-' || p[52] != '-'
        || ngx_http_cw_trace_hex(p, 2) != NGX_OK
        || ngx_http_cw_trace_hex(p + 3, 32) != NGX_OK
        || ngx_http_cw_trace_hex(p + 36, 16) != NGX_OK
        || ngx_http_cw_trace_hex(p + 53, 2) != NGX_OK
        || ngx_memcmp(p + 3, zeros, 32) == 0
        || ngx_memcmp(p + 36, zeros, 16) == 0)
    {
        return NGX_DECLINED;
    }

    if (p[0] == '0' && p[1] == '0') {
        if (ctx->traceparent.len != NGX_HTTP_CW_TRACEPARENT) {
            return NGX_DECLINED;
        }

    } else if ((p[0] == 'f' && p[1] == 'f')
               || (ctx->traceparent.len > NGX_HTTP_CW_TRACEPARENT
                   && p[55] != '-'))
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < 32; i++) {
        ctx->trace[i] = p[3 + i];
    }

    ctx->trace_sampled = ngx_hextoi(p + 53, 2) & 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_trace_hex(u_char *p, size_t len)
{
    for ( /* void */ ; len; len--, p++) {
        if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'))) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* from a reserve: a call of RAND_bytes() costs more than all else here */

static ngx_int_t
ngx_http_cw_trace_random(u_char *p, size_t len)
{
    static size_t     left;
    static ngx_pid_t  owner;
    static u_char     reserve[3072];

    if (left < len || owner != ngx_pid) {

        if (RAND_bytes(reserve, sizeof(reserve)) != 1) {
            return NGX_ERROR;
        }

        left = sizeof(reserve);
        owner = ngx_pid;
    }

    left -= len;
    ngx_memcpy(p, reserve + left, len);

    return NGX_OK;
}
