/* TokenAdminService's handlers. */
#ifndef SIDECAR_HANDLE_ADMIN_H
#define SIDECAR_HANDLE_ADMIN_H

#include "common/rpc/server.h"

void admin_list_keys(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void admin_refresh_keys(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void admin_cache_stats(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void admin_flush_cache(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void admin_health(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
void admin_list_tenants(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);

#endif
