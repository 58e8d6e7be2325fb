
/*
 * Watches the applications that the configuration names and lays each
 * snapshot into the shared zone.  Every worker does, so that none depends on
 * another's life; who comes first with a generation does the work.
 */


#include "ngx_http_cw_module.h"
#include "ngx_http_cw_balancer.h"
#include "ngx_http_cw_discovery.h"
#include "ngx_http_cw_peers.h"
#include "ngx_http_cw_seats.h"


#define NGX_HTTP_CW_DISCOVERY_MESSAGE  (4 * 1024 * 1024)
#define NGX_HTTP_CW_DISCOVERY_RETRY    1000


/* of this worker */

typedef struct {
    ngx_http_cw_discovery_conf_t  *conf;
    ngx_http_cw_link_t            *link;
    ngx_http_cw_link_user_t        user;
    ngx_http_cw_call_t            *call;
    ngx_event_t                    retry;
    ngx_log_t                     *log;

    unsigned                       fresh:1;  /* no message on this call yet */
    unsigned                       complained:1;
} ngx_http_cw_discovery_t;


static ngx_int_t ngx_http_cw_discovery_init_zone(ngx_shm_zone_t *zone,
    void *data);
static ngx_http_cw_app_t *ngx_http_cw_discovery_node(
    ngx_http_cw_discovery_sh_t *sh, ngx_slab_pool_t *shpool, ngx_str_t *name);
static void ngx_http_cw_discovery_open(ngx_http_cw_discovery_t *discovery);
static void ngx_http_cw_discovery_up(ngx_http_cw_link_t *link, void *data);
static void ngx_http_cw_discovery_retry_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_cw_discovery_message(ngx_http_cw_call_t *call,
    void *data, u_char *p, size_t len);
static void ngx_http_cw_discovery_closed(ngx_http_cw_call_t *call, void *data,
    ngx_uint_t status);
static void ngx_http_cw_discovery_apply(ngx_http_cw_discovery_t *discovery,
    ngx_http_cw_app_t *app, ngx_http_cw_watch_app_t *told,
    ngx_http_cw_watch_snapshot_t *snapshot);


static ngx_http_cw_discovery_t  ngx_http_cw_discovery;


static ngx_http_cw_call_type_t  ngx_http_cw_discovery_call = {
    ngx_string("/clinicwave.discovery.v1.DiscoveryService/Watch"),
    NGX_HTTP_CW_DISCOVERY_MESSAGE,
    ngx_http_cw_discovery_message,
    NULL,
    NULL,
    ngx_http_cw_discovery_closed
};


ngx_http_cw_app_conf_t *
ngx_http_cw_discovery_add(ngx_conf_t *cf, ngx_http_cw_discovery_conf_t *conf,
    ngx_str_t *name)
{
    u_char                   *p;
    ngx_uint_t                i;
    ngx_http_cw_app_conf_t   *ac, **acp;

    p = ngx_pnalloc(cf->pool, name->len);
    if (p == NULL) {
        return NULL;
    }

    for (i = 0; i < name->len; i++) {
        p[i] = ngx_toupper(name->data[i]);
    }

    acp = conf->apps.elts;

    for (i = 0; i < conf->apps.nelts; i++) {
        if (acp[i]->name.len == name->len
            && ngx_memcmp(acp[i]->name.data, p, name->len) == 0)
        {
            return acp[i];
        }
    }

    ac = ngx_pcalloc(cf->pool, sizeof(ngx_http_cw_app_conf_t));
    if (ac == NULL) {
        return NULL;
    }

    ac->name.data = p;
    ac->name.len = name->len;

    acp = ngx_array_push(&conf->apps);
    if (acp == NULL) {
        return NULL;
    }

    *acp = ac;

    return ac;
}


ngx_int_t
ngx_http_cw_discovery_init(ngx_conf_t *cf, ngx_http_cw_discovery_conf_t *conf)
{
    ngx_str_t  name = ngx_string("cw_discovery");

    if (conf->apps.nelts == 0) {
        return NGX_OK;
    }

    conf->zone = ngx_shared_memory_add(cf, &name, conf->size,
                                       &ngx_http_cw_upstream_module);
    if (conf->zone == NULL) {
        return NGX_ERROR;
    }

    conf->seats = ngx_http_cw_seats_wanted(cf);
    conf->zone->init = ngx_http_cw_discovery_init_zone;
    conf->zone->data = conf;

    return NGX_OK;
}


/* data: the configuration before a reload, whose zone this still is */

