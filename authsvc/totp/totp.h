/* Time-based one-time passwords (RFC 6238 over RFC 4226): HMAC-SHA-1, 30 s, as authenticator apps
 * have them. Pure: time comes in as an argument. */
#ifndef AUTHSVC_TOTP_TOTP_H
#define AUTHSVC_TOTP_TOTP_H

#include "common/base/buf.h"

enum {
    TOTP_SECRET_SIZE = 20, /* RFC 4226 §4 R6: 160 bits */
    TOTP_STEP_S = 30,
    TOTP_DIGITS = 6,
    TOTP_WINDOW = 1, /* steps before and after the present one: clocks differ, people type */
};

/* RFC 4226 §5.3 with up to 9 digits: the code as a number. CW_INTERNAL: OpenSSL failed. */
CW_MUST_USE enum cw_err hotp_code(struct cw_str secret, uint64_t counter, unsigned digits,
                                  uint32_t *ret_code);

/* The time step within the window around `now_s` (Unix seconds) whose code it is, and that is later
 * than `after`: a step counts once (RFC 6238 §5.2). All steps of the window are compared, each in
 * constant time. CW_MFA_INVALID: none, or not TOTP_DIGITS digits; blanks are skipped. */
CW_MUST_USE enum cw_err totp_check(struct cw_str secret, struct cw_str code, int64_t now_s,
                                   int64_t after, int64_t *ret_step);

/* RFC 4648 §6, without padding. */
void totp_base32(struct cw_buf *out, struct cw_str bytes);
/* otpauth://totp/ISSUER:ACCOUNT?secret=…&issuer=… for the QR code of authenticator apps. */
void totp_url(struct cw_buf *out, struct cw_str issuer, struct cw_str account,
              struct cw_str secret);

#endif
