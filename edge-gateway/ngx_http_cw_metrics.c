
/*
 * Counts, and shows the sums as Prometheus text (cw_metrics).
 */


#include "ngx_http_cw_module.h"


#define NGX_HTTP_CW_SLOTS    64
#define NGX_HTTP_CW_ERRORS   128
#define NGX_HTTP_CW_CLASSES  6
#define NGX_HTTP_CW_BUCKETS  12


typedef struct {
    ngx_atomic_t              counters[NGX_HTTP_CW_COUNTERS];
    ngx_atomic_t              refusals[NGX_HTTP_CW_ERRORS];
    ngx_atomic_t              responses[NGX_HTTP_CW_CLASSES];
    ngx_atomic_t              validations[NGX_HTTP_CW_BUCKETS + 1];
    ngx_atomic_t              validation_time;       /* microseconds */
} ngx_http_cw_slot_t;


typedef struct {
    const char               *name;
    const char               *labels;
    const char               *help;          /* NULL: as the one before */
} ngx_http_cw_counter_t;


static ngx_int_t ngx_http_cw_metrics_init_zone(ngx_shm_zone_t *zone,
    void *data);
static ngx_int_t ngx_http_cw_metrics_handler(ngx_http_request_t *r);
static u_char *ngx_http_cw_metrics_write(u_char *p, u_char *last,
    ngx_http_cw_slot_t *sum);


/* in the order of ngx_http_cw_counter_e */

static ngx_http_cw_counter_t  ngx_http_cw_counters[] = {
    { "cw_gateway_verdicts_total", "{decision=\"allow\"}",
      "Decisions on requests to ruled locations." },
    { "cw_gateway_verdicts_total", "{decision=\"unauthenticated\"}", NULL },
    { "cw_gateway_verdicts_total", "{decision=\"forbidden\"}", NULL },
    { "cw_gateway_verdicts_total", "{decision=\"undecided\"}", NULL },
    { "cw_gateway_verdicts_total", "{decision=\"anonymous\"}", NULL },
    { "cw_gateway_verdicts_cached_total", "",
      "Verdicts that the sidecar had in its cache." },
    { "cw_gateway_questions_total", "{by=\"digest\"}",
      "Questions sent to the sidecar." },
    { "cw_gateway_digests_unknown_total", "",
      "Digests that the sidecar did not know; the token followed." },
    { "cw_gateway_questions_total", "{by=\"token\"}",
      "Questions sent to the sidecar." },
    { "cw_gateway_batches_total", "",
      "Messages that the questions left in." },
    { "cw_gateway_questions_resent_total", "",
      "Questions asked again on the next connection." },
    { "cw_gateway_link_connections_total", "",
      "Connections made to the sidecar." },
    { "cw_gateway_link_ends_total", "",
      "Connections to the sidecar that ended." },
    { "cw_gateway_picks_total", "{policy=\"round_robin\"}",
      "Instances chosen for a request or its repetition." },
    { "cw_gateway_picks_total", "{policy=\"least_conn\"}", NULL },
    { "cw_gateway_picks_total", "{policy=\"hash\"}", NULL },
    { "cw_gateway_picks_spilled_total", "",
      "Picks of another zone: the own one has no usable instance." },
    { "cw_gateway_picks_marked_total", "",
      "Picks of an instance that is passed over, since all are." },
    { "cw_gateway_instances_marked_total", "",
      "Times that an instance was marked as one to pass over." },
    { "cw_gateway_retries_total", "{result=\"sent\"}",
      "Requests that failed on an instance and may be repeated." },
    { "cw_gateway_retries_total", "{result=\"over_budget\"}", NULL },
    { "cw_gateway_origins_total", "{result=\"allowed\"}",
      "Origins of requests that were looked up among the tenants'." },
    { "cw_gateway_origins_total", "{result=\"refused\"}", NULL },
};


/* upper bounds of the histogram of validation times, in microseconds */

static ngx_uint_t  ngx_http_cw_bounds[NGX_HTTP_CW_BUCKETS] = {
    50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000, 200000, 1000000,
    5000000
};


static ngx_http_cw_slot_t  *ngx_http_cw_slot;


void
ngx_http_cw_count(ngx_uint_t counter)
{
    if (ngx_http_cw_slot) {
        (void) ngx_atomic_fetch_add(&ngx_http_cw_slot->counters[counter], 1);
    }
}


void
ngx_http_cw_count_refusal(ngx_uint_t err)
{
    if (ngx_http_cw_slot && err < NGX_HTTP_CW_ERRORS) {
        (void) ngx_atomic_fetch_add(&ngx_http_cw_slot->refusals[err], 1);
    }
}


void
ngx_http_cw_count_response(ngx_uint_t status)
{
    if (ngx_http_cw_slot && status / 100 < NGX_HTTP_CW_CLASSES) {
        (void) ngx_atomic_fetch_add(
                             &ngx_http_cw_slot->responses[status / 100], 1);
    }
}


