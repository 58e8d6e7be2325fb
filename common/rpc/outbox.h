/* The outgoing side of a stream: messages that wait, in order, with a bound in bytes. Not for two
 * threads at once. */
#ifndef CW_RPC_OUTBOX_H
#define CW_RPC_OUTBOX_H

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

#include "common/base/str.h"

struct cw_rpc_outbox {
    grpc_slice *ring;
    size_t head, n, cap; /* in messages */
    size_t bytes;
};

void cw_rpc_outbox_done(struct cw_rpc_outbox *outbox);
void cw_rpc_outbox_clear(struct cw_rpc_outbox *outbox);
/* Takes the slice; false without memory, and the slice is let go. */
bool cw_rpc_outbox_add(struct cw_rpc_outbox *outbox, grpc_slice slice);
/* The next message, with those behind it merged in up to `coalesce` bytes. NULL when empty; owned
 * by the caller. */
grpc_byte_buffer *cw_rpc_outbox_take(struct cw_rpc_outbox *outbox, size_t coalesce);

#endif
