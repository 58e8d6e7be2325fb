
/*
 * Gathers questions into messages of the worker's ValidateStream, and hands
 * the answers back to who asked.
 *
 * A message costs as much as deciding on dozens of tokens, for it wakes a
 * sleeping process, twice.  So a question waits while the worker is busy: the
 * event loop is asked for what has come meanwhile, without sleeping, until a
 * turn brings nothing new, or TURNS have passed, or ENOUGH are together.  A
 * question that comes alone pays one such look.
 */


#include "ngx_http_cw_batch.h"
#include "ngx_http_cw_answer.h"
#include "ngx_http_cw_digests.h"
#include "ngx_http_cw_grpc.h"
#include "ngx_http_cw_metrics.h"
#include "ngx_http_cw_slots.h"

#include <openssl/evp.h>
#include <time.h>


/* the stream's unsent bytes above which questions wait in the worker */
#define NGX_HTTP_CW_BATCH_UNSENT  (256 * 1024)
/* questions a worker has open at most */
#define NGX_HTTP_CW_BATCH_OPEN    65536
#define NGX_HTTP_CW_BATCH_ANSWER  (4 * 1024 * 1024)
#define NGX_HTTP_CW_BATCH_TRIES   2

#define NGX_HTTP_CW_BATCH_TURNS   8
#define NGX_HTTP_CW_BATCH_ENOUGH  32


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


static void ngx_http_cw_batch_up(ngx_http_cw_link_t *link, void *data);
static void ngx_http_cw_batch_down(ngx_http_cw_link_t *link, void *data);
static void ngx_http_cw_batch_closed(ngx_http_cw_call_t *call, void *data,
    ngx_uint_t status);
static void ngx_http_cw_batch_drained(ngx_http_cw_call_t *call, void *data);
static void ngx_http_cw_batch_turn(ngx_http_cw_call_t *call, void *data);
static ngx_int_t ngx_http_cw_batch_message(ngx_http_cw_call_t *call,
    void *data, u_char *p, size_t len);

static void ngx_http_cw_batch_event_handler(ngx_event_t *ev);
static void ngx_http_cw_batch_arm(ngx_http_cw_batch_t *batch, ngx_msec_t at);
static void ngx_http_cw_batch_leave(ngx_http_cw_batch_t *batch);
static void ngx_http_cw_batch_timer_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_cw_batch_waits(ngx_http_cw_batch_t *batch);
static ngx_int_t ngx_http_cw_batch_send(ngx_http_cw_batch_t *batch);
static size_t ngx_http_cw_batch_entry(ngx_http_cw_batch_t *batch,
    ngx_http_cw_ask_t *ask, ngx_http_cw_wire_entry_t *entry);
static ngx_int_t ngx_http_cw_batch_hash(ngx_http_cw_batch_t *batch,
    ngx_http_cw_ask_t *ask);

static void ngx_http_cw_batch_release(ngx_http_cw_ask_t *ask);
static void ngx_http_cw_batch_again(ngx_http_cw_ask_t *ask);

static ngx_int_t ngx_http_cw_batch_answer(ngx_http_cw_ask_t *ask,
    ngx_http_cw_wire_result_t *result);
static void ngx_http_cw_batch_fail(ngx_http_cw_ask_t *ask, enum cw_err err);
static void ngx_http_cw_batch_done(ngx_http_cw_ask_t *ask);
static uint64_t ngx_http_cw_batch_now(void);


static ngx_http_cw_call_type_t  ngx_http_cw_batch_stream = {
    ngx_string("/clinicwave.token.v1.TokenService/ValidateStream"),
    NGX_HTTP_CW_BATCH_ANSWER,
    ngx_http_cw_batch_message,
    ngx_http_cw_batch_turn,
    ngx_http_cw_batch_drained,
    ngx_http_cw_batch_closed
};


