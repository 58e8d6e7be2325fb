/* The table of algorithms and its two look-ups. */
#include "common/jose/alg.h"

/* clang-format off */
static const struct cw_alg table[CW_ALG_COUNT] = {
    /* name, id, family, kty, crv, digest, digest bytes, signature bytes */
    {"HS256", CW_ALG_HS256, CW_ALG_HMAC, "oct", NULL, "SHA256", 32, 32},
    {"HS384", CW_ALG_HS384, CW_ALG_HMAC, "oct", NULL, "SHA384", 48, 48},
    {"HS512", CW_ALG_HS512, CW_ALG_HMAC, "oct", NULL, "SHA512", 64, 64},
    {"RS256", CW_ALG_RS256, CW_ALG_RSA_PKCS1, "RSA", NULL, "SHA256", 32, 0},
    {"RS384", CW_ALG_RS384, CW_ALG_RSA_PKCS1, "RSA", NULL, "SHA384", 48, 0},
    {"RS512", CW_ALG_RS512, CW_ALG_RSA_PKCS1, "RSA", NULL, "SHA512", 64, 0},
    {"PS256", CW_ALG_PS256, CW_ALG_RSA_PSS, "RSA", NULL, "SHA256", 32, 0},
    {"PS384", CW_ALG_PS384, CW_ALG_RSA_PSS, "RSA", NULL, "SHA384", 48, 0},
    {"PS512", CW_ALG_PS512, CW_ALG_RSA_PSS, "RSA", NULL, "SHA512", 64, 0},
    {"ES256", CW_ALG_ES256, CW_ALG_ECDSA, "EC", "P-256", "SHA256", 32, 64},
    {"ES384", CW_ALG_ES384, CW_ALG_ECDSA, "EC", "P-384", "SHA384", 48, 96},
    {"ES512", CW_ALG_ES512, CW_ALG_ECDSA, "EC", "P-521", "SHA512", 64, 132},
    {"EdDSA", CW_ALG_EDDSA_ANY, CW_ALG_EDDSA, "OKP", "Ed25519", NULL, 0, 64},
    {"Ed25519", CW_ALG_ED25519, CW_ALG_EDDSA, "OKP", "Ed25519", NULL, 0, 64},
};
/* clang-format on */

const struct cw_alg *cw_alg_find(struct cw_str name)
{
    for (size_t i = 0; i < CW_ALG_COUNT; i++) {
        if (cw_str_is(name, table[i].name)) {
            return &table[i];
        }
    }
    return NULL;
}

const struct cw_alg *cw_alg_at(enum cw_alg_id id)
{
    return (unsigned)id < CW_ALG_COUNT ? &table[id] : NULL;
}
