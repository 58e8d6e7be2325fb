
/*
 * Tells what happened: variables for the access log, and counters.  No
 * variable holds a token.
 */


#include "ngx_http_cw_module.h"


typedef enum {
    NGX_HTTP_CW_VAR_DECISION = 0,
    NGX_HTTP_CW_VAR_REASON,
    NGX_HTTP_CW_VAR_DOMAIN,
    NGX_HTTP_CW_VAR_TENANT,
    NGX_HTTP_CW_VAR_SUBJECT,
    NGX_HTTP_CW_VAR_CLIENT,
    NGX_HTTP_CW_VAR_VALIDATION,
    NGX_HTTP_CW_VAR_CACHED,
    NGX_HTTP_CW_VAR_REQUEST_ID,
    NGX_HTTP_CW_VAR_TRACE_ID,
    NGX_HTTP_CW_VAR_SPAN_ID,
    NGX_HTTP_CW_VAR_PATH,
    NGX_HTTP_CW_VAR_DURATION
} ngx_http_cw_variable_e;


static ngx_int_t ngx_http_cw_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cw_variable_value(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_uint_t variable, ngx_str_t *s);
static ngx_int_t ngx_http_cw_variable_number(ngx_http_request_t *r,
    ngx_uint_t n, ngx_str_t *s);
static void ngx_http_cw_variable_decision(ngx_http_cw_ctx_t *ctx,
    ngx_str_t *s);
static void ngx_http_cw_variable_path(ngx_http_request_t *r, ngx_str_t *s);
static ngx_uint_t ngx_http_cw_variable_duration(ngx_http_request_t *r);


/* docs/GATEWAY.md lists them */

static ngx_http_variable_t  ngx_http_cw_variables[] = {

    { ngx_string("cw_decision"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_DECISION, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cw_reason"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_REASON, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cw_domain"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_DOMAIN, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cw_tenant"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_TENANT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cw_subject"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_SUBJECT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cw_client"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_CLIENT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cw_validation_us"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_VALIDATION, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cw_cached"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_CACHED, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cw_request_id"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_REQUEST_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cw_trace_id"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_TRACE_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cw_span_id"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_SPAN_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cw_path"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_PATH, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cw_duration_ns"), NULL, ngx_http_cw_variable,
      NGX_HTTP_CW_VAR_DURATION, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_cw_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_cw_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_cw_log_handler(ngx_http_request_t *r)
{
    if (r == r->main) {
        ngx_http_cw_count_response(r->err_status ? r->err_status
                                                 : r->headers_out.status);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t           s;
    ngx_http_cw_ctx_t  *ctx;

    ngx_str_null(&s);

    /* early errors have no state yet; the log asks nevertheless */

    ctx = ngx_http_cw_get_ctx(r);

    if (ctx == NULL
        || ngx_http_cw_variable_value(r->main, ctx, data, &s) != NGX_OK)
    {
        return NGX_ERROR;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = s.len;
    v->data = s.data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_variable_value(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_uint_t variable, ngx_str_t *s)
{
    switch (variable) {

    case NGX_HTTP_CW_VAR_DECISION:
        ngx_http_cw_variable_decision(ctx, s);
        break;

    case NGX_HTTP_CW_VAR_REASON:
        *s = ctx->reason;
        break;

    case NGX_HTTP_CW_VAR_DOMAIN:

        /* where no verdict needed it, nobody has looked yet */

        if (ngx_http_cw_extract_domain(r, ctx) == CW_OK) {
            *s = ctx->domain;
        }

        break;

    case NGX_HTTP_CW_VAR_TENANT:
        *s = ctx->who.tenant;
        break;

    case NGX_HTTP_CW_VAR_SUBJECT:
        *s = ctx->who.subject;
        break;

    case NGX_HTTP_CW_VAR_CLIENT:
        *s = ctx->who.client;
        break;

    case NGX_HTTP_CW_VAR_VALIDATION:
        return ngx_http_cw_variable_number(r, ctx->ask.elapsed, s);

    case NGX_HTTP_CW_VAR_CACHED:
        if (ctx->ask.cached) {
            ngx_str_set(s, "true");

        } else {
            ngx_str_set(s, "false");
        }

        break;

    case NGX_HTTP_CW_VAR_REQUEST_ID:
    case NGX_HTTP_CW_VAR_TRACE_ID:
    case NGX_HTTP_CW_VAR_SPAN_ID:

        if (ngx_http_cw_trace(r, ctx) != NGX_OK) {
            return NGX_ERROR;
        }

        if (variable == NGX_HTTP_CW_VAR_REQUEST_ID) {
            *s = ctx->request_id;

        } else if (variable == NGX_HTTP_CW_VAR_TRACE_ID) {
            s->data = ctx->trace;
            s->len = 32;

        } else {
            s->data = ctx->span;
            s->len = 16;
        }

        break;

    case NGX_HTTP_CW_VAR_PATH:
        ngx_http_cw_variable_path(r, s);
        break;

    case NGX_HTTP_CW_VAR_DURATION:
        return ngx_http_cw_variable_number(r,
                                           ngx_http_cw_variable_duration(r),
                                           s);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_variable_number(ngx_http_request_t *r, ngx_uint_t n, ngx_str_t *s)
{
    s->data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (s->data == NULL) {
        return NGX_ERROR;
    }

    s->len = ngx_sprintf(s->data, "%ui", n) - s->data;

    return NGX_OK;
}


/* as the client sent it, without the arguments: a query may hold a token */

static void
ngx_http_cw_variable_path(ngx_http_request_t *r, ngx_str_t *s)
{
    u_char  *p;

    *s = r->unparsed_uri;

    if (s->len) {
        p = ngx_strlchr(s->data, s->data + s->len, '?');

        if (p) {
            s->len = p - s->data;
        }
    }
}


static ngx_uint_t
ngx_http_cw_variable_duration(ngx_http_request_t *r)
{
    ngx_time_t      *tp;
    ngx_msec_int_t   ms;

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + (tp->msec - r->start_msec));

    return (ngx_uint_t) ngx_max(ms, 0) * 1000000;
}


static void
ngx_http_cw_variable_decision(ngx_http_cw_ctx_t *ctx, ngx_str_t *s)
{
    if (ctx->allowed) {
        ngx_str_set(s, "allow");

    } else if (ctx->anonymous) {
        ngx_str_set(s, "anonymous");

    } else if (ctx->err != CW_OK) {

        switch (cw_err_info(ctx->err)->category) {

        case CW_CATEGORY_TOKEN:
            ngx_str_set(s, "unauthenticated");
            break;

        case CW_CATEGORY_POLICY:
            ngx_str_set(s, "forbidden");
            break;

        case CW_CATEGORY_UNDECIDED:
            ngx_str_set(s, "undecided");
            break;

        default:
            ngx_str_set(s, "refused");
        }
    }
}
