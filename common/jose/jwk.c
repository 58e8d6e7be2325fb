/* Reads one member of a key set into OpenSSL, or says why it is not a key that may verify here. */
#include "common/jose/jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/sha256.h"
#include "common/jose/b64url.h"
#include "common/jose/compact.h"
#include "common/jose/jwk_impl.h"
#include "common/jose/weak_key.h"

enum {
    MEMBER_MAX = 1024, /* bytes of a decoded member */
    SECRET_MAX = MEMBER_MAX,
    EXPONENT_BITS_MAX = 32,
    COORDINATE_MAX = 66, /* P-521 */
    THUMBPRINT_TEXT_MAX = 4096,
};

struct member {
    unsigned char bytes[MEMBER_MAX];
    size_t n;
};

/* Why a member is no good: said in `why`, and the same error for all. */
#define REFUSE(cond, text)                                                                         \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            say(why, text);                                                                        \
            return CW_KEY_UNKNOWN;                                                                 \
        }                                                                                          \
    } while (0)

static void say(char why[CW_JWK_WHY_SIZE], const char *text)
{
    size_t n = CW_MIN(strlen(text), (size_t)CW_JWK_WHY_SIZE - 1);
    memcpy(why, text, n);
    why[n] = '\0';
}

static bool read_member(const json_t *jwk, const char *name, struct member *ret)
{
    struct cw_str text;
    if (!cw_json_get_str(jwk, name, &text) || text.n == 0 ||
        cw_b64url_decoded_size(text.n) > sizeof ret->bytes) {
        return false;
    }
    ret->n = cw_b64url_decoded_size(text.n);
    return cw_b64url_decode(text, ret->bytes) == CW_OK;
}

static EVP_PKEY *build(const char *type, OSSL_PARAM_BLD *bld)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

static bool public_check(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool good = ctx && EVP_PKEY_public_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

static enum cw_err check_rsa(const BIGNUM *n, const BIGNUM *e, char why[CW_JWK_WHY_SIZE])
{
    int bits = BN_num_bits(n);
    REFUSE(bits >= CW_JWK_RSA_BITS_MIN, "RSA modulus below 2048 bits"); /* RFC 7518 §3.3 */
    REFUSE(bits <= CW_JWK_RSA_BITS_MAX, "RSA modulus above 4096 bits"); /* a slow verify is a DoS */
    REFUSE(BN_is_odd(n), "RSA modulus is even");
    REFUSE(BN_is_odd(e) && !BN_is_one(e), "RSA exponent is even or 1");
    REFUSE(BN_num_bits(e) <= EXPONENT_BITS_MAX, "RSA exponent above 32 bits");
    REFUSE(!cw_weak_key_is_roca(n), "RSA modulus of a known weak generator (CVE-2017-15361)");
    return CW_OK;
}

static enum cw_err load_rsa(const json_t *jwk, struct cw_jwk *key, struct cw_buf *canonical,
                            char why[CW_JWK_WHY_SIZE])
{
    struct member n, e;
    REFUSE(read_member(jwk, "n", &n) && read_member(jwk, "e", &e), "`n` or `e` is not base64url");
    BIGNUM *modulus = BN_bin2bn(n.bytes, (int)n.n, NULL);
    BIGNUM *exponent = BN_bin2bn(e.bytes, (int)e.n, NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    enum cw_err err = modulus && exponent && bld ? check_rsa(modulus, exponent, why) : CW_NO_MEMORY;
    if (!err && (OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, modulus) != 1 ||
                 OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, exponent) != 1)) {
        err = CW_NO_MEMORY;
    }
    if (!err) {
        key->bits = (unsigned)BN_num_bits(modulus);
        key->size = (size_t)BN_num_bytes(modulus);
        key->pkey = build("RSA", bld);
        /* leading zeros are not canonical (RFC 7518 §2), but harmless: the thumbprint has none */
        cw_buf_add_cstr(canonical, "{\"e\":\"");
        cw_b64url_add(canonical, e.bytes + (e.n - (size_t)BN_num_bytes(exponent)),
                      (size_t)BN_num_bytes(exponent));
        cw_buf_add_cstr(canonical, "\",\"kty\":\"RSA\",\"n\":\"");
        cw_b64url_add(canonical, n.bytes + (n.n - key->size), key->size);
        cw_buf_add_cstr(canonical, "\"}");
    }
    OSSL_PARAM_BLD_free(bld);
    BN_free(exponent);
    BN_free(modulus);
    return err;
}

