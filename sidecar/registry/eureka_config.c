/* Reads where the Eureka servers are, how they are asked and what this host says about itself. */
#include "sidecar/registry/eureka_config.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/registry/rules.h"

enum { URL_MAX = 2048 };

static void problem(const struct cw_config_at *at, const char *key, struct cw_buf *problems,
                    enum cw_err *err, const char *text)
{
    *err = CW_CONFIG_INVALID;
    if (problems != NULL) {
        cw_config_problem(at, key, problems, "%s", text);
    }
}

/* ---- URLs ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Percent-decoded once; a `%` that begins no escape is itself. NULL without memory or with a
 * control character. */
static char *decode(struct cw_arena *arena, struct cw_str s)
{
    char *out = cw_arena_alloc(arena, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; out != NULL && i < s.n; i++) {
        bool escape = s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0;
        out[n] = escape ? (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2])) : s.p[i];
        if ((unsigned char)out[n] < 0x20 || out[n] == 0x7f) {
            return NULL;
        }
        n++;
        i += escape ? 2 : 0;
    }
    if (out != NULL) {
        out[n] = '\0';
    }
    return out;
}

/* `host`, `host:port` or `[address]:port`. */
static bool authority_is_valid(struct cw_str authority)
{
    static const char more[] = ".-_:[]";
    for (size_t i = 0; i < authority.n; i++) {
        char c = authority.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr(more, c) == NULL)) {
            return false;
        }
    }
    return authority.n > 0;
}

static bool host_is_loopback(struct cw_str authority)
{
    struct cw_str host = authority;
    if (cw_str_starts(host, CW_STR("["))) {
        host = cw_str_slice(host, 1, cw_str_find(host, ']'));
    } else {
        host = cw_str_slice(host, 0, cw_str_find(host, ':'));
    }
    return cw_str_eq_nocase(host, CW_STR("localhost")) || cw_str_ends(host, CW_STR(".localhost")) ||
           registry_address_is_loopback(host);
}

static bool path_is_valid(struct cw_str path)
{
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (c <= 0x20 || c >= 0x7f || c == '?' || c == '#' ||
            (c == '/' && i > 0 && path.p[i - 1] == '/')) {
            return false;
        }
    }
    return true;
}

static enum cw_err user_parse(struct cw_arena *arena, struct cw_str info,
                              struct eureka_server *server)
{
    size_t colon = cw_str_find(info, ':');
    server->user = decode(arena, cw_str_slice(info, 0, colon));
    char *password = decode(arena, cw_str_slice(info, CW_MIN(colon + 1, info.n), info.n));
    ENSURE(server->user != NULL && password != NULL, CW_CONFIG_INVALID);
    enum cw_err err = cw_secret_init(&server->password, cw_str(password));
    cw_secret_wipe(password, strlen(password));
    return err;
}

enum cw_err eureka_server_parse(struct cw_arena *arena, struct cw_str url,
                                struct eureka_server *ret_server)
{
    struct eureka_server server = {0};
    struct cw_buf text = CW_BUF_INIT(URL_MAX);
    url = cw_str_trim(url);
    struct cw_str scheme = cw_str_starts(url, CW_STR("https://"))  ? CW_STR("https://")
                           : cw_str_starts(url, CW_STR("http://")) ? CW_STR("http://")
                                                                   : CW_STR("");
    ENSURE(scheme.n > 0 && url.n < URL_MAX, CW_CONFIG_INVALID);
    struct cw_str rest = cw_str_slice(url, scheme.n, url.n);
    /* a password may hold `/`, `:` and `@` as they are: the last `@` ends it */
    size_t at = rest.n;
    for (size_t i = 0; i < rest.n; i++) {
        at = rest.p[i] == '@' ? i : at;
    }
    bool has_user = at < rest.n;
    struct cw_str info = cw_str_slice(rest, 0, at);
    rest = has_user ? cw_str_slice(rest, at + 1, rest.n) : rest;
    size_t slash = cw_str_find(rest, '/');
    struct cw_str authority = cw_str_slice(rest, 0, slash);
    struct cw_str path = cw_str_slice(rest, slash, rest.n);
    ENSURE(authority_is_valid(authority) && path_is_valid(path), CW_CONFIG_INVALID);
    if (has_user) {
        TRY(user_parse(arena, info, &server));
    }
    server.loopback = host_is_loopback(authority);
    cw_buf_add_str(&text, scheme);
    cw_buf_add_str(&text, authority);
    server.name = cw_arena_dup(arena, cw_buf_str(&text));
    cw_buf_add_str(&text, path);
    if (!cw_str_ends(path, CW_STR("/"))) {
        cw_buf_add_char(&text, '/');
    }
    server.base = cw_buf_check(&text) == CW_OK ? cw_arena_dup(arena, cw_buf_str(&text)) : NULL;
    cw_buf_done(&text);
    if (server.name == NULL || server.base == NULL) {
        cw_secret_done(&server.password);
        return CW_NO_MEMORY;
    }
    *ret_server = server;
    return CW_OK;
}

/* ---- servers ---- */

