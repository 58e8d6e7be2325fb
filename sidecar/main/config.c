/* What can be configured, and how it becomes tenants. */
#include "sidecar/main/config.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/origin.h"
#include "common/base/user.h"
#include "common/rpc/runtime.h"
#include "sidecar/registry/registry.h"
#include "sidecar/tenants/tenants.h"

enum { CHECK_ARENA = 256 * 1024 * 1024, TENANTS_MAX = 100000, CONFIG_ADDRESS_MAX = 300 };

/* clang-format off */
static const struct cw_config_key keys[] = {
    {.key = "sidecar.run-dir", .type = CW_CONFIG_PATH, .fallback = "/run/clinicwave", .help = "Directory of the sockets gateway.sock, sidecar.sock and admin.sock."},
    {.key = "sidecar.state-dir", .type = CW_CONFIG_PATH, .fallback = "/var/lib/clinicwave/sidecar", .help = "Directory of what survives a restart: last good keys, learned tenants, registered neighbours."},
    {.key = "sidecar.socket-group", .type = CW_CONFIG_STRING, .help = "Group of the sockets (mode 0660); absent: the process's own."},
    {.key = "sidecar.gateway-uids", .type = CW_CONFIG_LIST, .max = 64, .help = "Users (names or numbers) beside root and the own one that may call on gateway.sock."},
    {.key = "sidecar.service-uids", .type = CW_CONFIG_LIST, .max = 1024, .help = "Users beside root and the own one that may call on sidecar.sock; empty: every user that can open it."},
    {.key = "sidecar.management.address", .type = CW_CONFIG_STRING, .fallback = "127.0.0.1", .help = "Address of /actuator."},
    {.key = "sidecar.management.port", .type = CW_CONFIG_INT, .fallback = "9082", .min = 0, .max = 65535, .help = "Port of /actuator; 0: none."},
    {.key = "sidecar.authsvc.socket", .type = CW_CONFIG_PATH, .help = "authsvc's gRPC socket, from which tenants are learned; absent: only those of this file."},
    {.key = "sidecar.authsvc.uids", .type = CW_CONFIG_LIST, .max = 8, .help = "Users (names or numbers) beside root and the own one whose socket is believed to be authsvc's."},
    {.key = "sidecar.authsvc.address", .type = CW_CONFIG_STRING, .help = "NAME:PORT of authsvc on another host, instead of the socket: gRPC over TLS with certificates on both sides."},
    {.key = "sidecar.authsvc.ca-file", .type = CW_CONFIG_PATH, .help = "PEM file of the authorities that may have signed its certificate; read again when it changes, as the next two."},
    {.key = "sidecar.authsvc.certificate-file", .type = CW_CONFIG_PATH, .help = "PEM file of this host's own certificate."},
    {.key = "sidecar.authsvc.key-file", .type = CW_CONFIG_PATH, .help = "PEM file of its private key."},
    {.key = "sidecar.authsvc.max-stale", .type = CW_CONFIG_DURATION, .fallback = "15m", .min = 1000, .max = 86400000, .help = "Without authsvc's revocations for so long, nothing is decided for its issuers."},
    {.key = "sidecar.cache.max-entries", .type = CW_CONFIG_INT, .fallback = "200000", .min = 256, .max = 50000000, .help = "Tokens that the cache holds at most."},
    {.key = "sidecar.cache.max-bytes", .type = CW_CONFIG_SIZE, .fallback = "128MiB", .min = 1048576, .max = 1099511627776, .help = "Memory that the cache uses at most, its index included."},
    {.key = "sidecar.cache.ttl", .type = CW_CONFIG_DURATION, .fallback = "300s", .min = 1000, .max = 86400000, .help = "How long a verified token is not verified again, its own expiry aside."},
    {.key = "sidecar.pollers", .type = CW_CONFIG_INT, .fallback = "1", .min = 1, .max = 16, .help = "Threads that poll the sockets; one is the fastest on small machines."},
    {.key = "sidecar.spin-us", .type = CW_CONFIG_INT, .fallback = "300", .min = 0, .max = CW_RPC_SPIN_MAX_US, .help = "While questions follow one another within so many microseconds, the poller asks for the next instead of sleeping, as long as nobody else wants its core; 0: it always sleeps."},
    {.key = "sidecar.streams", .type = CW_CONFIG_INT, .fallback = "128", .min = 8, .max = 1000, .help = "Calls and streams (`Register` is one) that one connection to sidecar.sock may have open at once; further ones wait in the client. All of them may come in one read, and each keeps the others waiting for some 10 µs."},
    {.key = "sidecar.verifiers", .type = CW_CONFIG_INT, .fallback = "0", .min = 0, .max = 256, .help = "Threads that verify signatures; 0: one less than there are cores."},
    {.key = "sidecar.queue", .type = CW_CONFIG_INT, .fallback = "1024", .min = 4, .max = 65536, .help = "Tokens that wait for a verifier at most; more are answered `validator_overloaded`."},
    {.key = "sidecar.timeout", .type = CW_CONFIG_DURATION, .fallback = "2s", .min = 10, .max = 30000, .help = "How long an answer may take for callers that name no deadline."},
    {.key = "sidecar.key-wait", .type = CW_CONFIG_DURATION, .fallback = "1s", .min = 0, .max = 30000, .help = "How long a token with an unknown key waits for a fetch of the issuer's keys."},
    {.key = "sidecar.grace", .type = CW_CONFIG_DURATION, .fallback = "5s", .min = 0, .max = 300000, .help = "How long running calls may take to end after SIGTERM."},
    {.key = "sidecar.reflection", .type = CW_CONFIG_BOOL, .fallback = "true", .help = "Serve gRPC reflection on sidecar.sock and admin.sock."},
    {.key = "log.level", .type = CW_CONFIG_ENUM, .fallback = "info", .values = "debug|info|warn|error", .flags = CW_CONFIG_RELOADABLE, .help = "Least level that is logged."},

    {.key = "tenants[].name", .type = CW_CONFIG_STRING, .flags = CW_CONFIG_RELOADABLE | CW_CONFIG_REQUIRED, .help = "Name of the tenant."},
    {.key = "tenants[].domains", .type = CW_CONFIG_LIST, .flags = CW_CONFIG_RELOADABLE | CW_CONFIG_REQUIRED, .help = "Domains that belong to it."},
    {.key = "tenants[].audiences", .type = CW_CONFIG_LIST, .flags = CW_CONFIG_RELOADABLE | CW_CONFIG_REQUIRED, .help = "Audiences of its APIs: a token must name one of them where the caller demands none in particular."},
    {.key = "tenants[].origins", .type = CW_CONFIG_LIST, .max = CW_ORIGINS_MAX, .flags = CW_CONFIG_RELOADABLE, .help = "Web origins whose pages may call its domains through the gateway (CORS): https, or http on loopback, one by one. Also `allowed_origins`."},
    {.key = "tenants[].issuers[].issuer", .type = CW_CONFIG_STRING, .flags = CW_CONFIG_RELOADABLE | CW_CONFIG_REQUIRED, .help = "Issuer, byte for byte as in `iss`."},
    {.key = "tenants[].issuers[].jwks-uri", .type = CW_CONFIG_STRING, .flags = CW_CONFIG_RELOADABLE, .help = "Where its keys are; absent, and without jwks-file: by OpenID discovery from the issuer."},
    {.key = "tenants[].issuers[].jwks-file", .type = CW_CONFIG_PATH, .flags = CW_CONFIG_RELOADABLE, .help = "File with its keys (JWK set); read every half minute, at a reload, and by `cwctl keys refresh`."},
    {.key = "tenants[].issuers[].ca-file", .type = CW_CONFIG_PATH, .flags = CW_CONFIG_RELOADABLE, .help = "Authorities for its TLS certificate (PEM); absent: the system's."},
    {.key = "tenants[].issuers[].ignore-x5t", .type = CW_CONFIG_BOOL, .fallback = "false", .flags = CW_CONFIG_RELOADABLE, .help = "Its tokens carry x5t or x5t#S256 beside kid (ADFS, Entra ID v1): ignored instead of refused; the key is chosen by kid."},
    {.key = "tenants[].issuers[].insecure-http-loopback", .type = CW_CONFIG_BOOL, .fallback = "false", .flags = CW_CONFIG_RELOADABLE, .help = "Allow http where the host is loopback. For development."},
    {.key = "tenants[].issuers[].required", .type = CW_CONFIG_BOOL, .fallback = "false", .flags = CW_CONFIG_RELOADABLE, .help = "Not ready without this issuer's keys."},
    {.key = "tenants[].issuers[].algorithms", .type = CW_CONFIG_LIST, .flags = CW_CONFIG_RELOADABLE, .help = "Accepted signature algorithms; absent: RS256."},
    {.key = "tenants[].issuers[].types", .type = CW_CONFIG_LIST, .flags = CW_CONFIG_RELOADABLE, .help = "Accepted `typ`; absent: at+jwt."},
    {.key = "tenants[].issuers[].authorized-parties", .type = CW_CONFIG_LIST, .flags = CW_CONFIG_RELOADABLE, .help = "Accepted clients (client_id, azp); absent: any."},
    {.key = "tenants[].issuers[].required-claims", .type = CW_CONFIG_LIST, .flags = CW_CONFIG_RELOADABLE, .help = "Claims that must be there beside iss, sub and exp."},
    {.key = "tenants[].issuers[].leeway", .type = CW_CONFIG_DURATION, .fallback = "0s", .min = 0, .max = 60000, .flags = CW_CONFIG_RELOADABLE, .help = "Difference of clocks that is forgiven, in whole seconds."},
    {.key = "tenants[].issuers[].max-lifetime", .type = CW_CONFIG_DURATION, .fallback = "0s", .min = 0, .max = 31536000000, .flags = CW_CONFIG_RELOADABLE, .help = "Longest life of a token from iat to exp; 0s: no bound."},
    {.key = "tenants[].issuers[].claims.client-id", .type = CW_CONFIG_STRING, .flags = CW_CONFIG_RELOADABLE, .help = "Path of the client; absent: client_id, else azp."},
    {.key = "tenants[].issuers[].claims.session-id", .type = CW_CONFIG_STRING, .flags = CW_CONFIG_RELOADABLE, .help = "Path of the session; absent: sid."},
    {.key = "tenants[].issuers[].claims.scopes", .type = CW_CONFIG_STRING, .flags = CW_CONFIG_RELOADABLE, .help = "Path of the scopes; absent: scope, else scp."},
    {.key = "tenants[].issuers[].claims.roles", .type = CW_CONFIG_STRING, .flags = CW_CONFIG_RELOADABLE, .help = "Path of the roles; absent: roles."},
    {.key = "tenants[].issuers[].claims.permissions", .type = CW_CONFIG_STRING, .flags = CW_CONFIG_RELOADABLE, .help = "Path of the permissions; absent: permissions."},
    {.key = "tenants[].issuers[].claims.tenant", .type = CW_CONFIG_STRING, .flags = CW_CONFIG_RELOADABLE, .help = "Path of a claim that must equal the tenant's name; absent: none."},
    {.key = "tenants[].issuers[].claims.keep", .type = CW_CONFIG_LIST, .flags = CW_CONFIG_RELOADABLE, .help = "Further claims that are kept for callers who ask: name, or name=path."},

#include "sidecar/registry/config_rows.def"
};
/* clang-format on */

