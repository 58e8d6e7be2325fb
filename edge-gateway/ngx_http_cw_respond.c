
/*
 * Answers in the gateway's own words: every error that nginx or the module
 * makes leaves as problem+json (RFC 9457), as RFC 6750 wants it, or, to gRPC
 * clients, as trailers.  What a service answers passes untouched.
 */


#include "ngx_http_cw_module.h"


static ngx_int_t ngx_http_cw_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_cw_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_cw_problem(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static enum cw_err ngx_http_cw_problem_reason(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_problem_body(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_problem_grpc(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_challenge(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_retry_after(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_uint_t ngx_http_cw_has_header(ngx_http_request_t *r,
    const char *name);


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


static ngx_int_t
ngx_http_cw_problem(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    enum cw_err       err;
    ngx_uint_t        status;
    static ngx_str_t  no_store = ngx_string("no-store");

    err = ngx_http_cw_problem_reason(r, ctx);

    if (err != ctx->err || ctx->status != r->err_status) {
        status = r->err_status;
        (void) ngx_http_cw_refuse(r, err);

        /* only what nginx hides behind its 400, or behind the 502 of an
         * upstream without servers, has a better status */

        if (err != CW_HEADERS_TOO_LARGE && err != CW_NO_INSTANCE) {
            ctx->status = status;
        }
    }

    ngx_http_cw_count_refusal(ctx->err);

    r->headers_out.status = ctx->status;
    r->headers_out.status_line.len = 0;
    r->err_status = ctx->status;

    if (ngx_http_cw_trace(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);
    ngx_http_clear_content_length(r);

    if (ngx_http_cw_retry_after(r, ctx) != NGX_OK
        || ngx_http_cw_challenge(r, ctx) != NGX_OK
        || ngx_http_cw_add_header(r, "Cache-Control", &no_store) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->grpc) {
        return ngx_http_cw_problem_grpc(r, ctx);
    }

    return ngx_http_cw_problem_body(r, ctx);
}


/* ours when it is ours, else what nginx's status says */

static enum cw_err
ngx_http_cw_problem_reason(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    if (ctx->err != CW_OK && ctx->status == r->err_status) {
        return ctx->err;
    }

    /* nobody was there for the balancer: to nginx that is a failure, too */

    if (ctx->err == CW_NO_INSTANCE && r->err_status == NGX_HTTP_BAD_GATEWAY) {
        return ctx->err;
    }

    if (r->err_status != NGX_HTTP_BAD_REQUEST) {
        return cw_err_from_http((int) r->err_status);
    }

    /* nginx says 400 to several of its own codes */

#if (NGX_HTTP_SSL)
    if (r->http_connection->ssl && r->connection->ssl == NULL
        && r->stream == NULL)
    {
        return CW_HTTPS_REQUIRED;
    }
#endif

    /* of them, only headers that are too large linger before the phases */

    if (r->lingering_close && !ctx->cleaned) {
        return CW_HEADERS_TOO_LARGE;
    }

    return CW_REQUEST_MALFORMED;
}


static ngx_int_t
ngx_http_cw_problem_body(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    u_char                    *p;
    size_t                     len, title, meaning;
    const struct cw_err_info  *info;
    ngx_http_cw_main_conf_t   *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);
    info = cw_err_info(ctx->err);

    title = ngx_strlen(info->title);
    meaning = ngx_strlen(info->meaning);

    len = sizeof("{\"type\":\"\",\"title\":\"\",\"status\":,"
                 "\"detail\":\"\",\"reason\":\"\",\"trace_id\":\"\"}\n")
          + mcf->error_docs.len + 2 * ctx->reason.len + NGX_INT_T_LEN
          + 6 * (title + meaning) + 32;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->problem.data = p;

    p = ngx_sprintf(p, "{\"type\":\"%V%V\",\"title\":\"", &mcf->error_docs,
                    &ctx->reason);
    p = (u_char *) ngx_escape_json(p, (u_char *) info->title, title);
    p = ngx_sprintf(p, "\",\"status\":%ui,\"detail\":\"", ctx->status);
    p = (u_char *) ngx_escape_json(p, (u_char *) info->meaning, meaning);
    p = ngx_sprintf(p, "\",\"reason\":\"%V\",\"trace_id\":\"%*s\"}\n",
                    &ctx->reason, (size_t) 32, ctx->trace);

    ctx->problem.len = p - ctx->problem.data;

    ngx_str_set(&r->headers_out.content_type, "application/problem+json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;
    r->headers_out.content_length_n = (off_t) ctx->problem.len;

    return NGX_OK;
}


/* the trailers are all of the response
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md) */

static ngx_int_t
ngx_http_cw_problem_grpc(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    u_char                    *p;
    ngx_str_t                  value;
    const struct cw_err_info  *info;

    info = cw_err_info(ctx->err);

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%d", (int) info->grpc) - p;

    if (ngx_http_cw_add_header(r, "grpc-status", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    value.data = (u_char *) info->title;
    value.len = ngx_strlen(info->title);

    if (ngx_http_cw_add_header(r, "grpc-message", &value) != NGX_OK
        || ngx_http_cw_add_header(r, "cw-reason", &ctx->reason) != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->err_status = NGX_HTTP_OK;

    ngx_str_set(&r->headers_out.content_type, "application/grpc");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;

    r->header_only = 1;

    return NGX_OK;
}


/* RFC 6750 §3: on 401 and 403, and on 400 for a malformed use of tokens */

static ngx_int_t
ngx_http_cw_challenge(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    u_char                    *p;
    size_t                     len;
    ngx_str_t                  value, realm;
    const struct cw_err_info  *info;
    ngx_http_cw_loc_conf_t    *lcf;

    info = cw_err_info(ctx->err);

    if (r->headers_out.www_authenticate
        || (info->category != CW_CATEGORY_TOKEN
            && info->category != CW_CATEGORY_POLICY
            && info->bearer[0] == '\0'))
    {
        return NGX_OK;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cw_module);
    realm = lcf->realm.len ? lcf->realm : ctx->domain;

    len = sizeof("Bearer realm=\"\", error=\"\", error_description=\"\", "
                 "scope=\"\"")
          + realm.len + ngx_strlen(info->bearer) + ngx_strlen(info->title)
          + ctx->scope.len;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    p = ngx_sprintf(p, "Bearer realm=\"%V\"", &realm);

    if (info->bearer[0] != '\0') {
        p = ngx_sprintf(p, ", error=\"%s\", error_description=\"%s\"",
                        info->bearer, info->title);
    }

    if (ctx->scope.len
        && ngx_http_cw_quotable(&ctx->scope))
    {
        p = ngx_sprintf(p, ", scope=\"%V\"", &ctx->scope);
    }

    value.len = p - value.data;

    return ngx_http_cw_add_header(r, "WWW-Authenticate", &value);
}


static ngx_int_t
ngx_http_cw_retry_after(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    u_char     *p;
    ngx_str_t   value;

    if ((ctx->status != NGX_HTTP_SERVICE_UNAVAILABLE
         && ctx->status != NGX_HTTP_TOO_MANY_REQUESTS)
        || ngx_http_cw_has_header(r, "Retry-After"))
    {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%ui", ctx->retry_after ? ctx->retry_after : 1)
                - p;

    return ngx_http_cw_add_header(r, "Retry-After", &value);
}


static ngx_uint_t
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
