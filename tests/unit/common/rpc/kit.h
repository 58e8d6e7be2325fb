/* A server with two sockets for the tests of common/rpc, and a client core that can misbehave. */
#ifndef TESTS_UNIT_COMMON_RPC_KIT_H
#define TESTS_UNIT_COMMON_RPC_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "common/rpc/client.h"
#include "common/rpc/server.h"

enum { KIT_OPEN = 1, KIT_ADMIN = 2, KIT_SPIN_US = 300 /* as cw-sidecar does */ };

struct kit {
    char dir[64];
    char open_path[96], admin_path[96];
    struct cw_rpc_listener listeners[2];
    struct cw_rpc_server_config config;
    struct cw_rpc_runtime *runtime;
    struct cw_rpc_server *server;
    struct cw_rpc_channel *open, *admin;
};

/* Paths and defaults; change kit->config before kit_start. */
void kit_init(struct kit *kit);
void kit_start(struct kit *kit, const struct cw_rpc_method *methods, size_t n, void *ctx);
/* Everything that is still there, in order. */
void kit_done(struct kit *kit);

struct cw_rpc_channel *kit_channel(const char *path);

/* One call over the bare core: what a client of another make may do. */
struct kit_call {
    const char *message; /* NULL: half-close without one */
    size_t n;
    unsigned timeout_ms;
    unsigned cancel_after_ms; /* 0: never */
    /* results */
    int status;
    unsigned took_ms;
};
void kit_raw_call(const char *path, const char *method, struct kit_call *call);

int64_t kit_now_ms(void);

/* The test program itself in another process, with two arguments; as another user unless uid is 0.
 * gRPC does not survive a fork without exec. */
pid_t kit_run_self(const char *how, const char *path, uid_t uid);

#endif
