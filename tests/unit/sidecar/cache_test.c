/* What the token cache keeps, for how long, and who has to go. */
#include "sidecar/cache/cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/cache/shard.h"
#include "tests/unit/sidecar/world.h"

static struct cw_jwk *signer;
static struct world world;

static struct cw_jwk *make_key(void)
{
    static const char *const names[] = {"one"};
    char *text = world_jwks(names, 1);
    struct cw_jwks_options options = {0};
    struct cw_jwks *set = NULL;

    assert_int_equal(cw_jwks_parse(cw_str(text), &options, &set, NULL), CW_OK);
    struct cw_jwk *key = cw_jwk_ref(cw_jwks_at(set, 0));
    cw_jwks_unref(set);
    free(text);
    return key;
}

static int setup(void **state)
{
    (void)state;
    world_init(&world);
    signer = make_key();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cw_jwk_unref(signer);
    return 0;
}

struct token {
    unsigned char digest[CACHE_DIGEST_SIZE];
    struct cache_key key;
};

static struct token token_of(uint64_t generation, uint32_t number)
{
    struct token token = {0};
    uint64_t x = number * 0x9E3779B97F4A7C15u + 1;

    for (size_t i = 0; i < sizeof(token.digest); i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        token.digest[i] = (unsigned char)x;
    }
    token.key = (struct cache_key){generation, NULL};
    return token;
}

static struct cache *make(uint32_t entries, size_t bytes)
{
    struct cache_config config = {.max_entries = entries,
                                  .max_bytes = bytes,
                                  .ttl_ms = 300000,
                                  .seed = 7,
                                  .clock = &world.clock};
    struct cache *cache = cache_new(&config);

    assert_non_null(cache);
    return cache;
}

static bool put_subject(struct cache *cache, uint64_t generation, uint32_t number, uint64_t subject)
{
    struct token token = token_of(generation, number);
    struct cache_parts parts = {.subject = 4, .standard = 20, .audience = 6};
    char blob[30];

    memset(blob, (int)number, sizeof(blob));
    token.key.digest = token.digest;
    return cache_put(cache, &token.key, cache_epoch(cache), &parts, blob, WORLD_WALL_S + 600,
                     subject, signer);
}

static bool put(struct cache *cache, uint64_t generation, uint32_t number)
{
    return put_subject(cache, generation, number, number * 7919u);
}

static bool get(struct cache *cache, uint64_t generation, uint32_t number)
{
    struct token token = token_of(generation, number);
    struct cache_hit hit;

    token.key.digest = token.digest;
    bool found = cache_get(cache, &token.key, world.wall_ms / 1000, world.mono_ms, &hit);
    if (found) {
        assert_int_equal(cache_parts_size(&hit.parts), 30);
        assert_int_equal((unsigned char)hit.blob[29], (unsigned char)number);
    }
    return found;
}

static struct cache_stats stats_of(struct cache *cache)
{
    struct cache_stats stats;

    cache_stats(cache, &stats);
    return stats;
}

static void what_was_put_is_found_under_its_tenant_only(void **state)
{
    struct cache *cache = make(1000, 1 << 20);

    (void)state;
    assert_false(get(cache, 1, 5));
    assert_true(put(cache, 1, 5));
    assert_true(get(cache, 1, 5));
    assert_false(get(cache, 2, 5));
    assert_false(get(cache, 1, 6));
    cache_free(cache);
}

static void the_whole_digest_counts(void **state)
{
    struct cache *cache = make(1000, 1 << 20);
    struct token token = token_of(1, 5);
    struct cache_hit hit;

    (void)state;
    assert_true(put(cache, 1, 5));
    token.key.digest = token.digest;
    for (size_t i = 0; i < sizeof(token.digest); i++) {
        token.digest[i] ^= 1;
        assert_false(cache_get(cache, &token.key, WORLD_WALL_S, world.mono_ms, &hit));
        token.digest[i] ^= 1;
    }
    assert_true(cache_get(cache, &token.key, WORLD_WALL_S, world.mono_ms, &hit));
    cache_free(cache);
}

static void exp_is_read_on_the_wall_clock_at_the_moment_of_the_look_up(void **state)
{
    struct cache *cache = make(1000, 1 << 20);

    (void)state;
    assert_true(put(cache, 1, 5));
    world.wall_ms += 599 * 1000;
    assert_true(get(cache, 1, 5));
    world.wall_ms += 1000;
    assert_false(get(cache, 1, 5));
    /* A step back does not bring it back. */
    world.wall_ms -= 3600 * 1000;
    assert_false(get(cache, 1, 5));
    assert_int_equal(stats_of(cache).expirations, 1);
    cache_free(cache);
}

