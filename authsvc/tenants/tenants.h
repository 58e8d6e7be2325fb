/* The tenants that log in here: an immutable set, shared by reference count, found by domain. */
#ifndef AUTHSVC_TENANTS_TENANTS_H
#define AUTHSVC_TENANTS_TENANTS_H

#include "common/base/arena.h"
#include "common/base/domain.h"

/* A program that users log in with. */
struct tenant_client {
    struct cw_str id;
    const struct cw_str *scopes; /* that it may ask for; all are granted where none is asked for */
    size_t n_scopes;
    const struct cw_str *origins; /* web origins that may call the login API, beside the issuer's */
    size_t n_origins;
};

struct tenant {
    struct cw_str name;
    const struct cw_str *domains; /* normalised */
    size_t n_domains;
    struct cw_str issuer;
    struct cw_str issuer_origin;    /* scheme and authority of the issuer (RFC 6454 §6.2) */
    const struct cw_str *audiences; /* of access tokens */
    size_t n_audiences;
    const char *algorithm; /* RS256 or ES256 */
    int64_t access_life_s;
    int64_t id_life_s;
    int64_t refresh_idle_ms;
    int64_t refresh_absolute_ms;
    int64_t refresh_grace_ms;
    int64_t sessions_max;                /* of one user */
    const struct tenant_client *clients; /* the first one is the default */
    size_t n_clients;
};

/* Under construction it has one owner; afterwards nothing in it changes. */
struct tenant_set {
    _Atomic unsigned refs;
    struct cw_arena arena; /* holds all below */
    struct tenant *tenants;
    size_t n;
    struct tenant_domain *index; /* sorted; made by tenant_set_index */
    size_t n_index;
};

struct tenant_domain {
    struct cw_str domain;
    const struct tenant *tenant;
};

/* Empty; NULL without memory. */
struct tenant_set *tenant_set_new(void);
/* Sorts the domains. CW_CONFLICT with the domain in ret_domain: two tenants have it. */
CW_MUST_USE enum cw_err tenant_set_index(struct tenant_set *set, struct cw_str *ret_domain);
struct tenant_set *tenant_set_ref(struct tenant_set *set);
/* NULL is fine. */
void tenant_set_unref(struct tenant_set *set);

/* The tenant of a Host header or of a domain field; NULL where nobody has it. Borrowed from the
 * set. */
const struct tenant *tenant_set_by_host(const struct tenant_set *set, struct cw_str host);
/* The client with this id, the default one for an empty id, or NULL. */
const struct tenant_client *tenant_client_find(const struct tenant *tenant, struct cw_str id);
/* Whether pages of this origin may use the login API with this client. */
bool tenant_origin_allowed(const struct tenant *tenant, const struct tenant_client *client,
                           struct cw_str origin);

/* What is current: readers take a reference, a reload swaps. Any thread. */
struct tenant_current;
struct tenant_current *tenant_current_new(struct tenant_set *set); /* takes the reference */
void tenant_current_free(struct tenant_current *current);
struct tenant_set *tenant_current_get(struct tenant_current *current);
void tenant_current_swap(struct tenant_current *current, struct tenant_set *set);

#endif
