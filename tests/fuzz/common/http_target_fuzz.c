/* http_path_parse and http_route_matches: no accepted path has a segment that means another place.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_segment(struct cw_str segment, bool last)
{
    require(segment.n > 0 || last);
    require(!cw_str_is(segment, ".") && !cw_str_is(segment, ".."));
    require(cw_str_is_utf8(segment));
    for (size_t i = 0; i < segment.n; i++) {
        unsigned char c = (unsigned char)segment.p[i];
        require(c >= 0x20 && c != 0x7f && c != '/' && c != '\\');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const patterns[] = {"/", "/a/{b}", "/a/", "/{x}/{y...}", "/a/b/c"};
    struct cw_arena arena = CW_ARENA_INIT(256 << 10);
    struct cw_str target = {(const char *)data, size};
    struct http_path path;
    if (http_path_parse(&arena, target, &path) == CW_OK) {
        require(path.n >= 1 && path.n <= HTTP_SEGMENTS_MAX);
        for (size_t i = 0; i < path.n; i++) {
            check_segment(path.segments[i], i + 1 == path.n);
        }
        for (size_t i = 0; i < CW_ARRAY_SIZE(patterns); i++) {
            struct http_pair params[HTTP_PARAMS_MAX];
            size_t n;
            if (http_route_matches(patterns[i], &path, params, &n)) {
                for (size_t k = 0; k < n; k++) {
                    require(params[k].value.n > 0 && params[k].value.n <= path.text.n);
                }
            }
        }
    }
    cw_arena_done(&arena);
    return 0;
}
