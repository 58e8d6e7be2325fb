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

static enum cw_err check_audience(const json_t *claims, struct cw_str client_id)
{
    const json_t *aud = json_object_get(claims, "aud");
    ENSURE(aud != NULL, CW_CLAIM_MISSING);
    bool found = json_is_string(aud) && cw_str_eq(cw_json_str(aud), client_id);
    for (size_t i = 0; json_is_array(aud) && i < json_array_size(aud); i++) {
        const json_t *one = json_array_get(aud, i);
        ENSURE(json_is_string(one), CW_CLAIM_INVALID);
        found = found || cw_str_eq(cw_json_str(one), client_id);
    }
    ENSURE(found, CW_AUDIENCE_MISMATCH);
    const json_t *azp = json_object_get(claims, "azp");
    bool several = json_array_size(aud) > 1;
    ENSURE(azp != NULL || !several, CW_AUTHORIZED_PARTY_MISMATCH);
    ENSURE(azp == NULL || (json_is_string(azp) && cw_str_eq(cw_json_str(azp), client_id)),
           CW_AUTHORIZED_PARTY_MISMATCH);
    return CW_OK;
}

/* OpenID Connect Core §3.1.3.6: the left half of the hash that the signature uses. */
static enum cw_err check_hash(const json_t *claims, const struct cw_alg *alg, struct cw_str token)
{
    struct cw_str told;
    const json_t *at_hash = json_object_get(claims, "at_hash");
    if (at_hash == NULL) {
        return CW_OK; /* optional where no front channel was used */
    }
    ENSURE(cw_json_get_str(claims, "at_hash", &told), CW_CLAIM_INVALID);
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
static enum cw_err optional(const json_t *claims, const char *name, struct cw_arena *arena,
                            struct cw_str *ret)
{
    struct cw_str s = {"", 0};
    if (cw_json_get_str(claims, name, &s)) {
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

static enum cw_err read_user(const json_t *claims, struct cw_arena *arena, struct cw_id_token *ret)
{
    TRY(optional(claims, "sub", arena, &ret->subject));
    ENSURE(json_object_get(claims, "sub") != NULL, CW_CLAIM_MISSING);
    ENSURE(ret->subject.n > 0 && ret->subject.n <= CW_SUBJECT_MAX, CW_CLAIM_INVALID);
    TRY(optional(claims, "name", arena, &ret->name));
    TRY(optional(claims, "email", arena, &ret->email));
    ret->email_verified = json_is_true(json_object_get(claims, "email_verified"));
    const json_t *auth_time = json_object_get(claims, "auth_time");
    ret->auth_time = json_is_integer(auth_time) ? json_integer_value(auth_time) : 0;
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
    TRY(cw_claims_check_times(token->json, &times, now, NULL, &claims));
    ENSURE(claims.issued_at != 0, CW_CLAIM_MISSING);
    ENSURE(set != NULL, CW_KEYS_UNAVAILABLE);
    TRY(cw_jws_verify_parsed(&token->jws, header, token->signature, set, NULL, NULL));
    TRY(check_audience(token->json, policy->client_id));
    TRY(check_hash(token->json, header->alg, policy->access_token));
    ret->expires_at = claims.expires_at;
    return read_user(token->json, arena, ret);
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
    cw_token_done(&token);
    TRY(err);
    *ret_token = read;
    return CW_OK;
}