static void add_server(const struct cw_config_at *at, const char *key, struct cw_arena *arena,
                       struct cw_str url, struct eureka_config *config, struct cw_buf *problems,
                       enum cw_err *err)
{
    if (config->n_servers == EUREKA_SERVERS_MAX) {
        problem(at, key, problems, err, "more servers than there is room for");
    } else if (eureka_server_parse(arena, url, &config->servers[config->n_servers]) != CW_OK) {
        /* not the URL itself: a password may be in it */
        problem(at, key, problems, err, "is a URL as https://host:8761/eureka/");
    } else {
        config->n_servers++;
    }
}

static void read_servers(const struct cw_config_at *root, struct cw_arena *arena,
                         struct eureka_config *config, struct cw_buf *problems, enum cw_err *err)
{
    for (size_t i = 0; i < cw_config_count(root, "registry.eureka.servers"); i++) {
        struct cw_config_at at = cw_config_item(root, "registry.eureka.servers", i);
        size_t before = config->n_servers;
        add_server(&at, "url", arena, cw_str(cw_config_string(&at, "url")), config, problems, err);
        if (config->n_servers == before) {
            continue;
        }
        struct eureka_server *server = &config->servers[before];
        server->zone = cw_config_string(&at, "zone");
        server->ca_file = cw_config_string(&at, "ca-file");
        server->cert_file = cw_config_string(&at, "cert-file");
        server->key_file = cw_config_string(&at, "key-file");
        if (cw_config_has(&at, "username")) {
            server->user = cw_config_string(&at, "username");
        }
        if (cw_config_has(&at, "password-file")) {
            cw_secret_done(&server->password);
            if (cw_config_secret(&at, "password-file", &server->password) != CW_OK) {
                problem(&at, "password-file", problems, err, "cannot be read");
            }
        }
        if (cw_config_has(&at, "cert-file") != cw_config_has(&at, "key-file")) {
            problem(&at, "cert-file", problems, err, "and key-file belong together");
        }
    }
}

static void read_spring(const struct cw_config_at *root, struct cw_arena *arena,
                        struct eureka_config *config, struct cw_buf *problems, enum cw_err *err)
{
    const char *zone, *urls;
    if (cw_config_string(root, "eureka.client.fetch-remote-regions-registry") != NULL) {
        problem(root, "eureka.client.fetch-remote-regions-registry", problems, err,
                "is not supported: a sidecar reads the region of its servers (docs/EUREKA.md, "
                "remote regions)");
    }
    for (size_t i = 0; cw_config_pair(root, "eureka.client.service-url", i, &zone, &urls); i++) {
        struct cw_str rest = cw_str(urls), url;
        while (cw_str_word(&rest, ',', &url)) {
            size_t before = config->n_servers;
            add_server(root, "eureka.client.service-url", arena, url, config, problems, err);
            if (config->n_servers > before &&
                !cw_str_eq_nocase(cw_str(zone), CW_STR("defaultZone")) &&
                !cw_str_eq_nocase(cw_str(zone), CW_STR("default"))) {
                config->servers[before].zone = zone;
            }
        }
    }
}

/* ---- this host ---- */

/* The address of the first interface that is up and no loopback, IPv4 before IPv6. */
static const char *interface_address(struct cw_arena *arena)
{
    char text[INET6_ADDRSTRLEN] = "";
    int families[] = {AF_INET, AF_INET6};
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) {
        return NULL;
    }
    for (size_t f = 0; f < CW_ARRAY_SIZE(families) && text[0] == '\0'; f++) {
        for (const struct ifaddrs *i = all; i != NULL && text[0] == '\0'; i = i->ifa_next) {
            if (i->ifa_addr == NULL || i->ifa_addr->sa_family != families[f] ||
                !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK)) {
                continue;
            }
            struct sockaddr_in in;
            struct sockaddr_in6 in6;
            if (families[f] == AF_INET) {
                memcpy(&in, i->ifa_addr, sizeof(in));
                inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
            } else {
                memcpy(&in6, i->ifa_addr, sizeof(in6));
                if (!IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr)) {
                    inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
                }
            }
        }
    }
    freeifaddrs(all);
    return text[0] != '\0' ? cw_arena_dup(arena, cw_str(text)) : NULL;
}

static bool all_loopback(const struct eureka_config *config)
{
    for (size_t i = 0; i < config->n_servers; i++) {
        if (!config->servers[i].loopback) {
            return false;
        }
    }
    return true;
}

