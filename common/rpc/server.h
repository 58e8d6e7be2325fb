/* gRPC servers on sockets of our own: listeners by privilege, one method table, unary calls and
 * streams.
 *
 *   static const struct cw_rpc_method methods[] = {
 *       {.path = "/clinicwave.token.v1.TokenService/Validate", .kind = CW_RPC_UNARY, .listeners =
 * ON_SIDECAR, .request = &clinicwave__token__v1__validate_request__descriptor, .unary =
 * validate_handle}, …
 *   };
 *   cw_rpc_runtime_new(1, &runtime);
 *   cw_rpc_server_new(runtime, &config, &server);
 *   cw_rpc_server_add(server, methods, CW_ARRAY_SIZE(methods), ctx);
 *   cw_rpc_server_start(server, &why);
 *   cw_rpc_server_set_serving(server, NULL, true);
 *   … until SIGTERM …
 *   cw_rpc_server_stop(server, 5000);          streams and deferred calls end, or are cancelled
 * after 5 s … join the threads that answer deferred calls … cw_rpc_server_free(server);
 *   cw_rpc_runtime_free(runtime);
 *
 * A method that a listener's mask leaves out, and any method for a caller whose uid is not allowed
 * on the listener, is refused with PERMISSION_DENIED; a method in no table with UNIMPLEMENTED.
 * grpc.health.v1 is served on every listener. */
#ifndef CW_RPC_SERVER_H
#define CW_RPC_SERVER_H

#include <sys/types.h>

#include <protobuf-c/protobuf-c.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/rpc/descriptors.h"
#include "common/rpc/runtime.h"

struct cw_rpc_server;
struct cw_rpc_call;
struct cw_rpc_stream;

/* Where callers come in. Strings are copied. */
struct cw_rpc_listener {
    const char *name; /* for logs and metrics, e.g. "gateway" */
    uint32_t bit;     /* one bit, which method tables name */
    const char
        *path;   /* Unix socket, at most 107 bytes, mode 0660, lock file beside it; NULL: TCP */
    gid_t group; /* group of the socket; 0: as the process */
    const char *address; /* TCP: a loopback address, numeric */
    uint16_t port;       /* TCP; 0: any, see cw_rpc_server_port */
    bool any_uid;        /* Unix: every local user who can open the socket */
    const uid_t *uids;   /* Unix: allowed beside root and the own user */
    size_t n_uids;
    uint32_t max_streams; /* HTTP/2 streams of one connection; 0: as the server's. What a client
                             asks beyond that waits with it (RFC 9113 §5.1.2) */
};

/* Zero means the default in brackets. Strings and arrays are copied, descriptors borrowed. */
struct cw_rpc_server_config {
    const struct cw_rpc_listener *listeners;
    size_t n_listeners;
    uint32_t max_message;     /* bytes of a received message [256 KiB]; above: RESOURCE_EXHAUSTED */
    uint32_t max_metadata;    /* bytes of request metadata [8 KiB] */
    uint32_t max_streams;     /* HTTP/2 streams of one connection [1000] */
    uint32_t max_connections; /* of one listener [1024], a quarter of them for callers that are not
                                 allowed; above: closed */
    uint32_t max_in_flight;   /* unary calls and streams of one listener [4096], of all listeners a
                                 third more, so that none is filled by the callers of another;
                                 above: RESOURCE_EXHAUSTED */
    size_t
        call_memory; /* bytes that one request may unpack into [1 MiB]; above: INVALID_ARGUMENT */
    uint32_t linger_ms;  /* milliseconds that clients get at a stop to read what ended their calls,
                            and to let them go [500] */
    size_t outbox_bytes; /* bytes of unsent messages per stream [1 MiB] */
    const struct cw_rpc_descriptor
        *descriptors;    /* for reflection, beside health's and reflection's own */
    uint32_t reflection; /* listeners that serve reflection; 0: none */
};

/* Who called. uid and pid are (uid_t)-1 and 0 over TCP. */
struct cw_rpc_peer {
    uid_t uid;
    gid_t gid;
    pid_t pid; /* as of connect: a hint for logs, never for decisions */
};

enum cw_rpc_kind {
    CW_RPC_UNARY,
    CW_RPC_SERVER_STREAM, /* one request message, many answers */
    CW_RPC_BIDI,          /* client streaming, too */
};

/* How a stream ended. */
enum cw_rpc_end {
    CW_RPC_END_FINISHED,     /* our status was taken */
    CW_RPC_END_CANCELLED,    /* by the client, or its deadline passed */
    CW_RPC_END_DISCONNECTED, /* the connection broke */
};

