/* The signature layer alone (RFC 7515 §5.2): bytes, keys, no claims. */
#ifndef CW_JOSE_VERIFY_H
#define CW_JOSE_VERIFY_H

#include "common/jose/claims.h"
#include "common/jose/compact.h"
#include "common/jose/jwks.h"

/* A parsed header's signature against the keys of `set` that it may mean. As cw_jws_verify; also
 * CW_KEY_WITHDRAWN, where the key was withdrawn while the set was still in use. `checks` may be
 * NULL; ret_key (may be NULL) is one reference to the key that verified. Any thread. */
CW_MUST_USE enum cw_err cw_jws_verify_parsed(const struct cw_jws *jws,
                                             const struct cw_jws_header *header,
                                             struct cw_str signature, const struct cw_jwks *set,
                                             const struct cw_checks *checks,
                                             struct cw_jwk **ret_key);

/* A compact JWS over any payload, which is not looked at beyond its base64url. CW_OK, or the
 * reason: those of cw_jws_split and cw_jws_header_parse, CW_ALGORITHM_NOT_ALLOWED (`none`,
 * unknown), CW_KEY_UNKNOWN, CW_ALGORITHM_MISMATCH, CW_SIGNATURE_INVALID; CW_NO_MEMORY and
 * CW_INTERNAL decide nothing. Any thread. */
CW_MUST_USE enum cw_err cw_jws_verify(struct cw_str token, const struct cw_jwks *set);

/* The same with one key that the caller chose: a header without kid, or a key without one, is no
 * reason to refuse; two different ones are (CW_KEY_UNKNOWN). */
CW_MUST_USE enum cw_err cw_jws_verify_with(struct cw_str token, const struct cw_jwk *key);

#endif
