
/*
 * Makes the next list of an application's instances out of what was told and
 * what was learned.
 */


#include "ngx_http_cw_peers.h"


static ngx_http_cw_peers_t *ngx_http_cw_peers_alloc(ngx_slab_pool_t *shpool,
    ngx_uint_t n, ngx_uint_t seats);
static ngx_http_cw_peer_t *ngx_http_cw_peers_copy(ngx_http_cw_peers_t *peers,
    ngx_http_cw_peers_t *old, ngx_http_cw_peer_t *from);
static void ngx_http_cw_peers_put(ngx_http_cw_discovery_conf_t *conf,
    ngx_http_cw_app_t *app, ngx_http_cw_peers_t *peers,
    ngx_http_cw_watch_instance_t *instance);
static ngx_http_cw_peer_t *ngx_http_cw_peers_find(ngx_http_cw_peers_t *peers,
    uint64_t hash, struct sockaddr *sockaddr, socklen_t socklen);


ngx_int_t
ngx_http_cw_peers_widen(ngx_slab_pool_t *shpool, ngx_http_cw_app_conf_t *ac,
    ngx_uint_t seats)
{
    ngx_uint_t            i;
    ngx_http_cw_app_t    *app;
    ngx_http_cw_peers_t  *peers, *old;

    app = ac->app;

    if (!ac->counted || seats <= app->seats) {
        return NGX_OK;
    }

    app->seats = seats;
    old = app->peers;

    if (old == NULL) {
        return NGX_OK;
    }

    peers = ngx_http_cw_peers_alloc(shpool, old->n, seats);
    if (peers == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < old->n; i++) {
        ngx_http_cw_peers_copy(peers, old, &old->peers[i]);
    }

    app->peers = peers;
    ngx_slab_free_locked(shpool, old);

    return NGX_OK;
}


static ngx_http_cw_peers_t *
ngx_http_cw_peers_alloc(ngx_slab_pool_t *shpool, ngx_uint_t n,
    ngx_uint_t seats)
{
    ngx_http_cw_peers_t  *peers;

    peers = ngx_slab_calloc_locked(shpool,
                                   sizeof(ngx_http_cw_peers_t)
                                   + n * sizeof(ngx_http_cw_peer_t)
                                   + n * seats * sizeof(uint32_t));
    if (peers == NULL) {
        return NULL;
    }

    peers->seats = seats;
    peers->held = (uint32_t *) &peers->peers[n];

    return peers;
}


/* appends one of the old list, with what is held on it */

static ngx_http_cw_peer_t *
ngx_http_cw_peers_copy(ngx_http_cw_peers_t *peers, ngx_http_cw_peers_t *old,
    ngx_http_cw_peer_t *from)
{
    uint32_t            *held, *row;
    ngx_http_cw_peer_t  *peer;

    held = &old->held[(from - old->peers) * old->seats];
    row = &peers->held[peers->n * peers->seats];

    ngx_memcpy(row, held, old->seats * sizeof(uint32_t));

    peer = &peers->peers[peers->n++];
    *peer = *from;

    return peer;
}


ngx_http_cw_peers_t *
ngx_http_cw_peers_told(ngx_http_cw_discovery_conf_t *conf,
    ngx_http_cw_app_t *app, ngx_http_cw_watch_app_t *told,
    ngx_uint_t provisional)
{
    ngx_int_t                      rc;
    ngx_str_t                      rest;
    ngx_uint_t                     i, n;
    ngx_http_cw_peers_t           *peers, *old;
    ngx_http_cw_watch_instance_t   instance;

    old = app->peers;
    n = (provisional && old) ? old->n : 0;
    rest = told->instances;

    while ((rc = ngx_http_cw_watch_instance(&rest, &instance)) != NGX_DONE) {
        n += (rc == NGX_OK);
    }

    n = ngx_min(n, NGX_HTTP_CW_APP_PEERS_MAX);

    peers = ngx_http_cw_peers_alloc(conf->shpool, n, app->seats);
    if (peers == NULL) {
        return NULL;
    }

    rest = told->instances;

    while ((rc = ngx_http_cw_watch_instance(&rest, &instance)) != NGX_DONE) {
        if (rc == NGX_OK && peers->n < n) {
            ngx_http_cw_peers_put(conf, app, peers, &instance);
        }
    }

    /* provisional: what is not told may still be there */

    for (i = 0; provisional && old && i < old->n && peers->n < n; i++) {
        if (ngx_http_cw_peers_find(peers, old->peers[i].hash,
                                   &old->peers[i].addr.sockaddr,
                                   old->peers[i].socklen)
            == NULL)
        {
            (void) ngx_http_cw_peers_copy(peers, old, &old->peers[i]);
        }
    }

    return peers;
}


static void
ngx_http_cw_peers_put(ngx_http_cw_discovery_conf_t *conf,
    ngx_http_cw_app_t *app, ngx_http_cw_peers_t *peers,
    ngx_http_cw_watch_instance_t *instance)
{
    uint64_t                     hash;
    ngx_http_cw_peer_t          *peer, *old;
    ngx_http_cw_discovery_sh_t  *sh;

    sh = conf->shpool->data;
    hash = ngx_http_cw_pick_hash((u_char *) &instance->addr,
                                 instance->socklen);

    peer = ngx_http_cw_peers_find(peers, hash, &instance->addr.sockaddr,
                                  instance->socklen);
    if (peer) {

        /* one place under two ids: it is up when one of them is */

        peer->up |= instance->up;
        return;
    }

    old = app->peers ? ngx_http_cw_peers_find(app->peers, hash,
                                              &instance->addr.sockaddr,
                                              instance->socklen)
                     : NULL;

    if (old) {
        peer = ngx_http_cw_peers_copy(peers, app->peers, old);

    } else {
        peer = &peers->peers[peers->n++];
        peer->place = ++sh->peers;
        peer->hash = hash;
        ngx_memcpy(&peer->addr, &instance->addr, instance->socklen);
        peer->socklen = instance->socklen;

        if (instance->addr.sockaddr.sa_family != AF_UNIX) {
            peer->text_len = ngx_sock_ntop(&peer->addr.sockaddr,
                                           peer->socklen, peer->text,
                                           NGX_HTTP_CW_PICK_TEXT, 1);
        }
    }

    if (old == NULL || (instance->up && !old->up)) {

        /* new, or back: nothing is held against it.  A slow start is for
         * those that join others */

        peer->number = ++sh->peers;
        peer->fails = 0;
        peer->pause = 0;
        peer->marked = 0;
        peer->current_weight = 0;
        peer->since = ngx_current_msec;
        peer->fresh = app->up != 0;
    }

    if (peer->weight != (ngx_int_t) instance->weight) {
        peer->weight = instance->weight;
        peer->current_weight = 0;
    }

    peer->zone = instance->zone;
    peer->up = instance->up;
    peer->secure = instance->secure;
}


static ngx_http_cw_peer_t *
ngx_http_cw_peers_find(ngx_http_cw_peers_t *peers, uint64_t hash,
    struct sockaddr *sockaddr, socklen_t socklen)
{
    ngx_uint_t  i;

    for (i = 0; i < peers->n; i++) {
        if (peers->peers[i].hash == hash
            && peers->peers[i].socklen == socklen
            && ngx_memcmp(&peers->peers[i].addr, sockaddr, socklen) == 0)
        {
            return &peers->peers[i];
        }
    }

    return NULL;
}
