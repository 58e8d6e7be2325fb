
/*
 * A block is a table of domains, and behind it the texts:
 *
 *   +------+---------------------+--------------------------------------+
 *   | mask | slots: hash, domain | lists: origin origin … "" domain …   |
 *   |      |        list         | (a length of two bytes, then bytes)  |
 *   +------+---------------------+--------------------------------------+
 *
 * A tenant's domains share one list.  Open addressing; offset 0 is free.
 */


#include "ngx_http_cw_origins.h"
#include "ngx_http_cw_pick.h"


#define NGX_HTTP_CW_ORIGINS_BYTES    2       /* length-delimited */
#define NGX_HTTP_CW_ORIGINS_TENANT   4       /* fields of WatchResponse */
#define NGX_HTTP_CW_ORIGINS_DOMAIN   1       /* fields of TenantOrigins */
#define NGX_HTTP_CW_ORIGINS_ORIGIN   2


typedef struct {
    uint32_t     hash;
    uint32_t     domain;
    uint32_t     list;
} ngx_http_cw_origins_slot_t;


struct ngx_http_cw_origins_s {
    uint32_t                     mask;
    ngx_http_cw_origins_slot_t   slots[];
};


static ngx_int_t ngx_http_cw_origins_tenant(ngx_str_t *message,
    ngx_str_t *tenant);
static ngx_int_t ngx_http_cw_origins_text(ngx_str_t *tenant,
    ngx_uint_t number, ngx_str_t *text);
static ngx_int_t ngx_http_cw_origins_measure(ngx_str_t tenant,
    ngx_uint_t number, ngx_uint_t *n, size_t *size);
static u_char *ngx_http_cw_origins_put(u_char *p, ngx_str_t *text);
static ngx_uint_t ngx_http_cw_origins_is(ngx_http_cw_origins_t *origins,
    uint32_t at, ngx_str_t *text);
static ngx_http_cw_origins_slot_t *ngx_http_cw_origins_slot(
    ngx_http_cw_origins_t *origins, ngx_str_t *domain, uint32_t hash);


