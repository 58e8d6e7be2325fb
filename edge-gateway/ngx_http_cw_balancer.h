
/*
 * upstream { cw_application NAME; }: the instances of an application as the
 * servers of an upstream.
 */


#ifndef _NGX_HTTP_CW_BALANCER_H_INCLUDED_
#define _NGX_HTTP_CW_BALANCER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_cw_discovery.h"
#include "ngx_http_cw_pick.h"


/* of an upstream; http's own is what they inherit */

typedef struct {
    ngx_http_cw_app_conf_t    *app;          /* NULL: not one of ours */
    ngx_http_cw_fails_t        fails;
    ngx_msec_t                 slow_start;   /* 0: none */
    ngx_uint_t                 policy;
    ngx_http_complex_value_t  *key;          /* of NGX_HTTP_CW_PICK_HASH */
    ngx_http_complex_value_t  *zone;         /* NULL: no preference */
    ngx_http_cw_budget_conf_t *budget;       /* NULL: not said here */
} ngx_http_cw_upstream_conf_t;


/* before the upstream starts: CW_NO_INSTANCE when this location proxies to an
 * application that has none, else CW_OK */
enum cw_err ngx_http_cw_balancer_check(ngx_http_request_t *r);

/* the upstream's peer.init */
ngx_int_t ngx_http_cw_balancer_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);


/* the directive "cw_application" */
char *ngx_http_cw_application(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
/* the upstream's peer.init_upstream */
ngx_int_t ngx_http_cw_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);


extern ngx_module_t  ngx_http_cw_upstream_module;


#endif /* _NGX_HTTP_CW_BALANCER_H_INCLUDED_ */
