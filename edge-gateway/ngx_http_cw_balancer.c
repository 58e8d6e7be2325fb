
/*
 * A request's way to its instance: what it wants, what it got (the policies
 * are in ngx_http_cw_pick.c), and what all workers learn from how it went.
 */


#include "ngx_http_cw_module.h"
#include "ngx_http_cw_balancer.h"
#include "ngx_http_cw_discovery.h"
#include "ngx_http_cw_seats.h"


/* instances that a request has tried: without an allocation */
#define NGX_HTTP_CW_BALANCER_TRIED  4


/* of a request */

typedef struct {
    ngx_http_request_t            *request;
    ngx_http_cw_upstream_conf_t   *conf;
    ngx_slab_pool_t               *shpool;

    ngx_http_cw_pick_t             pick;
    uint64_t                       first[NGX_HTTP_CW_BALANCER_TRIED];
    ngx_uint_t                     room;     /* in pick.tried */

    uint64_t                       place;    /* of the peer in use */
    uint64_t                       number;
    ngx_uint_t                     index;    /* where it was */

    ngx_sockaddr_t                 addr;
    ngx_str_t                      name;     /* of the upstream */
    ngx_str_t                     *told;     /* of the peer in use */

    unsigned                       sent:1;   /* to an instance before */
    unsigned                       stale:1;  /* … which did not get it */
} ngx_http_cw_peer_data_t;


static ngx_int_t ngx_http_cw_balancer_want(ngx_http_request_t *r,
    ngx_http_cw_peer_data_t *pd);
static ngx_int_t ngx_http_cw_get_peer(ngx_peer_connection_t *pc, void *data);
static ngx_int_t ngx_http_cw_balancer_room(ngx_http_cw_peer_data_t *pd);
static void ngx_http_cw_balancer_count(ngx_http_cw_peer_data_t *pd);
static void ngx_http_cw_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
static ngx_uint_t ngx_http_cw_balancer_stale(ngx_peer_connection_t *pc,
    ngx_http_cw_peer_data_t *pd, ngx_uint_t state);
static ngx_uint_t ngx_http_cw_balancer_repeats(ngx_peer_connection_t *pc,
    ngx_http_cw_peer_data_t *pd, ngx_uint_t state);
static ngx_uint_t ngx_http_cw_balancer_find(ngx_http_cw_peer_data_t *pd,
    ngx_http_cw_peers_t *peers);
static void ngx_http_cw_balancer_learn(ngx_peer_connection_t *pc,
    ngx_http_cw_peer_data_t *pd, ngx_http_cw_peer_t *peer, ngx_uint_t state);
#if (NGX_HTTP_SSL)
static ngx_int_t ngx_http_cw_set_session(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_cw_save_session(ngx_peer_connection_t *pc, void *data);
#endif


enum cw_err
ngx_http_cw_balancer_check(ngx_http_request_t *r)
{
    ngx_uint_t                     i;
    ngx_http_upstream_conf_t      *conf;
    ngx_http_cw_upstream_conf_t   *ucf;
    ngx_http_upstream_srv_conf_t  *uscf;

    /* both begin with their ngx_http_upstream_conf_t, which names an upstream
     * where proxy_pass or grpc_pass stands and has no variables */

    extern ngx_module_t  ngx_http_proxy_module;
    extern ngx_module_t  ngx_http_grpc_module;

    ngx_module_t  *modules[] = { &ngx_http_proxy_module,
                                 &ngx_http_grpc_module };

    for (i = 0; i < 2; i++) {

        conf = r->loc_conf[modules[i]->ctx_index];
        uscf = conf ? conf->upstream : NULL;

        if (uscf == NULL || uscf->srv_conf == NULL) {
            continue;
        }

        ucf = ngx_http_conf_upstream_srv_conf(uscf,
                                              ngx_http_cw_upstream_module);

        if (ucf && ucf->app && ucf->app->app && ucf->app->app->up == 0) {
            return CW_NO_INSTANCE;
        }
    }

    return CW_OK;
}


ngx_int_t
ngx_http_cw_balancer_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                     up;
    ngx_http_upstream_t           *u;
    ngx_http_cw_peer_data_t       *pd;
    ngx_http_cw_discovery_conf_t  *dcf;

    u = r->upstream;
    dcf = ngx_http_get_module_main_conf(r, ngx_http_cw_upstream_module);

    pd = ngx_pcalloc(r->pool, sizeof(ngx_http_cw_peer_data_t));
    if (pd == NULL) {
        return NGX_ERROR;
    }

    pd->request = r;
    pd->conf = ngx_http_conf_upstream_srv_conf(us,
                                               ngx_http_cw_upstream_module);
    pd->shpool = dcf->shpool;
    pd->name = us->host;

    if (ngx_http_cw_balancer_want(r, pd) != NGX_OK) {
        return NGX_ERROR;
    }

#if (NGX_HTTP_SSL)
    pd->pick.ssl = u->ssl;
#endif

    up = pd->conf->app->app->up;

    u->peer.data = pd;
    u->peer.get = ngx_http_cw_get_peer;
    u->peer.free = ngx_http_cw_free_peer;
    u->peer.name = &pd->name;
    u->peer.tries = up ? up : 1;
#if (NGX_HTTP_SSL)
    u->peer.set_session = ngx_http_cw_set_session;
    u->peer.save_session = ngx_http_cw_save_session;
#endif

    return NGX_OK;
}


