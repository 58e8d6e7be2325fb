/* Declares every key of cw-authsvc once; --help, validation and docs/CONFIG.md come from it. */
#include "authsvc/main/config.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1024 * 1024, MINUTE = 60 * 1000, HOUR = 60 * MINUTE };
#define DAY (24LL * HOUR)

static const struct cw_config_key keys[] = {
    /* key, type, default, min, max, values, flags, help */
    {"authsvc.run-dir", CW_CONFIG_PATH, ".run", 0, 0, NULL, 0, "Directory of the sockets."},
    {"authsvc.state-dir", CW_CONFIG_PATH, ".run/state", 0, 0, NULL, 0,
     "Directory of the embedded database and of the key-encryption key."},
    {"authsvc.log-level", CW_CONFIG_ENUM, "info", 0, 0, "debug|info|warn|error",
     CW_CONFIG_RELOADABLE, "Lowest level that is logged."},
    {"authsvc.rest.address", CW_CONFIG_STRING, "127.0.0.1", 0, 0, NULL, 0,
     "Address of the REST and OpenID endpoints; the gateway is in front of it."},
    {"authsvc.rest.port", CW_CONFIG_INT, "9081", 1, 65535, NULL, 0, "Port of the same."},
    {"authsvc.rest.trusted-proxies", CW_CONFIG_LIST, "127.0.0.1,::1", 0, 64, NULL, 0,
     "Addresses whose X-Forwarded-For and X-Forwarded-Host are believed: the gateway's."},
    {"authsvc.management.address", CW_CONFIG_STRING, "127.0.0.1", 0, 0, NULL, 0,
     "Address of /actuator."},
    {"authsvc.management.port", CW_CONFIG_INT, "9083", 1, 65535, NULL, 0, "Port of /actuator."},
    {"authsvc.gateway-uids", CW_CONFIG_LIST, "33", 0, 64, NULL, 0,
     "Users, beside root and the own one, whose calls may name the client's address."},
    {"authsvc.service-uids", CW_CONFIG_LIST, NULL, 0, 64, NULL, 0,
     "Users allowed on authsvc.sock beside root and the own one; empty: any local user."},
    {"authsvc.socket-group", CW_CONFIG_STRING, NULL, 0, 0, NULL, 0,
     "Group of authsvc.sock (mode 0660): the gateway's; absent: the process's own."},
    {"authsvc.store.url", CW_CONFIG_STRING, NULL, 0, 0, NULL, CW_CONFIG_HIDDEN,
     "Database, sqlite:PATH; default: authsvc.db in the state directory."},
    {"authsvc.keys.kek-file", CW_CONFIG_PATH, NULL, 0, 0, NULL, 0,
     "Key-encryption key, 32 bytes or 64 hex digits; default: authsvc.kek in the state directory, "
     "made at first start."},
    {"authsvc.keys.rsa-bits", CW_CONFIG_INT, "2048", 2048, 8192, NULL, 0,
     "Size of new RSA signing keys."},
    {"authsvc.login.threads", CW_CONFIG_INT, "0", 0, 256, NULL, 0,
     "Passwords that are checked at once; 0: one per core."},
    {"authsvc.login.queue", CW_CONFIG_INT, "128", 1, 100000, NULL, 0,
     "Logins that may wait for it; further ones get login_overloaded."},
    {"authsvc.refresh.threads", CW_CONFIG_INT, "2", 1, 256, NULL, 0,
     "Refreshes that are signed at once."},
    {"authsvc.refresh.queue", CW_CONFIG_INT, "1024", 1, 100000, NULL, 0,
     "Refreshes that may wait for it; further ones get login_overloaded."},
    {"authsvc.password.memory", CW_CONFIG_SIZE, "19MiB", 8 * 1024, 1024 * MIB, NULL, 0,
     "argon2id memory of one hash (OWASP: 19MiB with 2 iterations, 7MiB with 5)."},
    {"authsvc.password.iterations", CW_CONFIG_INT, "2", 1, 64, NULL, 0, "argon2id iterations."},
    {"authsvc.password.memory-bound", CW_CONFIG_SIZE, "128MiB", 8 * 1024, 4096LL * MIB, NULL, 0,
     "Stored hashes that would need more are not tried."},
    {"authsvc.password.iterations-bound", CW_CONFIG_INT, "16", 1, 64, NULL, 0,
     "Stored hashes that would take more iterations are not tried."},
    {"authsvc.throttle.account.burst", CW_CONFIG_INT, "10", 1, 100, NULL, 0,
     "Failed logins of one user name from one address before it has to wait."},
    {"authsvc.throttle.account.per-minute", CW_CONFIG_INT, "1", 1, 100000, NULL, 0,
     "Of those, so many are forgotten a minute."},
    {"authsvc.throttle.address.burst", CW_CONFIG_INT, "100", 1, 1000000, NULL, 0,
     "Failed logins from one address (IPv6: one /64)."},
    {"authsvc.throttle.address.per-minute", CW_CONFIG_INT, "20", 1, 100000, NULL, 0,
     "Of those, so many are forgotten a minute."},
    {"authsvc.throttle.tenant.burst", CW_CONFIG_INT, "5000", 1, 10000000, NULL, 0,
     "Failed logins of one tenant."},
    {"authsvc.throttle.tenant.per-minute", CW_CONFIG_INT, "1000", 1, 100000, NULL, 0,
     "Of those, so many are forgotten a minute."},

    {"tenants[].name", CW_CONFIG_STRING, NULL, 0, 0, NULL,
     CW_CONFIG_REQUIRED | CW_CONFIG_RELOADABLE, "Name of the tenant."},
    {"tenants[].domains", CW_CONFIG_LIST, NULL, 1, 1000, NULL,
     CW_CONFIG_REQUIRED | CW_CONFIG_RELOADABLE, "Domains that choose it."},
    {"tenants[].login", CW_CONFIG_ENUM, "database", 0, 0, "database", CW_CONFIG_RELOADABLE,
     "Where its passwords are checked."},
    {"tenants[].issuer", CW_CONFIG_STRING, NULL, 0, 0, NULL,
     CW_CONFIG_REQUIRED | CW_CONFIG_RELOADABLE, "Issuer of its tokens, an https URL."},
    {"tenants[].audiences", CW_CONFIG_LIST, NULL, 1, 16, NULL,
     CW_CONFIG_REQUIRED | CW_CONFIG_RELOADABLE, "Audiences of its access tokens."},
    {"tenants[].algorithm", CW_CONFIG_ENUM, "RS256", 0, 0, "RS256|ES256", CW_CONFIG_RELOADABLE,
     "Signature of its tokens."},
    {"tenants[].access-token-life", CW_CONFIG_DURATION, "5m", 10 * 1000, HOUR, NULL,
     CW_CONFIG_RELOADABLE, "Life of an access token."},
    {"tenants[].id-token-life", CW_CONFIG_DURATION, "5m", 10 * 1000, DAY, NULL,
     CW_CONFIG_RELOADABLE, "Life of an ID token."},
    {"tenants[].refresh-token-idle", CW_CONFIG_DURATION, "8h", 1000, 400 * DAY, NULL,
     CW_CONFIG_RELOADABLE, "A refresh token that is not used for so long is over."},
    {"tenants[].refresh-token-life", CW_CONFIG_DURATION, "30d", 1000, 400 * DAY, NULL,
     CW_CONFIG_RELOADABLE, "End of a session, however often it is refreshed."},
    {"tenants[].refresh-token-grace", CW_CONFIG_DURATION, "30s", 0, 10 * MINUTE, NULL,
     CW_CONFIG_RELOADABLE, "How long a used refresh token is answered with the same successor."},
    {"tenants[].sessions-max", CW_CONFIG_INT, "200", 1, 10000, NULL, CW_CONFIG_RELOADABLE,
     "Sessions of one user; the oldest end first."},
    {"tenants[].clients[].id", CW_CONFIG_STRING, NULL, 0, 0, NULL,
     CW_CONFIG_REQUIRED | CW_CONFIG_RELOADABLE,
     "Client of the tenant; the first one is the default."},
    {"tenants[].clients[].scopes", CW_CONFIG_LIST, "openid,profile,email,offline_access", 0, 100,
     NULL, CW_CONFIG_RELOADABLE, "Scopes that it may ask for, and gets where it asks for none."},
    {"tenants[].clients[].origins", CW_CONFIG_LIST, NULL, 0, 100, NULL, CW_CONFIG_RELOADABLE,
     "Web origins that may log in with it, beside the issuer's own."},
};

