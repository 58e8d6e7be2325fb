/* A requirement with the claims that its answers carry: defined once per stream, or for one call.
 * Immutable, shared by reference count with the work that is under way. */
#ifndef SIDECAR_HANDLE_RULE_H
#define SIDECAR_HANDLE_RULE_H

#include "proto/clinicwave/token/v1/token.pb-c.h"
#include "sidecar/policy/policy.h"

enum { RULE_LIST_MAX = 64, RULE_NUMBER_MAX = 65535 };

struct rule {
    unsigned refs; /* atomic */
    bool all_claims;
    struct policy_requirement requirement;
    struct cw_str_list claims;
    struct cw_str required_scope; /* scopes that are enough, divided by spaces */
    char *memory;                 /* of all the strings */
};

/* Copies. CW_REQUEST_MALFORMED for empty values and lists above RULE_LIST_MAX; `requirement` may be
 * NULL. One reference to the caller. */
CW_MUST_USE enum cw_err rule_new(const Clinicwave__Token__V1__Requirement *requirement,
                                 char *const *claims, size_t n_claims, struct rule **ret_rule);
struct rule *rule_ref(struct rule *rule);
void rule_unref(struct rule *rule);
/* The one that demands nothing; never freed. */
struct rule *rule_none(void);

#endif