static ngx_int_t
ngx_http_cw_discovery_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_uint_t                     i;
    ngx_slab_pool_t               *shpool;
    ngx_http_cw_app_conf_t       **ac;
    ngx_http_cw_discovery_sh_t    *sh;
    ngx_http_cw_discovery_conf_t  *conf;

    conf = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data || zone->shm.exists) {
        sh = shpool->data;

    } else {
        sh = ngx_slab_calloc(shpool, sizeof(ngx_http_cw_discovery_sh_t));
        if (sh == NULL) {
            return NGX_ERROR;
        }

        shpool->data = sh;
        shpool->log_nomem = 0;
    }

    conf->shpool = shpool;
    ac = conf->apps.elts;

    ngx_shmtx_lock(&shpool->mutex);

    for (i = 0; i < conf->apps.nelts; i++) {

        ac[i]->app = ngx_http_cw_discovery_node(sh, shpool, &ac[i]->name);

        if (ac[i]->app == NULL
            || ngx_http_cw_peers_widen(shpool, ac[i], conf->seats)
               != NGX_OK)
        {
            ngx_shmtx_unlock(&shpool->mutex);

            ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                          "\"cw_discovery_zone\" is too small for the "
                          "applications");
            return NGX_ERROR;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return NGX_OK;
}


static ngx_http_cw_app_t *
ngx_http_cw_discovery_node(ngx_http_cw_discovery_sh_t *sh,
    ngx_slab_pool_t *shpool, ngx_str_t *name)
{
    ngx_http_cw_app_t  *app;

    for (app = sh->apps; app; app = app->next) {
        if (app->len == name->len
            && ngx_memcmp(app->name, name->data, name->len) == 0)
        {
            return app;
        }
    }

    app = ngx_slab_calloc_locked(shpool, sizeof(ngx_http_cw_app_t));
    if (app == NULL) {
        return NULL;
    }

    app->len = name->len;
    ngx_memcpy(app->name, name->data, name->len);

    app->next = sh->apps;
    sh->apps = app;

    return app;
}


ngx_int_t
ngx_http_cw_discovery_start(ngx_cycle_t *cycle,
    ngx_http_cw_discovery_conf_t *conf, ngx_http_cw_link_t *link)
{
    ngx_http_cw_discovery_t  *discovery;

    discovery = &ngx_http_cw_discovery;

    if (conf->apps.nelts == 0) {
        return NGX_OK;
    }

    ngx_memzero(discovery, sizeof(ngx_http_cw_discovery_t));

    discovery->conf = conf;
    discovery->link = link;
    discovery->log = cycle->log;

    discovery->retry.handler = ngx_http_cw_discovery_retry_handler;
    discovery->retry.data = discovery;
    discovery->retry.log = cycle->log;
    discovery->retry.cancelable = 1;

    discovery->user.up = ngx_http_cw_discovery_up;
    discovery->user.data = discovery;

    ngx_http_cw_link_add_user(link, &discovery->user);

    ngx_http_cw_seats_start(cycle, conf);

    return NGX_OK;
}


void
ngx_http_cw_discovery_stop(void)
{
    if (ngx_http_cw_discovery.retry.timer_set) {
        ngx_del_timer(&ngx_http_cw_discovery.retry);
    }

    ngx_http_cw_discovery.link = NULL;

    ngx_http_cw_seats_stop();
}


static void
ngx_http_cw_discovery_up(ngx_http_cw_link_t *link, void *data)
{
    ngx_http_cw_discovery_open(data);
}


static void
ngx_http_cw_discovery_retry_handler(ngx_event_t *ev)
{
    ngx_http_cw_discovery_t  *discovery = ev->data;

    if (discovery->link && ngx_http_cw_link_is_up(discovery->link)) {
        ngx_http_cw_discovery_open(discovery);
    }
}


