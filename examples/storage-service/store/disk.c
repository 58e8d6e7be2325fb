/* Writes beside the file and renames; reads, lists and deletes by descriptors of the tenant's
 * directory, so that no path is ever put together from a name that was sent. */
#include "examples/storage-service/store/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "CWF1"

enum {
    TAIL = 2 + sizeof(MAGIC) - 1,            /* bytes behind the media type */
    ENCODED_MAX = 3 * FILE_NAME_MAX + 1 + 1, /* with its mark and NUL */
    FILE_SYSTEM_NAME_MAX = 255,
    PREFIX = 'f', /* of stored files; 't' is an upload */
};

struct disk {
    int fd; /* of the directory */
    _Atomic uint64_t next;
};

struct file_writer {
    int directory; /* of the tenant */
    int fd;
    char temporary[48];
    char name[ENCODED_MAX];
    char media_type[FILE_MEDIA_TYPE_MAX + 1];
};

/* ---- names ---- */

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

/* "Befund März" → "fBefund%20M%C3%A4rz". A first letter of ours keeps names apart from ".", ".."
 * and uploads. False when the file system could not take it. */
static bool encode(const char *name, char out[ENCODED_MAX])
{
    size_t n = 0;
    out[n++] = PREFIX;
    for (const char *p = name; *p; p++) {
        if (n + 4 > ENCODED_MAX) {
            return false;
        }
        unsigned char c = (unsigned char)*p;
        if (is_plain(c)) {
            out[n++] = *p;
        } else {
            n += (size_t)snprintf(out + n, 4, "%%%02X", c);
        }
    }
    out[n] = '\0';
    return n <= FILE_SYSTEM_NAME_MAX;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode(const char *encoded, char out[FILE_NAME_MAX + 1])
{
    size_t n = 0;
    if (*encoded++ != PREFIX) {
        return false;
    }
    while (*encoded && n < FILE_NAME_MAX) {
        char c = *encoded++;
        if (c == '%') {
            int high = hex(encoded[0]);
            int low = high < 0 ? -1 : hex(encoded[1]);
            if (low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            encoded += 2;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return *encoded == '\0' && n > 0;
}

/* Errors of the system calls as the caller should hear them. */
static enum cw_err io_error(void)
{
    return errno == ENOENT ? CW_NOT_FOUND : CW_IO;
}

static enum cw_err open_tenant(struct disk *disk, const char *tenant, bool make, int *ret_fd)
{
    char name[ENCODED_MAX];
    ENSURE(strlen(tenant) <= FILE_NAME_MAX && encode(tenant, name), CW_REQUEST_MALFORMED);
    if (make && mkdirat(disk->fd, name, 0700) != 0 && errno != EEXIST) {
        return CW_IO;
    }
    int fd = openat(disk->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    ENSURE(fd >= 0, io_error());
    *ret_fd = fd;
    return CW_OK;
}

/* ---- writing ---- */

static enum cw_err write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(done > 0, CW_IO);
        p += done;
        n -= (size_t)done;
    }
    return CW_OK;
}

static void writer_free(struct file_writer *writer)
{
    close(writer->fd);
    close(writer->directory);
    free(writer);
}

static enum cw_err disk_write(void *ctx, const char *tenant, const char *name,
                              const char *media_type, struct file_writer **ret_writer)
{
    struct disk *disk = ctx;
    struct file_writer *writer = calloc(1, sizeof(*writer));
    ENSURE(writer, CW_NO_MEMORY);
    enum cw_err err = encode(name, writer->name) ? CW_OK : CW_REQUEST_MALFORMED;
    if (err == CW_OK) {
        err = open_tenant(disk, tenant, true, &writer->directory);
    }
    if (err != CW_OK) {
        free(writer);
        return err;
    }
    snprintf(writer->media_type, sizeof(writer->media_type), "%s", media_type);
    snprintf(writer->temporary, sizeof(writer->temporary), "t%d-%llu", (int)getpid(),
             (unsigned long long)atomic_fetch_add(&disk->next, 1));
    writer->fd = openat(writer->directory, writer->temporary,
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (writer->fd < 0) {
        close(writer->directory);
        free(writer);
        return CW_IO;
    }
    *ret_writer = writer;
    return CW_OK;
}

static enum cw_err disk_append(struct file_writer *writer, struct cw_str bytes)
{
    return write_all(writer->fd, bytes.p, bytes.n);
}

static void disk_abort(struct file_writer *writer)
{
    unlinkat(writer->directory, writer->temporary, 0);
    writer_free(writer);
}

static enum cw_err write_tail(struct file_writer *writer)
{
    size_t n = strlen(writer->media_type);
    char tail[FILE_MEDIA_TYPE_MAX + TAIL];
    memcpy(tail, writer->media_type, n);
    tail[n] = (char)(n >> 8);
    tail[n + 1] = (char)(n & 0xff);
    memcpy(tail + n + 2, MAGIC, sizeof(MAGIC) - 1);
    return write_all(writer->fd, tail, n + TAIL);
}

static enum cw_err disk_commit(struct file_writer *writer, bool *ret_replaced)
{
    /* the content is on disk before the name points to it */
    if (write_tail(writer) != CW_OK || fdatasync(writer->fd) != 0) {
        disk_abort(writer);
        return CW_IO;
    }
    /* exclusive first: of two that create at once, one is told that it replaced */
    bool created =
        linkat(writer->directory, writer->temporary, writer->directory, writer->name, 0) == 0;
    int failed =
        created ? unlinkat(writer->directory, writer->temporary, 0)
                : renameat(writer->directory, writer->temporary, writer->directory, writer->name);
    if (failed || fsync(writer->directory) != 0) {
        disk_abort(writer);
        return CW_IO;
    }
    *ret_replaced = !created;
    writer_free(writer);
    return CW_OK;
}

/* ---- reading ---- */

/* Fills size, type and time of an open file. */
static enum cw_err read_info(int fd, struct file_info *info)
{
    struct stat st;
    unsigned char tail[TAIL];
    ENSURE(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= TAIL, CW_IO);
    ENSURE(pread(fd, tail, TAIL, st.st_size - TAIL) == TAIL, CW_IO);
    ENSURE(memcmp(tail + 2, MAGIC, sizeof(MAGIC) - 1) == 0, CW_IO);
    size_t n = (size_t)tail[0] << 8 | tail[1];
    ENSURE(n <= FILE_MEDIA_TYPE_MAX && (size_t)st.st_size >= n + TAIL, CW_IO);
    off_t size = st.st_size - TAIL - (off_t)n;
    ENSURE(pread(fd, info->media_type, n, size) == (ssize_t)n, CW_IO);
    info->media_type[n] = '\0';
    info->size = (uint64_t)size;
    info->modified = st.st_mtim.tv_sec;
    return CW_OK;
}

static enum cw_err open_file(int directory, const char *encoded, struct file_info *info,
                             int *ret_fd)
{
    int fd = openat(directory, encoded, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ENSURE(fd >= 0, io_error());
    enum cw_err err = read_info(fd, info);
    if (err != CW_OK) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return CW_OK;
}

static enum cw_err disk_get(void *ctx, const char *tenant, const char *name,
                            struct file_info *ret_info, int *ret_fd)
{
    char encoded[ENCODED_MAX];
    int directory;
    ENSURE(encode(name, encoded), CW_REQUEST_MALFORMED);
    TRY(open_tenant(ctx, tenant, false, &directory));
    snprintf(ret_info->name, sizeof(ret_info->name), "%s", name);
    enum cw_err err = open_file(directory, encoded, ret_info, ret_fd);
    close(directory);
    return err;
}

static enum cw_err disk_remove(void *ctx, const char *tenant, const char *name)
{
    char encoded[ENCODED_MAX];
    int directory;
    ENSURE(encode(name, encoded), CW_REQUEST_MALFORMED);
    TRY(open_tenant(ctx, tenant, false, &directory));
    enum cw_err err = unlinkat(directory, encoded, 0) == 0 ? CW_OK : io_error();
    close(directory);
    return err;
}

static int by_name(const void *a, const void *b)
{
    const struct file_info *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* All files of a tenant's directory, unsorted. */
static enum cw_err read_directory(DIR *dir, struct file_info *infos, size_t *ret_n)
{
    struct dirent *entry;
    size_t n = 0;
    while ((entry = readdir(dir)) && n < FILES_LISTED_MAX) {
        int fd;
        if (!decode(entry->d_name, infos[n].name)) {
            continue; /* an upload, or nothing of ours */
        }
        if (open_file(dirfd(dir), entry->d_name, &infos[n], &fd) == CW_OK) {
            close(fd);
            n++; /* else deleted meanwhile */
        }
    }
    *ret_n = n;
    return CW_OK;
}

static enum cw_err disk_list(void *ctx, const char *tenant,
                             enum cw_err (*each)(void *ctx, const struct file_info *info),
                             void *each_ctx)
{
    int fd;
    enum cw_err err = open_tenant(ctx, tenant, false, &fd);
    if (err != CW_OK) {
        return err == CW_NOT_FOUND ? CW_OK : err; /* nothing stored yet */
    }
    DIR *dir = fdopendir(fd);
    struct file_info *infos = calloc(FILES_LISTED_MAX, sizeof(*infos));
    size_t n = 0;
    err = dir && infos ? read_directory(dir, infos, &n) : CW_NO_MEMORY;
    if (err == CW_OK && n > 0) {
        qsort(infos, n, sizeof(*infos), by_name);
    }
    for (size_t i = 0; err == CW_OK && i < n; i++) {
        err = each(each_ctx, &infos[i]);
    }
    free(infos);
    if (dir) {
        closedir(dir);
    } else {
        close(fd);
    }
    return err;
}

/* ---- the store ---- */

/* Uploads that an earlier process did not finish. */
static void remove_uploads(int root)
{
    int copy = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *tenants = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *tenant;
    while (tenants && (tenant = readdir(tenants))) {
        int fd = *tenant->d_name == PREFIX
                     ? openat(root, tenant->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                     : -1;
        DIR *files = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *file;
        while (files && (file = readdir(files))) {
            if (*file->d_name == 't') {
                unlinkat(dirfd(files), file->d_name, 0);
            }
        }
        if (files) {
            closedir(files);
        }
    }
    if (tenants) {
        closedir(tenants);
    }
}

enum cw_err disk_open(const char *directory, struct disk **ret_disk)
{
    ENSURE(mkdir(directory, 0700) == 0 || errno == EEXIST, CW_IO);
    struct disk *disk = calloc(1, sizeof(*disk));
    ENSURE(disk, CW_NO_MEMORY);
    disk->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->fd < 0) {
        free(disk);
        return CW_IO;
    }
    remove_uploads(disk->fd);
    *ret_disk = disk;
    return CW_OK;
}

void disk_close(struct disk *disk)
{
    if (disk) {
        close(disk->fd);
        free(disk);
    }
}

bool disk_writable(const struct disk *disk)
{
    return faccessat(disk->fd, ".", W_OK | X_OK, 0) == 0;
}

struct store_port disk_port(struct disk *disk)
{
    return (struct store_port){.write = disk_write,
                               .append = disk_append,
                               .commit = disk_commit,
                               .abort = disk_abort,
                               .open = disk_get,
                               .remove = disk_remove,
                               .list = disk_list,
                               .ctx = disk};
}
