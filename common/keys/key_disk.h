/* The last good key set of each source on disk, for a start while the issuer is away. */
#ifndef CW_KEYS_KEY_DISK_H
#define CW_KEYS_KEY_DISK_H

#include "common/base/buf.h"

/* The file of a source below `dir`: named by a hash, so that no name of an issuer is a path. */
enum { CW_KEY_DISK_PATH_MAX = 512 };
CW_MUST_USE enum cw_err cw_key_disk_path(const char *dir, const char *tenant, const char *issuer,
                                         const char *place, char ret_path[CW_KEY_DISK_PATH_MAX]);

/* First line: Unix seconds of the fetch; then the set. Replaces the file as a whole. CW_IO. */
CW_MUST_USE enum cw_err cw_key_disk_write(const char *path, struct cw_str text, int64_t fetched_at);
/* CW_NOT_FOUND, CW_IO, CW_REQUEST_MALFORMED. The text is what follows the first line in `buf`. */
CW_MUST_USE enum cw_err cw_key_disk_read(const char *path, struct cw_buf *buf,
                                         struct cw_str *ret_text, int64_t *ret_fetched_at);

#endif
