/* The growing, bounded byte buffer. */
#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

void cw_buf_done(struct cw_buf *buf)
{
    free(buf->p);
    *buf = (struct cw_buf){.max = buf->max};
}

void cw_buf_clear(struct cw_buf *buf)
{
    buf->n = 0;
    buf->failed = false;
}

void cw_buf_reserve(struct cw_buf *buf, size_t n)
{
    if (buf->failed || n > buf->max - buf->n) {
        buf->failed = true;
        return;
    }
    if (n > buf->cap - buf->n) {
        size_t cap = buf->cap ? buf->cap : FIRST_CAPACITY;
        while (cap < buf->n + n) {
            cap *= 2;
        }
        char *p = realloc(buf->p, cap);
        if (!p) {
            buf->failed = true;
            return;
        }
        buf->p = p;
        buf->cap = cap;
    }
}

char *cw_buf_extend(struct cw_buf *buf, size_t n)
{
    cw_buf_reserve(buf, n);
    if (buf->failed) {
        return NULL;
    }
    char *at = buf->p + buf->n;
    buf->n += n;
    return at;
}

void cw_buf_add(struct cw_buf *buf, const void *bytes, size_t n)
{
    char *at = n ? cw_buf_extend(buf, n) : NULL;
    if (at) {
        memcpy(at, bytes, n);
    }
}

void cw_buf_add_str(struct cw_buf *buf, struct cw_str s)
{
    cw_buf_add(buf, s.p, s.n);
}

void cw_buf_add_cstr(struct cw_buf *buf, const char *s)
{
    cw_buf_add(buf, s, strlen(s));
}

void cw_buf_add_char(struct cw_buf *buf, char c)
{
    cw_buf_add(buf, &c, 1);
}

void cw_buf_addf(struct cw_buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    /* most fits into the room that is there, and is formatted once */
    size_t room = buf->failed ? 0 : buf->cap - buf->n;
    int n = vsnprintf(room > 0 ? buf->p + buf->n : NULL, room, format, args);
    va_end(args);
    /* vsnprintf ends with a NUL: room for it, which is then given back */
    char *at = n >= 0 ? cw_buf_extend(buf, (size_t)n + 1) : NULL;
    if (at) {
        if ((size_t)n >= room) {
            vsnprintf(at, (size_t)n + 1, format, again);
        }
        buf->n--;
    } else {
        buf->failed = true;
    }
    va_end(again);
}

void cw_buf_add_int(struct cw_buf *buf, int64_t i)
{
    char digits[20]; /* of INT64_MIN, with its sign */
    size_t at = sizeof(digits);
    uint64_t left = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (i < 0) {
        digits[--at] = '-';
    }
    cw_buf_add(buf, digits + at, sizeof(digits) - at);
}

/* Bytes that stand for themselves in a JSON string, from the first on. */
static size_t plain_bytes(struct cw_str s)
{
    size_t n = 0;
    while (n < s.n) {
        unsigned char c = (unsigned char)s.p[n];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') {
            break;
        }
        n++;
    }
    return n;
}

void cw_buf_add_json(struct cw_buf *buf, struct cw_str s)
{
    static const char hex[] = "0123456789abcdef";
    cw_buf_add_char(buf, '"');
    for (size_t i = 0; i < s.n;) {
        size_t plain = plain_bytes(cw_str_slice(s, i, s.n));
        cw_buf_add(buf, s.p + i, plain);
        i += plain;
        if (i == s.n) {
            break;
        }
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            cw_buf_add(buf, (char[]){'\\', (char)c}, 2);
            i++;
        } else if (c < 0x20 || c == 0x7f) {
            cw_buf_add(buf, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
            i++;
        } else {
            size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            if (n <= s.n - i && cw_str_is_utf8(cw_str_slice(s, i, i + n))) {
                cw_buf_add(buf, s.p + i, n);
                i += n;
            } else {
                cw_buf_add_cstr(buf, "\xef\xbf\xbd");
                i++;
            }
        }
    }
    cw_buf_add_char(buf, '"');
}

struct cw_str cw_buf_str(const struct cw_buf *buf)
{
    return (struct cw_str){buf->p ? buf->p : "", buf->n};
}

enum cw_err cw_buf_check(const struct cw_buf *buf)
{
    return buf->failed ? CW_NO_MEMORY : CW_OK;
}

char *cw_buf_take(struct cw_buf *buf)
{
    size_t max = buf->max;
    if (buf->max != SIZE_MAX) {
        buf->max++; /* the terminator does not count towards the bound */
    }
    cw_buf_add_char(buf, '\0');
    char *p = buf->failed ? NULL : buf->p;
    if (!p) {
        free(buf->p);
    }
    *buf = (struct cw_buf){.max = max};
    return p;
}
