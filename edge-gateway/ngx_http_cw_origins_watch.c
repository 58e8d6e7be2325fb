
/*
 * Watches the tenants' origins and lays each snapshot into the shared zone.
 * Every worker does, so that none depends on another's life; who comes first
 * with a snapshot does the work.
 */


#include "ngx_http_cw_module.h"


#define NGX_HTTP_CW_ORIGINS_RETRY  1000


/* in the zone; under its mutex */

typedef struct {
    ngx_http_cw_origins_t         *origins;  /* NULL: none */
    uint64_t                       epoch;
    uint64_t                       generation;
} ngx_http_cw_origins_sh_t;


/* of this worker */

typedef struct {
    ngx_http_cw_origins_conf_t    *conf;
    ngx_http_cw_link_t            *link;
    ngx_http_cw_link_user_t        user;
    ngx_http_cw_call_t            *call;
    ngx_event_t                    retry;
    ngx_log_t                     *log;

    unsigned                       complained:1;
} ngx_http_cw_origins_watch_t;


static ngx_int_t ngx_http_cw_origins_init_zone(ngx_shm_zone_t *zone,
    void *data);
static void ngx_http_cw_origins_open(ngx_http_cw_origins_watch_t *watch);
static void ngx_http_cw_origins_up(ngx_http_cw_link_t *link, void *data);
static void ngx_http_cw_origins_retry_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_cw_origins_message(ngx_http_cw_call_t *call,
    void *data, u_char *p, size_t len);
static void ngx_http_cw_origins_closed(ngx_http_cw_call_t *call, void *data,
    ngx_uint_t status);
static ngx_uint_t ngx_http_cw_origins_known(ngx_http_cw_origins_sh_t *sh,
    ngx_http_cw_origins_snapshot_t *snapshot);
static ngx_int_t ngx_http_cw_origins_lay(ngx_shm_zone_t *zone,
    ngx_http_cw_origins_t *origins, ngx_http_cw_origins_snapshot_t *snapshot);


static ngx_http_cw_origins_watch_t  ngx_http_cw_origins_watch;


static ngx_http_cw_call_type_t  ngx_http_cw_origins_call = {
    ngx_string("/clinicwave.token.v1.OriginService/Watch"),
    NGX_HTTP_CW_ORIGINS_MESSAGE,
    ngx_http_cw_origins_message,
    NULL,
    NULL,
    ngx_http_cw_origins_closed
};


ngx_int_t
ngx_http_cw_origins_init(ngx_conf_t *cf, ngx_http_cw_origins_conf_t *conf)
{
    ngx_str_t  name = ngx_string("cw_origins");

    if (!conf->wanted) {
        return NGX_OK;
    }

    conf->zone = ngx_shared_memory_add(cf, &name, conf->size,
                                       &ngx_http_cw_module);
    if (conf->zone == NULL) {
        return NGX_ERROR;
    }

    conf->zone->init = ngx_http_cw_origins_init_zone;

    return NGX_OK;
}


/* data: what was there before a reload, in the zone that this still is */

static ngx_int_t
ngx_http_cw_origins_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data || zone->shm.exists) {
        zone->data = shpool->data;
        return NGX_OK;
    }

    zone->data = ngx_slab_calloc(shpool, sizeof(ngx_http_cw_origins_sh_t));
    shpool->data = zone->data;
    shpool->log_nomem = 0;

    return zone->data ? NGX_OK : NGX_ERROR;
}


void
ngx_http_cw_origins_start(ngx_cycle_t *cycle,
    ngx_http_cw_origins_conf_t *conf, ngx_http_cw_link_t *link)
{
    ngx_http_cw_origins_watch_t  *watch;

    watch = &ngx_http_cw_origins_watch;

    ngx_memzero(watch, sizeof(ngx_http_cw_origins_watch_t));

    if (!conf->wanted) {
        return;
    }

    watch->conf = conf;
    watch->link = link;
    watch->log = cycle->log;

    watch->retry.handler = ngx_http_cw_origins_retry_handler;
    watch->retry.data = watch;
    watch->retry.log = cycle->log;
    watch->retry.cancelable = 1;

    watch->user.up = ngx_http_cw_origins_up;
    watch->user.data = watch;

    ngx_http_cw_link_add_user(link, &watch->user);
}


