/* Unary calls: from the moment one arrives to the moment its answer has left.
 *
 *   armed ──arrives──▶ in the handler ──answers──────────────▶ answered ──sent──▶ spare
 *                            └──defer──▶ with another thread ──▲
 *
 * An answer that the handler gives at once is one batch and one event, RECV_CLOSE included. A
 * deferred call has RECV_CLOSE alone, early, so that its owner can see that the client is gone;
 * then two events end it. */
#include <stdlib.h>

#include "common/rpc/message.h"
#include "common/rpc/server_internal.h"
#include "common/rpc/status.h"

enum { MAX_SPARE = 256 };

struct cw_rpc_call {
    struct cw_rpc_arrival in;
    struct cw_rpc_tag closed, answered;
    struct cw_rpc_call *next; /* among the spare ones */
    struct cw_arena arena;
    grpc_slice request; /* keeps `bytes` */
    struct cw_str bytes;
    struct cw_rpc_status status;
    bool has_request, has_status, deferred;
    int closed_early; /* the core's result of RECV_CLOSE */
    atomic_bool cancelled;
    atomic_int events; /* that are still to come before the call can go */
    bool *settled;     /* tells the arrival that the handler has answered or deferred; NULL once
                          deferred */
};

static void call_arrived(struct cw_rpc_tag *tag, bool ok);
static void call_closed(struct cw_rpc_tag *tag, bool ok);
static void call_answered(struct cw_rpc_tag *tag, bool ok);

void cw_rpc_call_free(struct cw_rpc_call *call)
{
    cw_arena_done(&call->arena);
    free(call);
}

struct cw_rpc_call *cw_rpc_call_next(struct cw_rpc_call *call)
{
    return call->next;
}

static struct cw_rpc_call *call_take(struct cw_rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    struct cw_rpc_call *call = server->spare;
    if (call) {
        server->spare = call->next;
        server->n_spare--;
    }
    pthread_mutex_unlock(&server->lock);
    return call ? call : calloc(1, sizeof *call);
}

static void call_give_back(struct cw_rpc_server *server, struct cw_rpc_call *call)
{
    cw_arena_reset(&call->arena);
    pthread_mutex_lock(&server->lock);
    bool keep = server->n_spare < MAX_SPARE;
    if (keep) {
        call->next = server->spare;
        server->spare = call;
        server->n_spare++;
    }
    pthread_mutex_unlock(&server->lock);
    if (!keep) {
        cw_rpc_call_free(call);
    }
}

void cw_rpc_call_arm(const struct cw_rpc_offer *offer)
{
    struct cw_rpc_server *server = offer->listening->server;
    struct cw_rpc_call *call = call_take(server);
    if (!call) {
        return; /* fewer are armed until memory returns */
    }
    struct cw_arena arena = call->arena; /* with its warm block */
    arena.max = server->config.call_memory;
    *call = (struct cw_rpc_call){
        .in = {.tag = CW_RPC_TAG(call_arrived), .server = server, .offer = offer},
        .closed = CW_RPC_TAG(call_closed),
        .answered = CW_RPC_TAG(call_answered),
        .arena = arena,
        .events = 1,
    };
    cw_rpc_arrival_request(&call->in, true);
}

static void call_end(struct cw_rpc_call *call)
{
    if (atomic_fetch_sub(&call->events, 1) != 1) {
        return;
    }
    struct cw_rpc_server *server = call->in.server;
    struct cw_rpc_listening *place = call->in.place;
    grpc_metadata_array_destroy(&call->in.metadata);
    if (call->has_request) {
        grpc_slice_unref(call->request);
    }
    if (call->in.payload) {
        grpc_byte_buffer_destroy(call->in.payload);
    }
    if (call->has_status) {
        cw_rpc_status_done(&call->status);
    }
    grpc_call_unref(call->in.call);
    call_give_back(server, call);
    cw_rpc_server_leave(server, place);
}

static void call_closed(struct cw_rpc_tag *tag, bool ok)
{
    struct cw_rpc_call *call = CW_CONTAINER_OF(tag, struct cw_rpc_call, closed);
    if (!ok || call->closed_early) {
        atomic_store(&call->cancelled, true);
    }
    call_end(call);
}

static void call_answered(struct cw_rpc_tag *tag, bool ok)
{
    (void)ok; /* whether the client took it changes nothing here */
    call_end(CW_CONTAINER_OF(tag, struct cw_rpc_call, answered));
}

/* Gives the call to its handler. */
static void call_handle(struct cw_rpc_call *call)
{
    const struct cw_rpc_offer *offer = call->in.offer;
    if (!call->in.payload ||
        !cw_rpc_message_bytes(call->in.payload, &call->request, &call->bytes)) {
        cw_rpc_fail(call, CW_REQUEST_MALFORMED, "A unary call needs exactly one request message.");
        return;
    }
    call->has_request = true;
    ProtobufCMessage *request = NULL;
    if (offer->method->request) {
        request = cw_rpc_message_unpack(offer->method->request, call->bytes, &call->arena);
        if (!request) {
            cw_rpc_fail(call, CW_REQUEST_MALFORMED, NULL);
            return;
        }
    }
    bool settled = false;
    call->settled = &settled;
    offer->method->unary(call, request, offer->ctx);
    if (!settled) {
        cw_rpc_fail(call, CW_INTERNAL, NULL);
    }
}

