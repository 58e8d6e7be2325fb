/* The one table of signature algorithms (RFC 7518 §3, RFC 8037 §3.1, RFC 9864 §2.2). An algorithm
 * fixes key type, curve, digest and signature length; nothing else in here decides on them. */
#ifndef CW_JOSE_ALG_H
#define CW_JOSE_ALG_H

#include "common/base/str.h"

enum cw_alg_family {
    CW_ALG_HMAC,
    CW_ALG_RSA_PKCS1,
    CW_ALG_RSA_PSS,
    CW_ALG_ECDSA,
    CW_ALG_EDDSA,
};

enum cw_alg_id {
    CW_ALG_HS256,
    CW_ALG_HS384,
    CW_ALG_HS512,
    CW_ALG_RS256,
    CW_ALG_RS384,
    CW_ALG_RS512,
    CW_ALG_PS256,
    CW_ALG_PS384,
    CW_ALG_PS512,
    CW_ALG_ES256,
    CW_ALG_ES384,
    CW_ALG_ES512,
    CW_ALG_EDDSA_ANY, /* "EdDSA", Ed25519 keys only here */
    CW_ALG_ED25519,   /* "Ed25519" */
    CW_ALG_COUNT,
};

struct cw_alg {
    const char *name; /* exact, case-sensitive (RFC 7515 §4.1.1) */
    enum cw_alg_id id;
    enum cw_alg_family family;
    const char *kty;
    const char *crv;       /* NULL where the key type has none */
    const char *digest;    /* OpenSSL's name; NULL for EdDSA */
    size_t digest_size;    /* bytes; for HMAC also the least key size (RFC 7518 §3.2) */
    size_t signature_size; /* bytes; 0: the size of the RSA modulus */
};

/* A set of algorithms: bit 1 << id. */
typedef uint32_t cw_alg_set;

/* Every asymmetric algorithm: what an issuer with a public key set may use at most. */
#define CW_ALG_SET_PUBLIC (((cw_alg_set)1 << CW_ALG_COUNT) - ((cw_alg_set)1 << CW_ALG_RS256))
#define CW_ALG_SET_SECRET (((cw_alg_set)1 << CW_ALG_RS256) - 1)

/* NULL where `name` is not exactly one of the table; "none" is not. */
const struct cw_alg *cw_alg_find(struct cw_str name);
const struct cw_alg *cw_alg_at(enum cw_alg_id id);

static inline cw_alg_set cw_alg_bit(const struct cw_alg *alg)
{
    return (cw_alg_set)1 << alg->id;
}

#endif
