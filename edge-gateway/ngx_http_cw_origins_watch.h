
/*
 * The tenants' origins, as OriginService.Watch told them: kept in a shared
 * zone, so that they outlive a worker, a reload and the sidecar.
 */


#ifndef _NGX_HTTP_CW_ORIGINS_WATCH_H_INCLUDED_
#define _NGX_HTTP_CW_ORIGINS_WATCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_cw_link.h"
#include "ngx_http_cw_origins.h"


typedef struct {
    ngx_uint_t               wanted;         /* some location asks for them */
    size_t                   size;
    ngx_shm_zone_t          *zone;           /* data: …_origins_sh_t */
} ngx_http_cw_origins_conf_t;


ngx_int_t ngx_http_cw_origins_init(ngx_conf_t *cf,
    ngx_http_cw_origins_conf_t *conf);

/* watches from now on; before the link starts */
void ngx_http_cw_origins_start(ngx_cycle_t *cycle,
    ngx_http_cw_origins_conf_t *conf, ngx_http_cw_link_t *link);
void ngx_http_cw_origins_stop(void);

/* whether pages of this origin may call this domain, as far as is known: takes
 * the zone's mutex for a moment */
ngx_uint_t ngx_http_cw_origins_allowed(ngx_http_cw_origins_conf_t *conf,
    ngx_str_t *domain, ngx_str_t *origin);


#endif /* _NGX_HTTP_CW_ORIGINS_WATCH_H_INCLUDED_ */
