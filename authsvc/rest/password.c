/* POST /auth/v1/password/change and /reset. */
#include "authsvc/login/account.h"
#include "authsvc/rest/rest_impl.h"

static const struct rest_member change_members[] = {
    {"username", PASSWORD_NAME_MAX, false, offsetof(struct login_password_change, username)},
    {"client_id", REST_FIELD_MAX, false, offsetof(struct login_password_change, client_id)},
    {"old_password", PASSWORD_BYTES_MAX, true,
     offsetof(struct login_password_change, old_password)},
    {"new_password", PASSWORD_BYTES_MAX, true,
     offsetof(struct login_password_change, new_password)},
    {"otp", REST_CODE_MAX, false, offsetof(struct login_password_change, otp)},
    {"recovery_code", REST_CODE_MAX, false, offsetof(struct login_password_change, recovery_code)},
};
static const struct rest_body change_body =
    REST_BODY_RULE(change_members, "`username` has a control character, or `otp` and "
                                   "`recovery_code` come together.");

static void run_change(void *arg)
{
    struct rest_job *job = arg;
    struct login_password_change r = {
        .domain = job->host,
        .origin = job->origin,
        .address = cw_str(job->address),
        .access_token = job->bearer,
    };
    uint32_t retry_after_ms = 0;
    enum cw_err err = rest_read(job, &r);
    if (err == CW_OK) {
        err = login_password_change(job->rest->options.login, &r, &retry_after_ms);
    }
    rest_finish(job, err, retry_after_ms, 204, NULL);
}

static const struct rest_member reset_members[] = {
    {"client_id", REST_FIELD_MAX, false, offsetof(struct login_password_reset, client_id)},
    {"code", REST_CODE_MAX, true, offsetof(struct login_password_reset, code)},
    {"new_password", PASSWORD_BYTES_MAX, true, offsetof(struct login_password_reset, new_password)},
};
static const struct rest_body reset_body = REST_BODY(reset_members);

static void run_reset(void *arg)
{
    struct rest_job *job = arg;
    struct login_password_reset r = {
        .domain = job->host,
        .origin = job->origin,
        .address = cw_str(job->address),
    };
    uint32_t retry_after_ms = 0;
    enum cw_err err = rest_read(job, &r);
    if (err == CW_OK) {
        err = login_password_reset(job->rest->options.login, &r, &retry_after_ms);
    }
    rest_finish(job, err, retry_after_ms, 204, NULL);
}

/* Both hash: they wait with the logins. */
static void handle_change(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_MAY_HAVE_BEARER, rest->options.logins, run_change);
}

static void handle_reset(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_BODY, rest->options.logins, run_reset);
}

static const struct cw_http_route routes[] = {
    REST_POST_JSON("/auth/v1/password/change", handle_change, &change_body),
    REST_POST_JSON("/auth/v1/password/reset", handle_reset, &reset_body),
};

struct cw_http_routes rest_password_routes(struct rest *rest)
{
    return (struct cw_http_routes){routes, CW_ARRAY_SIZE(routes), rest};
}
