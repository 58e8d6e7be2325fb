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

/* A place of the index holds the entry's slot, and of its hash what does not choose the place: so
 * entries of others are seldom read on the way to one's own. 0 is an empty place; an entry stands
 * in the first one that was empty from its own on (linear probing). */
enum { LINE = 64, BLOB_USUAL = 176, SLOT_BITS = 22, SLOT_MASK = (1 << SLOT_BITS) - 1 };

/* What a hit reads: the first line says whether this is the token and still counts, the others are
 * what is known of it, as a rule in whole. With a million tokens none of this is in the processor's
 * cache, so it is few lines, beside each other, on one page. */
struct shard_entry {
    unsigned char digest[CACHE_DIGEST_SIZE];
    uint64_t generation;
    struct cw_jwk *signer; /* NULL: a free slot */
    int64_t born_ms;       /* monotonic */
    int64_t expires_at;    /* wall clock, seconds */
    struct cache_parts parts;
    bool asked;
    uint8_t queue;
    union {
        char near[BLOB_USUAL];
        char *far; /* one that is larger */
    } blob;
};
_Static_assert(sizeof(struct shard_entry) == 4 * LINE, "four lines");
_Static_assert(offsetof(struct shard_entry, parts) == LINE, "one for what is compared");

/* What only comings and goings read; the same slots. */
struct shard_links {
    uint32_t hash;
    uint32_t newer, older;             /* of its queue; newer: the next of the free slots, too */
    uint32_t share_newer, share_older; /* of its subject's share */
    uint32_t share;
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
    uint32_t index = power_of_two(n + n / 4); /* there is always an empty place */
    uint32_t shares = power_of_two(n / 4 + 1);

    memset(shard, 0, sizeof(*shard));
    ENSURE(n <= SLOT_MASK, CW_NO_MEMORY);
    shard->block = calloc((size_t)n + 2, sizeof(*shard->entries)); /* one more for its alignment */
    shard->links = calloc((size_t)n + 1, sizeof(*shard->links));
    shard->index = calloc(index, sizeof(*shard->index));
    shard->shares = calloc(shares, sizeof(*shard->shares));
    if (!shard->block || !shard->links || !shard->index || !shard->shares) {
        shard_done(shard);
        return CW_NO_MEMORY;
    }
    uintptr_t line = ((uintptr_t)shard->block + LINE - 1) & ~(uintptr_t)(LINE - 1);
    shard->entries = (struct shard_entry *)line;
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
    struct shard_links *links = &shard->links[slot];

    shard->entries[slot].queue = which;
    links->newer = 0;
    links->older = queue->head;
    if (queue->head) {
        shard->links[queue->head].newer = slot;
    } else {
        queue->tail = slot;
    }
    queue->head = slot;
    queue->n++;
}

static void queue_remove(struct shard *shard, uint32_t slot)
{
    const struct shard_links *links = &shard->links[slot];
    struct shard_queue *queue = &shard->queues[shard->entries[slot].queue];

    if (links->newer) {
        shard->links[links->newer].older = links->older;
    } else {
        queue->head = links->older;
    }
    if (links->older) {
        shard->links[links->older].newer = links->newer;
    } else {
        queue->tail = links->newer;
    }
    queue->n--;
}

static void share_push(struct shard *shard, uint32_t slot)
{
    struct shard_links *links = &shard->links[slot];
    struct shard_share *share = &shard->shares[links->share];

    links->share_newer = 0;
    links->share_older = share->head;
    if (share->head) {
        shard->links[share->head].share_newer = slot;
    } else {
        share->tail = slot;
    }
    share->head = slot;
    share->n++;
}

static void share_remove(struct shard *shard, uint32_t slot)
{
    const struct shard_links *links = &shard->links[slot];
    struct shard_share *share = &shard->shares[links->share];

    if (links->share_newer) {
        shard->links[links->share_newer].share_older = links->share_older;
    } else {
        share->head = links->share_older;
    }
    if (links->share_older) {
        shard->links[links->share_older].share_newer = links->share_newer;
    } else {
        share->tail = links->share_newer;
    }
    share->n--;
}

