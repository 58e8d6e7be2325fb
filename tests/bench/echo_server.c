/* The echo prototype: the least sidecar that the gateway could ask. On the bare C core, one queue,
 * one thread; it answers every entry of ValidateStream, and Validate, with ALLOW and one identity,
 * without looking at the token. What the real sidecar costs beside it is what deciding costs.
 * Usage: echo_server SOCKET. Serves until its standard input ends. */
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/wire.h"

enum { ARMED = 8, ANSWER_MAX = 1 << 20 };

static grpc_completion_queue *queue;
static grpc_server *server;
static void *validate_method, *stream_method;
static uint8_t verdict[512], unary_answer[512];
static size_t verdict_n, unary_n;

struct event {
    void (*fire)(struct event *event, bool ok);
};

/* ---- the canned answers ---- */

static size_t identity_write(uint8_t *p)
{
    size_t n = 0;
    n += wire_bytes(p + n, 1, "clinicwave", 10);
    n += wire_bytes(p + n, 2, "user|anna", 9);
    n += wire_bytes(p + n, 3, "https://clinicwave.localhost:8443", 33);
    n += wire_bytes(p + n, 4, "portal", 6);
    n += wire_bytes(p + n, 5, "0123456789abcdef", 16);
    n += wire_bytes(p + n, 6, "openid", 6);
    n += wire_bytes(p + n, 6, "files:read", 10);
    n += wire_bytes(p + n, 7, "doctor", 6);
    n += wire_varint_field(p + n, 9, 4000000000);
    return n;
}

static void answers_make(void)
{
    uint8_t identity[256];
    size_t n = identity_write(identity);
    verdict_n = wire_varint_field(verdict, 1, 1);
    verdict_n += wire_bytes(verdict + verdict_n, 3, identity, n);
    verdict_n += wire_varint_field(verdict + verdict_n, 4, 1);
    unary_n = wire_varint_field(unary_answer, 1, 1);
    unary_n += wire_bytes(unary_answer + unary_n, 3, identity, n);
    unary_n += wire_varint_field(unary_answer + unary_n, 4, 1);
}

static grpc_byte_buffer *buffer_of(const void *p, size_t n)
{
    grpc_slice slice = grpc_slice_from_copied_buffer(p, n);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

/* One result for each entry of a ValidateStreamRequest. */
static size_t results_write(const uint8_t *request, size_t request_n, uint8_t *out)
{
    struct wire_reader batch = WIRE_READER(request, request + request_n), entry;
    size_t n = 0;
    while (wire_next(&batch)) {
        if (batch.field != 2) {
            continue;
        }
        uint64_t id = 0;
        entry = WIRE_READER(batch.value, batch.value + batch.value_n);
        while (wire_next(&entry)) {
            id = entry.field == 1 ? entry.number : id;
        }
        uint8_t head[16];
        size_t head_n = wire_varint_field(head, 1, id);
        if (n + verdict_n + 32 > ANSWER_MAX) {
            break;
        }
        n += wire_varint(out + n, 1 << 3 | 2);
        n += wire_varint(out + n, head_n + wire_bytes_size(verdict_n));
        memcpy(out + n, head, head_n);
        n += head_n;
        n += wire_bytes(out + n, 2, verdict, verdict_n);
    }
    return n;
}

/* ---- unary ---- */

struct unary {
    struct event event;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    int cancelled;
};

static void unary_arrived(struct event *event, bool ok);

static void unary_arm(void)
{
    struct unary *u = calloc(1, sizeof *u);
    u->event.fire = unary_arrived;
    grpc_metadata_array_init(&u->metadata);
    grpc_server_request_registered_call(server, validate_method, &u->call, &u->deadline,
                                        &u->metadata, &u->payload, queue, queue, u);
}

static void unary_free(struct unary *u)
{
    grpc_metadata_array_destroy(&u->metadata);
    if (u->payload) {
        grpc_byte_buffer_destroy(u->payload);
    }
    if (u->call) {
        grpc_call_unref(u->call);
    }
    free(u);
}

static void unary_sent(struct event *event, bool ok)
{
    (void)ok;
    unary_free((struct unary *)event);
}

static void unary_arrived(struct event *event, bool ok)
{
    struct unary *u = (struct unary *)event;
    if (!ok) {
        unary_free(u);
        return;
    }
    unary_arm();
    u->event.fire = unary_sent;
    grpc_byte_buffer *answer = buffer_of(unary_answer, unary_n);
    grpc_op ops[4] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = answer},
        {.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
        {.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &u->cancelled}};
    grpc_call_start_batch(u->call, ops, 4, u, NULL);
    grpc_byte_buffer_destroy(answer);
}

