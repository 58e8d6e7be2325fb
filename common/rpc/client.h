/* gRPC clients: one blocking call for command lines, calls on the runtime, and streams that come
 * back by themselves. */
#ifndef CW_RPC_CLIENT_H
#define CW_RPC_CLIENT_H

#include <protobuf-c/protobuf-c.h>
#include <sys/types.h>

#include "common/base/arena.h"
#include "common/rpc/runtime.h"

struct cw_rpc_channel;

/* `target`: "unix:PATH" or "ADDRESS:PORT" (numeric, loopback). Does not connect yet; reconnects
 * after 100 to 500 ms, makes no retries, asks no proxy. `max_message` bounds what is received, in
 * bytes; 0: 4 MiB. The channel may be used by any thread. */
CW_MUST_USE enum cw_err cw_rpc_channel_new(const char *target, uint32_t max_message,
                                           struct cw_rpc_channel **ret_channel);
enum cw_rpc_owner { CW_RPC_OWNER_FINE, CW_RPC_OWNER_ABSENT, CW_RPC_OWNER_STRANGER };
/* Whose socket lies at `path` now: of root, of this process's own user or of one of `uids`,
 * nobody's, or a stranger's, which also is what is no socket. ret_owner may be NULL; set unless
 * ABSENT. Any thread. */
enum cw_rpc_owner cw_rpc_socket_owner(const char *path, const uid_t *uids, size_t n,
                                      uid_t *ret_owner);
/* From now on calls go only to a socket at `path` (the target's) that root, this process's own user
 * or one of `uids` owns: somebody else's, made while the server was away, is CW_UNAVAILABLE, and
 * streams wait. The kernel gives a socket's file to whoever binds it. Before the first call. */
CW_MUST_USE enum cw_err cw_rpc_channel_guard(struct cw_rpc_channel *channel, const char *path,
                                             const uid_t *uids, size_t n);

/* A server, and how it is recognised. With files, TLS 1.2 or newer in both directions: the server's
 * name must be in its certificate, which one of `ca_file` signed, and the client shows its own. The
 * files (PEM) are read again when they change, within a minute. */
struct cw_rpc_remote {
    const char *target;  /* as above, or with files "dns:NAME:PORT" */
    const char *ca_file; /* NULL: plain; else all three */
    const char *certificate_file;
    const char *key_file;
};
/* The same for any peer; with TLS a connection that is silent is tried every 10 s, and given up
 * 5 s later. */
CW_MUST_USE enum cw_err cw_rpc_channel_new_to(const struct cw_rpc_remote *remote,
                                              uint32_t max_message,
                                              struct cw_rpc_channel **ret_channel);
/* Calls on it have ended, streams on it are freed. NULL is fine. */
void cw_rpc_channel_free(struct cw_rpc_channel *channel);

/* How a call ended. */
struct cw_rpc_answer {
    enum cw_grpc_status status;
    enum cw_err err;     /* CW_OK, else what ErrorInfo's reason says, else what fits the status */
    const char *message; /* the status message, "" for none */
    uint32_t retry_after_ms;    /* from RetryInfo; 0: none */
    ProtobufCMessage *response; /* NULL unless the status is OK */
    struct cw_arena arena;      /* holds all of it */
};

/* Frees what the answer holds. */
void cw_rpc_answer_done(struct cw_rpc_answer *answer);

/* A unary call; blocks for at most timeout_ms, never on a poller. The answer's err is also
 * returned; the answer is filled in any case and owned by the caller. With `wait_for_ready` a
 * server that is not there yet is waited for. */
enum cw_err cw_rpc_unary(struct cw_rpc_channel *channel, const char *path,
                         const ProtobufCMessage *request,
                         const ProtobufCMessageDescriptor *response, unsigned timeout_ms,
                         bool wait_for_ready, struct cw_rpc_answer *ret_answer);

/* The same without waiting: `done` runs on a poller, exactly once, also on failure; the answer
 * lives until it returns. Any thread. */
void cw_rpc_unary_start(struct cw_rpc_runtime *runtime, struct cw_rpc_channel *channel,
                        const char *path, const ProtobufCMessage *request,
                        const ProtobufCMessageDescriptor *response, unsigned timeout_ms,
                        void (*done)(const struct cw_rpc_answer *answer, void *ctx), void *ctx);

/* ---- streams ----
 * A subscription keeps one streaming call alive: when it ends, whatever the reason, it is begun
 * again after a pause (100 ms, doubled up to 5 s, back to 100 ms after a message arrived); a server
 * that is not there is waited for. */

struct cw_rpc_subscription;

struct cw_rpc_subscription_ops {
    const char *path;
    bool server_stream; /* one request: half-closed after on_start's message */
    const ProtobufCMessageDescriptor *response;
    /* A call begins: send the first message by cw_rpc_subscription_send, which for a server_stream
     * is the only one. */
    void (*on_start)(struct cw_rpc_subscription *subscription, void *ctx);
    /* `message` lives until the callback returns. */
    void (*on_message)(struct cw_rpc_subscription *subscription, const ProtobufCMessage *message,
                       void *ctx);
    /* The call ended; may be NULL. Another one follows unless the subscription is being freed. */
    void (*on_end)(struct cw_rpc_subscription *subscription, const struct cw_rpc_answer *how,
                   void *ctx);
};

/* Callbacks run on a poller, one at a time. ops and channel are borrowed. */
CW_MUST_USE enum cw_err cw_rpc_subscription_new(struct cw_rpc_runtime *runtime,
                                                struct cw_rpc_channel *channel,
                                                const struct cw_rpc_subscription_ops *ops,
                                                void *ctx,
                                                struct cw_rpc_subscription **ret_subscription);
/* Packs and sends on the call that runs now; up to 64 messages wait. CW_UNAVAILABLE: none runs
 * (on_start will come), CW_TOO_MANY_REQUESTS: full. Any thread. */
CW_MUST_USE enum cw_err cw_rpc_subscription_send(struct cw_rpc_subscription *subscription,
                                                 const ProtobufCMessage *message);
/* Ends the call that runs, so that another one begins (on_end, on_start): for whoever has missed
 * something. Any thread, also in a callback. */
void cw_rpc_subscription_restart(struct cw_rpc_subscription *subscription);
/* Half-closes, gives the server up to linger_ms to end the call itself, cancels, and waits until no
 * callback runs or will run. Not on a poller. NULL is fine. */
void cw_rpc_subscription_free(struct cw_rpc_subscription *subscription, unsigned linger_ms);

#endif