/* The blob of an entry in use. */
static char *entry_blob(struct shard_entry *entry)
{
    return cache_parts_size(&entry->parts) <= BLOB_USUAL ? entry->blob.near : entry->blob.far;
}

/* Bytes that an entry costs: its slot, its part of the index, a large blob with malloc's header. */
static size_t entry_cost(const struct cache_parts *parts)
{
    size_t blob = cache_parts_size(parts);
    size_t far = blob > BLOB_USUAL ? (blob + 8 + 15) & ~(size_t)15 : 0;

    return sizeof(struct shard_entry) + sizeof(struct shard_links) + 12 + far;
}

static uint32_t place_word(uint32_t hash, uint32_t slot)
{
    return (hash & ~(uint32_t)SLOT_MASK) | slot;
}

static void index_add(struct shard *shard, uint32_t slot)
{
    uint32_t hash = shard->links[slot].hash, at = hash & shard->index_mask;

    while (shard->index[at]) {
        at = (at + 1) & shard->index_mask;
    }
    shard->index[at] = place_word(hash, slot);
}

/* Those behind move up, unless that put them before the place that is their own. */
static void index_remove(struct shard *shard, uint32_t slot)
{
    uint32_t mask = shard->index_mask, hole = shard->links[slot].hash & mask;

    while ((shard->index[hole] & SLOT_MASK) != slot) {
        hole = (hole + 1) & mask;
    }
    for (uint32_t at = (hole + 1) & mask; shard->index[at]; at = (at + 1) & mask) {
        uint32_t own = shard->links[shard->index[at] & SLOT_MASK].hash & mask;
        if (((at - own) & mask) >= ((at - hole) & mask)) {
            shard->index[hole] = shard->index[at];
            hole = at;
        }
    }
    shard->index[hole] = 0;
}

static void slot_give(struct shard *shard, uint32_t slot)
{
    shard->links[slot].newer = shard->free;
    shard->free = slot;
}

static void entry_remove(struct shard *shard, uint32_t slot)
{
    struct shard_entry *entry = &shard->entries[slot];
    char *blob = entry_blob(entry);

    index_remove(shard, slot);
    queue_remove(shard, slot);
    share_remove(shard, slot);
    shard->bytes -= entry_cost(&entry->parts);
    cw_jwk_unref(entry->signer);
    if (blob != entry->blob.near) {
        free(blob);
    }
    memset(entry, 0, sizeof(*entry));
    slot_give(shard, slot);
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
    uint32_t at = hash & shard->index_mask;

    for (; shard->index[at]; at = (at + 1) & shard->index_mask) {
        uint32_t slot = shard->index[at] & SLOT_MASK;
        const struct shard_entry *entry = &shard->entries[slot];
        if (shard->index[at] == place_word(hash, slot) && entry->generation == key->generation &&
            memcmp(entry->digest, key->digest, CACHE_DIGEST_SIZE) == 0) {
            return slot;
        }
    }
    return 0;
}

/* The slot of the first entry with these bits of a hash; 0 for none nearby. */
static __attribute__((no_sanitize("thread"))) uint32_t slot_expected(const struct shard *shard,
                                                                     uint32_t hash)
{
    enum { NEARBY = 8 };
    uint32_t at = hash & shard->index_mask;

    for (int i = 0; i < NEARBY; i++, at = (at + 1) & shard->index_mask) {
        uint32_t word = __atomic_load_n(&shard->index[at], __ATOMIC_RELAXED);
        if (!word || word == place_word(hash, word & SLOT_MASK)) {
            return word & SLOT_MASK;
        }
    }
    return 0;
}