/* Loopback is told to a server on loopback only: that is a registry of this host's own. */
static void read_host(const struct cw_config_at *root, struct cw_arena *arena,
                      struct eureka_config *config, struct cw_buf *problems, enum cw_err *err)
{
    struct in6_addr ignored;
    bool here = config->here = all_loopback(config);
    char host[256] = "localhost";
    config->address = cw_config_string(root, "registry.eureka.instance.address");
    if (config->address == NULL) {
        config->address = interface_address(arena);
        config->address = config->address == NULL && here ? "127.0.0.1" : config->address;
    }
    if (config->address == NULL) {
        problem(root, "registry.eureka.instance.address", problems, err,
                "is needed: no interface of this host has an address that others could reach");
    } else if (inet_pton(AF_INET, config->address, &ignored) != 1 &&
               inet_pton(AF_INET6, config->address, &ignored) != 1) {
        problem(root, "registry.eureka.instance.address", problems, err, "is an IP address");
    } else if (registry_address_is_unspecified(cw_str(config->address))) {
        problem(root, "registry.eureka.instance.address", problems, err,
                "is where others reach this host, not where it listens");
    } else if (!here && registry_address_is_loopback(cw_str(config->address))) {
        problem(root, "registry.eureka.instance.address", problems, err,
                "is no loopback: other hosts would connect to themselves");
    }
    config->host_name = cw_config_string(root, "registry.eureka.instance.host-name");
    if (cw_config_bool(root, "registry.eureka.instance.prefer-ip")) {
        config->host_name = config->address;
    } else if (config->host_name == NULL) {
        (void)gethostname(host, sizeof(host) - 1);
        config->host_name = cw_arena_dup(arena, cw_str(host));
    }
}

static enum cw_err read_metadata(const struct cw_config_at *root, struct cw_arena *arena,
                                 struct eureka_config *config)
{
    struct cw_eureka_pair *pairs = cw_arena_alloc(arena, CW_EUREKA_PAIRS_MAX * sizeof(*pairs));
    const char *name, *value;
    size_t n = 0;
    ENSURE(pairs != NULL, CW_NO_MEMORY);
    while (cw_config_pair(root, "registry.eureka.instance.metadata", n, &name, &value)) {
        ENSURE(n < CW_EUREKA_PAIRS_MAX / 2 && strlen(name) <= CW_EUREKA_PAIR_KEY_MAX &&
                   strlen(value) <= CW_EUREKA_TEXT_MAX,
               CW_CONFIG_INVALID);
        pairs[n++] = (struct cw_eureka_pair){name, value};
    }
    config->metadata = (struct cw_eureka_pairs){pairs, n};
    return CW_OK;
}

static void read_scalars(const struct cw_config_at *root, struct eureka_config *config)
{
    config->fetch = cw_config_bool(root, "registry.eureka.fetch");
    config->publish = cw_config_bool(root, "registry.eureka.register");
    config->delta = cw_config_bool(root, "registry.eureka.delta");
    config->poll_ms = cw_config_ms(root, "registry.eureka.poll-interval");
    config->hold_ms = cw_config_ms(root, "registry.eureka.hold");
    config->heartbeat_ms = cw_config_ms(root, "registry.eureka.heartbeat-interval");
    config->lease_ms = cw_config_ms(root, "registry.eureka.lease-duration");
    config->connect_ms = (unsigned)cw_config_ms(root, "registry.eureka.connect-timeout");
    config->total_ms = (unsigned)cw_config_ms(root, "registry.eureka.timeout");
    config->max_instances = (size_t)cw_config_int(root, "registry.eureka.max-instances");
    config->max_document = cw_config_bytes(root, "registry.eureka.max-document");
    config->zone = cw_config_string(root, "registry.eureka.zone");
}

static void read_ec2(const struct cw_config_at *root, struct cw_arena *arena,
                     struct eureka_config *config, struct cw_buf *problems, enum cw_err *err)
{
    struct eureka_server service;
    if (!cw_config_bool(root, "registry.eureka.ec2.zone")) {
        return;
    }
    const char *url = cw_config_string(root, "registry.eureka.ec2.endpoint");
    if (eureka_server_parse(arena, cw_str(url), &service) != CW_OK) {
        problem(root, "registry.eureka.ec2.endpoint", problems, err,
                "is a URL as http://169.254.169.254");
        return;
    }
    cw_secret_done(&service.password);
    config->ec2_base = service.base;
}

enum cw_err eureka_config_read(const struct cw_config_at *root, struct cw_arena *arena,
                               struct cw_buf *problems, struct eureka_config *ret_config)
{
    struct eureka_config config = {0};
    enum cw_err err = CW_OK;
    read_servers(root, arena, &config, problems, &err);
    read_spring(root, arena, &config, problems, &err);
    read_scalars(root, &config);
    read_ec2(root, arena, &config, problems, &err);
    if (config.n_servers > 0) {
        read_host(root, arena, &config, problems, &err);
        if (config.lease_ms <= config.heartbeat_ms) {
            problem(root, "registry.eureka.lease-duration", problems, &err,
                    "is longer than registry.eureka.heartbeat-interval");
        }
    }
    if (read_metadata(root, arena, &config) != CW_OK) {
        problem(root, "registry.eureka.instance.metadata", problems, &err,
                "more, or longer ones, than a registration can hold");
    }
    if (err != CW_OK) {
        eureka_config_done(&config);
        return err;
    }
    *ret_config = config;
    return CW_OK;
}

void eureka_config_done(struct eureka_config *config)
{
    for (size_t i = 0; i < config->n_servers; i++) {
        cw_secret_done(&config->servers[i].password);
    }
    config->n_servers = 0;
}
