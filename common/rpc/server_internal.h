/* What the files of the server share. */
#ifndef CW_RPC_SERVER_INTERNAL_H
#define CW_RPC_SERVER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/rpc/accept.h"
#include "common/rpc/server.h"
#include "common/rpc/socket.h"
#include "common/rpc/tag.h"

/* One listener with its own core server: privilege is decided when a connection arrives, by which
 * server gets it. */
struct cw_rpc_listening {
    struct cw_rpc_server *server;
    struct cw_rpc_listener config; /* name, path, address and uids are copies */
    struct cw_rpc_socket socket;
    grpc_server *core;
    struct cw_rpc_tag shut;
    unsigned placed; /* under the server's lock: of its `placed`, those that came in here */
};

/* A method on a listener. */
struct cw_rpc_offer {
    const struct cw_rpc_method *method;
    void *ctx;
    struct cw_rpc_listening *listening;
    void *handle; /* the core's */
};

struct cw_rpc_table {
    const struct cw_rpc_method *methods;
    size_t n;
    void *ctx;
};

enum { CW_RPC_MAX_TABLES = 16, CW_RPC_ARMED = 8 };

struct cw_rpc_server {
    struct cw_rpc_runtime *runtime;
    struct cw_rpc_server_config config; /* its strings are in listening[] */
    struct cw_rpc_listening *listening;
    size_t n_listening;
    struct cw_rpc_table tables[CW_RPC_MAX_TABLES];
    size_t n_tables;
    struct cw_rpc_offer *offers;
    size_t n_offers;
    grpc_server *refusing; /* gets the connections of callers that are not allowed */
    struct cw_rpc_tag refusing_shut;
    struct cw_rpc_accept *accept;
    struct cw_rpc_health *health;
    struct cw_rpc_reflection *reflection;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    unsigned armed;   /* requests that wait in the core */
    unsigned live;    /* calls and streams whose core call is held */
    unsigned placed;  /* of these, those that were let in: what max_in_flight bounds */
    unsigned closing; /* core servers whose shutdown is under way */
    bool started, stopping;
    struct cw_rpc_stream *streams;
    struct cw_rpc_call *spare; /* call objects for the next calls */
    unsigned n_spare;

    atomic_uint_fast64_t calls, refused, unknown, overloaded, connections, turned_away;
};

/* What the core fills when a call arrives; first member of calls and streams. */
struct cw_rpc_arrival {
    struct cw_rpc_tag tag;
    struct cw_rpc_server *server;
    const struct cw_rpc_offer *offer;
    struct cw_rpc_listening *place; /* where it is counted as placed; NULL: it was turned away */
    grpc_call *call;
    gpr_timespec deadline; /* GPR_CLOCK_MONOTONIC */
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload; /* unary only */
};

/* server.c */
void cw_rpc_listeners_close(struct cw_rpc_server *server);
void cw_rpc_server_arm(const struct cw_rpc_offer *offer);
/* Asks the core for the next call of the offer. */
void cw_rpc_arrival_request(struct cw_rpc_arrival *arrival, bool with_payload);
/* Counts the arrived call, sets its place and arms the next. False: too many are in flight; it is
 * live all the same, but takes no place. */
bool cw_rpc_arrival_enter(struct cw_rpc_arrival *arrival);
/* The armed request came back without a call. */
void cw_rpc_arrival_unused(struct cw_rpc_server *server);
/* The core's call has been let go, and with it its place (NULL: it had none). The server may be
 * gone afterwards. */
void cw_rpc_server_leave(struct cw_rpc_server *server, struct cw_rpc_listening *place);
int64_t cw_rpc_arrival_remaining_ms(const struct cw_rpc_arrival *arrival);
struct cw_str cw_rpc_arrival_metadata(const struct cw_rpc_arrival *arrival, const char *key);

/* peer.c: the core names a connection that was added by descriptor "fd:N". A call holds its stream,
 * that the transport, and that the descriptor, which a broken connection shuts down but does not
 * close: so N is no other connection's while the call is held (peer_test). */
struct cw_rpc_peer cw_rpc_peer_of_fd(int fd);
struct cw_rpc_peer cw_rpc_peer_of_call(grpc_call *call);
/* False once the other side has hung up. */
bool cw_rpc_peer_connected(grpc_call *call);

/* call.c, stream.c */
void cw_rpc_call_arm(const struct cw_rpc_offer *offer);
void cw_rpc_call_free(struct cw_rpc_call *call);
struct cw_rpc_call *cw_rpc_call_next(struct cw_rpc_call *call);
void cw_rpc_stream_arm(const struct cw_rpc_offer *offer);
void cw_rpc_streams_stop(struct cw_rpc_server *server);

/* stray.c: calls that no offer takes, and those of refused callers (listening NULL). */
void cw_rpc_stray_arm(struct cw_rpc_server *server, struct cw_rpc_listening *listening);

/* health.c, reflection.c */
enum cw_err cw_rpc_health_new(struct cw_rpc_server *server, struct cw_rpc_health **ret_health);
void cw_rpc_health_free(struct cw_rpc_health *health);
void cw_rpc_health_set(struct cw_rpc_health *health, const char *service, bool serving);
/* All NOT_SERVING from now on, whatever is set later. */
void cw_rpc_health_stop(struct cw_rpc_health *health);
enum cw_err cw_rpc_reflection_new(struct cw_rpc_server *server,
                                  struct cw_rpc_reflection **ret_reflection);
void cw_rpc_reflection_free(struct cw_rpc_reflection *reflection);

/* "package.Service" of "/package.Service/Method". */
struct cw_str cw_rpc_service_of(const struct cw_rpc_method *method);

#endif
