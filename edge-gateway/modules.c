
/*
 * What auto/module would generate: the three names that nginx looks up in a
 * dynamic module.
 */


#include <ngx_config.h>
#include <ngx_core.h>


extern ngx_module_t  ngx_http_cw_module;
extern ngx_module_t  ngx_http_cw_upstream_module;

extern ngx_module_t  *ngx_modules[];
extern char          *ngx_module_names[];
extern char          *ngx_module_order[];


__attribute__((visibility("default"))) ngx_module_t  *ngx_modules[] = {
    &ngx_http_cw_module,
    &ngx_http_cw_upstream_module,
    NULL
};


__attribute__((visibility("default"))) char  *ngx_module_names[] = {
    "ngx_http_cw_module",
    "ngx_http_cw_upstream_module",
    NULL
};


__attribute__((visibility("default"))) char  *ngx_module_order[] = {
    NULL
};