static const struct curve {
    const char *crv;
    const char *group; /* OpenSSL's name */
    size_t size;       /* bytes of a coordinate */
    unsigned bits;
} curves[] = {
    {"P-256", "P-256", 32, 256},
    {"P-384", "P-384", 48, 384},
    {"P-521", "P-521", 66, 521},
};

static enum cw_err load_ec(const json_t *jwk, struct cw_jwk *key, struct cw_buf *canonical,
                           char why[CW_JWK_WHY_SIZE])
{
    struct cw_str crv;
    const struct curve *curve = NULL;
    REFUSE(cw_json_get_str(jwk, "crv", &crv), "`crv` is no string");
    for (size_t i = 0; i < CW_ARRAY_SIZE(curves); i++) {
        curve = cw_str_is(crv, curves[i].crv) ? &curves[i] : curve;
    }
    REFUSE(curve, "`crv` is not supported");
    struct member x, y;
    /* RFC 7518 §6.2.1.2: full length, leading zeros kept */
    REFUSE(read_member(jwk, "x", &x) && x.n == curve->size && read_member(jwk, "y", &y) &&
               y.n == curve->size,
           "`x` or `y` is not a coordinate of the curve's length");
    unsigned char point[1 + 2 * COORDINATE_MAX] = {0x04}; /* uncompressed, SEC 1 §2.3.3 */
    memcpy(point + 1, x.bytes, x.n);
    memcpy(point + 1 + x.n, y.bytes, y.n);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    ENSURE(bld, CW_NO_MEMORY);
    if (OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * x.n) == 1) {
        key->pkey = build("EC", bld);
    }
    OSSL_PARAM_BLD_free(bld);
    key->bits = curve->bits;
    cw_buf_addf(canonical, "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"", curve->crv);
    cw_b64url_add(canonical, x.bytes, x.n);
    cw_buf_add_cstr(canonical, "\",\"y\":\"");
    cw_b64url_add(canonical, y.bytes, y.n);
    cw_buf_add_cstr(canonical, "\"}");
    return CW_OK;
}

static enum cw_err load_okp(const json_t *jwk, struct cw_jwk *key, struct cw_buf *canonical,
                            char why[CW_JWK_WHY_SIZE])
{
    struct cw_str crv;
    REFUSE(cw_json_get_str(jwk, "crv", &crv) && cw_str_is(crv, "Ed25519"),
           "`crv` is not supported");
    struct member x;
    /* RFC 8037 §2, RFC 8032 §5.1.5 */
    REFUSE(read_member(jwk, "x", &x) && x.n == CW_ED25519_SIZE, "`x` is not 32 bytes");
    REFUSE(!cw_weak_key_is_bad_ed25519(x.bytes), "`x` is not canonical or of small order");
    key->pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x.bytes, x.n);
    key->bits = 256;
    cw_buf_add_cstr(canonical, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"");
    cw_b64url_add(canonical, x.bytes, x.n);
    cw_buf_add_cstr(canonical, "\"}");
    return CW_OK;
}

static enum cw_err load_oct(const json_t *jwk, struct cw_jwk *key, struct cw_buf *canonical,
                            char why[CW_JWK_WHY_SIZE])
{
    struct member k;
    bool good = read_member(jwk, "k", &k);
    /* RFC 7518 §3.2: as long as the hash at least; so an empty one never is a key */
    if (!good || k.n < 32) {
        cw_secret_wipe(&k, sizeof k);
        say(why, "`k` is no secret of 32 bytes at least");
        return CW_KEY_UNKNOWN;
    }
    enum cw_err err = cw_secret_init(&key->secret, (struct cw_str){(char *)k.bytes, k.n});
    key->bits = (unsigned)k.n * 8;
    key->size = k.n;
    cw_buf_add_cstr(canonical, "{\"k\":\"");
    cw_b64url_add(canonical, k.bytes, k.n);
    cw_buf_add_cstr(canonical, "\",\"kty\":\"oct\"}");
    cw_secret_wipe(&k, sizeof k);
    return err;
}

