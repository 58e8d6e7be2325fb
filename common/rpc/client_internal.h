/* What calls and subscriptions share. */
#ifndef CW_RPC_CLIENT_INTERNAL_H
#define CW_RPC_CLIENT_INTERNAL_H

#include <grpc/grpc.h>

#include "common/rpc/client.h"

struct cw_rpc_channel {
    grpc_channel *core;
    char *guarded; /* path of the socket whose owner is looked at; NULL: none is */
    uid_t *owners;
    size_t n_owners;
};

/* Whose socket lies at the guarded path now; FINE where none is guarded. Any thread. */
enum cw_rpc_owner cw_rpc_channel_owner(const struct cw_rpc_channel *channel);
#define CW_RPC_STRANGER_TEXT "the socket belongs to a user that is not trusted"

/* The final status of a call, as the core fills it. */
struct cw_rpc_ending {
    grpc_metadata_array trailing;
    grpc_status_code code;
    grpc_slice message;
};

void cw_rpc_ending_init(struct cw_rpc_ending *ending);
void cw_rpc_ending_done(struct cw_rpc_ending *ending);
void cw_rpc_ending_op(grpc_op *op, struct cw_rpc_ending *ending);
/* Everything but the response. */
void cw_rpc_ending_read(const struct cw_rpc_ending *ending, struct cw_rpc_answer *ret_answer);

#endif
