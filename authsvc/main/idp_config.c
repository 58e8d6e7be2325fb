/* Reads and checks `tenants[].idp`. */
#include "authsvc/main/idp_config.h"

#include <string.h>

#include "common/jose/alg.h"
#include "common/jose/claims.h"

static const char *const claim_keys[] = {"idp.claims.client-id", "idp.claims.scopes",
                                         "idp.claims.roles", "idp.claims.permissions"};

static bool url_ok(const char *url, bool plain_loopback)
{
    struct cw_str s = cw_str(url);
    if (cw_str_starts(s, CW_STR("https://"))) {
        return s.n > CW_STR("https://").n;
    }
    return plain_loopback && cw_str_starts(s, CW_STR("http://"));
}

static void check_url(const struct cw_config_at *tenant, const char *key, struct cw_buf *problems)
{
    const char *url = cw_config_string(tenant, key);
    if (url != NULL && !url_ok(url, cw_config_bool(tenant, "idp.insecure-http-loopback"))) {
        cw_config_problem(tenant, key, problems,
                          "\"%s\" is not https, which an identity provider must be", url);
    }
}

static void check_client(const struct cw_config_at *tenant, struct cw_buf *problems)
{
    const char *client = cw_config_string(tenant, "idp.client-id");
    if (client == NULL || client[0] == '\0') {
        cw_config_problem(tenant, "idp.client-id", problems, "is needed where login is idp");
    }
    switch ((enum tenant_idp_auth)cw_config_enum(tenant, "idp.client-auth")) {
    case TENANT_IDP_SECRET_POST:
    case TENANT_IDP_SECRET_BASIC:
        if (!cw_config_has(tenant, "idp.client-secret-file")) {
            cw_config_problem(tenant, "idp.client-secret-file", problems,
                              "is needed for this client-auth");
        }
        break;
    case TENANT_IDP_PRIVATE_KEY_JWT:
        if (!cw_config_has(tenant, "idp.private-key-file")) {
            cw_config_problem(tenant, "idp.private-key-file", problems,
                              "is needed for private_key_jwt");
        }
        break;
    case TENANT_IDP_PUBLIC:
        break;
    }
}

static void check_scope(const struct cw_config_at *tenant, struct cw_buf *problems)
{
    struct cw_str scope = cw_str(cw_config_string(tenant, "idp.scope"));
    struct cw_str word;
    while (cw_str_word(&scope, ' ', &word)) {
        if (cw_str_is(word, "openid")) {
            return;
        }
    }
    cw_config_problem(tenant, "idp.scope", problems,
                      "lacks openid: without an ID token nobody can be believed to be anybody");
}

static void check_algorithms(const struct cw_config_at *tenant, struct cw_buf *problems)
{
    size_t n = 0;
    const char *const *names = cw_config_list(tenant, "idp.algorithms", &n);
    for (size_t i = 0; i < n; i++) {
        if (cw_alg_find(cw_str(names[i])) == NULL || names[i][0] == 'H') {
            cw_config_problem(tenant, "idp.algorithms", problems,
                              "\"%s\" is no asymmetric algorithm that can be verified", names[i]);
        }
    }
}

void idp_config_check(const struct cw_config_at *tenant, struct cw_buf *problems)
{
    if (cw_config_enum(tenant, "login") != TENANT_LOGIN_IDP) {
        return;
    }
    check_url(tenant, "issuer", problems);
    check_url(tenant, "idp.discovery-uri", problems);
    check_client(tenant, problems);
    check_scope(tenant, problems);
    check_algorithms(tenant, problems);
    for (size_t i = 0; i < CW_ARRAY_SIZE(claim_keys); i++) {
        const char *text = cw_config_string(tenant, claim_keys[i]);
        struct cw_claim_path path;
        if (text != NULL && cw_claim_path_parse(cw_str(text), &path) != CW_OK) {
            cw_config_problem(tenant, claim_keys[i], problems, "\"%s\" is no path of a claim",
                              text);
        }
    }
}

