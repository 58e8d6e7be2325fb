/* Where tokens and documents come from. A token is copied and its place in argv wiped at once, so
 * that no process list shows it; it is held as a secret. */
#ifndef CW_CWCTL_INPUT_H
#define CW_CWCTL_INPUT_H

#include "common/base/buf.h"
#include "common/base/secret.h"

enum {
    INPUT_TOKEN_MAX = 64 * 1024, /* bytes; more than the validator takes, so that it can say so */
    INPUT_DOCUMENT_MAX = 1024 * 1024,
};

/* The operand is the token; NULL or "-" reads standard input, `file` (may be NULL) wins over both.
 * Blanks and line ends around it are dropped. CW_IO, CW_REQUEST_TOO_LARGE, CW_NO_MEMORY. */
CW_MUST_USE enum cw_err input_token(char *operand, const char *file, struct cw_secret *ret_token);

/* A whole file, "-" for standard input. The buffer's bound is the file's. */
CW_MUST_USE enum cw_err input_file(const char *path, struct cw_buf *ret_text);

#endif
