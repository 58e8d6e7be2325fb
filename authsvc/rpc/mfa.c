/* The second step of a login, and a user's own second factors, by gRPC. */
#include <string.h>

#include "authsvc/login/mfa.h"
#include "authsvc/rpc/rpc_impl.h"

typedef Clinicwave__Identity__V1__ChallengeMfaRequest challenge_message;
typedef Clinicwave__Identity__V1__VerifyMfaRequest verify_message;
typedef Clinicwave__Identity__V1__GetMfaRequest get_message;
typedef Clinicwave__Identity__V1__StartTotpRequest start_message;
typedef Clinicwave__Identity__V1__ConfirmTotpRequest confirm_message;
typedef Clinicwave__Identity__V1__RemoveTotpRequest remove_message;
typedef Clinicwave__Identity__V1__RenewRecoveryCodesRequest renew_message;

/* The bounds of the REST door. */
static bool fits(struct cw_str value, size_t max)
{
    return value.n <= max;
}

static char *or_empty(char *text)
{
    static char empty[] = "";
    return text != NULL ? text : empty;
}

/* --- the second step of a login --------------------------------------------------------- */

static void run_challenge(void *arg)
{
    struct rpc_job *job = arg;
    const challenge_message *m = (const challenge_message *)job->request;
    const struct login_mfa_request r = {
        .domain = cw_str(m->domain),
        .client_id = cw_str(m->client_id),
        .address = cw_str(job->address),
        .mfa_token = rpc_bytes(m->mfa_token),
        .challenge_type = cw_str(m->challenge_type),
        .authenticator_id = cw_str(m->authenticator_id),
    };
    struct login_challenge challenge = {0};
    bool ok = fits(r.client_id, RPC_FIELD_MAX) && fits(r.challenge_type, RPC_CODE_MAX) &&
              fits(r.authenticator_id, RPC_FIELD_MAX);
    enum cw_err err =
        ok ? login_mfa_challenge(job->identity->login, &r, &challenge) : CW_REQUEST_MALFORMED;
    Clinicwave__Identity__V1__ChallengeMfaResponse response =
        CLINICWAVE__IDENTITY__V1__CHALLENGE_MFA_RESPONSE__INIT;
    response.challenge_type = or_empty(challenge.challenge_type);
    response.oob_code = or_empty(challenge.oob_code);
    response.binding_method = or_empty(challenge.binding_method);
    rpc_finish(job, err, challenge.retry_after_ms, &response.base);
    login_challenge_done(&challenge);
}

static void run_verify(void *arg)
{
    struct rpc_job *job = arg;
    const verify_message *m = (const verify_message *)job->request;
    const struct login_mfa_request r = {
        .domain = cw_str(m->domain),
        .client_id = cw_str(m->client_id),
        .address = cw_str(job->address),
        .device = rpc_text_or_none(m->user_agent),
        .mfa_token = rpc_bytes(m->mfa_token),
        .otp = rpc_bytes(m->otp),
        .recovery_code = rpc_bytes(m->recovery_code),
        .oob_code = rpc_bytes(m->oob_code),
        .binding_code = rpc_bytes(m->binding_code),
    };
    struct login_answer a = {0};
    bool ok = fits(r.client_id, RPC_FIELD_MAX) && fits(r.otp, RPC_CODE_MAX) &&
              fits(r.recovery_code, RPC_CODE_MAX) && fits(r.oob_code, RPC_FIELD_MAX) &&
              fits(r.binding_code, RPC_CODE_MAX);
    enum cw_err err = ok ? login_mfa_verify(job->identity->login, &r, &a) : CW_REQUEST_MALFORMED;
    Clinicwave__Identity__V1__TokenSet set;
    Clinicwave__Identity__V1__VerifyMfaResponse response =
        CLINICWAVE__IDENTITY__V1__VERIFY_MFA_RESPONSE__INIT;
    response.tokens = &set;
    rpc_finish_tokens(job, err, &a, &set, &response.base);
}

/* --- a user's own ----------------------------------------------------------------------- */

static void run_get(void *arg)
{
    static char optional[] = "optional", off[] = "off", required[] = "required";
    static char *const policies[] = {
        [TENANT_MFA_OPTIONAL] = optional,
        [TENANT_MFA_OFF] = off,
        [TENANT_MFA_REQUIRED] = required,
    };
    struct rpc_job *job = arg;
    const get_message *m = (const get_message *)job->request;
    const struct login_bearer bearer = rpc_bearer(job, m->domain, m->access_token);
    struct login_mfa_status status = {0};
    enum cw_err err = login_mfa_status(job->identity->login, &bearer, &status);
    Clinicwave__Identity__V1__GetMfaResponse response =
        CLINICWAVE__IDENTITY__V1__GET_MFA_RESPONSE__INIT;
    response.policy = policies[status.policy];
    response.totp = status.totp;
    response.recovery_codes = status.recovery_codes;
    rpc_finish(job, err, 0, &response.base);
}

static enum cw_err start(struct rpc_job *job, const start_message *m,
                         struct login_totp_secret *ret_secret)
{
    ENSURE(fits(cw_str(m->client_id), RPC_FIELD_MAX), CW_REQUEST_MALFORMED);
    if (m->access_token.len == 0 && m->mfa_token.len > 0) {
        const struct login_mfa_request r = {
            .domain = cw_str(m->domain),
            .client_id = cw_str(m->client_id),
            .address = cw_str(job->address),
            .mfa_token = rpc_bytes(m->mfa_token),
        };
        return login_totp_start_by_token(job->identity->login, &r, ret_secret);
    }
    const struct login_bearer bearer = rpc_bearer(job, m->domain, m->access_token);
    return login_totp_start(job->identity->login, &bearer, rpc_bytes(m->password), ret_secret);
}

