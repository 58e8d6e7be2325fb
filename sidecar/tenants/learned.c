/* What authsvc says of a tenant becomes the same specification that the configuration writes. */
#include "sidecar/tenants/learned.h"

#include "common/base/origin.h"

static enum cw_err list(char *const *items, size_t n, struct cw_arena *arena,
                        struct cw_str_list *ret)
{
    ret->items = cw_arena_zalloc(arena, (n + 1) * sizeof(*ret->items));
    ENSURE(ret->items, CW_NO_MEMORY);
    ret->n = n;
    for (size_t i = 0; i < n; i++) {
        ret->items[i] = cw_str(items[i]);
    }
    return CW_OK;
}

static enum cw_err issuer(const Clinicwave__Identity__V1__Issuer *message, struct cw_arena *arena,
                          struct issuer_spec *ret)
{
    const Clinicwave__Identity__V1__ClaimMap *map = message->claims;

    *ret = (struct issuer_spec){
        .issuer = cw_str(message->issuer),
        .jwks = {(const char *)message->jwks.data, message->jwks.len},
        .jwks_uri = cw_str(message->jwks_uri),
    };
    TRY(list(message->algorithms, message->n_algorithms, arena, &ret->algorithms));
    TRY(list(message->types, message->n_types, arena, &ret->types));
    if (map) {
        ret->client_path = cw_str(map->client_id);
        ret->session_path = cw_str(map->session_id);
        ret->scopes_path = cw_str(map->scopes);
        ret->roles_path = cw_str(map->roles);
        ret->permissions_path = cw_str(map->permissions);
        ret->tenant_path = cw_str(map->tenant);
        TRY(list(map->keep, map->n_keep, arena, &ret->keep));
    }
    return CW_OK;
}

static void drop_origins(struct tenant_spec *spec, struct cw_buf *problems)
{
    struct cw_str_list *list = &spec->origins;
    size_t kept = 0;

    for (size_t i = 0; i < list->n; i++) {
        const char *why = cw_origin_problem(list->items[i]);
        if (!why && kept == CW_ORIGINS_MAX) {
            why = "is one too many";
        }
        if (why) {
            cw_buf_addf(problems, "learned tenant \"%.*s\": origin \"%.*s\" %s\n",
                        CW_STR_ARG(spec->name), (int)CW_MIN(list->items[i].n, CW_ORIGIN_MAX),
                        list->items[i].p, why);
        } else {
            list->items[kept++] = list->items[i];
        }
    }
    list->n = kept;
}

enum cw_err learned_spec(const Clinicwave__Identity__V1__Tenant *message, struct cw_arena *arena,
                         struct cw_buf *problems, struct tenant_spec *ret_spec)
{
    *ret_spec = (struct tenant_spec){
        .name = cw_str(message->name), .learned = true, .disabled = message->disabled};
    TRY(list(message->domains, message->n_domains, arena, &ret_spec->domains));
    TRY(list(message->audiences, message->n_audiences, arena, &ret_spec->audiences));
    TRY(list(message->origins, message->n_origins, arena, &ret_spec->origins));
    drop_origins(ret_spec, problems);
    ret_spec->issuers =
        cw_arena_zalloc(arena, (message->n_issuers + 1) * sizeof(struct issuer_spec));
    ENSURE(ret_spec->issuers, CW_NO_MEMORY);
    for (size_t i = 0; i < message->n_issuers; i++) {
        TRY(issuer(message->issuers[i], arena, &ret_spec->issuers[i]));
    }
    ret_spec->n_issuers = message->n_issuers;
    return CW_OK;
}
