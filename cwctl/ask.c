/* Fills the request of a row from the command line, makes the call, shows the answer. */
#include "cwctl/ask.h"

#include <stdlib.h>
#include <string.h>

#include "cwctl/ask_fill.h"

enum { OWN_OPTIONS = 2 };

/* A field within another is a part of what is changed, and may be emptied; the others select. */
static enum option_kind kind_of(const ProtobufCFieldDescriptor *field, bool part)
{
    if (field->type == PROTOBUF_C_TYPE_BYTES || field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return OPTION_TEXT;
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return part ? OPTION_SET_LIST : OPTION_LIST;
    }
    return field->type == PROTOBUF_C_TYPE_BOOL     ? OPTION_FLAG
           : field->type != PROTOBUF_C_TYPE_STRING ? OPTION_NUMBER
           : part                                  ? OPTION_SET_TEXT
                                                   : OPTION_TEXT;
}

struct form {
    const struct command *command;
    struct ask_fill fill;
    union ask_said said[ASK_ARGUMENTS_MAX];
    const char *run_dir;
    bool json;
};

static void rows_make(struct form *form, struct option_row *rows)
{
    const struct ask *ask = form->command->ask;
    size_t n = 0;
    for (size_t i = 0; ask->arguments[i].field; i++) {
        const struct ask_argument *a = &ask->arguments[i];
        if (a->option) {
            rows[n++] = (struct option_row){
                a->option, kind_of(ask_fill_field(ask, i), strchr(a->field, '.') != NULL), a->value,
                a->help, &form->said[i]};
        }
    }
    rows[n++] =
        (struct option_row){"--json", OPTION_FLAG, NULL, "one JSON object as answer", &form->json};
    rows[n++] = (struct option_row)REMOTE_RUN_DIR_OPTION(&form->run_dir);
    rows[n] = (struct option_row){0};
}

static bool takes_rest(const struct ask *ask, size_t i)
{
    return !ask->arguments[i].option && ask_fill_field(ask, i)->type == PROTOBUF_C_TYPE_MESSAGE;
}

static bool reads_stdin(const struct ask *ask, size_t i)
{
    return !ask->arguments[i].option && ask_fill_field(ask, i)->type == PROTOBUF_C_TYPE_BYTES;
}

/* Operands and what is required; the exit code, COMMAND_OK where all is there. */
static int operands_take(struct form *form, const struct operands *operands)
{
    const struct ask *ask = form->command->ask;
    size_t used = 0, places = 0;
    for (size_t i = 0; ask->arguments[i].field; i++) {
        const struct ask_argument *a = &ask->arguments[i];
        if (takes_rest(ask, i)) {
            form->fill.rest = operands->items + used;
            form->fill.n_rest = operands->n - used;
            used = operands->n;
            places++;
        } else if (reads_stdin(ask, i)) {
            form->said[i].text = "-";
        } else {
            places += !a->option;
            if (!a->option && used < operands->n) {
                form->said[i].text = operands->items[used++];
                if (!*form->said[i].text) {
                    return command_usage(form->command, "%s is empty", a->value);
                }
            } else if (a->required && !form->said[i].text) {
                return command_usage(form->command, "%s is missing",
                                     a->option ? a->option : a->value);
            }
        }
    }
    return used == operands->n ? COMMAND_OK
           : places == 0       ? command_usage(form->command, "takes no argument")
                               : command_usage(form->command, "too many arguments");
}

/* Refused is what the other side has understood and does not do. */
static int failed(struct form *form, const struct cw_rpc_answer *answer)
{
    const struct ask *ask = form->command->ask;
    int code = remote_failed(form->command, form->run_dir, ask->socket, answer);
    return ask->change && remote_refused(answer->err) ? COMMAND_REFUSED : code;
}

static int ask(struct form *form)
{
    const struct ask *ask = form->command->ask;
    char why[128] = "out of memory or range";
    if (!ask_fill_run(&form->fill, ask, form->said, why)) {
        return command_failed(form->command, COMMAND_USAGE, "%s", why);
    }
    struct cw_rpc_answer answer;
    int code = COMMAND_OK;
    unsigned timeout = ask->change ? ASK_CHANGE_TIMEOUT_MS : REMOTE_TIMEOUT_MS;
    if (remote_call_within(form->run_dir, ask->socket, ask->method, form->fill.request,
                           ask->response, timeout, &answer) != CW_OK) {
        code = failed(form, &answer);
    } else {
        if (form->json) {
            remote_print_json(answer.response);
        } else {
            ask->print(answer.response);
        }
        code = ask->exit_code ? ask->exit_code(answer.response) : COMMAND_OK;
    }
    cw_rpc_answer_done(&answer);
    return code;
}

int ask_run(const struct command *command, int argc, char **argv)
{
    struct form form = {.command = command, .fill = ASK_FILL_INIT};
    struct option_row rows[ASK_ARGUMENTS_MAX + OWN_OPTIONS + 1];
    struct operands operands;
    int code;
    rows_make(&form, rows);
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    code = operands_take(&form, &operands);
    if (code == COMMAND_OK) {
        code = ask(&form);
    }
    ask_fill_done(&form.fill);
    return code;
}
