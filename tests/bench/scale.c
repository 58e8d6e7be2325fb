/* What one warm verdict costs in the sidecar's own code, by the number of tokens that it knows and
 * of tenants, each with an issuer of its own: the step between a received batch and the bytes of
 * its answer, without the transport, which does not depend on either number.
 *
 *   scale TOKENS TENANTS MILLISECONDS
 *
 * Prints: nanoseconds of CPU for one look-up in the cache, for one verdict, the bytes that each
 * token added to the process, and nanoseconds for reading the memory of a verdict and nothing else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sidecar/cache/cache.h"
#include "sidecar/handle/expect.h"
#include "sidecar/handle/identity.h"
#include "sidecar/tenants/tenants.h"
#include "tests/bench/wire.h"
#include "tests/support/jose/mint.h"

enum { BATCH = EXPECT_MAX, BATCHES = 64, DOMAIN_MAX = 32, CACHE_BYTES = 1 << 30 };
/* What a token and a tenant have of each structure, in bytes (sidecar/cache/shard.c, near.h). */
enum { LINE = 64, INDEX_BYTES = 8, ENTRY_BYTES = 256, SLOT_BYTES = 48, TENANT_BYTES = 512 };

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "scale: %s\n", #cond);                                                 \
            exit(2);                                                                               \
        }                                                                                          \
    } while (0)

