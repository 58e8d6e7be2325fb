/* Received bytes become messages here, after the checks that protobuf-c leaves out. */
#include "common/rpc/message.h"

#include <grpc/byte_buffer_reader.h>

enum { MAX_DEPTH = 16 };

/* Wire types, https://protobuf.dev/programming-guides/encoding/ */
enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

bool cw_rpc_message_bytes(grpc_byte_buffer *buffer, grpc_slice *ret_hold, struct cw_str *ret_bytes)
{
    if (buffer->type == GRPC_BB_RAW && buffer->data.raw.compression == GRPC_COMPRESS_NONE &&
        buffer->data.raw.slice_buffer.count == 1) { /* the usual case is borrowed as it lies */
        *ret_hold = grpc_slice_ref(buffer->data.raw.slice_buffer.slices[0]);
    } else {
        grpc_byte_buffer_reader reader;
        if (!grpc_byte_buffer_reader_init(&reader, buffer)) {
            return false;
        }
        *ret_hold = grpc_byte_buffer_reader_readall(&reader);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    *ret_bytes = (struct cw_str){(const char *)GRPC_SLICE_START_PTR(*ret_hold),
                                 GRPC_SLICE_LENGTH(*ret_hold)};
    return true;
}

static bool take_varint(struct cw_str *at, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 10 && i < at->n; i++) {
        uint8_t byte = (uint8_t)at->p[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            at->p += i + 1;
            at->n -= i + 1;
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool is_text(struct cw_str s)
{
    return cw_str_find(s, '\0') == s.n && cw_str_is_utf8(s);
}

static bool check_fields(const ProtobufCMessageDescriptor *descriptor, struct cw_str at,
                         unsigned depth)
{
    while (at.n > 0) {
        uint64_t key, n;
        if (!take_varint(&at, &key)) {
            return false;
        }
        switch ((enum wire_type)(key & 7)) {
        case WIRE_VARINT:
            if (!take_varint(&at, &n)) {
                return false;
            }
            continue;
        case WIRE_64:
        case WIRE_32:
            n = (key & 7) == WIRE_64 ? 8 : 4;
            break;
        case WIRE_BYTES:
            if (!take_varint(&at, &n)) {
                return false;
            }
            break;
        default:
            return false; /* groups are long gone */
        }
        if (n > at.n) {
            return false;
        }
        struct cw_str value = {at.p, (size_t)n};
        at.p += n;
        at.n -= n;
        if ((key & 7) != WIRE_BYTES || key >> 3 > UINT32_MAX) {
            continue;
        }
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(key >> 3));
        if (!field) {
            continue;
        }
        if (field->type == PROTOBUF_C_TYPE_STRING && !is_text(value)) {
            return false;
        }
        if (field->type == PROTOBUF_C_TYPE_MESSAGE &&
            (depth == MAX_DEPTH || !check_fields(field->descriptor, value, depth + 1))) {
            return false;
        }
    }
    return true;
}

bool cw_rpc_message_check(const ProtobufCMessageDescriptor *descriptor, struct cw_str bytes)
{
    return check_fields(descriptor, bytes, 1);
}

static void *arena_alloc(void *data, size_t size)
{
    return cw_arena_alloc(data, size);
}

static void arena_keep(void *data, void *p)
{
    (void)data; /* the arena frees all at once */
    (void)p;
}

ProtobufCMessage *cw_rpc_message_unpack(const ProtobufCMessageDescriptor *descriptor,
                                        struct cw_str bytes, struct cw_arena *arena)
{
    ProtobufCAllocator allocator = {arena_alloc, arena_keep, arena};
    return cw_rpc_message_check(descriptor, bytes)
               ? protobuf_c_message_unpack(descriptor, &allocator, bytes.n,
                                           (const uint8_t *)bytes.p)
               : NULL;
}

grpc_slice cw_rpc_message_pack(const ProtobufCMessage *message)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(message));
    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    return slice;
}

grpc_byte_buffer *cw_rpc_message_buffer(grpc_slice *slices, size_t n)
{
    return grpc_raw_byte_buffer_create(slices, n);
}
