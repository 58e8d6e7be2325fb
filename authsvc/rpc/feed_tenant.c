/* One tenant as the sidecars get it. */
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "authsvc/rpc/feed_impl.h"
#include "clinicwave/identity/v1/tenant.pb-c.h"

typedef Clinicwave__Identity__V1__Tenant tenant_message;
typedef Clinicwave__Identity__V1__Issuer issuer_message;
typedef Clinicwave__Identity__V1__ClaimMap claim_map;

enum { TENANT_MAX = 2 * TENANT_ARENA_MAX, JWKS_MAX = 256 * 1024 };

static char *text(struct cw_arena *arena, struct cw_str s)
{
    return cw_arena_dup(arena, s);
}

static enum cw_err texts(struct cw_arena *arena, const struct cw_str *list, size_t n,
                         char ***ret_texts)
{
    char **out = cw_arena_zalloc(arena, (n > 0 ? n : 1) * sizeof(char *));
    ENSURE(out != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        out[i] = text(arena, list[i]);
        ENSURE(out[i] != NULL, CW_NO_MEMORY);
    }
    *ret_texts = out;
    return CW_OK;
}

/* A name of one claim as a path (common/jose/claims.h): quotes hold its dots together. */
static char *claim_path(struct cw_arena *arena, struct cw_str name, const char *usual)
{
    char path[1024];
    if (name.n == 0 || name.n + 3 > sizeof(path)) {
        return text(arena, cw_str(usual));
    }
    if (cw_str_find(name, '.') == name.n) {
        return text(arena, name);
    }
    snprintf(path, sizeof(path), "\"%.*s\"", CW_STR_ARG(name));
    return text(arena, cw_str(path));
}

/* Our own issuer: its keys travel here, and its tokens name the tenant. */
static enum cw_err own_issuer(struct keyring *keys, struct cw_arena *arena,
                              const struct tenant *tenant, issuer_message **ret_issuer)
{
    issuer_message *issuer = cw_arena_alloc(arena, sizeof(*issuer));
    claim_map *claims = cw_arena_alloc(arena, sizeof(*claims));
    ENSURE(issuer != NULL && claims != NULL, CW_NO_MEMORY);
    clinicwave__identity__v1__issuer__init(issuer);
    clinicwave__identity__v1__claim_map__init(claims);
    CW_CLEANUP(cw_buf_done) struct cw_buf jwks = CW_BUF_INIT(JWKS_MAX);
    TRY(keyring_jwks(keys, tenant->name, &jwks));
    issuer->issuer = text(arena, tenant->issuer);
    issuer->jwks = (ProtobufCBinaryData){jwks.n, (uint8_t *)text(arena, cw_buf_str(&jwks))};
    struct cw_str algorithms[] = {CW_STR("RS256"), CW_STR("ES256")};
    /* Both: after a change of algorithm the old key's tokens live on until they expire. */
    TRY(texts(arena, algorithms, CW_ARRAY_SIZE(algorithms), &issuer->algorithms));
    issuer->n_algorithms = CW_ARRAY_SIZE(algorithms);
    struct cw_str type = CW_STR("at+jwt");
    TRY(texts(arena, &type, 1, &issuer->types));
    issuer->n_types = 1;
    claims->client_id = text(arena, CW_STR("client_id"));
    claims->session_id = text(arena, CW_STR("sid"));
    claims->scopes = text(arena, CW_STR("scope"));
    claims->roles = claim_path(arena, tenant->roles_claim, "roles");
    claims->permissions = claim_path(arena, tenant->permissions_claim, "permissions");
    claims->tenant = text(arena, CW_STR("tenant"));
    issuer->claims = claims;
    ENSURE(issuer->issuer != NULL && issuer->jwks.data != NULL && claims->tenant != NULL,
           CW_NO_MEMORY);
    *ret_issuer = issuer;
    return CW_OK;
}

/* Another's issuer: the sidecar finds its keys by discovery. Both of Auth0's dialects of access
 * tokens are accepted, as is the rest of the world's. */
