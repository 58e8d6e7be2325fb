/* What all subcommands share: options, --help, messages. */
#include "cwctl/command.h"

#include <stdarg.h>

static void name(const struct command *command, FILE *to)
{
    fprintf(to, "cwctl %s%s%s", command->group, command->name ? " " : "",
            command->name ? command->name : "");
}

static void print_help(const struct command *command, const struct option_row *rows)
{
    printf("usage: ");
    name(command, stdout);
    printf(" %s\n\n%s\n", command->arguments, command->summary);
    if (command->text) {
        printf("\n%s\n", command->text);
    }
    printf("\n");
    options_print(rows, stdout);
    printf("  %-24s %s\n", "--help", "this page");
}

bool command_options(const struct command *command, const struct option_row *rows, int argc,
                     char **argv, struct operands *ret_operands, int *ret_exit)
{
    for (int i = 0; i < argc && !cw_str_is(cw_str(argv[i]), "--"); i++) {
        if (cw_str_is(cw_str(argv[i]), "--help")) {
            print_help(command, rows);
            *ret_exit = COMMAND_OK;
            return false;
        }
    }
    char message[128];
    if (!options_parse(rows, argc, argv, ret_operands, message)) {
        *ret_exit = command_usage(command, "%s", message);
        return false;
    }
    return true;
}

int command_usage(const struct command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    name(command, stderr);
    fprintf(stderr, ": ");
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nusage: ");
    name(command, stderr);
    fprintf(stderr, " %s\n", command->arguments);
    return COMMAND_USAGE;
}

int command_failed(const struct command *command, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    name(command, stderr);
    fprintf(stderr, ": ");
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    return code;
}
