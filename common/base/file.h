/* Small files that are read and written whole. Both calls block: not on a poller. Any thread. */
#ifndef CW_BASE_FILE_H
#define CW_BASE_FILE_H

#include "common/base/buf.h"

/* Appends all of a regular file; a link, a pipe or a device is refused without waiting for it.
 * CW_NOT_FOUND without one; CW_IO; CW_NO_MEMORY where the buffer's bound is too small for it. */
CW_MUST_USE enum cw_err cw_file_read(const char *path, struct cw_buf *buf);

/* The file has these bytes or keeps the old ones, also after a power cut: they are on the disk
 * before the new file (0600, PATH.new until then) takes the name. CW_IO. */
CW_MUST_USE enum cw_err cw_file_replace(const char *path, struct cw_str bytes);

#endif
