/* Login and Refresh by gRPC: the same use cases as behind the REST door. */
#include "authsvc/rpc/identity.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authsvc/rpc/rpc_impl.h"
#include "clinicwave/identity/v1/identity.pb-c.h"

typedef Clinicwave__Identity__V1__LoginRequest login_message;
typedef Clinicwave__Identity__V1__RefreshRequest refresh_message;
typedef Clinicwave__Identity__V1__TokenSet token_set;

enum { ADDRESS_SIZE = RPC_ADDRESS_SIZE, SCOPE_MAX = 4096 };

static bool trusted(const struct identity *identity, uid_t uid)
{
    if (uid == 0 || uid == geteuid()) {
        return true;
    }
    for (size_t i = 0; i < identity->n_trusted_uids; i++) {
        if (identity->trusted_uids[i] == uid) {
            return true;
        }
    }
    return false;
}

/* The user's address as a trusted caller tells it. What a proxy adds in metadata goes before the
 * field, which then comes from whoever is behind the proxy. Empty where nobody may tell. */
static void client_address(const struct identity *identity, struct cw_rpc_call *call,
                           const char *told, char ret_address[ADDRESS_SIZE])
{
    ret_address[0] = '\0';
    if (!trusted(identity, cw_rpc_call_peer(call).uid)) {
        return;
    }
    struct cw_str text = cw_rpc_call_metadata(call, "x-forwarded-for");
    if (text.n == 0) {
        text = cw_str(told);
    }
    for (size_t i = text.n; i > 0; i--) { /* the last one: the proxy's own observation */
        if (text.p[i - 1] == ',') {
            text = cw_str_slice(text, i, text.n);
            break;
        }
    }
    (void)login_address_canonical(text, ret_address);
}

/* Points into the answer. */
static token_set tokens_of(struct login_answer *a)
{
    token_set set = CLINICWAVE__IDENTITY__V1__TOKEN_SET__INIT;
    static char bearer[] = "Bearer";
    set.access_token = (ProtobufCBinaryData){strlen(a->access_token), (uint8_t *)a->access_token};
    set.id_token = (ProtobufCBinaryData){strlen(a->id_token), (uint8_t *)a->id_token};
    set.refresh_token =
        (ProtobufCBinaryData){strlen(a->refresh_token), (uint8_t *)a->refresh_token};
    set.token_type = bearer;
    set.expires_in = a->expires_in;
    set.expires_at = a->expires_at;
    set.refresh_expires_in = a->refresh_expires_in;
    set.scope = a->scope;
    set.session_id = a->session_id;
    if (a->recovery_code != NULL) {
        set.recovery_code = a->recovery_code;
    }
    return set;
}

static void fail(struct cw_rpc_call *call, enum cw_err err, uint32_t retry_after_ms)
{
    if (retry_after_ms > 0) {
        cw_rpc_fail_retry(call, err, NULL, retry_after_ms);
    } else {
        cw_rpc_fail(call, err, NULL);
    }
}

/* With what CW_MFA_REQUIRED needs. */
static void fail_login(struct cw_rpc_call *call, enum cw_err err, const struct login_answer *a)
{
    if (err != CW_MFA_REQUIRED) {
        fail(call, err, a->retry_after_ms);
        return;
    }
    const struct cw_rpc_fact facts[] = {
        {"mfa_token", a->mfa_token},
        {"methods", a->mfa_methods},
    };
    cw_rpc_fail_with(call, err, facts, CW_ARRAY_SIZE(facts));
}

void rpc_finish(struct rpc_job *job, enum cw_err err, uint32_t retry_after_ms,
                const ProtobufCMessage *response)
{
    if (err == CW_OK) {
        cw_rpc_reply(job->call, response);
    } else {
        fail(job->call, err, retry_after_ms);
    }
    free(job);
}

void rpc_finish_tokens(struct rpc_job *job, enum cw_err err, struct login_answer *a, token_set *set,
                       const ProtobufCMessage *response)
{
    if (err == CW_OK) {
        *set = tokens_of(a);
        cw_rpc_reply(job->call, response);
    } else {
        fail_login(job->call, err, a);
    }
    login_answer_done(a);
    free(job);
}

/* --- the work, on a worker -------------------------------------------------------------- */

/* Scopes are a list here and one string in the use case; a scope with a blank is two, as there. */
static enum cw_err join_scopes(const login_message *m, struct cw_arena *arena,
                               struct cw_str *ret_scope)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf scope = CW_BUF_INIT(SCOPE_MAX);
    for (size_t i = 0; i < m->n_scopes; i++) {
        cw_buf_add_cstr(&scope, i > 0 ? " " : "");
        cw_buf_add_cstr(&scope, m->scopes[i]);
    }
    ENSURE(cw_buf_check(&scope) == CW_OK, CW_REQUEST_MALFORMED);
    char *copy = cw_arena_dup(arena, cw_buf_str(&scope));
    ENSURE(copy != NULL, CW_NO_MEMORY);
    *ret_scope = (struct cw_str){copy, scope.n};
    return CW_OK;
}

/* protobuf-c checks no UTF-8. */
struct cw_str rpc_text_or_none(const char *text)
{
    struct cw_str s = cw_str(text);
    return cw_str_is_utf8(s) ? s : CW_STR("");
}

