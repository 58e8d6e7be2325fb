/* Writes header and payload, and has them signed: with a key that signs all day by OpenSSL, with
 * one that is needed now and then (a client's assertion to its provider) by libjwt.
 *
 * jwt_encode_str() cannot mint an access token: libjwt 1.10 deletes whatever `typ` was set and
 * writes "JWT" (seen: the header of every encoded token), while RFC 9068 §2.1 demands `at+jwt`. So
 * the signing input is written here, and libjwt's own signing function is called on it, the one
 * that its encoder calls. The library exports it without declaring it in <jwt.h>; a library without
 * it does not link, and the tests of this module verify every signature with OpenSSL. */
#include "authsvc/token/mint.h"

#include <jwt.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/jose/b64url.h"

/* libjwt 1.10, jwt-private.h: signs `text` with the key of `jwt`; raw signature (RFC 7518 §3.4 for
 * ES256) by malloc. */
extern int jwt_sign_sha_pem(jwt_t *jwt, char **ret_signature, unsigned int *ret_n,
                            const char *text);

enum {
    TOKEN_MAX = 64 * 1024, /* bytes; what is minted is far below */
    SIGNATURE_MAX = 1024,  /* bytes; RSA of 8192 bits */
    SIGNATURE_TEXT = 1400, /* characters, with dots and the NUL: the same */
    ES256_HALF = 32,       /* bytes; RFC 7518 §3.4 */
};

/* Minted algorithms, with libjwt's and OpenSSL's names for them. */
static const struct algorithm {
    const char *name;
    jwt_alg_t alg;
    int type;
} algorithms[] = {
    {"RS256", JWT_ALG_RS256, EVP_PKEY_RSA},
    {"ES256", JWT_ALG_ES256, EVP_PKEY_EC},
};

/* NULL: none of ours; nothing is signed by `none`. */
static const struct algorithm *algorithm_of(const char *name)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(algorithms); i++) {
        if (strcmp(algorithms[i].name, name) == 0) {
            return &algorithms[i];
        }
    }
    return NULL;
}

static void add_base64url(struct cw_buf *out, struct cw_str bytes)
{
    cw_b64url_add(out, (const unsigned char *)bytes.p, bytes.n);
}

/* RFC 7515 §5.1, steps 1 to 5. */
static enum cw_err signing_input(const struct mint_key *key, const char *typ, struct cw_str claims,
                                 struct cw_buf *out)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf header = CW_BUF_INIT(1024);
    cw_buf_add_cstr(&header, "{\"alg\":\"");
    cw_buf_add_cstr(&header, key->algorithm);
    cw_buf_add_cstr(&header, "\",");
    if (key->kid[0] != '\0') {
        cw_buf_add_cstr(&header, "\"kid\":");
        cw_buf_add_json(&header, cw_str(key->kid));
        cw_buf_add_char(&header, ',');
    }
    cw_buf_add_cstr(&header, "\"typ\":\"");
    cw_buf_add_cstr(&header, typ);
    cw_buf_add_cstr(&header, "\"}");
    TRY(cw_buf_check(&header));
    cw_buf_reserve(out, cw_b64url_encoded_size(header.n) + cw_b64url_encoded_size(claims.n) +
                            SIGNATURE_TEXT);
    add_base64url(out, cw_buf_str(&header));
    cw_buf_add_char(out, '.');
    add_base64url(out, claims);
    return cw_buf_check(out);
}

/* DER to the two numbers side by side (RFC 7518 §3.4). */
static bool flatten(uint8_t signature[SIGNATURE_MAX], size_t *n)
{
    const uint8_t *der = signature;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)*n);
    if (pair == NULL) {
        return false;
    }
    bool ok =
        BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, ES256_HALF) == ES256_HALF &&
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + ES256_HALF, ES256_HALF) == ES256_HALF;
    ECDSA_SIG_free(pair);
    *n = (size_t)2 * ES256_HALF;
    return ok;
}

static enum cw_err sign_by_openssl(const struct mint_key *key, const struct algorithm *algorithm,
                                   struct cw_buf *token)
{
    uint8_t signature[SIGNATURE_MAX];
    size_t n = sizeof(signature);
    EVP_PKEY_CTX *of = EVP_MD_CTX_get_pkey_ctx(key->signer);
    ENSURE(of != NULL && EVP_PKEY_get_id(EVP_PKEY_CTX_get0_pkey(of)) == algorithm->type,
           CW_INTERNAL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ENSURE(ctx != NULL, CW_NO_MEMORY);
    bool ok = EVP_MD_CTX_copy_ex(ctx, key->signer) == 1 &&
              EVP_DigestSign(ctx, signature, &n, (const uint8_t *)token->p, token->n) == 1 &&
              (algorithm->alg != JWT_ALG_ES256 || flatten(signature, &n));
    EVP_MD_CTX_free(ctx);
    ENSURE(ok, CW_INTERNAL);
    cw_buf_add_char(token, '.');
    cw_b64url_add(token, signature, n);
    return cw_buf_check(token);
}

static enum cw_err sign_by_libjwt(const struct mint_key *key, jwt_alg_t alg, struct cw_buf *token)
{
    jwt_t *jwt = NULL;
    ENSURE(jwt_new(&jwt) == 0, CW_NO_MEMORY);
    char *signature = NULL;
    unsigned int n = 0;
    cw_buf_add_char(token, '\0'); /* libjwt wants an end */
    enum cw_err err = cw_buf_check(token);
    if (err == CW_OK) {
        bool ok = jwt_set_alg(jwt, alg, (const unsigned char *)key->pem.p, (int)key->pem.n) == 0 &&
                  jwt_sign_sha_pem(jwt, &signature, &n, token->p) == 0 && n > 0;
        err = ok ? CW_OK : CW_INTERNAL;
        token->n--;
    }
    jwt_free(jwt); /* scrubs its copy of the key */
    if (err == CW_OK) {
        cw_buf_add_char(token, '.');
        add_base64url(token, (struct cw_str){signature, n});
        err = cw_buf_check(token);
    }
    free(signature);
    return err;
}

enum cw_err mint_sign(const struct mint_key *key, const char *typ, struct cw_str claims,
                      char **ret_token)
{
    const struct algorithm *algorithm = algorithm_of(key->algorithm);
    ENSURE(algorithm != NULL, CW_INTERNAL);
    ENSURE(key->signer != NULL || (key->pem.n > 0 && key->pem.n <= 64 * 1024), CW_INTERNAL);
    CW_CLEANUP(cw_buf_done) struct cw_buf token = CW_BUF_INIT(TOKEN_MAX);
    TRY(signing_input(key, typ, claims, &token));
    TRY(key->signer != NULL ? sign_by_openssl(key, algorithm, &token)
                            : sign_by_libjwt(key, algorithm->alg, &token));
    char *text = cw_buf_take(&token);
    ENSURE(text != NULL, CW_NO_MEMORY);
    *ret_token = text;
    return CW_OK;
}
