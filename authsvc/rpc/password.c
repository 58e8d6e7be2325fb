/* ChangePassword and ResetPassword by gRPC. */
#include "authsvc/login/account.h"
#include "authsvc/rpc/rpc_impl.h"

typedef Clinicwave__Identity__V1__ChangePasswordRequest change_message;
typedef Clinicwave__Identity__V1__ResetPasswordRequest reset_message;

static void run_change(void *arg)
{
    struct rpc_job *job = arg;
    const change_message *m = (const change_message *)job->request;
    const struct login_password_change r = {
        .domain = cw_str(m->domain),
        .access_token = rpc_bytes(m->access_token),
        .username = rpc_bytes(m->username),
        .client_id = cw_str(m->client_id),
        .address = cw_str(job->address),
        .old_password = rpc_bytes(m->old_password),
        .new_password = rpc_bytes(m->new_password),
        .otp = rpc_bytes(m->otp),
        .recovery_code = rpc_bytes(m->recovery_code),
    };
    uint32_t retry_after_ms = 0;
    bool fits = r.client_id.n <= RPC_FIELD_MAX && r.otp.n <= RPC_CODE_MAX &&
                r.recovery_code.n <= RPC_CODE_MAX;
    enum cw_err err = fits ? login_password_change(job->identity->login, &r, &retry_after_ms)
                           : CW_REQUEST_MALFORMED;
    Clinicwave__Identity__V1__ChangePasswordResponse response =
        CLINICWAVE__IDENTITY__V1__CHANGE_PASSWORD_RESPONSE__INIT;
    rpc_finish(job, err, retry_after_ms, &response.base);
}

static void run_reset(void *arg)
{
    struct rpc_job *job = arg;
    const reset_message *m = (const reset_message *)job->request;
    const struct login_password_reset r = {
        .domain = cw_str(m->domain),
        .client_id = cw_str(m->client_id),
        .address = cw_str(job->address),
        .code = rpc_bytes(m->code),
        .new_password = rpc_bytes(m->new_password),
    };
    uint32_t retry_after_ms = 0;
    bool fits = r.client_id.n <= RPC_FIELD_MAX && r.code.n <= RPC_CODE_MAX;
    enum cw_err err = fits ? login_password_reset(job->identity->login, &r, &retry_after_ms)
                           : CW_REQUEST_MALFORMED;
    Clinicwave__Identity__V1__ResetPasswordResponse response =
        CLINICWAVE__IDENTITY__V1__RESET_PASSWORD_RESPONSE__INIT;
    rpc_finish(job, err, retry_after_ms, &response.base);
}

/* --- handlers, on the poller: both hash, and wait with the logins ------------------------- */

void rpc_change_password(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    const struct identity *identity = ctx;
    const change_message *m = (const change_message *)request;
    rpc_hand_over(call, request, identity, m->domain, m->client_address, identity->logins,
                  run_change);
}

void rpc_reset_password(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    const struct identity *identity = ctx;
    const reset_message *m = (const reset_message *)request;
    rpc_hand_over(call, request, identity, m->domain, m->client_address, identity->logins,
                  run_reset);
}
