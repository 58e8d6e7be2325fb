"""What Auth0 refuses with, and what our doors say then: (status, body, reason). tests/e2e and tests/interop replay the same table."""


def error(code, description="", **more):
    return {"error": code, "error_description": description, **more}


LOGIN = [
    (403, error("invalid_grant", "Wrong email or password."), "credentials_invalid"),
    (403, error("invalid_user_password"), "credentials_invalid"),
    (401, error("invalid_user_password"), "credentials_invalid"),
    (401, error("password_leaked", "This login has been blocked because your password has been leaked"), "password_leaked"),
    (429, error("too_many_attempts", "Your account has been blocked after multiple consecutive login attempts."), "throttled"),
    (403, error("unauthorized", "user is blocked"), "account_blocked"),
    (401, error("unauthorized", "user is blocked"), "account_blocked"),
    (403, error("blocked_user"), "account_blocked"),
    (403, error("unauthorized", "Access denied."), "login_denied"),
    (403, error("access_denied", "Only from the office"), "login_denied"),
    (401, error("requires_verification"), "verification_required"),
    (403, error("requires_validation"), "verification_required"),
    (403, error("access_denied", "Service not found: https://api"), "idp_misconfigured"),
    (403, error("unauthorized_client", "Grant type 'password' not allowed for the client."), "idp_misconfigured"),
    (401, error("access_denied", "Unauthorized"), "idp_misconfigured"),
    (401, error("invalid_client"), "idp_misconfigured"),
    (400, error("invalid_request", "specified strategy does not support requested operation"), "idp_misconfigured"),
    (400, error("invalid_scope"), "idp_misconfigured"),
    (404, error("endpoint_disabled"), "idp_misconfigured"),
    (405, error("method_not_allowed"), "idp_misconfigured"),
    (501, error("unsupported_grant_type"), "idp_misconfigured"),
    (500, error("server_error", "Authorization server not configured with default connection."), "idp_misconfigured"),
    (503, error("temporarily_unavailable"), "idp_unavailable"),
    (500, error("server_error"), "idp_unavailable"),
    (403, {}, "idp_unavailable"),
    (403, error("mfa_required"), "idp_unavailable"),  # without the token that it is about
]
REFRESH = [
    (500, error("server_error"), "idp_unavailable"),  # first: it ends no session
    (401, error("invalid_client"), "idp_misconfigured"),
    (403, error("invalid_grant", "Unknown or invalid refresh token."), "refresh_invalid"),
    (403, error("invalid_grant", "The refresh_token was generated for a user who doesn't exist anymore."), "refresh_invalid"),
    (403, error("access_denied", "Unknown or invalid refresh token."), "refresh_invalid"),
    (403, error("unauthorized", "user is blocked"), "refresh_invalid"),
]
