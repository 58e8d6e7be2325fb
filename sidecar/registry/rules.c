/* The two tables that stand between a registration and a request: grants by uid, networks by CIDR.
 */
#include "sidecar/registry/rules.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

/* Every address as IPv6, IPv4 ones mapped (RFC 4291 §2.5.5.2): `::ffff:127.0.0.1` is loopback, too.
 */
struct network {
    struct in6_addr base;
    unsigned bits; /* 0 to 128 */
};

struct grant {
    uid_t uid;
    char app[CW_EUREKA_NAME_MAX + 1]; /* upper case, or `*` */
};

struct registry_rules {
    _Atomic unsigned refs;
    size_t n_allow, n_reserved, n_grants, n_hosts, n_dirs;
    struct network allow[REGISTRY_ALLOW_MAX];
    uint16_t reserved[REGISTRY_RESERVED_MAX];
    struct in6_addr hosts[REGISTRY_HOST_ADDRS_MAX];
    char dirs[REGISTRY_SOCKET_DIRS_MAX][REGISTRY_PATH_MAX + 1]; /* each with a final slash */
    struct grant grants[REGISTRY_GRANTS_MAX];
    bool eureka_is_here;
};

enum cw_err registry_rules_new(struct registry_rules **ret_rules)
{
    struct registry_rules *rules = calloc(1, sizeof(*rules));
    ENSURE(rules != NULL, CW_NO_MEMORY);
    atomic_init(&rules->refs, 1);
    *ret_rules = rules;
    return CW_OK;
}

struct registry_rules *registry_rules_ref(struct registry_rules *rules)
{
    atomic_fetch_add_explicit(&rules->refs, 1, memory_order_relaxed);
    return rules;
}

void registry_rules_unref(struct registry_rules *rules)
{
    if (rules != NULL && atomic_fetch_sub_explicit(&rules->refs, 1, memory_order_acq_rel) == 1) {
        free(rules);
    }
}

static struct in6_addr mapped(const struct in_addr *v4)
{
    struct in6_addr address = {0};
    address.s6_addr[10] = 0xff;
    address.s6_addr[11] = 0xff;
    memcpy(&address.s6_addr[12], v4, sizeof(*v4));
    return address;
}

/* True for IPv4 in *ret_v4. */
static bool address_parse(struct cw_str text, struct in6_addr *ret_address, bool *ret_v4)
{
    char copy[INET6_ADDRSTRLEN];
    struct in_addr v4;
    if (text.n >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    *ret_v4 = inet_pton(AF_INET, copy, &v4) == 1;
    if (*ret_v4) {
        *ret_address = mapped(&v4);
        return true;
    }
    return inet_pton(AF_INET6, copy, ret_address) == 1;
}

static bool network_has(const struct network *network, const struct in6_addr *address)
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->base.s6_addr, address->s6_addr, whole) != 0) {
        return false;
    }
    unsigned mask = (0xffu << (8 - rest)) & 0xffu;
    return rest == 0 || ((network->base.s6_addr[whole] ^ address->s6_addr[whole]) & mask) == 0;
}

enum cw_err registry_rules_allow(struct registry_rules *rules, struct cw_str cidr)
{
    ENSURE(rules->n_allow < REGISTRY_ALLOW_MAX, CW_NO_MEMORY);
    size_t slash = cw_str_find(cidr, '/');
    struct network network;
    bool v4;
    ENSURE(address_parse(cw_str_slice(cidr, 0, slash), &network.base, &v4), CW_CONFIG_INVALID);
    uint64_t bits = v4 ? 32 : 128;
    if (slash < cidr.n) {
        ENSURE(cw_str_to_u64(cw_str_slice(cidr, slash + 1, cidr.n), bits, &bits) == CW_OK,
               CW_CONFIG_INVALID);
    }
    network.bits = (unsigned)bits + (v4 ? 96 : 0);
    /* 10.1.2.3/8 is a slip of somebody who meant one of two things */
    for (unsigned bit = network.bits; bit < 128; bit++) {
        unsigned mask = 0x80u >> (bit % 8);
        ENSURE((network.base.s6_addr[bit / 8] & mask) == 0, CW_CONFIG_INVALID);
    }
    rules->allow[rules->n_allow++] = network;
    return CW_OK;
}

enum cw_err registry_rules_reserve(struct registry_rules *rules, uint16_t port)
{
    ENSURE(rules->n_reserved < REGISTRY_RESERVED_MAX, CW_NO_MEMORY);
    rules->reserved[rules->n_reserved++] = port;
    return CW_OK;
}

