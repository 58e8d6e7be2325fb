/* What a stored file is: its name, its type, and which of them are allowed. */
#ifndef STORAGE_DOMAIN_FILE_H
#define STORAGE_DOMAIN_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/str.h"

enum {
    FILE_NAME_MAX = 120,      /* bytes */
    FILE_MEDIA_TYPE_MAX = 200 /* bytes */
};

struct file_info {
    char name[FILE_NAME_MAX + 1];
    char media_type[FILE_MEDIA_TYPE_MAX + 1];
    uint64_t size;    /* bytes */
    int64_t modified; /* Unix seconds */
};

/* One segment of a path in UTF-8, 1 to FILE_NAME_MAX bytes, no control characters, not beginning
 * with a dot or blank nor ending with a blank: nothing that a shell, a browser or a file system
 * reads as more than a name. CW_REQUEST_MALFORMED. */
CW_MUST_USE enum cw_err file_name_check(struct cw_str name);

/* Content-Type as it came (RFC 9110 §8.3.1): type/subtype and parameters; CW_REQUEST_MALFORMED.
 * Empty becomes application/octet-stream. */
CW_MUST_USE enum cw_err file_media_type(struct cw_str header,
                                        char ret_type[FILE_MEDIA_TYPE_MAX + 1]);

#endif
