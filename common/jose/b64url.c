/* base64url, strict: one text for a byte string and no other (RFC 4648 §3.5, §12). */
#include "common/jose/b64url.h"

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Value of each byte, XX outside of the alphabet. */
/* clang-format off */
#define XX 0xff
static const unsigned char values[256] = {
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, 62, XX, XX,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, XX, XX, XX, XX, XX, XX,
    XX,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, XX, XX, XX, XX, 63,
    XX, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
};
#undef XX
/* clang-format on */

enum cw_err cw_b64url_decode(struct cw_str text, unsigned char *ret_bytes)
{
    const unsigned char *p = (const unsigned char *)text.p;
    unsigned char *out = ret_bytes;
    size_t whole = text.n / 4;
    unsigned bad = 0; /* collected, so that the loop has no branch on the bytes */
    for (size_t i = 0; i < whole; i++, p += 4, out += 3) {
        unsigned a = values[p[0]], b = values[p[1]], c = values[p[2]], d = values[p[3]];
        bad |= a | b | c | d;
        out[0] = (unsigned char)(a << 2 | b >> 4);
        out[1] = (unsigned char)(b << 4 | c >> 2);
        out[2] = (unsigned char)(c << 6 | d);
    }
    size_t rest = text.n % 4;
    ENSURE(rest != 1, CW_TOKEN_MALFORMED); /* RFC 4648 §4: six bits are no byte */
    if (rest) {
        unsigned a = values[p[0]], b = values[p[1]], c = rest == 3 ? values[p[2]] : 0;
        bad |= a | b | c;
        /* RFC 4648 §3.5: unused bits are zero, or one token has many spellings */
        ENSURE(((rest == 3 ? c & 3 : b & 15) == 0), CW_TOKEN_MALFORMED);
        out[0] = (unsigned char)(a << 2 | b >> 4);
        if (rest == 3) {
            out[1] = (unsigned char)(b << 4 | c >> 2);
        }
    }
    return bad & 0xc0 ? CW_TOKEN_MALFORMED : CW_OK;
}

void cw_b64url_encode(const unsigned char *bytes, size_t n, char *ret_text)
{
    char *out = ret_text;
    for (; n >= 3; n -= 3, bytes += 3, out += 4) {
        out[0] = alphabet[bytes[0] >> 2];
        out[1] = alphabet[(bytes[0] & 3) << 4 | bytes[1] >> 4];
        out[2] = alphabet[(bytes[1] & 15) << 2 | bytes[2] >> 6];
        out[3] = alphabet[bytes[2] & 63];
    }
    if (n) {
        unsigned second = n == 2 ? bytes[1] : 0;
        out[0] = alphabet[bytes[0] >> 2];
        out[1] = alphabet[(bytes[0] & 3) << 4 | second >> 4];
        if (n == 2) {
            out[2] = alphabet[(second & 15) << 2];
        }
    }
}

void cw_b64url_add(struct cw_buf *buf, const unsigned char *bytes, size_t n)
{
    char *at = n ? cw_buf_extend(buf, cw_b64url_encoded_size(n)) : NULL;
    if (at) {
        cw_b64url_encode(bytes, n, at);
    }
}