static const struct key_type {
    const char *kty;
    enum cw_err (*load)(const json_t *jwk, struct cw_jwk *key, struct cw_buf *canonical,
                        char why[CW_JWK_WHY_SIZE]);
} key_types[] = {
    {"RSA", load_rsa},
    {"EC", load_ec},
    {"OKP", load_okp},
    {"oct", load_oct},
};

/* All algorithms that fit type, curve and, for secrets, size. */
static cw_alg_set fitting(const struct cw_jwk *key, const json_t *jwk)
{
    struct cw_str crv = {"", 0};
    (void)cw_json_get_str(jwk, "crv", &crv);
    cw_alg_set set = 0;
    for (unsigned id = 0; id < CW_ALG_COUNT; id++) {
        const struct cw_alg *alg = cw_alg_at((enum cw_alg_id)id);
        bool fits = strcmp(alg->kty, key->kty) == 0 && (!alg->crv || cw_str_is(crv, alg->crv)) &&
                    (alg->family != CW_ALG_HMAC || key->size >= alg->digest_size);
        set |= fits ? cw_alg_bit(alg) : 0;
    }
    return set;
}

static enum cw_err check_use(const json_t *jwk, char why[CW_JWK_WHY_SIZE])
{
    const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops");
    REFUSE(!use || (json_is_string(use) && cw_str_is(cw_json_str(use), "sig")),
           "`use` is not sig"); /* RFC 7517 §4.2 */
    if (!ops) {
        return CW_OK;
    }
    REFUSE(json_is_array(ops), "`key_ops` is no array"); /* RFC 7517 §4.3 */
    size_t verify = 0;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const json_t *op = json_array_get(ops, i);
        REFUSE(json_is_string(op), "`key_ops` has a value that is no string");
        verify += cw_str_is(cw_json_str(op), "verify");
    }
    REFUSE(verify == 1, "`key_ops` does not say verify once");
    return CW_OK;
}

static enum cw_err read_kid(const json_t *jwk, struct cw_jwk *key, char why[CW_JWK_WHY_SIZE])
{
    if (!json_object_get(jwk, "kid")) {
        return CW_OK;
    }
    struct cw_str kid;
    REFUSE(cw_json_get_str(jwk, "kid", &kid) && kid.n >= 1 && kid.n <= CW_JWS_KID_MAX,
           "`kid` is no string of 1 to 256 bytes");
    key->kid = cw_str_dup(kid);
    key->kid_n = kid.n;
    return key->kid ? CW_OK : CW_NO_MEMORY;
}

static enum cw_err read_alg(const json_t *jwk, struct cw_jwk *key, char why[CW_JWK_WHY_SIZE])
{
    key->algorithms = fitting(key, jwk);
    if (json_object_get(jwk, "alg")) {
        struct cw_str name;
        const struct cw_alg *alg = cw_json_get_str(jwk, "alg", &name) ? cw_alg_find(name) : NULL;
        /* RFC 8725 §3.1: a key is for exactly one algorithm where it says so */
        REFUSE(alg && (key->algorithms & cw_alg_bit(alg)),
               "`alg` is no signature algorithm that fits the key");
        key->algorithms = cw_alg_bit(alg);
    }
    REFUSE(key->algorithms, "no algorithm fits the key");
    return CW_OK;
}

static enum cw_err thumbprint(struct cw_jwk *key, const struct cw_buf *canonical)
{
    TRY(cw_buf_check(canonical));
    return cw_sha256(cw_buf_str(canonical), key->thumbprint); /* RFC 7638 §3 */
}

