/* Reads a point in time. */
#include "cwctl/when.h"

#include <time.h>

bool when_parse(const char *text, int64_t *ret_seconds)
{
    uint64_t number;
    if (cw_str_to_u64(cw_str(text), 253402300799, &number) == CW_OK) {
        *ret_seconds = (int64_t)number;
        return true;
    }
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!rest || *rest) {
        return false;
    }
    *ret_seconds = timegm(&tm);
    return true;
}
