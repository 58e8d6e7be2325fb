/* Streaming calls of the server: one read and one write under way at a time, whatever the threads
 * do.
 *
 * Receiving belongs to the poller: READ is begun by it alone, and its callbacks run under
 * `callbacks`. Sending belongs to whoever sets `sending`: that thread begins the batch after it has
 * let the lock go, and the batch's event passes the right on. So the two halves never begin a batch
 * of the same kind at once, which is all that the core asks for.
 *
 *   outbox: add ──▶ [ … waiting … ] ──take──▶ in flight (sending) ──sent──▶ take again, or the
 * status, or rest
 *
 * `holds` counts what still needs the core's call: 1 until on_close has returned, 1 while sending,
 * 1 while a stream that lost a message is cancelled.
 */
#include <stdlib.h>
#include <string.h>

#include "common/rpc/message.h"
#include "common/rpc/outbox.h"
#include "common/rpc/server_internal.h"
#include "common/rpc/status.h"

struct cw_rpc_stream {
    struct cw_rpc_arrival in;
    struct cw_rpc_tag closed_tag, read_tag, sent_tag;
    struct cw_rpc_stream *next, **link; /* among the server's, under its lock */
    atomic_int refs;
    void *data;
    struct cw_arena arena; /* of the message being delivered */
    grpc_byte_buffer *incoming;
    int cancelled; /* the core's result of RECV_CLOSE */
    bool quiet;    /* refused before on_open: no callbacks */

    pthread_mutex_t callbacks; /* one at a time; recursive */
    bool over;                 /* on_close has been called */

    pthread_mutex_t lock; /* for all below */
    struct cw_rpc_outbox outbox;
    size_t bound; /* of the outbox, in bytes */
    unsigned holds;
    bool head_sent, sending, finishing, status_sent, closed, broken;
    bool reading, reads_done, paused, full;
    enum cw_err end;
    struct cw_rpc_status status; /* where end != CW_OK */
};

struct outgoing {
    grpc_op ops[2];
    size_t n;
    grpc_byte_buffer *message;
};

static void stream_arrived(struct cw_rpc_tag *tag, bool ok);
static void stream_closed(struct cw_rpc_tag *tag, bool ok);
static void stream_read(struct cw_rpc_tag *tag, bool ok);
static void stream_sent(struct cw_rpc_tag *tag, bool ok);

static const struct cw_rpc_stream_ops *ops_of(const struct cw_rpc_stream *stream)
{
    return stream->in.offer->method->stream;
}

struct cw_rpc_stream *cw_rpc_stream_ref(struct cw_rpc_stream *stream)
{
    atomic_fetch_add(&stream->refs, 1);
    return stream;
}

void cw_rpc_stream_unref(struct cw_rpc_stream *stream)
{
    if (!stream || atomic_fetch_sub(&stream->refs, 1) != 1) {
        return;
    }
    cw_rpc_outbox_done(&stream->outbox);
    cw_arena_done(&stream->arena);
    grpc_metadata_array_destroy(&stream->in.metadata);
    if (stream->finishing && stream->end != CW_OK) {
        cw_rpc_status_done(&stream->status);
    }
    pthread_mutex_destroy(&stream->lock);
    pthread_mutex_destroy(&stream->callbacks);
    free(stream);
}

void cw_rpc_stream_arm(const struct cw_rpc_offer *offer)
{
    struct cw_rpc_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        return; /* fewer are armed until memory returns */
    }
    struct cw_rpc_server *server = offer->listening->server;
    stream->in = (struct cw_rpc_arrival){
        .tag = CW_RPC_TAG(stream_arrived), .server = server, .offer = offer};
    stream->closed_tag = CW_RPC_TAG(stream_closed);
    stream->read_tag = CW_RPC_TAG(stream_read);
    stream->sent_tag = CW_RPC_TAG(stream_sent);
    stream->refs = 1;
    stream->holds = 1;
    stream->bound = server->config.outbox_bytes;
    stream->arena.max = server->config.call_memory;
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&stream->callbacks, &recursive);
    pthread_mutexattr_destroy(&recursive);
    pthread_mutex_init(&stream->lock, NULL);
    cw_rpc_arrival_request(&stream->in, false);
}

