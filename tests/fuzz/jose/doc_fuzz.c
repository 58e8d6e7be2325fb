/* cw_doc_parse beside jansson: both accept or both refuse, and read the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/jose/same.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char detail[SAME_DETAIL_SIZE];
    struct cw_str text = {(const char *)data, size};
    if (size <= CW_DOC_TEXT_MAX && !same_reading(text, NULL, detail)) {
        fprintf(stderr, "%s\n", detail);
        abort();
    }
    return 0;
}
