/* Which of several Eureka servers is asked: the one that answered last, for some twenty minutes;
 * then those of the own zone before the others, in an order of chance, so that the hosts of a fleet
 * spread; those that just failed last. No network, no lock. */
#ifndef SIDECAR_REGISTRY_EUREKA_SERVERS_H
#define SIDECAR_REGISTRY_EUREKA_SERVERS_H

#include "common/crypto/random.h"
#include "sidecar/registry/eureka_config.h"

#define EUREKA_NO_SERVER SIZE_MAX

struct eureka_servers {
    const struct eureka_config *config;
    const struct cw_random *random;
    size_t order[EUREKA_SERVERS_MAX];
    size_t current;
    int64_t session_until_ms; /* monotonic, as all here */
    int64_t bad_until_ms[EUREKA_SERVERS_MAX];
};

/* `zone` may be NULL. Borrows the configuration. */
void eureka_servers_init(struct eureka_servers *servers, const struct eureka_config *config,
                         const char *zone, const struct cw_random *random, int64_t now_ms);
/* The server to ask, none of `tried` (a bit each); EUREKA_NO_SERVER when all have been. */
size_t eureka_servers_pick(struct eureka_servers *servers, uint32_t tried, int64_t now_ms);
void eureka_servers_failed(struct eureka_servers *servers, size_t server, int64_t now_ms);
/* True when it is another than before. */
bool eureka_servers_answered(struct eureka_servers *servers, size_t server);

/* `ms` give or take `percent` of it by chance. */
int64_t eureka_jitter(const struct cw_random *random, int64_t ms, unsigned percent);

#endif