/* ---- sending ---- */

/* Under the lock: what can be sent now, and the right to send it. False: nothing, or somebody else
 * is sending. */
static bool outgoing_take(struct cw_rpc_stream *stream, struct outgoing *out)
{
    out->n = 0;
    out->message = NULL;
    if (stream->sending || stream->closed || stream->status_sent) {
        return false;
    }
    if (!stream->head_sent) {
        stream->head_sent = true;
        out->ops[out->n++] = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    }
    out->message = cw_rpc_outbox_take(&stream->outbox, ops_of(stream)->coalesce);
    if (out->message) {
        out->ops[out->n] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE};
        out->ops[out->n++].data.send_message.send_message = out->message;
    } else if (stream->finishing) {
        stream->status_sent = true;
        cw_rpc_status_op(&out->ops[out->n++], stream->end, &stream->status);
    }
    if (out->n > 0) {
        stream->sending = true;
        stream->holds++;
    }
    return out->n > 0;
}

/* Without the lock, by whom outgoing_take gave the right. */
static void outgoing_send(struct cw_rpc_stream *stream, struct outgoing *out)
{
    grpc_byte_buffer *message = out->message;
    cw_rpc_batch(stream->in.call, out->ops, out->n, &stream->sent_tag);
    if (message) {
        grpc_byte_buffer_destroy(message); /* the batch has its own references */
    }
}

static void stream_flush(struct cw_rpc_stream *stream)
{
    struct outgoing out;
    pthread_mutex_lock(&stream->lock);
    bool send = outgoing_take(stream, &out);
    pthread_mutex_unlock(&stream->lock);
    if (send) {
        outgoing_send(stream, &out);
    }
}

static void stream_settle(struct cw_rpc_stream *stream);

static enum cw_rpc_sent stream_send(struct cw_rpc_stream *stream, grpc_slice slice, bool latest)
{
    pthread_mutex_lock(&stream->lock);
    enum cw_rpc_sent result = CW_RPC_SENT;
    bool lost = false;
    if (latest) {
        cw_rpc_outbox_clear(&stream->outbox);
    }
    if (stream->closed || stream->broken || stream->finishing) {
        result = CW_RPC_CLOSED;
        grpc_slice_unref(slice);
    } else if (stream->outbox.n > 0 &&
               stream->outbox.bytes + GRPC_SLICE_LENGTH(slice) > stream->bound) {
        stream->full = true;
        result = CW_RPC_FULL;
        grpc_slice_unref(slice);
    } else if (!cw_rpc_outbox_add(&stream->outbox, slice)) {
        /* One message less is another story: who hears the rest of it must hear that it ended. */
        result = CW_RPC_CLOSED;
        lost = stream->broken = true;
        stream->holds++;
    }
    struct outgoing out;
    bool send = result == CW_RPC_SENT && outgoing_take(stream, &out);
    pthread_mutex_unlock(&stream->lock);
    if (send) {
        outgoing_send(stream, &out);
    }
    if (lost) {
        grpc_call_cancel_with_status(stream->in.call, GRPC_STATUS_RESOURCE_EXHAUSTED,
                                     "out of memory", NULL);
        stream_settle(stream);
    }
    return result;
}

enum cw_rpc_sent cw_rpc_stream_send(struct cw_rpc_stream *stream, struct cw_str bytes)
{
    return stream_send(stream, grpc_slice_from_copied_buffer(bytes.p, bytes.n), false);
}

enum cw_rpc_sent cw_rpc_stream_send_message(struct cw_rpc_stream *stream,
                                            const ProtobufCMessage *message)
{
    return stream_send(stream, cw_rpc_message_pack(message), false);
}

