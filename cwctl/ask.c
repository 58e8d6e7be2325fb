/* Fills the request of a row from the command line, makes the call, shows the answer. */
#include "cwctl/ask.h"

#include <stdlib.h>
#include <string.h>

enum { OWN_OPTIONS = 2 };

/* What the command line said for one argument. */
union said {
    bool flag;
    const char *text;
    int64_t number;
    struct option_values list;
};

struct form {
    const struct command *command;
    ProtobufCMessage *request;
    union said said[ASK_ARGUMENTS_MAX];
    const char *run_dir;
    bool json;
    char **lists[ASK_ARGUMENTS_MAX]; /* of repeated strings */
};

static const ProtobufCFieldDescriptor *field_of(const struct ask *ask, size_t i)
{
    return protobuf_c_message_descriptor_get_field_by_name(ask->request, ask->arguments[i].field);
}

static enum option_kind kind_of(const ProtobufCFieldDescriptor *field)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return OPTION_LIST;
    }
    return field->type == PROTOBUF_C_TYPE_BOOL     ? OPTION_FLAG
           : field->type == PROTOBUF_C_TYPE_STRING ? OPTION_TEXT
                                                   : OPTION_NUMBER;
}

static void rows_make(struct form *form, struct option_row *rows)
{
    const struct ask *ask = form->command->ask;
    size_t n = 0;
    for (size_t i = 0; ask->arguments[i].field; i++) {
        const struct ask_argument *a = &ask->arguments[i];
        if (a->option) {
            rows[n++] = (struct option_row){a->option, kind_of(field_of(ask, i)), a->value, a->help,
                                            &form->said[i]};
        }
    }
    rows[n++] =
        (struct option_row){"--json", OPTION_FLAG, NULL, "one JSON object as answer", &form->json};
    rows[n++] = (struct option_row)REMOTE_RUN_DIR_OPTION(&form->run_dir);
    rows[n] = (struct option_row){0};
}

static bool list_set(struct form *form, size_t i, size_t *count, void *member)
{
    const struct option_values *list = &form->said[i].list;
    char **items = calloc(list->n + 1, sizeof *items);
    if (!items) {
        return false;
    }
    for (size_t k = 0; k < list->n; k++) {
        memcpy(&items[k], &list->items[k].p, sizeof items[k]); /* argv's: never written to */
    }
    form->lists[i] = items;
    *count = list->n;
    memcpy(member, &items, sizeof items);
    return true;
}

/* False: out of memory, or a number that the field cannot hold. */
static bool field_set(struct form *form, size_t i)
{
    const ProtobufCFieldDescriptor *field = field_of(form->command->ask, i);
    char *base = (char *)form->request;
    void *member = base + field->offset;
    switch (kind_of(field)) {
    case OPTION_LIST:
        return list_set(form, i, (size_t *)(void *)(base + field->quantifier_offset), member);
    case OPTION_FLAG:
        *(protobuf_c_boolean *)member = form->said[i].flag;
        return true;
    case OPTION_TEXT:
        if (form->said[i].text) {
            memcpy(member, &form->said[i].text, sizeof form->said[i].text);
        }
        return true;
    case OPTION_NUMBER:
        if (field->type == PROTOBUF_C_TYPE_INT64 || field->type == PROTOBUF_C_TYPE_UINT64) {
            *(int64_t *)member = form->said[i].number;
            return true;
        }
        *(uint32_t *)member = (uint32_t)form->said[i].number;
        return form->said[i].number <= INT32_MAX;
    }
    return false;
}

/* Operands and what is required; the exit code, COMMAND_OK where all is there. */
static int operands_take(struct form *form, const struct operands *operands)
{
    const struct ask *ask = form->command->ask;
    size_t used = 0, places = 0;
    for (size_t i = 0; ask->arguments[i].field; i++) {
        const struct ask_argument *a = &ask->arguments[i];
        places += !a->option;
        if (!a->option && used < operands->n) {
            form->said[i].text = operands->items[used++];
        } else if (a->required && !form->said[i].text) {
            return command_usage(form->command, "%s is missing", a->option ? a->option : a->value);
        }
    }
    return used == operands->n ? COMMAND_OK
           : places == 0       ? command_usage(form->command, "takes no argument")
                               : command_usage(form->command, "too many arguments");
}

static int ask(struct form *form)
{
    const struct ask *ask = form->command->ask;
    for (size_t i = 0; ask->arguments[i].field; i++) {
        if (!field_set(form, i)) {
            return command_failed(form->command, COMMAND_UNDECIDED, "out of memory or range");
        }
    }
    struct cw_rpc_answer answer;
    int code = COMMAND_OK;
    if (remote_call(form->run_dir, ask->socket, ask->method, form->request, ask->response,
                    &answer) != CW_OK) {
        code = remote_failed(form->command, form->run_dir, ask->socket, &answer);
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
    struct form form = {.command = command};
    struct option_row rows[ASK_ARGUMENTS_MAX + OWN_OPTIONS + 1];
    struct operands operands;
    int code;
    rows_make(&form, rows);
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    code = operands_take(&form, &operands);
    if (code) {
        return code;
    }
    form.request = calloc(1, command->ask->request->sizeof_message);
    if (!form.request) {
        return command_failed(command, COMMAND_UNDECIDED, "out of memory");
    }
    command->ask->request->message_init(form.request);
    code = ask(&form);
    for (size_t i = 0; i < ASK_ARGUMENTS_MAX; i++) {
        free(form.lists[i]);
    }
    free(form.request);
    return code;
}