ngx_http_cw_batch_t *
ngx_http_cw_batch_create(ngx_http_cw_link_t *link, ngx_uint_t digests,
    ngx_log_t *log)
{
    ngx_http_cw_batch_t  *batch;

    batch = ngx_calloc(sizeof(ngx_http_cw_batch_t), log);
    if (batch == NULL) {
        return NULL;
    }

    batch->link = link;
    batch->log = log;

    ngx_queue_init(&batch->pending);
    ngx_queue_init(&batch->in_flight);
    ngx_queue_init(&batch->done);

    batch->event.handler = ngx_http_cw_batch_event_handler;
    batch->event.data = batch;
    batch->event.log = log;

    batch->timer.handler = ngx_http_cw_batch_timer_handler;
    batch->timer.data = batch;
    batch->timer.log = log;

    batch->md = EVP_MD_CTX_new();
    batch->digests = ngx_http_cw_digests_create(digests);

    if (batch->md == NULL || batch->digests == NULL
        || EVP_DigestInit_ex(batch->md, EVP_sha256(), NULL) != 1)
    {
        ngx_http_cw_batch_destroy(batch);
        return NULL;
    }

    batch->user.up = ngx_http_cw_batch_up;
    batch->user.down = ngx_http_cw_batch_down;
    batch->user.data = batch;

    ngx_http_cw_link_add_user(link, &batch->user);

    return batch;
}


void
ngx_http_cw_batch_destroy(ngx_http_cw_batch_t *batch)
{
    if (batch->event.posted) {
        ngx_delete_posted_event(&batch->event);
    }

    if (batch->timer.timer_set) {
        ngx_del_timer(&batch->timer);
    }

    ngx_http_cw_deadlines_done(&batch->deadlines);

    EVP_MD_CTX_free(batch->md);
    ngx_http_cw_digests_destroy(batch->digests);

    ngx_http_cw_slots_done(&batch->slots);
    ngx_free(batch);
}


ngx_uint_t
ngx_http_cw_batch_can_decide(ngx_http_cw_batch_t *batch)
{
    return batch->call != NULL && !batch->late;
}


