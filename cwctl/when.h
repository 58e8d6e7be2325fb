/* Points in time on the command line. */
#ifndef CW_CWCTL_WHEN_H
#define CW_CWCTL_WHEN_H

#include "common/base/str.h"

/* Unix seconds, or RFC 3339 in UTC ("2026-11-24T18:00:00Z"). */
bool when_parse(const char *text, int64_t *ret_seconds);

enum { WHEN_SIZE = 32 };

/* The same in RFC 3339; "-" where there is none (0 and below). Returns `text`. */
const char *when_text(int64_t seconds, char text[WHEN_SIZE]);
#define WHEN_TEXT(seconds) when_text((seconds), (char[WHEN_SIZE]){0})

#endif
