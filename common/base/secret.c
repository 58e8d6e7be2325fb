/* Secrets: copied once, compared in constant time, wiped. */
#include "common/base/secret.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 64 * 1024 };

void cw_secret_wipe(void *p, size_t n)
{
    if (n) {
        explicit_bzero(p, n);
    }
}

enum cw_err cw_secret_init(struct cw_secret *secret, struct cw_str bytes)
{
    char *p = cw_str_dup(bytes);
    ENSURE(p, CW_NO_MEMORY);
    *secret = (struct cw_secret){p, bytes.n};
    return CW_OK;
}

enum cw_err cw_secret_read(struct cw_secret *secret, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ENSURE(fd >= 0, CW_IO);
    char bytes[FILE_MAX + 1];
    size_t n = 0;
    ssize_t got = 0;
    while (n < sizeof bytes && (got = read(fd, bytes + n, sizeof bytes - n)) > 0) {
        n += (size_t)got;
    }
    close(fd);
    enum cw_err err = got < 0 || n > FILE_MAX ? CW_IO : CW_OK;
    if (!err) {
        if (n && bytes[n - 1] == '\n') {
            n--;
        }
        err = cw_secret_init(secret, (struct cw_str){bytes, n});
    }
    cw_secret_wipe(bytes, sizeof bytes);
    return err;
}

void cw_secret_done(struct cw_secret *secret)
{
    if (secret->p) {
        cw_secret_wipe(secret->p, secret->n);
        free(secret->p);
    }
    *secret = (struct cw_secret){0};
}

struct cw_str cw_secret_str(const struct cw_secret *secret)
{
    return (struct cw_str){secret->p ? secret->p : "", secret->n};
}

bool cw_secret_eq(struct cw_str a, struct cw_str b)
{
    if (a.n != b.n) {
        return false;
    }
    unsigned char difference = 0;
    for (size_t i = 0; i < a.n; i++) {
        difference |= (unsigned char)(a.p[i] ^ b.p[i]);
    }
    return difference == 0;
}
