/* Received bytes as a message, for those who get bytes (on_bytes, raw methods). */
#ifndef CW_RPC_UNPACK_H
#define CW_RPC_UNPACK_H

#include <protobuf-c/protobuf-c.h>

#include "common/base/arena.h"
#include "common/base/str.h"

/* Checks what protobuf-c does not: strings are UTF-8 without NUL, nesting is at most 16 deep, the
 * wire format holds. Then unpacks into the arena; nothing is to be freed. NULL: malformed, or
 * larger than the arena's bound. Any thread, one at a time for an arena. */
ProtobufCMessage *cw_rpc_message_unpack(const ProtobufCMessageDescriptor *descriptor,
                                        struct cw_str bytes, struct cw_arena *arena);

#endif
