/* Commands that put one question to one program of this host: all of such a command is a row here.
 * Options, request, answer as JSON and failures are the same for each; a row adds how the answer is
 * shown to people. */
#ifndef CW_CWCTL_ASK_H
#define CW_CWCTL_ASK_H

#include "cwctl/remote.h"

enum {
    ASK_ARGUMENTS_MAX = 12,
    ASK_CHANGE_TIMEOUT_MS = 60 * 1000, /* of a change: a key may be made, sidecars be waited for */
};

/* One field of the request that the command line fills: a string, a repeated string (an option that
 * may be said again; with the value "A,B" one that is divided at commas), a bool (a flag) or an
 * integer. Absent: the field's default. Also:
 *
 *   bytes               an option with the value "FILE" names the file ("-": standard input),
 * another is taken as it is; without an option it is standard input without the newline at its end,
 * for passwords repeated messages   of a name and values: all operands that are left, NAME=VALUE
 * (NAME= takes it away); of a name and bytes: an option with the name, whose value is standard
 * input */
struct ask_argument {
    const char
        *field; /* its name in the .proto file, user.roles within another; NULL ends the list */
    const char *option; /* "--tenant"; NULL: the command's operand, a string */
    const char *value;  /* "NAME", for --help; NULL for flags */
    const char *help;
    bool required;
};

struct ask {
    const char *socket; /* "admin.sock" */
    const char *method; /* "/package.Service/Method" */
    const ProtobufCMessageDescriptor *request, *response;
    struct ask_argument arguments[ASK_ARGUMENTS_MAX + 1];
    /* A repeated string of the request: gets the names of the fields within others that were given
     * by options. NULL: none. */
    const char *said;
    /* A change: a longer timeout, and a refusal of what was asked is COMMAND_REFUSED. */
    bool change;
    /* The answer for people; with --json it is printed by its descriptor instead. */
    void (*print)(const ProtobufCMessage *response);
    /* The exit code of an answer; NULL: COMMAND_OK. A failed call is COMMAND_UNDECIDED. */
    int (*exit_code)(const ProtobufCMessage *response);
};

/* `run` of a command whose `ask` is set. */
int ask_run(const struct command *command, int argc, char **argv);

#endif
