/* One JSON object (RFC 8259), read in one strict pass into a flat list of its values, in the order
 * of the text: no tree, and no allocation for a value. What the validator reads of a token; key
 * sets and other documents of some size are jansson's (json.h), and both accept the same texts.
 *
 *   {"iss":"i","aud":["a","b"]}   OBJECT 2 │ "iss" │ "i" │ "aud" │ ARRAY 2 │ "a" │ "b" */
#ifndef CW_JOSE_DOC_H
#define CW_JOSE_DOC_H

#include "common/base/arena.h"
#include "common/base/buf.h"

enum {
    CW_DOC_TEXT_MAX = 16 * 1024, /* bytes of a text */
    CW_DOC_DEPTH_MAX = 16,       /* nested arrays and objects */
    CW_DOC_VALUES_MAX = 2048,    /* commas of a text: bounds its members and elements */
};

enum cw_doc_type {
    CW_DOC_NULL,
    CW_DOC_FALSE,
    CW_DOC_TRUE,
    CW_DOC_INTEGER, /* without fraction and exponent; fits an int64_t */
    CW_DOC_REAL,    /* fits a double */
    CW_DOC_STRING,  /* UTF-8 without NUL */
    CW_DOC_ARRAY,
    CW_DOC_OBJECT, /* its members' names are unique; each is a STRING before its value */
};

struct cw_doc_value {
    union {
        const char *p;  /* STRING: its bytes, escapes resolved; INTEGER, REAL: as written */
        uint64_t names; /* OBJECT: a bit for each name in it, so that most that are not are known */
    };
    uint32_t n;     /* bytes; of an ARRAY its elements, of an OBJECT its members */
    uint16_t after; /* from here to the value behind this one and all that is in it */
    uint8_t type;   /* enum cw_doc_type */
};

/* `bad` for what is not one object in these bounds: another value, text behind it, a name twice in
 * one object (RFC 7515 §4, RFC 7519 §4) however it is escaped, a raw control byte, \u0000, a lone
 * surrogate, bad UTF-8, a number that no int64_t or double can hold. CW_NO_MEMORY past the arena's
 * bound. Escapes are resolved in `text`, which with the arena must outlive the values. Any thread.
 */
CW_MUST_USE enum cw_err cw_doc_parse(char *text, size_t n, enum cw_err bad, struct cw_arena *arena,
                                     const struct cw_doc_value **ret_object);

/* The member of an object; NULL where it is absent, and where `object` is NULL or no object. */
const struct cw_doc_value *cw_doc_get(const struct cw_doc_value *object, struct cw_str name);
/* The same, for a string; false for any other type, too. */
bool cw_doc_get_str(const struct cw_doc_value *object, struct cw_str name,
                    struct cw_str *ret_value);

/* NULL is of no type. */
static inline bool cw_doc_is(const struct cw_doc_value *value, enum cw_doc_type type)
{
    return value && value->type == type;
}

/* Of a STRING. */
static inline struct cw_str cw_doc_str(const struct cw_doc_value *string)
{
    return (struct cw_str){string->p, string->n};
}

/* The first of n elements of an ARRAY (the first name of an OBJECT's n), and what stands behind a
 * value. */
static inline const struct cw_doc_value *cw_doc_first(const struct cw_doc_value *list)
{
    return list + 1;
}
static inline const struct cw_doc_value *cw_doc_next(const struct cw_doc_value *value)
{
    return value + value->after;
}

/* Of an INTEGER, and of a REAL. */
int64_t cw_doc_integer(const struct cw_doc_value *integer);
double cw_doc_real(const struct cw_doc_value *real);

/* Appends the value without blanks, numbers as they were written: never longer than its text. */
void cw_doc_write(const struct cw_doc_value *value, struct cw_buf *buf);

#endif
