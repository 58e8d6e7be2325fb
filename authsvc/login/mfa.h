/* Second factors: how a login goes on that was answered with CW_MFA_REQUIRED, and what a user can
 * do about its own. Calls block and belong on a worker. Strings are borrowed, empty ones absent. */
#ifndef AUTHSVC_LOGIN_MFA_H
#define AUTHSVC_LOGIN_MFA_H

#include "authsvc/login/login.h"
#include "authsvc/password/code.h"

struct login_mfa_request {
    struct cw_str domain;
    struct cw_str client_id;
    struct cw_str origin;
    struct cw_str address;
    struct cw_str device;
    struct cw_str mfa_token;
    /* A challenge: what kind of, for which of the user's devices. */
    struct cw_str challenge_type; /* "otp", "oob", or both; empty: any */
    struct cw_str authenticator_id;
    /* A proof: one of these. */
    struct cw_str otp;
    struct cw_str recovery_code;
    struct cw_str oob_code;
    struct cw_str binding_code; /* beside oob_code, where the challenge's binding_method asks */
};

/* What a challenge tells the client. Members are owned; NULL ones are absent. */
struct login_challenge {
    char *challenge_type; /* "otp", "oob" */
    char *oob_code;
    char *binding_method;    /* "prompt": the user types a binding_code */
    uint32_t retry_after_ms; /* on failure; 0: none */
};
void login_challenge_done(struct login_challenge *challenge);

/* CW_TENANT_UNKNOWN, CW_CLIENT_UNKNOWN, CW_ORIGIN_FORBIDDEN, CW_MFA_TOKEN_INVALID,
 * CW_MFA_METHOD_UNSUPPORTED, CW_IDP_UNAVAILABLE, CW_STORE_UNAVAILABLE, CW_NO_MEMORY. */
enum cw_err login_mfa_challenge(struct login *login, const struct login_mfa_request *request,
                                struct login_challenge *ret_challenge);
/* The answer of a login. CW_MFA_INVALID (the mfa_token can be tried again, so many times),
 * CW_MFA_PENDING, CW_MFA_BLOCKED, CW_THROTTLED, CW_ACCOUNT_BLOCKED and the above. */
enum cw_err login_mfa_verify(struct login *login, const struct login_mfa_request *request,
                             struct login_answer *ret_answer);

/* --- a user's own second factors (database tenants) -------------------------------------- */

enum { RECOVERY_CODES = 10 };

struct login_mfa_status {
    enum tenant_mfa policy;
    bool totp;
    int64_t recovery_codes; /* that are left */
};

struct login_mfa_codes {
    char codes[RECOVERY_CODES][CODE_TEXT_SIZE];
    uint32_t retry_after_ms;
};

/* What proves that it is the user and not a stolen token. Borrowed. */
struct login_mfa_proof {
    struct cw_str password;
    struct cw_str otp;
    struct cw_str recovery_code;
};

struct login_totp_secret {
    char *secret; /* base32 */
    char *url;    /* otpauth://…, for a QR code */
    uint32_t retry_after_ms;
};
void login_totp_secret_done(struct login_totp_secret *secret);

/* All of these: what login_bearer's calls say (login.h), CW_IDP_MANAGED. */

enum cw_err login_mfa_status(struct login *login, const struct login_bearer *bearer,
                             struct login_mfa_status *ret_status);
/* A new TOTP secret, which counts once it is confirmed. The caller proves itself by access token
 * and password, or, where the tenant requires a second factor and the user has none, by the
 * mfa_token of the login (then login_mfa_verify confirms). CW_CONFLICT: one is in use,
 * CW_MFA_NOT_OFFERED, CW_CREDENTIALS_INVALID, CW_THROTTLED. */
enum cw_err login_totp_start(struct login *login, const struct login_bearer *bearer,
                             struct cw_str password, struct login_totp_secret *ret_secret);
enum cw_err login_totp_start_by_token(struct login *login, const struct login_mfa_request *request,
                                      struct login_totp_secret *ret_secret);
/* A code of the new secret puts it into use; the recovery codes are told this once.
 * CW_MFA_INVALID, CW_NOT_FOUND: none was started, CW_CONFLICT: it is in use already. */
enum cw_err login_totp_confirm(struct login *login, const struct login_bearer *bearer,
                               struct cw_str otp, struct login_mfa_codes *ret_codes);
/* By password and a second factor. CW_NOT_FOUND: there is none, CW_MFA_NOT_OFFERED: the tenant
 * requires it. */
enum cw_err login_mfa_remove(struct login *login, const struct login_bearer *bearer,
                             const struct login_mfa_proof *proof, uint32_t *ret_retry_after_ms);
/* New recovery codes in place of the old ones, by one-time code. */
enum cw_err login_recovery_renew(struct login *login, const struct login_bearer *bearer,
                                 struct cw_str otp, struct login_mfa_codes *ret_codes);

/* --- for administrators ------------------------------------------------------------------ */

/* Takes a user's second factors away. `username` is prepared. CW_NOT_FOUND: no such user, or none
 * to take. Without a login, for the command line, too. */
enum cw_err login_mfa_reset(struct store *store, struct cw_str tenant, struct cw_str username);

#endif
