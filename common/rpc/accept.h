/* The thread that accepts connections for all listeners of a server. */
#ifndef CW_RPC_ACCEPT_H
#define CW_RPC_ACCEPT_H

#include <stdbool.h>

#include "common/base/err.h"

struct cw_rpc_accept;

struct cw_rpc_accept_ops {
    /* A new connection on listener `index`: take fd (true), or have it closed (false). On the
     * accepting thread. */
    bool (*on_connection)(void *ctx, size_t index, int fd);
    /* A connection that was turned away because `max_connections` of its listener stand. */
    void (*on_turned_away)(void *ctx);
};

CW_MUST_USE enum cw_err cw_rpc_accept_start(const int *listeners, size_t n,
                                            unsigned max_connections,
                                            const struct cw_rpc_accept_ops *ops, void *ctx,
                                            struct cw_rpc_accept **ret_accept);
/* No connection is accepted any more, those that stand stay. NULL is fine. */
void cw_rpc_accept_stop(struct cw_rpc_accept *accept);

#endif
