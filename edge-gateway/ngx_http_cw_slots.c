
/*
 * Hands out ids and finds by them, both in constant time.
 */


#include "ngx_http_cw_slots.h"


#define NGX_HTTP_CW_SLOTS_FIRST  256
#define NGX_HTTP_CW_SLOTS_MAX    (1 << 30)


static ngx_http_cw_slot_entry_t *ngx_http_cw_slots_entry(
    ngx_http_cw_slots_t *slots, uint64_t id);


void
ngx_http_cw_slots_done(ngx_http_cw_slots_t *slots)
{
    free(slots->entries);
    slots->entries = NULL;
    slots->n = 0;
    slots->free = 0;
}


ngx_int_t
ngx_http_cw_slots_reserve(ngx_http_cw_slots_t *slots)
{
    uint32_t                   i, n;
    ngx_http_cw_slot_entry_t  *entries;

    if (slots->free != slots->n) {
        return NGX_OK;
    }

    if (slots->n >= NGX_HTTP_CW_SLOTS_MAX) {
        return NGX_ERROR;
    }

    n = slots->n ? slots->n * 2 : NGX_HTTP_CW_SLOTS_FIRST;

    entries = realloc(slots->entries, n * sizeof(ngx_http_cw_slot_entry_t));
    if (entries == NULL) {
        return NGX_ERROR;
    }

    for (i = slots->n; i < n; i++) {
        entries[i].item = NULL;
        entries[i].generation = 0;
        entries[i].next = i + 1;
    }

    slots->entries = entries;
    slots->free = slots->n;
    slots->n = n;

    return NGX_OK;
}


uint64_t
ngx_http_cw_slots_next(ngx_http_cw_slots_t *slots)
{
    return (uint64_t) slots->entries[slots->free].generation << 32
           | slots->free;
}


void
ngx_http_cw_slots_take(ngx_http_cw_slots_t *slots, void *item)
{
    ngx_http_cw_slot_entry_t  *entry;

    entry = &slots->entries[slots->free];

    entry->item = item;
    slots->free = entry->next;
}


void *
ngx_http_cw_slots_find(ngx_http_cw_slots_t *slots, uint64_t id)
{
    ngx_http_cw_slot_entry_t  *entry;

    entry = ngx_http_cw_slots_entry(slots, id);

    return entry ? entry->item : NULL;
}


void
ngx_http_cw_slots_release(ngx_http_cw_slots_t *slots, uint64_t id)
{
    ngx_http_cw_slot_entry_t  *entry;

    entry = ngx_http_cw_slots_entry(slots, id);

    if (entry == NULL || entry->item == NULL) {
        return;
    }

    entry->item = NULL;
    entry->generation++;

    entry->next = slots->free;
    slots->free = (uint32_t) id;
}


static ngx_http_cw_slot_entry_t *
ngx_http_cw_slots_entry(ngx_http_cw_slots_t *slots, uint64_t id)
{
    uint32_t  slot;

    slot = (uint32_t) id;

    if (slot >= slots->n
        || slots->entries[slot].generation != (uint32_t) (id >> 32))
    {
        return NULL;
    }

    return &slots->entries[slot];
}
