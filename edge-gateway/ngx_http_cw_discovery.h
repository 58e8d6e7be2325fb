
/*
 * The instances of applications, as Discovery.Watch told them: kept in a
 * shared zone, so that they outlive a worker, a reload and the sidecar.
 */


#ifndef _NGX_HTTP_CW_DISCOVERY_H_INCLUDED_
#define _NGX_HTTP_CW_DISCOVERY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_cw_budget.h"
#include "ngx_http_cw_link.h"
#include "ngx_http_cw_pick.h"
#include "ngx_http_cw_watch.h"


#define NGX_HTTP_CW_APP_NAME_MAX   128
#define NGX_HTTP_CW_APP_PEERS_MAX  1024
#define NGX_HTTP_CW_SEATS_MAX      256


/* in the zone; never freed.  All but next and name under the zone's mutex */

typedef struct ngx_http_cw_app_s  ngx_http_cw_app_t;

struct ngx_http_cw_app_s {
    ngx_http_cw_app_t       *next;
    ngx_http_cw_peers_t     *peers;          /* NULL: none yet */
    uint64_t                 generation;
    ngx_uint_t               up;             /* how many are */
    ngx_uint_t               seats;          /* of peers; 0: not counted */
    ngx_http_cw_budget_t     budget;
    size_t                   len;
    u_char                   name[NGX_HTTP_CW_APP_NAME_MAX];
};


typedef struct {
    ngx_http_cw_app_t       *apps;
    uint64_t                 peers;          /* numbers given */
    ngx_pid_t                seats[NGX_HTTP_CW_SEATS_MAX];
} ngx_http_cw_discovery_sh_t;


/* an application that the configuration names */

typedef struct {
    ngx_str_t                name;           /* upper case */
    ngx_http_cw_app_t       *app;            /* when the zone is there */
    ngx_uint_t               counted;        /* requests in flight are */
} ngx_http_cw_app_conf_t;


typedef struct {
    ngx_array_t              apps;           /* of …_app_conf_t * */
    size_t                   size;
    ngx_uint_t               seats;          /* of what is counted */
    ngx_shm_zone_t          *zone;
    ngx_slab_pool_t         *shpool;
} ngx_http_cw_discovery_conf_t;


ngx_int_t ngx_http_cw_discovery_init(ngx_conf_t *cf,
    ngx_http_cw_discovery_conf_t *conf);
/* the application with this name, made when there is none; NULL without
 * memory */
ngx_http_cw_app_conf_t *ngx_http_cw_discovery_add(ngx_conf_t *cf,
    ngx_http_cw_discovery_conf_t *conf, ngx_str_t *name);

/* watches from now on; before the link starts */
ngx_int_t ngx_http_cw_discovery_start(ngx_cycle_t *cycle,
    ngx_http_cw_discovery_conf_t *conf, ngx_http_cw_link_t *link);
void ngx_http_cw_discovery_stop(void);


#endif /* _NGX_HTTP_CW_DISCOVERY_H_INCLUDED_ */
