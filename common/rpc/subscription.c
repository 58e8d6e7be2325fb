/* A streaming call that is begun again whenever it ends.
 *
 *   pause ──time is up──▶ call: on_start, messages … status ──all its events are in──▶ on_end ──▶
 * pause (or freed)
 *
 * `events` counts what the core still owes for the call that runs: head, read, send, status. The
 * core has no timers for its users; a pause is a watch on the channel's state with a deadline,
 * begun again when the state changes before the time is up. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/rpc/client_internal.h"
#include "common/rpc/message.h"
#include "common/rpc/outbox.h"
#include "common/rpc/tag.h"

enum {
    PAUSE_FIRST_MS = 100,
    PAUSE_MOST_MS = 5000,
    PAUSE_SLICE_MS = 100, /* how late a free may be noticed */
    OWNER_PAUSE_MS = 200, /* between looks at a guarded socket that is absent or a stranger's */
    MAX_WAITING = 64,
    MESSAGE_MEMORY = 256 << 20, /* that one message may unpack into */
};

struct cw_rpc_subscription {
    struct cw_rpc_runtime *runtime;
    struct cw_rpc_channel *channel;
    const struct cw_rpc_subscription_ops *ops;
    void *ctx;
    struct cw_rpc_tag pause_tag, head_tag, read_tag, sent_tag, status_tag;
    grpc_metadata_array head;
    grpc_byte_buffer *incoming;
    struct cw_rpc_ending ending;
    struct cw_arena arena;
    pthread_mutex_t callbacks;
    bool stranger; /* has been told of; only on the poller */

    pthread_mutex_t lock; /* for all below */
    pthread_cond_t idle;
    grpc_call *call; /* NULL between calls */
    unsigned events;
    struct cw_rpc_outbox outbox;
    bool head_sent, sending, half_closed, ended, freeing, gone;
    int64_t pause_ms;
    gpr_timespec pause_until;
};

struct outgoing {
    grpc_op ops[3];
    size_t n;
    grpc_byte_buffer *message;
};

/* ---- sending ---- */

/* Under the lock, as in stream.c. */
static bool outgoing_take(struct cw_rpc_subscription *s, struct outgoing *out)
{
    out->n = 0;
    out->message = NULL;
    if (!s->call || s->sending || s->ended || s->half_closed) {
        return false;
    }
    if (!s->head_sent) {
        s->head_sent = true;
        out->ops[out->n++] =
            (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA,
                      .flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY |
                               GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET};
    }
    out->message = cw_rpc_outbox_take(&s->outbox, 0);
    if (out->message) {
        out->ops[out->n] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE};
        out->ops[out->n++].data.send_message.send_message = out->message;
    }
    if (s->outbox.n == 0 && (s->freeing || (s->ops->server_stream && out->message))) {
        s->half_closed = true;
        out->ops[out->n++] = (grpc_op){.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    }
    if (out->n > 0) {
        s->sending = true;
        s->events++;
    }
    return out->n > 0;
}

static void outgoing_send(struct cw_rpc_subscription *s, struct outgoing *out)
{
    grpc_byte_buffer *message = out->message;
    cw_rpc_batch(s->call, out->ops, out->n, &s->sent_tag);
    if (message) {
        grpc_byte_buffer_destroy(message);
    }
}

enum cw_err cw_rpc_subscription_send(struct cw_rpc_subscription *s, const ProtobufCMessage *message)
{
    grpc_slice slice = cw_rpc_message_pack(message);
    struct outgoing out;
    bool send = false;
    enum cw_err err = CW_OK;
    pthread_mutex_lock(&s->lock);
    if (!s->call || s->ended || s->half_closed || s->freeing) {
        err = CW_UNAVAILABLE;
        grpc_slice_unref(slice);
    } else if (s->outbox.n >= MAX_WAITING) {
        err = CW_TOO_MANY_REQUESTS;
        grpc_slice_unref(slice);
    } else if (!cw_rpc_outbox_add(&s->outbox, slice)) {
        err = CW_NO_MEMORY;
    } else {
        send = outgoing_take(s, &out);
    }
    pthread_mutex_unlock(&s->lock);
    if (send) {
        outgoing_send(s, &out);
    }
    return err;
}

/* ---- pausing ---- */

static void pause_watch(struct cw_rpc_subscription *s)
{
    gpr_timespec slice = cw_rpc_deadline(PAUSE_SLICE_MS);
    grpc_connectivity_state state = grpc_channel_check_connectivity_state(s->channel->core, 0);
    CW_RPC_RELEASE(&s->pause_tag);
    grpc_channel_watch_connectivity_state(s->channel->core, state,
                                          gpr_time_min(slice, s->pause_until),
                                          cw_rpc_runtime_queue(s->runtime), &s->pause_tag);
}

static void pause_begin(struct cw_rpc_subscription *s, int64_t ms)
{
    s->pause_until = cw_rpc_deadline(ms);
    pause_watch(s);
}

