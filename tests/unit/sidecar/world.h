/* Time, chance and the network as the tests of the sidecar set them. */
#ifndef CW_TESTS_SIDECAR_WORLD_H
#define CW_TESTS_SIDECAR_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/keys/key_store.h"

enum { WORLD_WALL_S = 1700000000, WORLD_URLS_MAX = 256 };

struct world {
    int64_t wall_ms;
    int64_t mono_ms;
    struct cw_clock clock;
    struct cw_random random; /* gives zeros: no jitter */
    /* The network: a GET stands here until it is answered. */
    struct cw_key_getter getter;
    char urls[WORLD_URLS_MAX][256];
    unsigned n_urls;
    cw_key_replied *replied[WORLD_URLS_MAX];
    void *args[WORLD_URLS_MAX];
    unsigned n_answered;
    /* What the store told. */
    unsigned withdrawn;
    unsigned stale;
    unsigned good;
    unsigned failed;
    char why[CW_KEY_FETCH_WHY_SIZE];
};

void world_init(struct world *world);
/* Both clocks. */
void world_pass(struct world *world, int64_t ms);
/* Answers the oldest open GET. */
void world_answer(struct world *world, int status, const char *body, const char *cache_control);
void world_break(struct world *world, enum cw_err err);
/* GETs that are open. */
unsigned world_open(const struct world *world);

/* A store in this world; state_dir may be NULL. */
struct cw_key_store *world_store(struct world *world, const char *state_dir);

/* A key set with one key per name (kid), RS256; malloc'ed. The same name is the same key within a
 * program, at most 8 names. */
char *world_jwks(const char *const *kids, size_t n);
/* A token signed by the key of this name with these claims; malloc'ed. */
char *world_token(const char *kid, const char *claims);
void world_done(void);

#endif
