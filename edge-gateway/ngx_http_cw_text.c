
/*
 * Tells clean values from others.
 */


#include "ngx_http_cw_text.h"


/* a vector of the compiler's: one register where there are such, else what
 * the machine has */

typedef u_char  ngx_http_cw_text_block_t __attribute__((vector_size(16)));
typedef signed char  ngx_http_cw_text_mask_t __attribute__((vector_size(16)));

typedef ngx_http_cw_text_mask_t (*ngx_http_cw_text_bad_pt)(
    ngx_http_cw_text_block_t b);


static ngx_inline ngx_uint_t ngx_http_cw_text_any(u_char *p, size_t n,
    u_char good, ngx_http_cw_text_bad_pt bad);
static ngx_inline ngx_http_cw_text_mask_t ngx_http_cw_text_control(
    ngx_http_cw_text_block_t b);
static ngx_inline ngx_http_cw_text_mask_t ngx_http_cw_text_no_b64(
    ngx_http_cw_text_block_t b);


ngx_uint_t
ngx_http_cw_text_clean(ngx_str_t *s)
{
    return !ngx_http_cw_text_any(s->data, s->len, ' ',
                                 ngx_http_cw_text_control);
}


ngx_uint_t
ngx_http_cw_text_b64token(ngx_str_t *s)
{
    size_t  n;

    n = s->len;

    while (n && s->data[n - 1] == '=') {
        n--;
    }

    return n && !ngx_http_cw_text_any(s->data, n, 'a',
                                      ngx_http_cw_text_no_b64);
}


ngx_uint_t
ngx_http_cw_text_same(u_char *a, u_char *b, size_t n)
{
    size_t                    i;
    u_char                    c;
    uint64_t                  w[2];
    ngx_http_cw_text_block_t  x, y, other = { 0 };

    for (i = 0; i + sizeof(x) <= n; i += sizeof(x)) {
        ngx_memcpy(&x, a + i, sizeof(x));
        ngx_memcpy(&y, b + i, sizeof(y));
        other |= x ^ y;
    }

    for (c = 0; i < n; i++) {
        c |= a[i] ^ b[i];
    }

    ngx_memcpy(w, &other, sizeof(w));

    return (w[0] | w[1] | c) == 0;
}


/* whether one of n bytes is bad; "good" is one that is not, to fill up with */

static ngx_inline ngx_uint_t
ngx_http_cw_text_any(u_char *p, size_t n, u_char good,
    ngx_http_cw_text_bad_pt bad)
{
    u_char                   *last;
    uint64_t                  found[2];
    ngx_http_cw_text_mask_t   mask = { 0 };
    ngx_http_cw_text_block_t  b;

    if (n < sizeof(b)) {
        ngx_memset(&b, good, sizeof(b));

        if (n) {
            ngx_memcpy(&b, p, n);
        }

        mask = bad(b);

    } else {
        last = p + n - sizeof(b);

        for ( /* void */ ; p < last; p += sizeof(b)) {
            ngx_memcpy(&b, p, sizeof(b));
            mask |= bad(b);
        }

        /* the rest, with some that were looked at before */

        ngx_memcpy(&b, last, sizeof(b));
        mask |= bad(b);
    }

    ngx_memcpy(found, &mask, sizeof(found));

    return (found[0] | found[1]) != 0;
}


static ngx_inline ngx_http_cw_text_mask_t
ngx_http_cw_text_control(ngx_http_cw_text_block_t b)
{
    return (b < 0x20) | (b == 0x7f);
}


/* "-./" stand before the digits, capitals 0x20 below their letters */

static ngx_inline ngx_http_cw_text_mask_t
ngx_http_cw_text_no_b64(ngx_http_cw_text_block_t b)
{
    return ~(((b | 0x20) - 'a' < 26) | (b - '-' < '9' - '-' + 1)
             | (b == '+') | (b == '_') | (b == '~'));
}
