/* Passwords change: by their user, or by a one-time code that an administrator has issued. Database
 * tenants only: CW_IDP_MANAGED elsewhere. Calls block and belong on a worker. */
#ifndef AUTHSVC_LOGIN_ACCOUNT_H
#define AUTHSVC_LOGIN_ACCOUNT_H

#include "authsvc/login/login.h"
#include "authsvc/password/code.h"

/* Borrowed; empty fields are absent. The user is the access token's, or, where there is none (an
 * expired password opens no session), the one with this name. */
struct login_password_change {
    struct cw_str domain;
    struct cw_str access_token;
    struct cw_str username;
    struct cw_str client_id; /* with username, as for a login */
    struct cw_str origin;
    struct cw_str address;
    struct cw_str old_password;
    struct cw_str new_password;
    struct cw_str otp; /* with username, where the user has a second factor; or */
    struct cw_str recovery_code;
};

/* Ends the user's other sessions, and returns when the sidecars know it, or after a moment.
 * CW_CREDENTIALS_INVALID, CW_ACCOUNT_BLOCKED, CW_MFA_REQUIRED (without otp), CW_MFA_INVALID,
 * CW_THROTTLED; CW_PASSWORD_TOO_SHORT, …_TOO_LONG, …_TOO_COMMON, …_UNCHANGED; CW_CONFLICT: somebody
 * else has changed it meanwhile; what login_bearer's calls say of the access token. */
enum cw_err login_password_change(struct login *login, const struct login_password_change *request,
                                  uint32_t *ret_retry_after_ms);

struct login_password_reset {
    struct cw_str domain;
    struct cw_str origin;
    struct cw_str client_id;
    struct cw_str address;
    struct cw_str code;
    struct cw_str new_password;
};

/* The code is used up, the password set, all sessions end. A password that is refused leaves the
 * code good. CW_RESET_INVALID, CW_THROTTLED, CW_PASSWORD_… as above. */
enum cw_err login_password_reset(struct login *login, const struct login_password_reset *request,
                                 uint32_t *ret_retry_after_ms);

/* Whether a password may be chosen by this user: what both check. `prepared`, `username` prepared.
 */
CW_MUST_USE enum cw_err login_password_allowed(const struct password_blocklist *blocklist,
                                               const struct tenant *tenant, struct cw_str username,
                                               struct cw_str prepared);

/* --- for administrators: with a store only, for the command line, too --------------------- */

enum { RESET_LIFE_DEFAULT_MS = 24 * 3600 * 1000, RESET_LIFE_MAX_MS = 7 * 24 * 3600 * 1000 };

/* A code for the user, in place of an earlier one; the administrator hands it over. The password of
 * before goes on until the code is redeemed (store_user_expire_password stops it, too).
 * CW_NOT_FOUND, CW_REQUEST_MALFORMED: a life of less than a minute or more than
 * RESET_LIFE_MAX_MS. */
enum cw_err login_reset_issue(struct store *store, struct cw_str tenant, struct cw_str username,
                              int64_t life_ms, char ret_code[CODE_TEXT_SIZE]);

#endif
