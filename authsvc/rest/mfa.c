/* /auth/v1/mfa/…: the second step of a login, and a user's own second factors. */
#include <string.h>

#include "authsvc/login/mfa.h"
#include "authsvc/rest/rest_impl.h"

/* --- the second step of a login --------------------------------------------------------- */

static struct login_mfa_request request_of(const struct rest_job *job)
{
    return (struct login_mfa_request){
        .domain = job->host,
        .origin = job->origin,
        .address = cw_str(job->address),
        .device = job->device,
    };
}

static const struct rest_member challenge_members[] = {
    {"mfa_token", REST_FIELD_MAX, true, offsetof(struct login_mfa_request, mfa_token)},
    {"client_id", REST_FIELD_MAX, false, offsetof(struct login_mfa_request, client_id)},
    {"challenge_type", REST_CODE_MAX, false, offsetof(struct login_mfa_request, challenge_type)},
    {"authenticator_id", REST_FIELD_MAX, false,
     offsetof(struct login_mfa_request, authenticator_id)},
};
static const struct rest_body challenge_body = REST_BODY(challenge_members);

static void run_challenge(void *arg)
{
    struct rest_job *job = arg;
    struct login_mfa_request r = request_of(job);
    struct login_challenge challenge = {0};
    enum cw_err err = rest_read(job, &r);
    if (err == CW_OK) {
        err = login_mfa_challenge(job->rest->options.login, &r, &challenge);
    }
    json_t *body = json_object();
    const struct {
        const char *name;
        const char *value;
    } told[] = {{"challenge_type", challenge.challenge_type},
                {"oob_code", challenge.oob_code},
                {"binding_method", challenge.binding_method}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(told); i++) {
        if (told[i].value != NULL &&
            json_object_set_new(body, told[i].name, json_string(told[i].value)) != 0) {
            err = err == CW_OK ? CW_NO_MEMORY : err;
        }
    }
    rest_finish(job, err, challenge.retry_after_ms, 200, body);
    json_decref(body);
    login_challenge_done(&challenge);
}

static const struct rest_member verify_members[] = {
    {"mfa_token", REST_FIELD_MAX, true, offsetof(struct login_mfa_request, mfa_token)},
    {"client_id", REST_FIELD_MAX, false, offsetof(struct login_mfa_request, client_id)},
    {"otp", REST_CODE_MAX, false, offsetof(struct login_mfa_request, otp)},
    {"recovery_code", REST_CODE_MAX, false, offsetof(struct login_mfa_request, recovery_code)},
    {"oob_code", REST_FIELD_MAX, false, offsetof(struct login_mfa_request, oob_code)},
    {"binding_code", REST_CODE_MAX, false, offsetof(struct login_mfa_request, binding_code)},
};
static const struct rest_body verify_body =
    REST_BODY_RULE(verify_members, "One of `otp`, `recovery_code` and `oob_code` is needed, and "
                                   "`binding_code` goes with `oob_code`.");

static void run_verify(void *arg)
{
    struct rest_job *job = arg;
    struct login_mfa_request r = request_of(job);
    struct login_answer a = {0};
    enum cw_err err = rest_read(job, &r);
    if (err == CW_OK) {
        err = login_mfa_verify(job->rest->options.login, &r, &a);
    }
    rest_finish_login(job, err, &a);
}

/* --- a user's own ----------------------------------------------------------------------- */

static void run_status(void *arg)
{
    static const char *const policies[] = {
        [TENANT_MFA_OPTIONAL] = "optional",
        [TENANT_MFA_OFF] = "off",
        [TENANT_MFA_REQUIRED] = "required",
    };
    struct rest_job *job = arg;
    const struct login_bearer bearer = rest_bearer(job);
    struct login_mfa_status status = {0};
    enum cw_err err = login_mfa_status(job->rest->options.login, &bearer, &status);
    json_t *body = json_pack("{s:s, s:b, s:I}", "policy", policies[status.policy], "totp",
                             status.totp, "recovery_codes", (json_int_t)status.recovery_codes);
    rest_finish(job, err, 0, 200, body);
    json_decref(body);
}

struct totp_start {
    struct login_mfa_request by_token;
    struct cw_str password;
};

static const struct rest_member totp_members[] = {
    {"mfa_token", REST_FIELD_MAX, false, offsetof(struct totp_start, by_token.mfa_token)},
    {"client_id", REST_FIELD_MAX, false, offsetof(struct totp_start, by_token.client_id)},
    {"password", PASSWORD_BYTES_MAX, false, offsetof(struct totp_start, password)},
};
static const struct rest_body totp_body = REST_BODY(totp_members);

