/* A tenant is made of its specification: strings copied into one arena, policies compiled, the
 * parts of an answer that are the same for all its tokens packed once. */
#include "sidecar/tenants/tenant.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/domain.h"
#include "common/crypto/sha256.h"
#include "sidecar/tenants/near.h"
#include "sidecar/tenants/tenants_impl.h"

enum {
    TENANT_ARENA = 1024 * 1024,
    TENANT_EXPECT = 128, /* bytes of texts that are usual: name, an audience, an issuer, a domain */
    FIELD_HEAD = 4,      /* bytes before a packed field: its number, and a length below 2^21 */
};

/* ---- fingerprint ---- */

static void print_str(struct cw_buf *buf, struct cw_str s)
{
    cw_buf_addf(buf, "%zu:", s.n);
    cw_buf_add_str(buf, s);
}

static void print_list(struct cw_buf *buf, const struct cw_str_list *list)
{
    cw_buf_addf(buf, "[%zu]", list->n);
    for (size_t i = 0; i < list->n; i++) {
        print_str(buf, list->items[i]);
    }
}

static void print_issuer(struct cw_buf *buf, const struct issuer_spec *spec)
{
    print_str(buf, spec->issuer);
    cw_buf_addf(buf, "{%d%d%d%d %lld %lld}", spec->jwks.n > 0, spec->plain_loopback, spec->required,
                spec->thumbprints, (long long)spec->leeway, (long long)spec->max_lifetime);
    print_str(buf, spec->jwks_uri);
    print_str(buf, spec->jwks_file);
    print_str(buf, spec->ca_file);
    print_list(buf, &spec->algorithms);
    print_list(buf, &spec->types);
    print_list(buf, &spec->parties);
    print_list(buf, &spec->claims_required);
    print_str(buf, spec->client_path);
    print_str(buf, spec->session_path);
    print_str(buf, spec->scopes_path);
    print_str(buf, spec->roles_path);
    print_str(buf, spec->permissions_path);
    print_str(buf, spec->tenant_path);
    print_list(buf, &spec->keep);
}

enum cw_err tenant_fingerprint(const struct tenant_spec *spec, unsigned char ret_fingerprint[32])
{
    /* no longer than the file or the message that it came in */
    struct cw_buf buf CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(SIZE_MAX);

    print_str(&buf, spec->name);
    print_list(&buf, &spec->domains);
    print_list(&buf, &spec->audiences);
    cw_buf_addf(&buf, "%d%d", spec->learned, spec->disabled);
    for (size_t i = 0; i < spec->n_issuers; i++) {
        print_issuer(&buf, &spec->issuers[i]);
    }
    TRY(cw_buf_check(&buf));
    return cw_sha256(cw_buf_str(&buf), ret_fingerprint);
}

/* ---- making ---- */

static enum cw_err copy_str(struct cw_arena *arena, struct cw_str s, struct cw_str *ret)
{
    char *p = cw_arena_dup(arena, s);

    ENSURE(p, CW_NO_MEMORY);
    *ret = (struct cw_str){p, s.n};
    return CW_OK;
}

static enum cw_err copy_list(struct cw_arena *arena, const struct cw_str_list *list,
                             struct cw_str_list *ret)
{
    ret->items = cw_arena_zalloc(arena, (list->n + 1) * sizeof(*ret->items));
    ENSURE(ret->items, CW_NO_MEMORY);
    ret->n = list->n;
    for (size_t i = 0; i < list->n; i++) {
        TRY(copy_str(arena, list->items[i], &ret->items[i]));
    }
    return CW_OK;
}

/* ---- what verdicts read: one block, filled from its beginning ---- */

static size_t near_size(const struct tenant_spec *spec, struct cw_str domain)
{
    size_t n = sizeof(struct tenant) + FIELD_HEAD + spec->name.n + domain.n + 1;

    n += (spec->audiences.n + spec->n_issuers) * sizeof(struct cw_str);
    for (size_t i = 0; i < spec->audiences.n; i++) {
        n += spec->audiences.items[i].n + 1;
    }
    for (size_t i = 0; i < spec->n_issuers; i++) {
        n += FIELD_HEAD + spec->issuers[i].issuer.n;
    }
    return n;
}

static void near_str(char **at, struct cw_str s, struct cw_str *ret)
{
    *ret = (struct cw_str){*at, s.n};
    if (s.n) {
        memcpy(*at, s.p, s.n);
    }
    (*at)[s.n] = '\0';
    *at += s.n + 1;
}

/* One length-delimited field with a number below 16. */
static void near_field(char **at, unsigned field, struct cw_str value, struct cw_str *ret_wire)
{
    unsigned char *p = (unsigned char *)*at;
    size_t n = 0;
    size_t length = value.n;

    p[n++] = (unsigned char)(field << 3 | 2);
    for (; length >= 0x80; length >>= 7) {
        p[n++] = (unsigned char)(length | 0x80);
    }
    p[n++] = (unsigned char)length;
    memcpy(p + n, value.p, value.n);
    *ret_wire = (struct cw_str){(char *)p, n + value.n};
    *at += ret_wire->n;
}

