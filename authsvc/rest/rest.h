/* The REST door: /auth/v1, and the OpenID documents. Parses, hands the use case to a worker, writes
 * the answer. */
#ifndef AUTHSVC_REST_REST_H
#define AUTHSVC_REST_REST_H

#include "authsvc/login/address.h"
#include "authsvc/login/login.h"
#include "common/http/server.h"
#include "common/work/work.h"

struct rest;

/* All borrowed. */
struct rest_options {
    struct login *login;
    struct tenant_current *tenants;
    struct keyring *keys;
    struct cw_work *logins;    /* as many threads as passwords may be checked at once */
    struct cw_work *refreshes; /* of its own: a flood of logins does not hold up refreshes */
    const char *const *trusted_proxies; /* addresses whose X-Forwarded-… are believed */
    size_t n_trusted_proxies;
    unsigned documents_max_age_s; /* that discovery and keys may be cached */
};

/* NULL without memory. */
struct rest *rest_new(const struct rest_options *options);
/* After the server that serves its routes has stopped. */
void rest_free(struct rest *rest);
struct cw_http_routes rest_routes(struct rest *rest);
struct cw_http_routes rest_mfa_routes(struct rest *rest);      /* /auth/v1/mfa/… */
struct cw_http_routes rest_password_routes(struct rest *rest); /* /auth/v1/password/… */
struct cw_http_routes rest_openapi_routes(struct rest *rest);  /* /auth/openapi.json */

/* --- what bodies hold; the `extra` of the rows above ------------------------------------- */

/* A string of a body, and where it goes. */
struct rest_member {
    const char *name;
    size_t max; /* bytes */
    bool required;
    size_t offset; /* of its struct cw_str in the use case's request */
};

struct rest_body {
    const struct rest_member *members;
    size_t n;
    bool optional;    /* a request may come without */
    const char *rule; /* told where the members are strings, but not together; NULL: nothing */
};

#define REST_BODY(MEMBERS) REST_BODY_RULE(MEMBERS, NULL)
#define REST_BODY_RULE(MEMBERS, RULE)                                                              \
    {                                                                                              \
        .members = (MEMBERS), .n = CW_ARRAY_SIZE(MEMBERS), .rule = (RULE)                          \
    }

/* --- for tests: who asks, behind a trusted proxy or not ---------------------------------- */

enum { REST_ADDRESS_SIZE = LOGIN_ADDRESS_SIZE };

/* The client's address: the peer's, or behind a trusted proxy the last address of X-Forwarded-For
 * that is not a trusted proxy's. Canonical text; empty where it is no address. */
void rest_client_address(const struct rest_options *options, const char *peer,
                         struct cw_str forwarded_for, char ret_address[REST_ADDRESS_SIZE]);
/* Whether an address is one of the trusted proxies. */
bool rest_trusted(const struct rest_options *options, const char *address);

#endif
