/* Who is at the other end of a connection is asked of the kernel here. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include <grpc/support/alloc.h>

#include "common/rpc/server_internal.h"

static int fd_of_call(grpc_call *call)
{
    char *name = grpc_call_get_peer(call);
    uint64_t fd = 0;
    bool ok = name && strncmp(name, "fd:", 3) == 0 &&
              cw_str_to_u64(cw_str(name + 3), INT32_MAX, &fd) == CW_OK;
    gpr_free(name);
    return ok ? (int)fd : -1;
}

struct cw_rpc_peer cw_rpc_peer_of_fd(int fd)
{
    struct cw_rpc_peer peer = {.uid = (uid_t)-1, .gid = (gid_t)-1};
    struct ucred cred;
    socklen_t n = sizeof cred;
    /* TCP has the option, too, and says pid 0, uid -1 */
    if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && cred.pid > 0) {
        peer = (struct cw_rpc_peer){.uid = cred.uid, .gid = cred.gid, .pid = cred.pid};
    }
    return peer;
}

struct cw_rpc_peer cw_rpc_peer_of_call(grpc_call *call)
{
    return cw_rpc_peer_of_fd(fd_of_call(call));
}

bool cw_rpc_peer_connected(grpc_call *call)
{
    struct pollfd p = {.fd = fd_of_call(call), .events = POLLRDHUP};
    return p.fd >= 0 && poll(&p, 1, 0) >= 0 &&
           !(p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}
