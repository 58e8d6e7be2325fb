/* Signs with OpenSSL what a test asks for, well-formed or not. */
#include "tests/support/jose/mint.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/jose/alg.h"
#include "common/jose/b64url.h"

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static const struct cw_alg *alg_of(const char *name)
{
    const struct cw_alg *alg = cw_alg_find(cw_str(name));
    MUST(alg);
    return alg;
}

struct mint_key *mint_key_new(const char *name)
{
    const struct cw_alg *alg = alg_of(name);
    struct mint_key *key = calloc(1, sizeof *key);
    MUST(key);
    switch (alg->family) {
    case CW_ALG_HMAC:
        for (size_t i = 0; i < sizeof key->secret; i++) {
            key->secret[i] = (unsigned char)(i * 7 + 1);
        }
        return key;
    case CW_ALG_ECDSA:
        key->pkey = EVP_EC_gen(alg->crv);
        break;
    case CW_ALG_EDDSA:
        key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        break;
    default:
        key->pkey = EVP_RSA_gen(2048);
    }
    MUST(key->pkey);
    return key;
}

void mint_key_free(struct mint_key *key)
{
    EVP_PKEY_free(key->pkey);
    free(key);
}

enum { KINDS = 6 };
static struct mint_key *kept[KINDS];

const struct mint_key *mint_key(const char *name)
{
    const struct cw_alg *alg = alg_of(name);
    size_t kind = alg->family == CW_ALG_HMAC    ? 0
                  : alg->family == CW_ALG_EDDSA ? 1
                  : alg->family == CW_ALG_ECDSA ? 2 + alg->digest_size / 16 - 2
                                                : 5;
    if (!kept[kind]) {
        kept[kind] = mint_key_new(name);
    }
    return kept[kind];
}

void mint_done(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (kept[i]) {
            mint_key_free(kept[i]);
            kept[i] = NULL;
        }
    }
}

char *mint_format(const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    MUST(vasprintf(&text, format, args) >= 0);
    va_end(args);
    return text;
}

char *mint_b64url(const void *bytes, size_t n)
{
    char *text = calloc(1, cw_b64url_encoded_size(n) + 1);
    MUST(text);
    cw_b64url_encode(bytes, n, text);
    return text;
}

static char *number(const struct mint_key *key, const char *param, size_t size)
{
    BIGNUM *bn = NULL;
    MUST(EVP_PKEY_get_bn_param(key->pkey, param, &bn) == 1);
    unsigned char bytes[1024];
    size = size ? size : (size_t)BN_num_bytes(bn);
    MUST(BN_bn2binpad(bn, bytes, (int)size) == (int)size);
    BN_free(bn);
    return mint_b64url(bytes, size);
}

char *mint_jwk(const struct mint_key *key, const char *name, const char *members)
{
    const struct cw_alg *alg = alg_of(name);
    const char *comma = members && *members ? "," : "";
    members = members ? members : "";
    char *a = NULL, *b = NULL, *text = NULL;
    unsigned char raw[32];
    size_t n = sizeof raw;
    switch (alg->family) {
    case CW_ALG_HMAC:
        a = mint_b64url(key->secret, sizeof key->secret);
        text = mint_format("{\"kty\":\"oct\",\"k\":\"%s\"%s%s}", a, comma, members);
        break;
    case CW_ALG_EDDSA:
        MUST(EVP_PKEY_get_raw_public_key(key->pkey, raw, &n) == 1);
        a = mint_b64url(raw, n);
        text = mint_format("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"%s%s}", a, comma,
                           members);
        break;
    case CW_ALG_ECDSA:
        a = number(key, OSSL_PKEY_PARAM_EC_PUB_X, alg->signature_size / 2);
        b = number(key, OSSL_PKEY_PARAM_EC_PUB_Y, alg->signature_size / 2);
        text = mint_format("{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s%s}",
                           alg->crv, a, b, comma, members);
        break;
    default:
        a = number(key, OSSL_PKEY_PARAM_RSA_N, 0);
        b = number(key, OSSL_PKEY_PARAM_RSA_E, 0);
        text = mint_format("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s%s}", a, b, comma, members);
    }
    free(a);
    free(b);
    return text;
}

static void der_to_raw(unsigned char *bytes, size_t *n, size_t size)
{
    const unsigned char *p = bytes;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)*n);
    MUST(sig);
    MUST(BN_bn2binpad(ECDSA_SIG_get0_r(sig), bytes, (int)size / 2) > 0);
    MUST(BN_bn2binpad(ECDSA_SIG_get0_s(sig), bytes + size / 2, (int)size / 2) > 0);
    ECDSA_SIG_free(sig);
    *n = size;
}

unsigned char *mint_sign(const struct mint_key *key, const char *name, struct cw_str input,
                         size_t *ret_n)
{
    const struct cw_alg *alg = alg_of(name);
    size_t n = 1024;
    unsigned char *bytes = malloc(n);
    const unsigned char *data = (const unsigned char *)input.p;
    MUST(bytes);
    if (alg->family == CW_ALG_HMAC) {
        unsigned mac = 0;
        MUST(HMAC(EVP_get_digestbyname(alg->digest), key->secret, sizeof key->secret, data, input.n,
                  bytes, &mac));
        *ret_n = mac;
        return bytes;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *parameters = NULL;
    MUST(EVP_DigestSignInit_ex(ctx, &parameters, alg->digest, NULL, NULL, key->pkey, NULL) == 1);
    if (alg->family == CW_ALG_RSA_PSS) {
        MUST(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1);
        MUST(EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, (int)alg->digest_size) == 1);
    }
    MUST(EVP_DigestSign(ctx, bytes, &n, data, input.n) == 1);
    EVP_MD_CTX_free(ctx);
    if (alg->family == CW_ALG_ECDSA) {
        der_to_raw(bytes, &n, alg->signature_size);
    }
    *ret_n = n;
    return bytes;
}

char *mint_join(struct cw_str header, struct cw_str payload, const unsigned char *signature,
                size_t n)
{
    char *h = mint_b64url(header.p, header.n), *p = mint_b64url(payload.p, payload.n),
         *s = mint_b64url(signature, n);
    char *token = mint_format("%s.%s.%s", h, p, s);
    free(h);
    free(p);
    free(s);
    return token;
}

char *mint_token(const struct mint_key *key, const char *alg, struct cw_str header,
                 struct cw_str payload)
{
    char *unsigned_token = mint_join(header, payload, NULL, 0);
    size_t n;
    struct cw_str input = {unsigned_token, strlen(unsigned_token) - 1};
    unsigned char *signature = mint_sign(key, alg, input, &n);
    char *token = mint_join(header, payload, signature, n);
    free(signature);
    free(unsigned_token);
    return token;
}
