/* One listening socket of our own: a Unix path with its lock, or a loopback port. */
#ifndef CW_RPC_SOCKET_H
#define CW_RPC_SOCKET_H

#include <sys/types.h>

#include "common/base/buf.h"

struct cw_rpc_listener;

struct cw_rpc_socket {
    int fd;      /* listening, non-blocking; -1: closed */
    int lock_fd; /* flock on PATH.lock, -1 for TCP */
    char *path;  /* NULL for TCP */
    dev_t dev;   /* what was bound: at the end only this file is unlinked */
    ino_t ino;
    uint16_t port;
};

#define CW_RPC_SOCKET_INIT                                                                         \
    {                                                                                              \
        .fd = -1, .lock_fd = -1                                                                    \
    }

/* CW_CONFLICT: somebody else serves there; CW_CONFIG_INVALID: a path or address that cannot be;
 * CW_IO. A sentence is appended to `why`. */
CW_MUST_USE enum cw_err cw_rpc_socket_open(struct cw_rpc_socket *socket,
                                           const struct cw_rpc_listener *listener,
                                           struct cw_buf *why);
/* Unlinks the path if it is still ours, then lets the lock go. Fine when it was never opened. */
void cw_rpc_socket_close(struct cw_rpc_socket *socket);

#endif
