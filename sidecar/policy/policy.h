/* What a caller demands of a token beyond being valid, and whether an identity meets it. Pure: no
 * network, no clock, no RPC; judged on every hit of the cache, too. */
#ifndef SIDECAR_POLICY_POLICY_H
#define SIDECAR_POLICY_POLICY_H

#include "common/jose/claims.h"

/* Empty lists demand nothing; borrowed. */
struct policy_requirement {
    struct cw_str_list audiences; /* at least one; empty: one of the tenant's */
    struct cw_str_list scopes_all;
    struct cw_str_list scopes_any;
    struct cw_str_list roles_any;
    struct cw_str_list roles_all;
};

/* An identity as the cache keeps it; borrowed. */
struct policy_identity {
    uint64_t generation;    /* of the tenant's configuration that it was verified under */
    struct cw_str standard; /* packed fields of clinicwave.token.v1.Identity, from client_id on */
    struct cw_str audience; /* length (2 bytes, little endian) and bytes; repeated */
};

struct policy_tenant {
    uint64_t generation;
    struct cw_str_list audiences;
};

/* CW_OK; CW_TENANT_MISMATCH, CW_AUDIENCE_MISMATCH (401); CW_SCOPE_INSUFFICIENT,
 * CW_ROLE_INSUFFICIENT (403). The first that fails, in this order. Any thread. */
CW_MUST_USE enum cw_err policy_judge(const struct policy_identity *identity,
                                     const struct policy_requirement *requirement,
                                     const struct policy_tenant *tenant);

/* The identity's values, one by one: start with `rest` as the run of bytes. */
bool policy_next_audience(struct cw_str *rest, struct cw_str *ret_value);
enum policy_field { POLICY_SCOPES = 6, POLICY_ROLES = 7 }; /* field numbers of Identity */
bool policy_next(struct cw_str *rest, enum policy_field field, struct cw_str *ret_value);

#endif
