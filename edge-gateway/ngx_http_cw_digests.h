
/*
 * A worker's memory of tokens that the sidecar allowed on this connection, by
 * SHA-256: such a token is named by its digest.  Bounded; no verdict is kept.
 */


#ifndef _NGX_HTTP_CW_DIGESTS_H_INCLUDED_
#define _NGX_HTTP_CW_DIGESTS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CW_DIGEST_LEN  32       /* SHA-256 */


typedef struct ngx_http_cw_digests_s  ngx_http_cw_digests_t;


/* room for about n digests of 32 bytes, n >= 4; NULL without memory */
ngx_http_cw_digests_t *ngx_http_cw_digests_create(ngx_uint_t n);
void ngx_http_cw_digests_destroy(ngx_http_cw_digests_t *digests);

ngx_uint_t ngx_http_cw_digests_has(ngx_http_cw_digests_t *digests,
    u_char *digest);
void ngx_http_cw_digests_add(ngx_http_cw_digests_t *digests, u_char *digest);
void ngx_http_cw_digests_remove(ngx_http_cw_digests_t *digests,
    u_char *digest);
void ngx_http_cw_digests_clear(ngx_http_cw_digests_t *digests);


#endif /* _NGX_HTTP_CW_DIGESTS_H_INCLUDED_ */