/* --- checks that one row cannot say ----------------------------------------------------- */

/* scheme "://" authority of a URL without query or fragment; empty where it is none. */
static struct cw_str origin_of(struct cw_str url)
{
    static const char *const schemes[] = {"https://", "http://"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(schemes); i++) {
        struct cw_str scheme = cw_str(schemes[i]);
        if (cw_str_starts(url, scheme)) {
            struct cw_str rest = cw_str_slice(url, scheme.n, url.n);
            size_t authority = cw_str_find(rest, '/');
            bool plain = cw_str_find(url, '?') == url.n && cw_str_find(url, '#') == url.n &&
                         cw_str_find(url, '@') == url.n && authority > 0;
            return plain ? cw_str_slice(url, 0, scheme.n + authority) : CW_STR("");
        }
    }
    return CW_STR("");
}

static void check_domains(const struct cw_config_at *tenant, struct cw_buf *problems)
{
    size_t n = 0;
    const char *const *domains = cw_config_list(tenant, "domains", &n);
    for (size_t i = 0; i < n; i++) {
        char name[CW_DOMAIN_MAX + 1];
        if (cw_domain_normalize(cw_str(domains[i]), name) != CW_OK) {
            cw_config_problem(tenant, "domains", problems, "\"%s\" is no domain", domains[i]);
        }
    }
}

