/* Change and reset of passwords. Both say nothing about who exists: a change is a login up to the
 * point where the password was right; a reset code is 80 random bits and names no user. */
#include "authsvc/login/account.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/login/factor.h"

enum { ARENA_MAX = 256 * 1024, WORDS_MAX = 64 };

/* --- rules ------------------------------------------------------------------------------ */

/* Up to the first `c`. */
static struct cw_str head(struct cw_str text, char c)
{
    return cw_str_slice(text, 0, cw_str_find(text, c));
}

enum cw_err login_password_allowed(const struct password_blocklist *blocklist,
                                   const struct tenant *tenant, struct cw_str username,
                                   struct cw_str prepared)
{
    struct cw_str words[WORDS_MAX];
    size_t n = 0;
    /* Longer ones first: what they leave is smaller. */
    words[n++] = username;
    words[n++] = head(username, '@');
    for (size_t i = 0; i < tenant->n_domains && n + 2 < WORDS_MAX; i++) {
        words[n++] = tenant->domains[i];
        words[n++] = head(tenant->domains[i], '.');
    }
    words[n++] = tenant->name;
    return password_policy_check(&tenant->password, blocklist, prepared, words, n);
}

/* --- change ----------------------------------------------------------------------------- */

struct change {
    struct login *login;
    const struct login_password_change *request;
    struct login_bearer bearer;
    struct login_owner owner;
    struct login_scene scene; /* where there is no access token */
    const struct tenant *tenant;
    struct cw_str address;
    struct cw_arena arena;
    char *username; /* prepared */
    struct cw_str session_id;
    struct cw_secret old;
    struct cw_secret new;
    struct login_trial trial;
    struct login_event event;
    uint32_t retry_after_ms;
};

/* Whose password: by access token. */
static enum cw_err open_owner(struct change *c)
{
    TRY(login_owner_database(&c->owner));
    c->tenant = c->owner.tenant;
    c->session_id = c->owner.session_id;
    struct store_user user;
    enum cw_err err = store_user_by_subject(c->login->deps.store, c->tenant->name, c->owner.subject,
                                            &c->arena, &user);
    ENSURE(err != CW_NOT_FOUND, CW_TOKEN_REVOKED);
    TRY(err);
    c->username = cw_str_dup(user.username);
    return c->username != NULL ? CW_OK : CW_NO_MEMORY;
}

/* By name, as a login. */
static enum cw_err open_named(struct change *c)
{
    const struct login_password_change *r = c->request;
    TRY(login_scene_open(c->login, r->domain, r->client_id, r->origin, &c->scene));
    c->tenant = c->scene.tenant;
    c->event.client_id = c->scene.client->id;
    ENSURE(c->tenant->login == TENANT_LOGIN_DATABASE, CW_IDP_MANAGED);
    return password_prepare_name(r->username, &c->username);
}

/* A password alone opens nothing where a second factor guards the account. */
static enum cw_err check_factor(struct change *c)
{
    const struct login_password_change *r = c->request;
    struct cw_str methods = {0};
    if (c->session_id.n > 0 || c->tenant->mfa == TENANT_MFA_OFF) {
        return CW_OK; /* the session was begun with it */
    }
    TRY(factor_methods(c->login, c->tenant->name, c->trial.user.subject, &methods));
    if (methods.n == 0) {
        return CW_OK;
    }
    ENSURE(r->otp.n > 0 || r->recovery_code.n > 0, CW_MFA_REQUIRED);
    return factor_check_counted(c->login, c->tenant->name, &c->trial.user, c->address, r->otp,
                                r->recovery_code, &c->retry_after_ms);
}

static enum cw_err check_old(struct change *c)
{
    c->trial = (struct login_trial){
        .login = c->login,
        .tenant = c->tenant->name,
        .username = cw_str(c->username),
        .address = c->address,
        .password = cw_secret_str(&c->old),
        .arena = &c->arena,
    };
    enum cw_err err = login_try_password(&c->trial);
    c->retry_after_ms = c->trial.retry_after_ms;
    c->event.subject = c->trial.user.subject;
    TRY(err);
    ENSURE(c->session_id.n == 0 || cw_str_eq(c->trial.user.subject, c->owner.subject),
           CW_CREDENTIALS_INVALID);
    ENSURE(!c->trial.user.disabled, CW_ACCOUNT_BLOCKED);
    return CW_OK;
}

static enum cw_err check_new(struct change *c)
{
    struct cw_str new = cw_secret_str(&c->new);
    TRY(login_password_allowed(c->login->deps.blocklist, c->tenant, cw_str(c->username), new));
    return cw_secret_eq(new, cw_secret_str(&c->old)) ? CW_PASSWORD_UNCHANGED : CW_OK;
}

static enum cw_err change(struct change *c)
{
    const struct login_password_change *r = c->request;
    TRY(r->access_token.n > 0 || r->username.n == 0 ? open_owner(c) : open_named(c));
    c->event.tenant = c->tenant->name;
    c->event.name = cw_str(c->username);
    TRY(password_prepare(r->old_password, &c->old));
    TRY(password_prepare(r->new_password, &c->new));
    TRY(check_old(c));
    TRY(check_new(c));
    TRY(check_factor(c)); /* last: a code is not used up by a password that is refused */
    char hash[PASSWORD_HASH_MAX];
    TRY(password_hash(c->login->deps.hasher, cw_secret_str(&c->new), hash));
    TRY(store_user_change_password(c->login->deps.store, c->tenant->name, c->trial.user.subject,
                                   c->trial.user.password_hash, cw_str(hash), c->session_id));
    login_revoked(c->login);
    return CW_OK;
}

