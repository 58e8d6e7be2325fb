
/*
 * The headers that cw_claim_header names: claims of the token, as their
 * readers expect them.
 */


#include "ngx_http_cw_module.h"


static ngx_int_t ngx_http_cw_claims_unquote(ngx_http_request_t *r,
    ngx_str_t *value);


/* a string claim goes without its quotes, everything else as JSON */

ngx_int_t
ngx_http_cw_claims_add(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_http_cw_loc_conf_t *lcf)
{
    ngx_int_t                    rc;
    ngx_str_t                    value;
    ngx_uint_t                   i;
    ngx_http_cw_claim_header_t  *claim;

    if (lcf->claims == NULL) {
        return NGX_OK;
    }

    claim = lcf->claims->elts;

    for (i = 0; i < lcf->claims->nelts; i++) {

        rc = ngx_http_cw_who_claim(&ctx->identity, &claim[i].claim, &value);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            continue;
        }

        if (value.len >= 2 && value.data[0] == '"'
            && ngx_http_cw_claims_unquote(r, &value) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ngx_http_cw_identity_header(r, &claim[i].header, &claim[i].lowcase,
                                        claim[i].hash, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * A JSON string as the sidecar writes it: escaped are quotes, backslashes and
 * control characters.  One with the latter stays JSON, or it would end its
 * line.
 */

static ngx_int_t
ngx_http_cw_claims_unquote(ngx_http_request_t *r, ngx_str_t *value)
{
    u_char     *p, *src, *end;
    ngx_str_t   plain;

    src = value->data + 1;
    end = value->data + value->len - 1;

    if (ngx_strlchr(src, end, '\\') == NULL) {
        value->data = src;
        value->len -= 2;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, value->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    plain.data = p;

    while (src < end) {

        if (*src == '\\') {

            if (++src == end || (*src != '"' && *src != '\\')) {
                return NGX_OK;
            }
        }

        *p++ = *src++;
    }

    plain.len = p - plain.data;
    *value = plain;

    return NGX_OK;
}
