/* The memory, what goes into it first, and which block is filled from which (RFC 9106 §3.2 to
 * §3.4). How a block is filled is in argon2id_plain.c and its faster siblings. */
#include "authsvc/password/argon2id.h"

#include <endian.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "authsvc/password/argon2id_fill.h"

enum {
    VERSION = 0x13,
    TYPE = 2, /* argon2id */
    SLICES = 4,
    H0_SIZE = 64,
    BLOCK_SIZE = 1024,
    HUGE_PAGE = 2 * 1024 * 1024,
};

/* --- memory ----------------------------------------------------------------------------- */

struct argon2id_memory *argon2id_memory_new(uint32_t kib)
{
    struct argon2id_memory *memory = calloc(1, sizeof(*memory));
    if (memory == NULL) {
        return NULL;
    }
    size_t n = ((size_t)kib + ARGON2ID_MORE_BLOCKS) * sizeof(struct argon2id_block);
    bool huge = n >= HUGE_PAGE;
    n = huge ? (n + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE : n;
    memory->kib = kib;
    memory->mapping_n = huge ? n + HUGE_PAGE : n;
    memory->mapping =
        mmap(NULL, memory->mapping_n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory->mapping == MAP_FAILED) {
        free(memory);
        return NULL;
    }
    char *begin = memory->mapping;
    begin += huge ? -(uintptr_t)begin % HUGE_PAGE : 0;
    memory->blocks = (struct argon2id_block *)(void *)begin;
    (void)madvise(memory->mapping, memory->mapping_n, MADV_DONTDUMP);
    (void)madvise(begin, n, huge ? MADV_HUGEPAGE : MADV_NORMAL); /* a wish */
    return memory;
}

void argon2id_memory_free(struct argon2id_memory *memory)
{
    if (memory != NULL) {
        munmap(memory->mapping, memory->mapping_n);
        free(memory);
    }
}

uint32_t argon2id_memory_kib(const struct argon2id_memory *memory)
{
    return memory->kib;
}

/* --- ways to fill it -------------------------------------------------------------------- */

static const struct way {
    const char *name;
    argon2id_fill_fn *fill;
    int (*can)(void); /* NULL: every processor */
} ways[] = {
    {"plain", argon2id_fill_plain, NULL},
#if defined(__x86_64__)
    {"avx2", argon2id_fill_avx2, sodium_runtime_has_avx2},
    {"avx512f", argon2id_fill_avx512, sodium_runtime_has_avx512f},
#endif
};

static const struct way *_Atomic chosen; /* NULL: the last one that the processor can */

size_t argon2id_ways(void)
{
    return CW_ARRAY_SIZE(ways);
}

bool argon2id_use(size_t way, const char **ret_name)
{
    *ret_name = ways[way].name;
    if (ways[way].can != NULL && ways[way].can() != 1) {
        return false;
    }
    chosen = &ways[way];
    return true;
}

static argon2id_fill_fn *filler(void)
{
    const struct way *way = chosen;
    if (way == NULL) {
        way = &ways[CW_ARRAY_SIZE(ways) - 1];
        while (way->can != NULL && way->can() != 1) {
            way--;
        }
        chosen = way;
    }
    return way->fill;
}

/* --- hashing ---------------------------------------------------------------------------- */

typedef crypto_generichash_blake2b_state blake2b;

static void add(blake2b *state, const void *p, size_t n)
{
    crypto_generichash_blake2b_update(state, p, n);
}

static void add_number(blake2b *state, uint32_t number)
{
    const uint32_t little = htole32(number);
    add(state, &little, sizeof(little));
}

static void add_string(blake2b *state, const void *p, size_t n)
{
    add_number(state, (uint32_t)n);
    add(state, p, n);
}

/* H0 (§3.2). */
static void first_hash(const struct argon2id *in, uint8_t h0[H0_SIZE])
{
    blake2b state;
    crypto_generichash_blake2b_init(&state, NULL, 0, H0_SIZE);
    add_number(&state, 1); /* lanes */
    add_number(&state, (uint32_t)in->tag_n);
    add_number(&state, in->memory_kib);
    add_number(&state, in->iterations);
    add_number(&state, VERSION);
    add_number(&state, TYPE);
    add_string(&state, in->password.p != NULL ? in->password.p : "", in->password.n);
    add_string(&state, in->salt, in->salt_n);
    add_string(&state, "", 0); /* secret */
    add_string(&state, "", 0); /* associated data */
    crypto_generichash_blake2b_final(&state, h0, H0_SIZE);
    sodium_memzero(&state, sizeof(state));
}

/* Block 0 or 1: H' of H0, its number and the lane's (§3.3, §3.4). */
static void first_block(const uint8_t h0[H0_SIZE], uint32_t number, struct argon2id_block *ret)
{
    enum { HALF = 32 };
    uint8_t bytes[BLOCK_SIZE];
    uint8_t v[2 * HALF];
    blake2b state;
    crypto_generichash_blake2b_init(&state, NULL, 0, sizeof(v));
    add_number(&state, BLOCK_SIZE);
    add(&state, h0, H0_SIZE);
    add_number(&state, number);
    add_number(&state, 0);
    crypto_generichash_blake2b_final(&state, v, sizeof(v));
    size_t at = 0;
    for (; at < sizeof(bytes) - sizeof(v); at += HALF) {
        memcpy(bytes + at, v, HALF);
        crypto_generichash_blake2b(v, sizeof(v), v, sizeof(v), NULL, 0);
    }
    memcpy(bytes + at, v, sizeof(v));
    for (size_t i = 0; i < ARGON2ID_WORDS; i++) {
        uint64_t word;
        memcpy(&word, bytes + i * sizeof(word), sizeof(word));
        ret->words[argon2id_at(i)] = le64toh(word);
    }
    sodium_memzero(&state, sizeof(state));
    sodium_memzero(bytes, sizeof(bytes));
    sodium_memzero(v, sizeof(v));
}

/* H' of the last block; a tag is no longer than one BLAKE2b. */
static void last_hash(const struct argon2id_block *block, size_t n, uint8_t *ret_tag)
{
    blake2b state;
    crypto_generichash_blake2b_init(&state, NULL, 0, n);
    add_number(&state, (uint32_t)n);
    for (size_t i = 0; i < ARGON2ID_WORDS; i++) {
        const uint64_t word = htole64(block->words[argon2id_at(i)]);
        add(&state, &word, sizeof(word));
    }
    crypto_generichash_blake2b_final(&state, ret_tag, n);
    sodium_memzero(&state, sizeof(state));
}

struct filling {
    argon2id_fill_fn *fill;
    struct argon2id_block *blocks;
    uint32_t n; /* blocks: a multiple of 4 */
    uint32_t segment;
    uint32_t passes;
    /* Numbers that do not hang on the password (§3.4.1.2). */
    struct argon2id_block *zero;
    struct argon2id_block *input;
    struct argon2id_block *addresses;
};

static void addresses_begin(struct filling *f, uint32_t pass, uint32_t slice)
{
    const uint64_t input[] = {pass, 0, slice, f->n, f->passes, TYPE, 0};
    memset(f->zero, 0, sizeof(*f->zero));
    memset(f->input, 0, sizeof(*f->input));
    for (size_t i = 0; i < CW_ARRAY_SIZE(input); i++) {
        f->input->words[argon2id_at(i)] = input[i];
    }
}

static void addresses_next(struct filling *f)
{
    f->input->words[argon2id_at(6)]++;
    f->fill(f->zero, f->input, f->addresses, false);
    f->fill(f->zero, f->addresses, f->addresses, false);
}

/* The block that J1 chooses for block `at` of the segment (§3.4.2). */
static uint32_t reference(const struct filling *f, uint32_t pass, uint32_t slice, uint32_t at,
                          uint32_t j1)
{
    uint32_t done = pass == 0 ? slice * f->segment : f->n - f->segment;
    uint32_t begin = pass == 0 || slice == SLICES - 1 ? 0 : (slice + 1) * f->segment;
    uint32_t area = done + at - 1;
    uint64_t x = (uint64_t)j1 * j1 >> 32;
    uint64_t y = area * x >> 32;
    return (uint32_t)((begin + area - 1 - y) % f->n);
}

static void fill_segment(struct filling *f, uint32_t pass, uint32_t slice)
{
    const bool independent = pass == 0 && slice < SLICES / 2;
    uint32_t at = pass == 0 && slice == 0 ? 2 : 0;
    if (independent) {
        addresses_begin(f, pass, slice);
    }
    if (independent && at > 0) {
        addresses_next(f);
    }
    for (; at < f->segment; at++) {
        uint32_t i = slice * f->segment + at;
        const struct argon2id_block *before = &f->blocks[i == 0 ? f->n - 1 : i - 1];
        if (independent && at % ARGON2ID_WORDS == 0) {
            addresses_next(f);
        }
        uint64_t random =
            independent ? f->addresses->words[argon2id_at(at % ARGON2ID_WORDS)] : before->words[0];
        uint32_t j = reference(f, pass, slice, at, (uint32_t)random);
        f->fill(before, &f->blocks[j], &f->blocks[i], pass > 0);
    }
}

void argon2id_hash(const struct argon2id *in, struct argon2id_memory *memory, uint8_t *ret_tag)
{
    uint8_t h0[H0_SIZE];
    struct filling f = {
        .fill = filler(),
        .blocks = memory->blocks,
        .n = in->memory_kib / SLICES * SLICES,
        .segment = in->memory_kib / SLICES,
        .passes = in->iterations,
    };
    f.zero = &f.blocks[f.n];
    f.input = &f.blocks[f.n + 1];
    f.addresses = &f.blocks[f.n + 2];
    first_hash(in, h0);
    first_block(h0, 0, &f.blocks[0]);
    first_block(h0, 1, &f.blocks[1]);
    for (uint32_t pass = 0; pass < f.passes; pass++) {
        for (uint32_t slice = 0; slice < SLICES; slice++) {
            fill_segment(&f, pass, slice);
        }
    }
    last_hash(&f.blocks[f.n - 1], in->tag_n, ret_tag);
    sodium_memzero(h0, sizeof(h0));
    sodium_memzero(f.blocks, ((size_t)f.n + ARGON2ID_MORE_BLOCKS) * sizeof(*f.blocks));
}
