/* What users do about their own second factors. Whatever changes how somebody gets in takes more
 * than an access token, which may be stolen: the password, and the factor that is there (OWASP ASVS
 * 7.5.1). */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/login/factor.h"
#include "authsvc/login/mfa_kind.h"

void login_totp_secret_done(struct login_totp_secret *secret)
{
    if (secret->secret != NULL) {
        cw_secret_wipe(secret->secret, strlen(secret->secret));
    }
    if (secret->url != NULL) {
        cw_secret_wipe(secret->url, strlen(secret->url));
    }
    free(secret->secret);
    free(secret->url);
    *secret = (struct login_totp_secret){.retry_after_ms = secret->retry_after_ms};
}

static enum cw_err open_user(struct login_owner *o, struct store_user *ret_user)
{
    TRY(login_owner_database(o));
    enum cw_err err = store_user_by_subject(o->login->deps.store, o->tenant->name, o->subject,
                                            &o->arena, ret_user);
    ENSURE(err != CW_NOT_FOUND, CW_TOKEN_REVOKED);
    TRY(err);
    o->event.name = ret_user->username;
    return CW_OK;
}

static struct login_owner owner_of(struct login *login, const struct login_bearer *bearer,
                                   const char *note)
{
    struct login_owner o = login_owner_of(login, bearer);
    o.event.kind = LOGIN_KIND_ACCOUNT;
    o.event.note = note;
    return o;
}

/* --- status ----------------------------------------------------------------------------- */

static enum cw_err status(struct login_owner *o, struct login_mfa_status *ret_status)
{
    struct cw_str methods;
    TRY(login_owner_database(o));
    TRY(factor_methods(o->login, o->tenant->name, o->subject, &methods));
    ret_status->policy = o->tenant->mfa;
    ret_status->totp = methods.n > 0;
    ret_status->recovery_codes = 0;
    if (methods.n == 0) {
        return CW_OK;
    }
    return store_recovery_count(o->login->deps.store, o->tenant->name, o->subject,
                                &ret_status->recovery_codes);
}

enum cw_err login_mfa_status(struct login *login, const struct login_bearer *bearer,
                             struct login_mfa_status *ret_status)
{
    struct login_owner o = owner_of(login, bearer, NULL);
    enum cw_err err = status(&o, ret_status);
    login_owner_done(&o);
    return err;
}

/* --- TOTP ------------------------------------------------------------------------------- */

static enum cw_err start(struct login_owner *o, struct cw_str password,
                         struct login_totp_secret *ret_secret)
{
    struct store_user user;
    TRY(open_user(o, &user));
    ENSURE(o->tenant->mfa != TENANT_MFA_OFF, CW_MFA_NOT_OFFERED);
    TRY(login_password_again(o, &user, password, &ret_secret->retry_after_ms));
    return factor_start(o->login, o->tenant, &user, ret_secret);
}

enum cw_err login_totp_start(struct login *login, const struct login_bearer *bearer,
                             struct cw_str password, struct login_totp_secret *ret_secret)
{
    *ret_secret = (struct login_totp_secret){0};
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct login_owner o = owner_of(login, bearer, "totp-started");
    enum cw_err err = start(&o, password, ret_secret);
    login_tell(login, &o.event, started, err);
    if (err != CW_OK) {
        login_totp_secret_done(ret_secret);
    }
    login_owner_done(&o);
    return err;
}

static enum cw_err start_by_token(struct mfa_turn *turn, struct login_totp_secret *ret_secret)
{
    TRY(mfa_turn_open(turn, STORE_CHALLENGE_SEND));
    ENSURE(cw_str_is(turn->row.methods, "enrol"), CW_MFA_METHOD_UNSUPPORTED);
    const struct store_user user = {
        .subject = turn->row.subject,
        .username = turn->row.username,
    };
    return factor_start(turn->login, turn->scene.tenant, &user, ret_secret);
}

enum cw_err login_totp_start_by_token(struct login *login, const struct login_mfa_request *request,
                                      struct login_totp_secret *ret_secret)
{
    *ret_secret = (struct login_totp_secret){0};
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct mfa_turn turn = {
        .login = login,
        .request = request,
        .event = {.kind = LOGIN_KIND_ACCOUNT, .note = "totp-started"},
    };
    enum cw_err err = start_by_token(&turn, ret_secret);
    login_tell(login, &turn.event, started, err);
    if (err != CW_OK) {
        login_totp_secret_done(ret_secret);
    }
    mfa_turn_done(&turn);
    return err;
}

