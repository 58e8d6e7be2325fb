/* Reads what a token endpoint answers. Nothing of it is believed before the ID token has been
 * verified with the provider's keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authsvc/idp/idp_impl.h"
#include "common/crypto/sha256.h"
#include "common/jose/b64url.h"
#include "common/jose/id_token.h"
#include "common/jose/token.h"

enum {
    LEEWAY_S = 30,      /* between the provider's clock and ours */
    KEY_WAIT_MS = 3000, /* for a key that is new */
    KEY_ROUNDS = 3,     /* sets that were swapped under our hands */
    LIFE_MAX_S = 31 * 24 * 3600,
    LIFE_UNKNOWN_S = 300, /* of an access token whose end nobody tells */
};

/* --- keys ------------------------------------------------------------------------------- */

struct key_wait {
    struct cw_key_waiter waiter; /* first */
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool over;
};

static void wake(struct cw_key_waiter *waiter, bool late)
{
    (void)late;
    struct key_wait *w = (struct key_wait *)waiter;
    pthread_mutex_lock(&w->lock);
    w->over = true;
    pthread_cond_signal(&w->woken);
    pthread_mutex_unlock(&w->lock);
}

enum cw_err idp_wait_for_key(struct idp *idp, struct cw_key_source *keys, const struct cw_jwks *set,
                             struct cw_str kid)
{
    struct key_wait w = {.waiter = {.wake = wake, .deadline_ms = idp_now_ms(idp) + KEY_WAIT_MS}};
    int64_t retry_ms = 0;
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.woken, NULL);
    enum cw_err err = CW_KEYS_UNAVAILABLE;
    switch (cw_key_source_ask(keys, set, kid.n > 0 ? &kid : NULL, &w.waiter, &retry_ms)) {
    case CW_KEY_ANSWER_AGAIN:
        err = CW_OK;
        break;
    case CW_KEY_ANSWER_WAIT:
        pthread_mutex_lock(&w.lock);
        while (!w.over) {
            pthread_cond_wait(&w.woken, &w.lock);
        }
        pthread_mutex_unlock(&w.lock);
        err = CW_OK;
        break;
    case CW_KEY_ANSWER_UNKNOWN:
        err = CW_KEY_UNKNOWN;
        break;
    case CW_KEY_ANSWER_UNAVAILABLE:
    default:
        break;
    }
    pthread_cond_destroy(&w.woken);
    pthread_mutex_destroy(&w.lock);
    return err;
}

static cw_alg_set algorithms_of(const struct tenant_idp *t)
{
    cw_alg_set set = 0;
    for (size_t i = 0; i < t->n_algorithms; i++) {
        const struct cw_alg *alg = cw_alg_find(t->algorithms[i]);
        set |= alg != NULL ? cw_alg_bit(alg) & CW_ALG_SET_PUBLIC : 0;
    }
    return set;
}

/* --- the ID token ----------------------------------------------------------------------- */

static enum cw_err verify_id(struct idp_call *call, struct cw_str id_token,
                             struct cw_str access_token, struct cw_arena *arena,
                             struct cw_id_token *ret)
{
    const struct cw_id_token_policy policy = {
        .issuer = call->tenant->issuer,
        .client_id = call->tenant->idp->client_id,
        .algorithms = algorithms_of(call->tenant->idp),
        .leeway = LEEWAY_S,
        .access_token = access_token,
    };
    enum cw_err err = CW_KEYS_UNAVAILABLE;
    for (int round = 0; round < KEY_ROUNDS; round++) {
        struct cw_jwks *set = cw_key_source_get(call->upstream->keys);
        struct cw_str kid = {0};
        err = cw_id_token_verify(id_token, &policy, set, cw_clock_wall_s(call->idp->options.clock),
                                 arena, &kid, ret);
        bool ask = err == CW_KEY_UNKNOWN || err == CW_KEYS_UNAVAILABLE;
        enum cw_err asked = ask ? idp_wait_for_key(call->idp, call->upstream->keys, set, kid) : err;
        cw_jwks_unref(set);
        if (!ask || asked != CW_OK) {
            return ask ? asked : err;
        }
    }
    return err;
}

/* --- the access token ------------------------------------------------------------------- */

static bool is_jwt(struct cw_str token)
{
    struct cw_jws jws;
    return cw_jws_split(token, &jws) == CW_OK;
}

