/* Signatures: exact lengths first, then OpenSSL on a copy of the context that was prepared when the
 * key was read. What OpenSSL could not do for lack of memory is no verdict on the signature. */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <string.h>

#include "common/jose/jwk_impl.h"

enum {
    EC_COORDINATE_MAX = 66,                      /* bytes, P-521 */
    DER_INTEGER_MAX = 2 + 1 + EC_COORDINATE_MAX, /* tag, length, sign, bytes */
    DER_SIGNATURE_MAX = 3 + 2 * DER_INTEGER_MAX, /* tag, length of one or two bytes */
    DER_SHORT_LENGTH = 0x80,                     /* X.690 §8.1.3: shorter ones need one byte */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256, *sha384, *sha512;

static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    sha384 = EVP_MD_fetch(NULL, "SHA384", NULL);
    sha512 = EVP_MD_fetch(NULL, "SHA512", NULL);
}

const EVP_MD *cw_jwk_digest(const struct cw_alg *alg)
{
    pthread_once(&once, fetch);
    switch (alg->digest_size) {
    case 32:
        return sha256;
    case 48:
        return sha384;
    default:
        return sha512;
    }
}

static bool set_parameters(EVP_PKEY_CTX *ctx, const struct cw_alg *alg)
{
    const EVP_MD *digest = cw_jwk_digest(alg);
    if (!digest || EVP_PKEY_verify_init(ctx) != 1) {
        return false;
    }
    if (alg->family == CW_ALG_RSA_PKCS1 &&
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1) {
        return false;
    }
    /* RFC 7518 §3.5: MGF1 with the same digest, salt exactly as long as the digest */
    if (alg->family == CW_ALG_RSA_PSS &&
        (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) != 1 ||
         EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digest) != 1 ||
         EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)alg->digest_size) != 1)) {
        return false;
    }
    return EVP_PKEY_CTX_set_signature_md(ctx, digest) == 1;
}

enum cw_err cw_jwk_prepare(struct cw_jwk *key)
{
    for (unsigned id = 0; id < CW_ALG_COUNT; id++) {
        const struct cw_alg *alg = cw_alg_at((enum cw_alg_id)id);
        if (!(key->algorithms & cw_alg_bit(alg)) || alg->family == CW_ALG_HMAC) {
            continue;
        }
        if (alg->family == CW_ALG_EDDSA) {
            if (!key->prepared_eddsa) {
                key->prepared_eddsa = EVP_MD_CTX_new();
                ENSURE(key->prepared_eddsa && EVP_DigestVerifyInit(key->prepared_eddsa, NULL, NULL,
                                                                   NULL, key->pkey) == 1,
                       CW_INTERNAL);
            }
            continue;
        }
        key->prepared[id] = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
        ENSURE(key->prepared[id] && set_parameters(key->prepared[id], alg), CW_INTERNAL);
    }
    return CW_OK;
}

/* An unsigned big-endian integer as DER INTEGER (X.690 §8.3): no leading zeros but the sign's. */
static unsigned char *der_integer(unsigned char *out, const unsigned char *bytes, size_t n)
{
    while (n > 1 && *bytes == 0) {
        bytes++;
        n--;
    }
    bool sign = *bytes & 0x80;
    *out++ = 0x02;
    *out++ = (unsigned char)(n + sign);
    if (sign) {
        *out++ = 0;
    }
    memcpy(out, bytes, n);
    return out + n;
}

/* r || s (RFC 7518 §3.4) as the DER that OpenSSL takes; the length was checked. */
static size_t der_signature(struct cw_str raw, unsigned char out[DER_SIGNATURE_MAX])
{
    unsigned char body[2 * DER_INTEGER_MAX];
    const unsigned char *r = (const unsigned char *)raw.p;
    unsigned char *end = der_integer(body, r, raw.n / 2);
    end = der_integer(end, r + raw.n / 2, raw.n / 2);
    size_t n = (size_t)(end - body), head = 0;
    out[head++] = 0x30;
    if (n >= DER_SHORT_LENGTH) {
        out[head++] = 0x81;
    }
    out[head++] = (unsigned char)n;
    memcpy(out + head, body, n);
    return head + n;
}

static enum cw_err outcome(int result)
{
    if (result == 1) {
        return CW_OK;
    }
    unsigned long error = ERR_peek_last_error();
    ERR_clear_error();
    return ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE ? CW_NO_MEMORY : CW_SIGNATURE_INVALID;
}

static enum cw_err verify_hmac(const struct cw_jwk *key, const struct cw_alg *alg,
                               struct cw_str input, struct cw_str signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    const EVP_MD *digest = cw_jwk_digest(alg);
    ENSURE(digest && HMAC(digest, key->secret.p, (int)key->secret.n, (const unsigned char *)input.p,
                          input.n, mac, &n),
           CW_NO_MEMORY);
    bool same = n == signature.n && CRYPTO_memcmp(mac, signature.p, n) == 0;
    OPENSSL_cleanse(mac, sizeof mac);
    return same ? CW_OK : CW_SIGNATURE_INVALID;
}

static enum cw_err verify_eddsa(const struct cw_jwk *key, struct cw_str input,
                                struct cw_str signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    enum cw_err err = CW_NO_MEMORY;
    if (ctx && EVP_MD_CTX_copy_ex(ctx, key->prepared_eddsa) == 1) {
        err = outcome(EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n,
                                       (const unsigned char *)input.p, input.n));
    }
    EVP_MD_CTX_free(ctx);
    return err;
}

static enum cw_err verify_digest(const struct cw_jwk *key, const struct cw_alg *alg,
                                 struct cw_str input, struct cw_str signature)
{
    unsigned char hash[EVP_MAX_MD_SIZE], der[DER_SIGNATURE_MAX];
    const unsigned char *bytes = (const unsigned char *)signature.p;
    size_t n = signature.n;
    ENSURE(EVP_Digest(input.p, input.n, hash, NULL, cw_jwk_digest(alg), NULL) == 1, CW_NO_MEMORY);
    if (alg->family == CW_ALG_ECDSA) {
        n = der_signature(signature, der);
        bytes = der;
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_dup(key->prepared[alg->id]);
    ENSURE(ctx, CW_NO_MEMORY);
    enum cw_err err = outcome(EVP_PKEY_verify(ctx, bytes, n, hash, alg->digest_size));
    EVP_PKEY_CTX_free(ctx);
    return err;
}

enum cw_err cw_jwk_verify(const struct cw_jwk *key, const struct cw_alg *alg,
                          struct cw_str signing_input, struct cw_str signature)
{
    /* RFC 8725 §3.1: the key says what it may verify, never the token alone */
    ENSURE(key->algorithms & cw_alg_bit(alg), CW_ALGORITHM_MISMATCH);
    /* RFC 7518 §3.3, §3.4, RFC 8037 §3.1: exact length before any conversion */
    size_t size = alg->signature_size ? alg->signature_size : key->size;
    ENSURE(signature.n == size, CW_SIGNATURE_INVALID);
    switch (alg->family) {
    case CW_ALG_HMAC:
        return verify_hmac(key, alg, signing_input, signature);
    case CW_ALG_EDDSA:
        return verify_eddsa(key, signing_input, signature);
    default:
        return verify_digest(key, alg, signing_input, signature);
    }
}
