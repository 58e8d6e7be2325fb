/* Step 2 of a request's way through the sidecar: look whether the token's signature was verified
 * before. The cache is divided into shards, each with its own lock, so that the poller's look-ups
 * and the verifiers' insertions seldom meet. */
#include "sidecar/cache/cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/cache/shard.h"

enum { CACHE_SHARDS = 16 };

struct cache_shard {
    pthread_mutex_t lock;
    struct shard shard;
} __attribute__((aligned(64)));

struct cache {
    struct cache_shard shards[CACHE_SHARDS];
    _Atomic uint64_t epoch;
    uint64_t seed;
    struct cw_clock clock;
    struct cache_config config;
};

/* The digest is SHA-256 already; the seed keeps its bits from being chosen by who makes tokens. */
static uint64_t key_hash(const struct cache *cache, const struct cache_key *key)
{
    uint64_t parts[2];

    memcpy(parts, key->digest, sizeof(parts));
    uint64_t h = (parts[0] ^ cache->seed) * 0x9E3779B97F4A7C15u;
    h ^= (parts[1] + key->generation) * 0xC2B2AE3D27D4EB4Fu;
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9u;
    return h ^ (h >> 32);
}

static struct cache_shard *shard_of(const struct cache *cache, uint64_t hash)
{
    /* The lock is no part of the cache's observable state: const is the caller's view. */
    return (struct cache_shard *)(uintptr_t)&cache->shards[hash >> 60];
}

struct cache *cache_new(const struct cache_config *config)
{
    struct cache *cache = aligned_alloc(64, sizeof(*cache));
    struct cache_config part = *config;

    if (!cache) {
        return NULL;
    }
    memset(cache, 0, sizeof(*cache));
    cache->seed = config->seed;
    cache->clock = *config->clock;
    cache->config = *config;
    atomic_init(&cache->epoch, 1);
    part.max_entries = config->max_entries / CACHE_SHARDS + 1;
    part.max_bytes = config->max_bytes / CACHE_SHARDS;
    for (int i = 0; i < CACHE_SHARDS; i++) {
        pthread_mutex_init(&cache->shards[i].lock, NULL);
    }
    for (int i = 0; i < CACHE_SHARDS; i++) {
        if (shard_init(&cache->shards[i].shard, &part) != CW_OK) {
            cache_free(cache);
            return NULL;
        }
    }
    return cache;
}

void cache_free(struct cache *cache)
{
    if (!cache) {
        return;
    }
    for (int i = 0; i < CACHE_SHARDS; i++) {
        shard_done(&cache->shards[i].shard);
        pthread_mutex_destroy(&cache->shards[i].lock);
    }
    free(cache);
}

uint64_t cache_epoch(const struct cache *cache)
{
    return atomic_load_explicit(&cache->epoch, memory_order_acquire);
}

void cache_advance(struct cache *cache)
{
    atomic_fetch_add_explicit(&cache->epoch, 1, memory_order_acq_rel);
}

bool cache_get(struct cache *cache, const struct cache_key *key, int64_t wall_s, int64_t mono_ms,
               struct cache_hit *ret_hit)
{
    uint64_t hash = key_hash(cache, key);
    struct cache_shard *at = shard_of(cache, hash);

    pthread_mutex_lock(&at->lock);
    bool found = shard_get(&at->shard, key, (uint32_t)hash, wall_s, mono_ms, ret_hit);
    pthread_mutex_unlock(&at->lock);
    return found;
}

void cache_expect(const struct cache *cache, const struct cache_key *keys, size_t n)
{
    uint64_t hashes[CACHE_EXPECT_MAX];

    n = CW_MIN(n, (size_t)CACHE_EXPECT_MAX);
    for (size_t i = 0; i < n; i++) {
        hashes[i] = key_hash(cache, &keys[i]);
        shard_expect(&shard_of(cache, hashes[i])->shard, (uint32_t)hashes[i], SHARD_EXPECT_INDEX);
    }
    for (size_t i = 0; i < n; i++) {
        shard_expect(&shard_of(cache, hashes[i])->shard, (uint32_t)hashes[i], SHARD_EXPECT_ENTRY);
    }
}

bool cache_put(struct cache *cache, const struct cache_key *key, uint64_t epoch,
               const struct cache_parts *parts, const char *blob, int64_t expires_at,
               uint64_t subject, struct cw_jwk *signer)
{
    uint64_t hash = key_hash(cache, key);
    struct cache_shard *at = shard_of(cache, hash);
    int64_t now = cw_clock_monotonic_ms(&cache->clock);
    bool kept = false;

    pthread_mutex_lock(&at->lock);
    /* Under the lock that a flush takes, too: either the flush sees the entry, or this sees the
     * epoch of the flush. */
    if (epoch == cache_epoch(cache) && !cw_jwk_is_withdrawn(signer)) {
        kept = shard_put(&at->shard, key, (uint32_t)hash, now, parts, blob, expires_at, subject,
                         signer);
    } else {
        at->shard.stats.refused++;
    }
    pthread_mutex_unlock(&at->lock);
    return kept;
}

uint64_t cache_flush(struct cache *cache, uint64_t generation)
{
    uint64_t dropped = 0;

    cache_advance(cache);
    for (int i = 0; i < CACHE_SHARDS; i++) {
        pthread_mutex_lock(&cache->shards[i].lock);
        dropped += shard_flush(&cache->shards[i].shard, generation);
        pthread_mutex_unlock(&cache->shards[i].lock);
    }
    return dropped;
}

void cache_stats(const struct cache *cache, struct cache_stats *ret_stats)
{
    struct cache_stats sum = {
        .max_entries = cache->config.max_entries,
        .max_bytes = cache->config.max_bytes,
    };

    for (uint64_t i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *at = shard_of(cache, i << 60);
        pthread_mutex_lock(&at->lock);
        const struct shard *shard = &at->shard;
        sum.entries += shard->queues[0].n + shard->queues[1].n;
        sum.bytes += shard->bytes;
        sum.hits += shard->stats.hits;
        sum.misses += shard->stats.misses;
        sum.evictions += shard->stats.evictions;
        sum.expirations += shard->stats.expirations;
        sum.withdrawals += shard->stats.withdrawals;
        sum.refused += shard->stats.refused;
        pthread_mutex_unlock(&at->lock);
    }
    *ret_stats = sum;
}
