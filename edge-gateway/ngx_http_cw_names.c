
/*
 * Knows the names that speak for the gateway, however they are spelled.
 */


#include "ngx_http_cw_module.h"


static ngx_uint_t ngx_http_cw_names_listed(ngx_table_elt_t *h,
    ngx_array_t *names);


/* whether a header speaks for the gateway, in whatever spelling */

ngx_uint_t
ngx_http_cw_names_ours(ngx_http_request_t *r, ngx_table_elt_t *h)
{
    ngx_http_cw_main_conf_t  *mcf;

    switch (h->lowcase_key[0]) {

    case 'x':
        if (ngx_http_cw_names_begin(h, "x-auth-")
            || ngx_http_cw_names_begin(h, "x-forwarded-")
            || ngx_http_cw_names_equal(h, "x-request-id")
            || ngx_http_cw_names_equal(h, "x-real-ip")
            || ngx_http_cw_names_equal(h, "x-original-url")
            || ngx_http_cw_names_equal(h, "x-rewrite-url"))
        {
            return 1;
        }

        break;

    case 't':
        if (ngx_http_cw_names_equal(h, "traceparent")
            || ngx_http_cw_names_equal(h, "tracestate"))
        {
            return 1;
        }

        break;

    case 'f':
        if (ngx_http_cw_names_equal(h, "forwarded")) {
            return 1;
        }

        break;

    case 'a':
        if (ngx_http_cw_names_equal(h, "authorization")) {
            return 1;
        }

        break;

    case 'p':
        if (ngx_http_cw_names_equal(h, "proxy-authorization")) {
            return 1;
        }

        break;

    case 'u':

        /* h2c would give the client a connection of its own behind the
         * gateway */

        if (ngx_http_cw_names_equal(h, "upgrade")
            && (h->value.len != 9
                || ngx_strncasecmp(h->value.data, (u_char *) "websocket", 9)
                   != 0))
        {
            return 1;
        }

        break;

    case 'h':
        if (ngx_http_cw_names_equal(h, "http2-settings")) {
            return 1;
        }

        break;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);

    return ngx_http_cw_names_listed(h, &mcf->claim_names)
           || ngx_http_cw_names_listed(h, &mcf->token_names);
}


static ngx_uint_t
ngx_http_cw_names_listed(ngx_table_elt_t *h, ngx_array_t *names)
{
    ngx_str_t   *name;
    ngx_uint_t   i;

    name = names->elts;

    for (i = 0; i < names->nelts; i++) {
        if (ngx_http_cw_names_is(h, (char *) name[i].data, name[i].len, 0)) {
            return 1;
        }
    }

    return 0;
}


/* CGI and its heirs read "_" and "." as "-" (RFC 3875 §4.1.18) */

ngx_uint_t
ngx_http_cw_names_is(ngx_table_elt_t *h, const char *name, size_t len,
    ngx_uint_t prefix)
{
    u_char  c;
    size_t  i;

    if (h->key.len < len || (!prefix && h->key.len != len)) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        c = h->lowcase_key[i];

        if (c == '_' || c == '.') {
            c = '-';
        }

        if (c != (u_char) name[i]) {
            return 0;
        }
    }

    return 1;
}
