
/*
 * What the sidecar answers: the results of a ValidateStreamResponse
 * (proto/clinicwave/token/v1/token.proto), read by hand: bounded, no
 * allocation, strings borrowed from the message.  Needs nginx's types only.
 */


#ifndef _NGX_HTTP_CW_RESULT_H_INCLUDED_
#define _NGX_HTTP_CW_RESULT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Decision */

#define NGX_HTTP_CW_DECISION_ALLOW            1
#define NGX_HTTP_CW_DECISION_UNAUTHENTICATED  2
#define NGX_HTTP_CW_DECISION_FORBIDDEN        3

/* UndecidedCause */

#define NGX_HTTP_CW_CAUSE_UNKNOWN_DIGEST  1
#define NGX_HTTP_CW_CAUSE_UNAVAILABLE     2
#define NGX_HTTP_CW_CAUSE_EXHAUSTED       3
#define NGX_HTTP_CW_CAUSE_INVALID         4
#define NGX_HTTP_CW_CAUSE_DEADLINE        5


typedef struct {
    uint64_t      id;

    ngx_uint_t    decision;          /* verdict: as sent, maybe unknown */
    ngx_str_t     identity;          /* encoded Identity */
    ngx_str_t     required_scope;

    ngx_uint_t    cause;             /* undecided: as sent, maybe unknown */
    ngx_uint_t    retry_after;       /* seconds, 0: not known */

    ngx_str_t     reason;            /* of either */

    unsigned      verdict:1;
    unsigned      undecided:1;
    unsigned      has_identity:1;
    unsigned      cached:1;
} ngx_http_cw_result_t;


/* takes the next result off a ValidateStreamResponse: NGX_OK, NGX_DONE at its
 * end, NGX_ERROR for bytes that are no such message.  What comes in both
 * forms, twice, or in none is NGX_ERROR, too */
ngx_int_t ngx_http_cw_result_next(ngx_str_t *message,
    ngx_http_cw_result_t *result);


#endif /* _NGX_HTTP_CW_RESULT_H_INCLUDED_ */