/* Callbacks of a stream; each may be NULL. They run on a poller, one at a time for a stream. */
struct cw_rpc_stream_ops {
    /* Before any message. May refuse by cw_rpc_stream_finish. */
    void (*on_open)(struct cw_rpc_stream *stream, void *ctx);
    /* One of the two, by whether the method has a request descriptor; it lives until the callback
     * returns. */
    void (*on_message)(struct cw_rpc_stream *stream, const ProtobufCMessage *message);
    void (*on_bytes)(struct cw_rpc_stream *stream, struct cw_str bytes);
    /* The client sends no more. NULL: the stream is finished with OK. Not called for
     * CW_RPC_SERVER_STREAM. */
    void (*on_half_close)(struct cw_rpc_stream *stream);
    /* The outbox was full and is half empty again. */
    void (*on_writable)(struct cw_rpc_stream *stream);
    /* The server stops; at least once unless it has ended before, on the stopping thread or a
     * poller. Answer what is owed, then finish. NULL: it is finished with CW_SHUTTING_DOWN. */
    void (*on_stop)(struct cw_rpc_stream *stream);
    /* The end, exactly once, also after a refusal in on_open; nothing is called afterwards. */
    void (*on_close)(struct cw_rpc_stream *stream, enum cw_rpc_end end);
    /* Above zero: messages that wait in the outbox leave as one message of up to so many bytes.
     * Only where concatenated messages mean the same as the two (protobuf merges: repeated fields
     * are appended). */
    size_t coalesce;
};

struct cw_rpc_method {
    const char *path; /* "/package.Service/Method"; borrowed: string literals */
    enum cw_rpc_kind kind;
    uint32_t listeners;                        /* bits of the listeners that offer it */
    const ProtobufCMessageDescriptor *request; /* NULL: raw bytes (cw_rpc_call_bytes, on_bytes) */
    /* Answers the call, now or later: see below. `request` is NULL without descriptor. */
    void (*unary)(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx);
    const struct cw_rpc_stream_ops *stream;
};

/* ---- servers: the main thread ---- */

CW_MUST_USE enum cw_err cw_rpc_server_new(struct cw_rpc_runtime *runtime,
                                          const struct cw_rpc_server_config *config,
                                          struct cw_rpc_server **ret_server);
/* Before start; several tables, each with its ctx. Tables are borrowed. */
CW_MUST_USE enum cw_err cw_rpc_server_add(struct cw_rpc_server *server,
                                          const struct cw_rpc_method *methods, size_t n, void *ctx);
/* Opens the listeners and serves. CW_CONFLICT: another process holds the lock or the port, CW_IO:
 * socket trouble; the sentence for the log is appended to `why` (may be NULL), and nothing stays
 * open. */
CW_MUST_USE enum cw_err cw_rpc_server_start(struct cw_rpc_server *server, struct cw_buf *why);
/* Health of one service ("package.Service"), or of all and of the server itself with NULL. Nothing
 * is SERVING before the first call; ignored after stop has begun. Any thread. */
void cw_rpc_server_set_serving(struct cw_rpc_server *server, const char *service, bool serving);
/* Health to NOT_SERVING, no new connections; streams are told (on_stop) and get up to a second for
 * their last words; then no new calls, and it waits until live calls and streams are gone. After
 * grace_ms those left are cancelled (their on_close comes). Deferred calls must still be answered
 * by their owners. Once; not on a poller. */
void cw_rpc_server_stop(struct cw_rpc_server *server, unsigned grace_ms);
/* After stop (or without a start). Waits for the last deferred call. NULL is fine. */
void cw_rpc_server_free(struct cw_rpc_server *server);
/* The TCP port of a listener, 0 if there is none. */
uint16_t cw_rpc_server_port(const struct cw_rpc_server *server, const char *listener);

/* Figures since start. */
struct cw_rpc_server_stats {
    uint64_t calls;       /* unary calls and streams begun */
    uint64_t refused;     /* PERMISSION_DENIED by uid or listener */
    uint64_t unknown;     /* UNIMPLEMENTED */
    uint64_t overloaded;  /* RESOURCE_EXHAUSTED by max_in_flight */
    uint64_t connections; /* accepted */
    uint64_t turned_away; /* closed because of max_connections */
    uint32_t in_flight;   /* now */
};
/* Any thread. */
void cw_rpc_server_stats(struct cw_rpc_server *server, struct cw_rpc_server_stats *ret_stats);

/* ---- unary calls ----
 * A handler owns its call until it has answered, exactly once, by one of reply, reply_bytes or
 * fail. It does so before it returns, or it calls cw_rpc_call_defer first and any thread answers
 * later. After the answer the call is gone. */

