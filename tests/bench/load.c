/* A client of TokenService that asks as fast as it can, on the bare C core, and says what that cost
 * the server.
 *
 *   load unary SOCKET TOKENS DOMAIN OUTSTANDING MILLISECONDS PID
 *     Validate with the first token
 *   load flood SOCKET TOKENS DOMAIN OUTSTANDING MILLISECONDS PID
 *     Validate with all tokens in turn, whatever comes back
 *   load batch SOCKET TOKENS DOMAIN ENTRIES IN_FLIGHT MILLISECONDS PID
 *     ValidateStream, all tokens warmed up, then by digest
 *   load once  SOCKET TOKENS DOMAIN PID
 *     every token of the file once, by ValidateStream
 *   load storm SOCKET TOKENS DOMAIN OUTSTANDING MILLISECONDS PID
 *     the same by ValidateStream, as a gateway's worker asks
 *   load paced SOCKET TOKENS DOMAIN PER_SECOND SLICE_MS SETTLE_MS PAIRS FLOOD_PID PID
 *     ValidateStream, one token at a time, all in turn, at a fixed rate: slices.h says what it
 *     prints. Every verdict must be ALLOW
 *
 * The others print: verdicts, of them ALLOW, seconds, CPU nanoseconds of the process PID (the
 * server) meanwhile. */
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/slices.h"
#include "tests/bench/wire.h"

enum {
    MESSAGE_MAX = 120 << 10,
    TOKEN_MAX = 16 << 10,
    ONCE_ENTRIES = 32,
    ONCE_WAITING = 96, /* entries that the server may hold at once: below the bound of its queue */
    MAX_OUTSTANDING = 1024,
    STORM_ENTRIES = 8,
};

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "load: %s\n", #cond);                                                  \
            exit(2);                                                                               \
        }                                                                                          \
    } while (0)

struct token {
    char *p;
    size_t n;
    uint8_t digest[SHA256_DIGEST_LENGTH];
};

static struct token *tokens;
static size_t n_tokens;
static const char *domain;
static grpc_completion_queue *queue;
static grpc_channel *channel;
static uint64_t verdicts, allowed, next_id;

/* ---- clocks ---- */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    MUST(clock_gettime(clock, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t server_ns(pid_t pid)
{
    clockid_t clock;
    MUST(clock_getcpuclockid(pid, &clock) == 0);
    return clock_ns(clock);
}

/* ---- the core ---- */

static void tokens_read(const char *path)
{
    FILE *f = fopen(path, "r");
    MUST(f);
    char *line = NULL;
    size_t size = 0, cap = 0;
    for (ssize_t n; (n = getline(&line, &size, f)) > 1;) {
        if (n_tokens == cap) {
            cap = cap ? cap * 2 : 64;
            tokens = realloc(tokens, cap * sizeof *tokens);
            MUST(tokens);
        }
        struct token *t = &tokens[n_tokens++];
        t->n = (size_t)n - 1;
        t->p = strndup(line, t->n);
        MUST(t->p);
        SHA256((const unsigned char *)t->p, t->n, t->digest);
    }
    free(line);
    fclose(f);
    MUST(n_tokens > 0);
}

static void connect_to(const char *socket)
{
    char target[128], retries[] = GRPC_ARG_ENABLE_RETRIES, bdp_probe[] = GRPC_ARG_HTTP2_BDP_PROBE;
    char channelz[] = GRPC_ARG_ENABLE_CHANNELZ;
    snprintf(target, sizeof target, "unix:%s", socket);
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER, .key = retries, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = bdp_probe, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = channelz, .value.integer = 0},
    };
    grpc_channel_args list = {.num_args = 3, .args = args};
    grpc_init();
    queue = grpc_completion_queue_create_for_next(NULL);
    grpc_channel_credentials *insecure = grpc_insecure_credentials_create();
    channel = grpc_channel_create(target, insecure, &list);
    grpc_channel_credentials_release(insecure);
}

static grpc_call *call_new(const char *method)
{
    return grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue,
                                    grpc_slice_from_static_string(method), NULL,
                                    gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
}

