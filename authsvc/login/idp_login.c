/* Log in where the tenant's passwords are checked by its identity provider:
 *
 *   throttle → the provider: password grant, ID token verified → session, with what it gave sealed
 *
 * The tokens pass through unchanged, but for the refresh token, in whose place a handle of ours
 * goes out: so the end of a session here is its end, whatever the provider can revoke. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/login/idp_tokens.h"
#include "authsvc/login/mfa_kind.h"

enum { SEALED_MAX = 128 * 1024 };

struct cw_work *login_work(struct login *login, struct cw_str domain, struct cw_work *usual)
{
    struct tenant_set *set = tenant_current_get(login->deps.tenants);
    const struct tenant *tenant = tenant_set_by_host(set, domain);
    bool waits = tenant != NULL && tenant->login == TENANT_LOGIN_IDP;
    tenant_set_unref(set);
    return waits && login->deps.idp_work != NULL ? login->deps.idp_work : usual;
}

enum cw_err login_idp_start(struct login *login, const struct login_scene *scene,
                            const struct idp_tokens *tokens, const struct login_start *start,
                            struct login_answer *answer)
{
    const struct tenant *tenant = scene->tenant;
    struct login_start named = *start;
    named.scope = tokens->scope != NULL ? cw_str(tokens->scope) : start->scope;
    struct login_new_session new;
    login_session_new(login, scene, cw_str(tokens->subject), &named, &new);
    new.session.password_changed_at = STORE_NO_PASSWORD;
    if (tokens->refresh_token == NULL) {
        /* Nothing to refresh with: the session is as long as the access token. */
        new.session.expires_at = CW_MIN(new.session.expires_at, tokens->expires_at * 1000);
        new.family.idle_expires_at = CW_MIN(new.family.idle_expires_at, new.session.expires_at);
    }
    const struct idp_kept kept = idp_kept_of(tokens, NULL, start->scope);
    const struct store_user user = {
        .subject = cw_str(tokens->subject),
        .name = cw_str(tokens->full_name),
        .email = cw_str(tokens->email),
        .email_verified = tokens->email_verified,
    };
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(SEALED_MAX);
    TRY(idp_kept_seal(login, tenant, new.session.id, &kept, &sealed));
    const struct store_idp_tokens stored = {
        .sealed = cw_buf_str(&sealed),
        .token_name = cw_str(tokens->name),
        .token_expires_at = tokens->expires_at * 1000,
    };
    TRY(idp_kept_answer(login, &kept, new.session.id, answer));
    enum cw_err err = store_idp_session_start(login->deps.store, tenant->name, &user, &new.session,
                                              &new.family, &stored, tenant->sessions_max);
    if (err == CW_OK) {
        refresh_token_encode(&new.first, answer->refresh_token);
        answer->refresh_expires_in = (new.family.idle_expires_at - new.session.started_at) / 1000;
        if (tokens->recovery_code != NULL) {
            answer->recovery_code = strdup(tokens->recovery_code);
        }
    } else if (tokens->refresh_token != NULL) {
        /* Nobody will ever use it: disabled here, or the database failed. */
        idp_revoke(login->deps.idp, tenant, cw_str(tokens->refresh_token));
    }
    sodium_memzero(&new.first, sizeof(new.first));
    return err;
}

/* What is asked for and the client may have, beyond what the tenant always asks for. */
static void more_scopes(const struct login_scene *scene, struct cw_str asked, struct cw_buf *ret)
{
    struct cw_str word;
    while (cw_str_word(&asked, ' ', &word)) {
        for (size_t i = 0; i < scene->client->n_scopes; i++) {
            if (cw_str_eq(word, scene->client->scopes[i])) {
                cw_buf_add_cstr(ret, ret->n > 0 ? " " : "");
                cw_buf_add_str(ret, word);
                break;
            }
        }
    }
}

static enum cw_err keep_subject(struct cw_arena *arena, const struct idp_tokens *tokens,
                                struct login_event *event)
{
    char *copy = cw_arena_dup(arena, cw_str(tokens->subject));
    ENSURE(copy != NULL, CW_NO_MEMORY);
    event->subject = cw_str(copy);
    return CW_OK;
}

