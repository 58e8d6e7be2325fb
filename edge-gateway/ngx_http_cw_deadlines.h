
/*
 * What must happen by a time of its own: a queue for each length of time, so
 * that whatever is asked for the same time stands in order and comes and goes
 * in constant time.  One timer then serves all: nginx's tree of timers is not
 * changed by each request.
 */


#ifndef _NGX_HTTP_CW_DEADLINES_H_INCLUDED_
#define _NGX_HTTP_CW_DEADLINES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct ngx_http_cw_deadline_length_s  ngx_http_cw_deadline_length_t;


/* zeroed: none yet */

typedef struct {
    ngx_http_cw_deadline_length_t  *lengths;
} ngx_http_cw_deadlines_t;


/* part of what waits */

typedef struct {
    ngx_queue_t                     queue;
    ngx_msec_t                      at;
} ngx_http_cw_deadline_t;


/* all deadlines are gone from it */
void ngx_http_cw_deadlines_done(ngx_http_cw_deadlines_t *deadlines);

/* at = now + timeout, both in milliseconds; now never goes back.  NGX_ERROR
 * without memory, of which each timeout that was ever seen takes 32 bytes */
ngx_int_t ngx_http_cw_deadlines_add(ngx_http_cw_deadlines_t *deadlines,
    ngx_http_cw_deadline_t *deadline, ngx_msec_t now, ngx_msec_t timeout);
void ngx_http_cw_deadlines_remove(ngx_http_cw_deadline_t *deadline);

/* one whose time is next, NULL: there is none.  It stays where it is */
ngx_http_cw_deadline_t *ngx_http_cw_deadlines_next(
    ngx_http_cw_deadlines_t *deadlines);


#endif /* _NGX_HTTP_CW_DEADLINES_H_INCLUDED_ */
