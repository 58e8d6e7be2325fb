/* What the handlers of IdentityService share. */
#ifndef AUTHSVC_RPC_RPC_IMPL_H
#define AUTHSVC_RPC_RPC_IMPL_H

#include "authsvc/login/address.h"
#include "authsvc/rpc/identity.h"
#include "clinicwave/identity/v1/identity.pb-c.h"

enum {
    RPC_ADDRESS_SIZE = LOGIN_ADDRESS_SIZE,
    RPC_FIELD_MAX = 4096,
    RPC_CODE_MAX = 64 /* codes that people type */
};

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

/* protobuf-c checks no UTF-8 of bytes: text, or nothing. */
struct cw_str rpc_text_or_none(const char *text);
/* The job's end, on its worker: answers with `response`, or fails with `err`; frees the job. */
void rpc_finish(struct rpc_job *job, enum cw_err err, uint32_t retry_after_ms,
                const ProtobufCMessage *response);
/* The same for an answer with tokens: `response` points to *set, which is made of *a; ends *a. */
void rpc_finish_tokens(struct rpc_job *job, enum cw_err err, struct login_answer *a,
                       Clinicwave__Identity__V1__TokenSet *set, const ProtobufCMessage *response);
struct login_bearer rpc_bearer(const struct rpc_job *job, const char *domain,
                               ProtobufCBinaryData token);

void rpc_logout(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_user_info(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_list_sessions(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_end_session(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);

void rpc_change_password(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_reset_password(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_challenge_mfa(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_verify_mfa(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_get_mfa(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_start_totp(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_confirm_totp(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_remove_totp(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void rpc_renew_recovery_codes(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);

#endif
