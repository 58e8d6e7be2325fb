/* http_pairs_parse, for queries and form bodies: names come once, nothing is longer than it was
 * sent. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cw_arena arena = CW_ARENA_INIT(256 << 10);
    struct http_pair pairs[16];
    size_t n;
    struct cw_str text = {(const char *)data, size};
    if (http_pairs_parse(&arena, text, pairs, CW_ARRAY_SIZE(pairs), &n) == CW_OK) {
        size_t bytes = 0;
        for (size_t i = 0; i < n; i++) {
            bytes += pairs[i].name.n + pairs[i].value.n;
            for (size_t k = 0; k < i; k++) {
                if (cw_str_eq(pairs[i].name, pairs[k].name)) {
                    abort();
                }
            }
            if (memchr(pairs[i].value.p, '\0', pairs[i].value.n)) {
                abort();
            }
        }
        if (bytes > size) {
            abort();
        }
    }
    cw_arena_done(&arena);
    return 0;
}
