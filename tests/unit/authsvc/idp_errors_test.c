/* What each refusal of a provider means: one case per row of what Auth0, its SDKs and Keycloak are
 * known to answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "authsvc/idp/errors.h"

struct refusal {
    enum idp_step step;
    int status;
    const char *error;
    const char *description;
    enum cw_err meaning;
};

static const struct refusal refusals[] = {
    /* wrong credentials and unknown user, in every dialect */
    {IDP_STEP_LOGIN, 403, "invalid_grant", "Wrong email or password.", CW_CREDENTIALS_INVALID},
    {IDP_STEP_LOGIN, 403, "invalid_user_password", "", CW_CREDENTIALS_INVALID},
    {IDP_STEP_LOGIN, 401, "invalid_user_password", "", CW_CREDENTIALS_INVALID},
    {IDP_STEP_LOGIN, 400, "invalid_grant", "", CW_CREDENTIALS_INVALID},
    {IDP_STEP_LOGIN, 401, "invalid_grant", "Invalid user credentials", CW_CREDENTIALS_INVALID},
    {IDP_STEP_LOGIN, 400, "invalid_grant", "Account disabled", CW_ACCOUNT_BLOCKED},
    {IDP_STEP_LOGIN, 400, "invalid_grant", "Account is not fully set up", CW_LOGIN_DENIED},
    {IDP_STEP_LOGIN, 403, "mfa_required", "", CW_MFA_REQUIRED},
    {IDP_STEP_LOGIN, 401, "mfa_required", "", CW_MFA_REQUIRED},
    {IDP_STEP_LOGIN, 401, "password_leaked", "", CW_PASSWORD_LEAKED},
    {IDP_STEP_LOGIN, 429, "too_many_attempts", "", CW_THROTTLED},
    {IDP_STEP_LOGIN, 429, "too_many_requests", "", CW_THROTTLED},
    {IDP_STEP_LOGIN, 429, "too_many_logins", "", CW_THROTTLED},
    {IDP_STEP_LOGIN, 429, "", "", CW_THROTTLED},
    {IDP_STEP_LOGIN, 403, "unauthorized", "user is blocked", CW_ACCOUNT_BLOCKED},
    {IDP_STEP_LOGIN, 401, "unauthorized", "user is blocked", CW_ACCOUNT_BLOCKED},
    {IDP_STEP_LOGIN, 401, "blocked_user", "", CW_ACCOUNT_BLOCKED},
    {IDP_STEP_LOGIN, 403, "unauthorized", "Access denied by rule.", CW_LOGIN_DENIED},
    {IDP_STEP_LOGIN, 403, "access_denied", "Not on Sundays", CW_LOGIN_DENIED},
    {IDP_STEP_LOGIN, 401, "requires_verification", "", CW_VERIFICATION_REQUIRED},
    {IDP_STEP_LOGIN, 403, "requires_validation", "", CW_VERIFICATION_REQUIRED},

    /* the operator's: never "wrong password" */
    {IDP_STEP_LOGIN, 403, "access_denied", "Service not found: https://api", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 403, "unauthorized_client",
     "Grant type 'password' not allowed for the client.", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 401, "unauthorized_client", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 401, "access_denied", "Unauthorized", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 401, "invalid_client", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 400, "invalid_client", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 400, "invalid_request", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 400, "invalid_scope", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 400, "invalid_target", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 404, "endpoint_disabled", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 405, "method_not_allowed", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 501, "unsupported_grant_type", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 400, "unsupported_grant_type", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 404, "", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_LOGIN, 500, "server_error",
     "Authorization server not configured with default connection.", CW_IDP_MISCONFIGURED},

    /* nobody's: it could not be decided */
    {IDP_STEP_LOGIN, 500, "server_error", "", CW_IDP_UNAVAILABLE},
    {IDP_STEP_LOGIN, 503, "temporarily_unavailable", "", CW_IDP_UNAVAILABLE},
    {IDP_STEP_LOGIN, 502, "", "", CW_IDP_UNAVAILABLE},
    {IDP_STEP_LOGIN, 403, "", "", CW_IDP_UNAVAILABLE},
    {IDP_STEP_LOGIN, 401, "", "", CW_IDP_UNAVAILABLE},
    {IDP_STEP_LOGIN, 302, "", "", CW_IDP_UNAVAILABLE},
    {IDP_STEP_LOGIN, 403, "a_code_of_tomorrow", "wrong password", CW_IDP_UNAVAILABLE},

    /* refresh */
    {IDP_STEP_REFRESH, 403, "invalid_grant", "Unknown or invalid refresh token.",
     CW_REFRESH_INVALID},
    {IDP_STEP_REFRESH, 400, "invalid_grant", "Token is not active", CW_REFRESH_INVALID},
    {IDP_STEP_REFRESH, 403, "access_denied", "Unknown or invalid refresh token.",
     CW_REFRESH_INVALID},
    {IDP_STEP_REFRESH, 403, "unauthorized", "user is blocked", CW_REFRESH_INVALID},
    {IDP_STEP_REFRESH, 403, "mfa_required", "", CW_REFRESH_INVALID},
    {IDP_STEP_REFRESH, 401, "access_denied", "Unauthorized", CW_IDP_MISCONFIGURED},
    {IDP_STEP_REFRESH, 403, "unauthorized_client", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_REFRESH, 500, "server_error", "", CW_IDP_UNAVAILABLE},
    {IDP_STEP_REFRESH, 429, "too_many_requests", "", CW_THROTTLED},

    /* second factors */
    {IDP_STEP_MFA, 403, "expired_token", "mfa_token is expired", CW_MFA_TOKEN_INVALID},
    {IDP_STEP_MFA, 403, "invalid_grant", "Malformed mfa_token", CW_MFA_TOKEN_INVALID},
    {IDP_STEP_MFA, 403, "invalid_grant", "Invalid otp_code.", CW_MFA_INVALID},
    {IDP_STEP_MFA, 403, "invalid_grant", "Invalid binding_code.", CW_MFA_INVALID},
    {IDP_STEP_MFA, 403, "invalid_grant", "MFA Authorization rejected.", CW_MFA_INVALID},
    {IDP_STEP_MFA, 400, "authorization_pending", "", CW_MFA_PENDING},
    {IDP_STEP_MFA, 400, "slow_down", "", CW_MFA_PENDING},
    {IDP_STEP_MFA, 400, "unsupported_challenge_type", "", CW_MFA_METHOD_UNSUPPORTED},
    {IDP_STEP_MFA, 401, "association_required", "", CW_MFA_METHOD_UNSUPPORTED},
    {IDP_STEP_MFA, 429, "too_many_attempts", "", CW_THROTTLED},
    {IDP_STEP_MFA, 403, "unauthorized_client", "", CW_IDP_MISCONFIGURED},
    {IDP_STEP_MFA, 500, "server_error", "", CW_IDP_UNAVAILABLE},

    /* claims */
    {IDP_STEP_USERINFO, 401, "", "", CW_TOKEN_REVOKED},
    {IDP_STEP_USERINFO, 401, "invalid_token", "", CW_TOKEN_REVOKED},
    {IDP_STEP_USERINFO, 403, "insufficient_scope", "", CW_SCOPE_INSUFFICIENT},
    {IDP_STEP_USERINFO, 429, "", "", CW_THROTTLED},
    {IDP_STEP_USERINFO, 500, "", "", CW_IDP_UNAVAILABLE},
};

