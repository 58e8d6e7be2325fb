/* Codes, and the two spellings of a secret that authenticator apps read. */
#include "authsvc/totp/totp.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/base/secret.h"

enum { SHA1_SIZE = 20, DIGITS_MAX = 9 };

enum cw_err hotp_code(struct cw_str secret, uint64_t counter, unsigned digits, uint32_t *ret_code)
{
    ENSURE(digits > 0 && digits <= DIGITS_MAX, CW_INTERNAL);
    uint8_t message[8];
    for (size_t i = 0; i < sizeof(message); i++) {
        message[i] = (uint8_t)(counter >> (56 - 8 * i));
    }
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    ENSURE(HMAC(EVP_sha1(), secret.p, (int)secret.n, message, sizeof(message), mac, &n) != NULL &&
               n == SHA1_SIZE,
           CW_INTERNAL);
    /* RFC 4226 §5.3: dynamic truncation */
    const uint8_t *p = mac + (mac[SHA1_SIZE - 1] & 0x0f);
    uint32_t bits =
        (uint32_t)(p[0] & 0x7f) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    uint32_t modulus = 1;
    for (unsigned i = 0; i < digits; i++) {
        modulus *= 10;
    }
    *ret_code = bits % modulus;
    return CW_OK;
}

/* "123 456" as people copy it. */
static bool read_code(struct cw_str text, uint32_t *ret_code)
{
    uint32_t code = 0;
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == ' ') {
            continue;
        }
        if (c < '0' || c > '9' || ++n > TOTP_DIGITS) {
            return false;
        }
        code = code * 10 + (uint32_t)(c - '0');
    }
    *ret_code = code;
    return n == TOTP_DIGITS;
}

enum cw_err totp_check(struct cw_str secret, struct cw_str code, int64_t now_s, int64_t after,
                       int64_t *ret_step)
{
    uint32_t typed = 0;
    ENSURE(read_code(code, &typed), CW_MFA_INVALID);
    int64_t now = now_s / TOTP_STEP_S;
    int64_t found = -1;
    for (int64_t step = CW_MAX(now - TOTP_WINDOW, 0); step <= now + TOTP_WINDOW; step++) {
        uint32_t expected = 0;
        TRY(hotp_code(secret, (uint64_t)step, TOTP_DIGITS, &expected));
        /* One comparison of words: no time to learn from. */
        found = expected == typed && step > after ? step : found;
    }
    ENSURE(found >= 0, CW_MFA_INVALID);
    *ret_step = found;
    return CW_OK;
}

void totp_base32(struct cw_buf *out, struct cw_str bytes)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint32_t bits = 0;
    unsigned n = 0;
    for (size_t i = 0; i < bytes.n; i++) {
        bits = bits << 8 | (uint8_t)bytes.p[i];
        for (n += 8; n >= 5; n -= 5) {
            cw_buf_add_char(out, alphabet[bits >> (n - 5) & 31]);
        }
    }
    if (n > 0) {
        cw_buf_add_char(out, alphabet[bits << (5 - n) & 31]);
    }
}

/* RFC 3986 §2.1 */
static void add_escaped(struct cw_buf *out, struct cw_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            cw_buf_add_char(out, (char)c);
        } else {
            cw_buf_addf(out, "%%%02X", c);
        }
    }
}

void totp_url(struct cw_buf *out, struct cw_str issuer, struct cw_str account, struct cw_str secret)
{
    cw_buf_add_cstr(out, "otpauth://totp/");
    add_escaped(out, issuer);
    cw_buf_add_char(out, ':');
    add_escaped(out, account);
    cw_buf_add_cstr(out, "?secret=");
    totp_base32(out, secret);
    cw_buf_add_cstr(out, "&issuer=");
    add_escaped(out, issuer);
    cw_buf_addf(out, "&algorithm=SHA1&digits=%d&period=%d", TOTP_DIGITS, TOTP_STEP_S);
}
