/* What only a list of tenants can have wrong: a name or a domain that two of them claim. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/domain.h"
#include "sidecar/tenants/tenants.h"

enum { CLAIMS_MEMORY = 256 * 1024 * 1024 };

struct claim {
    struct cw_str what; /* NULL: a free place */
    size_t tenant;      /* the first that claims it */
};

/* Who claims what, found at once: there are tens of thousands. */
struct claims {
    struct claim *places; /* open addressing */
    size_t mask;
    struct cw_arena arena;
};

static enum cw_err claims_init(struct claims *claims, size_t n)
{
    size_t places = 16;

    while (places < 2 * n) {
        places *= 2;
    }
    *claims = (struct claims){.places = calloc(places, sizeof(*claims->places)),
                              .mask = places - 1,
                              .arena = CW_ARENA_INIT(CLAIMS_MEMORY)};
    return claims->places ? CW_OK : CW_NO_MEMORY;
}

static void claims_done(struct claims *claims)
{
    free(claims->places);
    cw_arena_done(&claims->arena);
}

static size_t hash(struct cw_str s)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; i < s.n; i++) {
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    }
    return (size_t)(h ^ (h >> 32));
}

/* ret_first: who had it before, or the claimant. */
static enum cw_err claim(struct claims *claims, struct cw_str what, size_t tenant,
                         size_t *ret_first)
{
    size_t at = hash(what) & claims->mask;

    while (claims->places[at].what.p && !cw_str_eq(claims->places[at].what, what)) {
        at = (at + 1) & claims->mask;
    }
    struct claim *place = &claims->places[at];
    if (!place->what.p) {
        const char *copy = cw_arena_dup(&claims->arena, what);
        ENSURE(copy, CW_NO_MEMORY);
        *place = (struct claim){{copy, what.n}, tenant};
    }
    *ret_first = place->tenant;
    return CW_OK;
}

static enum cw_err check_one(const struct tenant_spec *spec, size_t i, struct claims *names,
                             struct claims *domains, struct cw_buf *problems)
{
    char where[32];
    char name[CW_DOMAIN_MAX + 1];
    size_t first = i;

    snprintf(where, sizeof(where), "tenants[%zu]", i);
    (void)tenant_spec_check(spec, where, problems);
    TRY(claim(names, spec->name, i, &first));
    if (first != i) {
        cw_buf_addf(problems, "%s.name: name of tenants[%zu]: \"%.*s\"\n", where, first,
                    CW_STR_ARG(spec->name));
    }
    for (size_t j = 0; j < spec->domains.n; j++) {
        first = i;
        if (cw_domain_normalize(spec->domains.items[j], name) == CW_OK) {
            TRY(claim(domains, cw_str(name), i, &first));
        }
        if (first != i) {
            cw_buf_addf(problems, "%s.domains: domain of another tenant: \"%.*s\"\n", where,
                        CW_STR_ARG(spec->domains.items[j]));
        }
    }
    return CW_OK;
}

static enum cw_err check_all(const struct tenant_spec *specs, size_t n, struct claims *names,
                             struct claims *domains, struct cw_buf *problems)
{
    size_t n_domains = 0;

    for (size_t i = 0; i < n; i++) {
        n_domains += specs[i].domains.n;
    }
    TRY(claims_init(names, n));
    TRY(claims_init(domains, n_domains));
    for (size_t i = 0; i < n; i++) {
        TRY(check_one(&specs[i], i, names, domains, problems));
    }
    return CW_OK;
}

enum cw_err tenants_check(const struct tenant_spec *specs, size_t n, struct cw_buf *problems)
{
    size_t before = problems->n;
    struct claims names = {0};
    struct claims domains = {0};
    enum cw_err err = check_all(specs, n, &names, &domains, problems);

    claims_done(&names);
    claims_done(&domains);
    TRY(err);
    return problems->n == before && !problems->failed ? CW_OK : CW_CONFIG_INVALID;
}
