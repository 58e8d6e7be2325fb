/* Reads the registry's rows: grants, networks, static instances, bounds. */
#include "sidecar/registry/config.h"

#include <pwd.h>
#include <stdio.h>

#include "sidecar/registry/checks.h"

enum { ARENA_MAX = 64 << 20, BYTES_LOCAL = 8 << 20 };

static void problem(const struct cw_config_at *at, const char *key, struct cw_buf *problems,
                    enum cw_err *err, const char *text)
{
    *err = CW_CONFIG_INVALID;
    if (problems != NULL) {
        cw_config_problem(at, key, problems, "%s", text);
    }
}

static bool find_uid(const char *name, uid_t *ret_uid)
{
    uint64_t number = 0;
    if (cw_str_to_u64(cw_str(name), UINT32_MAX - 1, &number) == CW_OK) {
        *ret_uid = (uid_t)number;
        return true;
    }
    const struct passwd *user = getpwnam(name);
    if (user != NULL) {
        *ret_uid = user->pw_uid;
    }
    return user != NULL;
}

static void read_grants(const struct cw_config_at *root, struct cw_buf *problems,
                        struct registry_rules *rules, enum cw_err *err)
{
    for (size_t i = 0; i < cw_config_count(root, "registry.register"); i++) {
        struct cw_config_at at = cw_config_item(root, "registry.register", i);
        uid_t uid = 0;
        if (!find_uid(cw_config_string(&at, "uid"), &uid)) {
            problem(&at, "uid", problems, err, "names a user that this host does not have");
            continue;
        }
        size_t n = 0;
        const char *const *apps = cw_config_list(&at, "applications", &n);
        for (size_t a = 0; a < n; a++) {
            enum cw_err granted = registry_rules_grant(rules, uid, cw_str(apps[a]));
            if (granted == CW_NO_MEMORY) {
                problem(&at, "applications", problems, err, "more grants than there is room for");
            } else if (granted != CW_OK) {
                problem(&at, "applications", problems, err,
                        "names of applications are letters, digits and `._:-`");
            }
        }
    }
}

static void read_networks(const struct cw_config_at *root, struct cw_buf *problems,
                          struct registry_rules *rules, enum cw_err *err)
{
    size_t n = 0;
    const char *const *list = cw_config_list(root, "registry.allow", &n);
    for (size_t i = 0; i < n; i++) {
        if (registry_rules_allow(rules, cw_str(list[i])) != CW_OK) {
            problem(root, "registry.allow", problems, err,
                    "is a list of networks as 10.1.0.0/16 or fd00::/8, with no bit set behind the "
                    "mask");
        }
    }
    list = cw_config_list(root, "registry.management-ports", &n);
    for (size_t i = 0; i < n; i++) {
        uint64_t port = 0;
        if (cw_str_to_u64(cw_str(list[i]), UINT16_MAX, &port) != CW_OK ||
            registry_rules_reserve(rules, (uint16_t)port) != CW_OK) {
            problem(root, "registry.management-ports", problems, err, "is a list of port numbers");
        }
    }
    list = cw_config_list(root, "registry.socket-directories", &n);
    for (size_t i = 0; i < n; i++) {
        if (registry_rules_socket_dir(rules, cw_str(list[i])) != CW_OK) {
            problem(root, "registry.socket-directories", problems, err,
                    "is a list of absolute directories without `..`");
        }
    }
}

static const char *default_id(struct cw_arena *arena, const struct registry_spec *spec)
{
    return registry_instance_default_id(
        arena, spec->eureka.ip_addr != NULL ? spec->eureka.ip_addr : "localhost", spec);
}

static enum cw_err read_static(const struct cw_config_at *at, struct cw_arena *arena,
                               struct registry_spec *spec)
{
    struct cw_eureka_instance *e = &spec->eureka;
    cw_eureka_instance_init(e);
    e->app = cw_eureka_app_upper(arena, cw_str(cw_config_string(at, "application")));
    e->vip_address = e->secure_vip_address =
        cw_eureka_app_lower(arena, cw_str(cw_config_string(at, "application")));
    e->data_center = CW_EUREKA_MY_OWN;
    spec->socket_path = cw_config_string(at, "socket");
    spec->health_path = cw_config_string(at, "health-path");
    spec->check_url = cw_config_string(at, "check");
    spec->published = cw_config_bool(at, "register");
    e->status = spec->check_url != NULL ? CW_EUREKA_STARTING : CW_EUREKA_UP;
    e->ip_addr = spec->socket_path != NULL ? "127.0.0.1" : cw_config_string(at, "address");
    e->host_name = e->ip_addr;
    uint16_t port = (uint16_t)cw_config_int(at, "port");
    bool secure = cw_config_bool(at, "secure");
    e->port = (struct cw_eureka_port){secure ? 0 : port, !secure};
    e->secure_port = (struct cw_eureka_port){secure ? port : 0, secure};
    struct cw_eureka_pair *pairs = cw_arena_alloc(arena, 2 * sizeof(*pairs));
    char digits[16];
    snprintf(digits, sizeof(digits), "%d", (int)cw_config_int(at, "weight"));
    ENSURE(e->app != NULL && e->vip_address != NULL && pairs != NULL, CW_NO_MEMORY);
    const char *zone = cw_config_string(at, "zone");
    pairs[0] = (struct cw_eureka_pair){"weight", cw_arena_dup(arena, cw_str(digits))};
    pairs[1] = (struct cw_eureka_pair){"zone", zone};
    ENSURE(pairs[0].value != NULL, CW_NO_MEMORY);
    e->metadata = (struct cw_eureka_pairs){pairs, zone != NULL ? 2 : 1};
    const char *id = cw_config_string(at, "instance-id");
    e->instance_id = id != NULL ? id : default_id(arena, spec);
    ENSURE(e->instance_id != NULL, CW_NO_MEMORY);
    return CW_OK;
}

