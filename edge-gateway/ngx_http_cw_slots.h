
/*
 * Numbers for questions in flight: a slot, and how often it was used before,
 * so that an answer that comes late finds nobody.  Grows as needed.
 */


#ifndef _NGX_HTTP_CW_SLOTS_H_INCLUDED_
#define _NGX_HTTP_CW_SLOTS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    void        *item;               /* NULL: free */
    uint32_t     generation;
    uint32_t     next;               /* free slot after this one */
} ngx_http_cw_slot_entry_t;


/* zero-filled is an empty table */

typedef struct {
    ngx_http_cw_slot_entry_t  *entries;
    uint32_t                   n;
    uint32_t                   free;     /* n: none */
} ngx_http_cw_slots_t;


void ngx_http_cw_slots_done(ngx_http_cw_slots_t *slots);

/* makes sure that a slot is free: NGX_OK, or NGX_ERROR without memory */
ngx_int_t ngx_http_cw_slots_reserve(ngx_http_cw_slots_t *slots);
/* the id that the next take gives; after reserve */
uint64_t ngx_http_cw_slots_next(ngx_http_cw_slots_t *slots);
void ngx_http_cw_slots_take(ngx_http_cw_slots_t *slots, void *item);

/* NULL: nobody has this id, or not any more */
void *ngx_http_cw_slots_find(ngx_http_cw_slots_t *slots, uint64_t id);
void ngx_http_cw_slots_release(ngx_http_cw_slots_t *slots, uint64_t id);


#endif /* _NGX_HTTP_CW_SLOTS_H_INCLUDED_ */