/* ---- tenants ---- */

static enum cw_err read_list(const struct cw_config_at *at, const char *key, struct cw_arena *arena,
                             struct cw_str_list *ret)
{
    size_t n = 0;
    const char *const *values = cw_config_list(at, key, &n);

    ret->items = cw_arena_zalloc(arena, (n + 1) * sizeof(*ret->items));
    ENSURE(ret->items, CW_NO_MEMORY);
    ret->n = n;
    for (size_t i = 0; i < n; i++) {
        ret->items[i] = cw_str(values[i]);
    }
    return CW_OK;
}

static struct cw_str read_str(const struct cw_config_at *at, const char *key)
{
    return cw_str(cw_config_string(at, key));
}

static enum cw_err read_issuer(const struct cw_config_at *at, struct cw_arena *arena,
                               struct issuer_spec *ret)
{
    *ret = (struct issuer_spec){
        .issuer = read_str(at, "issuer"),
        .jwks_uri = read_str(at, "jwks-uri"),
        .jwks_file = read_str(at, "jwks-file"),
        .ca_file = read_str(at, "ca-file"),
        .plain_loopback = cw_config_bool(at, "insecure-http-loopback"),
        .required = cw_config_bool(at, "required"),
        .thumbprints = cw_config_bool(at, "ignore-x5t"),
        .leeway = cw_config_ms(at, "leeway") / 1000,
        .max_lifetime = cw_config_ms(at, "max-lifetime") / 1000,
        .client_path = read_str(at, "claims.client-id"),
        .session_path = read_str(at, "claims.session-id"),
        .scopes_path = read_str(at, "claims.scopes"),
        .roles_path = read_str(at, "claims.roles"),
        .permissions_path = read_str(at, "claims.permissions"),
        .tenant_path = read_str(at, "claims.tenant"),
    };
    TRY(read_list(at, "algorithms", arena, &ret->algorithms));
    TRY(read_list(at, "types", arena, &ret->types));
    TRY(read_list(at, "authorized-parties", arena, &ret->parties));
    TRY(read_list(at, "required-claims", arena, &ret->claims_required));
    return read_list(at, "claims.keep", arena, &ret->keep);
}

