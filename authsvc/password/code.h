/* One-time codes that people read, dictate and type: XXXX-XXXX-XXXX-XXXX, 80 random bits in base32
 * (RFC 4648 §6). So many bits need no slow hash at rest. */
#ifndef AUTHSVC_PASSWORD_CODE_H
#define AUTHSVC_PASSWORD_CODE_H

#include "common/base/str.h"

enum { CODE_CHARS = 16, CODE_TEXT_SIZE = 20 /* with dashes and a NUL */ };

void code_new(char ret_text[CODE_TEXT_SIZE]);
/* Upper case, without dashes and blanks: what is hashed. False where it cannot be a code. */
bool code_plain(struct cw_str typed, char ret_plain[CODE_CHARS]);

#endif
