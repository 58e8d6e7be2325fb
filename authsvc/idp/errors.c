/* The error table. Rows are looked through from the top; the first one that fits decides. */
#include "authsvc/idp/errors.h"

#include <string.h>

enum {
    ANY = IDP_STEP_LOGIN | IDP_STEP_MFA | IDP_STEP_REFRESH | IDP_STEP_USERINFO | IDP_STEP_REVOKE,
    ENTRY = IDP_STEP_LOGIN | IDP_STEP_MFA,
};

struct row {
    int steps;
    int status;        /* 0: any */
    const char *error; /* NULL: any, also none */
    const char *hint;  /* in the description, without case; NULL: any */
    enum cw_err meaning;
};

static const struct row rows[] = {
    /* The user's part. */
    {IDP_STEP_MFA, 0, "invalid_grant", "mfa_token", CW_MFA_TOKEN_INVALID},
    {IDP_STEP_MFA, 0, "expired_token", NULL, CW_MFA_TOKEN_INVALID},
    {IDP_STEP_MFA, 0, "invalid_grant", NULL, CW_MFA_INVALID}, /* code, binding code, rejected */
    {IDP_STEP_MFA, 0, "invalid_otp", NULL, CW_MFA_INVALID},
    {IDP_STEP_MFA, 0, "authorization_pending", NULL, CW_MFA_PENDING},
    {IDP_STEP_MFA, 0, "slow_down", NULL, CW_MFA_PENDING},
    {IDP_STEP_MFA, 0, "unsupported_challenge_type", NULL, CW_MFA_METHOD_UNSUPPORTED},
    {IDP_STEP_MFA, 0, "association_required", NULL, CW_MFA_METHOD_UNSUPPORTED},
    {IDP_STEP_LOGIN, 0, "invalid_grant", "account disabled", CW_ACCOUNT_BLOCKED}, /* Keycloak */
    {IDP_STEP_LOGIN, 0, "invalid_grant", "not fully set up", CW_LOGIN_DENIED},    /* Keycloak */
    {IDP_STEP_LOGIN, 0, "invalid_grant", NULL, CW_CREDENTIALS_INVALID},
    {IDP_STEP_LOGIN, 0, "invalid_user_password", NULL, CW_CREDENTIALS_INVALID},
    {IDP_STEP_LOGIN, 0, "mfa_required", NULL, CW_MFA_REQUIRED},
    {ENTRY, 0, "password_leaked", NULL, CW_PASSWORD_LEAKED},
    {ENTRY, 0, "password_expired", NULL, CW_PASSWORD_EXPIRED},
    {ENTRY, 0, "blocked_user", NULL, CW_ACCOUNT_BLOCKED},
    {ENTRY, 0, "user_blocked", NULL, CW_ACCOUNT_BLOCKED},
    {ENTRY, 0, "unauthorized", "blocked", CW_ACCOUNT_BLOCKED},
    {ENTRY, 0, "unauthorized", NULL, CW_LOGIN_DENIED}, /* a rule or an action */
    {ENTRY, 0, "requires_verification", NULL, CW_VERIFICATION_REQUIRED},
    {ENTRY, 0, "requires_validation", NULL, CW_VERIFICATION_REQUIRED},
    {ANY, 0, "too_many_attempts", NULL, CW_THROTTLED},
    {ANY, 0, "too_many_requests", NULL, CW_THROTTLED},
    {ANY, 0, "too_many_logins", NULL, CW_THROTTLED},
    {ANY, 429, NULL, NULL, CW_THROTTLED},

    /* The refresh token's. */
    {IDP_STEP_REFRESH, 0, "invalid_grant", NULL, CW_REFRESH_INVALID},
    {IDP_STEP_REFRESH, 0, "expired_token", NULL, CW_REFRESH_INVALID},
    {IDP_STEP_REFRESH, 0, "unauthorized", NULL, CW_REFRESH_INVALID}, /* user blocked, rule */
    {IDP_STEP_REFRESH, 0, "blocked_user", NULL, CW_REFRESH_INVALID},
    {IDP_STEP_REFRESH, 0, "mfa_required", NULL, CW_REFRESH_INVALID}, /* log in again */
    {IDP_STEP_REFRESH, 403, "access_denied", NULL, CW_REFRESH_INVALID},

    /* The access token's. */
    {IDP_STEP_USERINFO, 401, NULL, NULL, CW_TOKEN_REVOKED},
    {IDP_STEP_USERINFO, 403, NULL, NULL, CW_SCOPE_INSUFFICIENT},

    /* The operator's: client, grant, connection, audience. */
    {ANY, 0, "invalid_client", NULL, CW_IDP_MISCONFIGURED},
    {ANY, 0, "unauthorized_client", NULL, CW_IDP_MISCONFIGURED},
    {ANY, 401, "access_denied", NULL, CW_IDP_MISCONFIGURED},              /* wrong client secret */
    {ANY, 0, "access_denied", "service not found", CW_IDP_MISCONFIGURED}, /* audience */
    {ENTRY, 0, "access_denied", NULL, CW_LOGIN_DENIED},
    {ANY, 0, "invalid_request", NULL, CW_IDP_MISCONFIGURED},
    {ANY, 0, "invalid_scope", NULL, CW_IDP_MISCONFIGURED},
    {ANY, 0, "invalid_target", NULL, CW_IDP_MISCONFIGURED}, /* RFC 8707 §2 */
    {ANY, 0, "unsupported_grant_type", NULL, CW_IDP_MISCONFIGURED},
    {ANY, 0, "unsupported_token_type", NULL, CW_IDP_MISCONFIGURED},
    {ANY, 0, "endpoint_disabled", NULL, CW_IDP_MISCONFIGURED},
    {ANY, 0, "method_not_allowed", NULL, CW_IDP_MISCONFIGURED},
    {ANY, 0, "server_error", "default connection", CW_IDP_MISCONFIGURED},
    {ANY, 404, NULL, NULL, CW_IDP_MISCONFIGURED},
    {ANY, 405, NULL, NULL, CW_IDP_MISCONFIGURED},
    {ANY, 501, NULL, NULL, CW_IDP_MISCONFIGURED},

    /* Nobody's: it did not work. */
    {ANY, 0, NULL, NULL, CW_IDP_UNAVAILABLE},
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool has_hint(struct cw_str text, const char *hint)
{
    size_t n = strlen(hint);
    for (size_t at = 0; at + n <= text.n; at++) {
        size_t i = 0;
        while (i < n && lower(text.p[at + i]) == hint[i]) {
            i++;
        }
        if (i == n) {
            return true;
        }
    }
    return false;
}

enum cw_err idp_error_of(enum idp_step step, const struct idp_refused *refused)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        const struct row *row = &rows[i];
        if ((row->steps & (int)step) != 0 && (row->status == 0 || row->status == refused->status) &&
            (row->error == NULL || cw_str_is(refused->error, row->error)) &&
            (row->hint == NULL || has_hint(refused->description, row->hint))) {
            return row->meaning;
        }
    }
    return CW_IDP_UNAVAILABLE;
}
