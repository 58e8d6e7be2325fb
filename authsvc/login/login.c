/* Log in against the central database:
 *
 *   tenant, client, origin → prepare name and password → throttle → user → argon2id
 *     → second factor, where there is one → session
 *
 * An unknown user, a wrong, empty or spoilt password run through the same statements and exactly
 * one hash, and get the same answer. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/login/factor.h"
#include "authsvc/login/mfa_kind.h"

enum {
    ARENA_MAX = 256 * 1024,
    DEVICE_MAX = 256, /* bytes of the device's description that are kept */
};

/* Everything of one login, so that its steps need no dozen arguments. */
struct attempt {
    struct login *login;
    const struct login_request *request;
    struct login_scene scene;
    struct cw_arena arena;
    char *username; /* prepared */
    struct cw_secret password;
    struct cw_str scope; /* granted */
    struct login_trial trial;
    struct login_event event;
};

/* What is asked for and the client may have; everything it may have where nothing is asked for. */
static enum cw_err grant_scopes(struct attempt *a, struct cw_str *ret_scope)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf granted = CW_BUF_INIT(4096);
    const struct tenant_client *client = a->scene.client;
    for (size_t i = 0; i < client->n_scopes; i++) {
        struct cw_str asked = a->request->scope;
        bool grant = asked.n == 0;
        struct cw_str word;
        while (!grant && cw_str_word(&asked, ' ', &word)) {
            grant = cw_str_eq(word, client->scopes[i]);
        }
        if (grant) {
            cw_buf_add_cstr(&granted, granted.n > 0 ? " " : "");
            cw_buf_add_str(&granted, client->scopes[i]);
        }
    }
    TRY(cw_buf_check(&granted));
    char *copy = cw_arena_dup(&a->arena, cw_buf_str(&granted));
    ENSURE(copy != NULL, CW_NO_MEMORY);
    *ret_scope = (struct cw_str){copy, granted.n};
    return CW_OK;
}

/* The hash moves to the present parameters while the password is at hand. That it could not be is
 * no reason to refuse the login. */
static void rehash(struct attempt *a)
{
    char hash[PASSWORD_HASH_MAX];
    enum cw_err err = password_hash(a->login->deps.hasher, cw_secret_str(&a->password), hash);
    if (err == CW_OK) {
        err = store_user_rehash(a->login->deps.store, a->scene.tenant->name, a->trial.user.subject,
                                a->trial.user.password_hash, cw_str(hash));
    }
    a->event.note = err == CW_OK ? "rehashed" : NULL;
}

static struct cw_str cut(struct cw_str text, size_t max)
{
    while (max > 0 && text.n > max && ((unsigned char)text.p[max] & 0xc0) == 0x80) {
        max--; /* not inside of a character */
    }
    return cw_str_slice(text, 0, CW_MIN(text.n, max));
}

