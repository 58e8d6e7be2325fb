/* What Debian's build of the gRPC C core does on each call and no server needs. */
#ifndef CW_RPC_TUNE_H
#define CW_RPC_TUNE_H

#include <stdbool.h>

/* Abseil's mutexes, of which the core takes a dozen in an exchange, look for lock cycles in builds
 * with assertions, and Debian's is one: a tenth of a small call (docs/decisions/0010). Switches
 * that off in this process. False: the library here has no such switch, and nothing changed. Any
 * thread, any number of times. */
bool cw_rpc_tune(void);

#endif
