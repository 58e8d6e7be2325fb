/* Comparing, cutting and parsing borrowed strings. */
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

struct cw_str cw_str(const char *cstr)
{
    return (struct cw_str){cstr ? cstr : "", cstr ? strlen(cstr) : 0};
}

bool cw_str_eq(struct cw_str a, struct cw_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

int cw_str_order(struct cw_str a, struct cw_str b)
{
    size_t n = CW_MIN(a.n, b.n);
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0; /* an empty one may have no bytes to point at */
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

bool cw_str_is(struct cw_str a, const char *b)
{
    return cw_str_eq(a, cw_str(b));
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool cw_str_eq_nocase(struct cw_str a, struct cw_str b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

bool cw_str_starts(struct cw_str s, struct cw_str prefix)
{
    return s.n >= prefix.n && cw_str_eq(cw_str_slice(s, 0, prefix.n), prefix);
}

bool cw_str_ends(struct cw_str s, struct cw_str suffix)
{
    return s.n >= suffix.n && cw_str_eq(cw_str_slice(s, s.n - suffix.n, s.n), suffix);
}

size_t cw_str_find(struct cw_str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

struct cw_str cw_str_slice(struct cw_str s, size_t from, size_t to)
{
    to = CW_MIN(to, s.n);
    from = CW_MIN(from, to);
    return (struct cw_str){s.p + from, to - from};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct cw_str cw_str_trim(struct cw_str s)
{
    while (s.n && is_blank(s.p[0])) {
        s = cw_str_slice(s, 1, s.n);
    }
    while (s.n && is_blank(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

bool cw_str_word(struct cw_str *s, char sep, struct cw_str *ret_word)
{
    while (s->n && s->p[0] == sep) {
        *s = cw_str_slice(*s, 1, s->n);
    }
    if (!s->n) {
        return false;
    }
    size_t end = cw_str_find(*s, sep);
    *ret_word = cw_str_slice(*s, 0, end);
    *s = cw_str_slice(*s, end, s->n);
    return true;
}

char *cw_str_dup(struct cw_str s)
{
    char *copy = malloc(s.n + 1);
    if (copy) {
        if (s.n) {
            memcpy(copy, s.p, s.n);
        }
        copy[s.n] = '\0';
    }
    return copy;
}

enum cw_err cw_str_to_u64(struct cw_str s, uint64_t max, uint64_t *ret_value)
{
    ENSURE(s.n > 0 && (s.n == 1 || s.p[0] != '0'), CW_REQUEST_MALFORMED);
    uint64_t value = 0;
    for (size_t i = 0; i < s.n; i++) {
        ENSURE(s.p[i] >= '0' && s.p[i] <= '9', CW_REQUEST_MALFORMED);
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        ENSURE(value <= (UINT64_MAX - digit) / 10, CW_REQUEST_MALFORMED);
        value = value * 10 + digit;
    }
    ENSURE(value <= max, CW_REQUEST_MALFORMED);
    *ret_value = value;
    return CW_OK;
}

/* Length of the well-formed sequence at p (Unicode 15, table 3-7), 0 if there is none. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    static const struct {
        unsigned char first_lo, first_hi, second_lo, second_hi, length;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(forms); i++) {
        if (p[0] < forms[i].first_lo || p[0] > forms[i].first_hi) {
            continue;
        }
        size_t length = forms[i].length;
        if (n < length ||
            (length > 1 && (p[1] < forms[i].second_lo || p[1] > forms[i].second_hi))) {
            return 0;
        }
        for (size_t k = 2; k < length; k++) {
            if ((p[k] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return length;
    }
    return 0;
}

bool cw_str_is_utf8(struct cw_str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    for (size_t i = 0; i < s.n;) {
        size_t length = utf8_sequence(p + i, s.n - i);
        if (!length) {
            return false;
        }
        i += length;
    }
    return true;
}
