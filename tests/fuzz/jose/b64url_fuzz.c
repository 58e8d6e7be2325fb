/* cw_b64url_decode: what decodes encodes to the same text, and nothing is read or written out of
 * bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/jose/b64url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cw_str text = {(const char *)data, size};
    size_t n = cw_b64url_decoded_size(size);
    unsigned char *bytes = malloc(n + 1);
    if (cw_b64url_decode(text, bytes) == CW_OK) {
        size_t again_n = cw_b64url_encoded_size(n);
        char *again = malloc(again_n + 1);
        cw_b64url_encode(bytes, n, again);
        if (again_n != size || (size && memcmp(again, data, size) != 0)) {
            abort();
        }
        free(again);
    }
    free(bytes);
    return 0;
}