static bool printable_word(const char *s)
{
    for (; *s != '\0'; s++) {
        /* RFC 6749 §3.3, scope-token */
        if (*s <= 0x20 || *s > 0x7e || *s == '"' || *s == '\\') {
            return false;
        }
    }
    return true;
}

static void check_clients(const struct cw_config_at *tenant, struct cw_buf *problems)
{
    size_t n = cw_config_count(tenant, "clients");
    if (n == 0) {
        cw_config_problem(tenant, "clients", problems, "a tenant needs at least one client");
    }
    for (size_t i = 0; i < n; i++) {
        struct cw_config_at client = cw_config_item(tenant, "clients", i);
        size_t m = 0;
        const char *const *scopes = cw_config_list(&client, "scopes", &m);
        for (size_t k = 0; k < m; k++) {
            if (scopes[k][0] == '\0' || !printable_word(scopes[k])) {
                cw_config_problem(&client, "scopes", problems, "\"%s\" is no scope", scopes[k]);
            }
        }
        const char *const *origins = cw_config_list(&client, "origins", &m);
        for (size_t k = 0; k < m; k++) {
            if (!cw_str_eq(origin_of(cw_str(origins[k])), cw_str(origins[k]))) {
                cw_config_problem(&client, "origins", problems,
                                  "\"%s\" is no origin: expected https://HOST[:PORT]", origins[k]);
            }
        }
    }
}

static void check_names(const struct cw_config_at *root, size_t i, struct cw_buf *problems)
{
    struct cw_config_at tenant = cw_config_item(root, "tenants", i);
    const char *name = cw_config_string(&tenant, "name");
    const char *issuer = cw_config_string(&tenant, "issuer");
    for (size_t k = 0; name != NULL && issuer != NULL && k < i; k++) {
        struct cw_config_at other = cw_config_item(root, "tenants", k);
        const char *other_name = cw_config_string(&other, "name");
        const char *other_issuer = cw_config_string(&other, "issuer");
        if (other_name != NULL && strcmp(name, other_name) == 0) {
            cw_config_problem(&tenant, "name", problems, "two tenants are called \"%s\"", name);
        }
        if (other_issuer != NULL && strcmp(issuer, other_issuer) == 0) {
            cw_config_problem(&tenant, "issuer", problems,
                              "two tenants have this issuer: a token would count for both");
        }
    }
}

static void check_uids(const struct cw_config_at *root, const char *key, struct cw_buf *problems)
{
    size_t n = 0;
    const char *const *uids = cw_config_list(root, key, &n);
    for (size_t i = 0; i < n; i++) {
        uint64_t uid = 0;
        if (cw_str_to_u64(cw_str(uids[i]), UINT32_MAX - 1, &uid) != CW_OK) {
            cw_config_problem(root, key, problems, "\"%s\" is no user id", uids[i]);
        }
    }
}

static void check(const struct cw_config *config, struct cw_buf *problems)
{
    struct cw_config_at root = cw_config_root(config);
    check_uids(&root, "authsvc.gateway-uids", problems);
    check_uids(&root, "authsvc.service-uids", problems);
    gid_t group = 0;
    if (authsvc_socket_group(config, &group) != CW_OK) {
        cw_config_problem(&root, "authsvc.socket-group", problems, "there is no such group");
    }
    struct password_params params = authsvc_password_params(config);
    struct password_params bound = authsvc_password_bound(config);
    if (bound.memory_kib < params.memory_kib) {
        cw_config_problem(&root, "authsvc.password.memory-bound", problems,
                          "is below authsvc.password.memory");
    }
    if (bound.iterations < params.iterations) {
        cw_config_problem(&root, "authsvc.password.iterations-bound", problems,
                          "is below authsvc.password.iterations");
    }
    for (size_t i = 0; i < cw_config_count(&root, "tenants"); i++) {
        struct cw_config_at tenant = cw_config_item(&root, "tenants", i);
        const char *issuer = cw_config_string(&tenant, "issuer");
        if (issuer != NULL && origin_of(cw_str(issuer)).n == 0) {
            cw_config_problem(&tenant, "issuer", problems,
                              "\"%s\" is no URL: expected https://HOST[:PORT][/PATH]", issuer);
        }
        check_names(&root, i, problems);
        check_domains(&tenant, problems);
        check_clients(&tenant, problems);
    }
    struct tenant_set *set = NULL;
    if (problems->n == 0 && authsvc_tenants(config, &set) == CW_CONFLICT) {
        cw_config_problem(&root, "tenants", problems, "two tenants have the same domain");
    }
    tenant_set_unref(set);
}