struct idp_attempt {
    struct login *login;
    const struct login_scene *scene;
    const struct login_request *request;
    struct cw_str username; /* prepared */
    struct cw_str scope;    /* beyond the tenant's */
    struct idp_tokens tokens;
    struct idp_refusal refusal;
};

/* The code came along with the password. */
static enum cw_err prove_at_once(struct idp_attempt *a, struct login_answer *answer)
{
    struct throttle_attempt counted;
    TRY(login_throttle(a->login, THROTTLE_MFA, a->scene->tenant->name, a->username,
                       a->request->address, &counted, &answer->retry_after_ms));
    const struct idp_proof proof = {.otp = a->request->otp, .address = a->request->address};
    struct idp_refusal refusal = {0};
    enum cw_err err = idp_mfa_verify(a->login->deps.idp, a->scene->tenant,
                                     cw_str(a->refusal.mfa_token), &proof, &a->tokens, &refusal);
    throttle_end(a->login->throttle, &counted, throttle_verdict(err, CW_MFA_INVALID));
    answer->retry_after_ms = refusal.retry_after_ms;
    idp_refusal_done(&refusal);
    return err;
}

static enum cw_err second_factor(struct idp_attempt *a, struct login_answer *answer)
{
    if (a->request->otp.n > 0) {
        return prove_at_once(a, answer);
    }
    const struct mfa_start start = {
        .kind = &mfa_idp,
        .username = a->username,
        .password_changed_at = STORE_NO_PASSWORD,
        .scope = a->scene->tenant->idp->scope,
        .methods = CW_STR("otp oob recovery_code"),
        .state = cw_str(a->refusal.mfa_token),
    };
    return mfa_begin(a->login, a->scene, &start, answer);
}

/* What is the user's own failure; only that is counted. */
static enum throttle_verdict verdict_of(enum cw_err err)
{
    switch (err) {
    case CW_OK:
    case CW_MFA_REQUIRED: /* the password was right */
        return THROTTLE_RIGHT;
    case CW_CREDENTIALS_INVALID:
    case CW_MFA_INVALID:
        return THROTTLE_WRONG;
    default:
        return THROTTLE_UNDECIDED;
    }
}

static enum cw_err ask(struct idp_attempt *a, struct login_answer *answer)
{
    struct throttle_attempt counted;
    TRY(login_throttle(a->login, THROTTLE_LOGIN, a->scene->tenant->name, a->username,
                       a->request->address, &counted, &answer->retry_after_ms));
    /* As typed: how a provider normalises names and passwords is its own matter. */
    const struct idp_password request = {
        .username = a->request->username,
        .password = a->request->password,
        .scope = a->scope,
        .address = a->request->address,
    };
    enum cw_err err =
        idp_password(a->login->deps.idp, a->scene->tenant, &request, &a->tokens, &a->refusal);
    throttle_end(a->login->throttle, &counted, verdict_of(err));
    answer->retry_after_ms = a->refusal.retry_after_ms;
    return err == CW_MFA_REQUIRED ? second_factor(a, answer) : err;
}

enum cw_err login_idp_run(struct login *login, const struct login_scene *scene,
                          const struct login_request *request, struct cw_str username,
                          struct cw_arena *arena, struct login_event *event,
                          struct login_answer *answer)
{
    ENSURE(login->deps.idp != NULL, CW_IDP_UNAVAILABLE);
    CW_CLEANUP(cw_buf_done) struct cw_buf scope = CW_BUF_INIT(4096);
    more_scopes(scene, request->scope, &scope);
    TRY(cw_buf_check(&scope));
    struct idp_attempt a = {
        .login = login,
        .scene = scene,
        .request = request,
        .username = username,
        .scope = cw_buf_str(&scope),
    };
    enum cw_err err = ask(&a, answer);
    if (err == CW_OK) {
        err = keep_subject(arena, &a.tokens, event);
    }
    if (err == CW_OK) {
        const struct login_start start = {
            .scope = scene->tenant->idp->scope,
            .device = request->device,
            .address = request->address,
            .amr = CW_STR("[\"pwd\"]"),
        };
        err = login_idp_start(login, scene, &a.tokens, &start, answer);
        event->session_id = cw_str(answer->session_id);
    }
    idp_tokens_done(&a.tokens);
    idp_refusal_done(&a.refusal);
    return err;
}
