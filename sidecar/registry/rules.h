/* Who may register what, and which of the registered instances a gateway may reach: registered is
 * not reachable. Immutable and counted; a reload makes new rules and swaps them. */
#ifndef SIDECAR_REGISTRY_RULES_H
#define SIDECAR_REGISTRY_RULES_H

#include <netinet/in.h>
#include <sys/types.h>

#include "sidecar/registry/instance.h"

enum {
    REGISTRY_ALLOW_MAX = 256,   /* networks */
    REGISTRY_RESERVED_MAX = 64, /* ports */
    REGISTRY_GRANTS_MAX = 1024, /* pairs of uid and application */
    REGISTRY_SOCKET_DIRS_MAX = 32,
    REGISTRY_HOST_ADDRS_MAX = 64 /* addresses of this host */
};

/* Why no request is sent to an instance. */
enum registry_reach {
    REGISTRY_REACHABLE = 0,
    REGISTRY_NO_ADDRESS,    /* no IP literal, or no enabled port */
    REGISTRY_LINK_LOCAL,    /* link-local, multicast, broadcast, unspecified */
    REGISTRY_LOOPBACK,      /* another host's loopback */
    REGISTRY_RESERVED_PORT, /* a management port of this host */
    REGISTRY_NOT_ALLOWED,   /* elsewhere, and no network of registry.allow has it */
};

struct registry_rules;

CW_MUST_USE enum cw_err registry_rules_new(struct registry_rules **ret_rules);
struct registry_rules *registry_rules_ref(struct registry_rules *rules);
void registry_rules_unref(struct registry_rules *rules);

/* While they are being built, by their only owner. CW_CONFIG_INVALID when it is none, CW_NO_MEMORY
 * past a bound. */
CW_MUST_USE enum cw_err registry_rules_allow(struct registry_rules *rules, struct cw_str cidr);
CW_MUST_USE enum cw_err registry_rules_reserve(struct registry_rules *rules, uint16_t port);
/* `app` in any case; `*` is every application. */
CW_MUST_USE enum cw_err registry_rules_grant(struct registry_rules *rules, uid_t uid,
                                             struct cw_str app);
CW_MUST_USE enum cw_err registry_rules_add_host(struct registry_rules *rules,
                                                struct cw_str address);
/* An absolute directory, without `..`, whose sockets a service may register. */
CW_MUST_USE enum cw_err registry_rules_socket_dir(struct registry_rules *rules,
                                                  struct cw_str directory);
/* Every Eureka server is on loopback: then what it tells is this host's, and its loopback is ours
 * where registry.allow has it. */
void registry_rules_eureka_is_here(struct registry_rules *rules);
/* Adds the addresses of this host's interfaces. */
CW_MUST_USE enum cw_err registry_rules_add_interfaces(struct registry_rules *rules);

/* Any thread. Nobody is implied, root included: what is not granted is refused. */
bool registry_rules_may_register(const struct registry_rules *rules, uid_t uid, const char *app);
enum registry_reach registry_rules_reach(const struct registry_rules *rules,
                                         const struct registry_instance *instance);
/* An IP literal of loopback, in any notation. */
bool registry_address_is_loopback(struct cw_str address);
/* 0.0.0.0 or ::, in any notation: where somebody listens, not where he is. */
bool registry_address_is_unspecified(struct cw_str address);
/* `link_local`, …; "" for REACHABLE. Never NULL. */
const char *registry_reach_name(enum registry_reach reach);

#endif
