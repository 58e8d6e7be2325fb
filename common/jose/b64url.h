/* base64url without padding (RFC 7515 §2, RFC 4648 §5), in its one canonical spelling only. */
#ifndef CW_JOSE_B64URL_H
#define CW_JOSE_B64URL_H

#include "common/base/buf.h"

/* Bytes that n characters decode to; exact for canonical text. */
static inline size_t cw_b64url_decoded_size(size_t n)
{
    return n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0);
}

/* Characters that n bytes encode to. */
static inline size_t cw_b64url_encoded_size(size_t n)
{
    return n / 3 * 4 + (n % 3 ? n % 3 + 1 : 0);
}

/* Writes cw_b64url_decoded_size(text.n) bytes. CW_TOKEN_MALFORMED for a byte outside of the
 * alphabet, padding, an impossible length or non-zero unused bits (RFC 4648 §3.5). Any thread. */
CW_MUST_USE enum cw_err cw_b64url_decode(struct cw_str text, unsigned char *ret_bytes);

/* Writes cw_b64url_encoded_size(n) characters, no NUL. */
void cw_b64url_encode(const unsigned char *bytes, size_t n, char *ret_text);

/* Appends. */
void cw_b64url_add(struct cw_buf *buf, const unsigned char *bytes, size_t n);

#endif
