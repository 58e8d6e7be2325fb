/* Fills memory by vectors of eight words: a whole block lies in sixteen registers. All columns are
 * permuted at once; so are all rows, once first and second words have been turned from rows into
 * columns. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "authsvc/password/argon2id_fill.h"

#define WITH __attribute__((target("avx512f"), always_inline)) static inline

WITH __m512i mix(__m512i x, __m512i y)
{
    __m512i product = _mm512_mul_epu32(x, y);
    return _mm512_add_epi64(_mm512_add_epi64(x, y), _mm512_add_epi64(product, product));
}

#define GB(a, b, c, d)                                                                             \
    do {                                                                                           \
        (a) = mix(a, b);                                                                           \
        (d) = _mm512_ror_epi64(_mm512_xor_si512(d, a), 32);                                        \
        (c) = mix(c, d);                                                                           \
        (b) = _mm512_ror_epi64(_mm512_xor_si512(b, c), 24);                                        \
        (a) = mix(a, b);                                                                           \
        (d) = _mm512_ror_epi64(_mm512_xor_si512(d, a), 16);                                        \
        (c) = mix(c, d);                                                                           \
        (b) = _mm512_ror_epi64(_mm512_xor_si512(b, c), 63);                                        \
    } while (0)

/* in[i] word k becomes out[k] word i; every second vector of both. */
WITH void turn(const __m512i *in, __m512i *out)
{
    __m512i a[8];
    __m512i b[8];
    for (int i = 0; i < 8; i += 2) { /* pairs of words */
        a[i] = _mm512_unpacklo_epi64(in[2 * i], in[2 * i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(in[2 * i], in[2 * i + 2]);
    }
    for (int i = 0; i < 2; i++) { /* quarters: of four vectors, then of eight */
        b[i] = _mm512_shuffle_i64x2(a[i], a[i + 2], 0x88);
        b[i + 2] = _mm512_shuffle_i64x2(a[i], a[i + 2], 0xdd);
        b[i + 4] = _mm512_shuffle_i64x2(a[i + 4], a[i + 6], 0x88);
        b[i + 6] = _mm512_shuffle_i64x2(a[i + 4], a[i + 6], 0xdd);
    }
    for (int i = 0; i < 2; i++) {
        out[2 * i] = _mm512_shuffle_i64x2(b[i], b[i + 4], 0x88);
        out[2 * (i + 4)] = _mm512_shuffle_i64x2(b[i], b[i + 4], 0xdd);
        out[2 * (i + 2)] = _mm512_shuffle_i64x2(b[i + 2], b[i + 6], 0x88);
        out[2 * (i + 6)] = _mm512_shuffle_i64x2(b[i + 2], b[i + 6], 0xdd);
    }
}

__attribute__((target("avx512f"))) void argon2id_fill_avx512(const struct argon2id_block *before,
                                                             const struct argon2id_block *reference,
                                                             struct argon2id_block *next, bool add)
{
    __m512i r[16];
    __m512i v[16];
    for (int i = 0; i < 16; i++) {
        r[i] = _mm512_xor_si512(_mm512_load_si512(&before->words[8 * i]),
                                _mm512_load_si512(&reference->words[8 * i]));
    }
    turn(&r[0], &v[0]);
    turn(&r[1], &v[1]);
    ARGON2ID_P(GB, v); /* rows */
    turn(&v[0], &r[0]);
    turn(&v[1], &r[1]);
    ARGON2ID_P(GB, r); /* columns */
    for (int i = 0; i < 16; i++) {
        __m512i z = _mm512_xor_si512(_mm512_load_si512(&before->words[8 * i]),
                                     _mm512_load_si512(&reference->words[8 * i]));
        if (add) {
            z = _mm512_xor_si512(z, _mm512_load_si512(&next->words[8 * i]));
        }
        _mm512_store_si512(&next->words[8 * i], _mm512_xor_si512(r[i], z));
    }
}
#endif
