/* What a batch will need is asked for here, ahead of time. */
#include "sidecar/handle/expect.h"

/* Neighbours that name one domain share the look-up. */
static bool is_repeated(const struct wire_entry *entries, size_t i)
{
    return i > 0 && cw_str_eq(entries[i].domain, entries[i - 1].domain);
}

static void find_tenants(const struct tenants_set *set, const struct wire_entry *entries, size_t n,
                         const struct tenant *ret_tenants[EXPECT_MAX])
{
    for (int step = TENANTS_EXPECT_SLOT; n > 1 && step <= TENANTS_EXPECT_TENANT; step++) {
        for (size_t i = 0; i < n; i++) {
            if (!is_repeated(entries, i)) {
                tenants_set_expect(set, entries[i].domain, (enum tenants_expect)step);
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        ret_tenants[i] =
            is_repeated(entries, i) ? ret_tenants[i - 1] : tenants_set_find(set, entries[i].domain);
    }
}

void expect_entries(const struct cache *cache, const struct tenants_set *set,
                    const struct wire_entry *entries, size_t n,
                    const struct tenant *ret_tenants[EXPECT_MAX])
{
    struct cache_key keys[EXPECT_MAX];
    size_t n_keys = 0;

    find_tenants(set, entries, n, ret_tenants);
    if (n < 2) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (ret_tenants[i] && entries[i].subject == WIRE_DIGEST &&
            entries[i].value.n == CACHE_DIGEST_SIZE) {
            keys[n_keys++] = (struct cache_key){ret_tenants[i]->generation,
                                                (const unsigned char *)entries[i].value.p};
        }
    }
    cache_expect(cache, keys, n_keys);
}