enum cw_rpc_sent cw_rpc_stream_send_latest(struct cw_rpc_stream *stream,
                                           const ProtobufCMessage *message)
{
    return stream_send(stream, cw_rpc_message_pack(message), true);
}

void cw_rpc_stream_finish(struct cw_rpc_stream *stream, enum cw_err err, const char *detail)
{
    struct outgoing out;
    pthread_mutex_lock(&stream->lock);
    bool send = false;
    if (!stream->finishing) {
        if (err != CW_OK) {
            cw_rpc_status_init(&stream->status, err, detail, CW_RPC_RETRY_DEFAULT);
        }
        stream->end = err;
        stream->finishing = true;
        send = outgoing_take(stream, &out);
    }
    pthread_mutex_unlock(&stream->lock);
    if (send) {
        outgoing_send(stream, &out);
    }
}

/* ---- receiving and ending: pollers ---- */

/* Lets the core's call go when nobody needs it any more. */
static void stream_settle(struct cw_rpc_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    bool last = --stream->holds == 0;
    pthread_mutex_unlock(&stream->lock);
    if (last) {
        struct cw_rpc_server *server = stream->in.server;
        struct cw_rpc_listening *place = stream->in.place;
        grpc_call_unref(stream->in.call);
        cw_rpc_stream_unref(stream);
        cw_rpc_server_leave(server, place);
    }
}

static size_t low_water(const struct cw_rpc_stream *stream)
{
    return stream->bound / 2;
}

static void read_next(struct cw_rpc_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    bool may = !stream->reading && !stream->reads_done && !stream->closed && !stream->finishing;
    stream->paused = may && stream->outbox.bytes > low_water(stream);
    bool read = may && !stream->paused;
    stream->reading = stream->reading || read;
    pthread_mutex_unlock(&stream->lock);
    if (read) {
        grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
        op.data.recv_message.recv_message = &stream->incoming;
        cw_rpc_batch(stream->in.call, &op, 1, &stream->read_tag);
    }
}

static enum cw_rpc_end end_of(const struct cw_rpc_stream *stream)
{
    if (!stream->cancelled) {
        return CW_RPC_END_FINISHED;
    }
    return cw_rpc_peer_connected(stream->in.call) ? CW_RPC_END_CANCELLED : CW_RPC_END_DISCONNECTED;
}

/* on_close, once nothing can be delivered any more. */
static void stream_over(struct cw_rpc_stream *stream)
{
    pthread_mutex_lock(&stream->callbacks);
    pthread_mutex_lock(&stream->lock);
    bool over = stream->closed && !stream->reading && !stream->over;
    stream->over = stream->over || over;
    pthread_mutex_unlock(&stream->lock);
    if (over && !stream->quiet && ops_of(stream)->on_close) {
        ops_of(stream)->on_close(stream, end_of(stream));
    }
    pthread_mutex_unlock(&stream->callbacks);
    if (over) {
        struct cw_rpc_server *server = stream->in.server;
        pthread_mutex_lock(&server->lock);
        *stream->link = stream->next;
        if (stream->next) {
            stream->next->link = stream->link;
        }
        if (!server->streams) {
            pthread_cond_broadcast(&server->changed);
        }
        pthread_mutex_unlock(&server->lock);
        stream_settle(stream);
    }
}

static void stream_closed(struct cw_rpc_tag *tag, bool ok)
{
    struct cw_rpc_stream *stream = CW_CONTAINER_OF(tag, struct cw_rpc_stream, closed_tag);
    (void)ok;
    pthread_mutex_lock(&stream->lock);
    stream->closed = true;
    cw_rpc_outbox_clear(&stream->outbox);
    pthread_mutex_unlock(&stream->lock);
    stream_over(stream);
}

