/* A tenant with its issuers: who may sign for which domains. Immutable and shared by reference
 * count; another configuration is another object with another generation. */
#ifndef SIDECAR_TENANTS_TENANT_H
#define SIDECAR_TENANTS_TENANT_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/jose/token.h"
#include "common/keys/key_store.h"

enum {
    TENANT_ISSUERS_MAX = 16,
    TENANT_DOMAINS_MAX = 256,
    TENANT_LIST_MAX = 64, /* audiences, types, parties … */
    TENANT_NAME_MAX = 64,
};

struct tenant_kept_spec {
    struct cw_str name;
    struct cw_str path;
};

/* As somebody wrote it; all borrowed. */
struct issuer_spec {
    struct cw_str issuer;
    struct cw_str jwks; /* inline */
    struct cw_str jwks_uri;
    struct cw_str jwks_file;
    struct cw_str ca_file; /* PEM for discovery and jwks_uri; empty: the system's */
    bool plain_loopback;
    bool required;
    bool thumbprints;              /* x5t in its headers is ignored, not refused */
    struct cw_str_list algorithms; /* empty: RS256 */
    struct cw_str_list types;      /* empty: at+jwt */
    struct cw_str_list parties;
    struct cw_str_list claims_required;
    int64_t leeway;       /* seconds */
    int64_t max_lifetime; /* seconds, 0: no bound */
    struct cw_str client_path, session_path, scopes_path, roles_path, permissions_path, tenant_path;
    struct cw_str_list keep; /* `name` or `name=path` */
};

struct tenant_spec {
    struct cw_str name;
    struct cw_str_list domains;
    struct cw_str_list audiences;
    struct cw_str_list origins; /* of web pages that may call its domains (common/base/origin.h) */
    struct issuer_spec *issuers;
    size_t n_issuers;
    bool learned;  /* from authsvc, not from configuration */
    bool disabled; /* its tokens are refused; needs neither audiences nor issuers */
};

struct issuer {
    struct cw_str name;            /* byte for byte */
    struct cw_token_policy policy; /* audiences are none: they are judged per request */
    bool tenant_claim;             /* the claim map names one, which must equal the tenant's name */
    struct cw_key_source *keys;
};

/* What a verdict reads begins with `generation` on a cache line of its own; the texts that it needs
 * follow the struct in the same block (near.h). All else is in the arena. */
struct tenant {
    unsigned refs; /* atomic */
    bool learned;
    bool disabled;
    struct cw_str name;
    struct cw_str_list domains;
    struct cw_str_list origins;
    unsigned char fingerprint[32]; /* of the specification without inline keys and origins */
    struct cw_arena arena;
    _Alignas(64) uint64_t generation;
    struct cw_str wire; /* packed as Identity.tenant (field 1) */
    struct cw_str_list audiences;
    struct cw_str
        *issuer_wires; /* packed as Identity.issuer (field 3), in the order of `issuers` */
    struct issuer *issuers;
    uint32_t n_issuers;
    uint32_t near; /* bytes of the block */
};

/* Says whether the specification can be a tenant; one line per problem is appended, each beginning
 * with the key's place below `where`: "tenants[1].issuers[0].jwks-uri: must be …". */
bool tenant_spec_check(const struct tenant_spec *spec, const char *where, struct cw_buf *problems);

/* SHA-256 over all that makes two specifications judge differently: inline keys and origins are
 * left out, so that no cached token is lost for them. */
CW_MUST_USE enum cw_err tenant_fingerprint(const struct tenant_spec *spec,
                                           unsigned char ret_fingerprint[32]);

/* Copies the specification, which passed the check; opens its key sources. Inline sets are the
 * caller's to publish. One reference to the caller. CW_CONFIG_INVALID: it is too large, though none
 * of its values is. */
CW_MUST_USE enum cw_err tenant_new(const struct tenant_spec *spec, uint64_t generation,
                                   struct cw_key_store *keys, struct tenant **ret_tenant);
struct tenant *tenant_ref(struct tenant *tenant);
/* NULL is fine. */
void tenant_unref(struct tenant *tenant);

/* The origins that a specification names are the tenant's. */
bool tenant_has_origins(const struct tenant *tenant, const struct tenant_spec *spec);

/* Asks for the memory that a verdict reads of a tenant. Reads nothing of it itself. Any thread. */
void tenant_expect(const struct tenant *tenant);

/* Compared byte by byte (RFC 8725 §3.8); -1 where it has none of this name. Any thread. */
int tenant_find_issuer(const struct tenant *tenant, struct cw_str issuer);

#endif
