/* Says of a specification whether it can be a tenant: what somebody wrote, or what authsvc told. */
#include <stdio.h>

#include "common/base/domain.h"
#include "common/base/origin.h"
#include "sidecar/tenants/tenants_impl.h"

/* Bytes of "tenants[99999].issuers[31]", or of "learned tenant "NAME".issuers[31]". */
enum { WHERE_MAX = TENANT_NAME_MAX + 64 };

/* KEY as the configuration has it, below WHERE. */
static void problem(struct cw_buf *problems, const char *where, const char *key, const char *what,
                    struct cw_str value)
{
    cw_buf_addf(problems, "%s.%s: %s", where, key, what);
    if (value.p) {
        cw_buf_addf(problems, " \"%.*s\"", (int)CW_MIN(value.n, 200), value.p);
    }
    cw_buf_add_char(problems, '\n');
}

static bool text_ok(struct cw_str s, size_t max)
{
    ENSURE(s.n > 0 && s.n <= max && cw_str_is_utf8(s), false);
    for (size_t i = 0; i < s.n; i++) {
        ENSURE((unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f, false);
    }
    return true;
}

static bool list_ok(const struct cw_str_list *list, size_t max)
{
    ENSURE(list->n <= TENANT_LIST_MAX, false);
    for (size_t i = 0; i < list->n; i++) {
        ENSURE(text_ok(list->items[i], max), false);
    }
    return true;
}

static void check_paths(const struct issuer_spec *spec, const char *where, struct cw_buf *problems)
{
    const struct {
        const char *key;
        struct cw_str path;
    } paths[] = {
        {"claims.client-id", spec->client_path},        {"claims.session-id", spec->session_path},
        {"claims.scopes", spec->scopes_path},           {"claims.roles", spec->roles_path},
        {"claims.permissions", spec->permissions_path}, {"claims.tenant", spec->tenant_path},
    };
    struct cw_claim_path path;

    for (size_t i = 0; i < CW_ARRAY_SIZE(paths); i++) {
        if (paths[i].path.n && cw_claim_path_parse(paths[i].path, &path) != CW_OK) {
            problem(problems, where, paths[i].key, "no claim path:", paths[i].path);
        }
    }
    for (size_t i = 0; i < spec->keep.n; i++) {
        struct cw_str name;
        struct cw_str at;
        tenant_keep_split(spec->keep.items[i], &name, &at);
        if (name.n == 0 || cw_claim_path_parse(at, &path) != CW_OK) {
            problem(problems, where, "claims.keep", "no claim path:", spec->keep.items[i]);
        }
    }
}

static void check_lists(const struct issuer_spec *spec, const char *where, struct cw_buf *problems)
{
    const struct {
        const char *key;
        const struct cw_str_list *list;
        size_t max;
    } lists[] = {
        {"types", &spec->types, CW_JWS_TYP_MAX},
        {"authorized-parties", &spec->parties, 1024},
        {"required-claims", &spec->claims_required, 256},
        {"claims.keep", &spec->keep, 1024},
    };

    for (size_t i = 0; i < CW_ARRAY_SIZE(lists); i++) {
        if (!list_ok(lists[i].list, lists[i].max)) {
            problem(problems, where, lists[i].key, "too long, or has an empty value, at issuer",
                    spec->issuer);
        }
    }
    for (size_t i = 0; i < spec->algorithms.n; i++) {
        const struct cw_alg *alg = cw_alg_find(spec->algorithms.items[i]);
        /* A published set has no secrets: HS* with it would take the public key for one. */
        if (!alg || !(cw_alg_bit(alg) & CW_ALG_SET_PUBLIC)) {
            problem(problems, where, "algorithms",
                    "no algorithm of public keys:", spec->algorithms.items[i]);
        }
    }
}

static void check_issuer(const struct issuer_spec *spec, const char *where, struct cw_buf *problems)
{
    int places = (spec->jwks.n > 0) + (spec->jwks_uri.n > 0) + (spec->jwks_file.n > 0);

    if (!text_ok(spec->issuer, 1024)) {
        problem(problems, where, "issuer", "an issuer has no name", (struct cw_str){0});
        return;
    }
    if (places > 1) {
        problem(problems, where, "issuer", "more than one source of keys for", spec->issuer);
    }
    if (spec->jwks_uri.n && !cw_key_fetch_url_ok(spec->jwks_uri, spec->plain_loopback)) {
        problem(problems, where, "jwks-uri",
                "must be https (or http on loopback, if that is allowed):", spec->jwks_uri);
    }
    if (places == 0 && !cw_key_fetch_url_ok(spec->issuer, spec->plain_loopback)) {
        problem(problems, where, "issuer",
                "an issuer without jwks-uri or jwks-file must be an https address:", spec->issuer);
    }
    if (spec->leeway < 0 || spec->leeway > CW_CLAIMS_LEEWAY_MAX) {
        problem(problems, where, "leeway", "leeway out of bounds, at issuer", spec->issuer);
    }
    if (spec->max_lifetime < 0) {
        problem(problems, where, "max-lifetime", "max-lifetime out of bounds, at issuer",
                spec->issuer);
    }
    check_lists(spec, where, problems);
    check_paths(spec, where, problems);
}

static void check_issuers(const struct tenant_spec *spec, const char *where,
                          struct cw_buf *problems)
{
    char at[WHERE_MAX];

    if (spec->n_issuers == 0 || spec->n_issuers > TENANT_ISSUERS_MAX) {
        problem(problems, where, "issuers", "a tenant needs issuers:", spec->name);
    }
    for (size_t i = 0; i < spec->n_issuers; i++) {
        snprintf(at, sizeof(at), "%s.issuers[%zu]", where, i);
        check_issuer(&spec->issuers[i], at, problems);
        for (size_t j = 0; j < i; j++) {
            if (cw_str_eq(spec->issuers[i].issuer, spec->issuers[j].issuer)) {
                problem(problems, at, "issuer", "issuer named twice:", spec->issuers[i].issuer);
            }
        }
    }
}

static void check_origins(const struct tenant_spec *spec, const char *where,
                          struct cw_buf *problems)
{
    if (spec->origins.n > CW_ORIGINS_MAX) {
        problem(problems, where, "origins", "too many origins:", spec->name);
    }
    for (size_t i = 0; i < spec->origins.n; i++) {
        struct cw_str origin = spec->origins.items[i];
        const char *why = cw_origin_problem(origin);
        if (why) {
            cw_buf_addf(problems, "%s.origins: origin \"%.*s\" %s\n", where,
                        (int)CW_MIN(origin.n, CW_ORIGIN_MAX), origin.p, why);
        }
    }
}

bool tenant_spec_check(const struct tenant_spec *spec, const char *where, struct cw_buf *problems)
{
    size_t before = problems->n;
    char name[CW_DOMAIN_MAX + 1];

    if (!text_ok(spec->name, TENANT_NAME_MAX)) {
        problem(problems, where, "name", "no name of a tenant:", spec->name);
    }
    if (spec->domains.n == 0 || spec->domains.n > TENANT_DOMAINS_MAX) {
        problem(problems, where, "domains", "a tenant needs domains:", spec->name);
    }
    for (size_t i = 0; i < spec->domains.n; i++) {
        if (cw_domain_normalize(spec->domains.items[i], name) != CW_OK) {
            problem(problems, where, "domains", "no domain:", spec->domains.items[i]);
        }
    }
    check_origins(spec, where, problems);
    if (spec->disabled) {
        return problems->n == before && !problems->failed;
    }
    if (spec->audiences.n == 0 || !list_ok(&spec->audiences, 1024)) {
        problem(problems, where, "audiences", "a tenant needs audiences:", spec->name);
    }
    check_issuers(spec, where, problems);
    return problems->n == before && !problems->failed;
}
