/* Lower-case hexadecimal. */
#ifndef CW_CRYPTO_HEX_H
#define CW_CRYPTO_HEX_H

#include "common/base/str.h"

/* Writes 2 * n digits and a NUL. */
void cw_hex_encode(const unsigned char *bytes, size_t n, char *ret_text);

/* Digits of either case, exactly 2 * n of them; CW_REQUEST_MALFORMED else. */
CW_MUST_USE enum cw_err cw_hex_decode(struct cw_str text, unsigned char *ret_bytes, size_t n);

#endif
