
/*
 * A request's tries at instances: chosen by the balancer (balancer), judged
 * when they have ended (try).  Nobody else includes this.
 */


#ifndef _NGX_HTTP_CW_TRY_H_INCLUDED_
#define _NGX_HTTP_CW_TRY_H_INCLUDED_


#include "ngx_http_cw_balancer.h"
#include "ngx_http_cw_discovery.h"
#include "ngx_http_cw_seats.h"


/* instances that a request has tried: without an allocation */
#define NGX_HTTP_CW_TRY_ROOM  4


typedef struct {
    ngx_http_request_t            *request;
    ngx_http_cw_upstream_conf_t   *conf;
    ngx_slab_pool_t               *shpool;

    ngx_http_cw_pick_t             pick;
    uint64_t                       first[NGX_HTTP_CW_TRY_ROOM];
    ngx_uint_t                     room;     /* in pick.tried */

    uint64_t                       place;    /* of the peer in use */
    uint64_t                       number;
    ngx_uint_t                     index;    /* where it was */

    ngx_sockaddr_t                 addr;
    ngx_str_t                      name;     /* of the upstream */
    ngx_str_t                     *told;     /* of the peer in use */

    unsigned                       sent:1;   /* to an instance before */
    unsigned                       stale:1;  /* … which did not get it */
} ngx_http_cw_try_t;


/* the upstream's peer.free, its data a ngx_http_cw_try_t */
void ngx_http_cw_try_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);


#endif /* _NGX_HTTP_CW_TRY_H_INCLUDED_ */
