/* Lower-case hexadecimal, both ways. */
#include "common/crypto/hex.h"

void cw_hex_encode(const unsigned char *bytes, size_t n, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_text[2 * n] = '\0';
}

static int value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum cw_err cw_hex_decode(struct cw_str text, unsigned char *ret_bytes, size_t n)
{
    ENSURE(text.n == 2 * n, CW_REQUEST_MALFORMED);
    for (size_t i = 0; i < n; i++) {
        int high = value(text.p[2 * i]), low = value(text.p[2 * i + 1]);
        ENSURE(high >= 0 && low >= 0, CW_REQUEST_MALFORMED);
        ret_bytes[i] = (unsigned char)(high << 4 | low);
    }
    return CW_OK;
}