static void *next_tag(void)
{
    grpc_event e = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    MUST(e.type == GRPC_OP_COMPLETE && e.success);
    return e.tag;
}

static grpc_byte_buffer *buffer_of(const void *p, size_t n)
{
    grpc_slice slice = grpc_slice_from_copied_buffer(p, n);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

static grpc_slice bytes_of(grpc_byte_buffer *buffer)
{
    grpc_byte_buffer_reader reader;
    grpc_byte_buffer_reader_init(&reader, buffer);
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    return slice;
}

static void print_result(uint64_t start_ns, uint64_t cpu_ns)
{
    printf("%llu %llu %.6f %llu\n", (unsigned long long)verdicts, (unsigned long long)allowed,
           (double)(clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9, (unsigned long long)cpu_ns);
}

/* ---- unary ---- */

struct unary {
    grpc_call *call;
    grpc_metadata_array head, trailing;
    grpc_byte_buffer *answer;
    grpc_status_code status;
    grpc_slice details;
};

static uint8_t request[TOKEN_MAX + 300];
static size_t request_n;
static bool any_status; /* a flood takes what it gets */

static void request_make(const struct token *t)
{
    request_n = wire_bytes(request, 1, t->p, t->n);
    request_n += wire_bytes(request + request_n, 2, domain, strlen(domain));
}

static void unary_begin(struct unary *u)
{
    grpc_byte_buffer *message = buffer_of(request, request_n); /* a batch empties its buffer */
    *u = (struct unary){.call = call_new("/clinicwave.token.v1.TokenService/Validate")};
    grpc_metadata_array_init(&u->head);
    grpc_metadata_array_init(&u->trailing);
    grpc_op ops[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA, .flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &u->head},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &u->answer},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT},
    };
    ops[5].data.recv_status_on_client.trailing_metadata = &u->trailing;
    ops[5].data.recv_status_on_client.status = &u->status;
    ops[5].data.recv_status_on_client.status_details = &u->details;
    MUST(grpc_call_start_batch(u->call, ops, 6, u, NULL) == GRPC_CALL_OK);
    grpc_byte_buffer_destroy(message);
}

static void unary_read(grpc_byte_buffer *answer)
{
    grpc_slice slice = bytes_of(answer);
    struct wire_reader r = WIRE_READER(GRPC_SLICE_START_PTR(slice), GRPC_SLICE_END_PTR(slice));
    allowed += wire_next(&r) && r.field == 1 && r.number == 1;
    grpc_slice_unref(slice);
    grpc_byte_buffer_destroy(answer);
}

static void unary_end(struct unary *u)
{
    bool answered = u->status == GRPC_STATUS_OK && u->answer;
    if (!answered && !any_status) {
        fprintf(stderr, "load: status %d: %.*s\n", (int)u->status,
                (int)GRPC_SLICE_LENGTH(u->details), (const char *)GRPC_SLICE_START_PTR(u->details));
        exit(2);
    }
    if (answered) {
        unary_read(u->answer);
    }
    verdicts++;
    grpc_slice_unref(u->details);
    grpc_metadata_array_destroy(&u->head);
    grpc_metadata_array_destroy(&u->trailing);
    grpc_call_unref(u->call);
}

static void run_unary(unsigned outstanding, uint64_t ms, pid_t pid)
{
    static struct unary calls[MAX_OUTSTANDING];
    size_t next = 0;
    MUST(outstanding >= 1 && outstanding <= MAX_OUTSTANDING);
    request_make(&tokens[0]);
    unary_begin(&calls[0]); /* warm: the connection, and the token in the server's cache */
    unary_end(next_tag());
    verdicts = allowed = 0;
    uint64_t start = clock_ns(CLOCK_MONOTONIC), cpu = server_ns(pid);
    uint64_t end = start + ms * 1000000;
    for (unsigned i = 0; i < outstanding; i++) {
        unary_begin(&calls[i]);
    }
    for (unsigned open = outstanding; open > 0;) {
        struct unary *u = next_tag();
        unary_end(u);
        if (clock_ns(CLOCK_MONOTONIC) < end) {
            if (any_status) {
                request_make(&tokens[++next % n_tokens]);
            }
            unary_begin(u);
        } else {
            open--;
        }
    }
    print_result(start, server_ns(pid) - cpu);
}

