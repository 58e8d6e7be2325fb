/* How many requests may be repeated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "edge-gateway/ngx_http_cw_budget.h"

enum { START_MS = 5000000 };

/* Sends REQUESTS at this time, each of which fails: how many were repeated. */
static int repeated(ngx_http_cw_budget_t *budget, ngx_http_cw_budget_conf_t conf, int requests,
                    ngx_msec_t now)
{
    int n = 0;
    for (int i = 0; i < requests; i++) {
        ngx_http_cw_budget_request(budget, now);
        if (ngx_http_cw_budget_allows(budget, &conf, now)) {
            ngx_http_cw_budget_retry(budget, now);
            n++;
        }
    }
    return n;
}

static void a_share_of_the_requests_and_some_each_second(void **state)
{
    (void)state;
    struct {
        const char *sentence;
        ngx_http_cw_budget_conf_t conf;
        int requests, repeated;
    } rows[] = {
        {"a fifth", {0, 20, 0}, 1000, 200},
        {"all", {0, 100, 0}, 1000, 1000},
        {"none", {0, 0, 0}, 1000, 0},
        {"ten seconds of the least at once", {0, 0, 3}, 1000, 30},
        {"share and least", {0, 20, 10}, 1000, 300},
        {"fewer than the least", {0, 20, 10}, 50, 50},
        {"without a bound", {1, 0, 0}, 1000, 1000},
        {"a share of one request", {0, 20, 0}, 1, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ngx_http_cw_budget_t budget = {0};
        if (repeated(&budget, rows[i].conf, rows[i].requests, START_MS) != rows[i].repeated) {
            fail_msg("%s", rows[i].sentence);
        }
    }
}

static void what_is_longer_ago_does_not_count(void **state)
{
    (void)state;
    ngx_http_cw_budget_t budget = {0};
    ngx_http_cw_budget_conf_t conf = {0, 10, 0};
    assert_int_equal(repeated(&budget, conf, 1000, START_MS), 100);
    assert_int_equal(repeated(&budget, conf, 100, START_MS + 9999), 10);
    for (int i = 0; i < 500; i++) { /* requests that go well add to it */
        ngx_http_cw_budget_request(&budget, START_MS + 9999);
    }
    assert_int_equal(repeated(&budget, conf, 100, START_MS + 9999), 60);
    /* the first second is forgotten: 700 requests and 70 retries are left */
    assert_int_equal(repeated(&budget, conf, 100, START_MS + 10000), 10);
    assert_int_equal(repeated(&budget, conf, 100, START_MS + 1000000), 10);
}

static void requests_that_go_well_do_not_pile_up_for_ever(void **state)
{
    (void)state;
    ngx_http_cw_budget_t budget = {0};
    ngx_http_cw_budget_conf_t conf = {0, 10, 0};
    for (ngx_msec_t second = 0; second < 100; second++) {
        for (int i = 0; i < 100; i++) {
            ngx_http_cw_budget_request(&budget, START_MS + second * 1000);
        }
    }
    assert_int_equal(repeated(&budget, conf, 1000, START_MS + 99000), 200); /* of 2000 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_of_the_requests_and_some_each_second),
        cmocka_unit_test(what_is_longer_ago_does_not_count),
        cmocka_unit_test(requests_that_go_well_do_not_pile_up_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
