/* Reads an object by recursive descent, which the bound on depth keeps short, and appends each
 * value to one array that lies in the caller's arena. */
#include "common/jose/doc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    VALUES_FIRST = 64, /* room for the claims of a usual token; doubled as needed */
    MEMBERS_FEW = 32,  /* of an object: names are compared with each other; above, sorted */
};

_Static_assert(CW_DOC_TEXT_MAX <= UINT16_MAX, "a value has one byte at least: `after` holds them");

struct reader {
    char *at, *end;
    struct cw_arena *arena;
    struct cw_doc_value *values; /* moves when it grows: indexes are kept, not pointers */
    uint32_t n, capacity;
    unsigned depth, commas;
    enum cw_err bad;
};

/* ---- the list ---- */

static enum cw_err grow(struct reader *r)
{
    uint32_t capacity = r->capacity ? 2 * r->capacity : VALUES_FIRST;
    struct cw_doc_value *values = cw_arena_alloc(r->arena, capacity * sizeof *values);
    ENSURE(values, CW_NO_MEMORY);
    if (r->n) {
        memcpy(values, r->values, r->n * sizeof *values);
    }
    r->values = values;
    r->capacity = capacity;
    return CW_OK;
}

static enum cw_err add(struct reader *r, enum cw_doc_type type, const char *p, size_t n)
{
    if (r->n == r->capacity) {
        TRY(grow(r));
    }
    r->values[r->n++] =
        (struct cw_doc_value){.p = p, .n = (uint32_t)n, .after = 1, .type = (uint8_t)type};
    return CW_OK;
}

/* ---- text ---- */

static char next_char(struct reader *r)
{
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r')) {
        r->at++;
    }
    return r->at < r->end ? *r->at : '\0';
}

static bool take(struct reader *r, char c)
{
    if (next_char(r) != c) {
        return false;
    }
    r->at++;
    return true;
}

/* Whether 8 bytes are neither control bytes nor a quote nor a backslash nor above ASCII: a borrow
 * that runs into the next byte starts from one that is. */
static bool is_plain_word(const char *p)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t word;
    memcpy(&word, p, sizeof word);
    uint64_t quote = (word ^ ones * '"') - ones, backslash = (word ^ ones * '\\') - ones;
    return !(((word - ones * 0x20) | quote | backslash | word) & ones * 0x80);
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static char *skip_plain(char *p, const char *end)
{
    while (end - p >= 8 && is_plain_word(p)) {
        p += 8;
    }
    while (p < end && is_plain((unsigned char)*p)) {
        p++;
    }
    return p;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The four digits of a \u; false for anything else. */
static bool take_hex(const char **p, const char *end, uint32_t *ret_code)
{
    uint32_t code = 0;
    ENSURE(end - *p >= 4, false);
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit((*p)[i]);
        ENSURE(digit >= 0, false);
        code = code << 4 | (uint32_t)digit;
    }
    *p += 4;
    *ret_code = code;
    return true;
}

/* Behind \u: the code point, of two \u where the first is a high surrogate (RFC 8259 §7). */
static bool take_code_point(const char **p, const char *end, uint32_t *ret_code)
{
    uint32_t high, low;
    ENSURE(take_hex(p, end, &high) && high != 0, false);
    *ret_code = high;
    if (high < 0xd800 || high > 0xdfff) {
        return true;
    }
    ENSURE(high < 0xdc00 && end - *p >= 2 && (*p)[0] == '\\' && (*p)[1] == 'u', false);
    *p += 2;
    ENSURE(take_hex(p, end, &low) && low >= 0xdc00 && low <= 0xdfff, false);
    *ret_code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* UTF-8 (RFC 3629 §3); never longer than the escape that it stands for. */
static char *put_code_point(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
        return out;
    }
    if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
    } else {
        if (code < 0x10000) {
            *out++ = (char)(0xe0 | code >> 12);
        } else {
            *out++ = (char)(0xf0 | code >> 18);
            *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        }
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (code & 0x3f));
    return out;
}

static const char escape_letters[] = "\"\\/bfnrt", escape_bytes[] = "\"\\/\b\f\n\r\t";

/* In place; a backslash is never the last of the n bytes. */
static bool unescape(char *text, size_t n, size_t *ret_n)
{
    const char *p = text, *end = text + n;
    char *out = text;
    while (p < end) {
        if (*p != '\\') {
            *out++ = *p++;
        } else if (p[1] == 'u') {
            uint32_t code;
            p += 2;
            ENSURE(take_code_point(&p, end, &code), false);
            out = put_code_point(out, code);
        } else {
            const char *letter = memchr(escape_letters, p[1], sizeof escape_letters - 1);
            ENSURE(letter, false);
            *out++ = escape_bytes[letter - escape_letters];
            p += 2;
        }
    }
    *ret_n = (size_t)(out - text);
    return true;
}

