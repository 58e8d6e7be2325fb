
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


#include "ngx_http_cw_ask.h"
#include "ngx_http_cw_digests.h"
#include "ngx_http_cw_grpc.h"
#include "ngx_http_cw_metrics.h"
#include "ngx_http_cw_question.h"


/* the stream's unsent bytes above which questions wait in the worker */
#define NGX_HTTP_CW_BATCH_UNSENT  (256 * 1024)
#define NGX_HTTP_CW_BATCH_ANSWER  (4 * 1024 * 1024)

#define NGX_HTTP_CW_BATCH_TURNS   8
#define NGX_HTTP_CW_BATCH_ENOUGH  32


static void ngx_http_cw_batch_up(ngx_http_cw_link_t *link, void *data);
static void ngx_http_cw_batch_down(ngx_http_cw_link_t *link, void *data);
static void ngx_http_cw_batch_closed(ngx_http_cw_call_t *call, void *data,
    ngx_uint_t status);
static void ngx_http_cw_batch_drained(ngx_http_cw_call_t *call, void *data);
static void ngx_http_cw_batch_turn(ngx_http_cw_call_t *call, void *data);
static ngx_int_t ngx_http_cw_batch_message(ngx_http_cw_call_t *call,
    void *data, u_char *p, size_t len);

static void ngx_http_cw_batch_event_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_cw_batch_waits(ngx_http_cw_batch_t *batch);
static ngx_int_t ngx_http_cw_batch_send(ngx_http_cw_batch_t *batch);
static size_t ngx_http_cw_batch_entry(ngx_http_cw_batch_t *batch,
    ngx_http_cw_ask_t *ask, ngx_http_cw_question_entry_t *entry);


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

    batch->timer.handler = ngx_http_cw_ask_timer_handler;
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


void
ngx_http_cw_batch_busy(ngx_http_cw_batch_t *batch)
{
    batch->busy = 1;
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
        ngx_http_cw_ask_again(ask);
    }
}


static void
ngx_http_cw_batch_turn(ngx_http_cw_call_t *call, void *data)
{
    ngx_http_cw_ask_tell(data);
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

    ngx_http_cw_ask_tell(batch);

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


static size_t
ngx_http_cw_batch_entry(ngx_http_cw_batch_t *batch, ngx_http_cw_ask_t *ask,
    ngx_http_cw_question_entry_t *entry)
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

    return ngx_http_cw_question_entry_size(entry);
}


/* sends one message; NGX_AGAIN: not now */

static ngx_int_t
ngx_http_cw_batch_send(ngx_http_cw_batch_t *batch)
{
    size_t                         size;
    u_char                        *p, *start, *defined, bit;
    ngx_uint_t                     n;
    ngx_queue_t                   *q;
    ngx_http_cw_ask_t             *ask;
    ngx_http_cw_rule_t            *rule;
    ngx_http_cw_question_entry_t   entry;

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

        p = ngx_http_cw_question_entry(p, &entry);

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


static ngx_int_t
ngx_http_cw_batch_message(ngx_http_cw_call_t *call, void *data, u_char *p,
    size_t len)
{
    ngx_int_t              rc;
    ngx_str_t              message;
    ngx_http_cw_ask_t     *ask;
    ngx_http_cw_batch_t   *batch = data;
    ngx_http_cw_result_t   result;

    batch->late = 0;
    batch->busy = 1;

    message.data = p;
    message.len = len;

    while ((rc = ngx_http_cw_result_next(&message, &result)) == NGX_OK) {

        ask = ngx_http_cw_slots_find(&batch->slots, result.id);

        /* its request may have gone meanwhile */

        if (ask == NULL) {
            continue;
        }

        if (ngx_http_cw_ask_answer(ask, &result) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
}