void
ngx_http_cw_count_validation(ngx_uint_t microseconds)
{
    ngx_uint_t  i;

    if (ngx_http_cw_slot == NULL) {
        return;
    }

    for (i = 0; i < NGX_HTTP_CW_BUCKETS; i++) {
        if (microseconds <= ngx_http_cw_bounds[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&ngx_http_cw_slot->validations[i], 1);
    (void) ngx_atomic_fetch_add(&ngx_http_cw_slot->validation_time,
                                microseconds);
}


ngx_int_t
ngx_http_cw_metrics_init(ngx_conf_t *cf, ngx_shm_zone_t **zone)
{
    static ngx_str_t  name = ngx_string("cw_metrics");

    *zone = ngx_shared_memory_add(cf, &name,
                             NGX_HTTP_CW_SLOTS * sizeof(ngx_http_cw_slot_t)
                             + 8 * ngx_pagesize, &ngx_http_cw_module);
    if (*zone == NULL) {
        return NGX_ERROR;
    }

    (*zone)->init = ngx_http_cw_metrics_init_zone;

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_metrics_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t  *pool;

    if (data) {
        zone->data = data;
        return NGX_OK;
    }

    pool = (ngx_slab_pool_t *) zone->shm.addr;

    if (zone->shm.exists) {
        zone->data = pool->data;
        return NGX_OK;
    }

    zone->data = ngx_slab_calloc(pool,
                             NGX_HTTP_CW_SLOTS * sizeof(ngx_http_cw_slot_t));
    pool->data = zone->data;

    return zone->data ? NGX_OK : NGX_ERROR;
}


void
ngx_http_cw_metrics_start(ngx_shm_zone_t *zone)
{
    ngx_http_cw_slot_t  *slots;

    slots = zone->data;
    ngx_http_cw_slot = &slots[ngx_worker % NGX_HTTP_CW_SLOTS];
}


char *
ngx_http_cw_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_cw_metrics_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_cw_metrics_handler(ngx_http_request_t *r)
{
    size_t                    size;
    ngx_int_t                 rc;
    ngx_buf_t                *b;
    ngx_uint_t                i, n, words;
    ngx_chain_t               out;
    ngx_atomic_t             *from, *to;
    ngx_http_cw_slot_t       *slots, *sum;
    ngx_http_cw_main_conf_t  *mcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cw_module);
    slots = mcf->metrics->data;

    sum = ngx_pcalloc(r->pool, sizeof(ngx_http_cw_slot_t));
    if (sum == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    words = sizeof(ngx_http_cw_slot_t) / sizeof(ngx_atomic_t);
    to = (ngx_atomic_t *) sum;

    for (n = 0; n < NGX_HTTP_CW_SLOTS; n++) {
        from = (ngx_atomic_t *) &slots[n];

        for (i = 0; i < words; i++) {
            to[i] += from[i];
        }
    }

    size = 192 * (words + 3 * NGX_HTTP_CW_COUNTERS);

    b = ngx_create_temp_buf(r->pool, size);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_http_cw_metrics_write(b->last, b->end, sum);
    b->last_buf = 1;

    ngx_str_set(&r->headers_out.content_type,
                "text/plain; version=0.0.4; charset=utf-8");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static u_char *
ngx_http_cw_metrics_write(u_char *p, u_char *last, ngx_http_cw_slot_t *sum)
{
    ngx_uint_t              i, n;
    ngx_http_cw_counter_t  *c;

    /* the lines of one metric stand together */

    for (i = 0; i < NGX_HTTP_CW_COUNTERS; i++) {
        c = &ngx_http_cw_counters[i];

        for (n = 0; n < i; n++) {
            if (ngx_strcmp(ngx_http_cw_counters[n].name, c->name) == 0) {
                break;
            }
        }

        if (n < i) {
            continue;
        }

        p = ngx_slprintf(p, last, "# HELP %s %s\n# TYPE %s counter\n",
                         c->name, c->help, c->name);

        for (n = i; n < NGX_HTTP_CW_COUNTERS; n++) {
            if (ngx_strcmp(ngx_http_cw_counters[n].name, c->name) == 0) {
                p = ngx_slprintf(p, last, "%s%s %uA\n", c->name,
                                 ngx_http_cw_counters[n].labels,
                                 sum->counters[n]);
            }
        }
    }

    p = ngx_slprintf(p, last,
                     "# HELP cw_gateway_refusals_total "
                     "Answers that the gateway made, by reason.\n"
                     "# TYPE cw_gateway_refusals_total counter\n");

    for (i = 0; i < cw_err_count() && i < NGX_HTTP_CW_ERRORS; i++) {
        if (sum->refusals[i]) {
            p = ngx_slprintf(p, last,
                             "cw_gateway_refusals_total{reason=\"%s\"} %uA\n",
                             cw_err_code((enum cw_err) i), sum->refusals[i]);
        }
    }

    p = ngx_slprintf(p, last,
                     "# HELP cw_gateway_responses_total "
                     "Answers to clients, by class of status.\n"
                     "# TYPE cw_gateway_responses_total counter\n");

    for (i = 1; i < NGX_HTTP_CW_CLASSES; i++) {
        p = ngx_slprintf(p, last,
                         "cw_gateway_responses_total{status=\"%uixx\"} %uA\n",
                         i, sum->responses[i]);
    }

    p = ngx_slprintf(p, last,
                     "# HELP cw_gateway_validation_seconds "
                     "Time from a question to its answer.\n"
                     "# TYPE cw_gateway_validation_seconds histogram\n");

    n = 0;

    for (i = 0; i < NGX_HTTP_CW_BUCKETS; i++) {
        n += sum->validations[i];
        p = ngx_slprintf(p, last,
                         "cw_gateway_validation_seconds_bucket"
                         "{le=\"%ui.%06ui\"} %ui\n",
                         ngx_http_cw_bounds[i] / 1000000,
                         ngx_http_cw_bounds[i] % 1000000, n);
    }

    n += sum->validations[NGX_HTTP_CW_BUCKETS];

    return ngx_slprintf(p, last,
                     "cw_gateway_validation_seconds_bucket{le=\"+Inf\"} %ui\n"
                     "cw_gateway_validation_seconds_sum %uA.%06uA\n"
                     "cw_gateway_validation_seconds_count %ui\n",
                     n, sum->validation_time / 1000000,
                     sum->validation_time % 1000000, n);
}
