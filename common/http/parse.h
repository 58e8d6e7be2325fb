/* What the HTTP server reads out of bytes that anybody may send; pure, and under a fuzzer. */
#ifndef CW_HTTP_PARSE_H
#define CW_HTTP_PARSE_H

#include <jansson.h>

#include "common/base/arena.h"
#include "common/base/str.h"

enum { HTTP_SEGMENTS_MAX = 32, HTTP_PARAMS_MAX = 8 };

struct http_pair {
    struct cw_str name;
    struct cw_str value;
};

struct http_path {
    struct cw_str text; /* decoded */
    struct cw_str segments[HTTP_SEGMENTS_MAX];
    size_t n;
};

/* Decodes the path of a request target into segments. CW_PATH_AMBIGUOUS. */
CW_MUST_USE enum cw_err http_path_parse(struct cw_arena *arena, struct cw_str target,
                                        struct http_path *ret);
/* Fills params (HTTP_PARAMS_MAX). */
bool http_route_matches(const char *pattern, const struct http_path *path,
                        struct http_pair *ret_params, size_t *ret_n);
/* Percent-decodes into the arena; '+' is a blank in forms and queries. False: malformed. */
bool http_decode(struct cw_arena *arena, struct cw_str text, bool plus, struct cw_str *ret);
/* name=value&… ; CW_REQUEST_MALFORMED for bad encoding, a name twice or more than `max` pairs. */
CW_MUST_USE enum cw_err http_pairs_parse(struct cw_arena *arena, struct cw_str text,
                                         struct http_pair *pairs, size_t max, size_t *ret_n);

/* A JSON object: UTF-8, no member twice, no control bytes, nothing behind it, at most 32 levels.
 * Owned by the caller. CW_REQUEST_MALFORMED. */
CW_MUST_USE enum cw_err http_json_parse(struct cw_str text, json_t **ret_object);

#endif
