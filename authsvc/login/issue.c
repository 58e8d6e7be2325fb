/* Turns a session into tokens: what login and refresh end with. */
#include "authsvc/login/login_impl.h"

#include <stdlib.h>
#include <string.h>

enum cw_err login_new(const struct login_deps *deps, struct login **ret_login)
{
    struct login *login = calloc(1, sizeof(*login));
    ENSURE(login != NULL, CW_NO_MEMORY);
    login->deps = *deps;
    login->refresh_key = keyring_secret(deps->keys, KEYRING_REFRESH_TOKENS);
    enum cw_err err = throttle_new(deps->store, &deps->limits, &login->throttle);
    if (err != CW_OK) {
        login_free(login);
        return err;
    }
    *ret_login = login;
    return CW_OK;
}

void login_free(struct login *login)
{
    if (login != NULL) {
        throttle_free(login->throttle);
        free(login);
    }
}

static void wipe_free(char *text)
{
    if (text != NULL) {
        cw_secret_wipe(text, strlen(text));
        free(text);
    }
}

void login_answer_done(struct login_answer *answer)
{
    wipe_free(answer->access_token);
    wipe_free(answer->id_token);
    wipe_free(answer->recovery_code);
    free(answer->scope);
    free(answer->mfa_methods);
    cw_secret_wipe(answer, sizeof(*answer));
}

enum cw_err login_scene_open(struct login *login, struct cw_str domain, struct cw_str client_id,
                             struct cw_str origin, struct login_scene *ret_scene)
{
    struct login_scene scene = {.set = tenant_current_get(login->deps.tenants)};
    *ret_scene = scene;
    TRY(tenant_set_open(scene.set, domain, &scene.tenant));
    ret_scene->tenant = scene.tenant;
    scene.client = tenant_client_find(scene.tenant, client_id);
    ENSURE(scene.client != NULL, CW_CLIENT_UNKNOWN);
    ret_scene->client = scene.client;
    ENSURE(origin.n == 0 || tenant_origin_allowed(scene.tenant, scene.client, origin),
           CW_ORIGIN_FORBIDDEN);
    return CW_OK;
}

void login_scene_done(struct login_scene *scene)
{
    tenant_set_unref(scene->set);
}

static enum cw_err sign_both(const struct signing_key *key, const struct token_facts *facts,
                             struct login_answer *answer)
{
    const struct mint_key mint = {
        .algorithm = signing_key_algorithm(key),
        .kid = signing_key_kid(key),
        .signer = signing_key_signer(key),
    };
    TRY(token_access(&mint, facts, &answer->access_token));
    return token_id(&mint, facts, answer->access_token, &answer->id_token);
}

struct token_names login_claim_names(const struct tenant *tenant)
{
    return (struct token_names){
        .roles = tenant->roles_claim,
        .permissions = tenant->permissions_claim,
        .groups = tenant->groups_claim,
    };
}

enum cw_err login_issue(struct login *login, const struct login_scene *scene,
                        const struct store_user *user, const struct store_session *session,
                        const struct grants *grants, struct login_answer *answer)
{
    const struct tenant *tenant = scene->tenant;
    const struct token_facts facts = {
        .tenant = tenant->name,
        .issuer = tenant->issuer,
        .subject = user->subject,
        .client_id = session->client_id,
        .session_id = session->id,
        .audiences = tenant->audiences,
        .n_audiences = tenant->n_audiences,
        .scope = session->scope,
        .roles = cw_buf_str(&grants->roles),
        .permissions = cw_buf_str(&grants->permissions),
        .groups = cw_buf_str(&grants->groups),
        .names = login_claim_names(tenant),
        .username = user->username,
        .name = user->name,
        .email = user->email,
        .email_verified = user->email_verified,
        .amr = session->amr,
        .auth_time = session->started_at / 1000,
        .now = session->used_at / 1000,
        .access_life = tenant->access_life_s,
        .id_life = tenant->id_life_s,
    };
    struct signing_key *key = NULL;
    TRY(keyring_signer(login->deps.keys, tenant->name, &key));
    enum cw_err err = sign_both(key, &facts, answer);
    signing_key_unref(key);
    TRY(err);
    answer->scope = cw_str_dup(session->scope);
    ENSURE(answer->scope != NULL && session->id.n < sizeof(answer->session_id), CW_NO_MEMORY);
    memcpy(answer->session_id, session->id.p, session->id.n);
    answer->session_id[session->id.n] = '\0';
    answer->expires_in = facts.access_life;
    answer->expires_at = facts.now + facts.access_life;
    return CW_OK;
}

void login_tell(struct login *login, struct login_event *event, int64_t started_ms,
                enum cw_err outcome)
{
    if (login->deps.on_event != NULL) {
        event->outcome = outcome;
        event->duration_ms = cw_clock_monotonic_ms(login->deps.clock) - started_ms;
        login->deps.on_event(login->deps.ctx, event);
    }
}

void login_revoked(struct login *login)
{
    if (login->deps.on_revoked != NULL) {
        login->deps.on_revoked(login->deps.on_revoked_ctx);
    }
}
