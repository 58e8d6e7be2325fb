/* Bump allocation in blocks, with a bound on the sum. */
#include "common/base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 4096 };

struct cw_arena_block {
    struct cw_arena_block *next;
    size_t used;
    size_t size;
    alignas(max_align_t) char bytes[];
};

void cw_arena_done(struct cw_arena *arena)
{
    while (arena->blocks) {
        struct cw_arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    arena->used = 0;
}

void cw_arena_reset(struct cw_arena *arena)
{
    struct cw_arena_block *keep = arena->blocks;
    if (keep) {
        arena->blocks = keep->next;
        cw_arena_done(arena);
        keep->next = NULL;
        keep->used = 0;
        arena->blocks = keep;
    }
    arena->used = 0;
    arena->full = false;
}

void *cw_arena_alloc(struct cw_arena *arena, size_t size)
{
    size_t align = alignof(max_align_t);
    if (size > SIZE_MAX - align) {
        return NULL;
    }
    size = (size + align - 1) / align * align;
    if (size > arena->max - arena->used) {
        arena->full = true;
        return NULL;
    }
    struct cw_arena_block *block = arena->blocks;
    if (!block || size > block->size - block->used) {
        size_t capacity = CW_MAX(size, arena->block > 0 ? arena->block : (size_t)BLOCK_SIZE);
        block = malloc(sizeof *block + capacity);
        if (!block) {
            return NULL;
        }
        *block = (struct cw_arena_block){.next = arena->blocks, .size = capacity};
        arena->blocks = block;
    }
    void *p = block->bytes + block->used;
    block->used += size;
    arena->used += size;
    return p;
}

void *cw_arena_zalloc(struct cw_arena *arena, size_t size)
{
    void *p = cw_arena_alloc(arena, size);
    return p ? memset(p, 0, size) : NULL;
}

char *cw_arena_dup(struct cw_arena *arena, struct cw_str s)
{
    char *p = cw_arena_alloc(arena, s.n + 1);
    if (p) {
        if (s.n) {
            memcpy(p, s.p, s.n);
        }
        p[s.n] = '\0';
    }
    return p;
}