/* ---- stream ---- */

static char head_tag, read_tag, sent_tag;
static grpc_call *stream;
static grpc_metadata_array stream_head;
static grpc_byte_buffer *incoming;
static bool sending;
static uint64_t waiting; /* entries without an answer */

static void stream_begin(const grpc_op *op, void *tag)
{
    MUST(grpc_call_start_batch(stream, op, 1, tag, NULL) == GRPC_CALL_OK);
}

static void stream_open(void)
{
    stream = call_new("/clinicwave.token.v1.TokenService/ValidateStream");
    grpc_metadata_array_init(&stream_head);
    grpc_op op = {.op = GRPC_OP_SEND_INITIAL_METADATA,
                  .flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY};
    stream_begin(&op, &sent_tag);
    sending = true;
    op = (grpc_op){.op = GRPC_OP_RECV_INITIAL_METADATA,
                   .data.recv_initial_metadata.recv_initial_metadata = &stream_head};
    stream_begin(&op, &head_tag);
}

static void stream_read(void)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &incoming};
    stream_begin(&op, &read_tag);
}

static void stream_send(const uint8_t *p, size_t n, uint64_t entries)
{
    grpc_byte_buffer *buffer = buffer_of(p, n);
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = buffer};
    stream_begin(&op, &sent_tag);
    grpc_byte_buffer_destroy(buffer);
    sending = true;
    waiting += entries;
}

static size_t entry_write(uint8_t *out, const struct token *t, bool by_digest)
{
    static uint8_t entry[TOKEN_MAX + 400];
    size_t n = wire_varint_field(entry, 1, ++next_id);
    n += by_digest ? wire_bytes(entry + n, 2, t->digest, sizeof t->digest)
                   : wire_bytes(entry + n, 3, t->p, t->n);
    n += wire_bytes(entry + n, 4, domain, strlen(domain));
    return wire_bytes(out, 2, entry, n);
}

static void results_count(void)
{
    grpc_slice slice = bytes_of(incoming);
    struct wire_reader results =
        WIRE_READER(GRPC_SLICE_START_PTR(slice), GRPC_SLICE_END_PTR(slice));
    while (wire_next(&results)) {
        struct wire_reader result = WIRE_READER(results.value, results.value + results.value_n);
        verdicts++;
        waiting--;
        while (wire_next(&result)) {
            struct wire_reader verdict = WIRE_READER(result.value, result.value + result.value_n);
            allowed += result.field == 2 && wire_next(&verdict) && verdict.field == 1 &&
                       verdict.number == 1;
        }
    }
    grpc_slice_unref(slice);
    grpc_byte_buffer_destroy(incoming);
    incoming = NULL;
}

static void stream_event(void)
{
    void *tag = next_tag();
    if (tag == &sent_tag) {
        sending = false;
    } else if (tag == &head_tag) {
        stream_read();
    } else {
        MUST(incoming); /* the server has not ended the stream */
        results_count();
        stream_read();
    }
}

/* Every token once, as a token, with a bound on what waits. */
static void send_all_once(void)
{
    static uint8_t message[MESSAGE_MAX + TOKEN_MAX + 400];
    size_t next = 0;
    while (next < n_tokens || waiting > 0 || sending) {
        if (next < n_tokens && !sending && waiting + ONCE_ENTRIES <= ONCE_WAITING) {
            size_t n = 0, entries = 0;
            while (next < n_tokens && entries < ONCE_ENTRIES && n < MESSAGE_MAX / 2) {
                n += entry_write(message + n, &tokens[next++], false);
                entries++;
            }
            stream_send(message, n, entries);
        }
        stream_event();
    }
}

static void run_once(pid_t pid)
{
    stream_open();
    while (sending) {
        stream_event();
    }
    uint64_t start = clock_ns(CLOCK_MONOTONIC), cpu = server_ns(pid);
    send_all_once();
    print_result(start, server_ns(pid) - cpu);
}