static void the_time_to_live_is_monotonic(void **state)
{
    struct cache *cache = make(1000, 1 << 20);

    (void)state;
    assert_true(put(cache, 1, 5));
    world.wall_ms -= 86400 * 1000;
    world.mono_ms += 299999;
    assert_true(get(cache, 1, 5));
    world.mono_ms += 1;
    assert_false(get(cache, 1, 5));
    cache_free(cache);
}

static void a_withdrawn_key_ends_what_it_signed_at_the_next_look_up(void **state)
{
    struct cache *cache = make(1000, 1 << 20);

    (void)state;
    assert_true(put(cache, 1, 5));
    cw_jwk_withdraw(signer);
    assert_false(get(cache, 1, 5));
    assert_int_equal(stats_of(cache).withdrawals, 1);
    assert_int_equal(stats_of(cache).entries, 0);
    /* And nothing is put under it any more. */
    assert_false(put(cache, 1, 6));
    cache_free(cache);
}

static void an_insertion_whose_epoch_is_over_is_refused(void **state)
{
    struct cache *cache = make(1000, 1 << 20);
    struct token token = token_of(1, 5);
    struct cache_parts parts = {.subject = 1};
    uint64_t epoch = cache_epoch(cache);

    (void)state;
    token.key.digest = token.digest;
    cache_advance(cache);
    assert_false(cache_put(cache, &token.key, epoch, &parts, "x", WORLD_WALL_S + 60, 1, signer));
    assert_int_equal(stats_of(cache).refused, 1);
    epoch = cache_epoch(cache);
    assert_int_equal(cache_flush(cache, 0), 0);
    assert_false(cache_put(cache, &token.key, epoch, &parts, "x", WORLD_WALL_S + 60, 1, signer));
    assert_true(cache_put(cache, &token.key, cache_epoch(cache), &parts, "x", WORLD_WALL_S + 60, 1,
                          signer));
    cache_free(cache);
}

static void a_flush_takes_one_tenant_or_all(void **state)
{
    struct cache *cache = make(1000, 1 << 20);

    (void)state;
    for (uint32_t i = 0; i < 50; i++) {
        put(cache, 1 + i % 2, i);
    }
    assert_int_equal(cache_flush(cache, 2), 25);
    assert_true(get(cache, 1, 0));
    assert_false(get(cache, 2, 1));
    assert_int_equal(cache_flush(cache, 0), 25);
    assert_int_equal(stats_of(cache).bytes, 0);
    cache_free(cache);
}

static void entries_and_bytes_stay_within_their_bounds(void **state)
{
    struct cache *cache = make(1600, 1 << 20);

    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        assert_true(put(cache, 1, i));
    }
    assert_in_range(stats_of(cache).entries, 1500, 1600 + 16);
    assert_true(stats_of(cache).evictions >= 18000);
    cache_free(cache);
    cache = make(100000, 64 << 10);
    for (uint32_t i = 0; i < 20000; i++) {
        assert_true(put(cache, 1, i));
    }
    assert_in_range(stats_of(cache).bytes, 32 << 10, 64 << 10);
    cache_free(cache);
}

static void a_scan_does_not_push_out_what_is_in_use(void **state)
{
    struct cache *cache = make(1600, 1 << 20);
    unsigned kept = 0;

    (void)state;
    for (uint32_t i = 0; i < 400; i++) {
        put(cache, 1, i);
    }
    for (uint32_t scan = 0; scan < 50000; scan++) {
        put(cache, 1, 1000 + scan);
        if (scan % 200 == 0) {
            for (uint32_t i = 0; i < 400; i++) {
                (void)get(cache, 1, i);
            }
        }
    }
    for (uint32_t i = 0; i < 400; i++) {
        kept += get(cache, 1, i);
    }
    assert_true(kept >= 396);
    cache_free(cache);
}

static void one_subject_cannot_push_out_the_others(void **state)
{
    struct cache *cache = make(3200, 1 << 20);
    unsigned kept = 0;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        put(cache, 1, i);
    }
    for (uint32_t i = 0; i < 100000; i++) {
        assert_true(put_subject(cache, 1, 10000 + i, 42));
    }
    for (uint32_t i = 0; i < 1000; i++) {
        kept += get(cache, 1, i);
    }
    /* All but the few that share a place with the greedy one. */
    assert_true(kept >= 900);
    assert_true(get(cache, 1, 10000 + 99999));
    cache_free(cache);
}

