
/*
 * Tells clean values from others.
 */


#include "ngx_http_cw_text.h"


#define NGX_HTTP_CW_TEXT_EACH(c)  (0x0101010101010101ULL * (c))


static ngx_uint_t ngx_http_cw_text_clean_word(uint64_t w);


ngx_uint_t
ngx_http_cw_text_clean(ngx_str_t *s)
{
    size_t    n;
    u_char   *p;
    uint64_t  w;

    p = s->data;

    for (n = s->len; n >= sizeof(uint64_t); n -= sizeof(uint64_t)) {
        ngx_memcpy(&w, p, sizeof(uint64_t));

        if (!ngx_http_cw_text_clean_word(w)) {
            return 0;
        }

        p += sizeof(uint64_t);
    }

    if (n == 0) {
        return 1;
    }

    w = NGX_HTTP_CW_TEXT_EACH(' ');
    ngx_memcpy(&w, p, n);

    return ngx_http_cw_text_clean_word(w);
}


/* the highest bit of a byte of "low" or "del" is set if one of them is
 * meant; which one, higher bytes may misjudge after a borrow */

static ngx_uint_t
ngx_http_cw_text_clean_word(uint64_t w)
{
    uint64_t  low, del, x;

    x = w ^ NGX_HTTP_CW_TEXT_EACH(0x7f);

    low = (w - NGX_HTTP_CW_TEXT_EACH(0x20)) & ~w;
    del = (x - NGX_HTTP_CW_TEXT_EACH(0x01)) & ~x;

    return ((low | del) & NGX_HTTP_CW_TEXT_EACH(0x80)) == 0;
}


ngx_uint_t
ngx_http_cw_text_b64token(ngx_str_t *s)
{
    u_char  *p, *last, bad;

    /* 1: no character of a b64token before its "=" */

    static const u_char  other[256] = {
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0,   /* + - . / */
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1,   /* 0-9 */
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   /* A-O */
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0,   /* P-Z _ */
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   /* a-o */
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1,   /* p-z ~ */
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
    };

    p = s->data;
    last = p + s->len;

    while (last > p && last[-1] == '=') {
        last--;
    }

    if (p == last) {
        return 0;
    }

    bad = 0;

    for ( /* void */ ; last - p >= 4; p += 4) {
        bad |= other[p[0]] | other[p[1]] | other[p[2]] | other[p[3]];
    }

    for ( /* void */ ; p < last; p++) {
        bad |= other[*p];
    }

    return !bad;
}
