
/*
 * TokenService.ValidateStream on a worker's link: requests ask, what was asked
 * until the worker has nothing else to do leaves as one message, answers come
 * in any order.  A question is answered once, by its deadline at the latest.
 *
 *             ask              sent                answer
 *     IDLE ────────▶ PENDING ────────▶ IN_FLIGHT ─────────▶ DONE ──▶ handler
 *                       ▲                  │ connection ended, once;
 *                       └──────────────────┘ digest unknown, once
 */


#ifndef _NGX_HTTP_CW_BATCH_H_INCLUDED_
#define _NGX_HTTP_CW_BATCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "common/base/err.h"

#include "ngx_http_cw_deadlines.h"
#include "ngx_http_cw_digests.h"
#include "ngx_http_cw_link.h"


#define NGX_HTTP_CW_ASK_IDLE       0
#define NGX_HTTP_CW_ASK_PENDING    1
#define NGX_HTTP_CW_ASK_IN_FLIGHT  2
#define NGX_HTTP_CW_ASK_DONE       3


typedef struct ngx_http_cw_batch_s  ngx_http_cw_batch_t;
typedef struct ngx_http_cw_ask_s    ngx_http_cw_ask_t;

typedef void (*ngx_http_cw_ask_handler_pt)(ngx_http_cw_ask_t *ask);


/* a requirement under its number, encoded as a RuleDefinition */

typedef struct {
    ngx_uint_t                  number;
    ngx_str_t                   bytes;
} ngx_http_cw_rule_t;


struct ngx_http_cw_ask_s {

    /* set by the asker, alive until the handler or cancel */
    ngx_http_cw_rule_t         *rule;
    ngx_str_t                   domain;
    ngx_str_t                   token;
    ngx_msec_t                  timeout;
    ngx_pool_t                 *pool;        /* for the answer's strings */
    ngx_http_cw_ask_handler_pt  handler;
    void                       *data;

    /* the answer */
    enum cw_err                 err;         /* CW_OK: allow */
    ngx_uint_t                  status;      /* HTTP */
    ngx_str_t                   reason;      /* code, "" for an allow */
    ngx_str_t                   identity;    /* encoded */
    ngx_str_t                   required_scope;
    ngx_uint_t                  retry_after; /* seconds */
    ngx_uint_t                  elapsed;     /* microseconds */
    unsigned                    cached:1;

    /* the batch's own */
    unsigned                    state:2;
    unsigned                    whole:1;     /* send the token itself */
    unsigned                    unknown:1;   /* digest was unknown before */
    unsigned                    tries:2;
    unsigned                    hashed:1;    /* digest is set, also by the
                                              * asker */
    u_char                      digest[NGX_HTTP_CW_DIGEST_LEN];
    uint64_t                    id;
    ngx_http_cw_deadline_t      deadline;    /* while it is not answered */
    uint64_t                    start;       /* microseconds */
    ngx_queue_t                 queue;
    ngx_http_cw_batch_t        *batch;
};


ngx_http_cw_batch_t *ngx_http_cw_batch_create(ngx_http_cw_link_t *link,
    ngx_uint_t digests, ngx_log_t *log);
void ngx_http_cw_batch_destroy(ngx_http_cw_batch_t *batch);

/* the handler is told later, never from within.  NGX_ERROR: no memory, the
 * question was not taken */
ngx_int_t ngx_http_cw_ask_begin(ngx_http_cw_batch_t *batch,
    ngx_http_cw_ask_t *ask);
/* the handler will not be told; any state */
void ngx_http_cw_ask_cancel(ngx_http_cw_ask_t *ask);

/* the worker has had more to do in this turn of the event loop: questions that
 * wait to be sent may be joined by others in the next one */
void ngx_http_cw_batch_busy(ngx_http_cw_batch_t *batch);

/* a stream stands and has not failed to answer */
ngx_uint_t ngx_http_cw_batch_can_decide(ngx_http_cw_batch_t *batch);


#endif /* _NGX_HTTP_CW_BATCH_H_INCLUDED_ */
