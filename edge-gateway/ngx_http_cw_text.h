
/*
 * What bytes a value consists of, looked at sixteen at a time, without a
 * branch for any: every request has a token and a dozen headers.
 */


#ifndef _NGX_HTTP_CW_TEXT_H_INCLUDED_
#define _NGX_HTTP_CW_TEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* no control character (below 0x20, 0x7f): it may be a header's value, RFC
 * 9110 §5.5 */
ngx_uint_t ngx_http_cw_text_clean(ngx_str_t *s);

/* whether n bytes are the same, in a time that depends on n only */
ngx_uint_t ngx_http_cw_text_same(u_char *a, u_char *b, size_t n);

/* b64token of RFC 6750 §2.1: 1*( ALPHA / DIGIT / "-._~+/" ) *"=" */
ngx_uint_t ngx_http_cw_text_b64token(ngx_str_t *s);


#endif /* _NGX_HTTP_CW_TEXT_H_INCLUDED_ */
