/* Generates, seals and opens private keys, and derives their public JWK. */
#include "authsvc/keys/signing_key.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/keys/sealed.h"

struct signing_key {
    atomic_uint refs;
    char algorithm[8];
    char kid[SIGNING_KEY_KID_SIZE];
    char *public_jwk;
    char *pem; /* sodium_malloc: locked, guarded */
    size_t pem_size;
    EVP_MD_CTX *signer; /* holds the parsed key */
    /* Until it is opened. */
    const struct kek *kek;
    char *tenant;
    char *sealed;
    size_t sealed_n;
    pthread_mutex_t opening;
    atomic_bool open; /* pem and signer are there, and stay */
};

static bool supported(const char *algorithm)
{
    return strcmp(algorithm, "RS256") == 0 || strcmp(algorithm, "ES256") == 0;
}

static void add_base64url(struct cw_buf *out, const uint8_t *bytes, size_t n)
{
    size_t size = sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *text = cw_buf_extend(out, size); /* with a NUL, which is cut off again */
    if (text != NULL) {
        sodium_bin2base64(text, size, bytes, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        out->n--;
    }
}

/* A number of the key in base64url (RFC 7518 §2): of `size` bytes, or as short as it is with 0. */
static enum cw_err add_number(struct cw_buf *out, const EVP_PKEY *pkey, const char *name,
                              size_t size)
{
    BIGNUM *number = NULL;
    uint8_t bytes[1024];
    ENSURE(EVP_PKEY_get_bn_param(pkey, name, &number) == 1, CW_INTERNAL);
    size_t n = size > 0 ? size : (size_t)BN_num_bytes(number);
    bool ok = n <= sizeof(bytes) && BN_bn2binpad(number, bytes, (int)n) == (int)n;
    BN_free(number);
    ENSURE(ok, CW_INTERNAL);
    add_base64url(out, bytes, n);
    return CW_OK;
}

/* The members that RFC 7638 hashes, in its order, without braces. */
static enum cw_err public_members(const EVP_PKEY *pkey, const char *algorithm, struct cw_buf *out)
{
    if (strcmp(algorithm, "ES256") == 0) {
        cw_buf_add_cstr(out, "\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
        TRY(add_number(out, pkey, OSSL_PKEY_PARAM_EC_PUB_X, 32));
        cw_buf_add_cstr(out, "\",\"y\":\"");
        TRY(add_number(out, pkey, OSSL_PKEY_PARAM_EC_PUB_Y, 32));
    } else {
        cw_buf_add_cstr(out, "\"e\":\"");
        TRY(add_number(out, pkey, OSSL_PKEY_PARAM_RSA_E, 0));
        cw_buf_add_cstr(out, "\",\"kty\":\"RSA\",\"n\":\"");
        TRY(add_number(out, pkey, OSSL_PKEY_PARAM_RSA_N, 0));
    }
    cw_buf_add_char(out, '"');
    return cw_buf_check(out);
}

/* RFC 7638 §3. */
static enum cw_err thumbprint(struct cw_str members, char ret_kid[SIGNING_KEY_KID_SIZE])
{
    CW_CLEANUP(cw_buf_done) struct cw_buf json = CW_BUF_INIT(8192);
    cw_buf_add_char(&json, '{');
    cw_buf_add_str(&json, members);
    cw_buf_add_char(&json, '}');
    TRY(cw_buf_check(&json));
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, (const uint8_t *)json.p, json.n);
    sodium_bin2base64(ret_kid, SIGNING_KEY_KID_SIZE, digest, sizeof(digest),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return CW_OK;
}

static enum cw_err set_public(struct signing_key *key, const EVP_PKEY *pkey)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf members = CW_BUF_INIT(8192);
    CW_CLEANUP(cw_buf_done) struct cw_buf jwk = CW_BUF_INIT(8192);
    TRY(public_members(pkey, key->algorithm, &members));
    TRY(thumbprint(cw_buf_str(&members), key->kid));
    cw_buf_addf(&jwk, "{\"use\":\"sig\",\"alg\":\"%s\",\"kid\":\"%s\",", key->algorithm, key->kid);
    cw_buf_add_str(&jwk, cw_buf_str(&members));
    cw_buf_add_char(&jwk, '}');
    key->public_jwk = cw_buf_take(&jwk);
    return key->public_jwk != NULL ? CW_OK : CW_NO_MEMORY;
}

static enum cw_err set_pem(struct signing_key *key, struct cw_str pem)
{
    key->pem = sodium_malloc(pem.n + 1);
    ENSURE(key->pem != NULL, CW_NO_MEMORY);
    memcpy(key->pem, pem.p, pem.n);
    key->pem[pem.n] = '\0';
    key->pem_size = pem.n;
    sodium_mprotect_readonly(key->pem);
    return CW_OK;
}

/* To begin a signature looks up the key's type and the digest by their names: once is enough. */
static enum cw_err set_signer(struct signing_key *key, EVP_PKEY *pkey)
{
    key->signer = EVP_MD_CTX_new();
    ENSURE(key->signer != NULL, CW_NO_MEMORY);
    bool ok = EVP_DigestSignInit(key->signer, NULL, EVP_sha256(), NULL, pkey) == 1;
    return ok ? CW_OK : CW_INTERNAL;
}

static bool fits(const EVP_PKEY *pkey, const char *algorithm)
{
    if (strcmp(algorithm, "ES256") == 0) {
        char group[32] = "";
        return EVP_PKEY_is_a(pkey, "EC") &&
               EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
               strcmp(group, "prime256v1") == 0;
    }
    return EVP_PKEY_is_a(pkey, "RSA") && EVP_PKEY_get_bits(pkey) >= 2048 &&
           EVP_PKEY_get_bits(pkey) <= 8192;
}

static enum cw_err make(const char *algorithm, EVP_PKEY *pkey, struct cw_str pem,
                        struct signing_key **ret_key)
{
    ENSURE(fits(pkey, algorithm), CW_CONFIG_INVALID);
    struct signing_key *key = calloc(1, sizeof(*key));
    ENSURE(key != NULL, CW_NO_MEMORY);
    atomic_init(&key->refs, 1);
    atomic_init(&key->open, true);
    pthread_mutex_init(&key->opening, NULL);
    strncpy(key->algorithm, algorithm, sizeof(key->algorithm) - 1);
    enum cw_err err = set_public(key, pkey);
    if (err == CW_OK) {
        err = set_pem(key, pem);
    }
    if (err == CW_OK) {
        err = set_signer(key, pkey);
    }
    if (err != CW_OK) {
        signing_key_unref(key);
        return err;
    }
    *ret_key = key;
    return CW_OK;
}

enum cw_err signing_key_generate(const char *algorithm, unsigned rsa_bits,
                                 struct signing_key **ret_key)
{
    ENSURE(supported(algorithm), CW_CONFIG_INVALID);
    bool rsa = strcmp(algorithm, "RS256") == 0;
    ENSURE(!rsa || (rsa_bits >= 2048 && rsa_bits <= 8192), CW_CONFIG_INVALID);
    EVP_PKEY *pkey = rsa ? EVP_RSA_gen(rsa_bits) : EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_secmem());
    enum cw_err err = pkey == NULL || bio == NULL ? CW_INTERNAL : CW_OK;
    if (err == CW_OK && PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) != 1) {
        err = CW_INTERNAL;
    }
    if (err == CW_OK) {
        char *pem = NULL;
        long n = BIO_get_mem_data(bio, &pem);
        err = make(algorithm, pkey, (struct cw_str){pem, (size_t)n}, ret_key);
        cw_secret_wipe(pem, (size_t)n);
    }
    BIO_free(bio);
    EVP_PKEY_free(pkey);
    return err;
}

