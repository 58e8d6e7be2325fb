/* `cwctl config check`: has the program that a file is for check it, and passes its answer on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config/config.h"
#include "cwctl/command.h"
#include "cwctl/input.h"

/* The key at the left margin that gives a program's file away. */
static const struct owner {
    const char *key;
    const char *program;
} owners[] = {
    {"storage", "storage-service"}, {"registry", "cw-sidecar"}, {"tenants", "cw-sidecar"},
    {"sidecar", "cw-sidecar"},      {"authsvc", "cw-authsvc"}, /* the last one counts: its files
                                                                  have tenants, too */
};

/* `KEY:`, `KEY.more: …`, `"KEY": …`. */
static bool begins_with_key(struct cw_str line, const char *key)
{
    bool quoted = line.n && (line.p[0] == '"' || line.p[0] == '\'');
    struct cw_str rest = quoted ? cw_str_slice(line, 1, line.n) : line;
    if (!cw_str_starts(rest, cw_str(key)) || rest.n == strlen(key)) {
        return false;
    }
    return strchr(quoted ? "\"'." : ":. [", rest.p[strlen(key)]) != NULL;
}

static const char *owner_of(struct cw_str text)
{
    const struct cw_str mark = CW_STR("\xef\xbb\xbf"); /* of UTF-8, as some editors write it */
    const char *program = NULL;
    text = cw_str_slice(text, cw_str_starts(text, mark) ? mark.n : 0, text.n);
    for (size_t i = 0; i < CW_ARRAY_SIZE(owners); i++) {
        struct cw_str rest = text, line;
        while (cw_str_word(&rest, '\n', &line)) {
            program = begins_with_key(line, owners[i].key) ? owners[i].program : program;
        }
    }
    return program;
}

/* What can be read once only, a pipe, is kept for the program that checks it: it would find the
 * rest of it, which is nothing, and nothing is valid. `path` is replaced by the copy's. */
static bool keep_stream(struct cw_str text, char path[32])
{
    int fd = memfd_create("configuration", 0); /* the program inherits it */
    size_t n = 0;
    while (fd >= 0 && n < text.n) {
        ssize_t done = write(fd, text.p + n, text.n - n);
        if (done <= 0) {
            return false;
        }
        n += (size_t)done;
    }
    snprintf(path, 32, "/dev/fd/%d", fd);
    return fd >= 0;
}

static bool is_stream(const char *file)
{
    struct stat s;
    return strcmp(file, "-") == 0 || (stat(file, &s) == 0 && !S_ISREG(s.st_mode));
}

/* Beside this program, as installed, else by PATH. */
static void find_program(const char *name, char *ret_path, size_t size)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = NULL;
    if (n > 0) {
        self[n] = '\0';
        slash = strrchr(self, '/');
    }
    if (slash) {
        *slash = '\0';
        if (snprintf(ret_path, size, "%s/%s", self, name) < (int)size &&
            access(ret_path, X_OK) == 0) {
            return;
        }
    }
    snprintf(ret_path, size, "%s", name);
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *program = NULL;
    const struct option_row rows[] = {
        {"--program", OPTION_TEXT, "PATH",
         "cw-sidecar, cw-authsvc or storage-service (default: by the file's keys)", &program},
        {NULL, 0, NULL, NULL, NULL},
    };
    struct operands operands;
    int code;
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    if (operands.n != 1) {
        return command_usage(command, "one file, please");
    }
    const char *file = operands.items[0];
    char path[4096], copy[32];
    struct cw_buf text = CW_BUF_INIT(CW_CONFIG_FILE_MAX); /* what the programs take */
    enum cw_err err = input_file(file, &text);
    bool read = err == CW_OK;
    const char *name = read ? owner_of(cw_buf_str(&text)) : NULL;
    if (read && is_stream(file)) {
        read = keep_stream(cw_buf_str(&text), copy);
        file = copy;
    }
    cw_buf_done(&text);
    if (err == CW_REQUEST_TOO_LARGE) {
        return command_failed(command, COMMAND_UNDECIDED, "%s: larger than %d MiB",
                              operands.items[0], CW_CONFIG_FILE_MAX >> 20);
    }
    if (!read) {
        return command_failed(command, COMMAND_UNDECIDED, "%s: cannot be read", operands.items[0]);
    }
    if (!program && !name) {
        return command_failed(command, COMMAND_UNDECIDED,
                              "%s: neither `sidecar:` nor `authsvc:` nor `storage:` in it: say "
                              "--program",
                              operands.items[0]);
    }
    if (!program) {
        find_program(name, path, sizeof path);
        program = path;
    }
    execlp(program, program, "--config", file, "--check-config", (char *)NULL);
    return command_failed(command, COMMAND_UNDECIDED, "%s: %s", program, strerror(errno));
}

const struct command command_config_check = {
    .group = "config",
    .name = "check",
    .arguments = "FILE|-",
    .summary = "Checks a configuration file; names file, line and key of what is wrong.",
    .run = run,
};
