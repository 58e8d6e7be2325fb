/* What the door demands of a request before any token is looked at: the rules of our gateway
 * (edge-gateway's extract and headers), for a request that another proxy holds. Pure. Any thread.
 * tests/e2e/sidecar/ext_authz_twins_test.py holds the two together. */
#ifndef SIDECAR_EXT_AUTHZ_EDGE_H
#define SIDECAR_EXT_AUTHZ_EDGE_H

#include "common/base/arena.h"

/* The path as it was sent, with its query. CW_PATH_AMBIGUOUS for what proxy and service could read
 * differently (RFC 3986 §6); CW_NO_MEMORY. */
CW_MUST_USE enum cw_err edge_path(struct cw_str path, struct cw_arena *arena);

/* Whether an Authorization header holds the credentials of several, joined by commas: Envoy joins
 * those that a client sends before anybody sees them. */
bool edge_is_joined(struct cw_str value);

/* The token of an Authorization header (RFC 6750 §2.1), borrowed. CW_TOKEN_MISSING: another scheme;
 * CW_AUTHORIZATION_MALFORMED, CW_TOKEN_TOO_LARGE. */
CW_MUST_USE enum cw_err edge_bearer(struct cw_str value, struct cw_str *ret_token);

enum edge_name {
    EDGE_OTHER,         /* the service may have it */
    EDGE_FORGED,        /* speaks for the door: never from a client */
    EDGE_AUTHORIZATION, /* the client's proof */
};
/* What a header is, in any spelling: letters in any case, `_` and `.` for `-` (RFC 3875
 * §4.1.18). Those that the proxy itself writes are EDGE_OTHER, spelt as it spells them. */
enum edge_name edge_name(struct cw_str name);

#endif
