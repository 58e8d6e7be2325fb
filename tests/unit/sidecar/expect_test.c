/* What a batch will need is asked for ahead of time: every entry finds its own tenant, and nothing
 * that can be seen changes, whatever the entries look like. */
#include "sidecar/handle/expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/sidecar/world.h"

enum { TENANTS = 3, NOBODY = -1 };

struct fixture {
    struct world world;
    struct cw_key_store *keys;
    struct tenants *tenants;
    struct tenants_set *set;
    struct cache *cache;
};

static void changed(void *ctx)
{
    (void)ctx;
}

static void configure(struct fixture *f)
{
    static struct cw_str audience = CW_STR_INIT("api");
    struct cw_str domains[TENANTS] = {CW_STR("a.example"), CW_STR("b.example"),
                                      CW_STR("c.example")};
    struct issuer_spec issuer = {.issuer = CW_STR("https://i.example/"),
                                 .jwks_uri = CW_STR("https://i.example/keys")};
    struct tenant_spec specs[TENANTS];
    struct cw_buf problems = CW_BUF_INIT(TENANTS_PROBLEMS_MAX);

    for (size_t i = 0; i < TENANTS; i++) {
        specs[i] = (struct tenant_spec){.name = domains[i],
                                        .domains = {&domains[i], 1},
                                        .audiences = {&audience, 1},
                                        .issuers = &issuer,
                                        .n_issuers = 1};
    }
    assert_int_equal(tenants_configure(f->tenants, specs, TENANTS, &problems), CW_OK);
    cw_buf_done(&problems);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    world_init(&f->world);
    f->keys = world_store(&f->world, NULL);
    f->tenants = tenants_new(
        &(struct tenants_config){.keys = f->keys, .clock = &f->world.clock, .changed = changed});
    configure(f);
    f->set = tenants_get(f->tenants);
    f->cache = cache_new(&(struct cache_config){.max_entries = 1024,
                                                .max_bytes = 1 << 20,
                                                .ttl_ms = 300000,
                                                .seed = 7,
                                                .clock = &f->world.clock});
    assert_non_null(f->cache);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    cache_free(f->cache);
    tenants_set_unref(f->set);
    tenants_free(f->tenants);
    cw_key_store_stop(f->keys);
    while (world_open(&f->world)) {
        world_break(&f->world, CW_UNAVAILABLE);
    }
    cw_key_store_free(f->keys);
    free(f);
    return 0;
}

static void test_each_entry_finds_its_own_tenant(void **state)
{
    static const char digest[CACHE_DIGEST_SIZE] = "digest";
    const struct {
        const char *domain;
        enum wire_subject subject;
        size_t n; /* bytes of the value */
        int tenant;
    } rows[] = {
        {"a.example", WIRE_DIGEST, CACHE_DIGEST_SIZE, 0},
        {"a.example", WIRE_DIGEST, 5, 0},
        {"b.example", WIRE_TOKEN, 20, 1},
        {"nobody.example", WIRE_DIGEST, 32, NOBODY},
        {"nobody.example", WIRE_NOTHING, 0, NOBODY},
        {"", WIRE_DIGEST, 32, NOBODY},
        {"B.Example.", WIRE_DIGEST, 32, 1},
        {"c.example:8443", WIRE_NOTHING, 0, 2},
        {"a.example", WIRE_DIGEST, CACHE_DIGEST_SIZE, 0},
    };
    struct fixture *f = *state;
    struct wire_entry entries[EXPECT_MAX];
    const struct tenant *found[EXPECT_MAX];
    struct cache_stats before;
    struct cache_stats after;

    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        entries[i] = (struct wire_entry){
            .id = i,
            .subject = rows[i].subject,
            .value = {rows[i].n ? digest : NULL, rows[i].n},
            .domain = cw_str(rows[i].domain),
        };
    }
    cache_stats(f->cache, &before);
    for (size_t n = 0; n <= CW_ARRAY_SIZE(rows); n++) { /* one entry takes the short way */
        expect_entries(f->cache, f->set, entries, n, found);
        for (size_t i = 0; i < n; i++) {
            const struct tenant *want =
                rows[i].tenant == NOBODY ? NULL : tenants_set_at(f->set, (size_t)rows[i].tenant);
            assert_ptr_equal(found[i], want);
        }
    }
    cache_stats(f->cache, &after);
    assert_memory_equal(&before, &after, sizeof(before));
}

static void test_a_full_batch_of_strangers_is_no_trouble(void **state)
{
    struct fixture *f = *state;
    struct wire_entry entries[EXPECT_MAX];
    const struct tenant *found[EXPECT_MAX];
    char domains[EXPECT_MAX][32];
    unsigned char digests[EXPECT_MAX][CACHE_DIGEST_SIZE];

    for (size_t i = 0; i < EXPECT_MAX; i++) {
        snprintf(domains[i], sizeof(domains[i]), "%zu.example", i);
        memset(digests[i], (int)i, sizeof(digests[i]));
        entries[i] = (struct wire_entry){.id = i,
                                         .subject = WIRE_DIGEST,
                                         .value = {(char *)digests[i], CACHE_DIGEST_SIZE},
                                         .domain = cw_str(domains[i])};
    }
    expect_entries(f->cache, f->set, entries, EXPECT_MAX, found);
    for (size_t i = 0; i < EXPECT_MAX; i++) {
        assert_null(found[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_entry_finds_its_own_tenant, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_batch_of_strangers_is_no_trouble, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
