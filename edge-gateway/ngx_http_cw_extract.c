
/*
 * Takes from a request what its verdict depends on: the domain, one bearer
 * token, and a path that everybody reads in the same way.
 */


#include "ngx_http_cw_module.h"
#include "ngx_http_cw_text.h"
#include "common/base/domain.h"


static enum cw_err ngx_http_cw_extract_host(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static enum cw_err ngx_http_cw_extract_copy(ngx_http_request_t *r,
    ngx_str_t *to, ngx_str_t *from);
static ngx_int_t ngx_http_cw_path_byte(u_char *p, u_char *last);
static enum cw_err ngx_http_cw_extract_bearer(ngx_http_cw_ctx_t *ctx);
static enum cw_err ngx_http_cw_extract_kept(ngx_http_cw_ctx_t *ctx,
    ngx_str_t *name);
static enum cw_err ngx_http_cw_check_token(ngx_http_cw_ctx_t *ctx);


enum cw_err
ngx_http_cw_extract_domain(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    ngx_str_t  *known;

    if (ctx->domain.data) {
        return CW_OK;
    }

    known = ctx->memo ? ngx_http_cw_memo_domain(ctx->memo,
                                                ngx_http_cw_extract_named(r))
                      : NULL;

    return known ? ngx_http_cw_extract_copy(r, &ctx->domain, known)
                 : ngx_http_cw_extract_host(r, ctx);
}


/*
 * Host or :authority as the service is told it, never SNI, never a header that
 * a proxy would have added: nginx's own cut of it takes anything behind the
 * colon, and others may read that.
 */

ngx_str_t *
ngx_http_cw_extract_named(ngx_http_request_t *r)
{
    return r->headers_in.host ? &r->headers_in.host->value
                              : &r->headers_in.server;
}


static enum cw_err
ngx_http_cw_extract_host(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    char           name[CW_DOMAIN_MAX + 1];
    ngx_str_t      domain, *named;
    struct cw_str  host;

    named = ngx_http_cw_extract_named(r);

    host.p = (char *) named->data;
    host.n = named->len;

    if (cw_domain_normalize(host, name) != CW_OK) {
        return CW_TENANT_UNKNOWN;
    }

    domain.data = (u_char *) name;
    domain.len = ngx_strlen(name);

    return ngx_http_cw_extract_copy(r, &ctx->domain, &domain);
}


static enum cw_err
ngx_http_cw_extract_copy(ngx_http_request_t *r, ngx_str_t *to, ngx_str_t *from)
{
    to->data = ngx_pnalloc(r->pool, from->len);
    if (to->data == NULL) {
        return CW_NO_MEMORY;
    }

    ngx_memcpy(to->data, from->data, from->len);
    to->len = from->len;

    return CW_OK;
}


/*
 * The location was chosen by the decoded path, the service may get the raw
 * one: what the two could read differently is refused (RFC 3986 §6).
 */

enum cw_err
ngx_http_cw_extract_path(ngx_http_request_t *r)
{
    u_char         *p, *last;
    ngx_int_t       n;
    ngx_uint_t      high;
    struct cw_str   uri;

    high = 0;
    p = r->unparsed_uri.data;
    last = p + r->unparsed_uri.len;

    for ( /* void */ ; p < last && *p != '?'; p++) {

        switch (*p) {

        case '/':

            if (p + 1 < last && p[1] == '/') {
                return CW_PATH_AMBIGUOUS;
            }

            /* "/.", "/..", and either before a slash or the arguments */

            if (p + 1 < last && p[1] == '.') {
                n = (p + 2 < last && p[2] == '.') ? 3 : 2;

                if (p + n == last || p[n] == '/' || p[n] == '?') {
                    return CW_PATH_AMBIGUOUS;
                }
            }

            break;

        case ';':
        case '\\':
        case '#':
            return CW_PATH_AMBIGUOUS;

        case '%':

            n = ngx_http_cw_path_byte(p, last);

            if (n < 0x20 || n == 0x7f || n == '/' || n == '\\' || n == ';'
                || n == '.')
            {
                return CW_PATH_AMBIGUOUS;
            }

            /* what is encoded twice may be decoded twice */

            if (n == '%' && p + 5 <= last
                && ((p[3] == '2' && ngx_strchr("5eEfF", p[4]))
                    || (p[3] == '5' && (p[4] | 0x20) == 'c')
                    || (p[3] == '3' && (p[4] | 0x20) == 'b')
                    || (p[3] == '0' && p[4] == '0')))
            {
                return CW_PATH_AMBIGUOUS;
            }

            high |= (n & 0x80);
            break;

        default:
            high |= (*p & 0x80);
        }
    }

    /* overlong forms of '/' and '.' are not UTF-8 */

    if (high) {
        uri.p = (char *) r->uri.data;
        uri.n = r->uri.len;

        if (!cw_str_is_utf8(uri)) {
            return CW_PATH_AMBIGUOUS;
        }
    }

    return CW_OK;
}


/* the byte that "%XX" stands for, -1 when it is no such thing */

static ngx_int_t
ngx_http_cw_path_byte(u_char *p, u_char *last)
{
    if (last - p < 3) {
        return -1;
    }

    return ngx_hextoi(p + 1, 2);
}


/*
 * One token from the one place that the location names.  Query and form are
 * never looked at (RFC 9700 §4.3.2).
 */

enum cw_err
ngx_http_cw_extract_token(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    enum cw_err  err;

    ngx_str_null(&ctx->token);
    ctx->digest = NULL;

    if (lcf->token_cookie.len) {
        err = ngx_http_cw_extract_kept(ctx, &lcf->token_cookie);

    } else if (lcf->token_header.len
               && ngx_strcmp(lcf->token_header.data, "authorization") != 0)
    {
        err = ngx_http_cw_extract_kept(ctx, &lcf->token_header);

    } else {
        return ngx_http_cw_extract_bearer(ctx);
    }

    /* RFC 6750 §2: one method a request */

    if (err == CW_OK && ctx->authorization.len >= 7
        && ngx_strncasecmp(ctx->authorization.data, (u_char *) "bearer ", 7)
           == 0)
    {
        return CW_TOKEN_MULTIPLE;
    }

    return err;
}


/* RFC 6750 §2.1: "Bearer" 1*SP b64token; RFC 9110 §11.1: any case */

static enum cw_err
ngx_http_cw_extract_bearer(ngx_http_cw_ctx_t *ctx)
{
    u_char       *p, *last;
    enum cw_err   err;

    if (ctx->authorizations == 0) {
        return CW_TOKEN_MISSING;
    }

    if (ctx->authorizations > 1) {
        return CW_TOKEN_MULTIPLE;
    }

    p = ctx->authorization.data;
    last = p + ctx->authorization.len;

    if (last - p < 6 || ngx_strncasecmp(p, (u_char *) "bearer", 6) != 0) {
        return CW_TOKEN_MISSING;
    }

    p += 6;

    if (p == last) {
        return CW_AUTHORIZATION_MALFORMED;
    }

    if (*p != ' ') {

        /* another scheme, or "Bearer" and something that is no space */

        return ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'))
               ? CW_TOKEN_MISSING : CW_AUTHORIZATION_MALFORMED;
    }

    while (p < last && *p == ' ') {
        p++;
    }

    ctx->token.data = p;
    ctx->token.len = last - p;

    err = ngx_http_cw_check_token(ctx);
    ctx->bearer = (err == CW_OK);

    return err;
}


/* the header or cookie of that name, which the headers kept aside */

static enum cw_err
ngx_http_cw_extract_kept(ngx_http_cw_ctx_t *ctx, ngx_str_t *name)
{
    ngx_uint_t     i, found;
    ngx_keyval_t  *kept;

    if (ctx->tokens == NULL) {
        return CW_TOKEN_MISSING;
    }

    found = 0;
    kept = ctx->tokens->elts;

    for (i = 0; i < ctx->tokens->nelts; i++) {
        if (kept[i].key.len == name->len
            && ngx_strncmp(kept[i].key.data, name->data, name->len) == 0)
        {
            ctx->token = kept[i].value;
            found++;
        }
    }

    if (found > 1) {
        return CW_TOKEN_MULTIPLE;
    }

    return found ? ngx_http_cw_check_token(ctx) : CW_TOKEN_MISSING;
}


static enum cw_err
ngx_http_cw_check_token(ngx_http_cw_ctx_t *ctx)
{
    if (ctx->token.len == 0) {
        return CW_AUTHORIZATION_MALFORMED;
    }

    if (ctx->token.len > NGX_HTTP_CW_TOKEN_MAX) {
        return CW_TOKEN_TOO_LARGE;
    }

    if (ctx->memo) {
        ctx->digest = ngx_http_cw_memo_digest(ctx->memo, &ctx->token);

        if (ctx->digest) {
            return CW_OK;
        }
    }

    return ngx_http_cw_text_b64token(&ctx->token) ? CW_OK
                                                  : CW_AUTHORIZATION_MALFORMED;
}