static void
ngx_http_cw_discovery_open(ngx_http_cw_discovery_t *discovery)
{
    size_t                         size;
    u_char                        *p;
    ngx_str_t                     *names;
    ngx_uint_t                     i, n;
    ngx_http_cw_app_conf_t       **ac;

    if (discovery->call) {
        return;
    }

    n = discovery->conf->apps.nelts;
    ac = discovery->conf->apps.elts;

    names = ngx_alloc(n * sizeof(ngx_str_t), discovery->log);
    if (names == NULL) {
        goto later;
    }

    for (i = 0; i < n; i++) {
        names[i] = ac[i]->name;
    }

    discovery->call = ngx_http_cw_call_open(discovery->link,
                                            &ngx_http_cw_discovery_call,
                                            discovery);
    if (discovery->call == NULL) {
        ngx_free(names);
        goto later;
    }

    discovery->fresh = 1;

    size = ngx_http_cw_watch_request(NULL, names, n);
    p = ngx_http_cw_call_reserve(discovery->call, size);

    if (p == NULL) {
        ngx_free(names);
        ngx_http_cw_call_cancel(discovery->call);
        discovery->call = NULL;
        goto later;
    }

    (void) ngx_http_cw_watch_request(p, names, n);
    ngx_http_cw_call_commit(discovery->call, size, 1);

    ngx_free(names);

    return;

later:

    if (!discovery->retry.timer_set) {
        ngx_add_timer(&discovery->retry, NGX_HTTP_CW_DISCOVERY_RETRY);
    }
}


static void
ngx_http_cw_discovery_closed(ngx_http_cw_call_t *call, void *data,
    ngx_uint_t status)
{
    ngx_http_cw_discovery_t  *discovery = data;

    discovery->call = NULL;

    if (discovery->link == NULL) {
        return;
    }

    /* what is known stays; a new connection opens the call again, and if the
     * connection stands, this does */

    if (!discovery->complained && status != CW_GRPC_UNAVAILABLE) {
        discovery->complained = 1;
        ngx_log_error(NGX_LOG_ERR, discovery->log, 0,
                      "sidecar ended Discovery.Watch with grpc-status %ui",
                      status);
    }

    if (!discovery->retry.timer_set) {
        ngx_add_timer(&discovery->retry, NGX_HTTP_CW_DISCOVERY_RETRY);
    }
}


static ngx_int_t
ngx_http_cw_discovery_message(ngx_http_cw_call_t *call, void *data, u_char *p,
    size_t len)
{
    ngx_str_t                      message;
    ngx_uint_t                     i;
    ngx_http_cw_app_conf_t       **ac;
    ngx_http_cw_watch_app_t        told;
    ngx_http_cw_discovery_t       *discovery = data;
    ngx_http_cw_watch_snapshot_t   snapshot;

    message.data = p;
    message.len = len;

    if (ngx_http_cw_watch_snapshot(&message, &snapshot) != NGX_OK) {
        return NGX_ERROR;
    }

    ac = discovery->conf->apps.elts;

    while (ngx_http_cw_watch_app(&message, &told) == NGX_OK) {

        for (i = 0; i < discovery->conf->apps.nelts; i++) {
            if (ac[i]->name.len == told.name.len
                && ngx_memcmp(ac[i]->name.data, told.name.data, told.name.len)
                   == 0)
            {
                ngx_http_cw_discovery_apply(discovery, ac[i]->app, &told,
                                            &snapshot);
                break;
            }
        }
    }

    discovery->fresh = 0;
    discovery->complained = 0;

    return NGX_OK;
}


static void
ngx_http_cw_discovery_apply(ngx_http_cw_discovery_t *discovery,
    ngx_http_cw_app_t *app, ngx_http_cw_watch_app_t *told,
    ngx_http_cw_watch_snapshot_t *snapshot)
{
    ngx_uint_t            i, up;
    ngx_slab_pool_t      *shpool;
    ngx_http_cw_peers_t  *peers, *old;

    shpool = discovery->conf->shpool;

    ngx_shmtx_lock(&shpool->mutex);

    /* a generation that falls is another sidecar's, or the clock's: the first
     * message of a call is believed */

    if (snapshot->generation == app->generation
        || (snapshot->generation < app->generation && !discovery->fresh))
    {
        ngx_shmtx_unlock(&shpool->mutex);
        return;
    }

    peers = ngx_http_cw_peers_told(discovery->conf, app, told,
                                   snapshot->provisional);
    if (peers == NULL) {
        ngx_shmtx_unlock(&shpool->mutex);

        ngx_log_error(NGX_LOG_ALERT, discovery->log, 0,
                      "\"cw_discovery_zone\" is too small for the instances "
                      "of \"%V\"", &told->name);
        return;
    }

    for (i = 0, up = 0; i < peers->n; i++) {
        up += peers->peers[i].up;
    }

    old = app->peers;
    app->peers = peers;
    app->up = up;
    app->generation = snapshot->generation;

    if (old) {
        ngx_slab_free_locked(shpool, old);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    ngx_log_error(NGX_LOG_INFO, discovery->log, 0,
                  "%V has %ui instances, %ui of them up%s", &told->name,
                  peers->n, up, snapshot->provisional ? " (provisional)" : "");
}
