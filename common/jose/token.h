/* The whole validation of one access token, cheap checks first:
 *
 *   cw_token_parse    size → three segments → header → payload is an object → `iss` is a string
 *                     ── the caller chooses issuer (policy) and key set by token->issuer ──
 *   cw_token_verify   typ → alg → iss → exp, nbf, iat → key → signature → all other claims
 *
 * No network, no clock, no keys of its own: `now` and the set are arguments. */
#ifndef CW_JOSE_TOKEN_H
#define CW_JOSE_TOKEN_H

#include "common/base/arena.h"
#include "common/jose/claims.h"
#include "common/jose/compact.h"
#include "common/jose/jwks.h"

enum { CW_TOKEN_ARENA = 512 * 1024 }; /* bytes: an arena bound that any token fits in */

/* Parsed; nothing in it may be believed before cw_token_verify has returned CW_OK. The token's
 * bytes and the arena must outlive it. */
struct cw_token {
    struct cw_jws jws;
    struct cw_jws_header header;
    struct cw_str signature;           /* decoded, in the arena */
    struct cw_str issuer;              /* `iss` as it claims to be */
    const struct cw_doc_value *claims; /* an object, in the arena */
};

/* One issuer's policy. Immutable. */
struct cw_token_policy {
    cw_alg_set algorithms;      /* the exact list; `none` cannot be in it (RFC 8725 §3.1) */
    const struct cw_str *types; /* accepted `typ`, lower case, without "application/" */
    size_t type_count;
    bool type_optional; /* accept a header without typ */
    bool thumbprints;   /* accept, and ignore, x5t and x5t#S256 beside the kid */
    struct cw_claims_policy claims;
};

/* CW_OK or the reason. `checks` may be NULL here and below. */
CW_MUST_USE enum cw_err cw_token_parse(struct cw_str bytes, struct cw_arena *arena,
                                       const struct cw_checks *checks, struct cw_token *ret_token);

/* CW_OK, or a reason of category TOKEN, or what decides nothing: CW_KEYS_UNAVAILABLE (`set` is
 * NULL), CW_NO_MEMORY, CW_INTERNAL. CW_KEY_UNKNOWN means that this set has no such key; whether
 * that is a refusal or "not known yet" is the caller's to say, who may call again with a newer set.
 * ret_key: one reference to the key that verified, so that a verdict can watch its withdrawal; may
 * be NULL. ret_claims: strings live as long as the arenas. Any thread. */
CW_MUST_USE enum cw_err cw_token_verify(const struct cw_token *token,
                                        const struct cw_token_policy *policy,
                                        const struct cw_jwks *set, int64_t now,
                                        const struct cw_checks *checks, struct cw_arena *arena,
                                        struct cw_claims *ret_claims, struct cw_jwk **ret_key);

/* The name of a token for a revocation where it has no jti: `sha256:` and base64url of the SHA-256
 * of header.payload, which is not malleable as the signature is. CW_NO_MEMORY. Any thread. */
enum { CW_TOKEN_DIGEST_SIZE = 51 }; /* with the NUL */
CW_MUST_USE enum cw_err cw_token_digest(const struct cw_jws *jws,
                                        char ret_name[CW_TOKEN_DIGEST_SIZE]);

#endif
