/* TokenService's handlers. */
#ifndef SIDECAR_HANDLE_VALIDATE_H
#define SIDECAR_HANDLE_VALIDATE_H

#include "common/rpc/server.h"

void validate_unary(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
extern const struct cw_rpc_stream_ops validate_stream_ops;

#endif