enum cw_err login_password_change(struct login *login, const struct login_password_change *request,
                                  uint32_t *ret_retry_after_ms)
{
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct change c = {
        .login = login,
        .request = request,
        .bearer = {.domain = request->domain,
                   .access_token = request->access_token,
                   .address = request->address},
        .address = request->address,
        .arena = CW_ARENA_INIT(ARENA_MAX),
        .event = {.kind = LOGIN_KIND_ACCOUNT,
                  .note = "password-changed",
                  .address = request->address},
    };
    c.owner = login_owner_of(login, &c.bearer);
    enum cw_err err = change(&c);
    if (c.owner.tenant != NULL) {
        c.event.tenant = c.owner.tenant->name;
        c.event.session_id = c.owner.session_id;
    }
    *ret_retry_after_ms = c.retry_after_ms;
    login_tell(login, &c.event, started, err);
    cw_secret_done(&c.old);
    cw_secret_done(&c.new);
    free(c.username);
    cw_arena_done(&c.arena);
    login_scene_done(&c.scene);
    login_owner_done(&c.owner);
    return err;
}

/* --- reset ------------------------------------------------------------------------------ */

static void hash_code(const char plain[CODE_CHARS], uint8_t ret_hash[STORE_HASH_SIZE])
{
    crypto_hash_sha256(ret_hash, (const uint8_t *)plain, CODE_CHARS);
}

enum cw_err login_reset_issue(struct store *store, struct cw_str tenant, struct cw_str username,
                              int64_t life_ms, char ret_code[CODE_TEXT_SIZE])
{
    char text[CODE_TEXT_SIZE];
    char plain[CODE_CHARS];
    uint8_t hash[STORE_HASH_SIZE];
    ENSURE(life_ms >= 60 * 1000 && life_ms <= RESET_LIFE_MAX_MS, CW_REQUEST_MALFORMED);
    code_new(text);
    ENSURE(code_plain(cw_str(text), plain), CW_INTERNAL);
    hash_code(plain, hash);
    TRY(store_reset_add(store, tenant, username, hash,
                        cw_clock_wall_ms(store_clock(store)) + life_ms));
    memcpy(ret_code, text, sizeof(text));
    sodium_memzero(text, sizeof(text));
    sodium_memzero(plain, sizeof(plain));
    return CW_OK;
}

struct reset {
    struct login *login;
    const struct login_password_reset *request;
    struct login_scene scene;
    struct cw_arena arena;
    struct cw_secret new;
    uint8_t hash[STORE_HASH_SIZE];
    struct login_event event;
    uint32_t retry_after_ms;
};

static enum cw_err find_user(struct reset *r, struct store_user *ret_user)
{
    char plain[CODE_CHARS];
    ENSURE(code_plain(r->request->code, plain), CW_RESET_INVALID);
    hash_code(plain, r->hash);
    sodium_memzero(plain, sizeof(plain));
    enum cw_err err =
        store_reset_user(r->login->deps.store, r->scene.tenant->name, r->hash, &r->arena, ret_user);
    return err == CW_NOT_FOUND ? CW_RESET_INVALID : err;
}

static enum cw_err redeem(struct reset *r)
{
    struct store_user user;
    TRY(find_user(r, &user));
    r->event.subject = user.subject;
    r->event.name = user.username;
    struct cw_str new = cw_secret_str(&r->new);
    TRY(login_password_allowed(r->login->deps.blocklist, r->scene.tenant, user.username, new));
    char hash[PASSWORD_HASH_MAX];
    TRY(password_hash(r->login->deps.hasher, new, hash));
    enum cw_err err =
        store_reset_redeem(r->login->deps.store, r->scene.tenant->name, r->hash, cw_str(hash));
    return err == CW_NOT_FOUND ? CW_RESET_INVALID : err;
}

static enum cw_err reset(struct reset *r)
{
    const struct login_password_reset *q = r->request;
    TRY(login_scene_open(r->login, q->domain, q->client_id, q->origin, &r->scene));
    const struct tenant *tenant = r->scene.tenant;
    r->event.tenant = tenant->name;
    r->event.client_id = r->scene.client->id;
    ENSURE(tenant->login == TENANT_LOGIN_DATABASE, CW_IDP_MANAGED);
    TRY(password_prepare(q->new_password, &r->new));
    struct throttle_attempt counted;
    TRY(login_throttle(r->login, THROTTLE_RESET, tenant->name, CW_STR(""), q->address, &counted,
                       &r->retry_after_ms));
    enum cw_err err = redeem(r);
    throttle_end(r->login->throttle, &counted, throttle_verdict(err, CW_RESET_INVALID));
    TRY(err);
    login_revoked(r->login);
    return CW_OK;
}

enum cw_err login_password_reset(struct login *login, const struct login_password_reset *request,
                                 uint32_t *ret_retry_after_ms)
{
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct reset r = {
        .login = login,
        .request = request,
        .arena = CW_ARENA_INIT(ARENA_MAX),
        .event = {.kind = LOGIN_KIND_ACCOUNT,
                  .note = "password-reset",
                  .address = request->address},
    };
    enum cw_err err = reset(&r);
    *ret_retry_after_ms = r.retry_after_ms;
    login_tell(login, &r.event, started, err);
    cw_secret_done(&r.new);
    cw_arena_done(&r.arena);
    login_scene_done(&r.scene);
    return err;
}
