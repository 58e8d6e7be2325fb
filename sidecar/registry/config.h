/* The registry's part of the sidecar's configuration as its own types. */
#ifndef SIDECAR_REGISTRY_CONFIG_H
#define SIDECAR_REGISTRY_CONFIG_H

#include "common/config/config.h"
#include "sidecar/registry/eureka_config.h"
#include "sidecar/registry/store.h"

struct registry_config {
    bool writers;        /* by REST */
    const char *address; /* borrowed from the configuration */
    uint16_t port;       /* 0: no embedded registry */
    size_t max_watchers;
    struct registry_limits limits;
    struct registry_rules *rules;  /* one reference */
    struct registry_spec *statics; /* in the arena */
    size_t n_statics;
    int64_t check_ms;            /* between two checks of a static instance */
    struct eureka_config eureka; /* without servers: none */
    struct cw_arena arena;
};

/* Problems go to `problems` (may be NULL); CW_CONFIG_INVALID when there is one. Reads users and
 * interfaces of the host: not on a poller. The caller ends it with registry_config_done. */
CW_MUST_USE enum cw_err registry_config_read(const struct cw_config *config,
                                             struct cw_buf *problems,
                                             struct registry_config *ret_config);
void registry_config_done(struct registry_config *config);

#endif