/* what the configuration says of this request's instance */

static ngx_int_t
ngx_http_cw_balancer_want(ngx_http_request_t *r, ngx_http_cw_peer_data_t *pd)
{
    ngx_str_t                     value;
    ngx_http_cw_pick_t           *pick;
    ngx_http_cw_upstream_conf_t  *conf;

    conf = pd->conf;
    pick = &pd->pick;

    pick->policy = conf->policy;

    if (pick->policy == NGX_HTTP_CW_PICK_LEAST_CONN
        && ngx_http_cw_seat() >= conf->app->app->seats)
    {
        /* what nobody counts must not be compared */

        pick->policy = NGX_HTTP_CW_PICK_ROUND_ROBIN;
    }

    pick->slow_start = conf->slow_start;
    pick->tried = pd->first;
    pd->room = NGX_HTTP_CW_BALANCER_TRIED;

    if (conf->key) {

        if (ngx_http_complex_value(r, conf->key, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.len) {
            pick->key = ngx_http_cw_pick_hash(value.data, value.len);

        } else {

            /* those that have none are no one caller */

            pick->policy = NGX_HTTP_CW_PICK_ROUND_ROBIN;
        }
    }

    if (conf->zone) {

        if (ngx_http_complex_value(r, conf->zone, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.len) {
            pick->zone = ngx_http_cw_pick_hash(value.data, value.len);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_cw_peer_data_t *pd = data;

    ngx_str_t            *told;
    ngx_http_cw_app_t    *app;
    ngx_http_cw_peer_t   *peer;
    ngx_http_cw_peers_t  *peers;

    pc->cached = 0;
    pc->connection = NULL;

    if (ngx_http_cw_balancer_room(pd) != NGX_OK) {
        return NGX_ERROR;
    }

    /* $upstream_addr names each try: nginx keeps a pointer for each */

    told = ngx_palloc(pd->request->pool,
                      sizeof(ngx_str_t) + NGX_SOCKADDR_STRLEN);
    if (told == NULL) {
        return NGX_ERROR;
    }

    told->data = (u_char *) (told + 1);

    app = pd->conf->app->app;
    pd->pick.now = ngx_current_msec;

    ngx_shmtx_lock(&pd->shpool->mutex);

    peers = app->peers;
    peer = peers ? ngx_http_cw_pick(peers, &pd->pick) : NULL;

    if (peer == NULL) {
        ngx_shmtx_unlock(&pd->shpool->mutex);

        pc->name = &pd->name;

        if (pd->pick.ntried == 0) {
            (void) ngx_http_cw_refuse(pd->request, CW_NO_INSTANCE);
        }

        return NGX_BUSY;
    }

    pd->index = peer - peers->peers;
    pd->place = peer->place;
    pd->number = peer->number;
    pc->socklen = peer->socklen;
    ngx_memcpy(&pd->addr, &peer->addr, peer->socklen);

    told->len = peer->text_len;
    ngx_memcpy(told->data, peer->text, peer->text_len);

    ngx_http_cw_pick_hold(peers, pd->index, ngx_http_cw_seat());

    if (!pd->sent) {
        ngx_http_cw_budget_request(&app->budget, pd->pick.now);

    } else if (!pd->stale) {
        ngx_http_cw_budget_retry(&app->budget, pd->pick.now);
    }

    ngx_shmtx_unlock(&pd->shpool->mutex);

    pd->pick.tried[pd->pick.ntried++] = pd->number;

    ngx_http_cw_balancer_count(pd);

    if (told->len == 0) {
        told->len = ngx_sock_ntop(&pd->addr.sockaddr, pc->socklen, told->data,
                                  NGX_SOCKADDR_STRLEN, 1);
    }

    pd->told = told;
    pc->sockaddr = &pd->addr.sockaddr;
    pc->name = told;

    return NGX_OK;
}


/* for one more that was tried */

static ngx_int_t
ngx_http_cw_balancer_room(ngx_http_cw_peer_data_t *pd)
{
    uint64_t  *tried;

    if (pd->pick.ntried < pd->room) {
        return NGX_OK;
    }

    tried = ngx_palloc(pd->request->pool, 2 * pd->room * sizeof(uint64_t));
    if (tried == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(tried, pd->pick.tried, pd->room * sizeof(uint64_t));

    pd->pick.tried = tried;
    pd->room *= 2;

    return NGX_OK;
}


static void
ngx_http_cw_balancer_count(ngx_http_cw_peer_data_t *pd)
{
    ngx_http_cw_count(NGX_HTTP_CW_COUNT_PICK_ROUND_ROBIN + pd->pick.policy);

    if (pd->pick.picked == NGX_HTTP_CW_PICKED_PANIC) {
        ngx_http_cw_count(NGX_HTTP_CW_COUNT_PICK_PANIC);

    } else if (pd->pick.picked == NGX_HTTP_CW_PICKED_SPILL) {
        ngx_http_cw_count(NGX_HTTP_CW_COUNT_PICK_SPILL);
    }

    if (pd->sent && !pd->stale) {
        ngx_http_cw_count(NGX_HTTP_CW_COUNT_RETRIES);
    }

    pd->sent = 1;
    pd->stale = 0;
}


static void
ngx_http_cw_free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    ngx_http_cw_peer_data_t *pd = data;

    ngx_uint_t            allowed;
    ngx_http_cw_app_t    *app;
    ngx_http_cw_peers_t  *peers;

    app = pd->conf->app->app;
    allowed = 1;

    pd->stale = ngx_http_cw_balancer_stale(pc, pd, state);

    if (pd->stale) {
        pd->pick.ntried--;

    } else {

        /* nginx gives back the try of a kept connection; this one counts */

        pc->cached = 0;
    }

    ngx_shmtx_lock(&pd->shpool->mutex);

    peers = app->peers;

    if (ngx_http_cw_balancer_find(pd, peers)) {
        ngx_http_cw_pick_release(peers, pd->index, ngx_http_cw_seat());

        if (!pd->stale) {
            ngx_http_cw_balancer_learn(pc, pd, &peers->peers[pd->index],
                                       state);
        }
    }

    if (!pd->stale && ngx_http_cw_balancer_repeats(pc, pd, state)) {
        allowed = ngx_http_cw_budget_allows(&app->budget, pd->conf->budget,
                                            ngx_current_msec);
    }

    ngx_shmtx_unlock(&pd->shpool->mutex);

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
ngx_http_cw_balancer_stale(ngx_peer_connection_t *pc,
    ngx_http_cw_peer_data_t *pd, ngx_uint_t state)
{
    ngx_connection_t     *c;
    ngx_http_upstream_t  *u;

    c = pc->connection;
    u = pd->request->upstream;

    return (state & NGX_PEER_FAILED) && pc->cached
           && !(c && (c->read->timedout || c->write->timedout))
           && !(u->state && u->state->bytes_received);
}


/* whether nginx is about to ask another instance, as far as can be seen here
 * (ngx_http_upstream_next) */

static ngx_uint_t
ngx_http_cw_balancer_repeats(ngx_peer_connection_t *pc,
    ngx_http_cw_peer_data_t *pd, ngx_uint_t state)
{
    ngx_uint_t                 once;
    ngx_http_request_t        *r;
    ngx_http_upstream_t       *u;
    ngx_http_upstream_conf_t  *conf;

    r = pd->request;
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


/* under the mutex: whether the instance in use is still listed, at pd->index */

static ngx_uint_t
ngx_http_cw_balancer_find(ngx_http_cw_peer_data_t *pd,
    ngx_http_cw_peers_t *peers)
{
    ngx_uint_t  i;

    if (peers == NULL) {
        return 0;
    }

    if (pd->index < peers->n && peers->peers[pd->index].place == pd->place) {
        return 1;
    }

    for (i = 0; i < peers->n; i++) {
        if (peers->peers[i].place == pd->place) {
            pd->index = i;
            return 1;
        }
    }

    return 0;
}


/* under the mutex */

static void
ngx_http_cw_balancer_learn(ngx_peer_connection_t *pc,
    ngx_http_cw_peer_data_t *pd, ngx_http_cw_peer_t *peer, ngx_uint_t state)
{
    ngx_http_upstream_t  *u;

    u = pd->request->upstream;

    if (peer->number != pd->number) {

        /* it was down meanwhile: what was before is not held against it */

        return;
    }

    if (state & NGX_PEER_FAILED) {

        if (ngx_http_cw_pick_failed(peer, &pd->pick, &pd->conf->fails,
                                    ngx_current_msec))
        {
            ngx_http_cw_count(NGX_HTTP_CW_COUNT_MARKED);

            ngx_log_error(NGX_LOG_WARN, pc->log, 0,
                          "instance %V of \"%V\" is passed over for %M ms",
                          pd->told, &pd->conf->app->name, peer->pause);
        }

        return;
    }

    /* a client that went away before an answer has found out nothing */

    if (u->state == NULL || u->state->header_time == (ngx_msec_t) -1) {
        return;
    }

    if (ngx_http_cw_pick_answered(peer, &pd->pick, ngx_current_msec)) {
        ngx_log_error(NGX_LOG_NOTICE, pc->log, 0,
                      "instance %V of \"%V\" answers again", pd->told,
                      &pd->conf->app->name);
    }
}


#if (NGX_HTTP_SSL)

/* sessions are not kept: an instance may be another one tomorrow */

static ngx_int_t
ngx_http_cw_set_session(ngx_peer_connection_t *pc, void *data)
{
    return NGX_OK;
}


static void
ngx_http_cw_save_session(ngx_peer_connection_t *pc, void *data)
{
    /* void */
}

#endif