static enum cw_err load(const json_t *jwk, const struct cw_jwk_options *options, struct cw_jwk *key,
                        char why[CW_JWK_WHY_SIZE])
{
    struct cw_str kty;
    const struct key_type *type = NULL;
    REFUSE(json_is_object(jwk), "no object");
    REFUSE(cw_json_get_str(jwk, "kty", &kty), "`kty` is no string");
    for (size_t i = 0; i < CW_ARRAY_SIZE(key_types); i++) {
        type = cw_str_is(kty, key_types[i].kty) ? &key_types[i] : type;
    }
    REFUSE(type, "`kty` is not supported");
    key->kty = type->kty;
    REFUSE(type->load != load_oct || options->allow_oct, "a secret (oct) in a published set");
    TRY(check_use(jwk, why));
    TRY(read_kid(jwk, key, why));
    struct cw_buf canonical = CW_BUF_INIT(THUMBPRINT_TEXT_MAX);
    enum cw_err err = type->load(jwk, key, &canonical, why);
    if (!err) {
        err = thumbprint(key, &canonical);
    }
    if (canonical.p) {
        cw_secret_wipe(canonical.p, canonical.cap); /* may hold a secret */
    }
    cw_buf_done(&canonical);
    TRY(err);
    TRY(read_alg(jwk, key, why));
    REFUSE(key->pkey || key->secret.n, "not a valid public key");
    if (json_object_get(jwk, "d")) {
        say(why, "a private key is published: it is compromised"); /* RFC 7517 §9.2 */
    }
    return CW_OK;
}

enum cw_err cw_jwk_read(const json_t *member, const struct cw_jwk_options *options,
                        struct cw_jwk **ret_key, char ret_why[CW_JWK_WHY_SIZE])
{
    ret_why[0] = '\0';
    struct cw_jwk *key = calloc(1, sizeof *key);
    ENSURE(key, CW_NO_MEMORY);
    atomic_init(&key->refs, 1);
    enum cw_err err = load(member, options, key, ret_why);
    ERR_clear_error();
    if (err) {
        cw_jwk_unref(key);
        return err;
    }
    *ret_key = key;
    return CW_OK;
}

static enum cw_err check(struct cw_jwk *key, char why[CW_JWK_WHY_SIZE])
{
    if (!key->pkey) {
        return CW_OK; /* a secret; its length was looked at */
    }
    REFUSE(public_check(key->pkey), "not a valid public key"); /* SP 800-56B §6.4.2, 56A §5.6.2.3 */
    return cw_jwk_prepare(key);
}

enum cw_err cw_jwk_check(struct cw_jwk *key, char ret_why[CW_JWK_WHY_SIZE])
{
    enum cw_err err = check(key, ret_why);
    ERR_clear_error();
    return err;
}

enum cw_err cw_jwk_parse(const json_t *member, const struct cw_jwk_options *options,
                         struct cw_jwk **ret_key, char ret_why[CW_JWK_WHY_SIZE])
{
    struct cw_jwk *key = NULL;
    TRY(cw_jwk_read(member, options, &key, ret_why));
    enum cw_err err = cw_jwk_check(key, ret_why);
    if (err) {
        cw_jwk_unref(key);
        return err;
    }
    *ret_key = key;
    return CW_OK;
}

struct cw_jwk *cw_jwk_ref(struct cw_jwk *key)
{
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

void cw_jwk_unref(struct cw_jwk *key)
{
    if (!key || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < CW_ALG_COUNT; i++) {
        EVP_PKEY_CTX_free(key->prepared[i]);
    }
    EVP_MD_CTX_free(key->prepared_eddsa);
    EVP_PKEY_free(key->pkey);
    cw_secret_done(&key->secret);
    free(key->kid);
    free(key);
}

struct cw_str cw_jwk_kid(const struct cw_jwk *key)
{
    return (struct cw_str){key->kid ? key->kid : "", key->kid_n};
}

const char *cw_jwk_kty(const struct cw_jwk *key)
{
    return key->kty;
}

cw_alg_set cw_jwk_algorithms(const struct cw_jwk *key)
{
    return key->algorithms;
}

unsigned cw_jwk_bits(const struct cw_jwk *key)
{
    return key->bits;
}

const unsigned char *cw_jwk_thumbprint(const struct cw_jwk *key)
{
    return key->thumbprint;
}

bool cw_jwk_same(const struct cw_jwk *a, const struct cw_jwk *b)
{
    return a->algorithms == b->algorithms && cw_str_eq(cw_jwk_kid(a), cw_jwk_kid(b)) &&
           memcmp(a->thumbprint, b->thumbprint, sizeof a->thumbprint) == 0;
}

void cw_jwk_withdraw(struct cw_jwk *key)
{
    atomic_store_explicit(&key->withdrawn, true, memory_order_release);
}

bool cw_jwk_is_withdrawn(const struct cw_jwk *key)
{
    return atomic_load_explicit(&key->withdrawn, memory_order_acquire);
}
