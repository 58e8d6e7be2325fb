/* The one place where a password is looked at: counted first, hashed exactly once. */
#include "authsvc/login/login_impl.h"

enum cw_err login_throttle(struct login *login, enum throttle_what what, struct cw_str tenant,
                           struct cw_str username, struct cw_str address,
                           struct throttle_attempt *attempt, uint32_t *ret_retry_after_ms)
{
    int64_t wait_ms = 0;
    enum cw_err err =
        throttle_begin(login->throttle, what, tenant, username, address, attempt, &wait_ms);
    if (err != CW_OK) {
        *ret_retry_after_ms = (uint32_t)CW_MIN(wait_ms, INT32_MAX);
    }
    return err;
}

/* The same work for known and unknown users. */
static enum cw_err check(struct login_trial *t)
{
    struct login *login = t->login;
    enum cw_err err =
        store_user_by_name(login->deps.store, t->tenant, t->username, t->arena, &t->user);
    if (err == CW_NOT_FOUND) {
        t->user = (struct store_user){0};
    } else {
        TRY(err);
    }
    return password_verify(login->deps.hasher, t->user.password_hash, t->password, &t->outcome);
}

enum cw_err login_try_password(struct login_trial *t)
{
    struct throttle_attempt counted;
    TRY(login_throttle(t->login, THROTTLE_LOGIN, t->tenant, t->username, t->address, &counted,
                       &t->retry_after_ms));
    enum cw_err err = check(t);
    bool right = err == CW_OK && t->outcome != PASSWORD_WRONG;
    err = err != CW_OK ? err : right ? CW_OK : CW_CREDENTIALS_INVALID;
    /* A failure of ours is not the user's: it is taken out again, too. */
    throttle_end(t->login->throttle, &counted, throttle_verdict(err, CW_CREDENTIALS_INVALID));
    return err;
}

enum cw_err login_password_again(struct login_owner *o, const struct store_user *user,
                                 struct cw_str password, uint32_t *ret_retry_after_ms)
{
    struct cw_secret prepared = {0};
    TRY(password_prepare(password, &prepared));
    struct login_trial trial = {
        .login = o->login,
        .tenant = o->tenant->name,
        .username = user->username,
        .address = o->bearer->address,
        .password = cw_secret_str(&prepared),
        .arena = &o->arena,
    };
    enum cw_err err = login_try_password(&trial);
    cw_secret_done(&prepared);
    *ret_retry_after_ms = trial.retry_after_ms;
    TRY(err);
    /* The name went to somebody else meanwhile. */
    ENSURE(cw_str_eq(trial.user.subject, o->subject), CW_CREDENTIALS_INVALID);
    return trial.user.disabled ? CW_ACCOUNT_BLOCKED : CW_OK;
}