void
ngx_http_cw_origins_stop(void)
{
    if (ngx_http_cw_origins_watch.retry.timer_set) {
        ngx_del_timer(&ngx_http_cw_origins_watch.retry);
    }

    ngx_http_cw_origins_watch.link = NULL;
}


ngx_uint_t
ngx_http_cw_origins_allowed(ngx_http_cw_origins_conf_t *conf,
    ngx_str_t *domain, ngx_str_t *origin)
{
    ngx_uint_t                 allowed;
    ngx_slab_pool_t           *shpool;
    ngx_http_cw_origins_sh_t  *sh;

    sh = conf->zone->data;
    shpool = (ngx_slab_pool_t *) conf->zone->shm.addr;

    ngx_shmtx_lock(&shpool->mutex);

    allowed = sh->origins
              && ngx_http_cw_origins_find(sh->origins, domain, origin);

    ngx_shmtx_unlock(&shpool->mutex);

    ngx_http_cw_count(allowed ? NGX_HTTP_CW_COUNT_ORIGIN_ALLOWED
                              : NGX_HTTP_CW_COUNT_ORIGIN_REFUSED);

    return allowed;
}


static void
ngx_http_cw_origins_up(ngx_http_cw_link_t *link, void *data)
{
    ngx_http_cw_origins_open(data);
}


static void
ngx_http_cw_origins_retry_handler(ngx_event_t *ev)
{
    ngx_http_cw_origins_watch_t *watch = ev->data;

    if (watch->link && ngx_http_cw_link_is_up(watch->link)) {
        ngx_http_cw_origins_open(watch);
    }
}


static void
ngx_http_cw_origins_open(ngx_http_cw_origins_watch_t *watch)
{
    if (watch->call) {
        return;
    }

    watch->call = ngx_http_cw_call_open(watch->link,
                                        &ngx_http_cw_origins_call, watch);

    if (watch->call) {

        if (ngx_http_cw_call_reserve(watch->call, 0)) {
            ngx_http_cw_call_commit(watch->call, 0, 1);
            return;
        }

        ngx_http_cw_call_cancel(watch->call);
        watch->call = NULL;
    }

    if (!watch->retry.timer_set) {
        ngx_add_timer(&watch->retry, NGX_HTTP_CW_ORIGINS_RETRY);
    }
}


/* what is known stays */

static void
ngx_http_cw_origins_closed(ngx_http_cw_call_t *call, void *data,
    ngx_uint_t status)
{
    ngx_http_cw_origins_watch_t *watch = data;

    watch->call = NULL;

    if (watch->link == NULL) {
        return;
    }

    if (status == CW_GRPC_UNIMPLEMENTED) {

        /* the next connection may be a newer sidecar's */

        if (!watch->complained) {
            watch->complained = 1;
            ngx_log_error(NGX_LOG_ERR, watch->log, 0,
                          "the sidecar is an older one, which tells no "
                          "origins of tenants: \"cw_cors tenant\" learns "
                          "nothing from it");
        }

        return;
    }

    if (!watch->complained && status != CW_GRPC_UNAVAILABLE) {
        watch->complained = 1;
        ngx_log_error(NGX_LOG_ERR, watch->log, 0,
                      "sidecar ended OriginService.Watch with grpc-status "
                      "%ui", status);
    }

    if (!watch->retry.timer_set) {
        ngx_add_timer(&watch->retry, NGX_HTTP_CW_ORIGINS_RETRY);
    }
}


