
/*
 * Maps the sidecar's words to an error of the table and to an HTTP status.
 * What is not known is a refusal, what is not decided is 503.
 */


#include "ngx_http_cw_answer.h"


#define NGX_HTTP_CW_REASON_MAX  64
#define NGX_HTTP_CW_SCOPE_MAX   1024


static void ngx_http_cw_answer_undecided(ngx_http_cw_ask_t *ask,
    ngx_http_cw_result_t *result);
static ngx_int_t ngx_http_cw_answer_allow(ngx_http_cw_ask_t *ask,
    ngx_http_cw_result_t *result);
static void ngx_http_cw_answer_refuse(ngx_http_cw_ask_t *ask,
    ngx_http_cw_result_t *result);
static enum cw_err ngx_http_cw_answer_reason(
    ngx_http_cw_result_t *result);
static ngx_int_t ngx_http_cw_answer_copy(ngx_http_cw_ask_t *ask,
    ngx_str_t *to, ngx_str_t *from, size_t max);


ngx_int_t
ngx_http_cw_answer_read(ngx_http_cw_ask_t *ask,
    ngx_http_cw_result_t *result)
{
    if (result->undecided) {

        if (result->cause == NGX_HTTP_CW_CAUSE_UNKNOWN_DIGEST) {
            return NGX_AGAIN;
        }

        ngx_http_cw_answer_undecided(ask, result);

        return NGX_OK;
    }

    ask->cached = result->cached;

    if (result->decision == NGX_HTTP_CW_DECISION_ALLOW) {
        return ngx_http_cw_answer_allow(ask, result);
    }

    ngx_http_cw_answer_refuse(ask, result);

    return NGX_OK;
}


void
ngx_http_cw_answer_fail(ngx_http_cw_ask_t *ask, enum cw_err err)
{
    ask->err = err;
    ask->status = (ngx_uint_t) cw_err_info(err)->http;
    ask->reason.data = (u_char *) cw_err_code(err);
    ask->reason.len = ngx_strlen(ask->reason.data);
}


/*
 * Whatever it calls its reason, nobody was decided upon; only a domain without
 * a tenant will not be served later either.
 */

static void
ngx_http_cw_answer_undecided(ngx_http_cw_ask_t *ask,
    ngx_http_cw_result_t *result)
{
    enum cw_err  err;

    err = ngx_http_cw_answer_reason(result);

    if (cw_err_info(err)->http != 503 && err != CW_TENANT_UNKNOWN) {

        switch (result->cause) {

        case NGX_HTTP_CW_CAUSE_EXHAUSTED:
            err = CW_VALIDATOR_OVERLOADED;
            break;

        case NGX_HTTP_CW_CAUSE_DEADLINE:
            err = CW_DEADLINE_EXCEEDED;
            break;

        default:
            err = CW_VALIDATOR_UNAVAILABLE;
        }
    }

    ngx_http_cw_answer_fail(ask, err);
    ask->retry_after = ngx_min(result->retry_after, 3600);
}


static ngx_int_t
ngx_http_cw_answer_allow(ngx_http_cw_ask_t *ask,
    ngx_http_cw_result_t *result)
{
    if (!result->has_identity) {
        return NGX_ERROR;
    }

    if (ngx_http_cw_answer_copy(ask, &ask->identity, &result->identity,
                                (size_t) -1)
        != NGX_OK)
    {
        ngx_http_cw_answer_fail(ask, CW_NO_MEMORY);
        return NGX_OK;
    }

    ask->err = CW_OK;
    ask->status = 200;
    ngx_str_null(&ask->reason);

    return NGX_OK;
}


/* a decision of a newer sidecar is a refusal, too (token.proto) */

static void
ngx_http_cw_answer_refuse(ngx_http_cw_ask_t *ask,
    ngx_http_cw_result_t *result)
{
    enum cw_err  err;
    ngx_uint_t   status;

    err = ngx_http_cw_answer_reason(result);
    status = (ngx_uint_t) cw_err_info(err)->http;

    if (status < 400 || status > 499) {
        err = (result->decision == NGX_HTTP_CW_DECISION_UNAUTHENTICATED)
              ? CW_TOKEN_MALFORMED : CW_FORBIDDEN;
    }

    ngx_http_cw_answer_fail(ask, err);

    /* a reason that this table does not have is told as it came */

    if ((result->reason.len
         && ngx_http_cw_answer_copy(ask, &ask->reason, &result->reason,
                                    NGX_HTTP_CW_REASON_MAX)
            != NGX_OK)
        || ngx_http_cw_answer_copy(ask, &ask->required_scope,
                                   &result->required_scope,
                                   NGX_HTTP_CW_SCOPE_MAX)
           != NGX_OK)
    {
        ngx_http_cw_answer_fail(ask, CW_NO_MEMORY);
    }
}


static enum cw_err
ngx_http_cw_answer_reason(ngx_http_cw_result_t *result)
{
    return result->reason.len
           ? cw_err_from_code((char *) result->reason.data,
                              result->reason.len)
           : CW_INTERNAL;
}


/* what is too long is left out */

static ngx_int_t
ngx_http_cw_answer_copy(ngx_http_cw_ask_t *ask, ngx_str_t *to, ngx_str_t *from,
    size_t max)
{
    if (from->len == 0 || from->len > max) {
        return NGX_OK;
    }

    to->data = ngx_pnalloc(ask->pool, from->len);
    if (to->data == NULL) {
        to->len = 0;
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, from->data, from->len);
    to->len = from->len;

    return NGX_OK;
}
