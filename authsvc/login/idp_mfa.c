/* Second factors of an identity provider, as a kind of continuation: what it keeps is the
 * provider's own mfa_token. */
#include <stdlib.h>

#include "authsvc/login/idp_tokens.h"
#include "authsvc/login/mfa_kind.h"

static enum cw_err challenge(struct mfa_turn *turn, struct login_challenge *ret)
{
    struct idp *idp = turn->login->deps.idp;
    ENSURE(idp != NULL && turn->scene.tenant->login == TENANT_LOGIN_IDP, CW_MFA_TOKEN_INVALID);
    struct cw_str asked = turn->request->challenge_type;
    bool oob = token_scope_has(asked, "oob");
    bool otp = token_scope_has(asked, "otp");
    ENSURE(asked.n == 0 || oob || otp, CW_MFA_METHOD_UNSUPPORTED);
    struct cw_str type = oob == otp ? CW_STR("") : oob ? CW_STR("oob") : CW_STR("otp");
    struct idp_challenge told;
    struct idp_refusal refusal;
    enum cw_err err = idp_mfa_challenge(idp, turn->scene.tenant, cw_secret_str(&turn->state), type,
                                        turn->request->authenticator_id, &told, &refusal);
    turn->retry_after_ms = refusal.retry_after_ms;
    idp_refusal_done(&refusal);
    if (err == CW_OK) {
        *ret = (struct login_challenge){
            .challenge_type = told.challenge_type,
            .oob_code = told.oob_code,
            .binding_method = told.binding_method,
        };
    }
    return err;
}

static enum cw_err check(struct mfa_turn *turn)
{
    const struct login_mfa_request *r = turn->request;
    struct idp *idp = turn->login->deps.idp;
    ENSURE(idp != NULL && turn->scene.tenant->login == TENANT_LOGIN_IDP, CW_MFA_TOKEN_INVALID);
    struct idp_tokens *tokens = calloc(1, sizeof(*tokens));
    ENSURE(tokens != NULL, CW_NO_MEMORY);
    turn->data = tokens;
    const struct idp_proof proof = {
        .otp = r->otp,
        .recovery_code = r->recovery_code,
        .oob_code = r->oob_code,
        .binding_code = r->binding_code,
        .address = r->address,
    };
    struct idp_refusal refusal;
    enum cw_err err = idp_mfa_verify(idp, turn->scene.tenant, cw_secret_str(&turn->state), &proof,
                                     tokens, &refusal);
    turn->retry_after_ms = refusal.retry_after_ms;
    idp_refusal_done(&refusal);
    if (err == CW_OK) {
        turn->event.subject = cw_str(tokens->subject);
    }
    return err;
}

static enum cw_err finish(struct mfa_turn *turn, struct login_answer *answer)
{
    const struct login_start start = {
        .scope = turn->row.scope,
        .device = turn->request->device,
        .address = turn->request->address,
        .amr = CW_STR("[\"pwd\",\"mfa\"]"),
    };
    return login_idp_start(turn->login, &turn->scene, turn->data, &start, answer);
}

static void done(struct mfa_turn *turn)
{
    if (turn->data != NULL) {
        idp_tokens_done(turn->data);
        free(turn->data);
    }
}

const struct mfa_kind mfa_idp = {
    .name = "idp",
    .challenge = challenge,
    .check = check,
    .finish = finish,
    .done = done,
};