/* DOMAIN: the first, in its normal form. */
static struct tenant *near_make(const struct tenant_spec *spec, struct cw_str domain,
                                struct cw_str *ret_domain)
{
    size_t n = near_size(spec, domain);
    struct tenant *tenant = n <= UINT32_MAX ? near_new(n) : NULL;

    if (!tenant) {
        return NULL;
    }
    struct cw_str *lists = (struct cw_str *)(tenant + 1);
    char *at = (char *)(lists + spec->audiences.n + spec->n_issuers);
    tenant->near = (uint32_t)n;
    tenant->audiences = (struct cw_str_list){lists, spec->audiences.n};
    tenant->issuer_wires = lists + spec->audiences.n;
    near_str(&at, domain, ret_domain);
    near_field(&at, 1, spec->name, &tenant->wire);
    for (size_t i = 0; i < spec->audiences.n; i++) {
        near_str(&at, spec->audiences.items[i], &lists[i]);
    }
    for (size_t i = 0; i < spec->n_issuers; i++) {
        near_field(&at, 3, spec->issuers[i].issuer, &tenant->issuer_wires[i]);
    }
    return tenant;
}

/* ---- the rest ---- */

/* The path's names borrow from the arena's copy of its text. */
static enum cw_err make_path(struct cw_arena *arena, struct cw_str text, struct cw_claim_path *ret)
{
    struct cw_str copy;

    if (text.n == 0) {
        ret->n = 0;
        return CW_OK;
    }
    TRY(copy_str(arena, text, &copy));
    return cw_claim_path_parse(copy, ret);
}

void tenant_keep_split(struct cw_str item, struct cw_str *ret_name, struct cw_str *ret_path)
{
    size_t at = cw_str_find(item, '=');

    *ret_name = cw_str_slice(item, 0, at);
    *ret_path = at < item.n ? cw_str_slice(item, at + 1, item.n) : item;
}

static enum cw_err make_map(struct cw_arena *arena, const struct issuer_spec *spec,
                            struct cw_claim_map *map)
{
    struct cw_claim_kept *kept = cw_arena_zalloc(arena, (spec->keep.n + 1) * sizeof(*kept));

    ENSURE(kept, CW_NO_MEMORY);
    TRY(make_path(arena, spec->client_path, &map->client));
    TRY(make_path(arena, spec->session_path, &map->session));
    TRY(make_path(arena, spec->scopes_path, &map->scopes));
    TRY(make_path(arena, spec->roles_path, &map->roles));
    TRY(make_path(arena, spec->permissions_path, &map->permissions));
    TRY(make_path(arena, spec->tenant_path, &map->tenant));
    for (size_t i = 0; i < spec->keep.n; i++) {
        struct cw_str name;
        struct cw_str path;
        tenant_keep_split(spec->keep.items[i], &name, &path);
        TRY(copy_str(arena, name, &kept[i].name));
        TRY(make_path(arena, path, &kept[i].path));
    }
    map->kept = kept;
    map->kept_count = spec->keep.n;
    return CW_OK;
}

static enum cw_err make_types(struct cw_arena *arena, const struct issuer_spec *spec,
                              struct cw_token_policy *policy)
{
    static struct cw_str access_token[] = {CW_STR_INIT("at+jwt")};
    struct cw_str_list fallback = {access_token, 1};
    struct cw_str_list types;

    TRY(copy_list(arena, spec->types.n ? &spec->types : &fallback, &types));
    for (size_t i = 0; i < types.n; i++) {
        char *type = cw_arena_dup(arena, types.items[i]);
        ENSURE(type, CW_NO_MEMORY);
        for (size_t j = 0; j < types.items[i].n; j++) {
            type[j] = (char)(type[j] >= 'A' && type[j] <= 'Z' ? type[j] | 0x20 : type[j]);
        }
        types.items[i].p = type;
        if (cw_str_starts(types.items[i], CW_STR("application/"))) {
            types.items[i] = cw_str_slice(types.items[i], 12, types.items[i].n);
        }
    }
    policy->types = types.items;
    policy->type_count = types.n;
    return CW_OK;
}

static enum cw_err make_policy(struct cw_arena *arena, const struct issuer_spec *spec,
                               struct issuer *issuer)
{
    struct cw_token_policy *policy = &issuer->policy;
    struct cw_str_list list;

    for (size_t i = 0; i < spec->algorithms.n; i++) {
        policy->algorithms |= cw_alg_bit(cw_alg_find(spec->algorithms.items[i]));
    }
    if (policy->algorithms == 0) {
        policy->algorithms = cw_alg_bit(cw_alg_at(CW_ALG_RS256));
    }
    TRY(make_types(arena, spec, policy));
    policy->thumbprints = spec->thumbprints;
    policy->claims.issuer = issuer->name;
    TRY(copy_list(arena, &spec->parties, &list));
    policy->claims.parties = list.items;
    policy->claims.party_count = list.n;
    TRY(copy_list(arena, &spec->claims_required, &list));
    policy->claims.required = list.items;
    policy->claims.required_count = list.n;
    policy->claims.leeway = spec->leeway;
    policy->claims.max_lifetime = spec->max_lifetime;
    issuer->tenant_claim = spec->tenant_path.n > 0;
    return make_map(arena, spec, &policy->claims.map);
}