ngx_int_t
ngx_http_cw_origins_read(ngx_str_t *message,
    ngx_http_cw_origins_snapshot_t *snapshot)
{
    size_t                    texts;
    ngx_int_t                 rc;
    ngx_str_t                 rest, tenant;
    ngx_uint_t                domains, origins;
    ngx_http_cw_wire_field_t  field;

    ngx_memzero(snapshot, sizeof(ngx_http_cw_origins_snapshot_t));

    if (message->len > NGX_HTTP_CW_ORIGINS_MESSAGE) {
        return NGX_ERROR;
    }

    rest = *message;

    while ((rc = ngx_http_cw_wire_field(&rest, &field)) == NGX_OK) {

        switch (field.number) {

        case 1:
            snapshot->epoch = field.value;
            break;

        case 2:
            snapshot->generation = field.value;
            break;

        case 3:
            snapshot->provisional = field.value != 0;
            break;
        }
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    rest = *message;
    domains = 0;
    origins = 0;
    texts = 0;

    while ((rc = ngx_http_cw_origins_tenant(&rest, &tenant)) == NGX_OK) {

        if (ngx_http_cw_origins_measure(tenant, NGX_HTTP_CW_ORIGINS_ORIGIN,
                                        &origins, &texts)
            != NGX_OK
            || ngx_http_cw_origins_measure(tenant, NGX_HTTP_CW_ORIGINS_DOMAIN,
                                           &domains, &texts)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        texts += 2;                          /* the list's end */
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    for (snapshot->slots = 2;
         snapshot->slots < 2 * domains;
         snapshot->slots *= 2)
    {
        /* void */
    }

    snapshot->size = offsetof(ngx_http_cw_origins_t, slots)
                     + snapshot->slots * sizeof(ngx_http_cw_origins_slot_t)
                     + texts;

    return NGX_OK;
}


ngx_http_cw_origins_t *
ngx_http_cw_origins_make(void *memory, ngx_str_t *message,
    ngx_http_cw_origins_snapshot_t *snapshot)
{
    u_char                      *p;
    uint32_t                     list, hash;
    ngx_str_t                    rest, tenant, body, text;
    ngx_http_cw_origins_t       *origins;
    ngx_http_cw_origins_slot_t  *slot;

    static ngx_str_t  end = ngx_null_string;

    origins = memory;
    ngx_memzero(origins, snapshot->size);

    origins->mask = (uint32_t) snapshot->slots - 1;
    p = (u_char *) &origins->slots[snapshot->slots];

    rest = *message;

    while (ngx_http_cw_origins_tenant(&rest, &tenant) == NGX_OK) {

        list = (uint32_t) (p - (u_char *) origins);
        body = tenant;

        while (ngx_http_cw_origins_text(&body, NGX_HTTP_CW_ORIGINS_ORIGIN,
                                        &text)
               == NGX_OK)
        {
            p = ngx_http_cw_origins_put(p, &text);
        }

        p = ngx_http_cw_origins_put(p, &end);
        body = tenant;

        while (ngx_http_cw_origins_text(&body, NGX_HTTP_CW_ORIGINS_DOMAIN,
                                        &text)
               == NGX_OK)
        {
            hash = (uint32_t) ngx_http_cw_pick_hash(text.data, text.len);
            slot = ngx_http_cw_origins_slot(origins, &text, hash);

            if (slot->domain) {
                continue;                    /* the first one has it */
            }

            slot->hash = hash;
            slot->domain = (uint32_t) (p - (u_char *) origins);
            slot->list = list;

            p = ngx_http_cw_origins_put(p, &text);
        }
    }

    return origins;
}


ngx_uint_t
ngx_http_cw_origins_find(ngx_http_cw_origins_t *origins, ngx_str_t *domain,
    ngx_str_t *origin)
{
    u_char                      *p;
    size_t                       len;
    uint32_t                     hash, at;
    ngx_http_cw_origins_slot_t  *slot;

    if (origin->len == 0 || origin->len > NGX_HTTP_CW_ORIGIN_MAX
        || domain->len == 0)
    {
        return 0;
    }

    hash = (uint32_t) ngx_http_cw_pick_hash(domain->data, domain->len);
    slot = ngx_http_cw_origins_slot(origins, domain, hash);

    if (slot->domain == 0) {
        return 0;
    }

    for (at = slot->list; /* void */ ; at += 2 + (uint32_t) len) {

        p = (u_char *) origins + at;
        len = (size_t) p[0] << 8 | p[1];

        if (len == 0) {
            return 0;
        }

        if (ngx_http_cw_origins_is(origins, at, origin)) {
            return 1;
        }
    }
}


/* takes the next tenant off a message: NGX_OK, NGX_DONE, NGX_ERROR */

static ngx_int_t
ngx_http_cw_origins_tenant(ngx_str_t *message, ngx_str_t *tenant)
{
    ngx_int_t                 rc;
    ngx_http_cw_wire_field_t  field;

    do {
        rc = ngx_http_cw_wire_field(message, &field);
        if (rc != NGX_OK) {
            return rc;
        }
    } while (field.number != NGX_HTTP_CW_ORIGINS_TENANT);

    if (field.type != NGX_HTTP_CW_ORIGINS_BYTES) {
        return NGX_ERROR;
    }

    *tenant = field.bytes;

    return NGX_OK;
}


/* the same for the next usable text with this number off a tenant */

static ngx_int_t
ngx_http_cw_origins_text(ngx_str_t *tenant, ngx_uint_t number,
    ngx_str_t *text)
{
    size_t                    max;
    ngx_int_t                 rc;
    ngx_http_cw_wire_field_t  field;

    max = (number == NGX_HTTP_CW_ORIGINS_DOMAIN)
          ? NGX_HTTP_CW_ORIGIN_DOMAIN_MAX : NGX_HTTP_CW_ORIGIN_MAX;

    for ( ;; ) {
        rc = ngx_http_cw_wire_field(tenant, &field);

        if (rc != NGX_OK) {
            return rc;
        }

        if (field.number == number && field.type == NGX_HTTP_CW_ORIGINS_BYTES
            && field.bytes.len > 0 && field.bytes.len <= max)
        {
            *text = field.bytes;
            return NGX_OK;
        }
    }
}


static ngx_int_t
ngx_http_cw_origins_measure(ngx_str_t tenant, ngx_uint_t number,
    ngx_uint_t *n, size_t *size)
{
    ngx_int_t  rc;
    ngx_str_t  text;

    while ((rc = ngx_http_cw_origins_text(&tenant, number, &text)) == NGX_OK) {
        *n += 1;
        *size += 2 + text.len;
    }

    return (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
}


static u_char *
ngx_http_cw_origins_put(u_char *p, ngx_str_t *text)
{
    *p++ = (u_char) (text->len >> 8);
    *p++ = (u_char) text->len;

    return text->len ? ngx_cpymem(p, text->data, text->len) : p;
}


/* whether the text at this offset is this one */

static ngx_uint_t
ngx_http_cw_origins_is(ngx_http_cw_origins_t *origins, uint32_t at,
    ngx_str_t *text)
{
    u_char  *p;

    p = (u_char *) origins + at;

    return ((size_t) p[0] << 8 | p[1]) == text->len
           && ngx_memcmp(p + 2, text->data, text->len) == 0;
}


/* the slot of this domain, or the free one where it belongs: half are free */

static ngx_http_cw_origins_slot_t *
ngx_http_cw_origins_slot(ngx_http_cw_origins_t *origins, ngx_str_t *domain,
    uint32_t hash)
{
    uint32_t                     i;
    ngx_http_cw_origins_slot_t  *slot;

    for (i = hash & origins->mask; /* void */ ; i = (i + 1) & origins->mask) {

        slot = &origins->slots[i];

        if (slot->domain == 0
            || (slot->hash == hash
                && ngx_http_cw_origins_is(origins, slot->domain, domain)))
        {
            return slot;
        }
    }
}