/* An identity is taken to fill its entry. */
void shard_expect(const struct shard *shard, uint32_t hash, enum shard_expect step)
{
    if (step == SHARD_EXPECT_INDEX) {
        cw_expect(&shard->index[hash & shard->index_mask], sizeof(*shard->index));
    } else {
        cw_expect(&shard->entries[slot_expected(shard, hash)], sizeof(struct shard_entry));
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
    memcpy(ret_hit->blob, entry_blob(entry), cache_parts_size(&entry->parts));
    return true;
}

static uint32_t slot_take(struct shard *shard)
{
    uint32_t slot = shard->free;

    if (slot) {
        shard->free = shard->links[slot].newer;
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

/* Copies the blob to where entry_blob finds it; false without memory. */
static bool blob_keep(struct shard_entry *entry, const char *blob, size_t size)
{
    char *to = size <= BLOB_USUAL ? entry->blob.near : malloc(size);

    if (!to) {
        return false;
    }
    memcpy(to, blob, size);
    if (size > BLOB_USUAL) {
        entry->blob.far = to;
    }
    return true;
}

static void entry_add(struct shard *shard, uint32_t slot, uint32_t hash, uint32_t share)
{
    shard->links[slot] = (struct shard_links){.hash = hash, .share = share};
    index_add(shard, slot);
    queue_push(shard, SHARD_PROBATION, slot);
    share_push(shard, slot);
    shard->bytes += entry_cost(&shard->entries[slot].parts);
}

bool shard_put(struct shard *shard, const struct cache_key *key, uint32_t hash, int64_t mono_ms,
               const struct cache_parts *parts, const char *blob, int64_t expires_at,
               uint64_t subject, struct cw_jwk *signer)
{
    size_t size = cache_parts_size(parts);
    uint32_t share = (uint32_t)subject & shard->share_mask;
    uint32_t slot = 0, old = entry_find(shard, key, hash);

    if (old) {
        entry_remove(shard, old);
    }
    if (size <= CACHE_BLOB_MAX && make_room(shard, entry_cost(parts), &shard->shares[share])) {
        slot = slot_take(shard);
    }
    struct shard_entry *entry = &shard->entries[slot];
    if (slot && !blob_keep(entry, blob, size)) {
        slot_give(shard, slot);
        slot = 0;
    }
    if (!slot) {
        shard->stats.refused++;
        return false;
    }
    memcpy(entry->digest, key->digest, CACHE_DIGEST_SIZE);
    entry->generation = key->generation;
    entry->signer = cw_jwk_ref(signer);
    entry->expires_at = expires_at;
    entry->born_ms = mono_ms;
    entry->parts = *parts;
    entry->asked = false;
    entry_add(shard, slot, hash, share);
    return true;
}

uint64_t shard_flush(struct shard *shard, uint64_t generation)
{
    uint64_t dropped = 0;

    for (uint32_t slot = 1; slot < shard->unused; slot++) {
        struct shard_entry *entry = &shard->entries[slot];
        if (entry->signer && (generation == 0 || entry->generation == generation)) {
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
    free(shard->block);
    free(shard->links);
    free(shard->index);
    free(shard->shares);
    memset(shard, 0, sizeof(*shard));
}

bool shard_validate(const struct shard *shard)
{
    size_t bytes = 0;
    uint32_t queued = 0;
    uint32_t shared = 0;
    uint32_t indexed = 0;

    for (int which = 0; which < 2; which++) {
        uint32_t n = 0;
        for (uint32_t slot = shard->queues[which].head; slot; slot = shard->links[slot].older) {
            ENSURE(shard->entries[slot].queue == which && shard->entries[slot].signer, false);
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
        uint32_t slot = shard->index[i] & SLOT_MASK;
        if (slot) { /* it is found: no place from its own on is empty */
            uint32_t hash = shard->links[slot].hash;
            ENSURE(shard->index[i] == place_word(hash, slot), false);
            for (uint32_t at = hash & shard->index_mask; at != i;
                 at = (at + 1) & shard->index_mask) {
                ENSURE(shard->index[at], false);
            }
            indexed++;
        }
    }
    return queued == shared && queued == indexed && queued <= shard->max_entries &&
           bytes == shard->bytes && bytes <= shard->max_bytes;
}