static enum cw_err open_keys(struct cw_arena *arena, const struct tenant *tenant,
                             const struct issuer_spec *spec, struct cw_key_store *keys,
                             struct issuer *issuer)
{
    struct cw_str place = spec->jwks_uri.n ? spec->jwks_uri : spec->jwks_file;
    struct cw_key_source_spec source = {
        .tenant = tenant->name.p,
        .issuer = issuer->name.p,
        .kind = spec->jwks.n        ? CW_KEY_INLINE
                : spec->jwks_uri.n  ? CW_KEY_URI
                : spec->jwks_file.n ? CW_KEY_FILE
                                    : CW_KEY_DISCOVERY,
        .location = cw_arena_dup(arena, place),
        .ca_file = cw_arena_dup(arena, spec->ca_file),
        .plain_loopback = spec->plain_loopback,
        .required = spec->required,
    };

    ENSURE(source.location && source.ca_file, CW_NO_MEMORY);
    issuer->keys = cw_key_store_open(keys, &source);
    return issuer->keys ? CW_OK : CW_NO_MEMORY;
}

static enum cw_err tenant_fill(struct tenant *tenant, const struct tenant_spec *spec,
                               struct cw_str domain, struct cw_key_store *keys)
{
    struct cw_arena *arena = &tenant->arena;

    TRY(tenant_fingerprint(spec, tenant->fingerprint));
    TRY(copy_str(arena, spec->name, &tenant->name));
    TRY(copy_list(arena, &spec->domains, &tenant->domains));
    tenant->domains.items[0] = domain;
    for (size_t i = 1; i < spec->domains.n; i++) {
        char name[CW_DOMAIN_MAX + 1];
        TRY(cw_domain_normalize(spec->domains.items[i], name));
        TRY(copy_str(arena, cw_str(name), &tenant->domains.items[i]));
    }
    TRY(copy_list(arena, &spec->origins, &tenant->origins));
    tenant->issuers = cw_arena_zalloc(arena, (spec->n_issuers + 1) * sizeof(*tenant->issuers));
    ENSURE(tenant->issuers, CW_NO_MEMORY);
    for (size_t i = 0; i < spec->n_issuers; i++) {
        struct issuer *issuer = &tenant->issuers[i];
        TRY(copy_str(arena, spec->issuers[i].issuer, &issuer->name));
        TRY(make_policy(arena, &spec->issuers[i], issuer));
        TRY(open_keys(arena, tenant, &spec->issuers[i], keys, issuer));
        tenant->n_issuers++;
    }
    return CW_OK;
}

enum cw_err tenant_new(const struct tenant_spec *spec, uint64_t generation,
                       struct cw_key_store *keys, struct tenant **ret_tenant)
{
    char name[CW_DOMAIN_MAX + 1];
    struct cw_str domain;

    ENSURE(spec->domains.n > 0, CW_CONFIG_INVALID);
    TRY(cw_domain_normalize(spec->domains.items[0], name));
    struct tenant *tenant = near_make(spec, cw_str(name), &domain);
    ENSURE(tenant, CW_NO_MEMORY);
    tenant->refs = 1;
    tenant->generation = generation;
    tenant->learned = spec->learned;
    tenant->disabled = spec->disabled;
    tenant->arena.max = TENANT_ARENA;
    enum cw_err err = tenant_fill(tenant, spec, domain, keys);
    if (err != CW_OK) {
        err = tenant->arena.full ? CW_CONFIG_INVALID : err;
        tenant_unref(tenant);
        return err;
    }
    *ret_tenant = tenant;
    return CW_OK;
}

struct tenant *tenant_ref(struct tenant *tenant)
{
    __atomic_fetch_add(&tenant->refs, 1, __ATOMIC_RELAXED);
    return tenant;
}

void tenant_unref(struct tenant *tenant)
{
    if (!tenant || __atomic_sub_fetch(&tenant->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    for (size_t i = 0; i < tenant->n_issuers; i++) {
        cw_key_source_unref(tenant->issuers[i].keys);
    }
    cw_arena_done(&tenant->arena);
    near_free(tenant, tenant->near);
}

bool tenant_has_origins(const struct tenant *tenant, const struct tenant_spec *spec)
{
    ENSURE(tenant->origins.n == spec->origins.n, false);
    for (size_t i = 0; i < spec->origins.n; i++) {
        ENSURE(cw_str_eq(tenant->origins.items[i], spec->origins.items[i]), false);
    }
    return true;
}

void tenant_expect(const struct tenant *tenant)
{
    cw_expect(&tenant->generation,
              sizeof(*tenant) - offsetof(struct tenant, generation) + TENANT_EXPECT);
}

int tenant_find_issuer(const struct tenant *tenant, struct cw_str issuer)
{
    for (size_t i = 0; i < tenant->n_issuers; i++) {
        if (cw_str_eq(tenant->issuers[i].name, issuer)) {
            return (int)i;
        }
    }
    return -1;
}
