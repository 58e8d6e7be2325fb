/* Between the core's byte buffers and protobuf-c. */
#ifndef CW_RPC_MESSAGE_H
#define CW_RPC_MESSAGE_H

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <protobuf-c/protobuf-c.h>

#include "common/rpc/unpack.h"

/* The bytes of a received message; `hold` keeps them and is unref'd by the caller. False: cannot be
 * read. */
bool cw_rpc_message_bytes(grpc_byte_buffer *buffer, grpc_slice *ret_hold, struct cw_str *ret_bytes);

bool cw_rpc_message_check(const ProtobufCMessageDescriptor *descriptor, struct cw_str bytes);

/* Owned by the caller. */
grpc_slice cw_rpc_message_pack(const ProtobufCMessage *message);
grpc_byte_buffer *cw_rpc_message_buffer(grpc_slice *slices, size_t n);

#endif
