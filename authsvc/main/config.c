/* Declares every key of cw-authsvc once; --help, validation and docs/CONFIG.md come from it. */
#include "authsvc/main/config.h"

#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authsvc/main/tenant_config.h"
#include "common/base/origin.h"

enum { MIB = 1024 * 1024, MINUTE = 60 * 1000, HOUR = 60 * MINUTE };
#define DAY (24LL * HOUR)

static const struct cw_config_key keys[] = {
    /* key, type, default, min, max, values, flags, help */
    {"authsvc.run-dir", CW_CONFIG_PATH, "/run/clinicwave", 0, 0, NULL, 0,
     "Directory of the sockets."},
    {"authsvc.state-dir", CW_CONFIG_PATH, "/var/lib/clinicwave/authsvc", 0, 0, NULL, 0,
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
     "Users allowed on authsvc.sock beside root, the own one and authsvc.gateway-uids; empty: any "
     "local user."},
    {"authsvc.socket-group", CW_CONFIG_STRING, NULL, 0, 0, NULL, 0,
     "Group of authsvc.sock (mode 0660): the gateway's; absent: the process's own."},
    {"authsvc.store.url", CW_CONFIG_STRING, NULL, 0, 0, NULL, CW_CONFIG_HIDDEN,
     "Database, sqlite:PATH or postgresql://[USER@]HOST[:PORT]/NAME[?sslmode=...]; default: "
     "sqlite, authsvc.db in the state directory."},
    {"authsvc.store.password-file", CW_CONFIG_PATH, NULL, 0, 0, NULL, 0,
     "File with the password of a PostgreSQL database; read at each connection. ~/.pgpass works, "
     "too."},
    {"authsvc.store.connections", CW_CONFIG_INT, "16", 1, 256, NULL, 0,
     "Connections to PostgreSQL at most, and one more that listens for changes of others."},
    {"authsvc.store.connect-timeout", CW_CONFIG_DURATION, "3s", 2000, MINUTE, NULL, 0,
     "So long may connecting to a host of PostgreSQL take."},
    {"authsvc.store.statement-timeout", CW_CONFIG_DURATION, "5s", 100, 10 * MINUTE, NULL, 0,
     "So long may a statement of PostgreSQL take, or the wait for a free connection."},
    {"authsvc.registry.socket", CW_CONFIG_PATH, NULL, 0, 0, NULL, 0,
     "The sidecar's sidecar.sock, at which this service is registered; absent: it is not."},
    {"authsvc.registry.user", CW_CONFIG_STRING, NULL, 0, 0, NULL, 0,
     "User (name or number) beside root and the own one whose socket is believed to be the "
     "sidecar's."},
    {"authsvc.registry.application", CW_CONFIG_STRING, "AUTHSVC", 0, 0, NULL, 0,
     "Name under which it is registered."},
    {"authsvc.registry.address", CW_CONFIG_STRING, NULL, 0, 0, NULL, 0,
     "IP address that is registered; absent: authsvc.rest.address."},
    {"authsvc.registry.shutdown-delay", CW_CONFIG_DURATION, "500ms", 0, 5 * MINUTE, NULL, 0,
     "After SIGTERM it is OUT_OF_SERVICE for so long, and serves, before it stops and leaves."},
    {"authsvc.keys.kek-file", CW_CONFIG_PATH, NULL, 0, 0, NULL, 0,
     "Key-encryption key, 32 bytes or 64 hex digits; default: systemd's credential authsvc.kek, "
     "else authsvc.kek in the state directory, made at first start."},
    {"authsvc.keys.other-kek-files", CW_CONFIG_LIST, NULL, 0, KEK_COUNT_MAX - 1, NULL, 0,
     "Further key-encryption keys: former ones, which open what was sealed under them, until "
     "`cwctl encryption-key reseal` is through; and the next one, where several cw-authsvc share a "
     "database. Default: systemd's credentials whose names begin with authsvc.kek-."},
    {"authsvc.keys.rsa-bits", CW_CONFIG_INT, "2048", 2048, 8192, NULL, 0,
     "Size of new RSA signing keys."},
    {"authsvc.keys.publish-ahead", CW_CONFIG_DURATION, "1h", 1000, 30 * DAY, NULL, 0,
     "A new signing key is published for so long before it signs: longer than verifiers keep a JWK "
     "Set (ours may be cached for 5 minutes, or half of this) and than a sidecar decides without "
     "news (sidecar.authsvc.max-stale)."},
    {"authsvc.keys.rotate-after", CW_CONFIG_DURATION, "90d", 0, 3650 * DAY, NULL, 0,
     "A signing key is replaced when it has signed for so long; 0: only when told "
     "(NIST SP 800-57: up to 1 to 3 years)."},
    {"authsvc.keys.retire-margin", CW_CONFIG_DURATION, "10m", 1000, 7 * DAY, NULL, 0,
     "A replaced key is published until its last token is over and for so long beyond, for clocks "
     "that differ; and no key is deleted within so long of a start or a jump of the clock."},
    {"authsvc.login.threads", CW_CONFIG_INT, "0", 0, 256, NULL, 0,
     "Passwords that are checked at once; 0: one per core."},
    {"authsvc.login.queue", CW_CONFIG_INT, "128", 1, 100000, NULL, 0,
     "Logins that may wait for it; further ones get login_overloaded."},
    {"authsvc.refresh.threads", CW_CONFIG_INT, "0", 0, 256, NULL, 0,
     "Refreshes that are under way at once; 0: eight per core."},
    {"authsvc.refresh.queue", CW_CONFIG_INT, "1024", 1, 100000, NULL, 0,
     "Refreshes that may wait for it; further ones get login_overloaded."},
    {"authsvc.idp.threads", CW_CONFIG_INT, "32", 1, 1024, NULL, 0,
     "Calls to identity providers that are waited for at once, over all tenants."},
    {"authsvc.idp.queue", CW_CONFIG_INT, "512", 1, 100000, NULL, 0,
     "Logins and refreshes that may wait for one of them; further ones get login_overloaded."},
    {"authsvc.password.memory", CW_CONFIG_SIZE, "19MiB", 8 * 1024, 1024 * MIB, NULL, 0,
     "argon2id memory of one hash (OWASP: 19MiB with 2 iterations, 7MiB with 5)."},
    {"authsvc.password.iterations", CW_CONFIG_INT, "2", 1, 64, NULL, 0, "argon2id iterations."},
    {"authsvc.password.memory-bound", CW_CONFIG_SIZE, "128MiB", 8 * 1024, 4096LL * MIB, NULL, 0,
     "Stored hashes that would need more are not tried."},
    {"authsvc.password.iterations-bound", CW_CONFIG_INT, "16", 1, 64, NULL, 0,
     "Stored hashes that would take more iterations are not tried."},
    {"authsvc.password.blocklist", CW_CONFIG_PATH, NULL, 0, 0, NULL, 0,
     "File of further passwords that may not be chosen, one a line, beside the built-in list."},
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
    {"authsvc.throttle.mfa.burst", CW_CONFIG_INT, "10", 1, 100, NULL, 0,
     "Wrong one-time and recovery codes of one user, from anywhere, before it has to wait."},
    {"authsvc.throttle.mfa.per-minute", CW_CONFIG_INT, "1", 1, 100000, NULL, 0,
     "Of those, so many are forgotten a minute."},
    {"authsvc.mfa.failures-max", CW_CONFIG_INT, "100", 5, 100, NULL, 0,
     "One-time codes of a user that may be wrong in a row (NIST SP 800-63B: 100). Then none is "
     "accepted until a recovery code was, or an administrator has reset the second factor."},

    /* The last of the table, and all that a tenant has: they judge the database's tenants, too. */
    {"tenants[].name", CW_CONFIG_STRING, NULL, 0, 0, NULL,
     CW_CONFIG_REQUIRED | CW_CONFIG_RELOADABLE, "Name of the tenant."},
    {"tenants[].domains", CW_CONFIG_LIST, NULL, 1, 1000, NULL,
     CW_CONFIG_REQUIRED | CW_CONFIG_RELOADABLE, "Domains that choose it."},
    {"tenants[].login", CW_CONFIG_ENUM, "database", 0, 0, "database|idp", CW_CONFIG_RELOADABLE,
     "Where its passwords are checked: here, or by its identity provider (docs/AUTH0.md)."},
    {"tenants[].issuer", CW_CONFIG_STRING, NULL, 0, 0, NULL,
     CW_CONFIG_REQUIRED | CW_CONFIG_RELOADABLE,
     "Issuer of its tokens, an https URL; with login idp the identity provider's, byte for byte."},
    {"tenants[].audiences", CW_CONFIG_LIST, NULL, 1, 16, NULL,
     CW_CONFIG_REQUIRED | CW_CONFIG_RELOADABLE, "Audiences of its access tokens."},
    {"tenants[].origins", CW_CONFIG_LIST, NULL, 0, CW_ORIGINS_MAX, NULL, CW_CONFIG_RELOADABLE,
     "Web origins whose pages may call its domains through the gateway (CORS), and log in with "
     "clients that name none of their own: https, or http on loopback, one by one. Also "
     "`allowed_origins`."},
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
    {"tenants[].admin-role", CW_CONFIG_STRING, NULL, 0, 0, NULL, CW_CONFIG_RELOADABLE,
     "Role whose bearers may administer the tenant's users by AdminService; absent: nobody."},
    {"tenants[].password.min-length", CW_CONFIG_INT, "15", 8, 64, NULL, CW_CONFIG_RELOADABLE,
     "Characters of a new password at least (NIST 800-63B: 15; 8 where a second factor is "
     "required)."},
    {"tenants[].password.max-length", CW_CONFIG_INT, "256", 64, 512, NULL, CW_CONFIG_RELOADABLE,
     "Characters of a new password at most."},
    {"tenants[].claims.roles", CW_CONFIG_STRING, "roles", 0, 0, NULL, CW_CONFIG_RELOADABLE,
     "Name of the claim that lists a user's roles, its own and its groups'."},
    {"tenants[].claims.permissions", CW_CONFIG_STRING, "permissions", 0, 0, NULL,
     CW_CONFIG_RELOADABLE, "The same for permissions."},
    {"tenants[].claims.groups", CW_CONFIG_STRING, NULL, 0, 0, NULL, CW_CONFIG_RELOADABLE,
     "The same for the groups; absent: tokens do not list them."},
    {"tenants[].mfa", CW_CONFIG_ENUM, "optional", 0, 0, "optional|off|required",
     CW_CONFIG_RELOADABLE,
     "Second factor (TOTP): asked of users who have enrolled one, of nobody, or of everybody."},
    {"tenants[].clients[].id", CW_CONFIG_STRING, NULL, 0, 0, NULL,
     CW_CONFIG_REQUIRED | CW_CONFIG_RELOADABLE,
     "Client of the tenant; the first one is the default."},
    {"tenants[].clients[].scopes", CW_CONFIG_LIST, "openid,profile,email,offline_access", 0, 100,
     NULL, CW_CONFIG_RELOADABLE, "Scopes that it may ask for, and gets where it asks for none."},
    {"tenants[].clients[].origins", CW_CONFIG_LIST, NULL, 0, 100, NULL, CW_CONFIG_RELOADABLE,
     "Web origins that may log in with it, beside the issuer's own; absent: the tenant's."},

#include "authsvc/main/idp_rows.def"
};

