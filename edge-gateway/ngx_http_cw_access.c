
/*
 * Decides whether a request may go on: asks the sidecar and waits in nginx's
 * access phase.
 */


#include "ngx_http_cw_module.h"
#include "ngx_http_cw_balancer.h"
#include "ngx_http_cw_text.h"


static ngx_int_t ngx_http_cw_access_begin(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
static ngx_int_t ngx_http_cw_access_missing(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
static ngx_int_t ngx_http_cw_access_no_token(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
static ngx_int_t ngx_http_cw_access_ask(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
static void ngx_http_cw_access_answer(ngx_http_cw_ask_t *ask);
static ngx_int_t ngx_http_cw_access_finish(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
static ngx_int_t ngx_http_cw_access_allow(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
static ngx_int_t ngx_http_cw_access_anonymous(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
static enum cw_err ngx_http_cw_access_identity(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_access_go(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);


/* nginx calls this for main requests only */

ngx_int_t
ngx_http_cw_access_handler(ngx_http_request_t *r)
{
    ngx_http_cw_ctx_t       *ctx;
    ngx_http_cw_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cw_module);

    if (lcf->auth == NGX_CONF_UNSET_UINT) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_cw_get_ctx(r);

    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->asked) {

        /* woken by something else while the answer is awaited */

        if (ctx->ask.state != NGX_HTTP_CW_ASK_IDLE) {
            return NGX_AGAIN;
        }

        ctx->asked = 0;

        return ngx_http_cw_access_finish(r, ctx, lcf);
    }

    return ngx_http_cw_access_begin(r, ctx, lcf);
}


static ngx_int_t
ngx_http_cw_access_begin(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ngx_int_t    rc;
    enum cw_err  err;

    if (!ctx->path_checked && !lcf->ambiguous) {

        err = ngx_http_cw_extract_path(r);
        if (err != CW_OK) {
            return ngx_http_cw_refuse(r, err);
        }

        ctx->path_checked = 1;
    }

    rc = ngx_http_cw_cors_preflight(r, ctx, lcf);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (lcf->auth == NGX_HTTP_CW_AUTH_OFF) {

        /* not NGX_OK, which would do for "satisfy any" */

        rc = ngx_http_cw_access_go(r, ctx, lcf);
        return (rc == NGX_OK) ? NGX_DECLINED : rc;
    }

    ctx->memo = ngx_http_cw_memo_find(r->connection);

    err = ngx_http_cw_extract_domain(r, ctx);
    if (err != CW_OK) {
        return ngx_http_cw_refuse(r, err);
    }

    /* an internal redirect under the same rule */

    if (ctx->allowed == lcf->rule) {
        return ngx_http_cw_access_go(r, ctx, lcf);
    }

    /* from here on another token may be shown: whoever comes back to the
     * former rule is asked for again */

    ctx->allowed = NULL;

    err = ngx_http_cw_extract_token(r, ctx, lcf);

    if (err == CW_OK && lcf->token_cookie.len) {
        err = ngx_http_cw_cors_same_site(r, ctx, lcf);
    }

    if (err == CW_TOKEN_MISSING) {
        return ngx_http_cw_access_missing(r, ctx, lcf);
    }

    if (err != CW_OK) {
        return ngx_http_cw_refuse(r, err);
    }

    return ngx_http_cw_access_ask(r, ctx, lcf);
}


/*
 * No token is no token, whoever decides; but only the sidecar knows whether
 * the domain has a tenant at all, so it is asked about none while it answers.
 */

static ngx_int_t
ngx_http_cw_access_missing(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ngx_http_cw_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);

    if (mcf->batch == NULL || !ngx_http_cw_batch_can_decide(mcf->batch)) {
        return ngx_http_cw_access_no_token(r, ctx, lcf);
    }

    ctx->missing = 1;
    ctx->token.data = (u_char *) "";
    ctx->token.len = 0;

    return ngx_http_cw_access_ask(r, ctx, lcf);
}


static ngx_int_t
ngx_http_cw_access_no_token(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    if (lcf->auth == NGX_HTTP_CW_AUTH_OPTIONAL) {
        return ngx_http_cw_access_anonymous(r, ctx, lcf);
    }

    ngx_http_cw_count(NGX_HTTP_CW_COUNT_UNAUTHENTICATED);

    return ngx_http_cw_refuse(r, CW_TOKEN_MISSING);
}


static ngx_int_t
ngx_http_cw_access_ask(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ngx_http_cw_ask_t        *ask;
    ngx_http_cw_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);
    ask = &ctx->ask;

    ngx_memzero(ask, sizeof(ngx_http_cw_ask_t));

    ask->rule = lcf->rule;
    ask->domain = ctx->domain;
    ask->token = ctx->token;
    ask->timeout = lcf->timeout;
    ask->pool = r->pool;
    ask->handler = ngx_http_cw_access_answer;
    ask->data = ctx;

    if (ctx->digest) {
        ngx_memcpy(ask->digest, ctx->digest, NGX_HTTP_CW_DIGEST_LEN);
        ask->hashed = 1;
    }

    if (mcf->batch == NULL
        || ngx_http_cw_ask_begin(mcf->batch, ask) != NGX_OK)
    {
        ngx_http_cw_count(NGX_HTTP_CW_COUNT_UNDECIDED);
        return ngx_http_cw_refuse(r, CW_VALIDATOR_OVERLOADED);
    }

    ctx->asked = 1;

    /* a client that goes away meanwhile is noticed */

    r->read_event_handler = ngx_http_test_reading;

    return NGX_AGAIN;
}


static void
ngx_http_cw_access_answer(ngx_http_cw_ask_t *ask)
{
    ngx_connection_t    *c;
    ngx_http_cw_ctx_t   *ctx;
    ngx_http_request_t  *r;

    ctx = ask->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_cw_access_finish(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ngx_http_cw_ask_t  *ask;

    ask = &ctx->ask;

    if (ctx->missing) {
        ctx->missing = 0;

        if (ask->err == CW_TENANT_UNKNOWN) {
            return ngx_http_cw_refuse(r, ask->err);
        }

        return ngx_http_cw_access_no_token(r, ctx, lcf);
    }

    ngx_http_cw_count_validation(ask->elapsed);

    if (ask->cached) {
        ngx_http_cw_count(NGX_HTTP_CW_COUNT_CACHED);
    }

    if (ask->err == CW_OK) {
        return ngx_http_cw_access_allow(r, ctx, lcf);
    }

    if (ask->status == NGX_HTTP_SERVICE_UNAVAILABLE) {
        ngx_http_cw_count(NGX_HTTP_CW_COUNT_UNDECIDED);

        if (lcf->anonymous) {
            return ngx_http_cw_access_anonymous(r, ctx, lcf);
        }

    } else {
        ngx_http_cw_count((ask->status == NGX_HTTP_FORBIDDEN)
                          ? NGX_HTTP_CW_COUNT_FORBIDDEN
                          : NGX_HTTP_CW_COUNT_UNAUTHENTICATED);
    }

    (void) ngx_http_cw_refuse(r, ask->err);

    ctx->status = ask->status;
    ctx->reason = ask->reason;
    ctx->scope = ask->required_scope;
    ctx->retry_after = ask->retry_after;

    return ctx->status;
}


static ngx_int_t
ngx_http_cw_access_allow(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    enum cw_err  err;

    ctx->identity = ctx->ask.identity;

    err = ngx_http_cw_access_identity(r, ctx);
    if (err != CW_OK) {
        return ngx_http_cw_refuse(r, err);
    }

    if (ctx->digest == NULL) {
        ngx_http_cw_memo_keep(r->connection, ngx_http_cw_extract_named(r),
                              &ctx->domain, &ctx->ask.token, ctx->ask.digest);
    }

    ctx->allowed = lcf->rule;
    ctx->anonymous = 0;

    ngx_http_cw_count(NGX_HTTP_CW_COUNT_ALLOWED);

    return ngx_http_cw_access_go(r, ctx, lcf);
}


/*
 * Headers can carry no line ends, and joined lists no separators: an identity
 * that would arrive as another one is refused.
 */

static enum cw_err
ngx_http_cw_access_identity(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    u_char     *joined;
    ngx_str_t  *s[7];
    ngx_uint_t  i;

    joined = ngx_pnalloc(r->pool, ctx->identity.len + 1);
    if (joined == NULL) {
        return CW_NO_MEMORY;
    }

    if (ngx_http_cw_who_read(&ctx->identity, joined, &ctx->who)
        != NGX_OK)
    {
        return CW_VALIDATOR_UNAVAILABLE;
    }

    if (ctx->who.ambiguous) {
        return CW_CLAIM_INVALID;
    }

    s[0] = &ctx->who.tenant;
    s[1] = &ctx->who.subject;
    s[2] = &ctx->who.issuer;
    s[3] = &ctx->who.client;
    s[4] = &ctx->who.session;
    s[5] = &ctx->who.scopes;
    s[6] = &ctx->who.roles;

    for (i = 0; i < 7; i++) {
        if (!ngx_http_cw_text_clean(s[i])) {
            return CW_CLAIM_INVALID;
        }
    }

    return CW_OK;
}


static ngx_int_t
ngx_http_cw_access_anonymous(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ctx->anonymous = 1;
    ctx->allowed = NULL;

    ngx_http_cw_count(NGX_HTTP_CW_COUNT_ANONYMOUS);

    return ngx_http_cw_access_go(r, ctx, lcf);
}


/* admitted: what the service gets */

static ngx_int_t
ngx_http_cw_access_go(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    size_t       n;
    enum cw_err  err;

    err = ngx_http_cw_balancer_check(r);
    if (err != CW_OK) {
        return ngx_http_cw_refuse(r, err);
    }

    /* where nobody has looked at it, it may be what no service can be sent */

    if (lcf->pass_authorization && !ctx->bearer
        && !ngx_http_cw_text_clean(&ctx->authorization))
    {
        return ngx_http_cw_refuse(r, CW_AUTHORIZATION_MALFORMED);
    }

    n = lcf->prefix.len;

    if (n && r->uri.len >= n
        && ngx_strncmp(r->uri.data, lcf->prefix.data, n) == 0
        && (r->uri.len == n || r->uri.data[n] == '/'))
    {
        r->uri.data += n;
        r->uri.len -= n;

        if (r->uri.len == 0) {
            ngx_str_set(&r->uri, "/");
        }

        /* the upstream's URI is made of r->uri again, escaped */

        r->valid_unparsed_uri = 0;
        r->valid_location = 0;
        r->quoted_uri = 1;

        ctx->prefix = lcf->prefix;
    }

    if (ngx_http_cw_identity_add(r, ctx, lcf) != NGX_OK) {
        return ngx_http_cw_refuse(r, CW_INTERNAL);
    }

    return NGX_OK;
}
