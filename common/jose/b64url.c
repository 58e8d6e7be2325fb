/* base64url, strict: one text for a byte string and no other (RFC 4648 §3.5, §12). */
#include "common/jose/b64url.h"

#ifdef __SSE2__
#include <emmintrin.h>
#include <string.h>
#endif

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

#ifdef __SSE2__

enum { WIDE = 16, WIDE_BYTES = 12, WIDE_MARGIN = 4 };

/* Bytes from `first` to `last`, both in ASCII; bytes above it are negative here, and in no range.
 */
static __m128i in_range(__m128i text, char first, char last)
{
    return _mm_and_si128(_mm_cmpgt_epi8(text, _mm_set1_epi8((char)(first - 1))),
                         _mm_cmplt_epi8(text, _mm_set1_epi8((char)(last + 1))));
}

/* Adds to the value of each character in the range, and to who is known. */
static void translate(__m128i text, char first, char last, int value, __m128i *sextets,
                      __m128i *known)
{
    __m128i mask = in_range(text, first, last);
    *sextets = _mm_add_epi8(*sextets, _mm_and_si128(mask, _mm_set1_epi8((char)(value - first))));
    *known = _mm_or_si128(*known, mask);
}

/* 16 characters; writes 14 bytes, of which 12 count. */
static bool decode_wide(const unsigned char *p, unsigned char *out)
{
    __m128i text = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i sextets = text, known = _mm_setzero_si128();
    translate(text, 'A', 'Z', 0, &sextets, &known);
    translate(text, 'a', 'z', 26, &sextets, &known);
    translate(text, '0', '9', 52, &sextets, &known);
    translate(text, '-', '-', 62, &sextets, &known);
    translate(text, '_', '_', 63, &sextets, &known);
    /* Bytes a b c d of six bits each: first pairs a << 6 | b, then a << 18 | b << 12 | c << 6 | d.
     */
    __m128i pairs = _mm_or_si128(_mm_and_si128(_mm_slli_epi16(sextets, 6), _mm_set1_epi16(0x0fc0)),
                                 _mm_srli_epi16(sextets, 8));
    __m128i words = _mm_madd_epi16(pairs, _mm_set1_epi32(1 << 16 | 1 << 12));
    uint64_t halves[2];
    _mm_storeu_si128((__m128i *)(void *)halves, words);
    for (int i = 0; i < 2; i++) {
        uint64_t bytes = __builtin_bswap64((halves[i] << 24 | halves[i] >> 32) << 16);
        memcpy(out + 6 * i, &bytes, sizeof bytes);
    }
    return _mm_movemask_epi8(known) == 0xffff;
}

#endif

enum cw_err cw_b64url_decode(struct cw_str text, unsigned char *ret_bytes)
{
    const unsigned char *p = (const unsigned char *)text.p;
    unsigned char *out = ret_bytes;
    size_t left = text.n;
    unsigned bad = 0; /* collected, so that no branch is on the bytes */
#ifdef __SSE2__
    for (; left >= WIDE + WIDE_MARGIN; left -= WIDE, p += WIDE, out += WIDE_BYTES) {
        bad |= decode_wide(p, out) ? 0 : 0xff;
    }
#endif
    for (; left >= 4; left -= 4, p += 4, out += 3) {
        unsigned a = values[p[0]], b = values[p[1]], c = values[p[2]], d = values[p[3]];
        bad |= a | b | c | d;
        out[0] = (unsigned char)(a << 2 | b >> 4);
        out[1] = (unsigned char)(b << 4 | c >> 2);
        out[2] = (unsigned char)(c << 6 | d);
    }
    size_t rest = left;
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