ngx_int_t
ngx_http_cw_batch_ask(ngx_http_cw_batch_t *batch, ngx_http_cw_ask_t *ask)
{
    if (batch->open == NGX_HTTP_CW_BATCH_OPEN
        || ngx_http_cw_batch_hash(batch, ask) != NGX_OK
        || ngx_http_cw_deadlines_add(&batch->deadlines, &ask->deadline,
                                     ngx_current_msec, ask->timeout)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ask->batch = batch;
    ask->state = NGX_HTTP_CW_ASK_PENDING;
    ask->start = ngx_http_cw_batch_now();

    ngx_queue_insert_tail(&batch->pending, &ask->queue);
    batch->open++;

    ngx_http_cw_batch_arm(batch, ask->deadline.at);

    batch->gathered++;
    batch->busy = 1;

    ngx_post_event(&batch->event, &ngx_posted_events);

    return NGX_OK;
}


void
ngx_http_cw_batch_busy(ngx_http_cw_batch_t *batch)
{
    batch->busy = 1;
}


void
ngx_http_cw_batch_cancel(ngx_http_cw_ask_t *ask)
{
    if (ask->state == NGX_HTTP_CW_ASK_IDLE) {
        return;
    }

    ngx_http_cw_batch_release(ask);

    ngx_queue_remove(&ask->queue);
    if (ask->state != NGX_HTTP_CW_ASK_DONE) {
        ngx_http_cw_deadlines_remove(&ask->deadline);
    }

    ask->state = NGX_HTTP_CW_ASK_IDLE;
    ngx_http_cw_batch_leave(ask->batch);
}


static void
ngx_http_cw_batch_up(ngx_http_cw_link_t *link, void *data)
{
    ngx_http_cw_batch_t *batch = data;

    ngx_http_cw_count(NGX_HTTP_CW_COUNT_LINK_UP);

    /* another process may listen there now: it knows nothing from before */

    ngx_http_cw_digests_clear(batch->digests);
    ngx_memzero(batch->defined, sizeof(batch->defined));

    batch->call = ngx_http_cw_call_open(link, &ngx_http_cw_batch_stream,
                                        batch);
    if (batch->call == NULL) {
        ngx_http_cw_link_break(link, "ValidateStream cannot be opened");
        return;
    }

    if (!ngx_queue_empty(&batch->pending)) {
        ngx_post_event(&batch->event, &ngx_posted_events);
    }
}


static void
ngx_http_cw_batch_closed(ngx_http_cw_call_t *call, void *data,
    ngx_uint_t status)
{
    ngx_http_cw_batch_t *batch = data;

    batch->call = NULL;

    /* a link without its stream decides nothing: start over */

    ngx_http_cw_link_break(batch->link,
                           (status == NGX_HTTP_CW_GRPC_DENIED)
                           ? "ValidateStream: permission denied"
                           : "ValidateStream ended");
}


static void
ngx_http_cw_batch_down(ngx_http_cw_link_t *link, void *data)
{
    ngx_queue_t          *q;
    ngx_http_cw_ask_t    *ask;
    ngx_http_cw_batch_t  *batch = data;

    batch->call = NULL;

    ngx_http_cw_count(NGX_HTTP_CW_COUNT_LINK_DOWN);

    /* from the last: what was asked first is asked first again */

    while (!ngx_queue_empty(&batch->in_flight)) {
        q = ngx_queue_last(&batch->in_flight);
        ask = ngx_queue_data(q, ngx_http_cw_ask_t, queue);

        ngx_http_cw_count(NGX_HTTP_CW_COUNT_RESENT);
        ngx_http_cw_batch_again(ask);
    }
}


static void
ngx_http_cw_batch_drained(ngx_http_cw_call_t *call, void *data)
{
    ngx_http_cw_batch_t *batch = data;

    if (!ngx_queue_empty(&batch->pending)) {
        ngx_post_event(&batch->event, &ngx_posted_events);
    }
}


static void
ngx_http_cw_batch_event_handler(ngx_event_t *ev)
{
    ngx_http_cw_batch_t *batch = ev->data;

    ngx_http_cw_batch_turn(NULL, batch);

    if (ngx_queue_empty(&batch->pending)) {
        return;
    }

    if (ngx_http_cw_batch_waits(batch)) {

        /* nginx does not sleep before it has told this event */

        ngx_post_event(ev, &ngx_posted_next_events);
        return;
    }

    while (!ngx_queue_empty(&batch->pending)
           && ngx_http_cw_batch_send(batch) == NGX_OK)
    {
        /* void */
    }
}


static ngx_uint_t
ngx_http_cw_batch_waits(ngx_http_cw_batch_t *batch)
{
    if (batch->busy
        && batch->gathered < NGX_HTTP_CW_BATCH_ENOUGH
        && batch->turns < NGX_HTTP_CW_BATCH_TURNS)
    {
        batch->busy = 0;
        batch->turns++;
        return 1;
    }

    batch->gathered = 0;
    batch->turns = 0;

    return 0;
}


/*
 * The timer is set for the next deadline.  It is not moved when that question
 * has its answer: it then comes for nothing, once in the time of a deadline.
 * An old worker waits for it as long as questions are open.
 */

static void
ngx_http_cw_batch_arm(ngx_http_cw_batch_t *batch, ngx_msec_t at)
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
ngx_http_cw_batch_leave(ngx_http_cw_batch_t *batch)
{
    batch->open--;

    if (batch->open == 0) {
        batch->timer.cancelable = 1;
    }
}


static void
ngx_http_cw_batch_timer_handler(ngx_event_t *ev)
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
            ngx_http_cw_batch_arm(batch, next->at);
            break;
        }

        ask = ngx_queue_data(next, ngx_http_cw_ask_t, deadline);

        if (ask->state == NGX_HTTP_CW_ASK_IN_FLIGHT) {
            batch->late = 1;
            ngx_http_cw_link_suspect(batch->link);
        }

        ngx_http_cw_batch_fail(ask, err);
    }

    ngx_http_cw_batch_turn(NULL, batch);
}