/* By access token and password, or by the mfa_token of a login that cannot go on without. */
static void run_totp_start(void *arg)
{
    struct rest_job *job = arg;
    struct totp_start r = {.by_token = request_of(job)};
    struct login_totp_secret secret = {0};
    enum cw_err err = rest_read(job, &r);
    if (err == CW_OK && job->bearer.n == 0 && r.by_token.mfa_token.n > 0) {
        err = login_totp_start_by_token(job->rest->options.login, &r.by_token, &secret);
    } else if (err == CW_OK) {
        const struct login_bearer bearer = rest_bearer(job);
        err = login_totp_start(job->rest->options.login, &bearer, r.password, &secret);
    }
    json_t *body = err == CW_OK
                       ? json_pack("{s:s, s:s}", "secret", secret.secret, "otpauth_url", secret.url)
                       : NULL;
    rest_finish(job, err == CW_OK && body == NULL ? CW_NO_MEMORY : err, secret.retry_after_ms, 200,
                body);
    json_decref(body);
    login_totp_secret_done(&secret);
}

static void finish_codes(struct rest_job *job, enum cw_err err, struct login_mfa_codes *codes)
{
    json_t *list = json_array();
    for (size_t i = 0; err == CW_OK && i < RECOVERY_CODES; i++) {
        err = json_array_append_new(list, json_string(codes->codes[i])) == 0 ? CW_OK : CW_NO_MEMORY;
    }
    json_t *body = json_pack("{s:o}", "recovery_codes", list);
    rest_finish(job, err, codes->retry_after_ms, 200, body);
    json_decref(body);
    cw_secret_wipe(codes, sizeof(*codes));
}

struct by_otp {
    struct cw_str otp;
};

static const struct rest_member otp_members[] = {
    {"otp", REST_CODE_MAX, true, offsetof(struct by_otp, otp)},
};
static const struct rest_body otp_body = REST_BODY_RULE(otp_members, "`otp` is empty.");

static void
run_with_otp(struct rest_job *job,
             enum cw_err (*use_case)(struct login *login, const struct login_bearer *bearer,
                                     struct cw_str otp, struct login_mfa_codes *ret_codes))
{
    struct by_otp r = {0};
    struct login_mfa_codes codes = {0};
    const struct login_bearer bearer = rest_bearer(job);
    enum cw_err err = rest_read(job, &r);
    if (err == CW_OK) {
        err = use_case(job->rest->options.login, &bearer, r.otp, &codes);
    }
    finish_codes(job, err, &codes);
}

static void run_totp_confirm(void *arg)
{
    run_with_otp(arg, login_totp_confirm);
}

static void run_recovery_codes(void *arg)
{
    run_with_otp(arg, login_recovery_renew);
}

static const struct rest_member remove_members[] = {
    {"password", PASSWORD_BYTES_MAX, true, offsetof(struct login_mfa_proof, password)},
    {"otp", REST_CODE_MAX, false, offsetof(struct login_mfa_proof, otp)},
    {"recovery_code", REST_CODE_MAX, false, offsetof(struct login_mfa_proof, recovery_code)},
};
static const struct rest_body remove_body =
    REST_BODY_RULE(remove_members, "One of `otp` and `recovery_code` is needed.");

static void run_totp_remove(void *arg)
{
    struct rest_job *job = arg;
    struct login_mfa_proof proof = {0};
    uint32_t retry_after_ms = 0;
    const struct login_bearer bearer = rest_bearer(job);
    enum cw_err err = rest_read(job, &proof);
    if (err == CW_OK) {
        err = login_mfa_remove(job->rest->options.login, &bearer, &proof, &retry_after_ms);
    }
    rest_finish(job, err, retry_after_ms, 204, NULL);
}

/* --- handlers, on the server's thread --------------------------------------------------- */

/* Whatever hashes a password waits with the logins. */
static void handle_challenge(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_BODY, rest->options.refreshes, run_challenge);
}

static void handle_verify(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_BODY, rest->options.refreshes, run_verify);
}

static void handle_status(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_BEARER, rest->options.refreshes, run_status);
}

static void handle_totp_start(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_MAY_HAVE_BEARER, rest->options.logins, run_totp_start);
}

static void handle_totp_confirm(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_BOTH, rest->options.refreshes, run_totp_confirm);
}

static void handle_totp_remove(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_BOTH, rest->options.logins, run_totp_remove);
}

static void handle_recovery_codes(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_BOTH, rest->options.refreshes, run_recovery_codes);
}

static const struct cw_http_route routes[] = {
    REST_POST_JSON("/auth/v1/mfa/challenge", handle_challenge, &challenge_body),
    REST_POST_JSON("/auth/v1/mfa/verify", handle_verify, &verify_body),
    {.method = "GET", .path = "/auth/v1/mfa", .handle = handle_status},
    REST_POST_JSON("/auth/v1/mfa/totp", handle_totp_start, &totp_body),
    REST_POST_JSON("/auth/v1/mfa/totp/confirm", handle_totp_confirm, &otp_body),
    REST_POST_JSON("/auth/v1/mfa/totp/remove", handle_totp_remove, &remove_body),
    REST_POST_JSON("/auth/v1/mfa/recovery-codes", handle_recovery_codes, &otp_body),
};

struct cw_http_routes rest_mfa_routes(struct rest *rest)
{
    return (struct cw_http_routes){routes, CW_ARRAY_SIZE(routes), rest};
}
