/* Asking the programs of this host over their Unix sockets. */
#ifndef CW_CWCTL_REMOTE_H
#define CW_CWCTL_REMOTE_H

#include <jansson.h>

#include "common/rpc/client.h"
#include "cwctl/command.h"

enum { REMOTE_TIMEOUT_MS = 5000, REMOTE_PATH_MAX = 108 };

/* The directory with the sockets: the option, else CW_RUN_DIR, else what lies beside the program
 * (.run/bin/cwctl), else ./.run, else /run/clinicwave. */
#define REMOTE_RUN_DIR_OPTION(to)                                                                  \
    {                                                                                              \
        "--run-dir", OPTION_TEXT, "DIR", "where the sockets are (default: found by itself)", (to)  \
    }

/* The socket's path; false where it would be longer than a socket's path may be. */
bool remote_socket(const char *run_dir, const char *name, char ret_path[REMOTE_PATH_MAX]);

/* One unary call on the socket NAME ("admin.sock"), whose owner must be root, this user, one of the
 * packaged programs' or one that CW_SOCKET_OWNERS names; CW_UNAVAILABLE else. The caller ends it
 * with cw_rpc_answer_done, also after a failure. */
enum cw_err remote_call(const char *run_dir, const char *name, const char *method,
                        const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
                        struct cw_rpc_answer *ret_answer);

/* The same with another bound than REMOTE_TIMEOUT_MS. */
enum cw_err remote_call_within(const char *run_dir, const char *name, const char *method,
                               const ProtobufCMessage *request,
                               const ProtobufCMessageDescriptor *response, unsigned timeout_ms,
                               struct cw_rpc_answer *ret_answer);

/* The message for a failed call: what, where, what to do. Returns COMMAND_UNDECIDED. */
int remote_failed(const struct command *command, const char *run_dir, const char *name,
                  const struct cw_rpc_answer *answer);

/* Whether the other side has understood and does not do it (exit code 1); else it could not be
 * asked, or could not decide. */
bool remote_refused(enum cw_err err);

/* A message as JSON with the field names of the .proto file; enum values by name, bytes that are
 * JSON as JSON. Empty fields are left out. */
json_t *remote_json(const ProtobufCMessage *message);

/* The same, printed on one line. */
void remote_print_json(const ProtobufCMessage *message);

/* For people: text of another process that must not steer the terminal: controls, invisible and
 * turning characters and what is no UTF-8 become '?'. Cut at a whole character. Returns `text`. */
const char *remote_clean(const char *value, char *text, size_t size);
#define REMOTE_CLEAN(value) remote_clean((value), (char[256]){0}, 256)

/* "3 min", "2 d"; "never" for negative ones. */
const char *remote_age(int64_t seconds, char text[32]);
#define REMOTE_AGE(seconds) remote_age((seconds), (char[32]){0})

#endif