/* --- checks that one row cannot say ----------------------------------------------------- */

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

static void check_store(const struct cw_config_at *root, struct cw_buf *problems)
{
    const char *url = cw_config_string(root, "authsvc.store.url");
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    if (url != NULL && store_check_url(cw_str(url), &message) != CW_OK) {
        cw_config_problem(root, "authsvc.store.url", problems, "%.*s", (int)message.n, message.p);
    }
}

static void check(const struct cw_config *config, struct cw_buf *problems)
{
    struct cw_config_at root = cw_config_root(config);
    check_store(&root, problems);
    check_uids(&root, "authsvc.gateway-uids", problems);
    check_uids(&root, "authsvc.service-uids", problems);
    gid_t group = 0;
    if (authsvc_socket_group(config, &group) != CW_OK) {
        cw_config_problem(&root, "authsvc.socket-group", problems, "there is no such group");
    }
    int64_t rotate_after = cw_config_ms(&root, "authsvc.keys.rotate-after");
    if (rotate_after != 0 && rotate_after < 2 * cw_config_ms(&root, "authsvc.keys.publish-ahead")) {
        cw_config_problem(&root, "authsvc.keys.rotate-after", problems,
                          "is below twice authsvc.keys.publish-ahead");
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
        tenant_config_check(&tenant, problems);
    }
    struct tenant_set *set = NULL;
    if (problems->n == 0 && authsvc_tenants(config, problems, &set) == CW_OK) {
        tenant_set_unref(set);
    }
}

