/* One verification key (RFC 7517), parsed into OpenSSL once. Immutable but for one mark, shared by
 * reference count: a cached verdict holds its key and looks at the mark. */
#ifndef CW_JOSE_JWK_H
#define CW_JOSE_JWK_H

#include "common/jose/alg.h"
#include "common/jose/json.h"

enum {
    CW_JWK_RSA_BITS_MIN = 2048,
    CW_JWK_RSA_BITS_MAX = 4096,
    CW_JWK_THUMBPRINT_SIZE = 32, /* bytes */
    CW_JWK_WHY_SIZE = 96,
};

struct cw_jwk;

struct cw_jwk_options {
    bool allow_oct; /* only for a secret from configuration, never for a published set */
};

/* A member of a key set. CW_KEY_UNKNOWN with the reason in `ret_why` (for people, without key
 * material) where it is not a key that may verify here: unknown kty or crv, `use` or `key_ops` that
 * exclude verifying, an `alg` that does not fit, sizes out of bounds, a point off its curve.
 * Private members are ignored and told in `ret_why`, which is "" else. One reference to the caller.
 */
CW_MUST_USE enum cw_err cw_jwk_parse(const json_t *member, const struct cw_jwk_options *options,
                                     struct cw_jwk **ret_key, char ret_why[CW_JWK_WHY_SIZE]);

/* Any thread. unref takes NULL. */
struct cw_jwk *cw_jwk_ref(struct cw_jwk *key);
void cw_jwk_unref(struct cw_jwk *key);

/* Empty where the key has none. Borrowed. */
struct cw_str cw_jwk_kid(const struct cw_jwk *key);
const char *cw_jwk_kty(const struct cw_jwk *key);
/* What the key may verify: its `alg` alone, or all that fit its type and curve. */
cw_alg_set cw_jwk_algorithms(const struct cw_jwk *key);
unsigned cw_jwk_bits(const struct cw_jwk *key);
/* SHA-256 thumbprint (RFC 7638), CW_JWK_THUMBPRINT_SIZE bytes. */
const unsigned char *cw_jwk_thumbprint(const struct cw_jwk *key);
/* The same key for the same use: thumbprint, kid and algorithms. */
bool cw_jwk_same(const struct cw_jwk *a, const struct cw_jwk *b);

/* The issuer no longer publishes the key: whatever it signed counts no more. Cannot be undone. */
void cw_jwk_withdraw(struct cw_jwk *key);
bool cw_jwk_is_withdrawn(const struct cw_jwk *key);

/* The signature over the signing input, both as bytes. CW_ALGORITHM_MISMATCH where the key is not
 * for `alg`; CW_SIGNATURE_INVALID; CW_NO_MEMORY and CW_INTERNAL decide nothing. Any thread. */
CW_MUST_USE enum cw_err cw_jwk_verify(const struct cw_jwk *key, const struct cw_alg *alg,
                                      struct cw_str signing_input, struct cw_str signature);

#endif
