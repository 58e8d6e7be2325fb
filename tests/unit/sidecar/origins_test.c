/* What gateways are told of a set of tenants: whose origins, under which domains, and how much. */
#include "sidecar/origins/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/sidecar/world.h"

#define S(text) CW_STR_INIT(text)

enum { MAX = 1024 * 1024 };

struct fixture {
    struct world world;
    struct cw_key_store *keys;
    struct tenants *tenants;
    struct cw_buf problems;
    struct cw_arena arena;
    snapshot_message message;
    size_t left_out;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    world_init(&f->world);
    f->problems.max = TENANTS_PROBLEMS_MAX;
    f->arena.max = 4 * MAX;
    f->keys = world_store(&f->world, NULL);
    struct tenants_config config = {.keys = f->keys, .clock = &f->world.clock};
    f->tenants = tenants_new(&config);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tenants_free(f->tenants);
    cw_key_store_stop(f->keys);
    cw_key_store_free(f->keys);
    cw_buf_done(&f->problems);
    cw_arena_done(&f->arena);
    free(f);
    return 0;
}

static struct tenant_spec spec_of(const char *name, struct cw_str *domains, size_t n,
                                  struct cw_str *origins, size_t n_origins)
{
    static struct cw_str audiences[] = {S("api")};
    static struct issuer_spec issuer = {.issuer = S("https://i.example/")};

    return (struct tenant_spec){.name = cw_str(name),
                                .domains = {domains, n},
                                .audiences = {audiences, 1},
                                .origins = {origins, n_origins},
                                .issuers = &issuer,
                                .n_issuers = 1};
}

static void snapshot(struct fixture *f, const struct tenant_spec *specs, size_t n, size_t max,
                     unsigned char ret_digest[CW_SHA256_SIZE])
{
    assert_int_equal(tenants_configure(f->tenants, specs, n, &f->problems), CW_OK);
    struct tenants_set *set = tenants_get(f->tenants);
    assert_int_equal(snapshot_make(set, max, &f->arena, &f->message, &f->left_out), CW_OK);
    tenants_set_unref(set);
    assert_int_equal(snapshot_digest(&f->message, ret_digest), CW_OK);
}

static void tenants_with_origins_are_told_with_their_domains(void **state)
{
    struct fixture *f = *state;
    struct cw_str a[] = {S("A.example"), S("www.a.example.")};
    struct cw_str b[] = {S("b.example")};
    struct cw_str origins[] = {S("https://one.example"), S("http://localhost:3000")};
    struct tenant_spec specs[] = {spec_of("a", a, 2, origins, 2), spec_of("b", b, 1, NULL, 0)};
    unsigned char digest[CW_SHA256_SIZE];

    snapshot(f, specs, 2, MAX, digest);
    assert_int_equal(f->left_out, 0);
    assert_int_equal(f->message.n_tenants, 1);
    const Clinicwave__Token__V1__TenantOrigins *told = f->message.tenants[0];
    assert_int_equal(told->n_domains, 2);
    assert_string_equal(told->domains[0], "a.example");
    assert_string_equal(told->domains[1], "www.a.example");
    assert_int_equal(told->n_origins, 2);
    assert_string_equal(told->origins[0], "https://one.example");
    assert_string_equal(told->origins[1], "http://localhost:3000");
}

static void only_what_gateways_need_makes_a_snapshot_another(void **state)
{
    struct fixture *f = *state;
    struct cw_str domain[] = {S("a.example"), S("b.example")};
    struct cw_str origins[] = {S("https://one.example"), S("https://two.example")};
    struct cw_str audiences[] = {S("another")};
    struct tenant_spec spec = spec_of("a", domain, 1, origins, 1);
    unsigned char first[CW_SHA256_SIZE];
    unsigned char next[CW_SHA256_SIZE];

    snapshot(f, &spec, 1, MAX, first);
    spec.audiences = (struct cw_str_list){audiences, 1};
    snapshot(f, &spec, 1, MAX, next);
    assert_memory_equal(first, next, sizeof(first));
    spec.origins.n = 2;
    snapshot(f, &spec, 1, MAX, next);
    assert_memory_not_equal(first, next, sizeof(first));
    spec.origins.n = 1;
    spec.domains.n = 2;
    snapshot(f, &spec, 1, MAX, next);
    assert_memory_not_equal(first, next, sizeof(first));
}

static void what_does_not_fit_is_left_out_and_counted(void **state)
{
    struct fixture *f = *state;
    struct cw_str a[] = {S("a.example")};
    struct cw_str b[] = {S("b.example")};
    struct cw_str c[] = {S("c.example")};
    struct cw_str origins[] = {S("https://one.example")};
    struct tenant_spec specs[] = {spec_of("a", a, 1, origins, 1), spec_of("b", b, 1, origins, 1),
                                  spec_of("c", c, 1, origins, 1)};
    unsigned char digest[CW_SHA256_SIZE];

    snapshot(f, specs, 3, MAX, digest);
    size_t all = clinicwave__token__v1__watch_response__get_packed_size(&f->message);
    for (size_t max = 0; max < 2 * all + 64; max++) {
        snapshot(f, specs, 3, max, digest);
        assert_int_equal(f->message.n_tenants + f->left_out, 3);
        size_t packed = clinicwave__token__v1__watch_response__get_packed_size(&f->message);
        assert_true(packed <= max || f->message.n_tenants == 0);
        cw_arena_reset(&f->arena);
    }
    assert_int_equal(f->left_out, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(tenants_with_origins_are_told_with_their_domains),
        T(only_what_gateways_need_makes_a_snapshot_another),
        T(what_does_not_fit_is_left_out_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