static const struct cw_config_alias aliases[] = {
    {"tenants[].allowed_origins", "tenants[].origins"},
    {"tenants[].allowed-origins", "tenants[].origins"},
};

const struct cw_config_schema authsvc_schema = {
    .program = "cw-authsvc",
    .summary = "Login and OpenID provider of ClinicWave Gate. `cw-authsvc user --help`: users.",
    .keys = keys,
    .n_keys = CW_ARRAY_SIZE(keys),
    .aliases = aliases,
    .n_aliases = CW_ARRAY_SIZE(aliases),
    .check = check,
};

static void check_tenant(const struct cw_config *config, struct cw_buf *problems)
{
    struct cw_config_at root = cw_config_root(config);
    struct cw_config_at tenant = cw_config_item(&root, "tenants", 0);
    tenant_config_check(&tenant, problems);
}

struct cw_config_schema authsvc_tenant_schema(void)
{
    size_t first = 0;
    while (!cw_str_starts(cw_str(keys[first].key), CW_STR("tenants[]."))) {
        first++;
    }
    return (struct cw_config_schema){
        .program = "cw-authsvc",
        .keys = &keys[first],
        .n_keys = CW_ARRAY_SIZE(keys) - first,
        .aliases = aliases,
        .n_aliases = CW_ARRAY_SIZE(aliases),
        .check = check_tenant,
    };
}

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