/* ---- stream: a message is read when the answer to the one before has been handed over ---- */

struct stream {
    struct event arrived, closed, read, sent;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    int cancelled;
    unsigned pending; /* events that are still to come */
    bool sending, reads_done;
    uint8_t *waiting; /* answers that were made while one was being sent */
    size_t waiting_n;
};

static void stream_arrived(struct event *event, bool ok);
static void stream_read(struct event *event, bool ok);

static void stream_arm(void)
{
    struct stream *s = calloc(1, sizeof *s);
    s->arrived.fire = stream_arrived;
    s->waiting = malloc(2 * ANSWER_MAX);
    grpc_metadata_array_init(&s->metadata);
    grpc_server_request_registered_call(server, stream_method, &s->call, &s->deadline, &s->metadata,
                                        NULL, queue, queue, &s->arrived);
}

static void stream_settle(struct stream *s)
{
    if (--s->pending == 0) {
        grpc_metadata_array_destroy(&s->metadata);
        if (s->call) {
            grpc_call_unref(s->call);
        }
        free(s->waiting);
        free(s);
    }
}

static void stream_begin(struct stream *s, struct event *event, grpc_op op)
{
    s->pending++;
    if (grpc_call_start_batch(s->call, &op, 1, event, NULL) != GRPC_CALL_OK) {
        s->pending--;
    }
}

static void stream_flush(struct stream *s)
{
    if (s->sending || (s->waiting_n == 0 && !s->reads_done)) {
        return;
    }
    s->sending = true;
    if (s->waiting_n == 0) {
        stream_begin(s, &s->sent, (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER});
        return;
    }
    grpc_byte_buffer *answer = buffer_of(s->waiting, s->waiting_n);
    s->waiting_n = 0;
    stream_begin(s, &s->sent,
                 (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = answer});
    grpc_byte_buffer_destroy(answer);
}

static void stream_read_next(struct stream *s)
{
    stream_begin(
        s, &s->read,
        (grpc_op){.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &s->payload});
}

static void stream_read(struct event *event, bool ok)
{
    struct stream *s = (struct stream *)((char *)event - offsetof(struct stream, read));
    if (ok && s->payload) {
        grpc_byte_buffer_reader reader;
        grpc_byte_buffer_reader_init(&reader, s->payload);
        grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
        grpc_byte_buffer_reader_destroy(&reader);
        grpc_byte_buffer_destroy(s->payload);
        s->payload = NULL;
        if (s->waiting_n < ANSWER_MAX) {
            s->waiting_n += results_write(GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice),
                                          s->waiting + s->waiting_n);
        }
        grpc_slice_unref(slice);
    } else {
        s->reads_done = true;
    }
    stream_flush(s); /* first: what reading grants the client then leaves with the answer */
    if (!s->reads_done) {
        stream_read_next(s);
    }
    stream_settle(s);
}

static void stream_sent(struct event *event, bool ok)
{
    struct stream *s = (struct stream *)((char *)event - offsetof(struct stream, sent));
    s->sending = !ok; /* a broken call sends no more */
    stream_flush(s);
    stream_settle(s);
}

static void stream_closed(struct event *event, bool ok)
{
    (void)ok;
    struct stream *s = (struct stream *)((char *)event - offsetof(struct stream, closed));
    s->sending = true;
    stream_settle(s);
}

