/* One shard of the token cache: an index, two queues and the subjects' shares, without a lock. */
#ifndef SIDECAR_CACHE_SHARD_H
#define SIDECAR_CACHE_SHARD_H

#include "sidecar/cache/cache.h"

struct shard_entry;
struct shard_links;
struct shard_share;

/* A queue of entries by slot number; slot 0 is nobody. */
struct shard_queue {
    uint32_t head; /* newest */
    uint32_t tail; /* oldest */
    uint32_t n;
};

struct shard {
    struct shard_entry *entries; /* slot 1 .. max_entries; memory is touched as it is needed */
    struct shard_links *links;   /* the same slots */
    void *block;                 /* in which the entries lie, from a cache line on */
    uint32_t *index;             /* places by hash, each with a slot */
    struct shard_share *shares;  /* by hash of the subject */
    uint32_t index_mask;
    uint32_t share_mask;
    uint32_t max_entries;
    uint32_t unused; /* first slot that was never used */
    uint32_t free;   /* the first of the slots that were; the next is in its links */
    uint32_t share_max;
    struct shard_queue queues[2];
    size_t bytes;
    size_t max_bytes;
    int64_t ttl_ms;
    struct cache_stats stats;
};

CW_MUST_USE enum cw_err shard_init(struct shard *shard, const struct cache_config *config);
void shard_done(struct shard *shard);

/* The chain of memory that leads to an entry, link by link: each step reads what the one before
 * asked for. */
enum shard_expect { SHARD_EXPECT_INDEX, SHARD_EXPECT_ENTRY };

/* Without the shard's lock: what it reads only becomes the address of a prefetch, and no address is
 * wrong for that. */
void shard_expect(const struct shard *shard, uint32_t hash, enum shard_expect step);

bool shard_get(struct shard *shard, const struct cache_key *key, uint32_t hash, int64_t wall_s,
               int64_t mono_ms, struct cache_hit *ret_hit);
bool shard_put(struct shard *shard, const struct cache_key *key, uint32_t hash, int64_t mono_ms,
               const struct cache_parts *parts, const char *blob, int64_t expires_at,
               uint64_t subject, struct cw_jwk *signer);
uint64_t shard_flush(struct shard *shard, uint64_t generation);
/* Entries, bytes and links agree with each other; for tests. */
bool shard_validate(const struct shard *shard);

#endif