static enum cw_err read_tenant(const struct cw_config_at *at, struct cw_arena *arena,
                               struct tenant_spec *ret)
{
    size_t n = cw_config_count(at, "issuers");

    *ret = (struct tenant_spec){.name = read_str(at, "name")};
    TRY(read_list(at, "domains", arena, &ret->domains));
    TRY(read_list(at, "audiences", arena, &ret->audiences));
    TRY(read_list(at, "origins", arena, &ret->origins));
    ret->issuers = cw_arena_zalloc(arena, (n + 1) * sizeof(*ret->issuers));
    ENSURE(ret->issuers, CW_NO_MEMORY);
    ret->n_issuers = n;
    for (size_t i = 0; i < n; i++) {
        struct cw_config_at item = cw_config_item(at, "issuers", i);
        TRY(read_issuer(&item, arena, &ret->issuers[i]));
    }
    return CW_OK;
}

enum cw_err config_tenants(const struct cw_config *config, struct cw_arena *arena,
                           struct tenant_spec **ret_specs, size_t *ret_n)
{
    struct cw_config_at root = cw_config_root(config);
    size_t n = cw_config_count(&root, "tenants");
    struct tenant_spec *specs = cw_arena_zalloc(arena, (n + 1) * sizeof(*specs));

    ENSURE(specs && n <= TENANTS_MAX, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        struct cw_config_at item = cw_config_item(&root, "tenants", i);
        TRY(read_tenant(&item, arena, &specs[i]));
    }
    *ret_specs = specs;
    *ret_n = n;
    return CW_OK;
}