static void stream_arrived(struct event *event, bool ok)
{
    struct stream *s = (struct stream *)event;
    s->pending = 1;
    if (ok) {
        stream_arm();
        s->closed.fire = stream_closed;
        s->read.fire = stream_read;
        s->sent.fire = stream_sent;
        s->sending = true;
        stream_begin(s, &s->closed,
                     (grpc_op){.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                               .data.recv_close_on_server.cancelled = &s->cancelled});
        stream_begin(s, &s->sent, (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA});
        stream_read_next(s);
    }
    stream_settle(s);
}

/* ---- everything else ---- */

struct stray {
    struct event event;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    int cancelled;
};

static void stray_arrived(struct event *event, bool ok);

static void stray_free(struct stray *s)
{
    grpc_call_details_destroy(&s->details);
    grpc_metadata_array_destroy(&s->metadata);
    if (s->call) {
        grpc_call_unref(s->call);
    }
    free(s);
}

static void stray_arm(void)
{
    struct stray *s = calloc(1, sizeof *s);
    s->event.fire = stray_arrived;
    grpc_call_details_init(&s->details);
    grpc_metadata_array_init(&s->metadata);
    grpc_server_request_call(server, &s->call, &s->details, &s->metadata, queue, queue, s);
}

static void stray_sent(struct event *event, bool ok)
{
    (void)ok;
    stray_free((struct stray *)event);
}

static void stray_arrived(struct event *event, bool ok)
{
    struct stray *s = (struct stray *)event;
    if (!ok) {
        stray_free(s);
        return;
    }
    stray_arm();
    s->event.fire = stray_sent;
    grpc_op ops[3] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
         .data.send_status_from_server.status = GRPC_STATUS_UNIMPLEMENTED},
        {.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &s->cancelled}};
    grpc_call_start_batch(s->call, ops, 3, s, NULL);
}

/* ---- life ---- */

static void *poll_loop(void *arg)
{
    for (;;) {
        grpc_event e = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (e.type == GRPC_QUEUE_SHUTDOWN) {
            return arg;
        }
        struct event *event = e.tag;
        event->fire(event, e.success != 0);
    }
}

static void shut(struct event *event, bool ok)
{
    (void)event;
    (void)ok;
    grpc_server_destroy(server);
    grpc_completion_queue_shutdown(queue);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: echo_server SOCKET\n", stderr);
        return 64;
    }
    answers_make();
    grpc_init();
    char bdp_probe[] = GRPC_ARG_HTTP2_BDP_PROBE, channelz[] = GRPC_ARG_ENABLE_CHANNELZ;
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER, .key = bdp_probe, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = channelz, .value.integer = 0},
    };
    grpc_channel_args list = {.num_args = 2, .args = args};
    queue = grpc_completion_queue_create_for_next(NULL);
    server = grpc_server_create(&list, NULL);
    grpc_server_register_completion_queue(server, queue, NULL);
    validate_method =
        grpc_server_register_method(server, "/clinicwave.token.v1.TokenService/Validate", NULL,
                                    GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    stream_method = grpc_server_register_method(
        server, "/clinicwave.token.v1.TokenService/ValidateStream", NULL, GRPC_SRM_PAYLOAD_NONE, 0);
    char target[128];
    snprintf(target, sizeof target, "unix:%s", argv[1]);
    grpc_server_credentials *insecure = grpc_insecure_server_credentials_create();
    if (!grpc_server_add_http2_port(server, target, insecure)) {
        return 1;
    }
    grpc_server_credentials_release(insecure);
    grpc_server_start(server);
    for (int i = 0; i < ARMED; i++) {
        unary_arm();
        stream_arm();
    }
    stray_arm();
    pthread_t poller;
    pthread_create(&poller, NULL, poll_loop, NULL);
    puts("ready");
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    struct event stop = {.fire = shut};
    grpc_server_shutdown_and_notify(server, queue, &stop);
    grpc_server_cancel_all_calls(server);
    pthread_join(poller, NULL);
    grpc_completion_queue_destroy(queue);
    grpc_shutdown();
    return 0;
}