const struct cw_config_schema authsvc_schema = {
    .program = "cw-authsvc",
    .summary = "Login and OpenID provider of ClinicWave Gate. `cw-authsvc user --help`: users.",
    .keys = keys,
    .n_keys = CW_ARRAY_SIZE(keys),
    .check = check,
};

/* --- values that follow ----------------------------------------------------------------- */

char *authsvc_path(const struct cw_config *config, const char *dir_key, const char *name)
{
    struct cw_config_at root = cw_config_root(config);
    char *path = NULL;
    return asprintf(&path, "%s/%s", cw_config_string(&root, dir_key), name) >= 0 ? path : NULL;
}

char *authsvc_store_url(const struct cw_config *config)
{
    struct cw_config_at root = cw_config_root(config);
    const char *url = cw_config_string(&root, "authsvc.store.url");
    if (url != NULL) {
        return strdup(url);
    }
    char *made = NULL;
    const char *dir = cw_config_string(&root, "authsvc.state-dir");
    return asprintf(&made, "sqlite:%s/authsvc.db", dir) >= 0 ? made : NULL;
}

char *authsvc_kek_file(const struct cw_config *config)
{
    struct cw_config_at root = cw_config_root(config);
    const char *file = cw_config_string(&root, "authsvc.keys.kek-file");
    return file != NULL ? strdup(file) : authsvc_path(config, "authsvc.state-dir", "authsvc.kek");
}

enum cw_err authsvc_socket_group(const struct cw_config *config, gid_t *ret_group)
{
    struct cw_config_at root = cw_config_root(config);
    const char *name = cw_config_string(&root, "authsvc.socket-group");
    uint64_t number = 0;
    *ret_group = 0;
    if (name == NULL) {
        return CW_OK;
    }
    if (cw_str_to_u64(cw_str(name), UINT32_MAX - 1, &number) == CW_OK) {
        *ret_group = (gid_t)number;
        return CW_OK;
    }
    const struct group *group = getgrnam(name);
    ENSURE(group != NULL, CW_CONFIG_INVALID);
    *ret_group = group->gr_gid;
    return CW_OK;
}

struct password_params authsvc_password_params(const struct cw_config *config)
{
    struct cw_config_at root = cw_config_root(config);
    return (struct password_params){
        .memory_kib = (uint32_t)(cw_config_bytes(&root, "authsvc.password.memory") / 1024),
        .iterations = (uint32_t)cw_config_int(&root, "authsvc.password.iterations"),
    };
}

struct password_params authsvc_password_bound(const struct cw_config *config)
{
    struct cw_config_at root = cw_config_root(config);
    return (struct password_params){
        .memory_kib = (uint32_t)(cw_config_bytes(&root, "authsvc.password.memory-bound") / 1024),
        .iterations = (uint32_t)cw_config_int(&root, "authsvc.password.iterations-bound"),
    };
}

struct login_limits authsvc_limits(const struct cw_config *config)
{
    struct cw_config_at root = cw_config_root(config);
    return (struct login_limits){
        .account = {cw_config_int(&root, "authsvc.throttle.account.burst"),
                    cw_config_int(&root, "authsvc.throttle.account.per-minute")},
        .address = {cw_config_int(&root, "authsvc.throttle.address.burst"),
                    cw_config_int(&root, "authsvc.throttle.address.per-minute")},
        .tenant = {cw_config_int(&root, "authsvc.throttle.tenant.burst"),
                   cw_config_int(&root, "authsvc.throttle.tenant.per-minute")},
    };
}

/* --- tenants ---------------------------------------------------------------------------- */

