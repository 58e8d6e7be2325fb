
/*
 * The messages of clinicwave.discovery.v1 that a worker exchanges with the
 * sidecar (proto/clinicwave/discovery/v1/discovery.proto).  Pure, as
 * ngx_http_cw_wire.h is.
 */


#ifndef _NGX_HTTP_CW_WATCH_H_INCLUDED_
#define _NGX_HTTP_CW_WATCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_cw_wire.h"


#define NGX_HTTP_CW_WEIGHT_MAX            1000

/* InstanceStatus */

#define NGX_HTTP_CW_STATUS_UP             1


typedef struct {
    uint64_t             generation;
    ngx_uint_t           provisional;
} ngx_http_cw_watch_snapshot_t;


typedef struct {
    ngx_str_t            name;
    ngx_str_t            instances;      /* for …_watch_instance() */
} ngx_http_cw_watch_app_t;


typedef struct {
    ngx_str_t            id;
    ngx_uint_t           weight;         /* 1 to NGX_HTTP_CW_WEIGHT_MAX */
    uint64_t             zone;           /* hash of its name, 0: none */
    socklen_t            socklen;

    union {
        struct sockaddr      sockaddr;
        struct sockaddr_in   in;
        struct sockaddr_in6  in6;
        struct sockaddr_un   un;
    } addr;

    unsigned             up:1;
    unsigned             secure:1;
} ngx_http_cw_watch_instance_t;


/* WatchRequest of these names; with p == NULL only its size */
size_t ngx_http_cw_watch_request(u_char *p, ngx_str_t *names, ngx_uint_t n);

/* reads a whole WatchResponse: NGX_OK, or NGX_ERROR for bytes that are no such
 * message, in any of its parts */
ngx_int_t ngx_http_cw_watch_snapshot(ngx_str_t *message,
    ngx_http_cw_watch_snapshot_t *snapshot);

/* takes the next application off a message, and the next instance off an
 * application: NGX_OK, NGX_DONE at the end, NGX_ERROR.  An instance without a
 * usable address is NGX_DECLINED: the next may be better */
ngx_int_t ngx_http_cw_watch_app(ngx_str_t *message,
    ngx_http_cw_watch_app_t *app);
ngx_int_t ngx_http_cw_watch_instance(ngx_str_t *instances,
    ngx_http_cw_watch_instance_t *instance);


#endif /* _NGX_HTTP_CW_WATCH_H_INCLUDED_ */
