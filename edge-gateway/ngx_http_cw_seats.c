
/*
 * Requests in flight are counted for all workers, and each worker knows its
 * part: that is taken back when the worker is gone, however it went.
 */


#include "ngx_http_cw_seats.h"

#include <signal.h>


#define NGX_HTTP_CW_SEATS_MIN    16
#define NGX_HTTP_CW_SEATS_SWEEP  1000        /* milliseconds */


static void ngx_http_cw_seats_handler(ngx_event_t *ev);
static void ngx_http_cw_seats_sweep(ngx_http_cw_discovery_conf_t *conf);
static void ngx_http_cw_seats_vacate(ngx_http_cw_discovery_sh_t *sh,
    ngx_uint_t seat);


/* of this worker */

static ngx_uint_t   ngx_http_cw_seats_own = NGX_HTTP_CW_SEATS_MAX;
static ngx_event_t  ngx_http_cw_seats_event;


ngx_uint_t
ngx_http_cw_seats_wanted(ngx_conf_t *cf)
{
    ngx_int_t         n;
    ngx_core_conf_t  *ccf;

    /* worker_processes may stand further down */

    ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_core_module);

    n = ngx_max(ccf->worker_processes, ngx_ncpu);
    n = ngx_max(4 * n, NGX_HTTP_CW_SEATS_MIN);

    return ngx_min(n, NGX_HTTP_CW_SEATS_MAX);
}


void
ngx_http_cw_seats_start(ngx_cycle_t *cycle, ngx_http_cw_discovery_conf_t *conf)
{
    ngx_uint_t                    i, counted;
    ngx_event_t                  *ev;
    ngx_http_cw_app_conf_t      **ac;
    ngx_http_cw_discovery_sh_t   *sh;

    ac = conf->apps.elts;
    counted = 0;

    for (i = 0; i < conf->apps.nelts; i++) {
        counted |= ac[i]->counted;
    }

    if (!counted) {
        return;
    }

    sh = conf->shpool->data;

    ngx_shmtx_lock(&conf->shpool->mutex);

    ngx_http_cw_seats_sweep(conf);

    for (i = 0; i < NGX_HTTP_CW_SEATS_MAX; i++) {
        if (sh->seats[i] == ngx_pid) {
            ngx_http_cw_seats_vacate(sh, i); /* of one before with this pid */
        }
    }

    for (i = 0; i < NGX_HTTP_CW_SEATS_MAX; i++) {
        if (sh->seats[i] == 0) {
            sh->seats[i] = ngx_pid;
            ngx_http_cw_seats_own = i;
            break;
        }
    }

    ngx_shmtx_unlock(&conf->shpool->mutex);

    ev = &ngx_http_cw_seats_event;

    ev->handler = ngx_http_cw_seats_handler;
    ev->data = conf;
    ev->log = cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_HTTP_CW_SEATS_SWEEP);
}


void
ngx_http_cw_seats_stop(void)
{
    ngx_http_cw_discovery_sh_t    *sh;
    ngx_http_cw_discovery_conf_t  *conf;

    conf = ngx_http_cw_seats_event.data;

    if (conf == NULL) {
        return;
    }

    if (ngx_http_cw_seats_event.timer_set) {
        ngx_del_timer(&ngx_http_cw_seats_event);
    }

    ngx_http_cw_seats_event.data = NULL;

    if (ngx_http_cw_seats_own == NGX_HTTP_CW_SEATS_MAX) {
        return;
    }

    sh = conf->shpool->data;

    ngx_shmtx_lock(&conf->shpool->mutex);
    ngx_http_cw_seats_vacate(sh, ngx_http_cw_seats_own);
    ngx_shmtx_unlock(&conf->shpool->mutex);

    ngx_http_cw_seats_own = NGX_HTTP_CW_SEATS_MAX;
}


ngx_uint_t
ngx_http_cw_seat(void)
{
    return ngx_http_cw_seats_own;
}


static void
ngx_http_cw_seats_handler(ngx_event_t *ev)
{
    ngx_http_cw_discovery_conf_t *conf = ev->data;

    ngx_shmtx_lock(&conf->shpool->mutex);
    ngx_http_cw_seats_sweep(conf);
    ngx_shmtx_unlock(&conf->shpool->mutex);

    ngx_add_timer(ev, NGX_HTTP_CW_SEATS_SWEEP);
}


/* under the mutex.  A worker that was killed is gone once the master has
 * waited for it */

static void
ngx_http_cw_seats_sweep(ngx_http_cw_discovery_conf_t *conf)
{
    ngx_uint_t                   i;
    ngx_http_cw_discovery_sh_t  *sh;

    sh = conf->shpool->data;

    for (i = 0; i < NGX_HTTP_CW_SEATS_MAX; i++) {

        if (sh->seats[i] && sh->seats[i] != ngx_pid
            && kill(sh->seats[i], 0) == -1 && ngx_errno == NGX_ESRCH)
        {
            ngx_http_cw_seats_vacate(sh, i);
        }
    }
}


static void
ngx_http_cw_seats_vacate(ngx_http_cw_discovery_sh_t *sh, ngx_uint_t seat)
{
    ngx_http_cw_app_t  *app;

    for (app = sh->apps; app; app = app->next) {
        if (app->peers) {
            ngx_http_cw_pick_vacate(app->peers, seat);
        }
    }

    sh->seats[seat] = 0;
}