static void run_start(void *arg)
{
    struct rpc_job *job = arg;
    struct login_totp_secret secret = {0};
    enum cw_err err = start(job, (const start_message *)job->request, &secret);
    Clinicwave__Identity__V1__StartTotpResponse response =
        CLINICWAVE__IDENTITY__V1__START_TOTP_RESPONSE__INIT;
    char *text = or_empty(secret.secret);
    response.secret = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
    response.otpauth_url = or_empty(secret.url);
    rpc_finish(job, err, secret.retry_after_ms, &response.base);
    login_totp_secret_done(&secret);
}

static void list_codes(struct login_mfa_codes *codes, char *ret_list[RECOVERY_CODES])
{
    for (size_t i = 0; i < RECOVERY_CODES; i++) {
        ret_list[i] = codes->codes[i];
    }
}

static void run_confirm(void *arg)
{
    struct rpc_job *job = arg;
    const confirm_message *m = (const confirm_message *)job->request;
    const struct login_bearer bearer = rpc_bearer(job, m->domain, m->access_token);
    struct login_mfa_codes codes = {0};
    enum cw_err err = m->otp.len <= RPC_CODE_MAX ? login_totp_confirm(job->identity->login, &bearer,
                                                                      rpc_bytes(m->otp), &codes)
                                                 : CW_REQUEST_MALFORMED;
    char *list[RECOVERY_CODES];
    list_codes(&codes, list);
    Clinicwave__Identity__V1__ConfirmTotpResponse response =
        CLINICWAVE__IDENTITY__V1__CONFIRM_TOTP_RESPONSE__INIT;
    response.recovery_codes = list;
    response.n_recovery_codes = RECOVERY_CODES;
    rpc_finish(job, err, codes.retry_after_ms, &response.base);
    cw_secret_wipe(&codes, sizeof(codes));
}

static void run_remove(void *arg)
{
    struct rpc_job *job = arg;
    const remove_message *m = (const remove_message *)job->request;
    const struct login_bearer bearer = rpc_bearer(job, m->domain, m->access_token);
    const struct login_mfa_proof proof = {
        .password = rpc_bytes(m->password),
        .otp = rpc_bytes(m->otp),
        .recovery_code = rpc_bytes(m->recovery_code),
    };
    uint32_t retry_after_ms = 0;
    bool ok = fits(proof.otp, RPC_CODE_MAX) && fits(proof.recovery_code, RPC_CODE_MAX);
    enum cw_err err = ok ? login_mfa_remove(job->identity->login, &bearer, &proof, &retry_after_ms)
                         : CW_REQUEST_MALFORMED;
    Clinicwave__Identity__V1__RemoveTotpResponse response =
        CLINICWAVE__IDENTITY__V1__REMOVE_TOTP_RESPONSE__INIT;
    rpc_finish(job, err, retry_after_ms, &response.base);
}

static void run_renew(void *arg)
{
    struct rpc_job *job = arg;
    const renew_message *m = (const renew_message *)job->request;
    const struct login_bearer bearer = rpc_bearer(job, m->domain, m->access_token);
    struct login_mfa_codes codes = {0};
    enum cw_err err =
        m->otp.len <= RPC_CODE_MAX
            ? login_recovery_renew(job->identity->login, &bearer, rpc_bytes(m->otp), &codes)
            : CW_REQUEST_MALFORMED;
    char *list[RECOVERY_CODES];
    list_codes(&codes, list);
    Clinicwave__Identity__V1__RenewRecoveryCodesResponse response =
        CLINICWAVE__IDENTITY__V1__RENEW_RECOVERY_CODES_RESPONSE__INIT;
    response.recovery_codes = list;
    response.n_recovery_codes = RECOVERY_CODES;
    rpc_finish(job, err, codes.retry_after_ms, &response.base);
    cw_secret_wipe(&codes, sizeof(codes));
}

/* --- handlers, on the poller: what hashes a password waits with the logins --------------- */

#define HANDLER(NAME, MESSAGE, ADDRESS, POOL, RUN)                                                 \
    void NAME(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)                \
    {                                                                                              \
        const struct identity *identity = ctx;                                                     \
        rpc_hand_over(call, request, identity, ((const MESSAGE *)request)->domain,                 \
                      ADDRESS(MESSAGE, request), identity->POOL, RUN);                             \
    }
#define TOLD(MESSAGE, REQUEST) ((const MESSAGE *)(REQUEST))->client_address
#define NOBODY(MESSAGE, REQUEST) ""

HANDLER(rpc_challenge_mfa, challenge_message, TOLD, refreshes, run_challenge)
HANDLER(rpc_verify_mfa, verify_message, TOLD, refreshes, run_verify)
HANDLER(rpc_get_mfa, get_message, NOBODY, refreshes, run_get)
HANDLER(rpc_start_totp, start_message, TOLD, logins, run_start)
HANDLER(rpc_confirm_totp, confirm_message, TOLD, refreshes, run_confirm)
HANDLER(rpc_remove_totp, remove_message, TOLD, logins, run_remove)
HANDLER(rpc_renew_recovery_codes, renew_message, TOLD, refreshes, run_renew)
