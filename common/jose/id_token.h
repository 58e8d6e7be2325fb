/* An OpenID Connect ID token (Core §2), as its relying party must check it (§3.1.3.7). */
#ifndef CW_JOSE_ID_TOKEN_H
#define CW_JOSE_ID_TOKEN_H

#include "common/base/arena.h"
#include "common/jose/checks.h"
#include "common/jose/jwks.h"

enum { CW_SUBJECT_MAX = 255 }; /* bytes (OpenID Connect Core §2) */

struct cw_id_token_policy {
    struct cw_str issuer;       /* byte for byte */
    struct cw_str client_id;    /* must be in `aud`; must be `azp` where there are others */
    cw_alg_set algorithms;      /* the exact list */
    int64_t leeway;             /* seconds, 0 to CW_CLAIMS_LEEWAY_MAX */
    struct cw_str access_token; /* that came beside it: `at_hash`, where there is one, is its */
};

/* What is believed; strings are in the arena, empty where absent. */
struct cw_id_token {
    struct cw_str subject;
    struct cw_str name;
    struct cw_str email;
    bool email_verified;
    int64_t auth_time; /* Unix seconds; 0: absent */
    int64_t expires_at;
};

/* CW_OK or the reason, category TOKEN; CW_KEY_UNKNOWN: `set` has no such key, a newer one may.
 * CW_KEYS_UNAVAILABLE (`set` is NULL), CW_NO_MEMORY and CW_INTERNAL decide nothing. ret_kid (may be
 * NULL) is the key that the token names, in the arena; empty: none. `now` in Unix seconds. Any
 * thread. */
CW_MUST_USE enum cw_err cw_id_token_verify(struct cw_str bytes,
                                           const struct cw_id_token_policy *policy,
                                           const struct cw_jwks *set, int64_t now,
                                           struct cw_arena *arena, struct cw_str *ret_kid,
                                           struct cw_id_token *ret_token);

#endif
