/* Second factors of database tenants: TOTP and recovery codes, checked and used up. */
#ifndef AUTHSVC_LOGIN_FACTOR_H
#define AUTHSVC_LOGIN_FACTOR_H

#include "authsvc/login/login_impl.h"
#include "authsvc/login/mfa.h"
#include "common/base/secret.h"

/* What a login with both factors was proved by (RFC 8176). */
#define FACTOR_AMR "[\"pwd\",\"otp\",\"mfa\"]"

/* Methods of the user, space-separated ("otp recovery_code"); empty where it has none. A literal.
 */
CW_MUST_USE enum cw_err factor_methods(struct login *login, struct cw_str tenant,
                                       struct cw_str subject, struct cw_str *ret_methods);
/* One of the two, used up. CW_MFA_INVALID; CW_MFA_METHOD_UNSUPPORTED: the user has no second
 * factor; CW_MFA_BLOCKED: too many one-time codes were wrong in a row (NIST SP 800-63B §5.2.2), and
 * only a recovery code goes on. The caller counts failures for the throttle. */
CW_MUST_USE enum cw_err factor_check(struct login *login, struct cw_str tenant,
                                     struct cw_str subject, struct cw_str otp,
                                     struct cw_str recovery_code);
/* As factor_check, but failures are counted here, by user name. */
CW_MUST_USE enum cw_err factor_check_counted(struct login *login, struct cw_str tenant,
                                             const struct store_user *user, struct cw_str address,
                                             struct cw_str otp, struct cw_str recovery_code,
                                             uint32_t *ret_retry_after_ms);

/* A new secret, kept but not yet in use. `account` and `issuer` are what the app shows. */
CW_MUST_USE enum cw_err factor_start(struct login *login, const struct tenant *tenant,
                                     const struct store_user *user,
                                     struct login_totp_secret *ret_secret);
/* Puts the new secret into use. `ret_codes` NULL: no recovery codes are made. */
CW_MUST_USE enum cw_err factor_confirm(struct login *login, struct cw_str tenant,
                                       struct cw_str subject, struct cw_str otp,
                                       struct login_mfa_codes *ret_codes);
CW_MUST_USE enum cw_err factor_renew_codes(struct login *login, struct cw_str tenant,
                                           struct cw_str subject,
                                           struct login_mfa_codes *ret_codes);

#endif