static void the_same_token_again_replaces_its_entry(void **state)
{
    struct cache *cache = make(1000, 1 << 20);

    (void)state;
    assert_true(put(cache, 1, 5));
    assert_true(put(cache, 1, 5));
    assert_int_equal(stats_of(cache).entries, 1);
    cache_free(cache);
}

static void identities_above_the_bound_are_not_kept(void **state)
{
    struct cache *cache = make(1000, 1 << 20);
    struct token token = token_of(1, 5);
    struct cache_parts parts = {.standard = CACHE_BLOB_MAX};
    char *blob = calloc(1, CACHE_BLOB_MAX + 1);

    (void)state;
    token.key.digest = token.digest;
    assert_true(cache_put(cache, &token.key, cache_epoch(cache), &parts, blob, WORLD_WALL_S + 60, 1,
                          signer));
    parts.claims = 1;
    assert_false(cache_put(cache, &token.key, cache_epoch(cache), &parts, blob, WORLD_WALL_S + 60,
                           1, signer));
    free(blob);
    cache_free(cache);
}

/* Few hashes for many tokens, so that most stand far from their own places, and blobs on both sides
 * of what an entry holds itself. */
static void a_full_shard_whose_hashes_collide_finds_each(void **state)
{
    enum { ENTRIES = 60, PUTS = 3000, HASHES = 7 };
    struct cache_config config = {.max_entries = ENTRIES, .max_bytes = 1 << 20, .ttl_ms = 300000};
    static struct cache_hit hit;
    char blob[400];
    struct shard shard;

    (void)state;
    assert_int_equal(shard_init(&shard, &config), CW_OK);
    for (uint32_t i = 0; i < PUTS; i++) {
        struct token token = token_of(1, i);
        struct cache_parts parts = {.standard = (uint16_t)(i % sizeof(blob))};
        uint32_t hash = (i % HASHES) * 0x40000001u; /* the last places, and round to the first */

        token.key.digest = token.digest;
        memset(blob, (int)i, sizeof(blob));
        assert_true(shard_put(&shard, &token.key, hash - 2, world.mono_ms, &parts, blob,
                              WORLD_WALL_S + 60, i, signer));
        assert_true(shard_get(&shard, &token.key, hash - 2, WORLD_WALL_S, world.mono_ms, &hit));
        assert_int_equal(hit.parts.standard, parts.standard);
        assert_memory_equal(hit.blob, blob, parts.standard);
        shard_expect(&shard, hash - 2, SHARD_EXPECT_INDEX);
        shard_expect(&shard, hash - 2, SHARD_EXPECT_ENTRY);
        assert_true(shard_validate(&shard));
    }
    assert_true(shard.queues[0].n + shard.queues[1].n > ENTRIES / 2);
    assert_int_equal(shard_flush(&shard, 2), 0);
    assert_true(shard_flush(&shard, 1) > ENTRIES / 2);
    assert_true(shard_validate(&shard));
    assert_int_equal(shard.bytes, 0);
    shard_done(&shard);
}

/* ---- threads ---- */

static struct cache *shared;

static void *hammer(void *arg)
{
    uint32_t base = (uint32_t)(uintptr_t)arg;

    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t n = (base + i * 17) % 900;
        if (!get(shared, 1, n)) {
            (void)put(shared, 1, n);
        }
        if (i % 5000 == 0) {
            (void)cache_flush(shared, i % 2);
        }
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    pthread_t threads[4];

    (void)state;
    shared = make(500, 1 << 20);
    for (uintptr_t i = 0; i < CW_ARRAY_SIZE(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(i * 100)), 0);
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    struct cache_stats stats = stats_of(shared);
    assert_int_equal(stats.hits + stats.misses, 4 * 20000);
    cache_free(shared);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_was_put_is_found_under_its_tenant_only),
        T(the_whole_digest_counts),
        T(exp_is_read_on_the_wall_clock_at_the_moment_of_the_look_up),
        T(the_time_to_live_is_monotonic),
        T(a_withdrawn_key_ends_what_it_signed_at_the_next_look_up),
        T(an_insertion_whose_epoch_is_over_is_refused),
        T(a_flush_takes_one_tenant_or_all),
        T(entries_and_bytes_stay_within_their_bounds),
        T(a_scan_does_not_push_out_what_is_in_use),
        T(one_subject_cannot_push_out_the_others),
        T(the_same_token_again_replaces_its_entry),
        T(identities_above_the_bound_are_not_kept),
        T(a_full_shard_whose_hashes_collide_finds_each),
        T(threads_share_it),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    world_done();
    return failed;
}
