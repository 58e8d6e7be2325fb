/* A sequence of operations on one shard of the token cache, against a model that never forgets:
 * what is found was put, is of its time and of a live key; bounds and links hold after each step.
 * Targets: shard_get, shard_put, shard_flush. */
#include <stdlib.h>
#include <string.h>

#include "common/jose/jwks.h"
#include "sidecar/cache/shard.h"

enum { TOKENS = 64, KEYS = 2, TTL_MS = 1000 };

/* RFC 7517 appendix A.1's and RFC 8037 appendix A.2's public keys. */
static const char set_text[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"1\","
                               "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
                               "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"},"
                               "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"2\","
                               "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

struct model {
    bool put;
    int64_t expires_at;
    int64_t born_ms;
    int key;
    uint16_t size;
};

struct run {
    struct shard shard;
    struct cw_jwks *set;
    struct model tokens[TOKENS];
    bool withdrawn[KEYS];
    int64_t wall_s;
    int64_t mono_ms;
    uint64_t generation;
};

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static struct cache_key key_of(const struct run *run, unsigned token, unsigned char *digest)
{
    memset(digest, (int)token, CACHE_DIGEST_SIZE);
    return (struct cache_key){run->generation, digest};
}

static void put(struct run *run, unsigned token, unsigned char arg)
{
    unsigned char digest[CACHE_DIGEST_SIZE];
    struct cache_key key = key_of(run, token, digest);
    struct model *model = &run->tokens[token];
    struct cache_parts parts = {.standard = (uint16_t)(arg * 13)};
    char blob[256 * 13];
    int signer = arg % KEYS;
    struct cw_jwk *jwk = cw_jwks_at(run->set, (size_t)signer);

    memset(blob, (int)token, sizeof(blob));
    bool kept = shard_put(&run->shard, &key, token * 2654435761u, run->mono_ms, &parts, blob,
                          run->wall_s + arg, token % 3, jwk);
    *model = (struct model){kept, run->wall_s + arg, run->mono_ms, signer, parts.standard};
}

static void get(struct run *run, unsigned token)
{
    static struct cache_hit hit;
    unsigned char digest[CACHE_DIGEST_SIZE];
    struct cache_key key = key_of(run, token, digest);
    struct model *model = &run->tokens[token];
    bool alive = model->put && run->wall_s < model->expires_at &&
                 run->mono_ms - model->born_ms < TTL_MS && !run->withdrawn[model->key];

    if (shard_get(&run->shard, &key, token * 2654435761u, run->wall_s, run->mono_ms, &hit)) {
        require(alive);
        require(hit.parts.standard == model->size);
        require(model->size == 0 || (unsigned char)hit.blob[model->size - 1] == token);
    }
}

static void step(struct run *run, unsigned char what, unsigned char arg)
{
    unsigned token = what % TOKENS;

    switch (what / TOKENS) {
    case 0:
        put(run, token, arg);
        break;
    case 1:
    case 2:
        get(run, token);
        break;
    default:
        if (arg == 255) {
            cw_jwk_withdraw(cw_jwks_at(run->set, token % KEYS));
            run->withdrawn[token % KEYS] = true;
        } else if (arg == 254) {
            (void)shard_flush(&run->shard, 0);
            memset(run->tokens, 0, sizeof(run->tokens));
        } else {
            run->mono_ms += arg;
            run->wall_s += (int64_t)arg - 100; /* the wall clock may step back */
        }
        break;
    }
    require(shard_validate(&run->shard));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cache_config config = {.max_entries = 24, .max_bytes = 24 * 1024, .ttl_ms = TTL_MS};
    struct cw_jwks_options options = {0};
    struct run run = {.wall_s = 1000000, .mono_ms = 1000000, .generation = 1};
    struct cw_str text = cw_str(set_text);

    require(cw_jwks_parse(text, &options, &run.set, NULL) == CW_OK);
    require(shard_init(&run.shard, &config) == CW_OK);
    for (size_t i = 0; i + 1 < size && i < 2048; i += 2) {
        step(&run, data[i], data[i + 1]);
    }
    shard_done(&run.shard);
    cw_jwks_unref(run.set);
    return 0;
}
