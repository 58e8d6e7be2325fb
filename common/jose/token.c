/* One access token, step by step, the cheap checks first; token.h draws the order. */
#include "common/jose/token.h"

#include <string.h>

#include "common/crypto/sha256.h"
#include "common/jose/b64url.h"
#include "common/jose/checks.h"
#include "common/jose/verify.h"

/* cw_b64url_decoded_size(encoded.n) bytes. */
static enum cw_err decode(struct cw_str encoded, struct cw_arena *arena, char **ret_bytes)
{
    unsigned char *bytes = cw_arena_alloc(arena, cw_b64url_decoded_size(encoded.n));
    ENSURE(bytes, CW_NO_MEMORY);
    *ret_bytes = (char *)bytes;
    return cw_b64url_decode(encoded, bytes);
}

static enum cw_err read_issuer(const struct cw_doc_value *claims, const struct cw_checks *checks,
                               struct cw_str *ret_issuer)
{
    const struct cw_doc_value *iss = cw_doc_get(claims, CW_STR("iss"));
    CW_CHECK(checks, "iss", iss, CW_CLAIM_MISSING, "is there");
    CW_CHECK(checks, "iss", cw_doc_is(iss, CW_DOC_STRING), CW_CLAIM_INVALID,
             "a string, not an array");
    *ret_issuer = cw_doc_str(iss);
    return CW_OK;
}

enum cw_err cw_token_parse(struct cw_str bytes, struct cw_arena *arena,
                           const struct cw_checks *checks, struct cw_token *ret_token)
{
    struct cw_token *token = ret_token;
    char *payload, *signature;
    CW_CHECK_TRY(checks, "form", cw_jws_split(bytes, &token->jws),
                 "%zu bytes of at most %d, three segments", bytes.n, CW_JWS_TOKEN_MAX);
    CW_CHECK_TRY(checks, "header", cw_jws_header_parse(token->jws.header, &token->header),
                 "a JOSE header with alg, without own keys and extensions");
    CW_CHECK(checks, "nested", !token->header.nested, CW_HEADER_FORBIDDEN,
             "cty does not say JWT"); /* RFC 7519 §5.2 */
    CW_CHECK_TRY(checks, "base64url", decode(token->jws.payload, arena, &payload),
                 "payload in canonical form");
    CW_CHECK_TRY(checks, "base64url", decode(token->jws.signature, arena, &signature),
                 "signature in canonical form");
    token->signature = (struct cw_str){signature, cw_b64url_decoded_size(token->jws.signature.n)};
    CW_CHECK_TRY(checks, "payload",
                 cw_doc_parse(payload, cw_b64url_decoded_size(token->jws.payload.n),
                              CW_CLAIMS_MALFORMED, arena, &token->claims),
                 "one JSON object in UTF-8 with unique names");
    return read_issuer(token->claims, checks, &token->issuer);
}

static bool type_matches(const struct cw_jws_header *header, const struct cw_token_policy *policy)
{
    if (!header->has_typ) {
        return policy->type_optional;
    }
    for (size_t i = 0; i < policy->type_count; i++) {
        if (cw_str_is(policy->types[i], header->typ)) {
            return true;
        }
    }
    return false;
}

static bool alg_allowed(const struct cw_jws_header *header, const struct cw_token_policy *policy)
{
    return header->alg && (policy->algorithms & cw_alg_bit(header->alg));
}

enum cw_err cw_token_verify(const struct cw_token *token, const struct cw_token_policy *policy,
                            const struct cw_jwks *set, int64_t now, const struct cw_checks *checks,
                            struct cw_arena *arena, struct cw_claims *ret_claims,
                            struct cw_jwk **ret_key)
{
    const struct cw_jws_header *header = &token->header;
    /* RFC 8725 §3.10: keys are chosen by kid, from the issuer's own set */
    CW_CHECK(checks, "thumbprint", !header->thumbprint || policy->thumbprints, CW_HEADER_FORBIDDEN,
             "no x5t, or this issuer may send it");
    /* RFC 9068 §4, RFC 8725 §3.11 */
    CW_CHECK(checks, "typ", type_matches(header, policy), CW_TYPE_MISMATCH,
             "typ %s is one of %zu accepted (first %s)",
             header->has_typ ? CW_QUOTE(cw_str(header->typ)) : "(none)", policy->type_count,
             policy->type_count ? CW_QUOTE(policy->types[0]) : "none");
    /* RFC 8725 §3.1: an exact list, compared with case */
    CW_CHECK(checks, "alg", alg_allowed(header, policy), CW_ALGORITHM_NOT_ALLOWED,
             "alg %s is on the issuer's list", CW_QUOTE(cw_str(header->alg_name)));
    /* RFC 8725 §3.8 */
    CW_CHECK(checks, "issuer", cw_str_eq(token->issuer, policy->claims.issuer), CW_ISSUER_UNKNOWN,
             "iss %s is %s", CW_QUOTE(token->issuer), CW_QUOTE(policy->claims.issuer));
    struct cw_claims claims;
    TRY(cw_claims_check_times(token->claims, &policy->claims, now, checks, &claims));
    CW_CHECK(checks, "keys", set, CW_KEYS_UNAVAILABLE, "the issuer's key set is at hand");
    struct cw_jwk *key = NULL;
    TRY(cw_jws_verify_parsed(&token->jws, header, token->signature, set, checks, &key));
    enum cw_err err = cw_claims_check(token->claims, &policy->claims, checks, arena, &claims);
    if (err || !ret_key) {
        cw_jwk_unref(key);
    }
    if (!err) {
        *ret_claims = claims;
        if (ret_key) {
            *ret_key = key;
        }
    }
    return err;
}

enum cw_err cw_token_digest(const struct cw_jws *jws, char ret_name[CW_TOKEN_DIGEST_SIZE])
{
    unsigned char digest[CW_SHA256_SIZE];
    TRY(cw_sha256(jws->signing_input, digest));
    memcpy(ret_name, "sha256:", 7);
    cw_b64url_encode(digest, sizeof(digest), ret_name + 7);
    ret_name[CW_TOKEN_DIGEST_SIZE - 1] = '\0';
    return CW_OK;
}
