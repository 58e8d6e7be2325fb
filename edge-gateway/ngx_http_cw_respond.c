
/*
 * Answers in the gateway's own words: every error that nginx or the module
 * makes is told as a problem.  What a service answers passes untouched.
 */


#include "ngx_http_cw_module.h"


static ngx_int_t ngx_http_cw_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_cw_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_output_header_filter_pt  ngx_http_cw_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_cw_next_body_filter;


ngx_int_t
ngx_http_cw_respond_init(ngx_conf_t *cf)
{
    ngx_http_cw_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_cw_header_filter;

    ngx_http_cw_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_cw_body_filter;

    return NGX_OK;
}


ngx_int_t
ngx_http_cw_refuse(ngx_http_request_t *r, enum cw_err err)
{
    ngx_http_cw_ctx_t         *ctx;
    const struct cw_err_info  *info;

    info = cw_err_info(err);
    ctx = ngx_http_cw_get_ctx(r);

    if (ctx) {
        ctx->err = err;
        ctx->status = (ngx_uint_t) info->http;
        ctx->reason.data = (u_char *) info->code;
        ctx->reason.len = ngx_strlen(info->code);
        ctx->scope.len = 0;
        ctx->retry_after = 0;
    }

    return info->http;
}


static ngx_int_t
ngx_http_cw_header_filter(ngx_http_request_t *r)
{
    ngx_http_cw_ctx_t        *ctx;
    ngx_http_cw_loc_conf_t   *lcf;
    ngx_http_cw_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);

    if (r != r->main || mcf->sidecar.sockaddr == NULL) {
        return ngx_http_cw_next_header_filter(r);
    }

    ctx = ngx_http_cw_get_ctx(r);
    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cw_module);

    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (mcf->batch) {
        ngx_http_cw_batch_busy(mcf->batch);
    }

    if (r->err_status >= NGX_HTTP_BAD_REQUEST) {

        if (lcf->problem && ngx_http_cw_problem(r, ctx) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (r->err_status == 0 && ctx->err_status) {

        /* the page of an earlier error */

        r->err_status = ctx->err_status;
        r->headers_out.status = ctx->err_status;
        r->headers_out.status_line.len = 0;
    }

    if (lcf->cors && ngx_http_cw_cors_headers(r, ctx, lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->request_id.len && !ngx_http_cw_has_header(r, "X-Request-Id")
        && ngx_http_cw_add_header(r, "X-Request-Id", &ctx->request_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_cw_next_header_filter(r);
}


static ngx_int_t
ngx_http_cw_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t          *b;
    ngx_chain_t        *cl, out;
    ngx_http_cw_ctx_t  *ctx;

    if (r != r->main || in == NULL) {
        return ngx_http_cw_next_body_filter(r, in);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_cw_module);

    if (ctx == NULL || ctx->problem.len == 0) {
        return ngx_http_cw_next_body_filter(r, in);
    }

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }

    if (ctx->problem_sent) {
        return NGX_OK;
    }

    ctx->problem_sent = 1;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = ctx->problem.data;
    b->last = b->pos + ctx->problem.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_cw_next_body_filter(r, &out);
}


ngx_uint_t
ngx_http_cw_has_header(ngx_http_request_t *r, const char *name)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);
    part = &r->headers_out.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return 0;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].hash && h[i].key.len == len
            && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
        {
            return 1;
        }
    }
}


ngx_int_t
ngx_http_cw_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

    if (h->key.len == sizeof("WWW-Authenticate") - 1
        && ngx_strcmp(name, "WWW-Authenticate") == 0)
    {
        r->headers_out.www_authenticate = h;
    }

    return NGX_OK;
}


/* may stand between quotation marks in a header */

ngx_uint_t
ngx_http_cw_quotable(ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        if (s->data[i] < 0x20 || s->data[i] > 0x7e || s->data[i] == '"'
            || s->data[i] == '\\')
        {
            return 0;
        }
    }

    return 1;
}


/* 200 while this worker can decide */

ngx_int_t
ngx_http_cw_healthz_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_str_t                  type;
    ngx_http_cw_main_conf_t   *mcf;
    ngx_http_complex_value_t   cv;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);

    if (mcf->batch == NULL || !ngx_http_cw_batch_can_decide(mcf->batch)) {
        return ngx_http_cw_refuse(r, CW_VALIDATOR_UNAVAILABLE);
    }

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));

    ngx_str_set(&cv.value, "{\"status\":\"UP\"}\n");
    ngx_str_set(&type, "application/json");

    return ngx_http_send_response(r, NGX_HTTP_OK, &type, &cv);
}


/* what no location names: being registered makes no service public */

ngx_int_t
ngx_http_cw_route_unknown_handler(ngx_http_request_t *r)
{
    return ngx_http_cw_refuse(r, CW_ROUTE_UNKNOWN);
}
