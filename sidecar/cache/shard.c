/* A shard keeps its entries in two first-in-first-out queues. A new entry stands in probation; when
 * room is needed, the oldest of probation goes, unless it was asked for since: then it moves to the
 * main queue. The oldest of the main queue goes round once for each time it was asked for since it
 * last came by. A hit therefore writes one bit and moves nothing, and a scan of tokens that are
 * seen once passes through probation without touching what is in use (S3-FIFO, SOSP 2023).
 *
 *   put ─▶ [ probation: at most a tenth ] ──asked for──▶ [ main ] ──asked for──▶ round again
 *                     └─ not: evicted                       └─ not: evicted
 *
 * Beside that, each entry stands in the list of its subject's share. Who has more than a share puts
 * out an entry of its own. */
#include "sidecar/cache/shard.h"

#include <stdlib.h>
#include <string.h>

enum { SHARD_PROBATION, SHARD_MAIN };

enum { BLOB_USUAL = 192 }; /* bytes of a blob that are asked for ahead of time */

struct shard_entry {
    unsigned char digest[CACHE_DIGEST_SIZE];
    uint64_t generation;
    char *blob; /* NULL: a free slot */
    struct cw_jwk *signer;
    int64_t expires_at; /* wall clock, seconds */
    int64_t born_ms;    /* monotonic */
    uint32_t chain;     /* next of the same index position, or of the free slots */
    uint32_t hash;
    uint32_t newer, older;             /* of its queue */
    uint32_t share_newer, share_older; /* of its subject's share */
    uint32_t share;
    struct cache_parts parts;
    bool asked;
    uint8_t queue;
};

struct shard_share {
    uint32_t head, tail, n;
};

static uint32_t power_of_two(uint32_t n)
{
    uint32_t p = 1;
    while (p < n) {
        p <<= 1;
    }
    return p;
}

enum cw_err shard_init(struct shard *shard, const struct cache_config *config)
{
    uint32_t n = CW_MAX(config->max_entries, 16u);
    uint32_t index = power_of_two(n + n / 4);
    uint32_t shares = power_of_two(n / 4 + 1);

    memset(shard, 0, sizeof(*shard));
    shard->entries = calloc((size_t)n + 1, sizeof(*shard->entries));
    shard->index = calloc(index, sizeof(*shard->index));
    shard->shares = calloc(shares, sizeof(*shard->shares));
    if (!shard->entries || !shard->index || !shard->shares) {
        shard_done(shard);
        return CW_NO_MEMORY;
    }
    shard->index_mask = index - 1;
    shard->share_mask = shares - 1;
    shard->max_entries = n;
    shard->max_bytes = config->max_bytes;
    shard->ttl_ms = config->ttl_ms;
    shard->unused = 1;
    shard->share_max = CW_MAX(n / CACHE_SUBJECT_SHARE, (uint32_t)CACHE_SUBJECT_MIN);
    return CW_OK;
}

static void queue_push(struct shard *shard, uint8_t which, uint32_t slot)
{
    struct shard_queue *queue = &shard->queues[which];
    struct shard_entry *entry = &shard->entries[slot];

    entry->queue = which;
    entry->newer = 0;
    entry->older = queue->head;
    if (queue->head) {
        shard->entries[queue->head].newer = slot;
    } else {
        queue->tail = slot;
    }
    queue->head = slot;
    queue->n++;
}

static void queue_remove(struct shard *shard, uint32_t slot)
{
    struct shard_entry *entry = &shard->entries[slot];
    struct shard_queue *queue = &shard->queues[entry->queue];

    if (entry->newer) {
        shard->entries[entry->newer].older = entry->older;
    } else {
        queue->head = entry->older;
    }
    if (entry->older) {
        shard->entries[entry->older].newer = entry->newer;
    } else {
        queue->tail = entry->newer;
    }
    queue->n--;
}

static void share_push(struct shard *shard, uint32_t slot)
{
    struct shard_entry *entry = &shard->entries[slot];
    struct shard_share *share = &shard->shares[entry->share];

    entry->share_newer = 0;
    entry->share_older = share->head;
    if (share->head) {
        shard->entries[share->head].share_newer = slot;
    } else {
        share->tail = slot;
    }
    share->head = slot;
    share->n++;
}