static enum cw_err read_string(struct reader *r)
{
    char *begin = ++r->at;
    bool escaped = false, wide = false;
    for (;;) {
        r->at = skip_plain(r->at, r->end);
        ENSURE(r->at < r->end, r->bad);
        if (*r->at == '"') {
            break;
        }
        if (*r->at == '\\') {
            ENSURE(r->end - r->at >= 2, r->bad);
            escaped = true;
            r->at += 2;
        } else {
            ENSURE((unsigned char)*r->at >= 0x80, r->bad); /* RFC 8259 §7: no control bytes */
            wide = true;
            r->at++;
        }
    }
    size_t n = (size_t)(r->at++ - begin);
    ENSURE(!wide || cw_str_is_utf8((struct cw_str){begin, n}), r->bad);
    ENSURE(!escaped || unescape(begin, n, &n), r->bad);
    return add(r, CW_DOC_STRING, begin, n);
}

/* ---- numbers ---- */

static bool to_integer(const char *p, size_t n, int64_t *ret_value)
{
    bool negative = *p == '-';
    int64_t value = 0;
    for (size_t i = negative; i < n; i++) {
        int digit = p[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value)) {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

static bool take_digits(struct reader *r)
{
    const char *begin = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        r->at++;
    }
    return r->at > begin;
}

static bool take_exponent(struct reader *r)
{
    r->at++;
    if (r->at < r->end && (*r->at == '+' || *r->at == '-')) {
        r->at++;
    }
    return take_digits(r);
}

/* RFC 8259 §6. Whether a number ends here is for the caller to see, who expects a comma or the end
 * of what the number is in; there is no number at the end of an object's text. */
static enum cw_err read_number(struct reader *r)
{
    char *begin = r->at;
    bool real = false;
    r->at += *r->at == '-';
    if (r->at < r->end && *r->at == '0') {
        r->at++; /* no digit follows a leading zero */
    } else {
        ENSURE(take_digits(r), r->bad);
    }
    if (r->at < r->end && *r->at == '.') {
        real = true;
        r->at++;
        ENSURE(take_digits(r), r->bad);
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        real = true;
        ENSURE(take_exponent(r), r->bad);
    }
    ENSURE(r->at < r->end, r->bad);
    struct cw_doc_value number = {.p = begin, .n = (uint32_t)(r->at - begin)};
    int64_t integer;
    ENSURE(real ? isfinite(cw_doc_real(&number)) : to_integer(number.p, number.n, &integer),
           r->bad);
    return add(r, real ? CW_DOC_REAL : CW_DOC_INTEGER, number.p, number.n);
}

int64_t cw_doc_integer(const struct cw_doc_value *integer)
{
    int64_t value = 0;
    (void)to_integer(integer->p, integer->n, &value); /* was seen to fit */
    return value;
}

/* The byte behind a number is in the text, and none that could belong to it. Programs of this
 * project stay in the C locale, whose decimal point is JSON's. */
double cw_doc_real(const struct cw_doc_value *real)
{
    return strtod(real->p, NULL);
}

/* ---- values ---- */

static enum cw_err read_value(struct reader *r);

static enum cw_err read_word(struct reader *r, struct cw_str word, enum cw_doc_type type)
{
    ENSURE((size_t)(r->end - r->at) >= word.n && memcmp(r->at, word.p, word.n) == 0, r->bad);
    r->at += word.n;
    return add(r, type, NULL, 0);
}

/* Whether another member or element follows. */
static enum cw_err take_comma(struct reader *r, bool *ret_more)
{
    *ret_more = take(r, ',');
    return *ret_more && ++r->commas >= CW_DOC_VALUES_MAX ? r->bad : CW_OK;
}

static enum cw_err open_list(struct reader *r, enum cw_doc_type type, uint32_t *ret_list)
{
    ENSURE(++r->depth <= CW_DOC_DEPTH_MAX, r->bad);
    r->at++;
    *ret_list = r->n;
    return add(r, type, NULL, 0);
}

static enum cw_err close_list(struct reader *r, uint32_t list, char end)
{
    ENSURE(take(r, end), r->bad);
    r->depth--;
    r->values[list].after = (uint16_t)(r->n - list);
    return CW_OK;
}

static enum cw_err read_array(struct reader *r)
{
    uint32_t list;
    TRY(open_list(r, CW_DOC_ARRAY, &list));
    for (bool more = next_char(r) != ']'; more;) {
        TRY(read_value(r));
        r->values[list].n++;
        TRY(take_comma(r, &more));
    }
    return close_list(r, list, ']');
}

static uint64_t name_bit(struct cw_str name)
{
    if (!name.n) {
        return 1;
    }
    unsigned first = (unsigned char)name.p[0], last = (unsigned char)name.p[name.n - 1];
    return (uint64_t)1 << ((name.n + 7 * first + 31 * last) & 63);
}

/* The name among the first n members. */
static const struct cw_doc_value *find(const struct cw_doc_value *object, uint32_t n,
                                       struct cw_str name)
{
    const struct cw_doc_value *at = cw_doc_first(object);
    for (uint32_t i = 0; i < n; i++) {
        if (at->n == name.n && memcmp(at->p, name.p, name.n) == 0) {
            return at;
        }
        at = cw_doc_next(at + 1);
    }
    return NULL;
}

static enum cw_err read_member(struct reader *r, uint32_t object)
{
    ENSURE(next_char(r) == '"', r->bad);
    TRY(read_string(r));
    struct cw_str name = cw_doc_str(&r->values[r->n - 1]);
    struct cw_doc_value *list = &r->values[object];
    uint64_t bit = name_bit(name);
    ENSURE(!(list->names & bit) || list->n >= MEMBERS_FEW || !find(list, list->n, name), r->bad);
    list->names |= bit;
    list->n++;
    ENSURE(take(r, ':'), r->bad);
    return read_value(r);
}

static int compare_names(const void *a, const void *b)
{
    const struct cw_doc_value *x = *(const struct cw_doc_value *const *)a,
                              *y = *(const struct cw_doc_value *const *)b;
    return x->n != y->n ? (x->n > y->n) - (x->n < y->n) : memcmp(x->p, y->p, x->n);
}

/* An object with many members: to compare each with each would be the sender's lever. */
static enum cw_err check_many(struct reader *r, const struct cw_doc_value *object)
{
    const struct cw_doc_value **names =
        cw_arena_alloc(r->arena, object->n * sizeof(struct cw_doc_value *));
    ENSURE(names, CW_NO_MEMORY);
    const struct cw_doc_value *at = cw_doc_first(object);
    for (uint32_t i = 0; i < object->n; i++) {
        names[i] = at;
        at = cw_doc_next(at + 1);
    }
    qsort((void *)names, object->n, sizeof *names, compare_names);
    for (uint32_t i = 1; i < object->n; i++) {
        ENSURE(compare_names((const void *)&names[i - 1], (const void *)&names[i]) != 0, r->bad);
    }
    return CW_OK;
}

static enum cw_err read_object(struct reader *r)
{
    uint32_t object;
    TRY(open_list(r, CW_DOC_OBJECT, &object));
    for (bool more = next_char(r) != '}'; more;) {
        TRY(read_member(r, object));
        TRY(take_comma(r, &more));
    }
    TRY(close_list(r, object, '}'));
    return r->values[object].n > MEMBERS_FEW ? check_many(r, &r->values[object]) : CW_OK;
}

static enum cw_err read_value(struct reader *r)
{
    switch (next_char(r)) {
    case '"':
        return read_string(r);
    case '{':
        return read_object(r);
    case '[':
        return read_array(r);
    case 'n':
        return read_word(r, CW_STR("null"), CW_DOC_NULL);
    case 'f':
        return read_word(r, CW_STR("false"), CW_DOC_FALSE);
    case 't':
        return read_word(r, CW_STR("true"), CW_DOC_TRUE);
    case '\0': /* the end, or a raw NUL */
        return r->bad;
    default:
        return read_number(r);
    }
}

enum cw_err cw_doc_parse(char *text, size_t n, enum cw_err bad, struct cw_arena *arena,
                         const struct cw_doc_value **ret_object)
{
    struct reader r = {.at = text, .end = text + n, .arena = arena, .bad = bad};
    ENSURE(n <= CW_DOC_TEXT_MAX, bad);
    ENSURE(next_char(&r) == '{', bad);
    TRY(read_object(&r));
    next_char(&r);
    ENSURE(r.at == r.end, bad);
    *ret_object = r.values;
    return CW_OK;
}

/* ---- what was read ---- */

const struct cw_doc_value *cw_doc_get(const struct cw_doc_value *object, struct cw_str name)
{
    if (!cw_doc_is(object, CW_DOC_OBJECT) || !(object->names & name_bit(name))) {
        return NULL;
    }
    const struct cw_doc_value *at = find(object, object->n, name);
    return at ? at + 1 : NULL;
}

bool cw_doc_get_str(const struct cw_doc_value *object, struct cw_str name, struct cw_str *ret_value)
{
    const struct cw_doc_value *value = cw_doc_get(object, name);
    if (!cw_doc_is(value, CW_DOC_STRING)) {
        return false;
    }
    *ret_value = cw_doc_str(value);
    return true;
}
