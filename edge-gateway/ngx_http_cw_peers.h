
/*
 * Lists of instances in the shared zone.
 */


#ifndef _NGX_HTTP_CW_PEERS_H_INCLUDED_
#define _NGX_HTTP_CW_PEERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_cw_discovery.h"


/* all under the zone's mutex */

/* the list after app's present one, with what was learned of those that stay;
 * provisional: those that are not told stay, too.  NULL without memory */
ngx_http_cw_peers_t *ngx_http_cw_peers_told(
    ngx_http_cw_discovery_conf_t *conf, ngx_http_cw_app_t *app,
    ngx_http_cw_watch_app_t *told, ngx_uint_t provisional);

/* rows for all seats, from the first upstream on that counts: NGX_OK, or
 * NGX_ERROR without memory */
ngx_int_t ngx_http_cw_peers_widen(ngx_slab_pool_t *shpool,
    ngx_http_cw_app_conf_t *ac, ngx_uint_t seats);


#endif /* _NGX_HTTP_CW_PEERS_H_INCLUDED_ */
