/* http_json_parse: what is accepted is an object that reads the same after it was written again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *object, *again;
    struct cw_str text = {(const char *)data, size};
    if (http_json_parse(text, &object) != CW_OK) {
        return 0;
    }
    char *written = json_dumps(object, JSON_COMPACT);
    if (memchr(data, '\0', size) || !written || http_json_parse(cw_str(written), &again) != CW_OK ||
        !json_equal(object, again)) {
        abort();
    }
    free(written);
    json_decref(object);
    json_decref(again);
    return 0;
}
