/* Answers of one stream that a verifier has not sent yet. Sending costs a system call and wakes two
 * processes, about as much as verifying does: while more of the stream waits to be verified,
 * answers leave together, none later than OUTGOING_NS and one verification. What others have in the
 * queue is no reason to hold them back, for a flood never ends.
 *
 * No RPC in it: a stream is whatever the owner's functions take. */
#ifndef SIDECAR_HANDLE_OUTGOING_H
#define SIDECAR_HANDLE_OUTGOING_H

#include <stdatomic.h>

#include "common/base/buf.h"

enum {
    OUTGOING_BYTES = 32 * 1024,
    OUTGOING_ANSWER_MAX = 36 * 1024, /* bytes; a longer one fails the buffer */
    OUTGOING_RESULTS = 128,
    OUTGOING_NS = 1000 * 1000,
    OUTGOING_STREAMS = 256, /* streams are hashed onto so many counters */
};

/* What waits in the queue, by stream; shared by all verifiers. Zeros are none. Two streams that
 * share a counter hold each other's answers back, within the bounds above. */
struct outgoing_queued {
    _Atomic unsigned n[OUTGOING_STREAMS];
};

/* Of one thread. */
struct outgoing {
    void *stream; /* one reference; NULL for none */
    struct cw_buf buf;
    unsigned results;
    uint64_t since_ns;
    void (*ref)(void *stream);
    void (*send)(void *stream, const struct cw_buf *answers); /* takes the reference */
};

/* A question of the stream enters the queue (before it can be taken), or leaves it. Any thread. */
void outgoing_enter(struct outgoing_queued *queued, const void *stream);
void outgoing_leave(struct outgoing_queued *queued, const void *stream);

/* One answer more. Sends those of another stream, and what is full, at once. */
void outgoing_add(struct outgoing *outgoing, void *stream, struct cw_str answer, uint64_t now_ns);
/* After each verification, whosever: sends what has no reason to wait. */
void outgoing_check(struct outgoing *outgoing, struct outgoing_queued *queued,
                    uint64_t (*now_ns)(void));
/* Sends what there is and lets the memory go: nothing waits to be verified. */
void outgoing_idle(struct outgoing *outgoing);

#endif
