/* What every program does before it runs: its command line, its configuration, or one of the pages.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/version.h"
#include "common/config/internal.h"

enum { EXIT_INVALID = 1, EXIT_CANNOT_RUN = 2, EXIT_USAGE = 64, PAGE_MAX = 1 << 20 };

struct options {
    const char *file;
    bool check;
    char **overrides; /* argv's own, moved to its front */
    size_t n_overrides;
};

static int print_page(const struct cw_config_schema *schema,
                      void (*page)(const struct cw_config_schema *, struct cw_buf *))
{
    struct cw_buf out = CW_BUF_INIT(PAGE_MAX);
    page(schema, &out);
    bool ok = !out.failed && fwrite(out.p, 1, out.n, stdout) == out.n && fflush(stdout) == 0;
    cw_buf_done(&out);
    return ok ? 0 : EXIT_CANNOT_RUN;
}

static int usage(const struct cw_config_schema *schema, const char *argument)
{
    fprintf(stderr, "%s: unknown or incomplete argument: %s (see --help)\n", schema->program,
            argument);
    return EXIT_USAGE;
}

/* -1: go on. */
static int parse(const struct cw_config_schema *schema, int argc, char **argv,
                 struct options *options)
{
    options->overrides = argv + 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            return print_page(schema, cw_config_help);
        } else if (strcmp(argv[i], "--config-reference") == 0) {
            return print_page(schema, cw_config_reference);
        } else if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s\n", schema->program, CW_VERSION);
            return fflush(stdout) == 0 ? 0 : EXIT_CANNOT_RUN;
        } else if (strcmp(argv[i], "--check-config") == 0) {
            options->check = true;
        } else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
            options->file = argv[++i];
        } else if (strncmp(argv[i], "--config=", 9) == 0) {
            options->file = argv[i] + 9;
        } else if (strncmp(argv[i], "--", 2) == 0 && strchr(argv[i], '=')) {
            options->overrides[options->n_overrides++] = argv[i];
        } else {
            return usage(schema, argv[i]);
        }
    }
    return -1;
}

int cw_config_start(const struct cw_config_schema *schema, int argc, char **argv,
                    struct cw_config **ret_config)
{
    struct options options = {0};
    int code = parse(schema, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    struct cw_config_input input = {.file = options.file,
                                    .env = environ,
                                    .overrides = options.overrides,
                                    .n_overrides = options.n_overrides};
    struct cw_buf problems = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct cw_config *config = NULL;
    enum cw_err err = cw_config_load(schema, &input, &problems, &config);
    if (err != CW_OK) {
        fprintf(stderr, "%.*s", CW_STR_ARG(cw_buf_str(&problems)));
        fprintf(stderr, "%s: configuration refused%s\n", schema->program,
                problems.failed ? " (more problems than shown)" : "");
        code = options.check ? EXIT_INVALID : EXIT_CANNOT_RUN;
    } else if (options.check) {
        printf("%s: configuration is valid\n", schema->program);
        code = fflush(stdout) == 0 ? 0 : EXIT_CANNOT_RUN;
        cw_config_unref(config);
    } else {
        *ret_config = config;
    }
    cw_buf_done(&problems);
    return code;
}