static void run_login(void *arg)
{
    struct rpc_job *job = arg;
    const login_message *m = (const login_message *)job->request;
    struct login_request r = {
        .domain = cw_str(m->domain),
        .username = rpc_bytes(m->username),
        .password = rpc_bytes(m->password),
        .otp = rpc_bytes(m->otp),
        .client_id = cw_str(m->client_id),
        .address = cw_str(job->address),
        .device = rpc_text_or_none(m->user_agent),
    };
    struct login_answer a = {0};
    enum cw_err err = join_scopes(m, cw_rpc_call_arena(job->call), &r.scope);
    if (err == CW_OK && (r.client_id.n > RPC_FIELD_MAX || r.otp.n > RPC_CODE_MAX)) {
        err = CW_REQUEST_MALFORMED;
    }
    if (err == CW_OK) {
        err = login_run(job->identity->login, &r, &a);
    }
    token_set set;
    Clinicwave__Identity__V1__LoginResponse response =
        CLINICWAVE__IDENTITY__V1__LOGIN_RESPONSE__INIT;
    response.tokens = &set;
    rpc_finish_tokens(job, err, &a, &set, &response.base);
}

static void run_refresh(void *arg)
{
    struct rpc_job *job = arg;
    const refresh_message *m = (const refresh_message *)job->request;
    const struct login_refresh_request r = {
        .domain = cw_str(m->domain),
        .refresh_token = rpc_bytes(m->refresh_token),
        .client_id = cw_str(m->client_id),
        .address = cw_str(job->address),
    };
    struct login_answer a = {0};
    enum cw_err err = login_refresh(job->identity->login, &r, &a);
    token_set set;
    Clinicwave__Identity__V1__RefreshResponse response =
        CLINICWAVE__IDENTITY__V1__REFRESH_RESPONSE__INIT;
    response.tokens = &set;
    rpc_finish_tokens(job, err, &a, &set, &response.base);
}

/* --- handlers, on the poller ------------------------------------------------------------ */

void rpc_hand_over(struct cw_rpc_call *call, const ProtobufCMessage *request,
                   const struct identity *identity, const char *domain, const char *told_address,
                   struct cw_work *work, void (*run)(void *arg))
{
    struct rpc_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        cw_rpc_fail(call, CW_NO_MEMORY, NULL);
        return;
    }
    *job = (struct rpc_job){.identity = identity, .call = call, .request = request};
    client_address(identity, call, told_address, job->address);
    cw_rpc_call_defer(call);
    work = login_work(identity->login, cw_str(domain), work);
    enum cw_err err = cw_work_submit(work, run, job);
    if (err != CW_OK) {
        free(job);
        cw_rpc_fail(call, err == CW_SHUTTING_DOWN ? err : CW_LOGIN_OVERLOADED, NULL);
    }
}

static void login(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    const struct identity *identity = ctx;
    const login_message *m = (const login_message *)request;
    rpc_hand_over(call, request, identity, m->domain, m->client_address, identity->logins,
                  run_login);
}

static void refresh(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    const struct identity *identity = ctx;
    const refresh_message *m = (const refresh_message *)request;
    rpc_hand_over(call, request, identity, m->domain, m->client_address, identity->refreshes,
                  run_refresh);
}

const struct cw_rpc_method identity_methods[] = {
    {.path = "/clinicwave.identity.v1.IdentityService/Login",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__login_request__descriptor,
     .unary = login},
    {.path = "/clinicwave.identity.v1.IdentityService/Refresh",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__refresh_request__descriptor,
     .unary = refresh},
    {.path = "/clinicwave.identity.v1.IdentityService/Logout",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__logout_request__descriptor,
     .unary = rpc_logout},
    {.path = "/clinicwave.identity.v1.IdentityService/UserInfo",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__user_info_request__descriptor,
     .unary = rpc_user_info},
    {.path = "/clinicwave.identity.v1.IdentityService/ListSessions",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__list_sessions_request__descriptor,
     .unary = rpc_list_sessions},
    {.path = "/clinicwave.identity.v1.IdentityService/EndSession",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__end_session_request__descriptor,
     .unary = rpc_end_session},
    {.path = "/clinicwave.identity.v1.IdentityService/ChangePassword",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__change_password_request__descriptor,
     .unary = rpc_change_password},
    {.path = "/clinicwave.identity.v1.IdentityService/ResetPassword",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__reset_password_request__descriptor,
     .unary = rpc_reset_password},
    {.path = "/clinicwave.identity.v1.IdentityService/ChallengeMfa",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__challenge_mfa_request__descriptor,
     .unary = rpc_challenge_mfa},
    {.path = "/clinicwave.identity.v1.IdentityService/VerifyMfa",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__verify_mfa_request__descriptor,
     .unary = rpc_verify_mfa},
    {.path = "/clinicwave.identity.v1.IdentityService/GetMfa",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__get_mfa_request__descriptor,
     .unary = rpc_get_mfa},
    {.path = "/clinicwave.identity.v1.IdentityService/StartTotp",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__start_totp_request__descriptor,
     .unary = rpc_start_totp},
    {.path = "/clinicwave.identity.v1.IdentityService/ConfirmTotp",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__confirm_totp_request__descriptor,
     .unary = rpc_confirm_totp},
    {.path = "/clinicwave.identity.v1.IdentityService/RemoveTotp",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__remove_totp_request__descriptor,
     .unary = rpc_remove_totp},
    {.path = "/clinicwave.identity.v1.IdentityService/RenewRecoveryCodes",
     .kind = CW_RPC_UNARY,
     .listeners = LISTENER_AUTHSVC,
     .request = &clinicwave__identity__v1__renew_recovery_codes_request__descriptor,
     .unary = rpc_renew_recovery_codes},
};
const size_t identity_n_methods = CW_ARRAY_SIZE(identity_methods);
