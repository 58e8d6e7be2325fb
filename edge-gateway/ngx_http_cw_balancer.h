
/*
 * upstream { cw_application NAME; }: the instances of an application as the
 * servers of an upstream.
 */


#ifndef _NGX_HTTP_CW_BALANCER_H_INCLUDED_
#define _NGX_HTTP_CW_BALANCER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* before the upstream starts: CW_NO_INSTANCE when this location proxies to an
 * application that has none, else CW_OK */
enum cw_err ngx_http_cw_balancer_check(ngx_http_request_t *r);


extern ngx_module_t  ngx_http_cw_upstream_module;


#endif /* _NGX_HTTP_CW_BALANCER_H_INCLUDED_ */
