/* Fills memory by vectors of four words: half of the rows, then half of the columns at once. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "authsvc/password/argon2id_fill.h"

#define WITH __attribute__((target("avx2"), always_inline)) static inline

WITH __m256i mix(__m256i x, __m256i y)
{
    __m256i product = _mm256_mul_epu32(x, y);
    return _mm256_add_epi64(_mm256_add_epi64(x, y), _mm256_add_epi64(product, product));
}

WITH __m256i turn32(__m256i x)
{
    return _mm256_shuffle_epi32(x, _MM_SHUFFLE(2, 3, 0, 1));
}

WITH __m256i turn24(__m256i x)
{
    const __m256i bytes = _mm256_setr_epi8(3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10, 3,
                                           4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10);
    return _mm256_shuffle_epi8(x, bytes);
}

WITH __m256i turn16(__m256i x)
{
    const __m256i bytes = _mm256_setr_epi8(2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9, 2,
                                           3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9);
    return _mm256_shuffle_epi8(x, bytes);
}

WITH __m256i turn63(__m256i x)
{
    return _mm256_xor_si256(_mm256_srli_epi64(x, 63), _mm256_add_epi64(x, x));
}

#define GB(a, b, c, d)                                                                             \
    do {                                                                                           \
        (a) = mix(a, b);                                                                           \
        (d) = turn32(_mm256_xor_si256(d, a));                                                      \
        (c) = mix(c, d);                                                                           \
        (b) = turn24(_mm256_xor_si256(b, c));                                                      \
        (a) = mix(a, b);                                                                           \
        (d) = turn16(_mm256_xor_si256(d, a));                                                      \
        (c) = mix(c, d);                                                                           \
        (b) = turn63(_mm256_xor_si256(b, c));                                                      \
    } while (0)

WITH __m256i load(const uint64_t *words)
{
    return _mm256_load_si256((const __m256i *)(const void *)words);
}

WITH void store(uint64_t *words, __m256i v)
{
    _mm256_store_si256((__m256i *)(void *)words, v);
}

/* in[i] word k becomes out[k] word i. */
WITH void turn(const __m256i in[4], __m256i out[4])
{
    __m256i a = _mm256_unpacklo_epi64(in[0], in[1]);
    __m256i b = _mm256_unpackhi_epi64(in[0], in[1]);
    __m256i c = _mm256_unpacklo_epi64(in[2], in[3]);
    __m256i d = _mm256_unpackhi_epi64(in[2], in[3]);
    out[0] = _mm256_permute2x128_si256(a, c, 0x20);
    out[1] = _mm256_permute2x128_si256(b, d, 0x20);
    out[2] = _mm256_permute2x128_si256(a, c, 0x31);
    out[3] = _mm256_permute2x128_si256(b, d, 0x31);
}

/* Rows row … row + 3: words of the same number side by side, permuted, and back. */
WITH void permute_rows(uint64_t *r, int row)
{
    __m256i v[16];
    __m256i t[4];
    __m256i turned[4];
    for (int part = 0; part < 4; part++) { /* half of the pairs, first or second words */
        for (int i = 0; i < 4; i++) {
            t[i] = load(&r[16 * (row + i) + 8 * (part & 1) + 4 * (part / 2)]);
        }
        turn(t, turned);
        for (int i = 0; i < 4; i++) {
            v[8 * (part / 2) + 2 * i + (part & 1)] = turned[i];
        }
    }
    ARGON2ID_P(GB, v);
    for (int part = 0; part < 4; part++) {
        for (int i = 0; i < 4; i++) {
            t[i] = v[8 * (part / 2) + 2 * i + (part & 1)];
        }
        turn(t, turned);
        for (int i = 0; i < 4; i++) {
            store(&r[16 * (row + i) + 8 * (part & 1) + 4 * (part / 2)], turned[i]);
        }
    }
}

WITH void permute_columns(uint64_t *r, int column)
{
    __m256i v[16];
    for (int i = 0; i < 16; i++) {
        v[i] = load(&r[8 * i + column]);
    }
    ARGON2ID_P(GB, v);
    for (int i = 0; i < 16; i++) {
        store(&r[8 * i + column], v[i]);
    }
}

__attribute__((target("avx2"))) void argon2id_fill_avx2(const struct argon2id_block *before,
                                                        const struct argon2id_block *reference,
                                                        struct argon2id_block *next, bool add)
{
    uint64_t r[ARGON2ID_WORDS] __attribute__((aligned(32), uninitialized));
    for (int i = 0; i < ARGON2ID_WORDS; i += 4) {
        store(&r[i], _mm256_xor_si256(load(&before->words[i]), load(&reference->words[i])));
    }
    permute_rows(r, 0);
    permute_rows(r, 4);
    permute_columns(r, 0);
    permute_columns(r, 4);
    for (int i = 0; i < ARGON2ID_WORDS; i += 4) {
        __m256i z = _mm256_xor_si256(load(&before->words[i]), load(&reference->words[i]));
        if (add) {
            z = _mm256_xor_si256(z, load(&next->words[i]));
        }
        store(&next->words[i], _mm256_xor_si256(load(&r[i]), z));
    }
}
#endif
