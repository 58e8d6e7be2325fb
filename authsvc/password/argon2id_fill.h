/* Between argon2id.c and the files that fill memory, one for each kind of processor. */
#ifndef AUTHSVC_PASSWORD_ARGON2ID_FILL_H
#define AUTHSVC_PASSWORD_ARGON2ID_FILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 9106 §3.6 looks at a block of 1024 bytes as 8 rows of 8 pairs of words. Here the first words
 * of a row's pairs lie together, then the second ones, so that the columns need no sorting:
 *
 *   word    16 row + 2 column + half
 *   is at   16 row + 8 half + column */
enum { ARGON2ID_WORDS = 128 };

struct argon2id_block {
    uint64_t words[ARGON2ID_WORDS];
} __attribute__((aligned(64)));

static inline size_t argon2id_at(size_t word)
{
    return (word & ~(size_t)15) + (word & 1) * 8 + (word & 15) / 2;
}

struct argon2id_memory {
    uint32_t kib;
    void *mapping;
    size_t mapping_n;
    struct argon2id_block
        *blocks; /* at the beginning of a huge page; kib, and some for addresses */
};

enum { ARGON2ID_MORE_BLOCKS = 3 };

/* *next = G(*before, *reference), or *next ^= that (§3.5, §3.6). *next may be *reference. */
typedef void argon2id_fill_fn(const struct argon2id_block *before,
                              const struct argon2id_block *reference, struct argon2id_block *next,
                              bool add);

argon2id_fill_fn argon2id_fill_plain;
#if defined(__x86_64__)
argon2id_fill_fn argon2id_fill_avx2;
argon2id_fill_fn argon2id_fill_avx512;
#endif

/* The permutation P of §3.6, on words or on vectors of them: v[4 i + k] is row i, column k of the
 * 4 × 4 matrix. GB is four steps on a column or a diagonal. */
#define ARGON2ID_P(GB, v)                                                                          \
    do {                                                                                           \
        GB(v[0], v[4], v[8], v[12]);                                                               \
        GB(v[1], v[5], v[9], v[13]);                                                               \
        GB(v[2], v[6], v[10], v[14]);                                                              \
        GB(v[3], v[7], v[11], v[15]);                                                              \
        GB(v[0], v[5], v[10], v[15]);                                                              \
        GB(v[1], v[6], v[11], v[12]);                                                              \
        GB(v[2], v[7], v[8], v[13]);                                                               \
        GB(v[3], v[4], v[9], v[14]);                                                               \
    } while (0)

#endif
