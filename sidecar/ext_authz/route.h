/* What a route of Envoy demands: its context_extensions, under the names of our gateway's
 * directives (docs/ENVOY.md). */
#ifndef SIDECAR_EXT_AUTHZ_ROUTE_H
#define SIDECAR_EXT_AUTHZ_ROUTE_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "sidecar/handle/rule.h"

enum { ROUTE_WHY_MAX = 256 };

enum route_auth { ROUTE_REQUIRED = 1, ROUTE_OPTIONAL, ROUTE_OFF };

struct route {
    enum route_auth auth;
    bool pass_authorization; /* the service gets the token, too */
    bool ambiguous_path;     /* is let through */
    struct cw_str realm;     /* empty: the domain */
    struct rule *rule;       /* one reference */
};

struct route_entry {
    struct cw_str key;
    struct cw_str value;
};

/* Strings are borrowed, lists are taken apart in the arena. CW_FORBIDDEN: no rule is named;
 * CW_CONFIG_INVALID: a key or a value is no good; the sentence for the log is appended to `why`.
 * CW_NO_MEMORY. */
CW_MUST_USE enum cw_err route_read(const struct route_entry *entries, size_t n,
                                   struct cw_arena *arena, struct cw_buf *why,
                                   struct route *ret_route);
void route_done(struct route *route);

/* May stand between quotation marks in a header (RFC 9110 §5.6.4). */
bool route_is_quotable(struct cw_str s);

#endif
