/* The tenants that log in here: immutable objects in an immutable set, both shared by reference
 * count; found by domain or by name. A change makes another object and another set. */
#ifndef AUTHSVC_TENANTS_TENANTS_H
#define AUTHSVC_TENANTS_TENANTS_H

#include "authsvc/password/policy.h"
#include "common/base/arena.h"
#include "common/base/domain.h"
#include "common/base/secret.h"

/* A program that users log in with. */
struct tenant_client {
    struct cw_str id;
    const struct cw_str *scopes; /* that it may ask for; all are granted where none is asked for */
    size_t n_scopes;
    /* Web origins that may call the login API with it, beside the issuer's; none: the tenant's. */
    const struct cw_str *origins;
    size_t n_origins;
};

/* Where passwords are checked. */
enum tenant_login { TENANT_LOGIN_DATABASE = 0, TENANT_LOGIN_IDP };

/* How we prove who we are at an identity provider's endpoints (RFC 6749 §2.3, RFC 7523 §2.2). */
enum tenant_idp_auth {
    TENANT_IDP_SECRET_POST = 0,
    TENANT_IDP_SECRET_BASIC,
    TENANT_IDP_PRIVATE_KEY_JWT,
    TENANT_IDP_PUBLIC, /* only client_id */
};

/* A tenant's identity provider. The tenant's `issuer` is the provider's, byte for byte. Strings are
 * NUL-terminated; empty ones are absent. */
struct tenant_idp {
    struct cw_str discovery_uri; /* empty: by OpenID Connect Discovery §4 from the issuer */
    struct cw_str client_id;
    enum tenant_idp_auth auth;
    struct cw_secret secret;         /* client secret, or private key (PKCS #8, PEM) */
    struct cw_str key_id;            /* `kid` of the private key; may be empty */
    const char *key_algorithm;       /* RS256 or ES256 */
    struct cw_str audience;          /* of the access tokens that are asked for; empty: none */
    struct cw_str connection;        /* Auth0's realm; empty: the plain password grant */
    struct cw_str scope;             /* space-separated */
    const struct cw_str *algorithms; /* of its ID and access tokens */
    size_t n_algorithms;
    struct cw_str ca_file; /* PEM; empty: the system's */
    bool plain_loopback;   /* http is fine where the host is loopback */
    bool forwarded_for;    /* tell the user's address (auth0-forwarded-for) */
    int64_t connect_ms;
    int64_t total_ms;        /* of one call */
    int64_t refresh_ms;      /* between two looks at the metadata */
    int64_t concurrency;     /* calls at once; further ones are refused */
    int64_t rate_per_second; /* calls; 0: no bound */
    int64_t rate_burst;
    int64_t breaker_failures; /* in a row that open the breaker */
    int64_t breaker_open_ms;  /* before one call tries again */
    /* Where its access tokens say what (common/jose/claims.h); empty: the default. */
    struct cw_str client_claim;
    struct cw_str scopes_claim;
    struct cw_str roles_claim;
    struct cw_str permissions_claim;
};

/* Whether a login needs a second factor. */
enum tenant_mfa {
    TENANT_MFA_OPTIONAL = 0, /* of users who have enrolled one */
    TENANT_MFA_OFF,          /* of nobody; nobody can enrol */
    TENANT_MFA_REQUIRED,     /* of everybody; who has none enrols at login */
};

enum { TENANT_ARENA_MAX = 1024 * 1024 }; /* bytes of one tenant */

/* Under construction it has one owner; afterwards nothing in it changes. */
struct tenant {
    _Atomic unsigned refs;
    struct cw_arena arena; /* holds what the members below point to */
    bool configured;       /* by the configuration file: not to be changed at run time */
    bool disabled;         /* nothing of it counts until it is enabled again */
    struct cw_str name;
    enum tenant_login login;
    struct tenant_idp *idp;       /* NULL unless `login` says so */
    const struct cw_str *domains; /* normalised */
    size_t n_domains;
    struct cw_str issuer;
    struct cw_str issuer_origin;    /* scheme and authority of the issuer (RFC 6454 §6.2) */
    const struct cw_str *audiences; /* of access tokens */
    size_t n_audiences;
    const struct cw_str *origins; /* web origins of its pages (common/base/origin.h) */
    size_t n_origins;
    const char *algorithm; /* RS256 or ES256 */
    int64_t access_life_s;
    int64_t id_life_s;
    int64_t refresh_idle_ms;
    int64_t refresh_absolute_ms;
    int64_t refresh_grace_ms;
    int64_t sessions_max;     /* of one user */
    struct cw_str admin_role; /* that administers its users; empty: none does */
    enum tenant_mfa mfa;
    struct password_policy password;
    /* Names of claims in its tokens; empty: roles, permissions, and no groups. */
    struct cw_str roles_claim;
    struct cw_str permissions_claim;
    struct cw_str groups_claim;
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

/* The tenant of a Host header or of a domain field, borrowed from the set. CW_TENANT_UNKNOWN:
 * nobody has it; CW_TENANT_DISABLED. */
CW_MUST_USE enum cw_err tenant_set_open(const struct tenant_set *set, struct cw_str host,
                                        const struct tenant **ret_tenant);
/* The same where the reason does not matter; NULL also for a disabled one. */
const struct tenant *tenant_set_by_host(const struct tenant_set *set, struct cw_str host);
/* By name, disabled or not; NULL where there is none. Borrowed from the set. */
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
