/* Walks the arguments of a row and writes the fields of the message, and of messages in it. */
#include "cwctl/ask_fill.h"

#include <stdlib.h>
#include <string.h>

#include "cwctl/input.h"

/* "user.roles" of a descriptor; ret_message (may be NULL) moves into the message that has it. */
static const ProtobufCFieldDescriptor *walk(struct ask_fill *fill,
                                            const ProtobufCMessageDescriptor *descriptor,
                                            const char *path, ProtobufCMessage **ret_message)
{
    for (;;) {
        char name[64];
        size_t n = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field_by_name(descriptor, name);
        if (!field || !path[n]) {
            return field;
        }
        descriptor = field->descriptor;
        if (ret_message) {
            ProtobufCMessage **place = (void *)((char *)*ret_message + field->offset);
            if (!*place) {
                *place = cw_arena_alloc(&fill->arena, descriptor->sizeof_message);
                if (!*place) {
                    return NULL;
                }
                descriptor->message_init(*place);
            }
            *ret_message = *place;
        }
        path += n + 1;
    }
}

const ProtobufCFieldDescriptor *ask_fill_field(const struct ask *ask, size_t i)
{
    return walk(NULL, ask->request, ask->arguments[i].field, NULL);
}

/* One more element of a repeated field of pointers; NULL without memory. */
static void **append(struct ask_fill *fill, const ProtobufCFieldDescriptor *field,
                     ProtobufCMessage *message)
{
    size_t *n = (void *)((char *)message + field->quantifier_offset);
    void ***list = (void *)((char *)message + field->offset);
    void **grown = cw_arena_alloc(&fill->arena, (*n + 1) * sizeof(void *));
    if (!grown) {
        return NULL;
    }
    if (*n > 0) {
        memcpy((void *)grown, (void *)*list, *n * sizeof(void *));
    }
    *list = grown;
    return &grown[(*n)++];
}

static bool add_string(struct ask_fill *fill, const ProtobufCFieldDescriptor *field,
                       ProtobufCMessage *message, struct cw_str text)
{
    void **place = append(fill, field, message);
    return place && (*place = cw_arena_dup(&fill->arena, text));
}

static bool add_list(struct ask_fill *fill, const ProtobufCFieldDescriptor *field,
                     ProtobufCMessage *message, const struct option_values *list, bool commas)
{
    for (size_t i = 0; i < list->n; i++) {
        struct cw_str rest = list->items[i];
        struct cw_str word;
        if (!commas && !add_string(fill, field, message, rest)) {
            return false;
        }
        while (commas && cw_str_word(&rest, ',', &word)) {
            if (!add_string(fill, field, message, cw_str_trim(word))) {
                return false;
            }
        }
    }
    return true;
}

/* NULL where it cannot be read, or is the third one. */
static const struct cw_buf *read_input(struct ask_fill *fill, const char *path, bool trim)
{
    if (fill->n_inputs == ASK_INPUTS_MAX) {
        return NULL;
    }
    struct cw_buf *input = &fill->inputs[fill->n_inputs++];
    if (input_file(path, input) != CW_OK) {
        return NULL;
    }
    bool newline = trim && input->n > 0 && input->p[input->n - 1] == '\n';
    input->n -= newline;
    return input;
}

static bool set_bytes(struct ask_fill *fill, const ProtobufCFieldDescriptor *field,
                      ProtobufCMessage *message, const char *path, bool trim)
{
    const struct cw_buf *input = read_input(fill, path, trim);
    if (!input) {
        return false;
    }
    const ProtobufCBinaryData bytes = {input->n, (uint8_t *)input->p};
    memcpy((char *)message + field->offset, &bytes, sizeof bytes);
    return true;
}

/* A message of a name and something: the fields in the order of the .proto file. */
static ProtobufCMessage *add_named(struct ask_fill *fill, const ProtobufCFieldDescriptor *field,
                                   ProtobufCMessage *message, struct cw_str name)
{
    const ProtobufCMessageDescriptor *descriptor = field->descriptor;
    ProtobufCMessage *element = cw_arena_alloc(&fill->arena, descriptor->sizeof_message);
    void **place = append(fill, field, message);
    char *copy = cw_arena_dup(&fill->arena, name);
    if (!element || !place || !copy) {
        return NULL;
    }
    descriptor->message_init(element);
    memcpy((char *)element + descriptor->fields[0].offset, &copy, sizeof copy);
    *place = element;
    return element;
}

static const ProtobufCFieldDescriptor *second_of(const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessageDescriptor *descriptor = field->descriptor;
    return &descriptor->fields[1];
}