static ngx_int_t
ngx_http_cw_batch_hash(ngx_http_cw_batch_t *batch, ngx_http_cw_ask_t *ask)
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


static size_t
ngx_http_cw_batch_entry(ngx_http_cw_batch_t *batch, ngx_http_cw_ask_t *ask,
    ngx_http_cw_wire_entry_t *entry)
{
    ngx_msec_int_t  left;

    left = (ngx_msec_int_t) (ask->deadline.at - ngx_current_msec);

    entry->id = ask->id;
    entry->domain = ask->domain;
    entry->rule = (uint32_t) ask->rule->number;
    entry->timeout = (uint32_t) ngx_max(left, 1);
    entry->digest = !ask->whole;

    if (entry->digest) {
        entry->subject.data = ask->digest;
        entry->subject.len = NGX_HTTP_CW_DIGEST_LEN;

    } else {
        entry->subject = ask->token;
    }

    return ngx_http_cw_wire_entry_size(entry);
}


/* sends one message; NGX_AGAIN: not now */

static ngx_int_t
ngx_http_cw_batch_send(ngx_http_cw_batch_t *batch)
{
    size_t                     size;
    u_char                    *p, *start, *defined, bit;
    ngx_uint_t                 n;
    ngx_queue_t               *q;
    ngx_http_cw_ask_t         *ask;
    ngx_http_cw_rule_t        *rule;
    ngx_http_cw_wire_entry_t   entry;

    if (batch->call == NULL
        || ngx_http_cw_call_unsent(batch->call) > NGX_HTTP_CW_BATCH_UNSENT)
    {
        return NGX_AGAIN;
    }

    start = ngx_http_cw_call_reserve(batch->call, NGX_HTTP_CW_BATCH_SIZE);
    if (start == NULL) {
        return NGX_AGAIN;
    }

    p = start;

    for (n = 0; n < NGX_HTTP_CW_BATCH_ENTRIES; n++) {

        if (ngx_queue_empty(&batch->pending)) {
            break;
        }

        if (ngx_http_cw_slots_reserve(&batch->slots) != NGX_OK) {
            break;
        }

        q = ngx_queue_head(&batch->pending);
        ask = ngx_queue_data(q, ngx_http_cw_ask_t, queue);
        rule = ask->rule;

        ask->id = ngx_http_cw_slots_next(&batch->slots);
        ask->whole = ask->unknown
                     || !ngx_http_cw_digests_has(batch->digests, ask->digest);

        size = ngx_http_cw_batch_entry(batch, ask, &entry);

        /* a rule's first question on this stream brings the rule along */

        defined = &batch->defined[rule->number / 8];
        bit = (u_char) (1 << rule->number % 8);

        if (!(*defined & bit)) {
            size += rule->bytes.len;
        }

        if (size > (size_t) (start + NGX_HTTP_CW_BATCH_SIZE - p)) {
            break;
        }

        if (!(*defined & bit)) {
            *defined |= bit;
            p = ngx_cpymem(p, rule->bytes.data, rule->bytes.len);
        }

        p = ngx_http_cw_wire_entry(p, &entry);

        ngx_http_cw_slots_take(&batch->slots, ask);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&batch->in_flight, q);

        ask->state = NGX_HTTP_CW_ASK_IN_FLIGHT;
        ask->tries++;

        ngx_http_cw_count(ask->whole ? NGX_HTTP_CW_COUNT_TOKEN_SENT
                                     : NGX_HTTP_CW_COUNT_DIGEST_SENT);
    }

    if (p == start) {
        return NGX_AGAIN;
    }

    ngx_http_cw_call_commit(batch->call, p - start, 0);
    ngx_http_cw_count(NGX_HTTP_CW_COUNT_BATCHES);

    return NGX_OK;
}


/* the id means nothing from now on: a late answer finds nobody */

