/* The thread that accepts connections for all listeners of a server. */
#ifndef CW_RPC_ACCEPT_H
#define CW_RPC_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

struct cw_rpc_accept;

/* What becomes of a new connection. A stranger's is kept only to be told so: a quarter of the
 * places is all that strangers get. */
enum cw_rpc_accepted { CW_RPC_ACCEPT_CLOSE, CW_RPC_ACCEPT_KEEP, CW_RPC_ACCEPT_STRANGER };

struct cw_rpc_accept_ops {
    /* A new connection on listener `index`: take fd, or have it closed. A stranger is taken only
     * where there is `room`. On the accepting thread. */
    enum cw_rpc_accepted (*on_connection)(void *ctx, size_t index, int fd, bool room);
    /* A connection that was closed because `max_connections` of its listener stand, or because
     * on_connection said so. */
    void (*on_turned_away)(void *ctx);
};

CW_MUST_USE enum cw_err cw_rpc_accept_start(const int *listeners, size_t n,
                                            unsigned max_connections,
                                            const struct cw_rpc_accept_ops *ops, void *ctx,
                                            struct cw_rpc_accept **ret_accept);
/* No connection is accepted any more, those that stand stay. NULL is fine. */
void cw_rpc_accept_stop(struct cw_rpc_accept *accept);

#endif