void login_session_new(struct login *login, const struct login_scene *scene, struct cw_str subject,
                       const struct login_start *start, struct login_new_session *ret)
{
    const struct tenant *tenant = scene->tenant;
    int64_t now = cw_clock_wall_ms(login->deps.clock);
    uint8_t random[16]; /* ASVS 7.2.3: at least 128 bits */
    randombytes_buf(random, sizeof(random));
    sodium_bin2base64(ret->id, sizeof(ret->id), random, sizeof(random),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    ret->session = (struct store_session){
        .id = cw_str(ret->id),
        .subject = subject,
        .client_id = scene->client->id,
        .scope = start->scope,
        .device = cut(start->device, DEVICE_MAX),
        .address = start->address,
        .started_at = now,
        .used_at = now,
        .expires_at = now + tenant->refresh_absolute_ms,
        .amr = start->amr,
    };
    refresh_token_new(&ret->first);
    ret->family = (struct store_family){
        .idle_expires_at = now + CW_MIN(tenant->refresh_idle_ms, tenant->refresh_absolute_ms),
    };
    memcpy(ret->family.id, ret->first.family, STORE_FAMILY_SIZE);
    refresh_token_hash(&ret->first, ret->family.hash);
}

enum cw_err login_session_start(struct login *login, const struct login_scene *scene,
                                const struct store_user *user, const struct login_start *start,
                                struct login_answer *answer)
{
    struct login_new_session new;
    login_session_new(login, scene, user->subject, start, &new);
    new.session.password_changed_at = user->password_changed_at;
    /* Signed first: what cannot be answered leaves no session behind. */
    struct grants grants;
    enum cw_err err = grants_read(login->deps.store, scene->tenant->name, user, &grants);
    if (err == CW_OK) {
        err = login_issue(login, scene, user, &new.session, &grants, answer);
    }
    grants_done(&grants);
    if (err == CW_OK) {
        err = store_session_start(login->deps.store, scene->tenant->name, &new.session, &new.family,
                                  scene->tenant->sessions_max);
    }
    if (err == CW_OK) {
        refresh_token_encode(&new.first, answer->refresh_token);
        answer->refresh_expires_in = (new.family.idle_expires_at - new.session.started_at) / 1000;
    }
    sodium_memzero(&new.first, sizeof(new.first));
    return err;
}

static enum cw_err start_session(struct attempt *a, struct cw_str amr, struct login_answer *answer)
{
    const struct login_start start = {
        .scope = a->scope,
        .device = a->request->device,
        .address = a->request->address,
        .amr = amr,
    };
    TRY(login_session_start(a->login, &a->scene, &a->trial.user, &start, answer));
    a->event.session_id = cw_str(answer->session_id);
    return CW_OK;
}

static enum cw_err ask_for_factor(struct attempt *a, struct cw_str methods,
                                  struct login_answer *answer)
{
    const struct mfa_start start = {
        .kind = &mfa_database,
        .subject = a->trial.user.subject,
        .username = a->trial.user.username,
        .password_changed_at = a->trial.user.password_changed_at,
        .scope = a->scope,
        .methods = methods,
    };
    return mfa_begin(a->login, &a->scene, &start, answer);
}

/* The password was right. What follows depends on the tenant and on what the user has enrolled. */
static enum cw_err second_factor(struct attempt *a, struct login_answer *answer)
{
    const struct tenant *tenant = a->scene.tenant;
    struct cw_str methods = {0};
    if (tenant->mfa != TENANT_MFA_OFF) {
        TRY(factor_methods(a->login, tenant->name, a->trial.user.subject, &methods));
    }
    if (methods.n == 0) {
        return tenant->mfa == TENANT_MFA_REQUIRED ? ask_for_factor(a, CW_STR("enrol"), answer)
                                                  : start_session(a, CW_STR("[\"pwd\"]"), answer);
    }
    if (a->request->otp.n == 0) {
        return ask_for_factor(a, methods, answer);
    }
    TRY(factor_check_counted(a->login, tenant->name, &a->trial.user, a->request->address,
                             a->request->otp, CW_STR(""), &answer->retry_after_ms));
    return start_session(a, CW_STR(FACTOR_AMR), answer);
}

static enum cw_err run_checked(struct attempt *a, struct login_answer *answer)
{
    a->trial = (struct login_trial){
        .login = a->login,
        .tenant = a->scene.tenant->name,
        .username = cw_str(a->username),
        .address = a->request->address,
        .password = cw_secret_str(&a->password),
        .arena = &a->arena,
    };
    enum cw_err err = login_try_password(&a->trial);
    a->event.subject = a->trial.user.subject;
    answer->retry_after_ms = a->trial.retry_after_ms;
    TRY(err);
    /* Told only after the right password. */
    ENSURE(!a->trial.user.disabled, CW_ACCOUNT_BLOCKED);
    ENSURE(!a->trial.user.password_expired, CW_PASSWORD_EXPIRED);
    if (a->trial.outcome == PASSWORD_RIGHT_REHASH) {
        rehash(a);
    }
    TRY(grant_scopes(a, &a->scope));
    return second_factor(a, answer);
}

static enum cw_err run(struct attempt *a, struct login_answer *answer)
{
    const struct login_request *r = a->request;
    TRY(login_scene_open(a->login, r->domain, r->client_id, r->origin, &a->scene));
    a->event.tenant = a->scene.tenant->name;
    a->event.client_id = a->scene.client->id;
    TRY(password_prepare_name(r->username, &a->username));
    a->event.name = cw_str(a->username);
    TRY(password_prepare(r->password, &a->password));
    if (a->scene.tenant->login == TENANT_LOGIN_IDP) {
        return login_idp_run(a->login, &a->scene, r, cw_str(a->username), &a->arena, &a->event,
                             answer);
    }
    return run_checked(a, answer);
}

enum cw_err login_run(struct login *login, const struct login_request *request,
                      struct login_answer *ret_answer)
{
    *ret_answer = (struct login_answer){0};
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct attempt a = {
        .login = login,
        .request = request,
        .arena = CW_ARENA_INIT(ARENA_MAX),
        .event = {.kind = LOGIN_KIND_LOGIN, .address = request->address},
    };
    enum cw_err err = run(&a, ret_answer);
    login_tell(login, &a.event, started, err);
    if (err != CW_OK && err != CW_MFA_REQUIRED) {
        uint32_t retry = ret_answer->retry_after_ms;
        login_answer_done(ret_answer);
        ret_answer->retry_after_ms = retry;
    }
    cw_secret_done(&a.password);
    free(a.username);
    cw_arena_done(&a.arena);
    login_scene_done(&a.scene);
    return err;
}
