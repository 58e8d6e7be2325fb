/* Whole files. */
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_regular(int fd)
{
    struct stat seen;

    return fstat(fd, &seen) == 0 && S_ISREG(seen.st_mode);
}

enum cw_err cw_file_read(const char *path, struct cw_buf *buf)
{
    /* O_NONBLOCK: nobody waits for a pipe's other end. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    char part[16 * 1024];
    ssize_t got = -1;

    ENSURE(fd >= 0, errno == ENOENT ? CW_NOT_FOUND : CW_IO);
    if (is_regular(fd)) {
        while ((got = read(fd, part, sizeof(part))) > 0 || (got < 0 && errno == EINTR)) {
            cw_buf_add(buf, part, got > 0 ? (size_t)got : 0);
        }
    }
    close(fd);
    ENSURE(got == 0, CW_IO);
    return cw_buf_check(buf);
}

static bool write_all(int fd, struct cw_str bytes)
{
    while (bytes.n > 0) {
        ssize_t put = write(fd, bytes.p, bytes.n);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        bytes = cw_str_slice(bytes, put > 0 ? (size_t)put : 0, bytes.n);
    }
    return true;
}

enum cw_err cw_file_replace(const char *path, struct cw_str bytes)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof(temporary), "%s.new", path);
    ENSURE(n > 0 && (size_t)n < sizeof(temporary), CW_IO);

    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    ENSURE(fd >= 0, CW_IO);
    /* A rename without fsync could leave an empty file after a power cut. */
    bool good = write_all(fd, bytes) && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    if (!good || rename(temporary, path) != 0) {
        unlink(temporary);
        return CW_IO;
    }
    return CW_OK;
}
