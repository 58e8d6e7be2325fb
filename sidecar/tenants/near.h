/* Blocks for what each verdict reads of a tenant, side by side: ten thousand tenants are read from
 * few pages, where malloc would put each on a page of its own among what is seldom read. */
#ifndef SIDECAR_TENANTS_NEAR_H
#define SIDECAR_TENANTS_NEAR_H

#include <stddef.h>

enum {
    NEAR_BLOCK = 512, /* bytes; what is larger comes from malloc */
    NEAR_LINE = 64,   /* alignment, in bytes */
};

/* N bytes, all zero, at the beginning of a cache line; NULL without memory. Any thread. */
void *near_new(size_t n);
/* `n` as it was asked for; NULL is fine. The memory is kept for the next block. Any thread. */
void near_free(void *p, size_t n);

#endif
