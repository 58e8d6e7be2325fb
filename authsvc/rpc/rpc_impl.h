/* What the handlers of IdentityService share. */
#ifndef AUTHSVC_RPC_RPC_IMPL_H
#define AUTHSVC_RPC_RPC_IMPL_H

#include "authsvc/rpc/identity.h"

enum { RPC_ADDRESS_SIZE = 46 };

/* A call on its way through a worker; freed by it. */
struct rpc_job {
    const struct identity *identity;
    struct cw_rpc_call *call;
    const ProtobufCMessage *request; /* in the call's arena */
    char address[RPC_ADDRESS_SIZE];  /* the user's; empty where nobody may tell it */
};

static inline struct cw_str rpc_bytes(ProtobufCBinaryData b)
{
    return (struct cw_str){(const char *)b.data, b.len};
}

/* On the poller: the call goes to `work` (or to the pool that its domain asks for), or is refused
 * when the queue is full. */
void rpc_hand_over(struct cw_rpc_call *call, const ProtobufCMessage *request,
                   const struct identity *identity, const char *domain, const char *told_address,
                   struct cw_work *work, void (*run)(void *arg));

void rpc_logout(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_user_info(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_list_sessions(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_end_session(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);

#endif