static void deliver(struct cw_rpc_stream *stream, grpc_byte_buffer *buffer)
{
    const struct cw_rpc_method *method = stream->in.offer->method;
    grpc_slice hold;
    struct cw_str bytes;
    if (!cw_rpc_message_bytes(buffer, &hold, &bytes)) {
        cw_rpc_stream_finish(stream, CW_REQUEST_MALFORMED, NULL);
        return;
    }
    if (!method->request) {
        if (method->stream->on_bytes) {
            method->stream->on_bytes(stream, bytes);
        }
    } else {
        ProtobufCMessage *message = cw_rpc_message_unpack(method->request, bytes, &stream->arena);
        if (!message) {
            cw_rpc_stream_finish(stream, CW_REQUEST_MALFORMED, NULL);
        } else if (method->stream->on_message) {
            method->stream->on_message(stream, message);
        }
        cw_arena_reset(&stream->arena);
    }
    grpc_slice_unref(hold);
}

static void half_closed(struct cw_rpc_stream *stream)
{
    if (stream->in.offer->method->kind == CW_RPC_SERVER_STREAM) {
        cw_rpc_stream_finish(stream, CW_REQUEST_MALFORMED, "This call needs one request message.");
    } else if (!cw_rpc_peer_connected(stream->in.call)) {
        return; /* the end of a broken connection looks the same; RECV_CLOSE says the rest */
    } else if (ops_of(stream)->on_half_close) {
        ops_of(stream)->on_half_close(stream);
    } else {
        cw_rpc_stream_finish(stream, CW_OK, NULL);
    }
}

static void stream_read(struct cw_rpc_tag *tag, bool ok)
{
    struct cw_rpc_stream *stream = CW_CONTAINER_OF(tag, struct cw_rpc_stream, read_tag);
    grpc_byte_buffer *buffer = stream->incoming;
    stream->incoming = NULL;
    pthread_mutex_lock(&stream->callbacks);
    pthread_mutex_lock(&stream->lock);
    bool listens = !stream->finishing && !stream->closed;
    stream->reads_done = stream->reads_done || !ok || !buffer ||
                         stream->in.offer->method->kind == CW_RPC_SERVER_STREAM;
    pthread_mutex_unlock(&stream->lock);
    if (ok && listens && buffer) {
        deliver(stream, buffer);
    } else if (ok && listens) {
        half_closed(stream);
    }
    pthread_mutex_unlock(&stream->callbacks);
    if (buffer) {
        grpc_byte_buffer_destroy(buffer);
    }
    pthread_mutex_lock(&stream->lock);
    stream->reading = false;
    bool closed = stream->closed;
    pthread_mutex_unlock(&stream->lock);
    if (closed) {
        stream_over(stream);
    } else {
        read_next(stream);
    }
}

static void stream_sent(struct cw_rpc_tag *tag, bool ok)
{
    struct cw_rpc_stream *stream = CW_CONTAINER_OF(tag, struct cw_rpc_stream, sent_tag);
    struct outgoing out;
    pthread_mutex_lock(&stream->lock);
    stream->sending = false;
    if (!ok) { /* the call is broken; RECV_CLOSE is on its way */
        stream->broken = true;
        cw_rpc_outbox_clear(&stream->outbox);
    }
    bool send = ok && outgoing_take(stream, &out);
    bool low = stream->outbox.bytes <= low_water(stream);
    bool writable = low && stream->full && !stream->closed && !stream->finishing;
    bool resume = low && stream->paused;
    stream->full = stream->full && !low;
    pthread_mutex_unlock(&stream->lock);
    if (send) {
        outgoing_send(stream, &out);
    }
    if (writable && ops_of(stream)->on_writable) {
        pthread_mutex_lock(&stream->callbacks);
        if (!stream->over) {
            ops_of(stream)->on_writable(stream);
        }
        pthread_mutex_unlock(&stream->callbacks);
    }
    if (resume) {
        read_next(stream);
    }
    stream_settle(stream);
}