/* ---- users and groups ---- */

enum cw_err config_uids(const struct cw_config *config, const char *key,
                        struct config_uids *ret_uids)
{
    struct cw_config_at root = cw_config_root(config);
    size_t n = 0;
    const char *const *names = cw_config_list(&root, key, &n);
    uid_t *uids = calloc(n + 1, sizeof(*uids));

    ENSURE(uids, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        enum cw_err err = cw_user_find(names[i], &uids[i]);
        if (err != CW_OK) {
            free(uids);
            return err;
        }
    }
    *ret_uids = (struct config_uids){uids, n};
    return CW_OK;
}

enum cw_err config_group(const struct cw_config *config, gid_t *ret_group)
{
    struct cw_config_at root = cw_config_root(config);
    const char *name = cw_config_string(&root, "sidecar.socket-group");
    const struct group *group = NULL;
    uint64_t number = 0;

    *ret_group = 0;
    if (!name || cw_str_to_u64(cw_str(name), UINT32_MAX - 1, &number) == CW_OK) {
        *ret_group = (gid_t)number;
        return CW_OK;
    }
    group = getgrnam(name);
    ENSURE(group, CW_CONFIG_INVALID);
    *ret_group = group->gr_gid;
    return CW_OK;
}

/* ---- the schema ---- */

static void check_users(const struct cw_config *config, const char *key, struct cw_buf *problems)
{
    struct cw_config_at root = cw_config_root(config);
    struct config_uids uids = {0};

    if (config_uids(config, key, &uids) != CW_OK) {
        cw_config_problem(&root, key, problems, "names a user that this host does not have");
    }
    free(uids.uids);
}

void config_authsvc(const struct cw_config *config, struct config_authsvc *ret_authsvc)
{
    struct cw_config_at root = cw_config_root(config);
    const char *socket = cw_config_string(&root, "sidecar.authsvc.socket");
    const char *address = cw_config_string(&root, "sidecar.authsvc.address");

    memset(ret_authsvc, 0, sizeof(*ret_authsvc));
    ret_authsvc->remote.target = ret_authsvc->target;
    if (address && address[0]) {
        ret_authsvc->set = true;
        snprintf(ret_authsvc->target, sizeof(ret_authsvc->target), "dns:%s", address);
        ret_authsvc->remote.ca_file = cw_config_string(&root, "sidecar.authsvc.ca-file");
        ret_authsvc->remote.certificate_file =
            cw_config_string(&root, "sidecar.authsvc.certificate-file");
        ret_authsvc->remote.key_file = cw_config_string(&root, "sidecar.authsvc.key-file");
    } else if (socket && socket[0]) {
        ret_authsvc->set = true;
        ret_authsvc->path = socket;
    }
}