static void run_batch(unsigned entries, unsigned in_flight, uint64_t ms, pid_t pid)
{
    static uint8_t message[MESSAGE_MAX];
    MUST(entries >= 1 && entries <= 256 && in_flight >= 1);
    stream_open();
    send_all_once();
    MUST(allowed == n_tokens);
    verdicts = allowed = 0;
    uint64_t start = clock_ns(CLOCK_MONOTONIC), cpu = server_ns(pid);
    uint64_t end = start + ms * 1000000;
    size_t next = 0;
    bool go = true;
    while (go || waiting > 0 || sending) {
        if (go && !sending && waiting + entries <= (uint64_t)entries * in_flight) {
            size_t n = 0;
            for (unsigned i = 0; i < entries; i++) {
                n += entry_write(message + n, &tokens[next++ % n_tokens], true);
            }
            stream_send(message, n, entries);
        }
        stream_event();
        go = clock_ns(CLOCK_MONOTONIC) < end;
    }
    print_result(start, server_ns(pid) - cpu);
}

/* Whole tokens, whatever comes back, a few to a message. */
static void run_storm(unsigned outstanding, uint64_t ms, pid_t pid)
{
    static uint8_t message[STORM_ENTRIES * (TOKEN_MAX + 400)];
    MUST(outstanding >= STORM_ENTRIES);
    stream_open();
    uint64_t start = clock_ns(CLOCK_MONOTONIC), cpu = server_ns(pid);
    size_t next = 0;
    while (clock_ns(CLOCK_MONOTONIC) < start + ms * 1000000) {
        if (!sending && waiting + STORM_ENTRIES <= outstanding) {
            size_t n = 0;
            for (unsigned i = 0; i < STORM_ENTRIES; i++) {
                n += entry_write(message + n, &tokens[next++ % n_tokens], false);
            }
            stream_send(message, n, STORM_ENTRIES);
        }
        stream_event();
    }
    print_result(start, server_ns(pid) - cpu);
}

/* One question, and its answer. */
static void ask_one(size_t i)
{
    static uint8_t message[TOKEN_MAX + 400];
    stream_send(message, entry_write(message, &tokens[i % n_tokens], false), 1);
    while (waiting > 0 || sending) {
        stream_event();
    }
    MUST(allowed == verdicts);
}

static void run_paced(struct slices *slices)
{
    stream_open();
    while (sending) {
        stream_event();
    }
    slices->ask = ask_one;
    slices_run(slices);
}

static unsigned number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    MUST(*text && !*end && value <= INT32_MAX);
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 4 ? argv[1] : "";
    any_status = strcmp(mode, "flood") == 0;
    bool unary = (any_status || strcmp(mode, "unary") == 0) && argc == 8;
    bool storm = strcmp(mode, "storm") == 0 && argc == 8;
    bool paced = strcmp(mode, "paced") == 0 && argc == 11;
    bool batch = strcmp(mode, "batch") == 0 && argc == 9;
    bool once = strcmp(mode, "once") == 0 && argc == 6;
    if (!unary && !storm && !batch && !once && !paced) {
        fputs("usage: load unary|flood|storm|batch|once|paced SOCKET TOKENS DOMAIN …\n", stderr);
        return 64;
    }
    domain = argv[4];
    tokens_read(argv[3]);
    connect_to(argv[2]);
    pid_t pid = (pid_t)number(argv[argc - 1]);
    if (unary) {
        run_unary(number(argv[5]), number(argv[6]), pid);
    } else if (storm) {
        run_storm(number(argv[5]), number(argv[6]), pid);
    } else if (paced) {
        run_paced(&(struct slices){.per_second = number(argv[5]),
                                   .slice_ms = number(argv[6]),
                                   .settle_ms = number(argv[7]),
                                   .pairs = number(argv[8]),
                                   .flood = (pid_t)number(argv[9]),
                                   .server = pid});
    } else if (batch) {
        run_batch(number(argv[5]), number(argv[6]), number(argv[7]), pid);
    } else {
        run_once(pid);
    }
    fflush(stdout);
    _exit(0); /* what is in flight ends with the connection */
}
