/* Files on disk: one directory per tenant, one file per name.
 *
 * A stored file is its content followed by a trailer, so that content and type are replaced by one
 * rename:
 *
 *   content | media type | length of the media type (2 bytes, big-endian) | "CWF1"
 */
#ifndef STORAGE_STORE_DISK_H
#define STORAGE_STORE_DISK_H

#include "examples/storage-service/application/files.h"

struct disk;

/* Makes the directory (0700) where it is missing and removes what uploads left behind. CW_IO. */
CW_MUST_USE enum cw_err disk_open(const char *directory, struct disk **ret_disk);
void disk_close(struct disk *disk);
/* True while the directory can be written. Any thread. */
bool disk_writable(const struct disk *disk);
/* Its operations may run on any thread. */
struct store_port disk_port(struct disk *disk);

#endif
