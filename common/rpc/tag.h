/* What the completion queue hands back: the first member of whatever waits for an event. */
#ifndef CW_RPC_TAG_H
#define CW_RPC_TAG_H

#include <grpc/grpc.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/rpc/runtime.h"

enum { CW_RPC_TAG_MAGIC = 0x63775467 };

struct cw_rpc_tag {
    uint32_t magic; /* a void * comes back from the core */
    void (*fire)(struct cw_rpc_tag *tag, bool ok);
};

#define CW_RPC_TAG(fn)                                                                             \
    ((struct cw_rpc_tag){                                                                          \
        .magic = CW_RPC_TAG_MAGIC,                                                                 \
        .fire = (fn),                                                                              \
    })

/* libgrpc is not instrumented: tell TSan that what was written before an operation began is seen by
 * whoever takes its event off the queue. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CW_RPC_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(CW_RPC_TSAN)
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define CW_RPC_RELEASE(tag) __tsan_release(tag)
#define CW_RPC_ACQUIRE(tag) __tsan_acquire(tag)
#else
#define CW_RPC_RELEASE(tag) ((void)(tag))
#define CW_RPC_ACQUIRE(tag) ((void)(tag))
#endif

grpc_completion_queue *cw_rpc_runtime_queue(struct cw_rpc_runtime *runtime);

/* Begins the operations; their tag fires on a poller. When the core refuses them, which only a bug
 * here can cause, the tag fires at once with ok = false, so that nobody waits for ever. Hold no
 * lock that the tag's function takes. */
void cw_rpc_batch(grpc_call *call, const grpc_op *ops, size_t n, struct cw_rpc_tag *tag);

/* grpc_init and grpc_shutdown, with signals blocked meanwhile: the core's helper threads inherit
 * the mask, and a signal for the program must not end in one of them. */
void cw_rpc_core_ref(void);
void cw_rpc_core_unref(void);

gpr_timespec cw_rpc_deadline(int64_t timeout_ms);

#endif