enum cw_err idp_token_name(struct cw_str access_token, char ret_name[IDP_TOKEN_NAME_SIZE])
{
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cw_token token;
    if (cw_token_parse(access_token, &arena, NULL, &token) != CW_OK) {
        unsigned char digest[CW_SHA256_SIZE];
        char text[64] = "";
        TRY(cw_sha256(access_token, digest));
        cw_b64url_encode(digest, sizeof(digest), text);
        snprintf(ret_name, IDP_TOKEN_NAME_SIZE, "opaque:%.43s", text);
        return CW_OK;
    }
    struct cw_str jti;
    enum cw_err err = CW_OK;
    char digest[CW_TOKEN_DIGEST_SIZE];
    if (cw_doc_get_str(token.claims, CW_STR("jti"), &jti) && jti.n > 0) {
        err = jti.n < IDP_TOKEN_NAME_SIZE ? CW_OK : CW_CLAIM_INVALID;
        snprintf(ret_name, IDP_TOKEN_NAME_SIZE, "%.*s", CW_STR_ARG(jti));
    } else {
        err = cw_token_digest(&token.jws, digest);
        snprintf(ret_name, IDP_TOKEN_NAME_SIZE, "%s", digest);
    }
    return err;
}

static enum cw_err check_parsed(struct idp *idp, const struct tenant *tenant,
                                struct upstream *upstream, const struct cw_token *token,
                                struct cw_arena *arena)
{
    static const struct cw_str types[] = {CW_STR_INIT("at+jwt"), CW_STR_INIT("jwt")};
    const struct cw_token_policy policy = {
        .algorithms = algorithms_of(tenant->idp),
        .types = types,
        .type_count = CW_ARRAY_SIZE(types),
        .type_optional = true,
        .claims = {.issuer = tenant->issuer,
                   .audiences = tenant->audiences,
                   .audience_count = tenant->n_audiences,
                   .leeway = LEEWAY_S},
    };
    enum cw_err err = CW_KEYS_UNAVAILABLE;
    for (int round = 0; round < KEY_ROUNDS; round++) {
        struct cw_jwks *set = cw_key_source_get(upstream->keys);
        struct cw_claims claims;
        err = cw_token_verify(token, &policy, set, cw_clock_wall_s(idp->options.clock), NULL, arena,
                              &claims, NULL);
        bool ask = err == CW_KEY_UNKNOWN || err == CW_KEYS_UNAVAILABLE;
        enum cw_err asked =
            ask ? idp_wait_for_key(idp, upstream->keys, set, cw_jws_header_kid(&token->header))
                : err;
        cw_jwks_unref(set);
        if (!ask || asked != CW_OK) {
            return ask ? asked : err;
        }
    }
    return err;
}

enum cw_err idp_check_access(struct idp *idp, const struct tenant *tenant,
                             struct cw_str access_token)
{
    if (!is_jwt(access_token)) {
        return access_token.n <= IDP_TOKEN_MAX ? CW_OK : CW_TOKEN_TOO_LARGE;
    }
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cw_token token;
    struct upstream *upstream = upstream_get(idp, tenant);
    ENSURE(upstream != NULL, CW_NO_MEMORY);
    enum cw_err err = cw_token_parse(access_token, &arena, NULL, &token);
    if (err == CW_OK) {
        err = check_parsed(idp, tenant, upstream, &token, &arena);
    }
    upstream_unref(upstream);
    return err;
}

/* Its end, by `expires_in`, else by its own `exp`; and that it is about the same subject. */
static enum cw_err read_access(const struct idp_call *call, const json_t *body,
                               struct cw_str subject, struct idp_tokens *t)
{
    int64_t now = cw_clock_wall_s(call->idp->options.clock);
    const json_t *life = json_object_get(body, "expires_in");
    int64_t seconds = json_is_integer(life) ? json_integer_value(life) : 0;
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cw_token token;
    bool other = false;
    if (cw_token_parse(cw_str(t->access_token), &arena, NULL, &token) == CW_OK) {
        struct cw_str sub;
        other = cw_doc_get_str(token.claims, CW_STR("sub"), &sub) && !cw_str_eq(sub, subject);
        const struct cw_doc_value *exp = cw_doc_get(token.claims, CW_STR("exp"));
        /* What counts is the token's own word. */
        if (cw_doc_is(exp, CW_DOC_INTEGER)) {
            seconds = cw_doc_integer(exp) > now ? cw_doc_integer(exp) - now : 0;
        }
    }
    ENSURE(!other, CW_IDP_UNAVAILABLE);
    seconds = seconds > 0 ? CW_MIN(seconds, LIFE_MAX_S) : LIFE_UNKNOWN_S;
    t->expires_at = now + seconds;
    return idp_token_name(cw_str(t->access_token), t->name);
}

