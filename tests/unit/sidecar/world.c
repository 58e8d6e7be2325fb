/* The world. */
#include "tests/unit/sidecar/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/mint.h"

static int64_t wall(void *ctx)
{
    return ((struct world *)ctx)->wall_ms;
}

static int64_t mono(void *ctx)
{
    return ((struct world *)ctx)->mono_ms;
}

static enum cw_err zeros(void *ctx, void *bytes, size_t n)
{
    (void)ctx;
    memset(bytes, 0, n);
    return CW_OK;
}

static void get(void *ctx, const char *url, const struct cw_key_fetch_spec *spec,
                cw_key_replied *replied, void *arg)
{
    struct world *world = ctx;

    (void)spec;
    assert_true(world->n_urls < WORLD_URLS_MAX);
    snprintf(world->urls[world->n_urls], sizeof(world->urls[0]), "%s", url);
    world->replied[world->n_urls] = replied;
    world->args[world->n_urls] = arg;
    world->n_urls++;
}

void world_init(struct world *world)
{
    memset(world, 0, sizeof(*world));
    world->wall_ms = (int64_t)WORLD_WALL_S * 1000;
    world->mono_ms = 5000000;
    world->clock = (struct cw_clock){wall, mono, world};
    world->random = (struct cw_random){zeros, world};
    world->getter = (struct cw_key_getter){get, world};
}

void world_pass(struct world *world, int64_t ms)
{
    world->wall_ms += ms;
    world->mono_ms += ms;
}

unsigned world_open(const struct world *world)
{
    return world->n_urls - world->n_answered;
}

static void reply(struct world *world, const struct cw_key_reply *what)
{
    assert_true(world_open(world) > 0);
    unsigned i = world->n_answered++;
    world->replied[i](world->args[i], what);
}

void world_answer(struct world *world, int status, const char *body, const char *cache_control)
{
    reply(world, &(struct cw_key_reply){.status = status,
                                        .body = cw_str(body),
                                        .cache_control = cache_control,
                                        .detail = ""});
}

void world_break(struct world *world, enum cw_err err)
{
    reply(world, &(struct cw_key_reply){.err = err, .cache_control = "", .detail = "broken"});
}

static void withdrawn(void *ctx, size_t n)
{
    ((struct world *)ctx)->withdrawn += (unsigned)n;
}

static void stale(void *ctx)
{
    ((struct world *)ctx)->stale++;
}

static void fetched(void *ctx, const char *tenant, const char *issuer, bool good, const char *why)
{
    struct world *world = ctx;

    (void)tenant;
    (void)issuer;
    world->good += good;
    world->failed += !good;
    snprintf(world->why, sizeof(world->why), "%s", why);
}

struct cw_key_store *world_store(struct world *world, const char *state_dir)
{
    struct cw_key_store_config config = {
        .clock = &world->clock,
        .random = &world->random,
        .getter = world->getter,
        .state_dir = state_dir,
        .withdrawn = withdrawn,
        .stale = stale,
        .fetched = fetched,
        .ctx = world,
    };
    struct cw_key_store *store = cw_key_store_new(&config);

    assert_non_null(store);
    return store;
}

static struct {
    char name[32];
    struct mint_key *key;
} named[8];

static struct mint_key *key_of(const char *kid)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(named); i++) {
        if (!named[i].key) {
            snprintf(named[i].name, sizeof(named[i].name), "%s", kid);
            named[i].key = mint_key_new("RS256");
        }
        if (strcmp(named[i].name, kid) == 0) {
            return named[i].key;
        }
    }
    fail_msg("more keys than this test has room for");
    return NULL;
}

char *world_jwks(const char *const *kids, size_t n)
{
    char *all = mint_format("%s", "");

    for (size_t i = 0; i < n; i++) {
        char *members = mint_format("\"kid\":\"%s\",\"alg\":\"RS256\"", kids[i]);
        char *key = mint_jwk(key_of(kids[i]), "RS256", members);
        char *more = mint_format("%s%s%s", all, i ? "," : "", key);
        free(all);
        free(key);
        free(members);
        all = more;
    }
    char *set = mint_format("{\"keys\":[%s]}", all);
    free(all);
    return set;
}

char *world_token(const char *kid, const char *claims)
{
    char *header = mint_format("{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}", kid);
    char *token = mint_token(key_of(kid), "RS256", cw_str(header), cw_str(claims));

    free(header);
    return token;
}

void world_done(void)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(named); i++) {
        if (named[i].key) {
            mint_key_free(named[i].key);
            named[i].key = NULL;
        }
    }
    mint_done();
}