enum cw_err signing_key_from_pem(const char *algorithm, struct cw_str pem,
                                 struct signing_key **ret_key)
{
    ENSURE(supported(algorithm) && pem.n <= 64 * 1024, CW_CONFIG_INVALID);
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    ENSURE(bio != NULL, CW_NO_MEMORY);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ENSURE(pkey != NULL, CW_CONFIG_INVALID);
    enum cw_err err = make(algorithm, pkey, pem, ret_key);
    EVP_PKEY_free(pkey);
    return err;
}

enum cw_err signing_key_seal(const struct signing_key *key, const struct kek *kek,
                             struct cw_str tenant, struct cw_buf *ret_sealed)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf context = CW_BUF_INIT(1024);
    TRY(sealed_context(STORE_SEALED_SIGNING_KEY, tenant, cw_str(key->kid), cw_str(key->algorithm),
                       &context));
    return seal(kek, cw_buf_str(&context), signing_key_pem(key), ret_sealed);
}

enum cw_err signing_key_unseal(const struct kek *kek, struct cw_str tenant, struct cw_str kid,
                               struct cw_str algorithm, struct cw_str sealed,
                               struct signing_key **ret_key)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf context = CW_BUF_INIT(1024);
    TRY(sealed_context(STORE_SEALED_SIGNING_KEY, tenant, kid, algorithm, &context));
    struct cw_secret pem = {0};
    TRY(seal_open(kek, cw_buf_str(&context), sealed, &pem));
    char *name = cw_str_dup(algorithm);
    enum cw_err err =
        name == NULL ? CW_NO_MEMORY : signing_key_from_pem(name, cw_secret_str(&pem), ret_key);
    cw_secret_done(&pem);
    free(name);
    if (err == CW_OK && !cw_str_is(kid, (*ret_key)->kid)) {
        signing_key_unref(*ret_key);
        *ret_key = NULL;
        return CW_STORE_UNAVAILABLE;
    }
    return err;
}

/* The members behind the head that set_public writes must have the thumbprint that names the key.
 */