static void call_arrived(struct cw_rpc_tag *tag, bool ok)
{
    struct cw_rpc_call *call = CW_CONTAINER_OF(tag, struct cw_rpc_call, in.tag);
    struct cw_rpc_server *server = call->in.server;
    if (!ok) { /* shutdown: never arm again, it would come back at once */
        grpc_metadata_array_destroy(&call->in.metadata);
        call_give_back(server, call);
        cw_rpc_arrival_unused(server);
    } else if (!cw_rpc_arrival_enter(&call->in)) {
        cw_rpc_fail(call, CW_TOO_MANY_REQUESTS, NULL);
    } else {
        call_handle(call);
    }
}

void cw_rpc_call_defer(struct cw_rpc_call *call)
{
    if (call->settled) {
        *call->settled = true;
        call->settled = NULL;
    }
    call->deferred = true;
    cw_rpc_runtime_deferred();
    atomic_store(&call->events, 2);
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &call->closed_early;
    cw_rpc_batch(call->in.call, &op, 1, &call->closed);
}

/* Sends `ops` filled from index 1 on, with initial metadata before and, unless deferred, RECV_CLOSE
 * behind. */
static void call_answer(struct cw_rpc_call *call, grpc_op *ops, size_t n)
{
    ops[0] = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    if (call->settled) {
        *call->settled = true;
    }
    if (!call->deferred) {
        ops[n] = (grpc_op){.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
        ops[n++].data.recv_close_on_server.cancelled = &call->closed_early;
    }
    cw_rpc_batch(call->in.call, ops, n, &call->answered);
}

static void call_reply(struct cw_rpc_call *call, grpc_slice slice)
{
    grpc_op ops[4];
    grpc_byte_buffer *buffer = cw_rpc_message_buffer(&slice, 1);
    ops[1] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE};
    ops[1].data.send_message.send_message = buffer;
    cw_rpc_status_op(&ops[2], CW_OK, NULL);
    call_answer(call, ops, 3);
    grpc_byte_buffer_destroy(buffer);
    grpc_slice_unref(slice);
}

void cw_rpc_reply(struct cw_rpc_call *call, const ProtobufCMessage *message)
{
    call_reply(call, cw_rpc_message_pack(message));
}

void cw_rpc_reply_bytes(struct cw_rpc_call *call, struct cw_str bytes)
{
    call_reply(call, grpc_slice_from_copied_buffer(bytes.p, bytes.n));
}

static void call_fail(struct cw_rpc_call *call, enum cw_err err, const char *detail,
                      uint32_t retry_after_ms, const struct cw_rpc_fact *facts, size_t n)
{
    grpc_op ops[3];
    err = err == CW_OK ? CW_INTERNAL : err;
    cw_rpc_status_init_with(&call->status, err, detail, retry_after_ms, facts, n);
    call->has_status = true;
    cw_rpc_status_op(&ops[1], err, &call->status);
    call_answer(call, ops, 2);
}

void cw_rpc_fail(struct cw_rpc_call *call, enum cw_err err, const char *detail)
{
    cw_rpc_fail_retry(call, err, detail, CW_RPC_RETRY_DEFAULT);
}

void cw_rpc_fail_retry(struct cw_rpc_call *call, enum cw_err err, const char *detail,
                       uint32_t retry_after_ms)
{
    call_fail(call, err, detail, retry_after_ms, NULL, 0);
}

void cw_rpc_fail_with(struct cw_rpc_call *call, enum cw_err err, const struct cw_rpc_fact *facts,
                      size_t n)
{
    call_fail(call, err, NULL, CW_RPC_RETRY_DEFAULT, facts, n);
}

struct cw_str cw_rpc_call_bytes(const struct cw_rpc_call *call)
{
    return call->bytes;
}

struct cw_arena *cw_rpc_call_arena(struct cw_rpc_call *call)
{
    return &call->arena;
}

int64_t cw_rpc_call_remaining_ms(const struct cw_rpc_call *call)
{
    return cw_rpc_arrival_remaining_ms(&call->in);
}

bool cw_rpc_call_cancelled(const struct cw_rpc_call *call)
{
    return atomic_load(&call->cancelled);
}

struct cw_rpc_peer cw_rpc_call_peer(const struct cw_rpc_call *call)
{
    return cw_rpc_peer_of_call(call->in.call);
}

uint32_t cw_rpc_call_listener(const struct cw_rpc_call *call)
{
    return call->in.offer->listening->config.bit;
}

struct cw_str cw_rpc_call_metadata(const struct cw_rpc_call *call, const char *key)
{
    return cw_rpc_arrival_metadata(&call->in, key);
}
