/* `cwctl config check`: has the program that a file is for check it, and passes its answer on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cwctl/command.h"
#include "cwctl/input.h"

/* The key at the left margin that gives a program's file away. */
static const struct owner {
    const char *key;
    const char *program;
} owners[] = {
    {"sidecar:", "cw-sidecar"},
    {"tenants:", "cw-sidecar"},
    {"authsvc:", "cw-authsvc"}, /* the last one counts: its files have tenants, too */
};

static const char *owner_of(struct cw_str text)
{
    const char *program = NULL;
    for (size_t i = 0; i < CW_ARRAY_SIZE(owners); i++) {
        struct cw_str rest = text, line, key = cw_str(owners[i].key);
        while (cw_str_word(&rest, '\n', &line)) {
            program = cw_str_starts(line, key) ? owners[i].program : program;
        }
    }
    return program;
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
        {"--program", OPTION_TEXT, "PATH", "cw-sidecar or cw-authsvc (default: by the file's keys)",
         &program},
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
    char *file = operands.items[0], path[4096];
    if (!program) {
        struct cw_buf text = CW_BUF_INIT(INPUT_DOCUMENT_MAX);
        enum cw_err err = input_file(file, &text);
        const char *name = err ? NULL : owner_of(cw_buf_str(&text));
        cw_buf_done(&text);
        if (err) {
            return command_failed(command, COMMAND_UNDECIDED, "%s: cannot be read", file);
        }
        if (!name) {
            return command_failed(command, COMMAND_UNDECIDED,
                                  "%s: neither `sidecar:` nor `authsvc:` in it: say --program",
                                  file);
        }
        find_program(name, path, sizeof path);
        program = path;
    }
    execlp(program, program, "--config", file, "--check-config", (char *)NULL);
    return command_failed(command, COMMAND_UNDECIDED, "%s: %s", program, strerror(errno));
}

const struct command command_config_check = {
    .group = "config",
    .name = "check",
    .arguments = "FILE",
    .summary = "Checks a configuration file; names file, line and key of what is wrong.",
    .run = run,
};