static enum cw_err copy(struct cw_arena *arena, struct cw_str s, struct cw_str *ret)
{
    char *p = cw_arena_dup(arena, s);
    ENSURE(p != NULL, CW_NO_MEMORY);
    *ret = (struct cw_str){p, s.n};
    return CW_OK;
}

static enum cw_err copy_list(struct cw_arena *arena, const struct cw_config_at *at, const char *key,
                             const struct cw_str **ret_list, size_t *ret_n)
{
    size_t n = 0;
    const char *const *values = cw_config_list(at, key, &n);
    struct cw_str *list = cw_arena_zalloc(arena, (n > 0 ? n : 1) * sizeof(*list));
    ENSURE(list != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        TRY(copy(arena, cw_str(values[i]), &list[i]));
    }
    *ret_list = list;
    *ret_n = n;
    return CW_OK;
}

static enum cw_err read_domains(struct cw_arena *arena, const struct cw_config_at *at,
                                struct tenant *tenant)
{
    size_t n = 0;
    const char *const *values = cw_config_list(at, "domains", &n);
    struct cw_str *list = cw_arena_zalloc(arena, (n > 0 ? n : 1) * sizeof(*list));
    ENSURE(list != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        char name[CW_DOMAIN_MAX + 1];
        ENSURE(cw_domain_normalize(cw_str(values[i]), name) == CW_OK, CW_CONFIG_INVALID);
        TRY(copy(arena, cw_str(name), &list[i]));
    }
    tenant->domains = list;
    tenant->n_domains = n;
    return CW_OK;
}

static enum cw_err read_clients(struct cw_arena *arena, const struct cw_config_at *at,
                                struct tenant *tenant)
{
    size_t n = cw_config_count(at, "clients");
    struct tenant_client *clients = cw_arena_zalloc(arena, (n > 0 ? n : 1) * sizeof(*clients));
    ENSURE(clients != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        struct cw_config_at client = cw_config_item(at, "clients", i);
        TRY(copy(arena, cw_str(cw_config_string(&client, "id")), &clients[i].id));
        TRY(copy_list(arena, &client, "scopes", &clients[i].scopes, &clients[i].n_scopes));
        TRY(copy_list(arena, &client, "origins", &clients[i].origins, &clients[i].n_origins));
    }
    tenant->clients = clients;
    tenant->n_clients = n;
    return CW_OK;
}

static enum cw_err read_tenant(struct cw_arena *arena, const struct cw_config_at *at,
                               struct tenant *tenant)
{
    static const char *const algorithms[] = {"RS256", "ES256"};
    TRY(copy(arena, cw_str(cw_config_string(at, "name")), &tenant->name));
    TRY(copy(arena, cw_str(cw_config_string(at, "issuer")), &tenant->issuer));
    tenant->issuer_origin = origin_of(tenant->issuer);
    TRY(read_domains(arena, at, tenant));
    TRY(copy_list(arena, at, "audiences", &tenant->audiences, &tenant->n_audiences));
    TRY(read_clients(arena, at, tenant));
    tenant->algorithm = algorithms[cw_config_enum(at, "algorithm")];
    tenant->access_life_s = cw_config_ms(at, "access-token-life") / 1000;
    tenant->id_life_s = cw_config_ms(at, "id-token-life") / 1000;
    tenant->refresh_idle_ms = cw_config_ms(at, "refresh-token-idle");
    tenant->refresh_absolute_ms = cw_config_ms(at, "refresh-token-life");
    tenant->refresh_grace_ms = cw_config_ms(at, "refresh-token-grace");
    tenant->sessions_max = cw_config_int(at, "sessions-max");
    return CW_OK;
}

enum cw_err authsvc_tenants(const struct cw_config *config, struct tenant_set **ret_set)
{
    struct tenant_set *set = tenant_set_new();
    ENSURE(set != NULL, CW_NO_MEMORY);
    struct cw_config_at root = cw_config_root(config);
    set->n = cw_config_count(&root, "tenants");
    set->tenants = cw_arena_zalloc(&set->arena, (set->n > 0 ? set->n : 1) * sizeof(*set->tenants));
    enum cw_err err = set->tenants != NULL ? CW_OK : CW_NO_MEMORY;
    for (size_t i = 0; err == CW_OK && i < set->n; i++) {
        struct cw_config_at tenant = cw_config_item(&root, "tenants", i);
        err = read_tenant(&set->arena, &tenant, &set->tenants[i]);
    }
    struct cw_str domain;
    if (err == CW_OK) {
        err = tenant_set_index(set, &domain);
    }
    if (err != CW_OK) {
        tenant_set_unref(set);
        return err;
    }
    *ret_set = set;
    return CW_OK;
}