static void share_remove(struct shard *shard, uint32_t slot)
{
    struct shard_entry *entry = &shard->entries[slot];
    struct shard_share *share = &shard->shares[entry->share];

    if (entry->share_newer) {
        shard->entries[entry->share_newer].share_older = entry->share_older;
    } else {
        share->head = entry->share_older;
    }
    if (entry->share_older) {
        shard->entries[entry->share_older].share_newer = entry->share_newer;
    } else {
        share->tail = entry->share_newer;
    }
    share->n--;
}

/* Bytes that an entry costs: its slot, its blob with malloc's header, its part of the index. */
static size_t entry_cost(const struct cache_parts *parts)
{
    return sizeof(struct shard_entry) + ((cache_parts_size(parts) + 8 + 15) & ~(size_t)15) + 12;
}

static void entry_remove(struct shard *shard, uint32_t slot)
{
    struct shard_entry *entry = &shard->entries[slot];
    uint32_t *link = &shard->index[entry->hash & shard->index_mask];

    while (*link != slot) {
        link = &shard->entries[*link].chain;
    }
    *link = entry->chain;
    queue_remove(shard, slot);
    share_remove(shard, slot);
    shard->bytes -= entry_cost(&entry->parts);
    cw_jwk_unref(entry->signer);
    free(entry->blob);
    memset(entry, 0, sizeof(*entry));
    entry->chain = shard->free;
    shard->free = slot;
}

/* Makes room for one by the rule above; false when there is nothing left. Ends, since each entry
 * that goes round loses its mark. */
static bool evict(struct shard *shard)
{
    struct shard_queue *probation = &shard->queues[SHARD_PROBATION];
    struct shard_queue *main = &shard->queues[SHARD_MAIN];

    for (;;) {
        bool young = probation->n > (probation->n + main->n) / 10 || main->n == 0;
        uint32_t slot = young ? probation->tail : main->tail;
        if (slot == 0) {
            return false;
        }
        struct shard_entry *entry = &shard->entries[slot];
        if (!entry->asked) {
            entry_remove(shard, slot);
            shard->stats.evictions++;
            return true;
        }
        entry->asked = false;
        queue_remove(shard, slot);
        queue_push(shard, SHARD_MAIN, slot);
    }
}

static uint32_t entry_find(const struct shard *shard, const struct cache_key *key, uint32_t hash)
{
    uint32_t slot = shard->index[hash & shard->index_mask];

    for (; slot; slot = shard->entries[slot].chain) {
        const struct shard_entry *entry = &shard->entries[slot];
        if (entry->hash == hash && entry->generation == key->generation &&
            memcmp(entry->digest, key->digest, CACHE_DIGEST_SIZE) == 0) {
            return slot;
        }
    }
    return 0;
}

__attribute__((no_sanitize("thread"))) void shard_expect(const struct shard *shard, uint32_t hash,
                                                         enum shard_expect step)
{
    const uint32_t *first = &shard->index[hash & shard->index_mask];

    if (step == SHARD_EXPECT_INDEX) {
        cw_expect(first, sizeof(*first));
        return;
    }
    const struct shard_entry *entry = &shard->entries[__atomic_load_n(first, __ATOMIC_RELAXED)];
    if (step == SHARD_EXPECT_ENTRY) {
        cw_expect(entry, sizeof(*entry));
        return;
    }
    if (__atomic_load_n(&entry->hash, __ATOMIC_RELAXED) != hash) { /* the next of its chain */
        entry = &shard->entries[__atomic_load_n(&entry->chain, __ATOMIC_RELAXED)];
        cw_expect(entry, sizeof(*entry));
    } else {
        cw_expect(__atomic_load_n(&entry->blob, __ATOMIC_RELAXED), BLOB_USUAL);
    }
}

bool shard_get(struct shard *shard, const struct cache_key *key, uint32_t hash, int64_t wall_s,
               int64_t mono_ms, struct cache_hit *ret_hit)
{
    uint32_t slot = entry_find(shard, key, hash);
    struct shard_entry *entry = &shard->entries[slot];

    if (slot == 0) {
        shard->stats.misses++;
        return false;
    }
    if (wall_s >= entry->expires_at || mono_ms - entry->born_ms >= shard->ttl_ms) {
        entry_remove(shard, slot);
        shard->stats.expirations++;
        shard->stats.misses++;
        return false;
    }
    if (cw_jwk_is_withdrawn(entry->signer)) {
        entry_remove(shard, slot);
        shard->stats.withdrawals++;
        shard->stats.misses++;
        return false;
    }
    entry->asked = true;
    shard->stats.hits++;
    ret_hit->parts = entry->parts;
    memcpy(ret_hit->blob, entry->blob, cache_parts_size(&entry->parts));
    return true;
}

