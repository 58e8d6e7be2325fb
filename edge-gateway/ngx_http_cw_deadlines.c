
/*
 * Keeps deadlines in order.  nginx's clock may wrap: times are compared by
 * their difference, as its timers are.
 */


#include "ngx_http_cw_deadlines.h"


struct ngx_http_cw_deadline_length_s {
    ngx_queue_t                     queue;
    ngx_msec_t                      timeout;
    ngx_http_cw_deadline_length_t  *next;
};


static ngx_http_cw_deadline_length_t *ngx_http_cw_deadlines_length(
    ngx_http_cw_deadlines_t *deadlines, ngx_msec_t timeout);


void
ngx_http_cw_deadlines_done(ngx_http_cw_deadlines_t *deadlines)
{
    ngx_http_cw_deadline_length_t  *length;

    while (deadlines->lengths) {
        length = deadlines->lengths;
        deadlines->lengths = length->next;
        free(length);
    }
}


ngx_int_t
ngx_http_cw_deadlines_add(ngx_http_cw_deadlines_t *deadlines,
    ngx_http_cw_deadline_t *deadline, ngx_msec_t now, ngx_msec_t timeout)
{
    ngx_http_cw_deadline_length_t  *length;

    length = ngx_http_cw_deadlines_length(deadlines, timeout);

    if (length == NULL) {
        return NGX_ERROR;
    }

    deadline->at = now + timeout;
    ngx_queue_insert_tail(&length->queue, &deadline->queue);

    return NGX_OK;
}


void
ngx_http_cw_deadlines_remove(ngx_http_cw_deadline_t *deadline)
{
    ngx_queue_remove(&deadline->queue);
}


ngx_http_cw_deadline_t *
ngx_http_cw_deadlines_next(ngx_http_cw_deadlines_t *deadlines)
{
    ngx_queue_t                    *q;
    ngx_http_cw_deadline_t         *first, *next;
    ngx_http_cw_deadline_length_t  *length;

    next = NULL;

    for (length = deadlines->lengths; length; length = length->next) {

        if (ngx_queue_empty(&length->queue)) {
            continue;
        }

        q = ngx_queue_head(&length->queue);
        first = ngx_queue_data(q, ngx_http_cw_deadline_t, queue);

        if (next == NULL || (ngx_msec_int_t) (first->at - next->at) < 0) {
            next = first;
        }
    }

    return next;
}


/* a configuration has few */

static ngx_http_cw_deadline_length_t *
ngx_http_cw_deadlines_length(ngx_http_cw_deadlines_t *deadlines,
    ngx_msec_t timeout)
{
    ngx_http_cw_deadline_length_t  *length;

    for (length = deadlines->lengths; length; length = length->next) {
        if (length->timeout == timeout) {
            return length;
        }
    }

    length = malloc(sizeof(ngx_http_cw_deadline_length_t));
    if (length == NULL) {
        return NULL;
    }

    ngx_queue_init(&length->queue);
    length->timeout = timeout;
    length->next = deadlines->lengths;
    deadlines->lengths = length;

    return length;
}
