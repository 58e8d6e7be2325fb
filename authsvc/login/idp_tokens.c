/* Seals a provider's tokens for the database and makes answers of them. */
#include "authsvc/login/idp_tokens.h"

#include <string.h>

#include "authsvc/keys/sealed.h"

enum { SEALED_MAX = 120 * 1024 };

static struct cw_str member(const json_t *json, const char *name)
{
    const json_t *value = json_object_get(json, name);
    return json_is_string(value)
               ? (struct cw_str){json_string_value(value), json_string_length(value)}
               : CW_STR("");
}

enum cw_err idp_kept_open(struct login *login, const struct tenant *tenant,
                          struct cw_str session_id, struct cw_str sealed, struct idp_kept *ret)
{
    struct cw_secret plain = {0};
    *ret = (struct idp_kept){0};
    TRY(sealed_open(keyring_kek(login->deps.keys), STORE_SEALED_IDP_SESSION, tenant->name,
                    session_id, sealed, &plain));
    json_t *json = json_loadb(plain.p, plain.n, 0, NULL);
    cw_secret_done(&plain);
    ENSURE(json != NULL, CW_SEALED_UNREADABLE);
    *ret = (struct idp_kept){
        .json = json,
        .access_token = member(json, "access_token"),
        .id_token = member(json, "id_token"),
        .refresh_token = member(json, "refresh_token"),
        .scope = member(json, "scope"),
        .expires_at = json_integer_value(json_object_get(json, "expires_at")),
    };
    return CW_OK;
}

static void add(struct cw_buf *json, const char *name, struct cw_str value)
{
    cw_buf_addf(json, "%s\"%s\":", json->n > 1 ? "," : "", name);
    cw_buf_add_json(json, value);
}

enum cw_err idp_kept_seal(struct login *login, const struct tenant *tenant,
                          struct cw_str session_id, const struct idp_kept *kept,
                          struct cw_buf *ret_sealed)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf json = CW_BUF_INIT(SEALED_MAX);
    cw_buf_add_char(&json, '{');
    add(&json, "access_token", kept->access_token);
    add(&json, "id_token", kept->id_token);
    add(&json, "refresh_token", kept->refresh_token);
    add(&json, "scope", kept->scope);
    cw_buf_addf(&json, ",\"expires_at\":%lld}", (long long)kept->expires_at);
    enum cw_err err = cw_buf_check(&json);
    if (err == CW_OK) {
        err = sealed_make(keyring_kek(login->deps.keys), STORE_SEALED_IDP_SESSION, tenant->name,
                          session_id, cw_buf_str(&json), ret_sealed);
    }
    if (json.p != NULL) {
        cw_secret_wipe(json.p, json.n);
    }
    return err;
}

void idp_kept_done(struct idp_kept *kept)
{
    struct cw_str const secret[] = {kept->access_token, kept->id_token, kept->refresh_token};
    for (size_t i = 0; kept->json != NULL && i < CW_ARRAY_SIZE(secret); i++) {
        cw_secret_wipe((void *)(uintptr_t)secret[i].p, secret[i].n);
    }
    json_decref(kept->json);
    *kept = (struct idp_kept){0};
}

static struct cw_str either(const char *new, struct cw_str old)
{
    return new != NULL ? cw_str(new) : old;
}

struct idp_kept idp_kept_of(const struct idp_tokens *tokens, const struct idp_kept *old,
                            struct cw_str scope)
{
    static const struct idp_kept nothing = {
        .access_token = {"", 0}, .id_token = {"", 0}, .refresh_token = {"", 0}, .scope = {"", 0}};
    old = old != NULL ? old : &nothing;
    return (struct idp_kept){
        .access_token = cw_str(tokens->access_token),
        .id_token = either(tokens->id_token, old->id_token),
        .refresh_token = either(tokens->refresh_token, old->refresh_token),
        .scope = either(tokens->scope, scope),
        .expires_at = tokens->expires_at,
    };
}

enum cw_err idp_kept_answer(struct login *login, const struct idp_kept *kept,
                            struct cw_str session_id, struct login_answer *answer)
{
    answer->access_token = cw_str_dup(kept->access_token);
    answer->id_token = cw_str_dup(kept->id_token);
    answer->scope = cw_str_dup(kept->scope);
    ENSURE(answer->access_token != NULL && answer->id_token != NULL && answer->scope != NULL &&
               session_id.n < sizeof(answer->session_id),
           CW_NO_MEMORY);
    memcpy(answer->session_id, session_id.p, session_id.n);
    answer->session_id[session_id.n] = '\0';
    answer->expires_at = kept->expires_at;
    answer->expires_in = CW_MAX(kept->expires_at - cw_clock_wall_s(login->deps.clock), 0);
    return CW_OK;
}
