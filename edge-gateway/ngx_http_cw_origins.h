
/*
 * Which web origins may call which domains, as OriginService.Watch tells
 * (proto/clinicwave/token/v1/origin.proto), in one block without pointers: it
 * is laid into a shared zone as it is, and read there without allocation.
 * Needs nginx's types only, so that it is tested and fuzzed outside of nginx.
 */


#ifndef _NGX_HTTP_CW_ORIGINS_H_INCLUDED_
#define _NGX_HTTP_CW_ORIGINS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_cw_wire.h"


/* a longer one than "https://", a name of 253 bytes and ":65535" is none */

#define NGX_HTTP_CW_ORIGIN_MAX            267
#define NGX_HTTP_CW_ORIGIN_DOMAIN_MAX     253

/* bytes of a message: offsets in a block of it fit into 32 bits */

#define NGX_HTTP_CW_ORIGINS_MESSAGE       (16 * 1024 * 1024)


typedef struct {
    uint64_t      epoch;
    uint64_t      generation;
    ngx_uint_t    provisional;

    size_t        size;              /* of the block */
    ngx_uint_t    slots;             /* in it, a power of two */
} ngx_http_cw_origins_snapshot_t;


typedef struct ngx_http_cw_origins_s  ngx_http_cw_origins_t;


/* reads a whole WatchResponse: NGX_OK, or NGX_ERROR for bytes that are no such
 * message, in any of its parts.  What can be no domain or no origin is passed
 * over */
ngx_int_t ngx_http_cw_origins_read(ngx_str_t *message,
    ngx_http_cw_origins_snapshot_t *snapshot);

/* makes the block of a message that was read, in snapshot->size bytes that are
 * aligned for anything */
ngx_http_cw_origins_t *ngx_http_cw_origins_make(void *p, ngx_str_t *message,
    ngx_http_cw_origins_snapshot_t *snapshot);

/* whether pages of this origin may call this (normalised) domain; both are
 * compared byte by byte */
ngx_uint_t ngx_http_cw_origins_find(ngx_http_cw_origins_t *origins,
    ngx_str_t *domain, ngx_str_t *origin);


#endif /* _NGX_HTTP_CW_ORIGINS_H_INCLUDED_ */