static ngx_int_t
ngx_http_cw_origins_message(ngx_http_cw_call_t *call, void *data, u_char *p,
    size_t len)
{
    void                            *memory;
    ngx_int_t                        rc;
    ngx_str_t                        message;
    ngx_uint_t                       known;
    ngx_shm_zone_t                  *zone;
    ngx_slab_pool_t                 *shpool;
    ngx_http_cw_origins_t           *origins;
    ngx_http_cw_origins_watch_t     *watch = data;
    ngx_http_cw_origins_snapshot_t   snapshot;

    message.data = p;
    message.len = len;

    if (ngx_http_cw_origins_read(&message, &snapshot) != NGX_OK) {
        return NGX_ERROR;
    }

    watch->complained = 0;

    zone = watch->conf->zone;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    ngx_shmtx_lock(&shpool->mutex);
    known = ngx_http_cw_origins_known(zone->data, &snapshot);
    ngx_shmtx_unlock(&shpool->mutex);

    if (known) {
        return NGX_OK;
    }

    /* without memory as without room: the link is for verdicts, too */

    memory = ngx_alloc(snapshot.size, watch->log);
    origins = memory ? ngx_http_cw_origins_make(memory, &message, &snapshot)
                     : NULL;

    rc = ngx_http_cw_origins_lay(zone, origins, &snapshot);

    if (memory) {
        ngx_free(memory);
    }

    if (rc == NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, watch->log, 0,
                      "origins of tenants: %uz bytes%s", snapshot.size,
                      snapshot.provisional ? " (provisional)" : "");

    } else if (rc == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, watch->log, 0,
                      "%s for %uz bytes: no origin of a tenant is allowed",
                      origins ? "\"cw_origins_zone\" is too small"
                              : "no memory",
                      snapshot.size);
    }

    return NGX_OK;
}


/*
 * Whether the zone says it already, or something newer.  Generations count
 * within an epoch: another one is another sidecar's, which is believed, unless
 * it says itself that it does not know yet.
 */

static ngx_uint_t
ngx_http_cw_origins_known(ngx_http_cw_origins_sh_t *sh,
    ngx_http_cw_origins_snapshot_t *snapshot)
{
    if (sh->epoch == snapshot->epoch
        && sh->generation >= snapshot->generation)
    {
        return 1;
    }

    return snapshot->provisional && sh->origins;
}


/*
 * NGX_DECLINED: another worker was first.  NGX_ERROR: it does not fit; then
 * nothing is allowed, since what was allowed before may not be now.  The
 * pointer moves when what it points to is complete: this worker may be killed
 * anywhere.
 */

static ngx_int_t
ngx_http_cw_origins_lay(ngx_shm_zone_t *zone, ngx_http_cw_origins_t *origins,
    ngx_http_cw_origins_snapshot_t *snapshot)
{
    void                      *p, *old;
    ngx_slab_pool_t           *shpool;
    ngx_http_cw_origins_sh_t  *sh;

    sh = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    ngx_shmtx_lock(&shpool->mutex);

    if (ngx_http_cw_origins_known(sh, snapshot)) {
        ngx_shmtx_unlock(&shpool->mutex);
        return NGX_DECLINED;
    }

    old = sh->origins;
    p = NULL;

    if (origins) {
        p = ngx_slab_alloc_locked(shpool, snapshot->size);
    }

    if (p == NULL && old) {

        /* there is no room for both */

        sh->origins = NULL;
        sh->epoch = 0;
        ngx_memory_barrier();

        ngx_slab_free_locked(shpool, old);
        old = NULL;

        if (origins) {
            p = ngx_slab_alloc_locked(shpool, snapshot->size);
        }
    }

    if (p) {
        ngx_memcpy(p, origins, snapshot->size);
        ngx_memory_barrier();
    }

    sh->origins = p;
    sh->epoch = snapshot->epoch;
    sh->generation = snapshot->generation;

    if (old) {
        ngx_memory_barrier();
        ngx_slab_free_locked(shpool, old);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return p ? NGX_OK : NGX_ERROR;
}
