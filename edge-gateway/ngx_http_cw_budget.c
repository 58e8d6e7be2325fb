
/*
 * A ring of seconds, each with what was sent first and what was sent again.
 */


#include "ngx_http_cw_budget.h"


static ngx_http_cw_budget_second_t *ngx_http_cw_budget_second(
    ngx_http_cw_budget_t *budget, ngx_msec_t now);


void
ngx_http_cw_budget_request(ngx_http_cw_budget_t *budget, ngx_msec_t now)
{
    ngx_http_cw_budget_second(budget, now)->requests++;
}


void
ngx_http_cw_budget_retry(ngx_http_cw_budget_t *budget, ngx_msec_t now)
{
    ngx_http_cw_budget_second(budget, now)->retries++;
}


ngx_uint_t
ngx_http_cw_budget_allows(ngx_http_cw_budget_t *budget,
    ngx_http_cw_budget_conf_t *conf, ngx_msec_t now)
{
    uint64_t                      second, requests, retries;
    ngx_uint_t                    i;
    ngx_http_cw_budget_second_t  *s;

    if (conf->unlimited) {
        return 1;
    }

    second = now / 1000;
    requests = 0;
    retries = 0;

    for (i = 0; i < NGX_HTTP_CW_BUDGET_SECONDS; i++) {
        s = &budget->seconds[i];

        if (second - s->second < NGX_HTTP_CW_BUDGET_SECONDS) {
            requests += s->requests;
            retries += s->retries;
        }
    }

    return retries * 100 < requests * conf->percent
                           + 100 * conf->min * NGX_HTTP_CW_BUDGET_SECONDS;
}


static ngx_http_cw_budget_second_t *
ngx_http_cw_budget_second(ngx_http_cw_budget_t *budget, ngx_msec_t now)
{
    uint64_t                      second;
    ngx_http_cw_budget_second_t  *s;

    second = now / 1000;
    s = &budget->seconds[second % NGX_HTTP_CW_BUDGET_SECONDS];

    if (s->second != second) {
        s->second = second;
        s->requests = 0;
        s->retries = 0;
    }

    return s;
}
