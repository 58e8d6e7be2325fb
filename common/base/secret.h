/* Bytes that must not outlive their use: wiped on free, never printed. */
#ifndef CW_BASE_SECRET_H
#define CW_BASE_SECRET_H

#include "common/base/str.h"

struct cw_secret {
    char *p; /* NUL-terminated for libraries that want it */
    size_t n;
};

/* Copies; the caller wipes its own copy. */
CW_MUST_USE enum cw_err cw_secret_init(struct cw_secret *secret, struct cw_str bytes);
/* Reads a file of at most 64 KiB; one trailing newline is dropped. */
CW_MUST_USE enum cw_err cw_secret_read(struct cw_secret *secret, const char *path);
void cw_secret_done(struct cw_secret *secret);
struct cw_str cw_secret_str(const struct cw_secret *secret);
/* Time does not depend on where the first difference is. */
bool cw_secret_eq(struct cw_str a, struct cw_str b);
/* memset that the compiler keeps. */
void cw_secret_wipe(void *p, size_t n);

#endif
