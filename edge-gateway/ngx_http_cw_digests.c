
/*
 * Remembers digests in sets of four; the fifth of a set takes the place of
 * the oldest.
 */


#include "ngx_http_cw_digests.h"


#define NGX_HTTP_CW_WAYS  4


typedef struct {
    u_char      digest[NGX_HTTP_CW_WAYS][NGX_HTTP_CW_DIGEST_LEN];
    u_char      used;                /* bit i: digest[i] is one */
    u_char      next;                /* to be replaced */
} ngx_http_cw_digest_set_t;


struct ngx_http_cw_digests_s {
    ngx_uint_t                mask;
    ngx_http_cw_digest_set_t  sets[];
};


static ngx_http_cw_digest_set_t *ngx_http_cw_digests_set(
    ngx_http_cw_digests_t *digests, u_char *digest);
static ngx_int_t ngx_http_cw_digests_find(ngx_http_cw_digest_set_t *set,
    u_char *digest);


ngx_http_cw_digests_t *
ngx_http_cw_digests_create(ngx_uint_t n)
{
    ngx_uint_t              sets;
    ngx_http_cw_digests_t  *digests;

    for (sets = 1; sets * NGX_HTTP_CW_WAYS < n; sets *= 2) { /* void */ }

    digests = calloc(1, sizeof(ngx_http_cw_digests_t)
                        + sets * sizeof(ngx_http_cw_digest_set_t));

    if (digests) {
        digests->mask = sets - 1;
    }

    return digests;
}


void
ngx_http_cw_digests_destroy(ngx_http_cw_digests_t *digests)
{
    free(digests);
}


ngx_uint_t
ngx_http_cw_digests_has(ngx_http_cw_digests_t *digests, u_char *digest)
{
    return ngx_http_cw_digests_find(ngx_http_cw_digests_set(digests, digest),
                                    digest)
           >= 0;
}


void
ngx_http_cw_digests_add(ngx_http_cw_digests_t *digests, u_char *digest)
{
    ngx_uint_t                 i;
    ngx_http_cw_digest_set_t  *set;

    set = ngx_http_cw_digests_set(digests, digest);

    if (ngx_http_cw_digests_find(set, digest) >= 0) {
        return;
    }

    for (i = 0; i < NGX_HTTP_CW_WAYS; i++) {
        if (!(set->used & (1 << i))) {
            break;
        }
    }

    if (i == NGX_HTTP_CW_WAYS) {
        i = set->next;
        set->next = (u_char) ((i + 1) % NGX_HTTP_CW_WAYS);
    }

    ngx_memcpy(set->digest[i], digest, NGX_HTTP_CW_DIGEST_LEN);
    set->used |= (u_char) (1 << i);
}


void
ngx_http_cw_digests_remove(ngx_http_cw_digests_t *digests, u_char *digest)
{
    ngx_int_t                  i;
    ngx_http_cw_digest_set_t  *set;

    set = ngx_http_cw_digests_set(digests, digest);
    i = ngx_http_cw_digests_find(set, digest);

    if (i >= 0) {
        set->used &= (u_char) ~(1 << i);
    }
}


void
ngx_http_cw_digests_clear(ngx_http_cw_digests_t *digests)
{
    ngx_uint_t  i;

    for (i = 0; i <= digests->mask; i++) {
        digests->sets[i].used = 0;
    }
}


static ngx_http_cw_digest_set_t *
ngx_http_cw_digests_set(ngx_http_cw_digests_t *digests, u_char *digest)
{
    uint64_t  n;

    /* a SHA-256 is spread evenly as it is */

    ngx_memcpy(&n, digest, sizeof(uint64_t));

    return &digests->sets[n & digests->mask];
}


static ngx_int_t
ngx_http_cw_digests_find(ngx_http_cw_digest_set_t *set, u_char *digest)
{
    ngx_int_t  i;

    for (i = 0; i < NGX_HTTP_CW_WAYS; i++) {
        if ((set->used & (1 << i))
            && ngx_memcmp(set->digest[i], digest, NGX_HTTP_CW_DIGEST_LEN)
               == 0)
        {
            return i;
        }
    }

    return -1;
}
