/* The tenants that log in here: immutable objects in an immutable set, both shared by reference
 * count; found by domain or by name. A change makes another object and another set. */
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

enum { TENANT_ARENA_MAX = 1024 * 1024 }; /* bytes of one tenant */

/* Under construction it has one owner; afterwards nothing in it changes. */
struct tenant {
    _Atomic unsigned refs;
    struct cw_arena arena; /* holds what the members below point to */
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

/* Empty, with one reference; NULL without memory. */
struct tenant *tenant_new(void);
struct tenant *tenant_ref(struct tenant *tenant);
/* NULL is fine. */
void tenant_unref(struct tenant *tenant);

struct tenant_domain {
    struct cw_str domain;
    const struct tenant *tenant;
};

struct tenant_set {
    _Atomic unsigned refs;
    struct tenant **tenants; /* references, sorted by name */
    size_t n;
    struct tenant_domain *index; /* sorted by domain */
    size_t n_index;
};

/* Two tenants that want the same. Borrowed from the tenants. */
struct tenant_conflict {
    const char *what; /* "name", "domain", "issuer" */
    struct cw_str value;
    const struct tenant *one;
    const struct tenant *other;
};

/* Takes a reference to each tenant; one reference to the caller. CW_CONFLICT: names, domains and
 * issuers belong to one tenant each (with a shared issuer a token would count for both). */
CW_MUST_USE enum cw_err tenant_set_new(struct tenant *const *tenants, size_t n,
                                       struct tenant_conflict *ret_conflict,
                                       struct tenant_set **ret_set);
struct tenant_set *tenant_set_ref(struct tenant_set *set);
/* NULL is fine. */
void tenant_set_unref(struct tenant_set *set);

/* The tenant of a Host header or of a domain field; NULL where nobody has it. Borrowed from the
 * set. */
const struct tenant *tenant_set_by_host(const struct tenant_set *set, struct cw_str host);
/* NULL where there is none. Borrowed from the set. */
const struct tenant *tenant_set_by_name(const struct tenant_set *set, struct cw_str name);
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