static void
ngx_http_cw_batch_release(ngx_http_cw_ask_t *ask)
{
    if (ask->state == NGX_HTTP_CW_ASK_IN_FLIGHT) {
        ngx_http_cw_slots_release(&ask->batch->slots, ask->id);
    }
}


/* not decided: asked once more, before those that were never sent */

static void
ngx_http_cw_batch_again(ngx_http_cw_ask_t *ask)
{
    ngx_http_cw_batch_t  *batch = ask->batch;

    if (ask->tries >= NGX_HTTP_CW_BATCH_TRIES) {
        ngx_http_cw_batch_fail(ask, CW_VALIDATOR_UNAVAILABLE);
        return;
    }

    ngx_http_cw_batch_release(ask);

    ngx_queue_remove(&ask->queue);
    ngx_queue_insert_head(&batch->pending, &ask->queue);

    ask->state = NGX_HTTP_CW_ASK_PENDING;

    ngx_post_event(&batch->event, &ngx_posted_events);
}


static ngx_int_t
ngx_http_cw_batch_message(ngx_http_cw_call_t *call, void *data, u_char *p,
    size_t len)
{
    ngx_int_t                   rc;
    ngx_str_t                   message;
    ngx_http_cw_ask_t          *ask;
    ngx_http_cw_batch_t        *batch = data;
    ngx_http_cw_wire_result_t   result;

    batch->late = 0;
    batch->busy = 1;

    message.data = p;
    message.len = len;

    while ((rc = ngx_http_cw_wire_result(&message, &result)) == NGX_OK) {

        ask = ngx_http_cw_slots_find(&batch->slots, result.id);

        /* its request may have gone meanwhile */

        if (ask == NULL) {
            continue;
        }

        if (ngx_http_cw_batch_answer(ask, &result) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
}


/* takes an answer; NGX_ERROR: it cannot be one */

static ngx_int_t
ngx_http_cw_batch_answer(ngx_http_cw_ask_t *ask,
    ngx_http_cw_wire_result_t *result)
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
            ngx_http_cw_batch_again(ask);
            return NGX_OK;
        }

        ngx_http_cw_answer_fail(ask, CW_VALIDATOR_UNAVAILABLE);
        break;

    default:
        return NGX_ERROR;
    }

    ngx_http_cw_batch_done(ask);

    return NGX_OK;
}


static void
ngx_http_cw_batch_fail(ngx_http_cw_ask_t *ask, enum cw_err err)
{
    ngx_http_cw_answer_fail(ask, err);
    ngx_http_cw_batch_done(ask);
}


/* out of the table at once, told when all messages of the turn were read */

static void
ngx_http_cw_batch_done(ngx_http_cw_ask_t *ask)
{
    ngx_http_cw_batch_t  *batch = ask->batch;

    ngx_http_cw_batch_release(ask);

    ngx_queue_remove(&ask->queue);
    ngx_queue_insert_tail(&batch->done, &ask->queue);

    ask->state = NGX_HTTP_CW_ASK_DONE;
    ask->elapsed = (ngx_uint_t) (ngx_http_cw_batch_now() - ask->start);

    ngx_http_cw_deadlines_remove(&ask->deadline);

    ngx_post_event(&batch->event, &ngx_posted_events);
}


/*
 * Continues the requests.  One of them may end others, whose questions then
 * leave the queue: it is read from its head each time.
 */

static void
ngx_http_cw_batch_turn(ngx_http_cw_call_t *call, void *data)
{
    ngx_queue_t          *q;
    ngx_http_cw_ask_t    *ask;
    ngx_http_cw_batch_t  *batch = data;

    while (!ngx_queue_empty(&batch->done)) {
        q = ngx_queue_head(&batch->done);
        ask = ngx_queue_data(q, ngx_http_cw_ask_t, queue);

        ngx_queue_remove(q);
        ask->state = NGX_HTTP_CW_ASK_IDLE;
        ngx_http_cw_batch_leave(batch);

        ask->handler(ask);
    }
}


static uint64_t
ngx_http_cw_batch_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
