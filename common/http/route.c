/* From the request target to the row of the table: decoding, refusing what two readers could read
 * differently, matching. */
#include "common/http/parse.h"

#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_decode(struct cw_arena *arena, struct cw_str text, bool plus, struct cw_str *ret)
{
    char *out = cw_arena_alloc(arena, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < text.n; i++) {
        char c = text.p[i];
        if (c == '%') {
            int high = i + 2 < text.n ? hex_digit(text.p[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text.p[i + 2]) : -1;
            if (low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0') {
            return false;
        }
        out[n++] = c;
    }
    if (!out) {
        return false;
    }
    out[n] = '\0';
    *ret = (struct cw_str){out, n};
    return cw_str_is_utf8(*ret);
}

static bool plain_segment(struct cw_str segment)
{
    if (cw_str_is(segment, ".") || cw_str_is(segment, "..")) {
        return false;
    }
    for (size_t i = 0; i < segment.n; i++) {
        unsigned char c = (unsigned char)segment.p[i];
        if (c < 0x20 || c == 0x7f || c == '/' || c == '\\') {
            return false;
        }
    }
    return true;
}

enum cw_err http_path_parse(struct cw_arena *arena, struct cw_str target, struct http_path *ret)
{
    struct cw_str raw = cw_str_slice(target, 0, cw_str_find(target, '?'));
    ENSURE(raw.n > 0 && raw.p[0] == '/', CW_PATH_AMBIGUOUS);
    char *text = cw_arena_alloc(arena, raw.n + 1);
    ENSURE(text, CW_URI_TOO_LONG);
    ret->n = 0;
    size_t n = 0;
    for (size_t from = 1; from <= raw.n;) {
        struct cw_str rest = cw_str_slice(raw, from, raw.n);
        size_t length = cw_str_find(rest, '/');
        bool last = length == rest.n;
        struct cw_str segment;
        /* an empty segment is fine at the end only, where it is the trailing slash */
        ENSURE(length > 0 || last, CW_PATH_AMBIGUOUS);
        ENSURE(ret->n < HTTP_SEGMENTS_MAX, CW_URI_TOO_LONG);
        ENSURE(http_decode(arena, cw_str_slice(rest, 0, length), false, &segment),
               CW_PATH_AMBIGUOUS);
        ENSURE(plain_segment(segment), CW_PATH_AMBIGUOUS);
        text[n++] = '/';
        memcpy(text + n, segment.p, segment.n);
        ret->segments[ret->n++] = (struct cw_str){text + n, segment.n};
        n += segment.n;
        from += length + 1;
    }
    ret->text = (struct cw_str){text, n};
    return CW_OK;
}

/* {name} or {name...}; false for a literal. */
static bool parameter(struct cw_str part, struct cw_str *ret_name, bool *ret_rest)
{
    if (part.n < 3 || part.p[0] != '{' || part.p[part.n - 1] != '}') {
        return false;
    }
    *ret_name = cw_str_slice(part, 1, part.n - 1);
    *ret_rest = cw_str_ends(*ret_name, CW_STR("..."));
    if (*ret_rest) {
        ret_name->n -= 3;
    }
    return true;
}

bool http_route_matches(const char *pattern, const struct http_path *path,
                        struct http_pair *ret_params, size_t *ret_n)
{
    struct cw_str rest = cw_str(pattern + 1);
    *ret_n = 0;
    for (size_t i = 0; i < path->n; i++) {
        if (!rest.p) {
            return false; /* the path is longer */
        }
        size_t length = cw_str_find(rest, '/');
        struct cw_str part = cw_str_slice(rest, 0, length);
        struct cw_str name, value = path->segments[i];
        bool takes_rest;
        if (parameter(part, &name, &takes_rest)) {
            if (takes_rest) {
                value.n = (size_t)(path->text.p + path->text.n - value.p);
            }
            if (value.n == 0 || *ret_n == HTTP_PARAMS_MAX) {
                return false;
            }
            ret_params[(*ret_n)++] = (struct http_pair){name, value};
            if (takes_rest) {
                return true;
            }
        } else if (!cw_str_eq(part, value)) {
            return false;
        }
        rest = length < rest.n ? cw_str_slice(rest, length + 1, rest.n) : (struct cw_str){NULL, 0};
    }
    return rest.p == NULL;
}

enum cw_err http_pairs_parse(struct cw_arena *arena, struct cw_str text, struct http_pair *pairs,
                             size_t max, size_t *ret_n)
{
    size_t n = 0;
    while (text.n > 0) {
        size_t end = cw_str_find(text, '&');
        struct cw_str pair = cw_str_slice(text, 0, end);
        text = end < text.n ? cw_str_slice(text, end + 1, text.n) : CW_STR("");
        if (pair.n == 0) {
            continue;
        }
        ENSURE(n < max, CW_REQUEST_MALFORMED);
        size_t equals = cw_str_find(pair, '=');
        struct cw_str value = equals < pair.n ? cw_str_slice(pair, equals + 1, pair.n) : CW_STR("");
        ENSURE(http_decode(arena, cw_str_slice(pair, 0, equals), true, &pairs[n].name) &&
                   http_decode(arena, value, true, &pairs[n].value),
               CW_REQUEST_MALFORMED);
        for (size_t i = 0; i < n; i++) {
            ENSURE(!cw_str_eq(pairs[i].name, pairs[n].name), CW_REQUEST_MALFORMED);
        }
        n++;
    }
    *ret_n = n;
    return CW_OK;
}
