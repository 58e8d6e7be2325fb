
/*
 * What a result of the sidecar means for who asked.
 */


#ifndef _NGX_HTTP_CW_ANSWER_H_INCLUDED_
#define _NGX_HTTP_CW_ANSWER_H_INCLUDED_


#include "ngx_http_cw_batch.h"
#include "ngx_http_cw_result.h"


/* fills the answer of ask, its strings in its pool.  NGX_OK; NGX_AGAIN: the
 * digest is not known; NGX_ERROR: no such result can be */
ngx_int_t ngx_http_cw_answer_read(ngx_http_cw_ask_t *ask,
    ngx_http_cw_result_t *result);

/* fills it with an error of the gateway's own */
void ngx_http_cw_answer_fail(ngx_http_cw_ask_t *ask, enum cw_err err);


#endif /* _NGX_HTTP_CW_ANSWER_H_INCLUDED_ */