/* Nothing of it is under way any more. */
static void gone(struct cw_rpc_subscription *s)
{
    pthread_mutex_lock(&s->lock);
    s->gone = true;
    pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

/* ---- the call ---- */

static void call_event_done(struct cw_rpc_subscription *s);

static void call_begin(struct cw_rpc_subscription *s)
{
    grpc_metadata_array_init(&s->head);
    cw_rpc_ending_init(&s->ending);
    grpc_slice path = grpc_slice_from_copied_string(s->ops->path);
    grpc_call *call = grpc_channel_create_call(s->channel->core, NULL, GRPC_PROPAGATE_DEFAULTS,
                                               cw_rpc_runtime_queue(s->runtime), path, NULL,
                                               gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_slice_unref(path);
    pthread_mutex_lock(&s->lock);
    s->call = call;
    s->events = 3; /* head, status, and this function */
    s->head_sent = s->sending = s->half_closed = s->ended = false;
    pthread_mutex_unlock(&s->lock);
    grpc_op op;
    cw_rpc_ending_op(&op, &s->ending);
    cw_rpc_batch(call, &op, 1, &s->status_tag);
    op = (grpc_op){.op = GRPC_OP_RECV_INITIAL_METADATA};
    op.data.recv_initial_metadata.recv_initial_metadata = &s->head;
    cw_rpc_batch(call, &op, 1, &s->head_tag);
    pthread_mutex_lock(&s->callbacks);
    s->ops->on_start(s, s->ctx);
    pthread_mutex_unlock(&s->callbacks);
    struct outgoing out;
    pthread_mutex_lock(&s->lock);
    bool send = outgoing_take(s, &out); /* the head at least */
    pthread_mutex_unlock(&s->lock);
    if (send) {
        outgoing_send(s, &out);
    }
    call_event_done(s);
}

static void call_end(struct cw_rpc_subscription *s)
{
    struct cw_rpc_answer how;
    cw_rpc_ending_read(&s->ending, &how);
    pthread_mutex_lock(&s->callbacks);
    if (s->ops->on_end) {
        s->ops->on_end(s, &how, s->ctx);
    }
    pthread_mutex_unlock(&s->callbacks);
    cw_rpc_answer_done(&how);
    cw_rpc_ending_done(&s->ending);
    grpc_metadata_array_destroy(&s->head);
    pthread_mutex_lock(&s->lock);
    grpc_call *call = s->call;
    s->call = NULL;
    cw_rpc_outbox_clear(&s->outbox);
    bool again = !s->freeing;
    int64_t pause = s->pause_ms;
    s->pause_ms = CW_MIN(s->pause_ms * 2, PAUSE_MOST_MS);
    pthread_mutex_unlock(&s->lock);
    grpc_call_unref(call);
    if (again) {
        pause_begin(s, pause);
    } else {
        gone(s);
    }
}

static void call_event_done(struct cw_rpc_subscription *s)
{
    pthread_mutex_lock(&s->lock);
    bool last = --s->events == 0;
    pthread_mutex_unlock(&s->lock);
    if (last) {
        call_end(s);
    }
}

static void read_next(struct cw_rpc_subscription *s)
{
    pthread_mutex_lock(&s->lock);
    s->events++;
    pthread_mutex_unlock(&s->lock);
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &s->incoming;
    cw_rpc_batch(s->call, &op, 1, &s->read_tag);
}

/* As the end of a call that was not made; once. */
static void stranger_tell(struct cw_rpc_subscription *s, bool stranger)
{
    struct cw_rpc_answer how = {
        .status = CW_GRPC_UNAVAILABLE, .err = CW_UNAVAILABLE, .message = CW_RPC_STRANGER_TEXT};
    bool tell = stranger && !s->stranger && s->ops->on_end;
    s->stranger = stranger;
    if (tell) {
        pthread_mutex_lock(&s->callbacks);
        s->ops->on_end(s, &how, s->ctx);
        pthread_mutex_unlock(&s->callbacks);
    }
}

static void on_pause(struct cw_rpc_tag *tag, bool ok)
{
    struct cw_rpc_subscription *s = CW_CONTAINER_OF(tag, struct cw_rpc_subscription, pause_tag);
    (void)ok; /* a change of state or the end of a slice: look at the clock */
    pthread_mutex_lock(&s->lock);
    bool freeing = s->freeing;
    pthread_mutex_unlock(&s->lock);
    enum cw_rpc_owner owner = cw_rpc_channel_owner(s->channel);
    if (freeing) {
        gone(s);
    } else if (gpr_time_cmp(gpr_now(GPR_CLOCK_MONOTONIC), s->pause_until) < 0) {
        pause_watch(s);
    } else if (owner == CW_RPC_OWNER_FINE) {
        s->stranger = false;
        call_begin(s);
    } else {
        stranger_tell(s, owner == CW_RPC_OWNER_STRANGER);
        pause_begin(s, OWNER_PAUSE_MS);
    }
}

static void on_head(struct cw_rpc_tag *tag, bool ok)
{
    struct cw_rpc_subscription *s = CW_CONTAINER_OF(tag, struct cw_rpc_subscription, head_tag);
    if (ok) {
        read_next(s);
    }
    call_event_done(s);
}

static void deliver(struct cw_rpc_subscription *s)
{
    grpc_slice hold;
    struct cw_str bytes;
    ProtobufCMessage *message = NULL;
    if (cw_rpc_message_bytes(s->incoming, &hold, &bytes)) {
        message = cw_rpc_message_unpack(s->ops->response, bytes, &s->arena);
        grpc_slice_unref(hold);
    }
    pthread_mutex_lock(&s->lock);
    s->pause_ms = message ? PAUSE_FIRST_MS : s->pause_ms;
    pthread_mutex_unlock(&s->lock);
    if (message) {
        pthread_mutex_lock(&s->callbacks);
        s->ops->on_message(s, message, s->ctx);
        pthread_mutex_unlock(&s->callbacks);
    } else {
        grpc_call_cancel_with_status(s->call, GRPC_STATUS_INTERNAL,
                                     "the server's message cannot be read", NULL);
    }
    cw_arena_reset(&s->arena);
}

static void on_read(struct cw_rpc_tag *tag, bool ok)
{
    struct cw_rpc_subscription *s = CW_CONTAINER_OF(tag, struct cw_rpc_subscription, read_tag);
    if (ok && s->incoming) {
        deliver(s);
        grpc_byte_buffer_destroy(s->incoming);
        s->incoming = NULL;
        read_next(s);
    }
    call_event_done(s);
}

static void on_sent(struct cw_rpc_tag *tag, bool ok)
{
    struct cw_rpc_subscription *s = CW_CONTAINER_OF(tag, struct cw_rpc_subscription, sent_tag);
    struct outgoing out;
    pthread_mutex_lock(&s->lock);
    s->sending = false;
    bool send = ok && outgoing_take(s, &out);
    pthread_mutex_unlock(&s->lock);
    if (send) {
        outgoing_send(s, &out);
    }
    call_event_done(s);
}

static void on_status(struct cw_rpc_tag *tag, bool ok)
{
    struct cw_rpc_subscription *s = CW_CONTAINER_OF(tag, struct cw_rpc_subscription, status_tag);
    (void)ok;
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    pthread_mutex_unlock(&s->lock);
    call_event_done(s);
}

/* ---- life ---- */

enum cw_err cw_rpc_subscription_new(struct cw_rpc_runtime *runtime, struct cw_rpc_channel *channel,
                                    const struct cw_rpc_subscription_ops *ops, void *ctx,
                                    struct cw_rpc_subscription **ret_subscription)
{
    struct cw_rpc_subscription *s = calloc(1, sizeof *s);
    ENSURE(s, CW_NO_MEMORY);
    s->runtime = runtime;
    s->channel = channel;
    s->ops = ops;
    s->ctx = ctx;
    s->pause_tag = CW_RPC_TAG(on_pause);
    s->head_tag = CW_RPC_TAG(on_head);
    s->read_tag = CW_RPC_TAG(on_read);
    s->sent_tag = CW_RPC_TAG(on_sent);
    s->status_tag = CW_RPC_TAG(on_status);
    s->arena.max = MESSAGE_MEMORY;
    s->pause_ms = PAUSE_FIRST_MS;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->callbacks, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret_subscription = s;
    pause_begin(s, 0); /* so that on_start, too, runs on a poller */
    return CW_OK;
}

void cw_rpc_subscription_restart(struct cw_rpc_subscription *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->call) {
        grpc_call_cancel(s->call, NULL);
    }
    pthread_mutex_unlock(&s->lock);
}

static bool wait_gone(struct cw_rpc_subscription *s, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int rc = 0;
    while (!s->gone && rc == 0) {
        rc = pthread_cond_timedwait(&s->idle, &s->lock, &until);
    }
    return s->gone;
}

void cw_rpc_subscription_free(struct cw_rpc_subscription *s, unsigned linger_ms)
{
    if (!s) {
        return;
    }
    struct outgoing out;
    pthread_mutex_lock(&s->lock);
    s->freeing = true;
    bool send = outgoing_take(s, &out);
    pthread_mutex_unlock(&s->lock);
    if (send) {
        outgoing_send(s, &out);
    }
    pthread_mutex_lock(&s->lock);
    for (unsigned ms = linger_ms; !wait_gone(s, ms); ms = PAUSE_SLICE_MS) {
        if (s->call) {
            grpc_call_cancel(s->call, NULL);
        }
    }
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->callbacks);
    pthread_cond_destroy(&s->idle);
    cw_rpc_outbox_done(&s->outbox);
    cw_arena_done(&s->arena);
    free(s);
}
