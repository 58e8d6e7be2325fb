/* One registered instance: immutable, counted, shared between the store, snapshots and whoever
 * answers from them. */
#ifndef SIDECAR_REGISTRY_INSTANCE_H
#define SIDECAR_REGISTRY_INSTANCE_H

#include <stdatomic.h>
#include <sys/un.h>

#include "common/eureka/instance.h"

/* Where an instance is known from; a stronger one (lower value) is never overwritten by a weaker.
 */
enum registry_source {
    REGISTRY_STATIC = 0, /* configuration */
    REGISTRY_LOCAL,      /* a Register stream on this host */
    REGISTRY_REST,       /* the embedded registry's Eureka API */
    REGISTRY_EUREKA,     /* a Eureka server */
    REGISTRY_RESTORED,   /* known before the last start, not confirmed yet */
};

enum {
    REGISTRY_HOST_MAX = 253,
    REGISTRY_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) - 1, /* bytes */
};

/* What an instance is made of; texts are borrowed, NULL where absent. */
struct registry_spec {
    struct cw_eureka_instance eureka; /* eureka.app in upper case */
    const char *socket_path;          /* instead of address and port */
    const char *health_path;
    enum registry_source source;
    enum registry_source origin; /* of RESTORED: where it was known from */
    const char *check_url;       /* of STATIC: its status is what this answers; NULL: always UP */
    bool published;   /* of STATIC: registered at Eureka servers as a service of this host */
    bool was_drained; /* of STATIC: the last run ended while our override stood at the servers */
};

struct registry_instance {
    _Atomic unsigned refs;
    struct cw_arena arena;
    struct cw_eureka_instance eureka;
    const char *id; /* the lease's key; never NULL */
    const char *socket_path;
    const char *health_path;
    enum registry_source source;
    enum registry_source origin;
    const char *check_url;
    bool published;
    bool was_drained;
    size_t size;                /* bytes of its texts */
    _Atomic int64_t renewal_ms; /* Unix milliseconds: all that a heartbeat changes */
};

/* A copy of the spec with one reference. CW_REQUEST_MALFORMED when a name, id, address or path is
 * none, CW_NO_MEMORY past CW_EUREKA_INSTANCE_MAX. Any thread, as all here. */
CW_MUST_USE enum cw_err registry_instance_new(const struct registry_spec *spec,
                                              struct registry_instance **ret_instance);
struct registry_instance *registry_instance_ref(struct registry_instance *instance);
/* NULL is fine. */
void registry_instance_unref(struct registry_instance *instance);
/* The spec that it would be made of again; borrows from it. */
struct registry_spec registry_instance_spec(const struct registry_instance *instance);
/* Nothing that a reader could see differs, times apart. */
bool registry_instance_same(const struct registry_instance *a, const struct registry_instance *b);

/* A service of this host that Eureka servers are told of by this sidecar. */
bool registry_instance_is_own(const struct registry_instance *instance);

/* Where requests go: the secure port when it is enabled, as Spring's clients decide, else the plain
 * one; 0: nowhere. */
uint16_t registry_instance_port(const struct registry_instance *instance, bool *ret_secure);
/* `host:application:port`, or the socket's file name in place of the port. In the arena; NULL
 * without memory. */
char *registry_instance_default_id(struct cw_arena *arena, const char *host,
                                   const struct registry_spec *spec);

/* `local`, `static`, … Never NULL. REST reads as `local`: it is on this host. */
const char *registry_source_name(enum registry_source source);

#endif
