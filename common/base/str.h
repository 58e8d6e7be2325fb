/* A borrowed run of bytes: pointer and length, not NUL-terminated, never owned. */
#ifndef CW_BASE_STR_H
#define CW_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct cw_str {
    const char *p;
    size_t n; /* bytes */
};

#define CW_STR(literal) ((struct cw_str){(literal), sizeof(literal) - 1})
#define CW_STR_INIT(literal)                                                                       \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }
/* For printf("%.*s"). */
#define CW_STR_ARG(s) (int)(s).n, (s).p

/* NULL reads as empty. */
struct cw_str cw_str(const char *cstr);

bool cw_str_eq(struct cw_str a, struct cw_str b);
bool cw_str_is(struct cw_str a, const char *b);
/* Order by bytes, as for qsort(3); a prefix comes before what it begins. */
int cw_str_order(struct cw_str a, struct cw_str b);
/* ASCII letters only, whatever the locale. */
bool cw_str_eq_nocase(struct cw_str a, struct cw_str b);
bool cw_str_starts(struct cw_str s, struct cw_str prefix);
bool cw_str_ends(struct cw_str s, struct cw_str suffix);
/* Position of c, or s.n. */
size_t cw_str_find(struct cw_str s, char c);
struct cw_str cw_str_slice(struct cw_str s, size_t from, size_t to);
/* Without leading and trailing SP and HTAB. */
struct cw_str cw_str_trim(struct cw_str s);
/* Takes the next word off *s, divided by any run of `sep`; false when none is left. */
bool cw_str_word(struct cw_str *s, char sep, struct cw_str *ret_word);

/* NUL-terminated copy by malloc; NULL without memory. The caller frees. */
char *cw_str_dup(struct cw_str s);

/* Whole-string decimal without sign, blanks or leading zeros ("0" itself is fine);
 * CW_REQUEST_MALFORMED else. */
CW_MUST_USE enum cw_err cw_str_to_u64(struct cw_str s, uint64_t max, uint64_t *ret_value);

/* Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. NUL is
 * well-formed. */
bool cw_str_is_utf8(struct cw_str s);

#endif
