/* Step 4: a token that the cache does not know is verified; the rest of a miss's way is in here,
 * cheap checks first. Runs on a verifier thread. */
#include "sidecar/handle/verify.h"

#include <stdio.h>

enum { VERIFY_ROUNDS = 3 }; /* sets that were swapped under our hands */

static uint64_t subject_hash(const struct tenant *tenant, struct cw_str subject)
{
    uint64_t hash = 0xcbf29ce484222325u ^ tenant->generation; /* FNV-1a */

    for (size_t i = 0; i < subject.n; i++) {
        hash = (hash ^ (unsigned char)subject.p[i]) * 0x100000001b3u;
    }
    return hash ^ hash >> 29;
}

static void told(const struct cw_checks *checks, const char *name, bool passed,
                 struct cw_str detail)
{
    if (checks) {
        checks->add(checks->ctx, name, passed, detail);
    }
}

/* The set has no key for this token: refuse, wait or give up (docs/decisions/0009: 401 only if it
 * is known that the issuer publishes none). True: look again. */
static bool ask_keys(struct issuer *issuer, const struct cw_token *token, const struct cw_jwks *set,
                     bool last, struct cw_key_waiter *waiter, enum verify_state *ret_state,
                     struct verify_result *result)
{
    struct cw_str kid = cw_jws_header_kid(&token->header);
    int64_t retry_ms = 0;

    *ret_state = VERIFY_DONE;
    if (last) {
        result->err = CW_KEYS_UNAVAILABLE;
        result->retry_after_s = 1;
        return false;
    }
    switch (cw_key_source_ask(issuer->keys, set, token->header.has_kid ? &kid : NULL, waiter,
                              &retry_ms)) {
    case CW_KEY_ANSWER_AGAIN:
        return true;
    case CW_KEY_ANSWER_WAIT:
        *ret_state = VERIFY_WAITS;
        return false;
    case CW_KEY_ANSWER_UNKNOWN:
        result->err = CW_KEY_UNKNOWN;
        return false;
    case CW_KEY_ANSWER_UNAVAILABLE:
    default:
        result->err = CW_KEYS_UNAVAILABLE;
        result->retry_after_s = (uint32_t)CW_MIN(CW_MAX((retry_ms + 999) / 1000, 1), 60);
        return false;
    }
}

/* Packs, keeps and judges what was verified. */
static enum cw_err conclude(const struct verify_context *context, const struct tenant *tenant,
                            size_t issuer, const struct rule *rule, const struct cw_claims *claims,
                            const struct cache_key *key, uint64_t epoch, struct cw_jwk *signer,
                            struct verify_result *result)
{
    const struct issuer *from = &tenant->issuers[issuer];
    int64_t expires_at = claims->expires_at + from->policy.claims.leeway;

    ENSURE(!from->tenant_claim || cw_str_eq(claims->tenant, tenant->name), CW_TENANT_MISMATCH);
    TRY(identity_pack(claims, (uint16_t)issuer, &result->blob, &result->parts));
    result->has_identity = true;
    (void)cache_put(context->cache, key, epoch, &result->parts, result->blob.p, expires_at,
                    subject_hash(tenant, claims->subject), signer);
    struct identity view = identity_view(&result->parts, result->blob.p);
    return identity_decide(&view, rule, tenant, context->revocations,
                           cw_clock_monotonic_ms(context->clock));
}

static enum verify_state verify_parsed(const struct verify_context *context,
                                       const struct tenant *tenant, size_t issuer,
                                       const struct rule *rule, const struct cw_token *token,
                                       const struct cache_key *key, bool last,
                                       struct cw_key_waiter *waiter, const struct cw_checks *checks,
                                       struct cw_arena *arena, struct verify_result *result)
{
    struct issuer *from = &tenant->issuers[issuer];
    enum verify_state state = VERIFY_DONE;

    for (int round = 0; round < VERIFY_ROUNDS; round++) {
        /* Before the keys are read: whatever changes from here on keeps this out of the cache. */
        uint64_t epoch = cache_epoch(context->cache);
        struct cw_jwks *set = cw_key_source_get(from->keys);
        struct cw_jwk *signer = NULL;
        struct cw_claims claims = {0};
        char name[CW_TOKEN_DIGEST_SIZE] = "";
        int64_t now = cw_clock_wall_s(context->clock);
        bool again = false;

        result->err =
            cw_token_verify(token, &from->policy, set, now, checks, arena, &claims, &signer);
        if (result->err == CW_OK && claims.token_id.n == 0) {
            /* Auth0's default profile has no jti: a revocation names such a token by its digest. */
            result->err = cw_token_digest(&token->jws, name);
            claims.token_id = cw_str(name);
        }
        if (result->err == CW_OK) {
            result->err =
                conclude(context, tenant, issuer, rule, &claims, key, epoch, signer, result);
        } else if (result->err == CW_KEY_UNKNOWN || result->err == CW_KEYS_UNAVAILABLE) {
            again = ask_keys(from, token, set, last, waiter, &state, result);
        }
        /* After VERIFY_WAITS `set` and `token` are still ours; the waiter's job is not. */
        cw_jwk_unref(signer);
        cw_jwks_unref(set);
        if (!again) {
            return state;
        }
        result->err = CW_KEYS_UNAVAILABLE;
        result->retry_after_s = 1;
    }
    return VERIFY_DONE;
}

enum verify_state verify_run(const struct verify_context *context, const struct tenant *tenant,
                             const struct rule *rule, struct cw_str bytes,
                             const unsigned char digest[CACHE_DIGEST_SIZE], bool last,
                             struct cw_key_waiter *waiter, const struct cw_checks *checks,
                             struct verify_result *ret_result)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cache_key key = {tenant->generation, digest};
    struct cw_token token;

    *ret_result = (struct verify_result){.blob = CW_BUF_INIT(IDENTITY_MAX)};
    if (tenant->disabled) {
        ret_result->err = CW_TENANT_DISABLED;
        return VERIFY_DONE;
    }
    ret_result->err = cw_token_parse(bytes, &arena, checks, &token);
    if (ret_result->err != CW_OK) {
        return VERIFY_DONE;
    }
    int issuer = tenant_find_issuer(tenant, token.issuer);
    told(checks, "issuer", issuer >= 0, token.issuer);
    if (issuer < 0) {
        ret_result->err = CW_ISSUER_UNKNOWN;
        return VERIFY_DONE;
    }
    enum verify_state state = verify_parsed(context, tenant, (size_t)issuer, rule, &token, &key,
                                            last, waiter, checks, &arena, ret_result);
    return state;
}
