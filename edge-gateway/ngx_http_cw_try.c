
/*
 * How a try went: what all workers learn of its instance from it, and whether
 * the request may be repeated.
 */


#include "ngx_http_cw_module.h"
#include "ngx_http_cw_try.h"


static ngx_uint_t ngx_http_cw_try_stale(ngx_peer_connection_t *pc,
    ngx_http_cw_try_t *try, ngx_uint_t state);
static ngx_uint_t ngx_http_cw_try_repeats(ngx_peer_connection_t *pc,
    ngx_http_cw_try_t *try, ngx_uint_t state);
static ngx_uint_t ngx_http_cw_try_find(ngx_http_cw_try_t *try,
    ngx_http_cw_peers_t *peers);
static void ngx_http_cw_try_learn(ngx_peer_connection_t *pc,
    ngx_http_cw_try_t *try, ngx_http_cw_peer_t *peer, ngx_uint_t state);


void
ngx_http_cw_try_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_cw_try_t *try = data;

    ngx_uint_t            allowed;
    ngx_http_cw_app_t    *app;
    ngx_http_cw_peers_t  *peers;

    app = try->conf->app->app;
    allowed = 1;

    try->stale = ngx_http_cw_try_stale(pc, try, state);

    if (try->stale) {
        try->pick.ntried--;

    } else {

        /* nginx gives back the try of a kept connection; this one counts */

        pc->cached = 0;
    }

    ngx_shmtx_lock(&try->shpool->mutex);

    peers = app->peers;

    if (ngx_http_cw_try_find(try, peers)) {
        ngx_http_cw_pick_release(peers, try->index, ngx_http_cw_seat());

        if (!try->stale) {
            ngx_http_cw_try_learn(pc, try, &peers->peers[try->index], state);
        }
    }

    if (!try->stale && ngx_http_cw_try_repeats(pc, try, state)) {
        allowed = ngx_http_cw_budget_allows(&app->budget, try->conf->budget,
                                            ngx_current_msec);
    }

    ngx_shmtx_unlock(&try->shpool->mutex);

    if (!allowed) {
        ngx_http_cw_count(NGX_HTTP_CW_COUNT_OVER_BUDGET);
        pc->tries = 0;
    }

    if (pc->tries) {
        pc->tries--;
    }
}


/* a kept connection that was closed meanwhile says nothing about its instance:
 * a new one is tried.  A silence does, and so does an answer */

static ngx_uint_t
ngx_http_cw_try_stale(ngx_peer_connection_t *pc,
    ngx_http_cw_try_t *try, ngx_uint_t state)
{
    ngx_connection_t     *c;
    ngx_http_upstream_t  *u;

    c = pc->connection;
    u = try->request->upstream;

    return (state & NGX_PEER_FAILED) && pc->cached
           && !(c && (c->read->timedout || c->write->timedout))
           && !(u->state && u->state->bytes_received);
}


/* whether nginx is about to ask another instance, as far as can be seen here
 * (ngx_http_upstream_next) */

static ngx_uint_t
ngx_http_cw_try_repeats(ngx_peer_connection_t *pc,
    ngx_http_cw_try_t *try, ngx_uint_t state)
{
    ngx_uint_t                 once;
    ngx_http_request_t        *r;
    ngx_http_upstream_t       *u;
    ngx_http_upstream_conf_t  *conf;

    r = try->request;
    u = r->upstream;
    conf = u->conf;

    once = (r->method & (NGX_HTTP_POST|NGX_HTTP_LOCK|NGX_HTTP_PATCH))
           && !(conf->next_upstream & NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT);

    return (state & (NGX_PEER_FAILED|NGX_PEER_NEXT))
           && pc->tries > 1
           && !(conf->next_upstream & NGX_HTTP_UPSTREAM_FT_OFF)
           && !(u->request_sent && (once || r->request_body_no_buffering))
           && !r->connection->error;
}


/* under the mutex: whether the instance in use is still listed, and where */

static ngx_uint_t
ngx_http_cw_try_find(ngx_http_cw_try_t *try,
    ngx_http_cw_peers_t *peers)
{
    ngx_uint_t  i;

    if (peers == NULL) {
        return 0;
    }

    if (try->index < peers->n && peers->peers[try->index].place == try->place) {
        return 1;
    }

    for (i = 0; i < peers->n; i++) {
        if (peers->peers[i].place == try->place) {
            try->index = i;
            return 1;
        }
    }

    return 0;
}


/* under the mutex */

static void
ngx_http_cw_try_learn(ngx_peer_connection_t *pc,
    ngx_http_cw_try_t *try, ngx_http_cw_peer_t *peer, ngx_uint_t state)
{
    ngx_http_upstream_t  *u;

    u = try->request->upstream;

    if (peer->number != try->number) {

        /* it was down meanwhile: what was before is not held against it */

        return;
    }

    if (state & NGX_PEER_FAILED) {

        if (ngx_http_cw_pick_failed(peer, &try->pick, &try->conf->fails,
                                    ngx_current_msec))
        {
            ngx_http_cw_count(NGX_HTTP_CW_COUNT_MARKED);

            ngx_log_error(NGX_LOG_WARN, pc->log, 0,
                          "instance %V of \"%V\" is passed over for %M ms",
                          try->told, &try->conf->app->name, peer->pause);
        }

        return;
    }

    /* a client that went away before an answer has found out nothing */

    if (u->state == NULL || u->state->header_time == (ngx_msec_t) -1) {
        return;
    }

    if (ngx_http_cw_pick_answered(peer, &try->pick, ngx_current_msec)) {
        ngx_log_error(NGX_LOG_NOTICE, pc->log, 0,
                      "instance %V of \"%V\" answers again", try->told,
                      &try->conf->app->name);
    }
}