/* An absent value is an empty string. */
static enum cw_err text(struct cw_arena *arena, const struct cw_config_at *at, const char *key,
                        struct cw_str *ret)
{
    const char *value = cw_config_string(at, key);
    struct cw_str s = value != NULL ? cw_str(value) : CW_STR("");
    char *copy = cw_arena_dup(arena, s);
    ENSURE(copy != NULL, CW_NO_MEMORY);
    *ret = (struct cw_str){copy, s.n};
    return CW_OK;
}

static enum cw_err texts(struct cw_arena *arena, const struct cw_config_at *at,
                         struct tenant_idp *idp)
{
    const struct {
        const char *key;
        struct cw_str *value;
    } rows[] = {
        {"idp.discovery-uri", &idp->discovery_uri},
        {"idp.client-id", &idp->client_id},
        {"idp.private-key-id", &idp->key_id},
        {"idp.audience", &idp->audience},
        {"idp.connection", &idp->connection},
        {"idp.scope", &idp->scope},
        {"idp.ca-file", &idp->ca_file},
        {claim_keys[0], &idp->client_claim},
        {claim_keys[1], &idp->scopes_claim},
        {claim_keys[2], &idp->roles_claim},
        {claim_keys[3], &idp->permissions_claim},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        TRY(text(arena, at, rows[i].key, rows[i].value));
    }
    return CW_OK;
}

static enum cw_err algorithms(struct cw_arena *arena, const struct cw_config_at *at,
                              struct tenant_idp *idp)
{
    size_t n = 0;
    const char *const *names = cw_config_list(at, "idp.algorithms", &n);
    struct cw_str *list = cw_arena_zalloc(arena, CW_MAX(n, 1) * sizeof(*list));
    ENSURE(list != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        char *copy = cw_arena_dup(arena, cw_str(names[i]));
        ENSURE(copy != NULL, CW_NO_MEMORY);
        list[i] = cw_str(copy);
    }
    idp->algorithms = list;
    idp->n_algorithms = n;
    return CW_OK;
}

static void numbers(const struct cw_config_at *at, struct tenant_idp *idp)
{
    idp->plain_loopback = cw_config_bool(at, "idp.insecure-http-loopback");
    idp->forwarded_for = cw_config_bool(at, "idp.forwarded-for");
    idp->connect_ms = cw_config_ms(at, "idp.connect-timeout");
    idp->total_ms = cw_config_ms(at, "idp.timeout");
    idp->refresh_ms = cw_config_ms(at, "idp.refresh");
    idp->concurrency = cw_config_int(at, "idp.concurrency");
    idp->rate_per_second = cw_config_int(at, "idp.rate.per-second");
    idp->rate_burst = cw_config_int(at, "idp.rate.burst");
    idp->breaker_failures = cw_config_int(at, "idp.breaker.failures");
    idp->breaker_open_ms = cw_config_ms(at, "idp.breaker.open");
}

static enum cw_err secret(const struct cw_config_at *at, struct tenant_idp *idp)
{
    static const char *const files[] = {
        [TENANT_IDP_SECRET_POST] = "idp.client-secret-file",
        [TENANT_IDP_SECRET_BASIC] = "idp.client-secret-file",
        [TENANT_IDP_PRIVATE_KEY_JWT] = "idp.private-key-file",
        [TENANT_IDP_PUBLIC] = NULL,
    };
    const char *file = files[idp->auth];
    enum cw_err err = file != NULL ? cw_config_secret(at, file, &idp->secret) : CW_OK;
    return err == CW_OK || err == CW_NO_MEMORY ? err : CW_CONFIG_INVALID;
}

enum cw_err idp_config_read(struct cw_arena *arena, const struct cw_config_at *at,
                            struct tenant_idp **ret_idp)
{
    static const char *const key_algorithms[] = {"RS256", "ES256"};
    struct tenant_idp *idp = cw_arena_zalloc(arena, sizeof(*idp));
    ENSURE(idp != NULL, CW_NO_MEMORY);
    idp->auth = (enum tenant_idp_auth)cw_config_enum(at, "idp.client-auth");
    idp->key_algorithm = key_algorithms[cw_config_enum(at, "idp.private-key-algorithm")];
    numbers(at, idp);
    TRY(texts(arena, at, idp));
    TRY(algorithms(arena, at, idp));
    TRY(secret(at, idp));
    *ret_idp = idp;
    return CW_OK;
}