/* Not after on_close, which takes away what on_stop would look at. */
static void stream_tell_stop(struct cw_rpc_stream *stream)
{
    pthread_mutex_lock(&stream->callbacks);
    if (stream->over || stream->quiet || !ops_of(stream)->on_stop) {
        cw_rpc_stream_finish(stream, CW_SHUTTING_DOWN, NULL);
    } else {
        ops_of(stream)->on_stop(stream);
    }
    pthread_mutex_unlock(&stream->callbacks);
}

/* True: the server stops, and whoever tells the listed streams so may have missed this one. */
static bool stream_list(struct cw_rpc_stream *stream)
{
    struct cw_rpc_server *server = stream->in.server;
    pthread_mutex_lock(&server->lock);
    stream->next = server->streams;
    stream->link = &server->streams;
    if (stream->next) {
        stream->next->link = &stream->next;
    }
    server->streams = stream;
    bool stopping = server->stopping;
    pthread_mutex_unlock(&server->lock);
    return stopping;
}

static void stream_begin(struct cw_rpc_stream *stream, bool welcome)
{
    stream->quiet = !welcome;
    pthread_mutex_lock(&stream->callbacks);
    if (!welcome) {
        cw_rpc_stream_finish(stream, CW_TOO_MANY_REQUESTS, NULL);
    } else if (ops_of(stream)->on_open) {
        ops_of(stream)->on_open(stream, stream->in.offer->ctx);
    }
    pthread_mutex_unlock(&stream->callbacks);
    if (stream_list(stream)) {
        stream_tell_stop(stream);
    }
    stream_flush(stream); /* the client may wait for initial metadata */
    cw_rpc_stream_ref(stream);
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &stream->cancelled;
    cw_rpc_batch(stream->in.call, &op, 1, &stream->closed_tag);
    read_next(stream);
    cw_rpc_stream_unref(stream);
}

static void stream_arrived(struct cw_rpc_tag *tag, bool ok)
{
    struct cw_rpc_stream *stream = CW_CONTAINER_OF(tag, struct cw_rpc_stream, in.tag);
    if (!ok) {
        struct cw_rpc_server *server = stream->in.server;
        cw_rpc_stream_unref(stream);
        cw_rpc_arrival_unused(server);
    } else {
        stream_begin(stream, cw_rpc_arrival_enter(&stream->in));
    }
}

/* Tells every stream that the server stops. */
void cw_rpc_streams_stop(struct cw_rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    size_t n = 0, cap = 0;
    for (struct cw_rpc_stream *s = server->streams; s; s = s->next) {
        cap++;
    }
    struct cw_rpc_stream **all = calloc(cap ? cap : 1, sizeof(*all));
    for (struct cw_rpc_stream *s = server->streams; all && s; s = s->next) {
        all[n++] = cw_rpc_stream_ref(s);
    }
    pthread_mutex_unlock(&server->lock);
    for (size_t i = 0; i < n; i++) {
        stream_tell_stop(all[i]);
        cw_rpc_stream_unref(all[i]);
    }
    free(all);
}

/* ---- what the owner asks ---- */

void cw_rpc_stream_set_data(struct cw_rpc_stream *stream, void *data)
{
    stream->data = data;
}

void *cw_rpc_stream_data(const struct cw_rpc_stream *stream)
{
    return stream->data;
}

void *cw_rpc_stream_ctx(const struct cw_rpc_stream *stream)
{
    return stream->in.offer->ctx;
}

struct cw_rpc_peer cw_rpc_stream_peer(const struct cw_rpc_stream *stream)
{
    return cw_rpc_peer_of_call(stream->in.call);
}

uint32_t cw_rpc_stream_listener(const struct cw_rpc_stream *stream)
{
    return stream->in.offer->listening->config.bit;
}

struct cw_str cw_rpc_stream_metadata(const struct cw_rpc_stream *stream, const char *key)
{
    return cw_rpc_arrival_metadata(&stream->in, key);
}