static struct cw_jwk *signer;
static struct tenants *tenants;
static struct cw_key_store *keys;
static struct cache *cache;
static size_t n_tokens, n_tenants;

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static size_t resident(void)
{
    unsigned long all, pages;
    FILE *f = fopen("/proc/self/statm", "r");
    MUST(f && fscanf(f, "%lu %lu", &all, &pages) == 2);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static uint64_t next_random(void)
{
    static uint64_t state = 1;
    return mix(state += 0x9E3779B97F4A7C15u);
}

/* The digest of a token: made from its number, as no real digest could be remembered more cheaply.
 */
static void digest_of(size_t token, unsigned char digest[CACHE_DIGEST_SIZE])
{
    for (uint64_t i = 0; i < CACHE_DIGEST_SIZE / 8; i++) {
        uint64_t word = mix(token * 4 + i + 1);
        memcpy(digest + i * 8, &word, 8);
    }
}

static size_t domain_of(size_t tenant, char domain[DOMAIN_MAX])
{
    return (size_t)snprintf(domain, DOMAIN_MAX, "t%zu.example", tenant);
}

/* ---- the world ---- */

static void get(void *ctx, const char *url, const struct cw_key_fetch_spec *spec,
                cw_key_replied *replied, void *arg)
{
    (void)ctx;
    (void)url;
    (void)spec;
    (void)replied;
    (void)arg; /* all keys are inline */
}

static void changed(void *ctx)
{
    (void)ctx;
}

static void tenants_make(void)
{
    static struct cw_str audience = CW_STR_INIT("https://api.clinicwave.com");
    static struct cw_str eddsa = CW_STR_INIT("EdDSA");
    struct cw_key_store_config store = {
        .clock = &cw_clock_system, .random = &cw_random_system, .getter = {get, NULL}};
    keys = cw_key_store_new(&store);
    tenants = tenants_new(
        &(struct tenants_config){.keys = keys, .clock = &cw_clock_system, .changed = changed});
    MUST(keys && tenants);
    char *jwk = mint_jwk(mint_key("EdDSA"), "EdDSA", "\"kid\":\"bench\",\"alg\":\"EdDSA\"");
    char *set = mint_format("{\"keys\":[%s]}", jwk);
    struct tenant_spec *specs = calloc(n_tenants, sizeof *specs);
    struct issuer_spec *issuers = calloc(n_tenants, sizeof *issuers);
    struct cw_str *domains = calloc(n_tenants, sizeof *domains);
    char *names = calloc(n_tenants, 2 * DOMAIN_MAX);
    MUST(specs && issuers && domains && names);
    for (size_t i = 0; i < n_tenants; i++) {
        char *name = names + i * 2 * DOMAIN_MAX, *url = name + DOMAIN_MAX;
        domains[i] = (struct cw_str){name, domain_of(i, name)};
        snprintf(url, DOMAIN_MAX, "https://i%zu.example/", i);
        issuers[i] = (struct issuer_spec){
            .issuer = cw_str(url), .jwks = cw_str(set), .algorithms = {&eddsa, 1}};
        specs[i] = (struct tenant_spec){.name = domains[i],
                                        .domains = {&domains[i], 1},
                                        .audiences = {&audience, 1},
                                        .issuers = &issuers[i],
                                        .n_issuers = 1};
    }
    struct cw_buf problems = CW_BUF_INIT(4096);
    if (tenants_configure(tenants, specs, n_tenants, &problems) != CW_OK) {
        fprintf(stderr, "scale: %.*s\n", (int)problems.n, problems.p);
        exit(2);
    }
    struct cw_jwks_options options = {0};
    struct cw_jwks *parsed = NULL;
    MUST(cw_jwks_parse(cw_str(set), &options, &parsed, NULL) == CW_OK);
    signer = cw_jwk_ref(cw_jwks_at(parsed, 0));
    cw_jwks_unref(parsed);
    cw_buf_done(&problems);
    free(names);
    free(domains);
    free(issuers);
    free(specs);
    free(set);
    free(jwk);
}

/* The claims of the tokens that mint_tokens writes. */
static void identity_make(size_t token, int64_t now_s, struct cw_buf *buf,
                          struct cache_parts *ret_parts)
{
    static struct cw_str scopes[] = {CW_STR_INIT("openid"), CW_STR_INIT("files:read"),
                                     CW_STR_INIT("files:write")};
    static struct cw_str role = CW_STR_INIT("doctor"),
                         audience = CW_STR_INIT("https://api.clinicwave.com");
    char subject[32], id[32];
    snprintf(subject, sizeof subject, "user|%08zu", token);
    snprintf(id, sizeof id, "%016zx", token);
    struct cw_claims claims = {
        .subject = cw_str(subject),
        .client_id = CW_STR("portal"),
        .session_id = cw_str(id),
        .token_id = cw_str(id),
        .scopes = {scopes, 3},
        .roles = {&role, 1},
        .permissions = {&scopes[1], 1},
        .audiences = {&audience, 1},
        .expires_at = now_s + 3600,
        .issued_at = now_s,
    };
    cw_buf_clear(buf);
    MUST(identity_pack(&claims, 0, buf, ret_parts) == CW_OK);
}

static void cache_fill(struct tenants_set *set)
{
    struct cache_config config = {.max_entries = (uint32_t)(n_tokens + n_tokens / 2 + 1024),
                                  .max_bytes = CACHE_BYTES,
                                  .ttl_ms = 3600000,
                                  .seed = 7,
                                  .clock = &cw_clock_system};
    int64_t now_s = cw_clock_wall_s(&cw_clock_system);
    struct cw_buf blob = CW_BUF_INIT(CACHE_BLOB_MAX);
    struct cache_parts parts;
    cache = cache_new(&config);
    MUST(cache);
    for (size_t i = 0; i < n_tokens; i++) {
        unsigned char digest[CACHE_DIGEST_SIZE];
        char domain[DOMAIN_MAX];
        size_t n = domain_of(i % n_tenants, domain);
        const struct tenant *tenant = tenants_set_find(set, (struct cw_str){domain, n});
        MUST(tenant);
        digest_of(i, digest);
        identity_make(i, now_s, &blob, &parts);
        struct cache_key key = {tenant->generation, digest};
        MUST(cache_put(cache, &key, cache_epoch(cache), &parts, blob.p, now_s + 3600, mix(i),
                       signer));
    }
    cw_buf_done(&blob);
}

/* ---- measured ---- */

static struct cache_hit hit;

static double look_up_ns(struct tenants_set *set, double milliseconds)
{
    uint64_t *generations = calloc(n_tenants, sizeof *generations);
    MUST(generations);
    for (size_t i = 0; i < n_tenants; i++) {
        char domain[DOMAIN_MAX];
        size_t n = domain_of(i, domain);
        generations[i] = tenants_set_find(set, (struct cw_str){domain, n})->generation;
    }
    int64_t wall_s = cw_clock_wall_s(&cw_clock_system);
    int64_t mono_ms = cw_clock_monotonic_ms(&cw_clock_system);
    double start = cpu_ns(), used = 0;
    uint64_t n = 0;
    while (used < milliseconds * 1e6) {
        for (int i = 0; i < 4096; i++, n++) {
            unsigned char digest[CACHE_DIGEST_SIZE];
            size_t token = next_random() % n_tokens;
            digest_of(token, digest);
            struct cache_key key = {generations[token % n_tenants], digest};
            MUST(cache_get(cache, &key, wall_s, mono_ms, &hit));
        }
        used = cpu_ns() - start;
    }
    free(generations);
    return used / (double)n;
}

static struct cw_str batch_make(uint8_t *message)
{
    size_t n = 0;
    for (uint64_t i = 0; i < BATCH; i++) {
        uint8_t entry[256];
        unsigned char digest[CACHE_DIGEST_SIZE];
        char domain[DOMAIN_MAX];
        size_t token = next_random() % n_tokens, size = wire_varint_field(entry, 1, i);
        digest_of(token, digest);
        size += wire_bytes(entry + size, 2, digest, sizeof digest);
        size += wire_bytes(entry + size, 4, domain, domain_of(token % n_tenants, domain));
        n += wire_bytes(message + n, 2, entry, size);
    }
    return (struct cw_str){(const char *)message, n};
}

/* As ValidateStream does for a batch by digest. */
static void decide(struct cw_str message, struct cw_buf *out, struct cw_buf *scratch)
{
    static struct wire_batch batch;
    const struct tenant *found[EXPECT_MAX];
    struct tenants_set *set = tenants_get(tenants);
    int64_t wall_s = cw_clock_wall_s(&cw_clock_system);
    int64_t mono_ms = cw_clock_monotonic_ms(&cw_clock_system);
    MUST(wire_batch_decode(message, &batch) == CW_OK);
    cw_buf_clear(out);
    expect_entries(cache, set, batch.entries, batch.n_entries, found);
    for (size_t i = 0; i < batch.n_entries; i++) {
        const struct wire_entry *entry = &batch.entries[i];
        const struct tenant *tenant = found[i];
        struct cache_key key = {tenant->generation, (const unsigned char *)entry->value.p};
        struct wire_verdict verdict;
        MUST(cache_get(cache, &key, wall_s, mono_ms, &hit));
        struct identity view = identity_view(&hit.parts, hit.blob);
        enum cw_err err = identity_decide(&view, rule_none(), tenant, NULL, mono_ms);
        MUST(err == CW_OK);
        identity_verdict(&view, rule_none(), tenant, err, true, scratch, &verdict);
        wire_add_verdict(out, entry->id, &verdict);
    }
    tenants_set_unref(set);
}

/* The batches are made before the clock runs, and read once each, so that their tokens are cold. */
static double verdict_ns(double milliseconds)
{
    static uint8_t messages[BATCHES][BATCH * 128];
    struct cw_str batches[BATCHES];
    struct cw_buf out = CW_BUF_INIT(2 * WIRE_BATCH_MAX), scratch = CW_BUF_INIT(IDENTITY_MAX);
    double used = 0;
    uint64_t n = 0;
    while (used < milliseconds * 1e6) {
        for (size_t i = 0; i < BATCHES; i++) {
            batches[i] = batch_make(messages[i]);
        }
        double start = cpu_ns();
        for (size_t i = 0; i < BATCHES; i++) {
            decide(batches[i], &out, &scratch);
        }
        used += cpu_ns() - start;
        n += (uint64_t)BATCHES * BATCH;
    }
    cw_buf_done(&out);
    cw_buf_done(&scratch);
    return used / (double)n;
}

/* ---- the least that memory costs ---- */

/* What a verdict reads: so many lines beside each other, somewhere in so many bytes. */
struct place {
    size_t bytes;
    size_t lines;
    char *memory;
};

static const char *place_pick(const struct place *place)
{
    return place->memory + next_random() % (place->bytes / LINE - place->lines) * LINE;
}

static uint64_t lines_read(const char *at, size_t lines)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < lines; i++) {
        sum += *(const volatile uint64_t *)(const void *)(at + i * LINE);
    }
    return sum;
}

