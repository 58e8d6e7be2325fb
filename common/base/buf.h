/* A growing byte buffer with a bound. Appending past the bound or without memory marks the buffer
 * failed and drops the bytes; check once at the end instead of after each append. */
#ifndef CW_BASE_BUF_H
#define CW_BASE_BUF_H

#include "common/base/str.h"

struct cw_buf {
    char *p;
    size_t n;   /* bytes in use */
    size_t cap; /* bytes allocated */
    size_t max; /* bound in bytes */
    bool failed;
};

#define CW_BUF_INIT(bound)                                                                         \
    {                                                                                              \
        .max = (bound)                                                                             \
    }

void cw_buf_done(struct cw_buf *buf);
/* Keeps the memory. */
void cw_buf_clear(struct cw_buf *buf);
void cw_buf_add(struct cw_buf *buf, const void *bytes, size_t n);
void cw_buf_add_str(struct cw_buf *buf, struct cw_str s);
void cw_buf_add_cstr(struct cw_buf *buf, const char *s);
void cw_buf_add_char(struct cw_buf *buf, char c);
/* In decimal. */
void cw_buf_add_int(struct cw_buf *buf, int64_t i);
void cw_buf_addf(struct cw_buf *buf, const char *format, ...) CW_PRINTF(2, 3);
/* Room for n bytes more, so that appending so many moves nothing; fails past the bound. */
void cw_buf_reserve(struct cw_buf *buf, size_t n);
/* n uninitialised bytes at the end, NULL when failed. */
char *cw_buf_extend(struct cw_buf *buf, size_t n);
/* JSON string with its quotes (RFC 8259 §7); bytes that are not UTF-8 become U+FFFD. */
void cw_buf_add_json(struct cw_buf *buf, struct cw_str s);

/* Borrowed until the next append. */
struct cw_str cw_buf_str(const struct cw_buf *buf);
CW_MUST_USE enum cw_err cw_buf_check(const struct cw_buf *buf);
/* NUL-terminated, owned by the caller (free); NULL when the buffer has failed. Resets the buffer.
 */
char *cw_buf_take(struct cw_buf *buf);

#endif
