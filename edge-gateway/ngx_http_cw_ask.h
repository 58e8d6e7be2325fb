
/*
 * Between the batch's two halves: the stream with its messages (batch) and
 * the questions that travel in them (ask).  Nobody else includes this.
 */


#ifndef _NGX_HTTP_CW_ASK_H_INCLUDED_
#define _NGX_HTTP_CW_ASK_H_INCLUDED_


#include "ngx_http_cw_batch.h"
#include "ngx_http_cw_result.h"
#include "ngx_http_cw_slots.h"

#include <openssl/evp.h>


struct ngx_http_cw_batch_s {
    ngx_http_cw_link_t       *link;
    ngx_http_cw_link_user_t   user;
    ngx_http_cw_call_t       *call;          /* NULL: no stream */
    ngx_log_t                *log;

    ngx_queue_t               pending;
    ngx_queue_t               in_flight;
    ngx_queue_t               done;
    ngx_event_t               event;

    ngx_http_cw_slots_t       slots;         /* in flight, by their ids */
    ngx_uint_t                open;

    ngx_http_cw_deadlines_t   deadlines;     /* pending and in flight */
    ngx_event_t               timer;         /* the next of them, or before */

    EVP_MD_CTX               *md;
    ngx_http_cw_digests_t    *digests;

    ngx_uint_t                gathered;      /* since the last message */
    ngx_uint_t                turns;         /* that they have waited for */

    unsigned                  busy:1;        /* this turn brought something */
    unsigned                  late:1;        /* a deadline has passed in
                                              * silence */
    u_char                    defined[65536 / 8];  /* rules, on this stream */
};


/* one that was not decided is asked once more, before those that were never
 * sent */
void ngx_http_cw_ask_again(ngx_http_cw_ask_t *ask);
/* takes an answer; NGX_ERROR: it cannot be one */
ngx_int_t ngx_http_cw_ask_answer(ngx_http_cw_ask_t *ask,
    ngx_http_cw_result_t *result);
/* the next deadline has come; of batch->timer */
void ngx_http_cw_ask_timer_handler(ngx_event_t *ev);
/* continues the requests whose questions are done */
void ngx_http_cw_ask_tell(ngx_http_cw_batch_t *batch);


#endif /* _NGX_HTTP_CW_ASK_H_INCLUDED_ */