/* Another host is never asked without knowing that it is the one. */
static void check_authsvc(const struct cw_config *config, struct cw_buf *problems)
{
    static const char *const files[] = {
        "sidecar.authsvc.ca-file", "sidecar.authsvc.certificate-file", "sidecar.authsvc.key-file"};
    struct cw_config_at root = cw_config_root(config);
    const char *socket = cw_config_string(&root, "sidecar.authsvc.socket");
    const char *address = cw_config_string(&root, "sidecar.authsvc.address");

    if (!address || !address[0]) {
        return;
    }
    size_t colon = cw_str_find(cw_str(address), ':');
    if (strlen(address) > CONFIG_ADDRESS_MAX || address[colon] == '\0' || colon == 0) {
        cw_config_problem(&root, "sidecar.authsvc.address", problems, "expected NAME:PORT");
    }
    if (socket && socket[0]) {
        cw_config_problem(&root, "sidecar.authsvc.address", problems,
                          "there is a sidecar.authsvc.socket, too: which one?");
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(files); i++) {
        const char *path = cw_config_string(&root, files[i]);
        if (!path || access(path, R_OK) != 0) {
            cw_config_problem(&root, files[i], problems,
                              "authsvc on another host needs this file, and it cannot be read");
        }
    }
}

/* LINE as tenants_check() writes it: "tenants[1].issuers[0].jwks-uri: text". */
static void report_tenant(const struct cw_config *config, struct cw_str line,
                          struct cw_buf *problems)
{
    struct cw_config_at at = cw_config_root(config);
    char key[CW_CONFIG_KEY_MAX] = "tenants";
    size_t end = cw_str_find(line, ':');
    size_t begin = end;

    while (begin > 0 && line.p[begin - 1] != ']') {
        begin--;
    }
    if (begin > 0 && end - begin > 1 && cw_str_starts(line, CW_STR("tenants["))) {
        snprintf(at.prefix, sizeof(at.prefix), "%.*s.", (int)begin, line.p);
        snprintf(key, sizeof(key), "%.*s", (int)(end - begin - 1), line.p + begin + 1);
        line = cw_str_slice(line, CW_MIN(end + 2, line.n), line.n);
    }
    cw_config_problem(&at, key, problems, "%.*s", CW_STR_ARG(line));
}

/* What one row cannot say. */
static void check(const struct cw_config *config, struct cw_buf *problems)
{
    struct cw_config_at root = cw_config_root(config);
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(CHECK_ARENA);
    struct cw_buf lines CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(TENANTS_PROBLEMS_MAX);
    struct tenant_spec *specs = NULL;
    size_t n = 0;
    gid_t group = 0;

    check_users(config, "sidecar.gateway-uids", problems);
    check_users(config, "sidecar.service-uids", problems);
    check_users(config, "sidecar.authsvc.uids", problems);
    check_authsvc(config, problems);
    registry_check(config, problems);
    if (config_group(config, &group) != CW_OK) {
        cw_config_problem(&root, "sidecar.socket-group", problems,
                          "names a group that this host does not have");
    }
    if (config_tenants(config, &arena, &specs, &n) != CW_OK) {
        cw_config_problem(&root, "tenants", problems, "more than this program can hold");
        return;
    }
    if (tenants_check(specs, n, &lines) != CW_OK) {
        struct cw_str rest = cw_buf_str(&lines);
        struct cw_str line;
        while (cw_str_word(&rest, '\n', &line)) {
            report_tenant(config, line, problems);
        }
    }
}

const struct cw_config_schema *config_schema(void)
{
    static const struct cw_config_alias aliases[] = {
        {"tenants[].allowed_origins", "tenants[].origins"},
        {"tenants[].allowed-origins", "tenants[].origins"},
    };
    static const struct cw_config_schema schema = {
        .program = "cw-sidecar",
        .summary = "Validates access tokens for the gateway and the services of this host.",
        .keys = keys,
        .n_keys = CW_ARRAY_SIZE(keys),
        .aliases = aliases,
        .n_aliases = CW_ARRAY_SIZE(aliases),
        .check = check,
    };

    return &schema;
}
