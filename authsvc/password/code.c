/* Makes codes, and reads them as people type them. */
#include "authsvc/password/code.h"

#include <sodium.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

void code_new(char ret_text[CODE_TEXT_SIZE])
{
    uint8_t random[CODE_CHARS];
    randombytes_buf(random, sizeof(random));
    char *out = ret_text;
    for (size_t i = 0; i < CODE_CHARS; i++) {
        if (i > 0 && i % 4 == 0) {
            *out++ = '-';
        }
        *out++ = alphabet[random[i] & 31]; /* 32 letters: no bias */
    }
    *out = '\0';
    sodium_memzero(random, sizeof(random));
}

bool code_plain(struct cw_str typed, char ret_plain[CODE_CHARS])
{
    size_t n = 0;
    for (size_t i = 0; i < typed.n; i++) {
        char c = typed.p[i];
        if (c == '-' || c == ' ') {
            continue;
        }
        c = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        bool letter = (c >= 'A' && c <= 'Z') || (c >= '2' && c <= '7');
        if (!letter || n == CODE_CHARS) {
            return false;
        }
        ret_plain[n++] = c;
    }
    return n == CODE_CHARS;
}