/* --- the whole answer ------------------------------------------------------------------- */

static bool usable(struct cw_str token)
{
    for (size_t i = 0; i < token.n; i++) {
        if ((unsigned char)token.p[i] <= 0x20 || (unsigned char)token.p[i] >= 0x7f) {
            return false; /* RFC 6749 §A.12, §A.17: VSCHAR, and no blank in a header */
        }
    }
    return token.n > 0 && token.n <= IDP_TOKEN_MAX;
}

static enum cw_err copy_token(const json_t *body, const char *name, bool required, char **ret)
{
    struct cw_str token;
    const json_t *value = json_object_get(body, name);
    if (value == NULL || json_is_null(value)) {
        return required ? CW_IDP_UNAVAILABLE : CW_OK;
    }
    ENSURE(cw_json_get_str(body, name, &token) && usable(token), CW_IDP_UNAVAILABLE);
    *ret = cw_str_dup(token);
    return *ret != NULL ? CW_OK : CW_NO_MEMORY;
}

static enum cw_err copy_user(const struct cw_id_token *id, struct idp_tokens *t)
{
    t->subject = cw_str_dup(id->subject);
    t->full_name = cw_str_dup(id->name);
    t->email = cw_str_dup(id->email);
    t->email_verified = id->email_verified;
    return t->subject != NULL && t->full_name != NULL && t->email != NULL ? CW_OK : CW_NO_MEMORY;
}

static enum cw_err believe(struct idp_call *call, struct cw_str subject, struct idp_tokens *t)
{
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA * 2);
    struct cw_id_token id = {.subject = subject, .name = CW_STR(""), .email = CW_STR("")};
    if (t->id_token != NULL) {
        enum cw_err err =
            verify_id(call, cw_str(t->id_token), cw_str(t->access_token), &arena, &id);
        if (err != CW_OK && err != CW_NO_MEMORY) {
            char why[96];
            snprintf(why, sizeof(why), "its ID token is not believed: %s", cw_err_code(err));
            return idp_call_bad_answer(call, why);
        }
        TRY(err);
        if (subject.n > 0 && !cw_str_eq(subject, id.subject)) {
            return idp_call_bad_answer(call, "its ID token is about another subject");
        }
    } else if (subject.n == 0) {
        return idp_call_bad_answer(call, "no ID token: nobody can be believed to be anybody");
    }
    return copy_user(&id, t);
}

static enum cw_err read_body(const json_t *body, struct idp_tokens *t)
{
    struct cw_str type;
    struct cw_str scope;
    ENSURE(cw_json_get_str(body, "token_type", &type) && cw_str_eq_nocase(type, CW_STR("bearer")),
           CW_IDP_UNAVAILABLE); /* RFC 6749 §7.1 */
    TRY(copy_token(body, "access_token", true, &t->access_token));
    TRY(copy_token(body, "id_token", false, &t->id_token));
    TRY(copy_token(body, "refresh_token", false, &t->refresh_token));
    TRY(copy_token(body, "recovery_code", false, &t->recovery_code));
    if (cw_json_get_str(body, "scope", &scope) && scope.n < 4096) {
        t->scope = cw_str_dup(scope);
        ENSURE(t->scope != NULL, CW_NO_MEMORY);
    }
    return CW_OK;
}

enum cw_err idp_read_tokens(struct idp_call *call, struct cw_str subject,
                            struct idp_tokens *ret_tokens)
{
    json_t *body = NULL;
    if (cw_json_parse_object(cw_buf_str(&call->body), CW_IDP_UNAVAILABLE, &body) != CW_OK) {
        return idp_call_bad_answer(call, "the answer is no JSON object");
    }
    enum cw_err err = read_body(body, ret_tokens);
    if (err == CW_IDP_UNAVAILABLE) {
        err = idp_call_bad_answer(call, "the answer has no usable bearer token");
    } else if (err == CW_OK) {
        err = believe(call, subject, ret_tokens);
        if (err == CW_OK) {
            err = read_access(call, body, cw_str(ret_tokens->subject), ret_tokens);
            err = err == CW_OK || err == CW_NO_MEMORY
                      ? err
                      : idp_call_bad_answer(call, "its access token is about another subject");
        }
    }
    json_decref(body);
    return err;
}
