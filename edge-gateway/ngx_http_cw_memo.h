
/*
 * What a connection said last, and what that came to: clients say the same
 * host and show the same token in one request after the other.  The very same
 * bytes need no second look: they are a token's, and this is their digest.
 * No verdict is kept.  Bounded, wiped at the end of the connection.
 */


#ifndef _NGX_HTTP_CW_MEMO_H_INCLUDED_
#define _NGX_HTTP_CW_MEMO_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_cw_digests.h"


typedef struct ngx_http_cw_memo_s  ngx_http_cw_memo_t;


/* the connection's, NULL: there is none yet.  It lives as long as c->pool; in
 * HTTP/2 the requests of a connection share it */
ngx_http_cw_memo_t *ngx_http_cw_memo_find(ngx_connection_t *c);

/* of an allow; what is too large, or finds no memory, is not kept */
void ngx_http_cw_memo_keep(ngx_connection_t *c, ngx_str_t *host,
    ngx_str_t *domain, ngx_str_t *token, u_char *digest);

/* the digest of that token, NULL: it is another one.  Until the next keep */
u_char *ngx_http_cw_memo_digest(ngx_http_cw_memo_t *memo, ngx_str_t *token);

/* the domain that the host stands for, NULL: it is another one.  Until the
 * next keep */
ngx_str_t *ngx_http_cw_memo_domain(ngx_http_cw_memo_t *memo,
    ngx_str_t *host);


#endif /* _NGX_HTTP_CW_MEMO_H_INCLUDED_ */
