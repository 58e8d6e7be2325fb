/* The order of the Eureka servers, and what is remembered of each. */
#include "sidecar/registry/eureka_servers.h"

enum { COOLDOWN_MS = 30 * 1000, SESSION_MS = 20 * 60 * 1000, SESSION_JITTER = 50 };

static uint32_t chance(const struct cw_random *random)
{
    uint32_t value = 0;
    return cw_random_fill(random, &value, sizeof(value)) == CW_OK ? value : 0;
}

int64_t eureka_jitter(const struct cw_random *random, int64_t ms, unsigned percent)
{
    int64_t span = ms * percent / 100;
    return span <= 0 ? ms : ms - span + (int64_t)(chance(random) % (uint64_t)(2 * span + 1));
}

/* Fisher and Yates, below `n`. */
static void shuffle(const struct cw_random *random, size_t *order, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = chance(random) % i, kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
}

static void session_begin(struct eureka_servers *servers, const char *zone, int64_t now_ms)
{
    const struct eureka_config *config = servers->config;
    size_t near = 0, n = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < config->n_servers; i++) {
            const char *its = config->servers[i].zone;
            bool own = zone != NULL && its != NULL && cw_str_eq(cw_str(zone), cw_str(its));
            if (own == (pass == 0)) {
                servers->order[n++] = i;
            }
        }
        near = pass == 0 ? n : near;
    }
    shuffle(servers->random, servers->order, near);
    shuffle(servers->random, servers->order + near, n - near);
    servers->current = servers->order[0];
    servers->session_until_ms = now_ms + eureka_jitter(servers->random, SESSION_MS, SESSION_JITTER);
}

void eureka_servers_init(struct eureka_servers *servers, const struct eureka_config *config,
                         const char *zone, const struct cw_random *random, int64_t now_ms)
{
    *servers = (struct eureka_servers){.config = config, .random = random};
    session_begin(servers, zone, now_ms);
}

static bool usable(const struct eureka_servers *servers, size_t server, uint32_t tried)
{
    return server < servers->config->n_servers && (tried & (UINT32_C(1) << server)) == 0;
}

size_t eureka_servers_pick(struct eureka_servers *servers, uint32_t tried, int64_t now_ms)
{
    if (now_ms >= servers->session_until_ms) {
        /* back to the best: the own zone's may stand again */
        servers->current = servers->order[0];
        servers->session_until_ms =
            now_ms + eureka_jitter(servers->random, SESSION_MS, SESSION_JITTER);
    }
    if (usable(servers, servers->current, tried) &&
        servers->bad_until_ms[servers->current] <= now_ms) {
        return servers->current;
    }
    size_t fallback = EUREKA_NO_SERVER;
    for (size_t i = 0; i < servers->config->n_servers; i++) {
        size_t server = servers->order[i];
        if (!usable(servers, server, tried)) {
            continue;
        }
        if (servers->bad_until_ms[server] <= now_ms) {
            return server;
        }
        fallback = fallback == EUREKA_NO_SERVER ? server : fallback;
    }
    return fallback;
}

void eureka_servers_failed(struct eureka_servers *servers, size_t server, int64_t now_ms)
{
    servers->bad_until_ms[server] = now_ms + COOLDOWN_MS;
}

bool eureka_servers_answered(struct eureka_servers *servers, size_t server)
{
    bool other = servers->current != server;
    servers->bad_until_ms[server] = 0;
    servers->current = server;
    return other;
}
