
/*
 * How many requests may be repeated: a share of those of the last seconds, and
 * a few each second however little there is to do.  So a broken application
 * is not broken further by repetitions.  Pure, as ngx_http_cw_pick.h is.
 */


#ifndef _NGX_HTTP_CW_BUDGET_H_INCLUDED_
#define _NGX_HTTP_CW_BUDGET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CW_BUDGET_SECONDS  10


typedef struct {
    uint64_t                     second;
    uint32_t                     requests;
    uint32_t                     retries;
} ngx_http_cw_budget_second_t;


/* zero-filled is an empty one */

typedef struct {
    ngx_http_cw_budget_second_t  seconds[NGX_HTTP_CW_BUDGET_SECONDS];
} ngx_http_cw_budget_t;


/* what is allowed */

typedef struct {
    ngx_uint_t                   unlimited;
    ngx_uint_t                   percent;    /* of requests */
    ngx_uint_t                   min;        /* a second */
} ngx_http_cw_budget_conf_t;


/* now: milliseconds, monotonic */
void ngx_http_cw_budget_request(ngx_http_cw_budget_t *budget, ngx_msec_t now);
void ngx_http_cw_budget_retry(ngx_http_cw_budget_t *budget, ngx_msec_t now);
/* 1: one more retry is within the budget */
ngx_uint_t ngx_http_cw_budget_allows(ngx_http_cw_budget_t *budget,
    ngx_http_cw_budget_conf_t *conf, ngx_msec_t now);


#endif /* _NGX_HTTP_CW_BUDGET_H_INCLUDED_ */
