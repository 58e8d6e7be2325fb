/* Fills memory word by word, on any processor. */
#include "authsvc/password/argon2id_fill.h"

static inline uint64_t turn(uint64_t x, unsigned bits)
{
    return x >> bits | x << (64 - bits);
}

static inline uint64_t mix(uint64_t x, uint64_t y)
{
    return x + y + 2 * (uint64_t)(uint32_t)x * (uint32_t)y;
}

#define GB(a, b, c, d)                                                                             \
    do {                                                                                           \
        (a) = mix(a, b);                                                                           \
        (d) = turn((d) ^ (a), 32);                                                                 \
        (c) = mix(c, d);                                                                           \
        (b) = turn((b) ^ (c), 24);                                                                 \
        (a) = mix(a, b);                                                                           \
        (d) = turn((d) ^ (a), 16);                                                                 \
        (c) = mix(c, d);                                                                           \
        (b) = turn((b) ^ (c), 63);                                                                 \
    } while (0)

/* Words `from`, each `step` behind the one before: a row has 16 in their order, a column the two of
 * each row. */
static void permute(uint64_t *words, size_t line, bool row)
{
    uint64_t v[16];
    for (size_t i = 0; i < 16; i++) {
        v[i] = words[row ? argon2id_at(16 * line + i) : 8 * i + line];
    }
    ARGON2ID_P(GB, v);
    for (size_t i = 0; i < 16; i++) {
        words[row ? argon2id_at(16 * line + i) : 8 * i + line] = v[i];
    }
}

void argon2id_fill_plain(const struct argon2id_block *before,
                         const struct argon2id_block *reference, struct argon2id_block *next,
                         bool add)
{
    uint64_t r[ARGON2ID_WORDS] __attribute__((uninitialized));
    for (size_t i = 0; i < ARGON2ID_WORDS; i++) {
        r[i] = before->words[i] ^ reference->words[i];
    }
    for (size_t i = 0; i < 8; i++) {
        permute(r, i, true);
    }
    for (size_t i = 0; i < 8; i++) {
        permute(r, i, false);
    }
    for (size_t i = 0; i < ARGON2ID_WORDS; i++) {
        uint64_t old = add ? next->words[i] : 0;
        next->words[i] = r[i] ^ before->words[i] ^ reference->words[i] ^ old;
    }
}
