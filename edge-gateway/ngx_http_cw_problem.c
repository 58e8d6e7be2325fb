
/*
 * The gateway's own words for an error: problem+json (RFC 9457), challenges as
 * RFC 6750 wants them, or, to gRPC clients, trailers.
 */


#include "ngx_http_cw_module.h"
#include "ngx_http_cw_wire.h"


static enum cw_err ngx_http_cw_problem_reason(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_problem_body(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_problem_grpc(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_problem_details(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, const struct cw_err_info *info,
    ngx_str_t *message);
static ngx_int_t ngx_http_cw_problem_challenge(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_problem_retry_after(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_problem_allow(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);


ngx_int_t
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

    if (ngx_http_cw_problem_retry_after(r, ctx) != NGX_OK
        || ngx_http_cw_problem_challenge(r, ctx) != NGX_OK
        || ngx_http_cw_problem_allow(r, ctx) != NGX_OK
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
        || ngx_http_cw_add_header(r, "cw-reason", &ctx->reason) != NGX_OK
        || ngx_http_cw_problem_details(r, ctx, info, &value) != NGX_OK)
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


/*
 * google.rpc.Status with ErrorInfo, as the services' own refusals have it:
 * where gRPC's clients look for the reason.
 */

static ngx_int_t
ngx_http_cw_problem_details(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    const struct cw_err_info *info, ngx_str_t *message)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   what, any, status, value;

    static ngx_str_t  domain = ngx_string("clinicwave.com");
    static ngx_str_t  type =
                    ngx_string("type.googleapis.com/google.rpc.ErrorInfo");

    /* each field costs a tag and a length, of a byte or two here */

    len = ctx->reason.len + domain.len + type.len + message->len
          + 8 * (1 + NGX_INT64_LEN);

    p = ngx_pnalloc(r->pool, 3 * len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    what.data = p;
    p = ngx_http_cw_wire_bytes(p, 1, &ctx->reason);
    p = ngx_http_cw_wire_bytes(p, 2, &domain);
    what.len = p - what.data;

    any.data = p;
    p = ngx_http_cw_wire_bytes(p, 1, &type);
    p = ngx_http_cw_wire_bytes(p, 2, &what);
    any.len = p - any.data;

    status.data = p;
    *p++ = 1 << 3 | NGX_HTTP_CW_WIRE_VARINT;
    p = ngx_http_cw_wire_varint(p, (uint64_t) info->grpc);
    p = ngx_http_cw_wire_bytes(p, 2, message);
    p = ngx_http_cw_wire_bytes(p, 3, &any);
    status.len = p - status.data;

    value.data = ngx_pnalloc(r->pool, ngx_base64_encoded_length(status.len));
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    ngx_encode_base64(&value, &status);

    /* gRPC's own form has no padding */

    while (value.len && value.data[value.len - 1] == '=') {
        value.len--;
    }

    return ngx_http_cw_add_header(r, "grpc-status-details-bin", &value);
}


/* RFC 6750 §3: on 401 and 403, and on 400 for a malformed use of tokens */

static ngx_int_t
ngx_http_cw_problem_challenge(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
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
ngx_http_cw_problem_retry_after(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
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


/*
 * RFC 9110 §15.5.6: 405 names the methods.  nginx refuses TRACE before it
 * knows the resource, and passes all others to a service; its own resources
 * (files, and what this module shows) are there to be read.
 */

static ngx_int_t
ngx_http_cw_problem_allow(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    static ngx_str_t  any = ngx_string(
        "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    static ngx_str_t  read = ngx_string("GET, HEAD");

    if (ctx->status != NGX_HTTP_NOT_ALLOWED
        || ngx_http_cw_has_header(r, "Allow"))
    {
        return NGX_OK;
    }

    /* TRACE and CONNECT are refused before the resource is known */

    return ngx_http_cw_add_header(r, "Allow",
                         (r->method & (NGX_HTTP_TRACE|NGX_HTTP_CONNECT))
                         ? &any : &read);
}