/* On the poller, in the handler, before the call is given to another thread. */
void cw_rpc_call_defer(struct cw_rpc_call *call);
/* Any thread (the one that owns the call now). The message is packed at once. */
void cw_rpc_reply(struct cw_rpc_call *call, const ProtobufCMessage *message);
/* The same for a message that is packed already; copied. */
void cw_rpc_reply_bytes(struct cw_rpc_call *call, struct cw_str bytes);
/* Ends the call with the error's gRPC status, its public text and, in the details,
 * google.rpc.ErrorInfo with its code. `detail` (may be NULL) replaces the public text and goes to
 * the client: say nothing there that it must not know. UNAVAILABLE and RESOURCE_EXHAUSTED carry
 * google.rpc.RetryInfo of one second. CW_OK is not for this function. */
void cw_rpc_fail(struct cw_rpc_call *call, enum cw_err err, const char *detail);
void cw_rpc_fail_retry(struct cw_rpc_call *call, enum cw_err err, const char *detail,
                       uint32_t retry_after_ms);

/* What a caller needs beside the reason: `metadata` of ErrorInfo. UTF-8. */
struct cw_rpc_fact {
    const char *key;
    const char *value;
};
/* At most 4 facts of 4 KiB in all; more are left out. */
void cw_rpc_fail_with(struct cw_rpc_call *call, enum cw_err err, const struct cw_rpc_fact *facts,
                      size_t n);

/* The request as it came, valid until the answer. */
struct cw_str cw_rpc_call_bytes(const struct cw_rpc_call *call);
/* The call's arena; its bound counts the unpacked request, too. */
struct cw_arena *cw_rpc_call_arena(struct cw_rpc_call *call);
/* Milliseconds until the client's deadline, 0 when it has passed, INT32_MAX without one. */
int64_t cw_rpc_call_remaining_ms(const struct cw_rpc_call *call);
/* True once the client is known to be gone: the work may be dropped, the answer is still owed. Only
 * moves after cw_rpc_call_defer. Any thread that owns the call. */
bool cw_rpc_call_cancelled(const struct cw_rpc_call *call);
struct cw_rpc_peer cw_rpc_call_peer(const struct cw_rpc_call *call);
/* The bit of the listener that it came through. */
uint32_t cw_rpc_call_listener(const struct cw_rpc_call *call);
/* First value of a metadata key (lower case); empty where absent. Valid until the answer. */
struct cw_str cw_rpc_call_metadata(const struct cw_rpc_call *call, const char *key);

/* ---- streams ----
 * The kit holds a stream until on_close has returned; a thread that keeps the pointer longer takes
 * a reference. */

enum cw_rpc_sent {
    CW_RPC_SENT,   /* taken: leaves now or after those before it */
    CW_RPC_FULL,   /* the outbox is full, nothing was taken; on_writable follows */
    CW_RPC_CLOSED, /* finished or broken, nothing was taken */
};

/* Copies. One message is in flight at a time, the rest wait in the outbox. While the outbox is more
 * than half full, no further message is read: HTTP/2 flow control then stops the client. Any thread
 * with a reference. */
enum cw_rpc_sent cw_rpc_stream_send(struct cw_rpc_stream *stream, struct cw_str bytes);
enum cw_rpc_sent cw_rpc_stream_send_message(struct cw_rpc_stream *stream,
                                            const ProtobufCMessage *message);
/* Drops what still waits in the outbox first: for snapshots, of which only the newest matters.
 * Never full. */
enum cw_rpc_sent cw_rpc_stream_send_latest(struct cw_rpc_stream *stream,
                                           const ProtobufCMessage *message);
/* Status after what is in the outbox; CW_OK ends it well. `detail` as for cw_rpc_fail. Later calls
 * do nothing. Any thread with a reference. */
void cw_rpc_stream_finish(struct cw_rpc_stream *stream, enum cw_err err, const char *detail);

struct cw_rpc_stream *cw_rpc_stream_ref(struct cw_rpc_stream *stream);
/* NULL is fine. Any thread. */
void cw_rpc_stream_unref(struct cw_rpc_stream *stream);

/* The owner's own pointer; NULL at first. Set on the poller. */
void cw_rpc_stream_set_data(struct cw_rpc_stream *stream, void *data);
void *cw_rpc_stream_data(const struct cw_rpc_stream *stream);
/* The ctx of the method's table. */
void *cw_rpc_stream_ctx(const struct cw_rpc_stream *stream);
struct cw_rpc_peer cw_rpc_stream_peer(const struct cw_rpc_stream *stream);
uint32_t cw_rpc_stream_listener(const struct cw_rpc_stream *stream);
/* As for calls; only in on_open. */
struct cw_str cw_rpc_stream_metadata(const struct cw_rpc_stream *stream, const char *key);

#endif
