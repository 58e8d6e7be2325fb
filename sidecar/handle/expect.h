/* A batch's questions are known before the first is answered. With a million tokens and ten
 * thousand tenants nothing that an answer needs is in the processor's cache, and memory that is far
 * away serves many at once, if it is asked at once: so the batch is gone through beforehand, step
 * by step for all entries, and the answers then find what they need. */
#ifndef SIDECAR_HANDLE_EXPECT_H
#define SIDECAR_HANDLE_EXPECT_H

#include "sidecar/cache/cache.h"
#include "sidecar/handle/wire.h"
#include "sidecar/tenants/tenants.h"

enum { EXPECT_MAX = CACHE_EXPECT_MAX };

/* Finds the tenants of at most EXPECT_MAX entries (NULL where there is none; borrowed from the
 * set), and asks for the memory of those and of the cache's entries. Changes nothing. */
void expect_entries(const struct cache *cache, const struct tenants_set *set,
                    const struct wire_entry *entries, size_t n,
                    const struct tenant *ret_tenants[EXPECT_MAX]);

#endif