static enum cw_err idp_issuer(struct cw_arena *arena, const struct tenant *tenant,
                              issuer_message **ret_issuer)
{
    const struct tenant_idp *idp = tenant->idp;
    issuer_message *issuer = cw_arena_alloc(arena, sizeof(*issuer));
    claim_map *claims = cw_arena_alloc(arena, sizeof(*claims));
    ENSURE(issuer != NULL && claims != NULL, CW_NO_MEMORY);
    clinicwave__identity__v1__issuer__init(issuer);
    clinicwave__identity__v1__claim_map__init(claims);
    issuer->issuer = text(arena, tenant->issuer);
    TRY(texts(arena, idp->algorithms, idp->n_algorithms, &issuer->algorithms));
    issuer->n_algorithms = idp->n_algorithms;
    const struct cw_str types[] = {CW_STR("at+jwt"), CW_STR("jwt")};
    TRY(texts(arena, types, CW_ARRAY_SIZE(types), &issuer->types));
    issuer->n_types = CW_ARRAY_SIZE(types);
    claims->client_id = text(arena, idp->client_claim);
    claims->scopes = text(arena, idp->scopes_claim);
    claims->roles = text(arena, idp->roles_claim);
    claims->permissions = text(arena, idp->permissions_claim);
    issuer->claims = claims;
    ENSURE(issuer->issuer != NULL && claims->client_id != NULL && claims->scopes != NULL &&
               claims->roles != NULL && claims->permissions != NULL,
           CW_NO_MEMORY);
    *ret_issuer = issuer;
    return CW_OK;
}

static enum cw_err tenant_message_of(struct keyring *keys, struct cw_arena *arena,
                                     const struct tenant *tenant, tenant_message **ret_message)
{
    tenant_message *m = cw_arena_alloc(arena, sizeof(*m));
    issuer_message **issuers = cw_arena_alloc(arena, sizeof(issuer_message *));
    ENSURE(m != NULL && issuers != NULL, CW_NO_MEMORY);
    clinicwave__identity__v1__tenant__init(m);
    m->name = text(arena, tenant->name);
    ENSURE(m->name != NULL, CW_NO_MEMORY);
    TRY(texts(arena, tenant->domains, tenant->n_domains, &m->domains));
    m->n_domains = tenant->n_domains;
    TRY(texts(arena, tenant->origins, tenant->n_origins, &m->origins));
    m->n_origins = tenant->n_origins;
    if (tenant->disabled) { /* without issuers: a sidecar that does not know this refuses it, too */
        m->disabled = true;
        *ret_message = m;
        return CW_OK;
    }
    TRY(texts(arena, tenant->audiences, tenant->n_audiences, &m->audiences));
    m->n_audiences = tenant->n_audiences;
    if (tenant->login == TENANT_LOGIN_IDP) {
        TRY(idp_issuer(arena, tenant, &issuers[0]));
    } else {
        TRY(own_issuer(keys, arena, tenant, &issuers[0]));
    }
    m->issuers = issuers;
    m->n_issuers = 1;
    *ret_message = m;
    return CW_OK;
}

enum cw_err feed_blob_new(struct keyring *keys, struct tenant *tenant, struct feed_blob **ret_blob)
{
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(TENANT_MAX);
    tenant_message *message = NULL;
    uint64_t stamp =
        keyring_stamp(keys, tenant->name); /* first: newer keys than it are packed again */
    TRY(tenant_message_of(keys, &arena, tenant, &message));
    size_t n = clinicwave__identity__v1__tenant__get_packed_size(message);
    struct feed_blob *blob = calloc(1, sizeof(*blob));
    char *bytes = malloc(n + 1);
    if (blob == NULL || bytes == NULL) {
        free(blob);
        free(bytes);
        return CW_NO_MEMORY;
    }
    atomic_init(&blob->refs, 1);
    blob->n = clinicwave__identity__v1__tenant__pack(message, (uint8_t *)bytes);
    blob->bytes = bytes;
    blob->tenant = tenant_ref(tenant);
    blob->keys = stamp;
    crypto_hash_sha256(blob->digest, (const uint8_t *)bytes, n);
    *ret_blob = blob;
    return CW_OK;
}

void feed_blob_unref(struct feed_blob *blob)
{
    if (blob != NULL && atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) == 1) {
        tenant_unref(blob->tenant);
        free(blob->bytes);
        free(blob);
    }
}
