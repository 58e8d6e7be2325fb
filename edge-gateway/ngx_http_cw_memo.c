
/*
 * Keeps a connection's last token with its digest, and its last host with its
 * domain.
 */


#include "ngx_http_cw_memo.h"
#include "ngx_http_cw_text.h"


/* bytes: beyond them nothing is kept */
#define NGX_HTTP_CW_MEMO_TOKEN  2048
#define NGX_HTTP_CW_MEMO_HOST   64


struct ngx_http_cw_memo_s {
    ngx_str_t   token;
    size_t      size;                /* of token.data */
    u_char      digest[NGX_HTTP_CW_DIGEST_LEN];

    ngx_str_t   host;
    ngx_str_t   domain;
    u_char      host_data[NGX_HTTP_CW_MEMO_HOST];
    u_char      domain_data[NGX_HTTP_CW_MEMO_HOST];
};


static ngx_http_cw_memo_t *ngx_http_cw_memo_create(ngx_connection_t *c);
static void ngx_http_cw_memo_cleanup(void *data);
static void ngx_http_cw_memo_keep_host(ngx_http_cw_memo_t *memo,
    ngx_str_t *host, ngx_str_t *domain);
static void ngx_http_cw_memo_keep_token(ngx_http_cw_memo_t *memo,
    ngx_str_t *token, u_char *digest, ngx_log_t *log);
static void ngx_http_cw_memo_forget(ngx_http_cw_memo_t *memo);


ngx_http_cw_memo_t *
ngx_http_cw_memo_find(ngx_connection_t *c)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = c->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_cw_memo_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


void
ngx_http_cw_memo_keep(ngx_connection_t *c, ngx_str_t *host,
    ngx_str_t *domain, ngx_str_t *token, u_char *digest)
{
    ngx_http_cw_memo_t  *memo;

    memo = ngx_http_cw_memo_find(c);

    if (memo == NULL) {
        memo = ngx_http_cw_memo_create(c);
        if (memo == NULL) {
            return;
        }
    }

    ngx_http_cw_memo_keep_host(memo, host, domain);
    ngx_http_cw_memo_keep_token(memo, token, digest, c->log);
}


u_char *
ngx_http_cw_memo_digest(ngx_http_cw_memo_t *memo, ngx_str_t *token)
{
    /* in constant time: who shares the connection learns nothing of a token
     * that is not his */

    if (memo->token.len == 0 || memo->token.len != token->len
        || !ngx_http_cw_text_same(memo->token.data, token->data, token->len))
    {
        return NULL;
    }

    return memo->digest;
}


ngx_str_t *
ngx_http_cw_memo_domain(ngx_http_cw_memo_t *memo, ngx_str_t *host)
{
    if (memo->host.len == 0 || memo->host.len != host->len
        || ngx_memcmp(memo->host.data, host->data, host->len) != 0)
    {
        return NULL;
    }

    return &memo->domain;
}


static ngx_http_cw_memo_t *
ngx_http_cw_memo_create(ngx_connection_t *c)
{
    ngx_pool_cleanup_t  *cln;
    ngx_http_cw_memo_t  *memo;

    memo = ngx_pcalloc(c->pool, sizeof(ngx_http_cw_memo_t));
    if (memo == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(c->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_cw_memo_cleanup;
    cln->data = memo;

    memo->host.data = memo->host_data;
    memo->domain.data = memo->domain_data;

    return memo;
}


static void
ngx_http_cw_memo_cleanup(void *data)
{
    ngx_http_cw_memo_t *memo = data;

    ngx_http_cw_memo_forget(memo);

    if (memo->token.data) {
        ngx_free(memo->token.data);
    }
}


static void
ngx_http_cw_memo_keep_host(ngx_http_cw_memo_t *memo, ngx_str_t *host,
    ngx_str_t *domain)
{
    if (ngx_http_cw_memo_domain(memo, host)
        || host->len > NGX_HTTP_CW_MEMO_HOST
        || domain->len > NGX_HTTP_CW_MEMO_HOST)
    {
        return;
    }

    ngx_memcpy(memo->host.data, host->data, host->len);
    memo->host.len = host->len;

    ngx_memcpy(memo->domain.data, domain->data, domain->len);
    memo->domain.len = domain->len;
}


static void
ngx_http_cw_memo_keep_token(ngx_http_cw_memo_t *memo, ngx_str_t *token,
    u_char *digest, ngx_log_t *log)
{
    if (ngx_http_cw_memo_digest(memo, token)) {
        return;
    }

    ngx_http_cw_memo_forget(memo);

    if (token->len > NGX_HTTP_CW_MEMO_TOKEN) {
        return;
    }

    if (memo->size < token->len) {

        if (memo->token.data) {
            ngx_free(memo->token.data);
        }

        memo->size = 0;

        memo->token.data = ngx_alloc(token->len, log);
        if (memo->token.data == NULL) {
            return;
        }

        memo->size = token->len;
    }

    ngx_memcpy(memo->token.data, token->data, token->len);
    ngx_memcpy(memo->digest, digest, NGX_HTTP_CW_DIGEST_LEN);
    memo->token.len = token->len;
}


static void
ngx_http_cw_memo_forget(ngx_http_cw_memo_t *memo)
{
    if (memo->token.data) {
        ngx_explicit_memzero(memo->token.data, memo->token.len);
    }

    memo->token.len = 0;
}
