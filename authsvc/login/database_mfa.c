/* Second factors of the central database, as a kind of continuation. */
#include <string.h>

#include "authsvc/login/factor.h"
#include "authsvc/login/mfa_kind.h"

/* There is nothing to send: the user's app has the code. */
static enum cw_err challenge(struct mfa_turn *turn, struct login_challenge *ret_challenge)
{
    struct cw_str asked = turn->request->challenge_type;
    ENSURE(asked.n == 0 || token_scope_has(asked, "otp"), CW_MFA_METHOD_UNSUPPORTED);
    ENSURE(turn->request->authenticator_id.n == 0, CW_MFA_METHOD_UNSUPPORTED);
    ret_challenge->challenge_type = strdup("otp");
    return ret_challenge->challenge_type != NULL ? CW_OK : CW_NO_MEMORY;
}

/* The user, for `finish`: read before the mfa_token is claimed. */
static enum cw_err read_user(struct mfa_turn *turn)
{
    struct store_user *user = cw_arena_alloc(&turn->arena, sizeof(*user));
    ENSURE(user != NULL, CW_NO_MEMORY);
    enum cw_err err = store_user_by_subject(turn->login->deps.store, turn->scene.tenant->name,
                                            turn->row.subject, &turn->arena, user);
    ENSURE(err != CW_NOT_FOUND, CW_MFA_TOKEN_INVALID); /* deleted since */
    TRY(err);
    ENSURE(!user->disabled, CW_ACCOUNT_BLOCKED);
    ENSURE(!user->password_expired, CW_PASSWORD_EXPIRED);
    turn->data = user;
    return CW_OK;
}

static enum cw_err check(struct mfa_turn *turn)
{
    const struct login_mfa_request *r = turn->request;
    struct cw_str tenant = turn->scene.tenant->name;
    ENSURE(r->oob_code.n == 0, CW_MFA_METHOD_UNSUPPORTED);
    TRY(read_user(turn));
    if (!cw_str_is(turn->row.methods, "enrol")) {
        return factor_check(turn->login, tenant, turn->row.subject, r->otp, r->recovery_code);
    }
    ENSURE(r->otp.n > 0, CW_MFA_METHOD_UNSUPPORTED);
    enum cw_err err = factor_confirm(turn->login, tenant, turn->row.subject, r->otp, NULL);
    /* Nothing was started, or another login has enrolled meanwhile. */
    return err == CW_NOT_FOUND || err == CW_CONFLICT ? CW_MFA_METHOD_UNSUPPORTED : err;
}

static enum cw_err finish(struct mfa_turn *turn, struct login_answer *answer)
{
    const struct login_start start = {
        .scope = turn->row.scope,
        .device = turn->request->device,
        .address = turn->request->address,
        .amr = CW_STR(FACTOR_AMR),
    };
    return login_session_start(turn->login, &turn->scene, turn->data, &start, answer);
}

const struct mfa_kind mfa_database = {
    .name = "database",
    .challenge = challenge,
    .check = check,
    .finish = finish,
};
