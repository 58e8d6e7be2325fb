
/*
 * Seats: who of the workers counts which requests in the zone of the
 * instances.  A worker that dies leaves its seat, and what it held is given
 * back by the others.
 */


#ifndef _NGX_HTTP_CW_SEATS_H_INCLUDED_
#define _NGX_HTTP_CW_SEATS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_cw_discovery.h"


/* for an instance's row: enough for the workers of some reloads */
ngx_uint_t ngx_http_cw_seats_wanted(ngx_conf_t *cf);

/* takes a seat for this worker and looks after the others' from now on, when
 * an application needs it */
void ngx_http_cw_seats_start(ngx_cycle_t *cycle,
    ngx_http_cw_discovery_conf_t *conf);
void ngx_http_cw_seats_stop(void);

/* this worker's; without one, beyond all rows: nothing is counted */
ngx_uint_t ngx_http_cw_seat(void);


#endif /* _NGX_HTTP_CW_SEATS_H_INCLUDED_ */
