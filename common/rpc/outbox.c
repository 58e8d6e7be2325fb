/* Messages wait here until the one before them has left. */
#include "common/rpc/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "common/rpc/message.h"

enum { FIRST_CAPACITY = 8, MAX_MERGED = 64 };

void cw_rpc_outbox_clear(struct cw_rpc_outbox *outbox)
{
    for (; outbox->n > 0; outbox->n--) {
        grpc_slice_unref(outbox->ring[outbox->head]);
        outbox->head = (outbox->head + 1) % outbox->cap;
    }
    outbox->bytes = 0;
}

void cw_rpc_outbox_done(struct cw_rpc_outbox *outbox)
{
    cw_rpc_outbox_clear(outbox);
    free(outbox->ring);
    *outbox = (struct cw_rpc_outbox){0};
}

bool cw_rpc_outbox_add(struct cw_rpc_outbox *outbox, grpc_slice slice)
{
    if (outbox->n == outbox->cap) {
        size_t cap = outbox->cap ? outbox->cap * 2 : FIRST_CAPACITY;
        grpc_slice *ring = calloc(cap, sizeof *ring);
        if (!ring) {
            grpc_slice_unref(slice);
            return false;
        }
        for (size_t i = 0; i < outbox->n; i++) {
            ring[i] = outbox->ring[(outbox->head + i) % outbox->cap];
        }
        free(outbox->ring);
        outbox->ring = ring;
        outbox->head = 0;
        outbox->cap = cap;
    }
    outbox->ring[(outbox->head + outbox->n++) % outbox->cap] = slice;
    outbox->bytes += GRPC_SLICE_LENGTH(slice);
    return true;
}

grpc_byte_buffer *cw_rpc_outbox_take(struct cw_rpc_outbox *outbox, size_t coalesce)
{
    grpc_slice merged[MAX_MERGED];
    size_t n = 0, bytes = 0;
    while (outbox->n > 0 && n < MAX_MERGED) {
        size_t size = GRPC_SLICE_LENGTH(outbox->ring[outbox->head]);
        if (n > 0 && bytes + size > coalesce) {
            break;
        }
        merged[n++] = outbox->ring[outbox->head];
        bytes += size;
        outbox->head = (outbox->head + 1) % outbox->cap;
        outbox->n--;
    }
    if (n == 0) {
        return NULL;
    }
    outbox->bytes -= bytes;
    grpc_byte_buffer *buffer = cw_rpc_message_buffer(merged, n);
    for (size_t i = 0; i < n; i++) {
        grpc_slice_unref(merged[i]);
    }
    return buffer;
}
