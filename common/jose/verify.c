/* Finds the key that a header means and checks the signature with it. */
#include "common/jose/verify.h"

#include "common/jose/b64url.h"
#include "common/jose/checks.h"

static enum cw_err find(const struct cw_jws_header *header, const struct cw_jwks *set,
                        struct cw_jwk *ret_keys[CW_JWKS_CANDIDATES], size_t *ret_n)
{
    struct cw_str kid = cw_jws_header_kid(header);
    return cw_jwks_find(set, header->has_kid ? &kid : NULL, header->alg, ret_keys, ret_n);
}

enum cw_err cw_jws_verify_parsed(const struct cw_jws *jws, const struct cw_jws_header *header,
                                 struct cw_str signature, const struct cw_jwks *set,
                                 const struct cw_checks *checks, struct cw_jwk **ret_key)
{
    struct cw_jwk *keys[CW_JWKS_CANDIDATES];
    size_t n = 0;
    CW_CHECK_TRY(checks, "key", find(header, set, keys, &n), "kid %s for %s among %zu keys",
                 header->has_kid ? CW_QUOTE(cw_jws_header_kid(header)) : "(none)",
                 header->alg->name, cw_jwks_count(set));
    enum cw_err err = CW_SIGNATURE_INVALID;
    struct cw_jwk *key = NULL;
    for (size_t i = 0; i < n && err == CW_SIGNATURE_INVALID; i++) {
        key = keys[i];
        err = cw_jwk_verify(key, header->alg, jws->signing_input, signature);
    }
    CW_CHECK(checks, "signature", err == CW_OK, err, "%s, %zu bytes, with %s key of %u bits",
             header->alg->name, signature.n, cw_jwk_kty(key), cw_jwk_bits(key));
    CW_CHECK(checks, "withdrawn", !cw_jwk_is_withdrawn(key), CW_KEY_WITHDRAWN,
             "the issuer still publishes the key");
    if (ret_key) {
        *ret_key = cw_jwk_ref(key);
    }
    return CW_OK;
}

/* A token cut, read and decoded on the stack. */
struct opened {
    struct cw_jws jws;
    struct cw_jws_header header;
    struct cw_str signature;
    unsigned char bytes[CW_JWS_TOKEN_MAX];
};

static enum cw_err open_token(struct cw_str token, struct opened *ret)
{
    TRY(cw_jws_split(token, &ret->jws));
    TRY(cw_jws_header_parse(ret->jws.header, &ret->header));
    ENSURE(!ret->header.thumbprint, CW_HEADER_FORBIDDEN); /* RFC 8725 §3.10 */
    TRY(cw_b64url_decode(ret->jws.payload, ret->bytes));  /* only for its form */
    TRY(cw_b64url_decode(ret->jws.signature, ret->bytes));
    ret->signature =
        (struct cw_str){(char *)ret->bytes, cw_b64url_decoded_size(ret->jws.signature.n)};
    return ret->header.alg ? CW_OK : CW_ALGORITHM_NOT_ALLOWED;
}

enum cw_err cw_jws_verify(struct cw_str token, const struct cw_jwks *set)
{
    struct opened t;
    TRY(open_token(token, &t));
    return cw_jws_verify_parsed(&t.jws, &t.header, t.signature, set, NULL, NULL);
}

enum cw_err cw_jws_verify_with(struct cw_str token, const struct cw_jwk *key)
{
    struct opened t;
    TRY(open_token(token, &t));
    struct cw_str kid = cw_jwk_kid(key);
    ENSURE(!kid.n || !t.header.has_kid || cw_str_eq(kid, cw_jws_header_kid(&t.header)),
           CW_KEY_UNKNOWN);
    return cw_jwk_verify(key, t.header.alg, t.jws.signing_input, t.signature);
}
