/* Checks an ID token: header → times → signature → audience, party, hash → subject. */
#include "common/jose/id_token.h"

#include <openssl/evp.h>
#include <string.h>

#include "common/jose/b64url.h"
#include "common/jose/token.h"
#include "common/jose/verify.h"

static enum cw_err keep(struct cw_arena *arena, struct cw_str s, struct cw_str *ret)
{
    char *copy = cw_arena_dup(arena, s);
    ENSURE(copy != NULL, CW_NO_MEMORY);
    *ret = (struct cw_str){copy, s.n};
    return CW_OK;
}

/* RFC 8725 §3.11: an access or logout token of the same issuer is no ID token. */
static bool type_ok(const struct cw_jws_header *header)
{
    return !header->has_typ || strcmp(header->typ, "jwt") == 0;
}

static enum cw_err check_audience(const struct cw_doc_value *claims, struct cw_str client_id)
{
    const struct cw_doc_value *aud = cw_doc_get(claims, CW_STR("aud"));
    ENSURE(aud != NULL, CW_CLAIM_MISSING);
    bool found = cw_doc_is(aud, CW_DOC_STRING) && cw_str_eq(cw_doc_str(aud), client_id);
    size_t n = cw_doc_is(aud, CW_DOC_ARRAY) ? aud->n : 0;
    const struct cw_doc_value *one = cw_doc_first(aud);
    for (size_t i = 0; i < n; i++, one = cw_doc_next(one)) {
        ENSURE(cw_doc_is(one, CW_DOC_STRING), CW_CLAIM_INVALID);
        found = found || cw_str_eq(cw_doc_str(one), client_id);
    }
    ENSURE(found, CW_AUDIENCE_MISMATCH);
    struct cw_str azp;
    bool told = cw_doc_get(claims, CW_STR("azp")) != NULL;
    ENSURE(told || n <= 1, CW_AUTHORIZED_PARTY_MISMATCH);
    ENSURE(!told || (cw_doc_get_str(claims, CW_STR("azp"), &azp) && cw_str_eq(azp, client_id)),
           CW_AUTHORIZED_PARTY_MISMATCH);
    return CW_OK;
}

/* OpenID Connect Core §3.1.3.6: the left half of the hash that the signature uses. */
static enum cw_err check_hash(const struct cw_doc_value *claims, const struct cw_alg *alg,
                              struct cw_str token)
{
    struct cw_str told;
    const struct cw_doc_value *at_hash = cw_doc_get(claims, CW_STR("at_hash"));
    if (at_hash == NULL) {
        return CW_OK; /* optional where no front channel was used */
    }
    ENSURE(cw_doc_get_str(claims, CW_STR("at_hash"), &told), CW_CLAIM_INVALID);
    const char *name = alg->digest != NULL ? alg->digest : "SHA512"; /* EdDSA over Ed25519 */
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t n = 0;
    ENSURE(EVP_Q_digest(NULL, name, NULL, token.p, token.n, digest, &n) == 1, CW_INTERNAL);
    unsigned char half[EVP_MAX_MD_SIZE];
    ENSURE(cw_b64url_decoded_size(told.n) == n / 2, CW_CLAIM_INVALID);
    ENSURE(cw_b64url_decode(told, half) == CW_OK, CW_CLAIM_INVALID);
    ENSURE(memcmp(half, digest, n / 2) == 0, CW_CLAIM_INVALID);
    return CW_OK;
}

/* An optional claim about the user: of another type or with control bytes it is not there. */
static enum cw_err optional(const struct cw_doc_value *claims, struct cw_str name,
                            struct cw_arena *arena, struct cw_str *ret)
{
    struct cw_str s = {"", 0};
    if (cw_doc_get_str(claims, name, &s)) {
        for (size_t i = 0; i < s.n; i++) {
            if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) {
                s = CW_STR("");
            }
        }
    } else {
        s = CW_STR("");
    }
    return keep(arena, s, ret);
}

static enum cw_err read_user(const struct cw_doc_value *claims, struct cw_arena *arena,
                             struct cw_id_token *ret)
{
    TRY(optional(claims, CW_STR("sub"), arena, &ret->subject));
    ENSURE(cw_doc_get(claims, CW_STR("sub")) != NULL, CW_CLAIM_MISSING);
    ENSURE(ret->subject.n > 0 && ret->subject.n <= CW_SUBJECT_MAX, CW_CLAIM_INVALID);
    TRY(optional(claims, CW_STR("name"), arena, &ret->name));
    TRY(optional(claims, CW_STR("email"), arena, &ret->email));
    ret->email_verified = cw_doc_is(cw_doc_get(claims, CW_STR("email_verified")), CW_DOC_TRUE);
    const struct cw_doc_value *auth_time = cw_doc_get(claims, CW_STR("auth_time"));
    ret->auth_time = cw_doc_is(auth_time, CW_DOC_INTEGER) ? cw_doc_integer(auth_time) : 0;
    return CW_OK;
}

static enum cw_err check(const struct cw_token *token, const struct cw_id_token_policy *policy,
                         const struct cw_jwks *set, int64_t now, struct cw_arena *arena,
                         struct cw_id_token *ret)
{
    const struct cw_jws_header *header = &token->header;
    ENSURE(type_ok(header), CW_TYPE_MISMATCH);
    ENSURE(header->alg != NULL && (policy->algorithms & cw_alg_bit(header->alg)),
           CW_ALGORITHM_NOT_ALLOWED);
    ENSURE(cw_str_eq(token->issuer, policy->issuer), CW_ISSUER_UNKNOWN);
    const struct cw_claims_policy times = {.leeway = policy->leeway};
    struct cw_claims claims;
    TRY(cw_claims_check_times(token->claims, &times, now, NULL, &claims));
    ENSURE(claims.issued_at != 0, CW_CLAIM_MISSING);
    ENSURE(set != NULL, CW_KEYS_UNAVAILABLE);
    TRY(cw_jws_verify_parsed(&token->jws, header, token->signature, set, NULL, NULL));
    TRY(check_audience(token->claims, policy->client_id));
    TRY(check_hash(token->claims, header->alg, policy->access_token));
    ret->expires_at = claims.expires_at;
    return read_user(token->claims, arena, ret);
}

enum cw_err cw_id_token_verify(struct cw_str bytes, const struct cw_id_token_policy *policy,
                               const struct cw_jwks *set, int64_t now, struct cw_arena *arena,
                               struct cw_str *ret_kid, struct cw_id_token *ret_token)
{
    struct cw_token token;
    struct cw_id_token read = {0};
    TRY(cw_token_parse(bytes, arena, NULL, &token));
    enum cw_err err = CW_OK;
    if (ret_kid != NULL) {
        err = keep(arena, cw_jws_header_kid(&token.header), ret_kid);
    }
    if (err == CW_OK) {
        err = check(&token, policy, set, now, arena, &read);
    }
    TRY(err);
    *ret_token = read;
    return CW_OK;
}
