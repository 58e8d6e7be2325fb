/* Blocks of one size are cut from chunks that are never given back: there are as many as there ever
 * were tenants at once. */
#include "sidecar/tenants/near.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NEAR_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(NEAR_ASAN)
#include <sanitizer/asan_interface.h>
#else /* nobody watches over spare blocks */
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { CHUNK_BLOCKS = 128 };

struct near_block {
    struct near_block *next;
};

/* In a line before its blocks; never poisoned, so that LeakSanitizer, which does not look into
 * spare blocks, sees who holds the chunk. */
struct near_chunk {
    struct near_chunk *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct near_block *spare;  /* under lock */
static struct near_chunk *chunks; /* under lock */

/* Under the lock. */
static void put(void *p)
{
    struct near_block *block = p;

    block->next = spare;
    spare = block;
    ASAN_POISON_MEMORY_REGION(block, NEAR_BLOCK);
}

/* Under the lock. NULL: there is none. */
static void *take(void)
{
    struct near_block *block = spare;

    if (block) {
        ASAN_UNPOISON_MEMORY_REGION(block, NEAR_BLOCK);
        spare = block->next;
    }
    return block;
}

/* Under the lock. In the order of their addresses, so that neighbours are used one after the
 * other. */
static void add_chunk(void)
{
    char *memory = aligned_alloc(NEAR_LINE, NEAR_LINE + (size_t)CHUNK_BLOCKS * NEAR_BLOCK);

    if (memory) {
        struct near_chunk *chunk = (struct near_chunk *)memory;
        chunk->next = chunks;
        chunks = chunk;
        for (size_t i = CHUNK_BLOCKS; i > 0; i--) {
            put(memory + NEAR_LINE + (i - 1) * NEAR_BLOCK);
        }
    }
}

void *near_new(size_t n)
{
    void *p = NULL;

    if (n > NEAR_BLOCK) {
        size_t size = (n + NEAR_LINE - 1) / NEAR_LINE * NEAR_LINE;
        p = aligned_alloc(NEAR_LINE, size);
    } else {
        pthread_mutex_lock(&lock);
        if (!spare) {
            add_chunk();
        }
        p = take();
        pthread_mutex_unlock(&lock);
    }
    return p ? memset(p, 0, n) : NULL;
}

void near_free(void *p, size_t n)
{
    if (n > NEAR_BLOCK || !p) {
        free(p);
        return;
    }
    pthread_mutex_lock(&lock);
    put(p);
    pthread_mutex_unlock(&lock);
}
