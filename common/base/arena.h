/* One arena per call: allocations live until the arena is reset or done, and their sum has a bound,
 * so that a small message cannot unpack into a large one. Not for use by two threads at once. */
#ifndef CW_BASE_ARENA_H
#define CW_BASE_ARENA_H

#include "common/base/str.h"

struct cw_arena_block;

struct cw_arena {
    struct cw_arena_block *blocks;
    size_t used;  /* bytes handed out since the last reset */
    size_t max;   /* bound in bytes */
    size_t block; /* bytes that it grows by at least; 0: 4096 */
    bool full;    /* since the last reset the bound has refused something: no lack of memory */
};

#define CW_ARENA_INIT(bound)                                                                       \
    {                                                                                              \
        .max = (bound)                                                                             \
    }

void cw_arena_done(struct cw_arena *arena);
/* Keeps the newest block for the next call. */
void cw_arena_reset(struct cw_arena *arena);
/* Aligned for any type, uninitialised; NULL past the bound or without memory. */
void *cw_arena_alloc(struct cw_arena *arena, size_t size);
void *cw_arena_zalloc(struct cw_arena *arena, size_t size);
/* NUL-terminated copy. */
char *cw_arena_dup(struct cw_arena *arena, struct cw_str s);

#endif
