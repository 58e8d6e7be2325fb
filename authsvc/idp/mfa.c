/* Second factors at the provider: a challenge, and the grant that ends the login. */
#include <stdlib.h>
#include <string.h>

#include "authsvc/idp/idp_impl.h"
#include "common/jose/json.h"

#define MFA_GRANT "http://auth0.com/oauth/grant-type/mfa-"

void idp_challenge_done(struct idp_challenge *challenge)
{
    free(challenge->challenge_type);
    free(challenge->oob_code);
    free(challenge->binding_method);
    *challenge = (struct idp_challenge){0};
}

static enum cw_err text(const json_t *body, const char *name, char **ret)
{
    struct cw_str s;
    if (!cw_json_get_str(body, name, &s) || s.n == 0) {
        return CW_OK;
    }
    *ret = cw_str_dup(s);
    return *ret != NULL ? CW_OK : CW_NO_MEMORY;
}

static enum cw_err read_challenge(struct idp_call *call, struct idp_challenge *ret)
{
    json_t *body = NULL;
    if (cw_json_parse_object(cw_buf_str(&call->body), CW_IDP_UNAVAILABLE, &body) != CW_OK) {
        return idp_call_bad_answer(call, "the challenge is no JSON object");
    }
    enum cw_err err = text(body, "challenge_type", &ret->challenge_type);
    err = err == CW_OK ? text(body, "oob_code", &ret->oob_code) : err;
    err = err == CW_OK ? text(body, "binding_method", &ret->binding_method) : err;
    json_decref(body);
    TRY(err);
    return ret->challenge_type != NULL ? CW_OK
                                       : idp_call_bad_answer(call, "the challenge has no type");
}

static enum cw_err challenge_one(struct idp_call *call, struct cw_str mfa_token, struct cw_str type,
                                 struct cw_str authenticator_id, struct idp_challenge *ret)
{
    CW_CLEANUP(idp_body_done) struct idp_body body = IDP_BODY_INIT;
    body.json = true; /* the form that Auth0 documents for this endpoint */
    idp_body_add(&body, "mfa_token", mfa_token);
    idp_body_add(&body, "challenge_type", type);
    if (authenticator_id.n > 0) {
        idp_body_add(&body, "authenticator_id", authenticator_id);
    }
    TRY(idp_call_body(call, call->metadata->mfa_challenge_endpoint, &body, CW_STR("")));
    return read_challenge(call, ret);
}

static enum cw_err challenge(struct idp_call *call, struct cw_str mfa_token, struct cw_str type,
                             struct cw_str authenticator_id, struct idp_challenge *ret)
{
    TRY(idp_call_open(call));
    ENSURE(call->metadata->mfa_challenge_endpoint != NULL, CW_MFA_METHOD_UNSUPPORTED);
    if (type.n > 0) {
        return challenge_one(call, mfa_token, type, authenticator_id, ret);
    }
    enum cw_err err = challenge_one(call, mfa_token, CW_STR("oob"), authenticator_id, ret);
    return err == CW_MFA_METHOD_UNSUPPORTED
               ? challenge_one(call, mfa_token, CW_STR("otp"), authenticator_id, ret)
               : err;
}

enum cw_err idp_mfa_challenge(struct idp *idp, const struct tenant *tenant, struct cw_str mfa_token,
                              struct cw_str type, struct cw_str authenticator_id,
                              struct idp_challenge *ret_challenge, struct idp_refusal *ret_refusal)
{
    struct idp_call call = {.idp = idp,
                            .tenant = tenant,
                            .operation = "challenge",
                            .step = IDP_STEP_MFA,
                            .refusal = ret_refusal};
    *ret_challenge = (struct idp_challenge){0};
    *ret_refusal = (struct idp_refusal){0};
    enum cw_err err = challenge(&call, mfa_token, type, authenticator_id, ret_challenge);
    idp_call_done(&call);
    if (err != CW_OK) {
        idp_challenge_done(ret_challenge);
    }
    return err;
}

static enum cw_err prove(struct idp_call *call, struct cw_str mfa_token,
                         const struct idp_proof *proof, struct idp_tokens *ret_tokens)
{
    TRY(idp_call_open(call));
    CW_CLEANUP(idp_body_done) struct idp_body body = IDP_BODY_INIT;
    if (proof->otp.n > 0) {
        idp_body_add(&body, "grant_type", CW_STR(MFA_GRANT "otp"));
        idp_body_add(&body, "otp", proof->otp);
    } else if (proof->recovery_code.n > 0) {
        idp_body_add(&body, "grant_type", CW_STR(MFA_GRANT "recovery-code"));
        idp_body_add(&body, "recovery_code", proof->recovery_code);
    } else {
        idp_body_add(&body, "grant_type", CW_STR(MFA_GRANT "oob"));
        idp_body_add(&body, "oob_code", proof->oob_code);
        if (proof->binding_code.n > 0) {
            idp_body_add(&body, "binding_code", proof->binding_code);
        }
    }
    idp_body_add(&body, "mfa_token", mfa_token);
    TRY(idp_call_body(call, call->metadata->token_endpoint, &body, proof->address));
    return idp_read_tokens(call, CW_STR(""), ret_tokens);
}

enum cw_err idp_mfa_verify(struct idp *idp, const struct tenant *tenant, struct cw_str mfa_token,
                           const struct idp_proof *proof, struct idp_tokens *ret_tokens,
                           struct idp_refusal *ret_refusal)
{
    struct idp_call call = {.idp = idp,
                            .tenant = tenant,
                            .operation = "mfa",
                            .step = IDP_STEP_MFA,
                            .refusal = ret_refusal};
    *ret_tokens = (struct idp_tokens){0};
    *ret_refusal = (struct idp_refusal){0};
    enum cw_err err = prove(&call, mfa_token, proof, ret_tokens);
    idp_call_done(&call);
    if (err != CW_OK) {
        idp_tokens_done(ret_tokens);
    }
    return err;
}
