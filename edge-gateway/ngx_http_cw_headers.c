
/*
 * What the client sent under names that speak for the gateway is taken away
 * from every request, before anything has looked at it.
 */


#include "ngx_http_cw_module.h"


static ngx_int_t ngx_http_cw_headers_authority(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
static ngx_int_t ngx_http_cw_headers_note(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_table_elt_t *h);
static ngx_int_t ngx_http_cw_headers_keep(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_str_t *name, u_char *p, u_char *last);
static ngx_int_t ngx_http_cw_headers_cookie(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_table_elt_t *h);
static ngx_int_t ngx_http_cw_headers_remove(ngx_http_request_t *r,
    ngx_list_part_t *prev, ngx_list_part_t *part, ngx_uint_t i);
static ngx_int_t ngx_http_cw_headers_connection(ngx_http_request_t *r,
    ngx_table_elt_t *h);


ngx_int_t
ngx_http_cw_headers_clean(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    ngx_uint_t                i;
    ngx_list_part_t          *part, *prev;
    ngx_table_elt_t          *h;
    ngx_http_cw_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);

    ctx->cleaned = 1;
    ctx->peer = r->connection->addr_text;

    if (mcf->trusted
        && ngx_cidr_match(r->connection->sockaddr, mcf->trusted) == NGX_OK)
    {
        ctx->trusted = 1;
    }

    /* a request of HTTP/0.9 has no headers, and nginx has made no list, to
     * which ours could be added */

    if (r->headers_in.headers.part.elts == NULL
        && ngx_list_init(&r->headers_in.headers, r->pool, 20,
                         sizeof(ngx_table_elt_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    prev = NULL;
    part = &r->headers_in.headers.part;
    i = 0;

    for ( ;; ) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            prev = part;
            part = part->next;
            i = 0;
            continue;
        }

        h = part->elts;

        if (!ngx_http_cw_names_ours(r, &h[i])) {

            if (ngx_http_cw_names_equal(&h[i], "connection")
                && ngx_http_cw_headers_connection(r, &h[i]) != NGX_OK)
            {
                return NGX_ERROR;
            }

            if (mcf->cookie_names.nelts == 0
                || !ngx_http_cw_names_equal(&h[i], "cookie"))
            {
                i++;
                continue;
            }

            if (ngx_http_cw_headers_cookie(r, ctx, &h[i]) != NGX_OK) {
                return NGX_ERROR;
            }

            if (h[i].value.len) {
                i++;
                continue;
            }

            /* nothing else was in it */

        } else if (ngx_http_cw_headers_note(r, ctx, &h[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        /* what came after is now at i, or in the part that follows */

        if (ngx_http_cw_headers_remove(r, prev, part, i) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (!ctx->trusted) {
        r->headers_in.x_forwarded_for.nelts = 0;
    }

    return ngx_http_cw_headers_authority(r, ctx);
}


/*
 * RFC 9112 section 3.2.2: the host of an absolute request target counts, and
 * Host is replaced by it.  The verdict is about that host; a service that was
 * told another one would serve another tenant.
 */

static ngx_int_t
ngx_http_cw_headers_authority(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx)
{
    u_char     *last;
    ngx_str_t   value;

    if (r->host_start == NULL || r->host_end == NULL) {
        return NGX_OK;
    }

    /*
     * r->port_end is of no use: nginx does not move it along with a request
     * line that has outgrown its buffer.  The parser has seen to it that
     * something else follows the digits.
     */

    last = r->host_end;

    if (*last == ':') {
        do {
            last++;
        } while (*last >= '0' && *last <= '9');
    }

    value.len = last - r->host_start;
    value.data = ngx_pnalloc(r->pool, value.len + 1);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    *ngx_cpymem(value.data, r->host_start, value.len) = '\0';

    if (r->headers_in.host) {
        r->headers_in.host->value = value;

    } else if (ctx->forwarded_host.len == 0) {
        ctx->forwarded_host = value;
    }

    return NGX_OK;
}


/* keeps what is used: the token, and a trusted proxy's words */

static ngx_int_t
ngx_http_cw_headers_note(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_table_elt_t *h)
{
    ngx_uint_t                i;
    ngx_str_t                *name;
    ngx_http_cw_main_conf_t  *mcf;

    if (ngx_http_cw_names_equal(h, "authorization")) {

        if (ctx->authorizations == 0) {
            ctx->authorization = h->value;
        }

        if (ctx->authorizations < 2) {
            ctx->authorizations++;
        }

        return NGX_OK;
    }

    if (h == r->headers_in.upgrade) {
        r->headers_in.upgrade = NULL;
        return NGX_OK;
    }

    if (ngx_http_cw_names_equal(h, "traceparent")) {
        ctx->traceparent = h->value;

    } else if (ngx_http_cw_names_equal(h, "tracestate")) {
        ctx->tracestate = h->value;

    } else if (ctx->trusted) {

        if (ngx_http_cw_names_equal(h, "x-request-id")) {
            ctx->request_id = h->value;

        } else if (ngx_http_cw_names_equal(h, "x-forwarded-for")) {
            ctx->forwarded_for = h->value;

        } else if (ngx_http_cw_names_equal(h, "x-forwarded-proto")) {
            ctx->forwarded_proto = h->value;

        } else if (ngx_http_cw_names_equal(h, "x-forwarded-host")) {
            ctx->forwarded_host = h->value;
        }
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);
    name = mcf->token_names.elts;

    for (i = 0; i < mcf->token_names.nelts; i++) {
        if (ngx_http_cw_names_is(h, (char *) name[i].data, name[i].len, 0)) {
            return ngx_http_cw_headers_keep(r, ctx, &name[i], h->value.data,
                                            h->value.data + h->value.len);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_headers_keep(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_str_t *name, u_char *p, u_char *last)
{
    ngx_keyval_t  *kept;

    if (ctx->tokens == NULL) {
        ctx->tokens = ngx_array_create(r->pool, 2, sizeof(ngx_keyval_t));
        if (ctx->tokens == NULL) {
            return NGX_ERROR;
        }
    }

    kept = ngx_array_push(ctx->tokens);
    if (kept == NULL) {
        return NGX_ERROR;
    }

    kept->key = *name;
    kept->value.data = p;
    kept->value.len = last - p;

    return NGX_OK;
}


/* takes the cookies that hold tokens out of a Cookie header */

static ngx_int_t
ngx_http_cw_headers_cookie(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx,
    ngx_table_elt_t *h)
{
    u_char                   *p, *last, *end, *to, *start;
    ngx_str_t                *name;
    ngx_uint_t                i, taken;
    ngx_http_cw_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);
    name = mcf->cookie_names.elts;

    /* each ";" may grow by a blank */

    start = ngx_pnalloc(r->pool, 2 * h->value.len + 1);
    if (start == NULL) {
        return NGX_ERROR;
    }

    taken = 0;
    to = start;
    p = h->value.data;
    last = p + h->value.len;

    while (p < last) {

        while (p < last && (*p == ' ' || *p == ';')) {
            p++;
        }

        end = ngx_strlchr(p, last, ';');

        if (end == NULL) {
            end = last;
        }

        for (i = 0; i < mcf->cookie_names.nelts; i++) {
            if ((size_t) (end - p) > name[i].len && p[name[i].len] == '='
                && ngx_strncmp(p, name[i].data, name[i].len) == 0)
            {
                break;
            }
        }

        if (i < mcf->cookie_names.nelts) {
            taken = 1;

            if (ngx_http_cw_headers_keep(r, ctx, &name[i],
                                         p + name[i].len + 1, end)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

        } else if (p < end) {

            if (to != start) {
                *to++ = ';';
                *to++ = ' ';
            }

            to = ngx_cpymem(to, p, end - p);
        }

        p = end;
    }

    if (taken) {
        *to = '\0';
        h->value.data = start;
        h->value.len = to - start;
    }

    return NGX_OK;
}


/*
 * Takes one element out of the list.  No other element moves, for nginx keeps
 * pointers to them; and no part but the first may be empty.
 */

static ngx_int_t
ngx_http_cw_headers_remove(ngx_http_request_t *r, ngx_list_part_t *prev,
    ngx_list_part_t *part, ngx_uint_t i)
{
    ngx_list_t       *list;
    ngx_list_part_t  *rest;
    ngx_table_elt_t  *h;

    list = &r->headers_in.headers;
    h = part->elts;

    if (i == 0) {
        part->elts = &h[1];
        part->nelts--;

        if (part == list->last) {
            list->nalloc--;
        }

        if (part->nelts || part->next == NULL) {

            if (part->nelts || prev == NULL) {
                return NGX_OK;
            }

            /* the last part is empty: the one before is the last and full */

            prev->next = NULL;
            list->last = prev;
            list->nalloc = prev->nelts;

            return NGX_OK;
        }

        /* an empty part in the middle: its successor takes its place */

        rest = part->next;
        *part = *rest;

        if (list->last == rest) {
            list->last = part;
        }

        return NGX_OK;
    }

    if (i == part->nelts - 1) {
        part->nelts--;
        return NGX_OK;
    }

    rest = ngx_palloc(r->pool, sizeof(ngx_list_part_t));
    if (rest == NULL) {
        return NGX_ERROR;
    }

    rest->elts = &h[i + 1];
    rest->nelts = part->nelts - i - 1;
    rest->next = part->next;

    part->nelts = i;
    part->next = rest;

    if (list->last == part) {
        list->last = rest;
        list->nalloc -= i + 1;
    }

    return NGX_OK;
}


/*
 * Connection may name headers that the next hop then drops (RFC 9110 §7.6.1):
 * only the words that nginx itself knows stay.
 */

static ngx_int_t
ngx_http_cw_headers_connection(ngx_http_request_t *r, ngx_table_elt_t *h)
{
    size_t      n;
    u_char     *p, *last, *word, *to;
    ngx_str_t  *value;
    ngx_uint_t  keep, dropped;

    value = &h->value;

    if ((value->len == 5 && ngx_strncasecmp(value->data, (u_char *) "close", 5)
                            == 0)
        || (value->len == 10
            && ngx_strncasecmp(value->data, (u_char *) "keep-alive", 10) == 0)
        || (value->len == 7
            && ngx_strncasecmp(value->data, (u_char *) "upgrade", 7) == 0))
    {
        return NGX_OK;
    }

    to = ngx_pnalloc(r->pool, value->len + 1);
    if (to == NULL) {
        return NGX_ERROR;
    }

    dropped = 0;
    n = 0;
    p = value->data;
    last = p + value->len;

    while (p < last) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        word = p;

        while (p < last && *p != ' ' && *p != '\t' && *p != ',') {
            p++;
        }

        if (p == word) {
            break;
        }

        keep = (p - word == 5
                && ngx_strncasecmp(word, (u_char *) "close", 5) == 0)
               || (p - word == 10
                   && ngx_strncasecmp(word, (u_char *) "keep-alive", 10) == 0)
               || (p - word == 7
                   && ngx_strncasecmp(word, (u_char *) "upgrade", 7) == 0);

        if (!keep) {
            dropped = 1;
            continue;
        }

        if (n) {
            to[n++] = ',';
        }

        ngx_memcpy(to + n, word, p - word);
        n += p - word;
    }

    if (dropped) {
        to[n] = '\0';
        value->data = to;
        value->len = n;
    }

    return NGX_OK;
}