static enum cw_err check_public(struct cw_str kid, struct cw_str algorithm, struct cw_str jwk)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf head = CW_BUF_INIT(1024);
    char thumb[SIGNING_KEY_KID_SIZE];
    cw_buf_addf(&head, "{\"use\":\"sig\",\"alg\":\"%.*s\",\"kid\":\"%.*s\",", CW_STR_ARG(algorithm),
                CW_STR_ARG(kid));
    TRY(cw_buf_check(&head));
    ENSURE(cw_str_starts(jwk, cw_buf_str(&head)) && jwk.n > head.n + 1, CW_STORE_UNAVAILABLE);
    TRY(thumbprint(cw_str_slice(jwk, head.n, jwk.n - 1), thumb));
    return cw_str_is(kid, thumb) && jwk.p[jwk.n - 1] == '}' ? CW_OK : CW_STORE_UNAVAILABLE;
}

static enum cw_err check_sealed(const struct kek *kek, struct cw_str tenant, struct cw_str kid,
                                struct cw_str algorithm, struct cw_str sealed)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf context = CW_BUF_INIT(1024);
    struct cw_secret pem = {0};
    TRY(sealed_context(STORE_SEALED_SIGNING_KEY, tenant, kid, algorithm, &context));
    TRY(seal_open(kek, cw_buf_str(&context), sealed, &pem));
    cw_secret_done(&pem);
    return CW_OK;
}

enum cw_err signing_key_stored(const struct kek *kek, struct cw_str tenant, struct cw_str kid,
                               struct cw_str algorithm, struct cw_str public_jwk,
                               struct cw_str sealed, struct signing_key **ret_key)
{
    ENSURE(kid.n == SIGNING_KEY_KID_SIZE - 1, CW_STORE_UNAVAILABLE);
    ENSURE(algorithm.n < sizeof((*ret_key)->algorithm), CW_CONFIG_INVALID);
    TRY(check_sealed(kek, tenant, kid, algorithm, sealed));
    TRY(check_public(kid, algorithm, public_jwk));
    struct signing_key *key = calloc(1, sizeof(*key));
    ENSURE(key != NULL, CW_NO_MEMORY);
    atomic_init(&key->refs, 1);
    atomic_init(&key->open, false);
    pthread_mutex_init(&key->opening, NULL);
    memcpy(key->kid, kid.p, kid.n);
    memcpy(key->algorithm, algorithm.p, algorithm.n);
    key->kek = kek;
    key->tenant = cw_str_dup(tenant);
    key->public_jwk = cw_str_dup(public_jwk);
    key->sealed = malloc(sealed.n);
    if (key->tenant == NULL || key->public_jwk == NULL || key->sealed == NULL) {
        signing_key_unref(key);
        return CW_NO_MEMORY;
    }
    memcpy(key->sealed, sealed.p, sealed.n);
    key->sealed_n = sealed.n;
    *ret_key = key;
    return CW_OK;
}

enum cw_err signing_key_open(struct signing_key *key)
{
    enum cw_err err = CW_OK;
    if (atomic_load_explicit(&key->open, memory_order_acquire)) {
        return CW_OK;
    }
    pthread_mutex_lock(&key->opening);
    if (!atomic_load_explicit(&key->open, memory_order_relaxed)) {
        struct signing_key *opened = NULL;
        const struct cw_str sealed = {key->sealed, key->sealed_n};
        err = signing_key_unseal(key->kek, cw_str(key->tenant), cw_str(key->kid),
                                 cw_str(key->algorithm), sealed, &opened);
        if (err == CW_OK) { /* what it opened moves over */
            key->pem = opened->pem;
            key->pem_size = opened->pem_size;
            key->signer = opened->signer;
            opened->pem = NULL;
            opened->signer = NULL;
            signing_key_unref(opened);
            atomic_store_explicit(&key->open, true, memory_order_release);
        }
    }
    pthread_mutex_unlock(&key->opening);
    return err;
}

struct signing_key *signing_key_ref(struct signing_key *key)
{
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

void signing_key_unref(struct signing_key *key)
{
    if (key != NULL && atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) == 1) {
        free(key->public_jwk);
        sodium_free(key->pem);        /* wipes */
        EVP_MD_CTX_free(key->signer); /* with the parsed key, whose numbers are wiped, too */
        free(key->tenant);
        free(key->sealed);
        pthread_mutex_destroy(&key->opening);
        free(key);
    }
}

const char *signing_key_kid(const struct signing_key *key)
{
    return key->kid;
}

const char *signing_key_algorithm(const struct signing_key *key)
{
    return key->algorithm;
}

const char *signing_key_public_jwk(const struct signing_key *key)
{
    return key->public_jwk;
}

struct cw_str signing_key_pem(const struct signing_key *key)
{
    return (struct cw_str){key->pem, key->pem_size};
}

const EVP_MD_CTX *signing_key_signer(const struct signing_key *key)
{
    return key->signer;
}
