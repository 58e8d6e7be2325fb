/* Turns options into a policy, reads the key set and has the validator judge one token. */
#include "cwctl/offline.h"

#include <stdlib.h>
#include <string.h>

#include "cwctl/command.h"
#include "cwctl/input.h"
#include "cwctl/verdict.h"

struct job {
    struct cw_token_policy policy;
    struct cw_str types[OPTION_VALUES_MAX];
    char type_text[OPTION_VALUES_MAX][CW_JWS_TYP_MAX + 1];
    struct cw_jwks *set;
};

static bool read_algorithms(const struct offline *settings, struct job *job, char message[256])
{
    job->policy.algorithms = settings->algorithms.n ? 0 : CW_ALG_SET_PUBLIC;
    for (size_t i = 0; i < settings->algorithms.n; i++) {
        struct cw_str name = settings->algorithms.items[i];
        const struct cw_alg *alg = cw_alg_find(name);
        if (!alg) {
            snprintf(message, 256, "--algorithm: no such algorithm");
            return false;
        }
        job->policy.algorithms |= cw_alg_bit(alg);
    }
    return true;
}

static bool read_types(const struct offline *settings, struct job *job, char message[256])
{
    static const struct cw_str usual[] = {CW_STR_INIT("at+jwt"), CW_STR_INIT("jwt")};
    job->policy.types = usual;
    job->policy.type_count = CW_ARRAY_SIZE(usual);
    job->policy.type_optional = settings->type_optional;
    if (!settings->types.n) {
        return true;
    }
    for (size_t i = 0; i < settings->types.n; i++) {
        struct cw_str type = settings->types.items[i];
        if (type.n > CW_JWS_TYP_MAX) {
            snprintf(message, 256, "--type: longer than %d bytes", CW_JWS_TYP_MAX);
            return false;
        }
        for (size_t k = 0; k < type.n; k++) {
            char c = type.p[k];
            job->type_text[i][k] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        }
        job->types[i] = (struct cw_str){job->type_text[i], type.n};
    }
    job->policy.types = job->types;
    job->policy.type_count = settings->types.n;
    return true;
}

static bool read_path(const char *option, const char *text, struct cw_claim_path *ret,
                      char message[256])
{
    if (text && cw_claim_path_parse(cw_str(text), ret) != CW_OK) {
        snprintf(message, 256, "%s: not a claim path", option);
        return false;
    }
    return true;
}

static bool read_policy(const struct offline *settings, struct job *job, char message[256])
{
    struct cw_claims_policy *claims = &job->policy.claims;
    claims->audiences = settings->audiences.items;
    claims->audience_count = settings->audiences.n;
    claims->required = settings->required.items;
    claims->required_count = settings->required.n;
    claims->parties = settings->parties.items;
    claims->party_count = settings->parties.n;
    claims->leeway = settings->leeway;
    claims->max_lifetime = settings->max_lifetime;
    return read_algorithms(settings, job, message) && read_types(settings, job, message) &&
           read_path("--roles", settings->roles, &claims->map.roles, message) &&
           read_path("--permissions", settings->permissions, &claims->map.permissions, message) &&
           read_path("--scopes", settings->scopes, &claims->map.scopes, message);
}

static bool read_keys(const struct offline *settings, struct job *job, char message[256])
{
    struct cw_buf text = CW_BUF_INIT(INPUT_DOCUMENT_MAX);
    /* secrets count only where an algorithm for them was named */
    struct cw_jwks_options options = {.allow_oct = job->policy.algorithms & CW_ALG_SET_SECRET};
    char why[CW_JWK_WHY_SIZE] = "cannot be read";
    bool good = input_file(settings->jwks, &text) == CW_OK &&
                cw_jwks_parse(cw_buf_str(&text), &options, &job->set, why) == CW_OK;
    if (!good) {
        snprintf(message, 256, "%s: %s", settings->jwks, why);
    }
    if (text.p) {
        cw_secret_wipe(text.p, text.cap);
    }
    cw_buf_done(&text);
    return good;
}

static void add_check(void *ctx, const char *name, bool passed, struct cw_str detail)
{
    verdict_add_check(ctx, cw_str(name), passed, detail);
}

static void put_list(json_t *object, const char *name, const struct cw_str_list *list)
{
    if (!list->n) {
        return;
    }
    json_t *array = json_array();
    for (size_t i = 0; i < list->n; i++) {
        json_array_append_new(array, json_stringn(list->items[i].p, list->items[i].n));
    }
    json_object_set_new(object, name, array);
}

static void put_identity(json_t *verdict, const struct cw_claims *claims)
{
    json_t *identity = json_object();
    verdict_put(identity, "tenant", claims->tenant);
    verdict_put(identity, "subject", claims->subject);
    verdict_put(identity, "issuer", claims->issuer);
    verdict_put(identity, "client_id", claims->client_id);
    verdict_put(identity, "session_id", claims->session_id);
    put_list(identity, "scopes", &claims->scopes);
    put_list(identity, "roles", &claims->roles);
    put_list(identity, "permissions", &claims->permissions);
    json_object_set_new(identity, "expires_at", json_integer(claims->expires_at));
    if (claims->issued_at) {
        json_object_set_new(identity, "issued_at", json_integer(claims->issued_at));
    }
    verdict_put(identity, "token_id", claims->token_id);
    json_object_set_new(verdict, "identity", identity);
}

static enum cw_err judge(struct cw_str bytes, const struct offline *settings, struct job *job,
                         json_t *verdict)
{
    struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cw_checks told = {.add = add_check, .ctx = verdict};
    const struct cw_checks *checks = settings->explain ? &told : NULL;
    struct cw_token token;
    struct cw_claims claims;
    enum cw_err err = bytes.n ? cw_token_parse(bytes, &arena, checks, &token) : CW_TOKEN_MISSING;
    if (!err) {
        job->policy.claims.issuer = settings->issuer ? cw_str(settings->issuer) : token.issuer;
        err = cw_token_verify(&token, &job->policy, job->set, settings->now, checks, &arena,
                              &claims, NULL);
        if (!err) {
            put_identity(verdict, &claims);
        }
    }
    cw_arena_done(&arena);
    return err;
}

int offline_verify(struct cw_str token, const struct offline *settings, json_t *verdict,
                   char ret_message[256])
{
    struct job job = {.set = NULL};
    ret_message[0] = '\0';
    if (!read_policy(settings, &job, ret_message)) {
        return COMMAND_USAGE;
    }
    if (!read_keys(settings, &job, ret_message)) {
        return COMMAND_UNDECIDED;
    }
    int code = verdict_set(verdict, judge(token, settings, &job, verdict));
    cw_jwks_unref(job.set);
    return code;
}
