
/*
 * Counters in a shared zone, one slot a worker.  A worker that dies leaves its
 * slot to its successor, so a sum over the slots never falls.
 */


#ifndef _NGX_HTTP_CW_METRICS_H_INCLUDED_
#define _NGX_HTTP_CW_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef enum {
    NGX_HTTP_CW_COUNT_ALLOWED = 0,
    NGX_HTTP_CW_COUNT_UNAUTHENTICATED,
    NGX_HTTP_CW_COUNT_FORBIDDEN,
    NGX_HTTP_CW_COUNT_UNDECIDED,
    NGX_HTTP_CW_COUNT_ANONYMOUS,
    NGX_HTTP_CW_COUNT_CACHED,
    NGX_HTTP_CW_COUNT_DIGEST_SENT,
    NGX_HTTP_CW_COUNT_DIGEST_UNKNOWN,
    NGX_HTTP_CW_COUNT_TOKEN_SENT,
    NGX_HTTP_CW_COUNT_BATCHES,
    NGX_HTTP_CW_COUNT_RESENT,
    NGX_HTTP_CW_COUNT_LINK_UP,
    NGX_HTTP_CW_COUNT_LINK_DOWN,
    NGX_HTTP_CW_COUNT_PICK_ROUND_ROBIN,      /* in the order of … */
    NGX_HTTP_CW_COUNT_PICK_LEAST_CONN,       /* … NGX_HTTP_CW_PICK_ */
    NGX_HTTP_CW_COUNT_PICK_HASH,
    NGX_HTTP_CW_COUNT_PICK_SPILL,
    NGX_HTTP_CW_COUNT_PICK_PANIC,
    NGX_HTTP_CW_COUNT_MARKED,
    NGX_HTTP_CW_COUNT_RETRIES,
    NGX_HTTP_CW_COUNT_OVER_BUDGET,
    NGX_HTTP_CW_COUNT_ORIGIN_ALLOWED,
    NGX_HTTP_CW_COUNT_ORIGIN_REFUSED,
    NGX_HTTP_CW_COUNTERS
} ngx_http_cw_counter_e;


void ngx_http_cw_count(ngx_uint_t counter);
/* a refusal by its enum cw_err */
void ngx_http_cw_count_refusal(ngx_uint_t err);
/* an answer to a client by its status */
void ngx_http_cw_count_response(ngx_uint_t status);
/* how long a question took */
void ngx_http_cw_count_validation(ngx_uint_t microseconds);

ngx_int_t ngx_http_cw_metrics_init(ngx_conf_t *cf, ngx_shm_zone_t **zone);
/* this worker's slot; before it nothing is counted */
void ngx_http_cw_metrics_start(ngx_shm_zone_t *zone);

char *ngx_http_cw_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* _NGX_HTTP_CW_METRICS_H_INCLUDED_ */
