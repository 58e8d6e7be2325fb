/* What jwk.c (reading a key) and jwk_verify.c (using it) share; nobody else includes this. */
#ifndef CW_JOSE_JWK_IMPL_H
#define CW_JOSE_JWK_IMPL_H

#include <openssl/evp.h>
#include <stdatomic.h>

#include "common/base/secret.h"
#include "common/jose/jwk.h"

struct cw_jwk {
    atomic_uint refs;
    atomic_bool withdrawn;
    cw_alg_set algorithms;
    unsigned bits;
    size_t size; /* bytes of an RSA signature */
    const char *kty;
    char *kid; /* NULL for none */
    size_t kid_n;
    unsigned char thumbprint[CW_JWK_THUMBPRINT_SIZE];
    EVP_PKEY *pkey;          /* NULL for oct */
    struct cw_secret secret; /* oct */
    /* One prepared context per algorithm that the key may verify; each verification works on a
     * copy, which is cheaper than setting one up (OpenSSL 3 fetches by name each time). */
    EVP_PKEY_CTX *prepared[CW_ALG_COUNT];
    EVP_MD_CTX *prepared_eddsa;
};

/* The digest of an algorithm, fetched once a process; NULL without memory. */
const EVP_MD *cw_jwk_digest(const struct cw_alg *alg);

/* cw_jwk_parse in two steps, so that a key which is already held is not checked again: what it is,
 * then whether it is a valid public key, which costs milliseconds for RSA. A key may be compared
 * and freed after the first step, and used only after the second. */
CW_MUST_USE enum cw_err cw_jwk_read(const json_t *member, const struct cw_jwk_options *options,
                                    struct cw_jwk **ret_key, char ret_why[CW_JWK_WHY_SIZE]);
CW_MUST_USE enum cw_err cw_jwk_check(struct cw_jwk *key, char ret_why[CW_JWK_WHY_SIZE]);

/* Fills prepared. CW_INTERNAL where OpenSSL refuses. */
CW_MUST_USE enum cw_err cw_jwk_prepare(struct cw_jwk *key);

#endif