enum { INDEX, ENTRY, SLOT, TENANT, PLACES };

static uint64_t batch_read(const struct place places[PLACES], const char *at[BATCH][PLACES])
{
    uint64_t sum = 0;
    for (size_t p = 0; p < PLACES; p++) {
        for (size_t i = 0; i < BATCH; i++) {
            cw_expect(at[i][p], places[p].lines * LINE);
        }
    }
    for (size_t i = 0; i < BATCH; i++) {
        for (size_t p = 0; p < PLACES; p++) {
            sum += lines_read(at[i][p], places[p].lines);
        }
    }
    return sum;
}

/* As many lines as a verdict, in as many places of the same sizes, and no work at all: every
 * address is known from the beginning, where a verdict finds each in what it read before, and a
 * whole batch is asked for at once. No look-up in structures of these sizes costs less. */
static double memory_ns(double milliseconds)
{
    struct place places[PLACES] = {
        [INDEX] = {n_tokens * INDEX_BYTES, 1, NULL},
        [ENTRY] = {n_tokens * ENTRY_BYTES, 4, NULL},
        [SLOT] = {n_tenants * SLOT_BYTES, 1, NULL},
        [TENANT] = {n_tenants * TENANT_BYTES, 3, NULL},
    };
    static const char *at[BATCHES][BATCH][PLACES];
    uint64_t n = 0, sum = 0;
    double used = 0;
    for (size_t p = 0; p < PLACES; p++) {
        places[p].bytes = CW_MAX(places[p].bytes, (size_t)16 * LINE) / LINE * LINE;
        places[p].memory = aligned_alloc(LINE, places[p].bytes);
        MUST(places[p].memory);
        memset(places[p].memory, 1, places[p].bytes);
    }
    while (used < milliseconds * 1e6) {
        for (size_t i = 0; i < (size_t)BATCHES * BATCH * PLACES; i++) {
            at[i / PLACES / BATCH][i / PLACES % BATCH][i % PLACES] =
                place_pick(&places[i % PLACES]);
        }
        double start = cpu_ns();
        for (size_t i = 0; i < BATCHES; i++) {
            sum += batch_read(places, at[i]);
        }
        used += cpu_ns() - start;
        n += (uint64_t)BATCHES * BATCH;
    }
    MUST(sum > 0);
    for (size_t p = 0; p < PLACES; p++) {
        free(places[p].memory);
    }
    return used / (double)n;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: scale TOKENS TENANTS MILLISECONDS\n", stderr);
        return 64;
    }
    n_tokens = strtoul(argv[1], NULL, 10);
    n_tenants = strtoul(argv[2], NULL, 10);
    double milliseconds = strtod(argv[3], NULL);
    MUST(n_tokens && n_tenants && milliseconds > 0);
    tenants_make();
    struct tenants_set *set = tenants_get(tenants);
    size_t before = resident();
    cache_fill(set);
    size_t after = resident();
    verdict_ns(milliseconds / 4); /* warm */
    double look_up = look_up_ns(set, milliseconds), verdict = verdict_ns(milliseconds);
    double token_bytes = (double)(after - before) / (double)n_tokens;
    printf("%.1f %.1f %.1f ", look_up, verdict, token_bytes);
    printf("%.1f\n", memory_ns(milliseconds));
    fflush(stdout);
    _exit(0); /* to free a million entries is nobody's question */
}
