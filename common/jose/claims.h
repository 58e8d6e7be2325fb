/* The claims of an access token (RFC 7519 §4, RFC 9068 §2.2): what an issuer's tokens must say, and
 * what of them is kept. */
#ifndef CW_JOSE_CLAIMS_H
#define CW_JOSE_CLAIMS_H

#include "common/base/arena.h"
#include "common/jose/doc.h"

enum {
    CW_CLAIM_PATH_MAX = 8,      /* names in a path */
    CW_CLAIM_VALUES_MAX = 1024, /* values of one list */
    CW_CLAIMS_LEEWAY_MAX = 60,  /* seconds (RFC 7519 §4.1.4: "a few minutes" at most) */
};

/* Where a claim is found: `roles`, `realm_access.roles`, `resource_access."my-app".roles`,
 * `"https://abott.example/roles"`. Quotes hold dots together (JSON string escapes are not read); a
 * text with `://` and no quote is one name as it stands. */
struct cw_claim_path {
    struct cw_str names[CW_CLAIM_PATH_MAX]; /* borrowed from the text */
    size_t n;                               /* 0: not set, the map's default holds */
};

/* CW_CONFIG_INVALID for empty names, open quotes, too many. */
CW_MUST_USE enum cw_err cw_claim_path_parse(struct cw_str text, struct cw_claim_path *ret_path);

/* NULL where any name on the way is absent. Borrowed. */
const struct cw_doc_value *cw_claim_path_find(const struct cw_claim_path *path,
                                              const struct cw_doc_value *claims);

/* A further claim that is kept, under the name that callers ask for. */
struct cw_claim_kept {
    struct cw_str name;
    struct cw_claim_path path;
};

/* A tenant's claim map. Lists are JSON arrays of strings or one string divided by spaces. */
struct cw_claim_map {
    struct cw_claim_path roles;       /* default: roles */
    struct cw_claim_path permissions; /* default: permissions */
    struct cw_claim_path scopes;      /* default: scope, else scp */
    struct cw_claim_path client;      /* default: client_id, else azp, else cid */
    struct cw_claim_path session;     /* default: sid */
    struct cw_claim_path tenant;      /* default: tenant */
    const struct cw_claim_kept *kept;
    size_t kept_count;
};

/* What one issuer's tokens must say. Immutable; arrays and strings are borrowed from the owner of
 * the configuration. */
struct cw_claims_policy {
    struct cw_str issuer;           /* byte for byte (RFC 8725 §3.8) */
    const struct cw_str *audiences; /* one of them must be in `aud`; none: `aud` is not compared */
    size_t audience_count;
    const struct cw_str *required; /* claims that must be there beyond iss, sub and exp */
    size_t required_count;
    const struct cw_str *parties; /* accepted client_id or azp; none: any */
    size_t party_count;
    int64_t leeway;       /* seconds, 0 to CW_CLAIMS_LEEWAY_MAX */
    int64_t max_lifetime; /* seconds from iat to exp; 0: no bound */
    struct cw_claim_map map;
};

struct cw_str_list {
    struct cw_str *items;
    size_t n;
};

/* A kept claim's value as compact JSON. */
struct cw_claim {
    struct cw_str name;
    struct cw_str json;
};

/* What was kept. Strings are borrowed from the claims that were read, lists and JSON from the
 * arena. */
struct cw_claims {
    struct cw_str issuer;
    struct cw_str subject;
    struct cw_str client_id;
    struct cw_str session_id;
    struct cw_str token_id; /* jti */
    struct cw_str tenant;
    struct cw_str_list audiences;
    struct cw_str_list scopes;
    struct cw_str_list roles;
    struct cw_str_list permissions;
    struct cw_claim *kept;
    size_t kept_count;
    int64_t expires_at;     /* Unix seconds, rounded down */
    int64_t issued_at;      /* 0: absent */
    int64_t not_before;     /* 0: absent; rounded up */
    bool subject_is_client; /* a client acts for itself: the subject is no user (RFC 9068 §5) */
};

/* Told once per check, in order; `detail` lives for the call only and has neither token bytes nor
 * key material. */
struct cw_checks {
    void (*add)(void *ctx, const char *name, bool passed, struct cw_str detail);
    void *ctx;
};

/* exp, nbf, iat, lifetime: cheap and independent of keys. `now` is Unix seconds. CW_CLAIM_MISSING,
 * CW_CLAIM_INVALID, CW_TOKEN_EXPIRED, CW_TOKEN_NOT_YET_VALID, CW_LIFETIME_EXCESSIVE. Fills the
 * three times. `checks` may be NULL. Any thread. */
CW_MUST_USE enum cw_err cw_claims_check_times(const struct cw_doc_value *claims,
                                              const struct cw_claims_policy *policy, int64_t now,
                                              const struct cw_checks *checks,
                                              struct cw_claims *ret_claims);

/* All that is left: subject, audience, party, cnf, required claims, tokens of another kind (RFC
 * 8725 §3.12); fills everything but the times. CW_NO_MEMORY past the arena's bound. */
CW_MUST_USE enum cw_err cw_claims_check(const struct cw_doc_value *claims,
                                        const struct cw_claims_policy *policy,
                                        const struct cw_checks *checks, struct cw_arena *arena,
                                        struct cw_claims *ret_claims);

/* The same comparisons, for callers that judge kept claims later. */
bool cw_str_list_has(const struct cw_str_list *list, struct cw_str value);

#endif
