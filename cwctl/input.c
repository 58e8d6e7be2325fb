/* Reads tokens and documents with bounds. */
#include "cwctl/input.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static enum cw_err read_all(int fd, struct cw_buf *buf)
{
    for (;;) {
        char chunk[4096];
        ssize_t got = read(fd, chunk, sizeof chunk);
        ENSURE(got >= 0, CW_IO);
        if (got == 0) {
            return CW_OK;
        }
        cw_buf_add(buf, chunk, (size_t)got);
        cw_secret_wipe(chunk, sizeof chunk);
        ENSURE(!buf->failed, CW_REQUEST_TOO_LARGE);
    }
}

enum cw_err input_file(const char *path, struct cw_buf *ret_text)
{
    if (strcmp(path, "-") == 0) {
        return read_all(STDIN_FILENO, ret_text);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, CW_IO);
    enum cw_err err = read_all(fd, ret_text);
    close(fd);
    return err;
}

static struct cw_str trimmed(struct cw_str s)
{
    while (s.n && strchr(" \t\r\n", s.p[0])) {
        s = cw_str_slice(s, 1, s.n);
    }
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

enum cw_err input_token(char *operand, const char *file, struct cw_secret *ret_token)
{
    if (!file && operand && strcmp(operand, "-") != 0) {
        enum cw_err err = cw_secret_init(ret_token, cw_str(operand));
        cw_secret_wipe(operand, strlen(operand));
        return err;
    }
    struct cw_buf buf = CW_BUF_INIT(INPUT_TOKEN_MAX);
    enum cw_err err = input_file(file ? file : "-", &buf);
    if (!err) {
        err = cw_secret_init(ret_token, trimmed(cw_buf_str(&buf)));
    }
    if (buf.p) {
        cw_secret_wipe(buf.p, buf.cap);
    }
    cw_buf_done(&buf);
    return err;
}