static enum cw_err confirm(struct login_owner *o, struct cw_str otp,
                           struct login_mfa_codes *ret_codes)
{
    struct store_user user;
    struct throttle_attempt counted;
    TRY(open_user(o, &user));
    ENSURE(o->tenant->mfa != TENANT_MFA_OFF, CW_MFA_NOT_OFFERED);
    TRY(login_throttle(o->login, THROTTLE_MFA, o->tenant->name, user.username, o->bearer->address,
                       &counted, &ret_codes->retry_after_ms));
    enum cw_err err = factor_confirm(o->login, o->tenant->name, o->subject, otp, ret_codes);
    throttle_end(o->login->throttle, &counted, throttle_verdict(err, CW_MFA_INVALID));
    return err;
}

static void wipe_codes(struct login_mfa_codes *codes)
{
    sodium_memzero(codes->codes, sizeof(codes->codes));
}

enum cw_err login_totp_confirm(struct login *login, const struct login_bearer *bearer,
                               struct cw_str otp, struct login_mfa_codes *ret_codes)
{
    *ret_codes = (struct login_mfa_codes){0};
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct login_owner o = owner_of(login, bearer, "totp-enrolled");
    enum cw_err err = confirm(&o, otp, ret_codes);
    login_tell(login, &o.event, started, err);
    if (err != CW_OK) {
        wipe_codes(ret_codes);
    }
    login_owner_done(&o);
    return err;
}

static enum cw_err remove_factors(struct login_owner *o, const struct login_mfa_proof *proof,
                                  uint32_t *retry_after_ms)
{
    struct store_user user;
    struct cw_str methods;
    TRY(open_user(o, &user));
    ENSURE(o->tenant->mfa != TENANT_MFA_REQUIRED, CW_MFA_NOT_OFFERED);
    TRY(factor_methods(o->login, o->tenant->name, o->subject, &methods));
    ENSURE(methods.n > 0, CW_NOT_FOUND);
    TRY(login_password_again(o, &user, proof->password, retry_after_ms));
    TRY(factor_check_counted(o->login, o->tenant->name, &user, o->bearer->address, proof->otp,
                             proof->recovery_code, retry_after_ms));
    return store_mfa_remove(o->login->deps.store, o->tenant->name, o->subject);
}

enum cw_err login_mfa_remove(struct login *login, const struct login_bearer *bearer,
                             const struct login_mfa_proof *proof, uint32_t *ret_retry_after_ms)
{
    *ret_retry_after_ms = 0;
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct login_owner o = owner_of(login, bearer, "totp-removed");
    enum cw_err err = remove_factors(&o, proof, ret_retry_after_ms);
    login_tell(login, &o.event, started, err);
    login_owner_done(&o);
    return err;
}

/* --- recovery codes --------------------------------------------------------------------- */

static enum cw_err renew(struct login_owner *o, struct cw_str otp,
                         struct login_mfa_codes *ret_codes)
{
    struct store_user user;
    TRY(open_user(o, &user));
    ENSURE(otp.n > 0, CW_REQUEST_MALFORMED);
    TRY(factor_check_counted(o->login, o->tenant->name, &user, o->bearer->address, otp, CW_STR(""),
                             &ret_codes->retry_after_ms));
    return factor_renew_codes(o->login, o->tenant->name, o->subject, ret_codes);
}

enum cw_err login_recovery_renew(struct login *login, const struct login_bearer *bearer,
                                 struct cw_str otp, struct login_mfa_codes *ret_codes)
{
    *ret_codes = (struct login_mfa_codes){0};
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct login_owner o = owner_of(login, bearer, "recovery-codes-renewed");
    enum cw_err err = renew(&o, otp, ret_codes);
    login_tell(login, &o.event, started, err);
    if (err != CW_OK) {
        wipe_codes(ret_codes);
    }
    login_owner_done(&o);
    return err;
}

/* --- for administrators ----------------------------------------------------------------- */

enum cw_err login_mfa_reset(struct store *store, struct cw_str tenant, struct cw_str username)
{
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    struct store_user user;
    enum cw_err err = store_user_by_name(store, tenant, username, &arena, &user);
    if (err == CW_OK) {
        err = store_mfa_remove(store, tenant, user.subject);
    }
    cw_arena_done(&arena);
    return err;
}
