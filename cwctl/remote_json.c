/* Any protobuf-c message as JSON, by its descriptor. */
#include <stdlib.h>

#include "common/jose/b64url.h"
#include "cwctl/remote.h"

static json_t *bytes_value(const ProtobufCBinaryData *bytes)
{
    json_t *value = json_loadb((const char *)bytes->data, bytes->len,
                               JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (value) {
        return value; /* Claim.json */
    }
    struct cw_buf text = CW_BUF_INIT(1024 * 1024);
    cw_b64url_add(&text, bytes->data, bytes->len);
    value = json_stringn(cw_buf_str(&text).p, cw_buf_str(&text).n);
    cw_buf_done(&text);
    return value;
}

static json_t *enum_value(const ProtobufCFieldDescriptor *field, int number)
{
    const ProtobufCEnumDescriptor *values = field->descriptor;
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(values, number);
    return value ? json_string(value->name) : json_integer(number);
}

static json_t *one_value(const ProtobufCFieldDescriptor *field, const void *at)
{
    const char *text;
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return remote_json(*(ProtobufCMessage *const *)at);
    case PROTOBUF_C_TYPE_STRING:
        text = *(const char *const *)at;
        return text && *text ? json_string(text) : NULL;
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len ? bytes_value(at) : NULL;
    case PROTOBUF_C_TYPE_BOOL:
        return *(const protobuf_c_boolean *)at ? json_true() : NULL;
    case PROTOBUF_C_TYPE_ENUM:
        return enum_value(field, *(const int *)at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return json_integer(*(const int64_t *)at);
    case PROTOBUF_C_TYPE_INT32:
        return json_integer(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
        return json_integer(*(const uint32_t *)at);
    default:
        return NULL; /* no other type occurs in the messages that are shown */
    }
}

static size_t element_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
    case PROTOBUF_C_TYPE_STRING:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return sizeof(int64_t);
    default:
        return sizeof(int32_t);
    }
}

static json_t *field_value(const ProtobufCFieldDescriptor *field, const char *base)
{
    const void *at = base + field->offset;
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        bool absent =
            (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
            *(const uint32_t *)(const void *)(base + field->quantifier_offset) != field->id;
        if (absent || (field->type == PROTOBUF_C_TYPE_MESSAGE && !*(void *const *)at)) {
            return NULL;
        }
        return one_value(field, at);
    }
    size_t n = *(const size_t *)(const void *)(base + field->quantifier_offset);
    if (!n) {
        return NULL;
    }
    json_t *array = json_array();
    const char *items = *(const char *const *)at;
    for (size_t i = 0; i < n; i++) {
        json_t *value = one_value(field, items + i * element_size(field));
        json_array_append_new(array, value ? value : json_string(""));
    }
    return array;
}

json_t *remote_json(const ProtobufCMessage *message)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        json_t *value = field_value(field, (const char *)message);
        if (value) {
            json_object_set_new(object, field->name, value);
        }
    }
    return object;
}

void remote_print_json(const ProtobufCMessage *message)
{
    json_t *json = remote_json(message);
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(json);
}
