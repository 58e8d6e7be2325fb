/* Step 4c: what was fetched is kept, so that a restart does not depend on the issuer. */
#include "common/keys/key_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crypto/hex.h"
#include "common/crypto/sha256.h"

enum cw_err cw_key_disk_path(const char *dir, const char *tenant, const char *issuer,
                             const char *place, char ret_path[CW_KEY_DISK_PATH_MAX])
{
    struct cw_buf name CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(8192);
    unsigned char digest[CW_SHA256_SIZE];
    char hex[2 * CW_SHA256_SIZE + 1];

    /* The NULs keep ("a", "bc") and ("ab", "c") apart. */
    cw_buf_add(&name, tenant, strlen(tenant) + 1);
    cw_buf_add(&name, issuer, strlen(issuer) + 1);
    cw_buf_add(&name, place, strlen(place) + 1);
    TRY(cw_buf_check(&name));
    TRY(cw_sha256(cw_buf_str(&name), digest));
    cw_hex_encode(digest, 16, hex);
    int n = snprintf(ret_path, CW_KEY_DISK_PATH_MAX, "%s/keys-%s.jwks", dir, hex);
    return n > 0 && n < CW_KEY_DISK_PATH_MAX ? CW_OK : CW_IO;
}

enum cw_err cw_key_disk_save(const char *path, struct cw_str bytes)
{
    char temporary[CW_KEY_DISK_PATH_MAX + 8];
    int n = snprintf(temporary, sizeof(temporary), "%s.new", path);
    ENSURE(n > 0 && (size_t)n < sizeof(temporary), CW_IO);

    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    ENSURE(fd >= 0, CW_IO);
    while (bytes.n > 0) {
        ssize_t put = write(fd, bytes.p, bytes.n);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            break;
        }
        bytes = cw_str_slice(bytes, (size_t)put, bytes.n);
    }
    /* A rename without fsync could leave an empty file after a power cut. */
    bool good = bytes.n == 0 && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    if (!good || rename(temporary, path) != 0) {
        unlink(temporary);
        return CW_IO;
    }
    return CW_OK;
}

enum cw_err cw_key_disk_load(const char *path, struct cw_buf *buf)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char part[16 * 1024];
    ssize_t got = 0;

    ENSURE(fd >= 0, errno == ENOENT ? CW_NOT_FOUND : CW_IO);
    while ((got = read(fd, part, sizeof(part))) > 0) {
        cw_buf_add(buf, part, (size_t)got);
    }
    close(fd);
    ENSURE(got == 0, CW_IO);
    return cw_buf_check(buf);
}

enum cw_err cw_key_disk_write(const char *path, struct cw_str text, int64_t fetched_at)
{
    struct cw_buf file CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(text.n + 32);

    cw_buf_addf(&file, "%lld\n", (long long)fetched_at);
    cw_buf_add_str(&file, text);
    TRY(cw_buf_check(&file));
    return cw_key_disk_save(path, cw_buf_str(&file));
}

enum cw_err cw_key_disk_read(const char *path, struct cw_buf *buf, struct cw_str *ret_text,
                             int64_t *ret_fetched_at)
{
    uint64_t fetched_at = 0;

    TRY(cw_key_disk_load(path, buf));
    struct cw_str all = cw_buf_str(buf);
    size_t end = cw_str_find(all, '\n');
    ENSURE(end < all.n, CW_REQUEST_MALFORMED);
    TRY(cw_str_to_u64(cw_str_slice(all, 0, end), INT64_MAX / 2000, &fetched_at));
    *ret_text = cw_str_slice(all, end + 1, all.n);
    *ret_fetched_at = (int64_t)fetched_at;
    return CW_OK;
}
