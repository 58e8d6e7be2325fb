/* One element of `tenants` becomes a tenant; the same for those of the configuration file and those
 * of the database. */
#include "authsvc/main/tenant_config.h"

#include <string.h>

#include "authsvc/main/idp_config.h"
#include "common/base/origin.h"

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

static void check_origins(const struct cw_config_at *tenant, struct cw_buf *problems)
{
    size_t n = 0;
    const char *const *origins = cw_config_list(tenant, "origins", &n);
    for (size_t i = 0; i < n; i++) {
        const char *problem = cw_origin_problem(cw_str(origins[i]));
        if (problem != NULL) {
            cw_config_problem(tenant, "origins", problems, "\"%s\" %s", origins[i], problem);
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

/* A claim of its own name: none of those that the tokens have already (RFC 7519 §4.1, RFC 9068
 * §2.2, OpenID Connect Core §2 and §5.1), and no two alike. */
static void check_claim_names(const struct cw_config_at *tenant, struct cw_buf *problems)
{
    static const char *const keys[] = {"claims.roles", "claims.permissions", "claims.groups"};
    static const char *const taken[] = {"iss",
                                        "sub",
                                        "aud",
                                        "exp",
                                        "nbf",
                                        "iat",
                                        "jti",
                                        "client_id",
                                        "scope",
                                        "tenant",
                                        "sid",
                                        "amr",
                                        "acr",
                                        "azp",
                                        "cnf",
                                        "name",
                                        "auth_time",
                                        "nonce",
                                        "email",
                                        "at_hash",
                                        "token_use",
                                        "email_verified",
                                        "preferred_username"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(keys); i++) {
        const char *name = cw_config_string(tenant, keys[i]);
        bool bad = name != NULL && (name[0] == '\0' || !printable_word(name));
        for (size_t k = 0; name != NULL && k < CW_ARRAY_SIZE(taken); k++) {
            bad = bad || strcmp(name, taken[k]) == 0;
        }
        for (size_t k = 0; name != NULL && k < i; k++) {
            const char *other = cw_config_string(tenant, keys[k]);
            bad = bad || (other != NULL && strcmp(name, other) == 0);
        }
        if (bad) {
            cw_config_problem(tenant, keys[i], problems,
                              "\"%s\" is no claim of its own: empty, taken, or not printable",
                              name);
        }
    }
}

void tenant_config_check(const struct cw_config_at *tenant, struct cw_buf *problems)
{
    const char *issuer = cw_config_string(tenant, "issuer");
    if (issuer != NULL && origin_of(cw_str(issuer)).n == 0) {
        cw_config_problem(tenant, "issuer", problems,
                          "\"%s\" is no URL: expected https://HOST[:PORT][/PATH]", issuer);
    }
    check_domains(tenant, problems);
    check_origins(tenant, problems);
    check_clients(tenant, problems);
    check_claim_names(tenant, problems);
    idp_config_check(tenant, problems);
}

/* --- reading ---------------------------------------------------------------------------- */

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

static enum cw_err fill(const struct cw_config_at *at, struct tenant *tenant)
{
    struct cw_arena *arena = &tenant->arena;
    static const char *const algorithms[] = {"RS256", "ES256"};
    tenant->login = (enum tenant_login)cw_config_enum(at, "login");
    TRY(copy(arena, cw_str(cw_config_string(at, "name")), &tenant->name));
    TRY(copy(arena, cw_str(cw_config_string(at, "issuer")), &tenant->issuer));
    tenant->issuer_origin = origin_of(tenant->issuer);
    TRY(read_domains(arena, at, tenant));
    TRY(copy_list(arena, at, "audiences", &tenant->audiences, &tenant->n_audiences));
    TRY(copy_list(arena, at, "origins", &tenant->origins, &tenant->n_origins));
    TRY(read_clients(arena, at, tenant));
    tenant->algorithm = algorithms[cw_config_enum(at, "algorithm")];
    tenant->access_life_s = cw_config_ms(at, "access-token-life") / 1000;
    tenant->id_life_s = cw_config_ms(at, "id-token-life") / 1000;
    tenant->refresh_idle_ms = cw_config_ms(at, "refresh-token-idle");
    tenant->refresh_absolute_ms = cw_config_ms(at, "refresh-token-life");
    tenant->refresh_grace_ms = cw_config_ms(at, "refresh-token-grace");
    const char *admin_role = cw_config_string(at, "admin-role");
    TRY(copy(arena, cw_str(admin_role != NULL ? admin_role : ""), &tenant->admin_role));
    tenant->sessions_max = cw_config_int(at, "sessions-max");
    tenant->mfa = (enum tenant_mfa)cw_config_enum(at, "mfa"); /* in the order of its values */
    TRY(copy(arena, cw_str(cw_config_string(at, "claims.roles")), &tenant->roles_claim));
    TRY(copy(arena, cw_str(cw_config_string(at, "claims.permissions")),
             &tenant->permissions_claim));
    TRY(copy(arena, cw_str(cw_config_string(at, "claims.groups")), &tenant->groups_claim));
    tenant->password = (struct password_policy){
        .min_length = cw_config_int(at, "password.min-length"),
        .max_length = cw_config_int(at, "password.max-length"),
    };
    if (tenant->login == TENANT_LOGIN_IDP) {
        TRY(idp_config_read(arena, at, &tenant->idp));
        struct tenant_idp *idp = tenant->idp;
        idp->audience = idp->audience.n > 0 ? idp->audience : tenant->audiences[0];
    }
    return CW_OK;
}

enum cw_err tenant_config_read(const struct cw_config_at *at, struct tenant **ret_tenant)
{
    struct tenant *tenant = tenant_new();
    ENSURE(tenant != NULL, CW_NO_MEMORY);
    enum cw_err err = fill(at, tenant);
    if (err != CW_OK) {
        tenant_unref(tenant);
        return err;
    }
    *ret_tenant = tenant;
    return CW_OK;
}
