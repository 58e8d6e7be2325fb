/* The token cache: what is known of tokens whose signature was verified, so that it is verified
 * once. An entry is an identity, never a decision: audience, scopes, roles and tenant are judged on
 * every hit. The token itself is not stored; its SHA-256 is the key, together with the generation
 * of the tenant's configuration (a number that no other tenant and no other configuration has). */
#ifndef SIDECAR_CACHE_CACHE_H
#define SIDECAR_CACHE_CACHE_H

#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/jose/jwk.h"

enum {
    CACHE_DIGEST_SIZE = 32,    /* SHA-256 */
    CACHE_BLOB_MAX = 4 * 1024, /* bytes of one identity; larger ones are not kept */
    CACHE_SUBJECT_SHARE = 16,  /* one subject holds at most 1/16 of a shard ... */
    CACHE_SUBJECT_MIN = 16,    /* ... but always so many */
    CACHE_EXPECT_MAX = 32,     /* keys that are asked for ahead of time at once */
};

struct cache;

struct cache_config {
    uint32_t max_entries;
    size_t max_bytes; /* entries with their index */
    int64_t ttl_ms;   /* monotonic */
    uint64_t seed;    /* of the index, random per process */
    const struct cw_clock *clock;
};

struct cache_key {
    uint64_t generation;
    const unsigned char *digest; /* CACHE_DIGEST_SIZE bytes */
};

/* What is kept of a token: four runs of bytes in one blob. */
struct cache_parts {
    uint16_t issuer;   /* index among the tenant's issuers */
    uint16_t subject;  /* bytes of the packed Identity.subject */
    uint16_t standard; /* bytes of the packed fields after Identity.issuer */
    uint16_t claims;   /* bytes of the packed Identity.claims */
    uint16_t audience; /* bytes of the audiences: length (2, little endian), bytes; repeated */
};

static inline size_t cache_parts_size(const struct cache_parts *parts)
{
    return (size_t)parts->subject + parts->standard + parts->claims + parts->audience;
}

/* A copy, so that nothing of it dies with the entry. */
struct cache_hit {
    struct cache_parts parts;
    char blob[CACHE_BLOB_MAX];
};

struct cache_stats {
    uint64_t entries;
    uint64_t bytes;
    uint64_t max_entries;
    uint64_t max_bytes;
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
    uint64_t expirations; /* exp or time to live */
    uint64_t withdrawals;
    uint64_t refused; /* insertions whose epoch had passed, or too large */
};

/* NULL without memory. */
struct cache *cache_new(const struct cache_config *config);
/* NULL is fine. Nobody uses it any more. */
void cache_free(struct cache *cache);

/* The epoch to read before a verification begins; cache_put compares it. Any thread. */
uint64_t cache_epoch(const struct cache *cache);
/* What was verified before counts no more: refuses insertions that are on their way. Any thread. */
void cache_advance(struct cache *cache);

/* False for unknown, expired, too old, or signed by a key that was withdrawn since; `wall_s` and
 * `mono_ms` are the caller's present (one reading serves a batch). Any thread. */
bool cache_get(struct cache *cache, const struct cache_key *key, int64_t wall_s, int64_t mono_ms,
               struct cache_hit *ret_hit);

/* Asks for the memory of at most CACHE_EXPECT_MAX entries, so that the cache_get that follow find
 * it near. Promises nothing and changes nothing. Any thread, while nobody frees the cache. */
void cache_expect(const struct cache *cache, const struct cache_key *keys, size_t n);

/* Keeps a verified identity. `expires_at`: wall clock, seconds, leeway included; takes its own
 * reference to `signer`; `subject` is a hash of (tenant, subject) for the fairness bound. Does
 * nothing (false) when the epoch has moved on since `epoch`. Any thread. */
bool cache_put(struct cache *cache, const struct cache_key *key, uint64_t epoch,
               const struct cache_parts *parts, const char *blob, int64_t expires_at,
               uint64_t subject, struct cw_jwk *signer);

/* Drops all entries, or those of one generation (0: all), and advances the epoch; their number. Any
 * thread but a poller. */
uint64_t cache_flush(struct cache *cache, uint64_t generation);

void cache_stats(const struct cache *cache, struct cache_stats *ret_stats);

#endif