static bool add_settings(struct ask_fill *fill, const ProtobufCFieldDescriptor *field,
                         ProtobufCMessage *message, char ret_why[128])
{
    for (size_t i = 0; i < fill->n_rest; i++) {
        struct cw_str word = cw_str(fill->rest[i]);
        size_t at = cw_str_find(word, '=');
        if (at == word.n || at == 0) {
            snprintf(ret_why, 128, "expected NAME=VALUE");
            return false;
        }
        ProtobufCMessage *element = add_named(fill, field, message, cw_str_slice(word, 0, at));
        struct cw_str value = cw_str_slice(word, at + 1, word.n);
        if (!element || (value.n > 0 && !add_string(fill, second_of(field), element, value))) {
            return false;
        }
    }
    return true;
}

static bool set_message(struct ask_fill *fill, const ProtobufCFieldDescriptor *field,
                        ProtobufCMessage *message, const char *said, char ret_why[128])
{
    if (!said) {
        return add_settings(fill, field, message, ret_why);
    }
    ProtobufCMessage *element = add_named(fill, field, message, cw_str(said));
    return element && set_bytes(fill, second_of(field), element, "-", true);
}

static bool set_number(const ProtobufCFieldDescriptor *field, void *member, int64_t number)
{
    if (field->type == PROTOBUF_C_TYPE_INT64 || field->type == PROTOBUF_C_TYPE_UINT64) {
        *(int64_t *)member = number;
        return true;
    }
    *(uint32_t *)member = (uint32_t)number;
    return number <= INT32_MAX;
}

static bool was_said(const ProtobufCFieldDescriptor *field, const union ask_said *said)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED && field->type == PROTOBUF_C_TYPE_STRING) {
        return said->list.n > 0;
    }
    return field->type == PROTOBUF_C_TYPE_BOOL ? said->flag : said->text != NULL;
}

static bool set(struct ask_fill *fill, const struct ask_argument *a,
                const ProtobufCFieldDescriptor *field, ProtobufCMessage *message,
                const union ask_said *said, char ret_why[128])
{
    void *member = (char *)message + field->offset;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return a->option && !said->text ? true
                                        : set_message(fill, field, message, said->text, ret_why);
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return add_list(fill, field, message, &said->list, strchr(a->value, ',') != NULL);
    }
    switch (field->type) {
    case PROTOBUF_C_TYPE_BYTES:
        if (said->text && a->option && strcmp(a->value, "FILE") != 0) {
            const ProtobufCBinaryData bytes = {
                strlen(said->text),
                (uint8_t *)cw_arena_dup(&fill->arena, cw_str(said->text)),
            };
            memcpy(member, &bytes, sizeof bytes);
            return bytes.data != NULL;
        }
        snprintf(ret_why, 128, "the file or standard input cannot be read, or is too large");
        return !said->text || set_bytes(fill, field, message, said->text, !a->option);
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)member = said->flag;
        return true;
    case PROTOBUF_C_TYPE_STRING:
        if (said->text) {
            memcpy(member, &said->text, sizeof said->text);
        }
        return true;
    default:
        return set_number(field, member, said->number);
    }
}

/* The names of the options that were given, where the request wants to know. */
static bool tell_said(struct ask_fill *fill, const struct ask *ask, const char *path)
{
    const char *name = strrchr(path, '.');
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(ask->request, ask->said);
    return field && add_string(fill, field, fill->request, cw_str(name + 1));
}

bool ask_fill_run(struct ask_fill *fill, const struct ask *ask,
                  const union ask_said said[ASK_ARGUMENTS_MAX], char ret_why[128])
{
    fill->request = cw_arena_alloc(&fill->arena, ask->request->sizeof_message);
    if (!fill->request) {
        return false;
    }
    ask->request->message_init(fill->request);
    for (size_t i = 0; ask->arguments[i].field; i++) {
        const struct ask_argument *a = &ask->arguments[i];
        ProtobufCMessage *message = fill->request;
        const ProtobufCFieldDescriptor *field = walk(fill, ask->request, a->field, &message);
        if (!field || !set(fill, a, field, message, &said[i], ret_why)) {
            return false;
        }
        bool told = ask->said && a->option && strchr(a->field, '.') && was_said(field, &said[i]);
        if (told && !tell_said(fill, ask, a->field)) {
            return false;
        }
    }
    return true;
}

void ask_fill_done(struct ask_fill *fill)
{
    for (size_t i = 0; i < fill->n_inputs; i++) {
        if (fill->inputs[i].n > 0) {
            cw_secret_wipe(fill->inputs[i].p, fill->inputs[i].n);
        }
        cw_buf_done(&fill->inputs[i]);
    }
    cw_arena_done(&fill->arena);
}
