/* Reads and writes points in time. */
#include "cwctl/when.h"

#include <string.h>
#include <time.h>

bool when_parse(const char *text, int64_t *ret_seconds)
{
    uint64_t number;
    if (cw_str_to_u64(cw_str(text), 253402300799, &number) == CW_OK) {
        *ret_seconds = (int64_t)number;
        return true;
    }
    struct tm tm = {0}, back;
    char again[24];
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!rest || *rest) {
        return false;
    }
    /* strptime takes blanks, single digits and the 31st of February: RFC 3339 §5.6 does not */
    time_t seconds = timegm(&tm);
    if (seconds < 0 || !gmtime_r(&seconds, &back) ||
        !strftime(again, sizeof again, "%Y-%m-%dT%H:%M:%SZ", &back) || strcmp(again, text) != 0) {
        return false;
    }
    *ret_seconds = seconds;
    return true;
}

const char *when_text(int64_t seconds, char text[WHEN_SIZE])
{
    time_t at = (time_t)seconds;
    struct tm tm;
    bool known = seconds > 0 && gmtime_r(&at, &tm) != NULL &&
                 strftime(text, WHEN_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0;
    if (!known) {
        memcpy(text, "-", sizeof "-");
    }
    return text;
}