enum cw_err registry_rules_grant(struct registry_rules *rules, uid_t uid, struct cw_str app)
{
    ENSURE(rules->n_grants < REGISTRY_GRANTS_MAX, CW_NO_MEMORY);
    ENSURE(cw_str_is(app, "*") || cw_eureka_app_is_valid(app), CW_CONFIG_INVALID);
    struct grant *grant = &rules->grants[rules->n_grants++];
    grant->uid = uid;
    for (size_t i = 0; i < app.n; i++) {
        char c = app.p[i];
        grant->app[i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    return CW_OK;
}

/* A path that climbs leaves the directory that its beginning names. */
static bool climbs(struct cw_str path)
{
    struct cw_str segment;
    while (cw_str_word(&path, '/', &segment)) {
        if (cw_str_is(segment, "..")) {
            return true;
        }
    }
    return false;
}

enum cw_err registry_rules_socket_dir(struct registry_rules *rules, struct cw_str directory)
{
    ENSURE(rules->n_dirs < REGISTRY_SOCKET_DIRS_MAX, CW_NO_MEMORY);
    ENSURE(directory.n > 1 && directory.n < REGISTRY_PATH_MAX && directory.p[0] == '/',
           CW_CONFIG_INVALID);
    ENSURE(!climbs(directory), CW_CONFIG_INVALID);
    char *dir = rules->dirs[rules->n_dirs++];
    memcpy(dir, directory.p, directory.n);
    if (dir[directory.n - 1] != '/') {
        dir[directory.n] = '/';
    }
    return CW_OK;
}

static bool socket_is_allowed(const struct registry_rules *rules, struct cw_str path)
{
    for (size_t i = 0; i < rules->n_dirs && !climbs(path); i++) {
        if (cw_str_starts(path, cw_str(rules->dirs[i]))) {
            return true;
        }
    }
    return false;
}

static enum cw_err host_add(struct registry_rules *rules, struct in6_addr address)
{
    ENSURE(rules->n_hosts < REGISTRY_HOST_ADDRS_MAX, CW_NO_MEMORY);
    rules->hosts[rules->n_hosts++] = address;
    return CW_OK;
}

enum cw_err registry_rules_add_host(struct registry_rules *rules, struct cw_str address)
{
    struct in6_addr parsed;
    bool v4;
    ENSURE(address_parse(address, &parsed, &v4), CW_CONFIG_INVALID);
    return host_add(rules, parsed);
}

enum cw_err registry_rules_add_interfaces(struct registry_rules *rules)
{
    struct ifaddrs *all = NULL;
    ENSURE(getifaddrs(&all) == 0, CW_IO);
    enum cw_err err = CW_OK;
    for (const struct ifaddrs *i = all; i != NULL && err == CW_OK; i = i->ifa_next) {
        if (i->ifa_addr == NULL) {
            continue;
        }
        if (i->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in in;
            memcpy(&in, i->ifa_addr, sizeof(in));
            err = host_add(rules, mapped(&in.sin_addr));
        } else if (i->ifa_addr->sa_family == AF_INET6) {
            struct sockaddr_in6 in6;
            memcpy(&in6, i->ifa_addr, sizeof(in6));
            err = host_add(rules, in6.sin6_addr);
        }
    }
    freeifaddrs(all);
    return err;
}

void registry_rules_eureka_is_here(struct registry_rules *rules)
{
    rules->eureka_is_here = true;
}

bool registry_rules_may_register(const struct registry_rules *rules, uid_t uid, const char *app)
{
    for (size_t i = 0; i < rules->n_grants; i++) {
        const struct grant *grant = &rules->grants[i];
        if (grant->uid == uid && (strcmp(grant->app, "*") == 0 || strcmp(grant->app, app) == 0)) {
            return true;
        }
    }
    return false;
}

/* Networks that are nobody's service, whoever registers them (RFC 6890). */
static bool is_link_local(const struct in6_addr *address)
{
    static const struct {
        const char *cidr_base;
        unsigned bits;
    } nets[] = {
        {"::ffff:169.254.0.0", 112}, /* IPv4 link-local, where clouds keep their metadata */
        {"::ffff:0.0.0.0", 104},     /* this network */
        {"::ffff:224.0.0.0", 100},   /* multicast */
        {"::ffff:240.0.0.0", 100},   /* reserved, broadcast */
        {"fe80::", 10},              /* IPv6 link-local */
        {"ff00::", 8},               /* multicast */
        {"::", 128},                 /* unspecified */
        {"64:ff9b::", 96},           /* NAT64: an IPv4 address in disguise */
        {"2002::", 16},              /* 6to4: likewise */
        {"::", 96},                  /* IPv4-compatible: likewise */
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(nets); i++) {
        struct network network = {.bits = nets[i].bits};
        if (inet_pton(AF_INET6, nets[i].cidr_base, &network.base) == 1 &&
            network_has(&network, address) && !IN6_IS_ADDR_LOOPBACK(address)) {
            return true;
        }
    }
    return false;
}

static bool is_loopback(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LOOPBACK(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127);
}

bool registry_address_is_loopback(struct cw_str address)
{
    struct in6_addr parsed;
    bool v4;
    return address_parse(address, &parsed, &v4) && is_loopback(&parsed);
}

bool registry_address_is_unspecified(struct cw_str address)
{
    struct in6_addr parsed;
    bool v4;
    if (!address_parse(address, &parsed, &v4)) {
        return false;
    }
    return IN6_IS_ADDR_UNSPECIFIED(&parsed) ||
           (IN6_IS_ADDR_V4MAPPED(&parsed) && memcmp(&parsed.s6_addr[12], "\0\0\0\0", 4) == 0);
}

static bool is_host(const struct registry_rules *rules, const struct in6_addr *address)
{
    for (size_t i = 0; i < rules->n_hosts; i++) {
        if (IN6_ARE_ADDR_EQUAL(&rules->hosts[i], address)) {
            return true;
        }
    }
    return false;
}

static bool is_allowed(const struct registry_rules *rules, const struct in6_addr *address)
{
    for (size_t i = 0; i < rules->n_allow; i++) {
        if (network_has(&rules->allow[i], address)) {
            return true;
        }
    }
    return false;
}

static bool is_reserved(const struct registry_rules *rules, uint16_t port)
{
    for (size_t i = 0; i < rules->n_reserved; i++) {
        if (rules->reserved[i] == port) {
            return true;
        }
    }
    return false;
}

/* Known from this host, whose own services may stand on loopback. */
static bool is_from_here(enum registry_source origin)
{
    return origin == REGISTRY_LOCAL || origin == REGISTRY_REST;
}

enum registry_reach registry_rules_reach(const struct registry_rules *rules,
                                         const struct registry_instance *instance)
{
    enum registry_source origin = instance->origin;
    if (instance->socket_path != NULL) {
        /* whoever may register must not point the gateway at a socket that only the gateway may
         * open */
        return origin == REGISTRY_STATIC ||
                       (origin == REGISTRY_LOCAL &&
                        socket_is_allowed(rules, cw_str(instance->socket_path)))
                   ? REGISTRY_REACHABLE
                   : REGISTRY_NOT_ALLOWED;
    }
    struct in6_addr address;
    bool v4, secure;
    uint16_t port = registry_instance_port(instance, &secure);
    if (port == 0 || !address_parse(cw_str(instance->eureka.ip_addr), &address, &v4)) {
        return REGISTRY_NO_ADDRESS;
    }
    if (origin == REGISTRY_STATIC) {
        return REGISTRY_REACHABLE; /* the operator wrote it down */
    }
    if (is_link_local(&address)) {
        return REGISTRY_LINK_LOCAL;
    }
    bool here = is_loopback(&address) || is_host(rules, &address);
    /* a port that only the operator should see is not made public by a registration, from wherever
     * it comes */
    if (is_reserved(rules, port) && (here || !is_from_here(origin))) {
        return REGISTRY_RESERVED_PORT;
    }
    if (is_from_here(origin) && here) {
        return REGISTRY_REACHABLE;
    }
    if (is_loopback(&address) && !(origin == REGISTRY_EUREKA && rules->eureka_is_here)) {
        return REGISTRY_LOOPBACK;
    }
    return is_allowed(rules, &address) ? REGISTRY_REACHABLE : REGISTRY_NOT_ALLOWED;
}

const char *registry_reach_name(enum registry_reach reach)
{
    switch (reach) {
    case REGISTRY_REACHABLE:
        break;
    case REGISTRY_NO_ADDRESS:
        return "no_address";
    case REGISTRY_LINK_LOCAL:
        return "link_local";
    case REGISTRY_LOOPBACK:
        return "loopback";
    case REGISTRY_RESERVED_PORT:
        return "reserved_port";
    case REGISTRY_NOT_ALLOWED:
        return "not_allowed";
    }
    return "";
}
