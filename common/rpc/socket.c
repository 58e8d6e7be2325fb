/* Listening sockets are opened here, so that no live one is ever taken from its owner.
 *
 * The core would unlink whatever lies at the path before it binds, and again when it ends, although
 * the path may belong to a newer server by then. Here a lock file beside the path decides who owns
 * it; the lock is held from before the bind until after the unlink, and what is unlinked is known
 * by device and inode. */
#include "common/rpc/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/rpc/server.h"

enum { BACKLOG = 511, SOCKET_MODE = 0660 };

static enum cw_err fail(struct cw_buf *why, enum cw_err err, const char *what, const char *where,
                        const char *reason)
{
    if (why) {
        cw_buf_addf(why, "%s %s: %s", what, where, reason);
    }
    return err;
}

static enum cw_err lock_take(struct cw_rpc_socket *s, struct cw_buf *why)
{
    char name[sizeof((struct sockaddr_un *)0)->sun_path + sizeof ".lock"];
    size_t n = strlen(s->path);
    memcpy(name, s->path, n);
    memcpy(name + n, ".lock", sizeof ".lock");
    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0) {
        return fail(why, CW_IO, "cannot open", name, strerror(errno));
    }
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? fail(why, CW_CONFLICT, "another process serves", s->path, "its lock is held")
                   : fail(why, CW_IO, "cannot lock", name, strerror(errno));
    }
    return CW_OK;
}

/* With the lock in hand a socket at the path is a dead one's, unless a stranger to the lock listens
 * there. */
static enum cw_err path_clear(const char *path, const struct sockaddr_un *address,
                              struct cw_buf *why)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? CW_OK : fail(why, CW_IO, "cannot see", path, strerror(errno));
    }
    if (!S_ISSOCK(st.st_mode)) {
        return fail(why, CW_CONFLICT, "will not replace", path, "it is no socket");
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        return fail(why, CW_IO, "cannot make a socket for", path, strerror(errno));
    }
    bool live = connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 ||
                errno == EAGAIN || errno == EINPROGRESS;
    close(probe);
    if (live) {
        return fail(why, CW_CONFLICT, "another process serves", path, "it answers");
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        return fail(why, CW_IO, "cannot remove the old socket", path, strerror(errno));
    }
    return CW_OK;
}

static enum cw_err unix_bind(struct cw_rpc_socket *s, const struct cw_rpc_listener *listener,
                             const struct sockaddr_un *address, struct cw_buf *why)
{
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The mode of the unbound socket bounds the mode of the file, so there is no moment at which it
     * is wider; the umask, which belongs to all threads, need not be touched. */
    if (s->fd < 0 || fchmod(s->fd, SOCKET_MODE) != 0 ||
        bind(s->fd, (const struct sockaddr *)address, sizeof *address) != 0) {
        return fail(why, CW_IO, "cannot bind", s->path, strerror(errno));
    }
    struct stat st;
    if (lstat(s->path, &st) != 0) {
        return fail(why, CW_IO, "cannot see", s->path, strerror(errno));
    }
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    if (listener->group && lchown(s->path, (uid_t)-1, listener->group) != 0) {
        return fail(why, CW_IO, "cannot give its group to", s->path, strerror(errno));
    }
    if (chmod(s->path, SOCKET_MODE) != 0) { /* what the umask took off */
        return fail(why, CW_IO, "cannot set the mode of", s->path, strerror(errno));
    }
    return CW_OK;
}

static enum cw_err unix_open(struct cw_rpc_socket *s, const struct cw_rpc_listener *listener,
                             struct cw_buf *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(listener->path);
    if (n == 0 || n >= sizeof address.sun_path) {
        return fail(why, CW_CONFIG_INVALID, "cannot serve on", listener->path,
                    "a socket path has 1 to 107 bytes");
    }
    memcpy(address.sun_path, listener->path, n);
    s->path = strdup(listener->path);
    ENSURE(s->path, CW_NO_MEMORY);
    TRY(lock_take(s, why));
    TRY(path_clear(s->path, &address, why));
    return unix_bind(s, listener, &address, why);
}

static enum cw_err tcp_open(struct cw_rpc_socket *s, const struct cw_rpc_listener *listener,
                            struct cw_buf *why)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(listener->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(listener->port)};
    const char *name = listener->address ? listener->address : "";
    bool is_v4 = inet_pton(AF_INET, name, &v4.sin_addr) == 1;
    bool loopback = is_v4 ? ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET
                          : inet_pton(AF_INET6, name, &v6.sin6_addr) == 1 &&
                                IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    if (!loopback) { /* the core of this version has open CVEs on TCP */
        return fail(why, CW_CONFIG_INVALID, "cannot serve on", name, "not a loopback address");
    }
    const struct sockaddr *address = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    socklen_t size = is_v4 ? sizeof v4 : sizeof v6;
    s->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (s->fd < 0 || setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        return fail(why, CW_IO, "cannot make a socket for", name, strerror(errno));
    }
    if (bind(s->fd, address, size) != 0) {
        enum cw_err err = errno == EADDRINUSE ? CW_CONFLICT : CW_IO;
        return fail(why, err, "cannot bind the port on", name, strerror(errno));
    }
    struct sockaddr_storage bound;
    socklen_t bound_size = sizeof bound;
    if (getsockname(s->fd, (struct sockaddr *)&bound, &bound_size) != 0) {
        return fail(why, CW_IO, "cannot read the port on", name, strerror(errno));
    }
    s->port = ntohs(is_v4 ? ((struct sockaddr_in *)&bound)->sin_port
                          : ((struct sockaddr_in6 *)&bound)->sin6_port);
    return CW_OK;
}

enum cw_err cw_rpc_socket_open(struct cw_rpc_socket *s, const struct cw_rpc_listener *listener,
                               struct cw_buf *why)
{
    enum cw_err err = listener->path ? unix_open(s, listener, why) : tcp_open(s, listener, why);
    if (err == CW_OK && listen(s->fd, BACKLOG) != 0) {
        err = fail(why, CW_IO, "cannot listen on", listener->name, strerror(errno));
    }
    if (err != CW_OK) {
        cw_rpc_socket_close(s);
    }
    return err;
}

void cw_rpc_socket_close(struct cw_rpc_socket *s)
{
    struct stat st;
    if (s->path && s->ino && lstat(s->path, &st) == 0 && st.st_dev == s->dev &&
        st.st_ino == s->ino) {
        unlink(s->path);
    }
    if (s->fd >= 0) {
        close(s->fd);
    }
    if (s->lock_fd >= 0) {
        close(
            s->lock_fd); /* the lock file stays: removing it would let two owners lock two files */
    }
    free(s->path);
    *s = (struct cw_rpc_socket)CW_RPC_SOCKET_INIT;
}
