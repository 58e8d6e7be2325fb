
/*
 * A request's way to its instance: what it wants and what it gets (the
 * policies are in ngx_http_cw_pick.c).
 */


#include "ngx_http_cw_module.h"
#include "ngx_http_cw_try.h"


static ngx_int_t ngx_http_cw_balancer_want(ngx_http_request_t *r,
    ngx_http_cw_try_t *try);
static ngx_int_t ngx_http_cw_get_peer(ngx_peer_connection_t *pc, void *data);
static ngx_int_t ngx_http_cw_balancer_room(ngx_http_cw_try_t *try);
static void ngx_http_cw_balancer_count(ngx_http_cw_try_t *try);
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
    ngx_http_cw_try_t             *try;
    ngx_http_cw_discovery_conf_t  *dcf;

    u = r->upstream;
    dcf = ngx_http_get_module_main_conf(r, ngx_http_cw_upstream_module);

    try = ngx_pcalloc(r->pool, sizeof(ngx_http_cw_try_t));
    if (try == NULL) {
        return NGX_ERROR;
    }

    try->request = r;
    try->conf = ngx_http_conf_upstream_srv_conf(us,
                                                ngx_http_cw_upstream_module);
    try->shpool = dcf->shpool;
    try->name = us->host;

    if (ngx_http_cw_balancer_want(r, try) != NGX_OK) {
        return NGX_ERROR;
    }

#if (NGX_HTTP_SSL)
    try->pick.ssl = u->ssl;
#endif

    up = try->conf->app->app->up;

    u->peer.data = try;
    u->peer.get = ngx_http_cw_get_peer;
    u->peer.free = ngx_http_cw_try_free_peer;
    u->peer.name = &try->name;
    u->peer.tries = up ? up : 1;
#if (NGX_HTTP_SSL)
    u->peer.set_session = ngx_http_cw_set_session;
    u->peer.save_session = ngx_http_cw_save_session;
#endif

    return NGX_OK;
}


/* what the configuration says of this request's instance */

static ngx_int_t
ngx_http_cw_balancer_want(ngx_http_request_t *r, ngx_http_cw_try_t *try)
{
    ngx_str_t                     value;
    ngx_http_cw_pick_t           *pick;
    ngx_http_cw_upstream_conf_t  *conf;

    conf = try->conf;
    pick = &try->pick;

    pick->policy = conf->policy;

    if (pick->policy == NGX_HTTP_CW_PICK_LEAST_CONN
        && ngx_http_cw_seat() >= conf->app->app->seats)
    {
        /* what nobody counts must not be compared */

        pick->policy = NGX_HTTP_CW_PICK_ROUND_ROBIN;
    }

    pick->slow_start = conf->slow_start;
    pick->tried = try->first;
    try->room = NGX_HTTP_CW_TRY_ROOM;

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
    ngx_http_cw_try_t *try = data;

    ngx_str_t            *told;
    ngx_http_cw_app_t    *app;
    ngx_http_cw_peer_t   *peer;
    ngx_http_cw_peers_t  *peers;

    pc->cached = 0;
    pc->connection = NULL;

    if (ngx_http_cw_balancer_room(try) != NGX_OK) {
        return NGX_ERROR;
    }

    /* $upstream_addr names each try: nginx keeps a pointer for each */

    told = ngx_palloc(try->request->pool,
                      sizeof(ngx_str_t) + NGX_SOCKADDR_STRLEN);
    if (told == NULL) {
        return NGX_ERROR;
    }

    told->data = (u_char *) (told + 1);

    app = try->conf->app->app;
    try->pick.now = ngx_current_msec;

    ngx_shmtx_lock(&try->shpool->mutex);

    peers = app->peers;
    peer = peers ? ngx_http_cw_pick(peers, &try->pick) : NULL;

    if (peer == NULL) {
        ngx_shmtx_unlock(&try->shpool->mutex);

        pc->name = &try->name;

        if (try->pick.ntried == 0) {
            (void) ngx_http_cw_refuse(try->request, CW_NO_INSTANCE);
        }

        return NGX_BUSY;
    }

    try->index = peer - peers->peers;
    try->place = peer->place;
    try->number = peer->number;
    pc->socklen = peer->socklen;
    ngx_memcpy(&try->addr, &peer->addr, peer->socklen);

    told->len = peer->text_len;
    ngx_memcpy(told->data, peer->text, peer->text_len);

    ngx_http_cw_pick_hold(peers, try->index, ngx_http_cw_seat());

    if (!try->sent) {
        ngx_http_cw_budget_request(&app->budget, try->pick.now);

    } else if (!try->stale) {
        ngx_http_cw_budget_retry(&app->budget, try->pick.now);
    }

    ngx_shmtx_unlock(&try->shpool->mutex);

    try->pick.tried[try->pick.ntried++] = try->number;

    ngx_http_cw_balancer_count(try);

    if (told->len == 0) {
        told->len = ngx_sock_ntop(&try->addr.sockaddr, pc->socklen, told->data,
                                  NGX_SOCKADDR_STRLEN, 1);
    }

    try->told = told;
    pc->sockaddr = &try->addr.sockaddr;
    pc->name = told;

    return NGX_OK;
}


/* for one more that was tried */

static ngx_int_t
ngx_http_cw_balancer_room(ngx_http_cw_try_t *try)
{
    uint64_t  *tried;

    if (try->pick.ntried < try->room) {
        return NGX_OK;
    }

    tried = ngx_palloc(try->request->pool, 2 * try->room * sizeof(uint64_t));
    if (tried == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(tried, try->pick.tried, try->room * sizeof(uint64_t));

    try->pick.tried = tried;
    try->room *= 2;

    return NGX_OK;
}


static void
ngx_http_cw_balancer_count(ngx_http_cw_try_t *try)
{
    ngx_http_cw_count(NGX_HTTP_CW_COUNT_PICK_ROUND_ROBIN + try->pick.policy);

    if (try->pick.picked == NGX_HTTP_CW_PICKED_PANIC) {
        ngx_http_cw_count(NGX_HTTP_CW_COUNT_PICK_PANIC);

    } else if (try->pick.picked == NGX_HTTP_CW_PICKED_SPILL) {
        ngx_http_cw_count(NGX_HTTP_CW_COUNT_PICK_SPILL);
    }

    if (try->sent && !try->stale) {
        ngx_http_cw_count(NGX_HTTP_CW_COUNT_RETRIES);
    }

    try->sent = 1;
    try->stale = 0;
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
