
/*
 * A question from its beginning to its end: under which digest it is asked,
 * how often, until when, and whom its answer wakes.
 */


#include "ngx_http_cw_ask.h"
#include "ngx_http_cw_answer.h"
#include "ngx_http_cw_metrics.h"

#include <time.h>


/* questions a worker has open at most */
#define NGX_HTTP_CW_ASK_OPEN   65536
#define NGX_HTTP_CW_ASK_TRIES  2


static void ngx_http_cw_ask_arm(ngx_http_cw_batch_t *batch, ngx_msec_t at);
static void ngx_http_cw_ask_leave(ngx_http_cw_batch_t *batch);
static ngx_int_t ngx_http_cw_ask_hash(ngx_http_cw_batch_t *batch,
    ngx_http_cw_ask_t *ask);
static void ngx_http_cw_ask_release(ngx_http_cw_ask_t *ask);
static void ngx_http_cw_ask_fail(ngx_http_cw_ask_t *ask, enum cw_err err);
static void ngx_http_cw_ask_done(ngx_http_cw_ask_t *ask);
static uint64_t ngx_http_cw_ask_now(void);


ngx_int_t
ngx_http_cw_ask_begin(ngx_http_cw_batch_t *batch, ngx_http_cw_ask_t *ask)
{
    if (batch->open == NGX_HTTP_CW_ASK_OPEN
        || ngx_http_cw_ask_hash(batch, ask) != NGX_OK
        || ngx_http_cw_deadlines_add(&batch->deadlines, &ask->deadline,
                                     ngx_current_msec, ask->timeout)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ask->batch = batch;
    ask->state = NGX_HTTP_CW_ASK_PENDING;
    ask->start = ngx_http_cw_ask_now();

    ngx_queue_insert_tail(&batch->pending, &ask->queue);
    batch->open++;

    ngx_http_cw_ask_arm(batch, ask->deadline.at);

    batch->gathered++;
    batch->busy = 1;

    ngx_post_event(&batch->event, &ngx_posted_events);

    return NGX_OK;
}


void
ngx_http_cw_ask_cancel(ngx_http_cw_ask_t *ask)
{
    if (ask->state == NGX_HTTP_CW_ASK_IDLE) {
        return;
    }

    ngx_http_cw_ask_release(ask);

    ngx_queue_remove(&ask->queue);
    if (ask->state != NGX_HTTP_CW_ASK_DONE) {
        ngx_http_cw_deadlines_remove(&ask->deadline);
    }

    ask->state = NGX_HTTP_CW_ASK_IDLE;
    ngx_http_cw_ask_leave(ask->batch);
}


/*
 * The timer is set for the next deadline.  It is not moved when that question
 * has its answer: it then comes for nothing, once in the time of a deadline.
 * An old worker waits for it as long as questions are open.
 */

static void
ngx_http_cw_ask_arm(ngx_http_cw_batch_t *batch, ngx_msec_t at)
{
    batch->timer.cancelable = 0;

    if (batch->timer.timer_set) {

        if ((ngx_msec_int_t) (batch->timer.timer.key - at) <= 0) {
            return;
        }

        ngx_del_timer(&batch->timer);
    }

    ngx_add_timer(&batch->timer,
                  ngx_max((ngx_msec_int_t) (at - ngx_current_msec), 0));
}


static void
ngx_http_cw_ask_leave(ngx_http_cw_batch_t *batch)
{
    batch->open--;

    if (batch->open == 0) {
        batch->timer.cancelable = 1;
    }
}


void
ngx_http_cw_ask_timer_handler(ngx_event_t *ev)
{
    enum cw_err              err;
    ngx_http_cw_ask_t       *ask;
    ngx_http_cw_batch_t     *batch = ev->data;
    ngx_http_cw_deadline_t  *next;

    err = batch->call ? CW_DEADLINE_EXCEEDED : CW_VALIDATOR_UNAVAILABLE;

    for ( ;; ) {
        next = ngx_http_cw_deadlines_next(&batch->deadlines);

        if (next == NULL) {
            break;
        }

        if ((ngx_msec_int_t) (next->at - ngx_current_msec) > 0) {
            ngx_http_cw_ask_arm(batch, next->at);
            break;
        }

        ask = ngx_queue_data(next, ngx_http_cw_ask_t, deadline);

        if (ask->state == NGX_HTTP_CW_ASK_IN_FLIGHT) {
            batch->late = 1;
            ngx_http_cw_link_suspect(batch->link);
        }

        ngx_http_cw_ask_fail(ask, err);
    }

    ngx_http_cw_ask_tell(batch);
}


static ngx_int_t
ngx_http_cw_ask_hash(ngx_http_cw_batch_t *batch, ngx_http_cw_ask_t *ask)
{
    if (ask->hashed) {
        return NGX_OK;
    }

    if (EVP_DigestInit_ex(batch->md, NULL, NULL) != 1
        || EVP_DigestUpdate(batch->md, ask->token.data, ask->token.len) != 1
        || EVP_DigestFinal_ex(batch->md, ask->digest, NULL) != 1)
    {
        return NGX_ERROR;
    }

    ask->hashed = 1;

    return NGX_OK;
}


/* the id means nothing from now on: a late answer finds nobody */

static void
ngx_http_cw_ask_release(ngx_http_cw_ask_t *ask)
{
    if (ask->state == NGX_HTTP_CW_ASK_IN_FLIGHT) {
        ngx_http_cw_slots_release(&ask->batch->slots, ask->id);
    }
}


/* not decided: asked once more, before those that were never sent */

void
ngx_http_cw_ask_again(ngx_http_cw_ask_t *ask)
{
    ngx_http_cw_batch_t  *batch = ask->batch;

    if (ask->tries >= NGX_HTTP_CW_ASK_TRIES) {
        ngx_http_cw_ask_fail(ask, CW_VALIDATOR_UNAVAILABLE);
        return;
    }

    ngx_http_cw_ask_release(ask);

    ngx_queue_remove(&ask->queue);
    ngx_queue_insert_head(&batch->pending, &ask->queue);

    ask->state = NGX_HTTP_CW_ASK_PENDING;

    ngx_post_event(&batch->event, &ngx_posted_events);
}


/* takes an answer; NGX_ERROR: it cannot be one */

ngx_int_t
ngx_http_cw_ask_answer(ngx_http_cw_ask_t *ask,
    ngx_http_cw_result_t *result)
{
    ngx_http_cw_batch_t  *batch = ask->batch;

    switch (ngx_http_cw_answer_read(ask, result)) {

    case NGX_OK:

        if (ask->err == CW_OK) {
            ngx_http_cw_digests_add(batch->digests, ask->digest);
        }

        break;

    case NGX_AGAIN:

        ngx_http_cw_digests_remove(batch->digests, ask->digest);
        ngx_http_cw_count(NGX_HTTP_CW_COUNT_DIGEST_UNKNOWN);

        /* once with the token itself; whom that does not help nobody can */

        if (!ask->unknown) {
            ask->unknown = 1;
            ask->tries = 0;
            ngx_http_cw_ask_again(ask);
            return NGX_OK;
        }

        ngx_http_cw_answer_fail(ask, CW_VALIDATOR_UNAVAILABLE);
        break;

    default:
        return NGX_ERROR;
    }

    ngx_http_cw_ask_done(ask);

    return NGX_OK;
}


static void
ngx_http_cw_ask_fail(ngx_http_cw_ask_t *ask, enum cw_err err)
{
    ngx_http_cw_answer_fail(ask, err);
    ngx_http_cw_ask_done(ask);
}


/* out of the table at once, told when all messages of the turn were read */

static void
ngx_http_cw_ask_done(ngx_http_cw_ask_t *ask)
{
    ngx_http_cw_batch_t  *batch = ask->batch;

    ngx_http_cw_ask_release(ask);

    ngx_queue_remove(&ask->queue);
    ngx_queue_insert_tail(&batch->done, &ask->queue);

    ask->state = NGX_HTTP_CW_ASK_DONE;
    ask->elapsed = (ngx_uint_t) (ngx_http_cw_ask_now() - ask->start);

    ngx_http_cw_deadlines_remove(&ask->deadline);

    ngx_post_event(&batch->event, &ngx_posted_events);
}


/*
 * Continues the requests.  One of them may end others, whose questions then
 * leave the queue: it is read from its head each time.
 */

void
ngx_http_cw_ask_tell(ngx_http_cw_batch_t *batch)
{
    ngx_queue_t        *q;
    ngx_http_cw_ask_t  *ask;

    while (!ngx_queue_empty(&batch->done)) {
        q = ngx_queue_head(&batch->done);
        ask = ngx_queue_data(q, ngx_http_cw_ask_t, queue);

        ngx_queue_remove(q);
        ask->state = NGX_HTTP_CW_ASK_IDLE;
        ngx_http_cw_ask_leave(batch);

        ask->handler(ask);
    }
}


static uint64_t
ngx_http_cw_ask_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