static uint32_t slot_take(struct shard *shard)
{
    uint32_t slot = shard->free;

    if (slot) {
        shard->free = shard->entries[slot].chain;
        return slot;
    }
    return shard->unused <= shard->max_entries ? shard->unused++ : 0;
}

/* Room for one more entry of this cost and share; false when it can never fit. */
static bool make_room(struct shard *shard, size_t cost, const struct shard_share *share)
{
    if (cost > shard->max_bytes) {
        return false;
    }
    while (share->n >= shard->share_max) {
        entry_remove(shard, share->tail);
        shard->stats.evictions++;
    }
    while (shard->bytes + cost > shard->max_bytes ||
           shard->queues[0].n + shard->queues[1].n >= shard->max_entries) {
        if (!evict(shard)) {
            return false;
        }
    }
    return true;
}

bool shard_put(struct shard *shard, const struct cache_key *key, uint32_t hash, int64_t mono_ms,
               const struct cache_parts *parts, const char *blob, int64_t expires_at,
               uint64_t subject, struct cw_jwk *signer)
{
    size_t size = cache_parts_size(parts);
    uint32_t share = (uint32_t)subject & shard->share_mask;
    char *copy = size <= CACHE_BLOB_MAX ? malloc(size ? size : 1) : NULL;
    uint32_t old = entry_find(shard, key, hash);

    if (old) {
        entry_remove(shard, old);
    }
    if (!copy || !make_room(shard, entry_cost(parts), &shard->shares[share])) {
        free(copy);
        shard->stats.refused++;
        return false;
    }
    memcpy(copy, blob, size);

    uint32_t slot = slot_take(shard);
    struct shard_entry *entry = &shard->entries[slot];
    uint32_t *chain = &shard->index[hash & shard->index_mask];
    memcpy(entry->digest, key->digest, CACHE_DIGEST_SIZE);
    entry->generation = key->generation;
    entry->blob = copy;
    entry->signer = cw_jwk_ref(signer);
    entry->expires_at = expires_at;
    entry->born_ms = mono_ms;
    entry->hash = hash;
    entry->share = share;
    entry->parts = *parts;
    entry->asked = false;
    entry->chain = *chain;
    *chain = slot;
    queue_push(shard, SHARD_PROBATION, slot);
    share_push(shard, slot);
    shard->bytes += entry_cost(parts);
    return true;
}

uint64_t shard_flush(struct shard *shard, uint64_t generation)
{
    uint64_t dropped = 0;

    for (uint32_t slot = 1; slot < shard->unused; slot++) {
        struct shard_entry *entry = &shard->entries[slot];
        if (entry->blob && (generation == 0 || entry->generation == generation)) {
            entry_remove(shard, slot);
            dropped++;
        }
    }
    return dropped;
}

void shard_done(struct shard *shard)
{
    if (shard->entries) {
        shard_flush(shard, 0);
    }
    free(shard->entries);
    free(shard->index);
    free(shard->shares);
    memset(shard, 0, sizeof(*shard));
}

bool shard_validate(const struct shard *shard)
{
    size_t bytes = 0;
    uint32_t queued = 0;
    uint32_t shared = 0;
    uint32_t chained = 0;

    for (int which = 0; which < 2; which++) {
        uint32_t n = 0;
        for (uint32_t slot = shard->queues[which].head; slot; slot = shard->entries[slot].older) {
            ENSURE(shard->entries[slot].queue == which && shard->entries[slot].blob, false);
            bytes += entry_cost(&shard->entries[slot].parts);
            n++;
        }
        ENSURE(n == shard->queues[which].n, false);
        queued += n;
    }
    for (uint32_t i = 0; i <= shard->share_mask; i++) {
        ENSURE(shard->shares[i].n <= shard->share_max, false);
        shared += shard->shares[i].n;
    }
    for (uint32_t i = 0; i <= shard->index_mask; i++) {
        for (uint32_t slot = shard->index[i]; slot; slot = shard->entries[slot].chain) {
            chained++;
        }
    }
    return queued == shared && queued == chained && queued <= shard->max_entries &&
           bytes == shard->bytes && bytes <= shard->max_bytes;
}