void authsvc_store_options(const struct cw_config *config, const char *url,
                           struct store_options *ret_options)
{
    struct cw_config_at root = cw_config_root(config);
    *ret_options = (struct store_options){
        .url = cw_str(url),
        .password_file = cw_config_string(&root, "authsvc.store.password-file"),
        .connections = (unsigned)cw_config_int(&root, "authsvc.store.connections"),
        .connect_timeout_ms = cw_config_ms(&root, "authsvc.store.connect-timeout"),
        .statement_timeout_ms = cw_config_ms(&root, "authsvc.store.statement-timeout"),
        .clock = &cw_clock_system,
    };
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

struct keyring_options authsvc_keyring_options(const struct cw_config *config)
{
    struct cw_config_at root = cw_config_root(config);
    return (struct keyring_options){
        .policy = {.publish_ahead_ms = cw_config_ms(&root, "authsvc.keys.publish-ahead"),
                   .rotate_after_ms = cw_config_ms(&root, "authsvc.keys.rotate-after"),
                   .retire_margin_ms = cw_config_ms(&root, "authsvc.keys.retire-margin")},
        .rsa_bits = (unsigned)cw_config_int(&root, "authsvc.keys.rsa-bits"),
    };
}

unsigned authsvc_jwks_max_age(const struct cw_config *config)
{
    enum { USUAL_S = 300 };
    struct cw_config_at root = cw_config_root(config);
    int64_t half_s = cw_config_ms(&root, "authsvc.keys.publish-ahead") / 2000;
    return (unsigned)CW_MIN(half_s, USUAL_S);
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
        .mfa = {cw_config_int(&root, "authsvc.throttle.mfa.burst"),
                cw_config_int(&root, "authsvc.throttle.mfa.per-minute")},
        .mfa_failures = cw_config_int(&root, "authsvc.mfa.failures-max"),
    };
}

/* --- tenants ---------------------------------------------------------------------------- */

/* "tenants" and what the conflict is. */
static void tell_conflict(const struct cw_config_at *root, const struct tenant_conflict *conflict,
                          struct cw_buf *problems)
{
    cw_config_problem(root, "tenants", problems,
                      "two tenants, %.*s and %.*s, have the same %s \"%.*s\"",
                      CW_STR_ARG(conflict->one->name), CW_STR_ARG(conflict->other->name),
                      conflict->what, CW_STR_ARG(conflict->value));
}

enum cw_err authsvc_tenants(const struct cw_config *config, struct cw_buf *problems,
                            struct tenant_set **ret_set)
{
    struct cw_config_at root = cw_config_root(config);
    size_t n = cw_config_count(&root, "tenants");
    struct tenant **list = calloc(n + 1, sizeof(struct tenant *));
    enum cw_err err = list != NULL ? CW_OK : CW_NO_MEMORY;
    size_t made = 0;
    while (err == CW_OK && made < n) {
        struct cw_config_at tenant = cw_config_item(&root, "tenants", made);
        err = tenant_config_read(&tenant, &list[made]);
        if (err == CW_OK) {
            list[made++]->configured = true;
        }
    }
    struct tenant_conflict conflict;
    if (err == CW_OK) {
        err = tenant_set_new(list, n, &conflict, ret_set);
    }
    if (err == CW_CONFLICT) {
        tell_conflict(&root, &conflict, problems);
    }
    for (size_t i = 0; i < made; i++) {
        tenant_unref(list[i]);
    }
    free((void *)list);
    return err;
}
