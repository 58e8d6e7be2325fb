/* The engine under servers and clients: the gRPC C core, one completion queue, the threads that
 * poll it.
 *
 * Threads: callbacks of server.h and client.h run on a poller. They must not block: no file, no
 * lock that is held long, no name resolution, no waiting for another call of the same runtime. The
 * core offers no way to run a closure on a poller; what other threads want to say goes through the
 * functions marked "any thread", which write to the socket themselves. */
#ifndef CW_RPC_RUNTIME_H
#define CW_RPC_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

struct cw_rpc_runtime;

enum { CW_RPC_SPIN_MAX_US = 1000 };

/* Starts `pollers` polling threads with all signals blocked, as are the core's own. One is the
 * fastest: the core has one epoll set in a process and hands the poller's role over on each event.
 * After fork only. */
CW_MUST_USE enum cw_err cw_rpc_runtime_new(unsigned pollers, struct cw_rpc_runtime **ret_runtime);

/* The same, for a server that answers many short calls: while exchanges follow one another within
 * `spin_us` microseconds (at most CW_RPC_SPIN_MAX_US; 0: never), the poller asks for the next one
 * instead of sleeping, as long as nobody else wants its core. Several pollers always sleep: a
 * second one would take the role away from the one that asks. */
CW_MUST_USE enum cw_err cw_rpc_runtime_new_spinning(unsigned pollers, unsigned spin_us,
                                                    struct cw_rpc_runtime **ret_runtime);

/* Ends the pollers and the core. Every server and client stream on it has been freed before. Not on
 * a poller. NULL is fine. */
void cw_rpc_runtime_free(struct cw_rpc_runtime *runtime);

/* In a callback: the message brought several questions, so that many are under way and the poller
 * had better sleep between them (common/rpc/spin.h). Nothing elsewhere than on a poller. */
void cw_rpc_runtime_several(void);

/* On a poller: a call was left to another thread, so that its client has not been answered yet and
 * may have sent many more. After some of them the poller looks at the sockets although its queue is
 * not empty yet: one connection's burst does not hide the others. */
void cw_rpc_runtime_deferred(void);

/* True on one of this runtime's pollers. */
bool cw_rpc_runtime_on_poller(const struct cw_rpc_runtime *runtime);

/* CPU time of all pollers so far, in nanoseconds: for benches and metrics. Any thread. */
uint64_t cw_rpc_runtime_cpu_ns(const struct cw_rpc_runtime *runtime);

#endif