static void every_refusal_means_what_it_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(refusals); i++) {
        const struct refusal *r = &refusals[i];
        const struct idp_refused refused = {r->status, cw_str(r->error), cw_str(r->description)};
        enum cw_err err = idp_error_of(r->step, &refused);
        if (err != r->meaning) {
            fail_msg("%d %s \"%s\": %s, not %s", r->status, r->error, r->description,
                     cw_err_code(err), cw_err_code(r->meaning));
        }
    }
}

static void no_refusal_of_a_server_is_the_users_fault(void **state)
{
    (void)state;
    static const char *const errors[] = {
        "", "server_error", "temporarily_unavailable", "invalid_client", "unauthorized_client",
        "x"};
    for (int status = 300; status < 600; status++) {
        for (size_t i = 0; i < CW_ARRAY_SIZE(errors); i++) {
            const struct idp_refused refused = {status, cw_str(errors[i]), CW_STR("password")};
            assert_int_not_equal(idp_error_of(IDP_STEP_LOGIN, &refused), CW_CREDENTIALS_INVALID);
            assert_int_not_equal(idp_error_of(IDP_STEP_LOGIN, &refused), CW_OK);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_refusal_means_what_it_should),
        cmocka_unit_test(no_refusal_of_a_server_is_the_users_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