static void read_statics(const struct cw_config_at *root, struct cw_buf *problems,
                         struct registry_config *config, enum cw_err *err)
{
    size_t n = cw_config_count(root, "registry.static");
    config->statics = cw_arena_zalloc(&config->arena, (n + 1) * sizeof(*config->statics));
    if (config->statics == NULL) {
        problem(root, "registry.static", problems, err, "more than there is room for");
        return;
    }
    config->n_statics = n;
    size_t n_checks = 0;
    for (size_t i = 0; i < n; i++) {
        struct cw_config_at at = cw_config_item(root, "registry.static", i);
        struct registry_instance *instance = NULL;
        bool socket = cw_config_has(&at, "socket");
        if (socket == cw_config_has(&at, "port") || socket == cw_config_has(&at, "address")) {
            problem(&at, "application", problems, err, "has an address and a port, or a socket");
            continue;
        }
        const char *check = cw_config_string(&at, "check");
        if (check != NULL && strncmp(check, "http://", 7) != 0 &&
            strncmp(check, "https://", 8) != 0) {
            problem(&at, "check", problems, err, "is an http or https URL");
            continue;
        }
        n_checks += check != NULL;
        if (check != NULL && n_checks > REGISTRY_CHECKS_MAX) {
            problem(&at, "check", problems, err, "is one more than the 256 that are possible");
            continue;
        }
        if (socket && cw_config_bool(&at, "register")) {
            problem(&at, "register", problems, err,
                    "needs an address and a port: Eureka knows no sockets");
            continue;
        }
        enum cw_err made = read_static(&at, &config->arena, &config->statics[i]);
        if (made == CW_OK) {
            made = registry_instance_new(&config->statics[i], &instance);
        }
        registry_instance_unref(instance);
        if (made != CW_OK) {
            problem(&at, "application", problems, err,
                    "is no instance: application, IP address or socket path, or id is malformed");
        }
    }
}

static void read_embedded(const struct cw_config_at *root, struct cw_buf *problems,
                          struct registry_config *config, enum cw_err *err)
{
    config->writers = cw_config_enum(root, "registry.embedded.writers") == 1;
    config->address = cw_config_string(root, "registry.embedded.address");
    config->port = (uint16_t)cw_config_int(root, "registry.embedded.port");
    if (!registry_address_is_loopback(cw_str(config->address))) {
        problem(root, "registry.embedded.address", problems, err,
                "is an IP address of loopback: the embedded registry is for this host");
    }
    if (config->eureka.n_servers > 0) {
        config->port = 0; /* one registry is enough for a host */
    }
    if (config->port != 0 && registry_rules_reserve(config->rules, config->port) != CW_OK) {
        problem(root, "registry.embedded.port", problems, err, "too many management ports");
    }
}

static void read_limits(const struct cw_config_at *root, struct registry_config *config)
{
    int64_t provisional = cw_config_ms(root, "registry.provisional");
    config->limits = (struct registry_limits){
        .instances = (size_t)cw_config_int(root, "registry.max-instances"),
        .apps = (size_t)cw_config_int(root, "registry.max-applications"),
        .per_owner = (size_t)cw_config_int(root, "registry.max-per-user"),
        .grace_ms = cw_config_ms(root, "registry.grace-period"),
        .provisional_ms = provisional > 0 ? provisional : -1,
    };
    if (config->eureka.n_servers > 0) {
        /* room of its own, so that a large registry does not keep this host's services out */
        config->limits.eureka = config->eureka.fetch;
        config->limits.instances += config->eureka.max_instances;
        config->limits.apps += config->eureka.max_instances;
        config->limits.bytes = BYTES_LOCAL + config->eureka.max_document;
    }
    config->check_ms = cw_config_ms(root, "registry.check-interval");
    config->max_watchers = (size_t)cw_config_int(root, "registry.max-watchers");
}

enum cw_err registry_config_read(const struct cw_config *config, struct cw_buf *problems,
                                 struct registry_config *ret_config)
{
    struct cw_config_at root = cw_config_root(config);
    struct registry_config mine = {.arena = CW_ARENA_INIT(ARENA_MAX)};
    TRY(registry_rules_new(&mine.rules));
    enum cw_err err = eureka_config_read(&root, &mine.arena, problems, &mine.eureka);
    read_limits(&root, &mine);
    if (mine.eureka.n_servers > 0 && mine.eureka.here) {
        registry_rules_eureka_is_here(mine.rules);
    }
    read_embedded(&root, problems, &mine, &err);
    read_grants(&root, problems, mine.rules, &err);
    read_networks(&root, problems, mine.rules, &err);
    read_statics(&root, problems, &mine, &err);
    if (err == CW_OK) {
        err = registry_rules_add_interfaces(mine.rules);
    }
    if (err != CW_OK) {
        registry_config_done(&mine);
        return err;
    }
    *ret_config = mine;
    return CW_OK;
}

void registry_config_done(struct registry_config *config)
{
    registry_rules_unref(config->rules);
    eureka_config_done(&config->eureka);
    cw_arena_done(&config->arena);
    *config = (struct registry_config){0};
}
