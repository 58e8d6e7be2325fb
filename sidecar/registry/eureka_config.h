/* The configuration of the Eureka client as its own types. */
#ifndef SIDECAR_REGISTRY_EUREKA_CONFIG_H
#define SIDECAR_REGISTRY_EUREKA_CONFIG_H

#include "common/base/secret.h"
#include "common/config/config.h"
#include "common/eureka/instance.h"

enum { EUREKA_SERVERS_MAX = 32 };

/* One server. Texts are in the configuration's arena, NULL where absent. */
struct eureka_server {
    const char *base; /* without user, with a slash at the end */
    const char *name; /* `https://host:port` for logs */
    const char *zone;
    const char *user;          /* HTTP Basic */
    struct cw_secret password; /* owned */
    const char *ca_file, *cert_file, *key_file;
    bool loopback; /* its host is loopback */
};

struct eureka_config {
    struct eureka_server servers[EUREKA_SERVERS_MAX];
    size_t n_servers; /* 0: no Eureka, the rest does not count */
    bool here;        /* every server is on loopback */
    bool fetch, publish, delta;
    int64_t poll_ms, hold_ms, heartbeat_ms, lease_ms;
    unsigned connect_ms, total_ms;
    size_t max_instances, max_document;
    const char *zone;
    const char *ec2_base;  /* of the metadata service, with a slash; NULL: not asked */
    const char *address;   /* of this host; never NULL with a server */
    const char *host_name; /* likewise */
    struct cw_eureka_pairs metadata;
};

/* Reads registry.eureka and eureka.client.service-url; texts go to the arena. Problems go to
 * `problems` (may be NULL); CW_CONFIG_INVALID when there is one. Not on a poller. */
CW_MUST_USE enum cw_err eureka_config_read(const struct cw_config_at *root, struct cw_arena *arena,
                                           struct cw_buf *problems,
                                           struct eureka_config *ret_config);
void eureka_config_done(struct eureka_config *config);

/* A server's URL taken apart: the user and the password in it are decoded once, whatever of `:@%`
 * is in them. CW_CONFIG_INVALID when it is no http or https URL. */
CW_MUST_USE enum cw_err eureka_server_parse(struct cw_arena *arena, struct cw_str url,
                                            struct eureka_server *ret_server);

#endif
