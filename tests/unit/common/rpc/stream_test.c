/* Streams: order, the bounded outbox, merging, ends of every kind, and the end of the server. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clinicwave/token/v1/token.pb-c.h"
#include "tests/unit/common/rpc/kit.h"

typedef Clinicwave__Token__V1__ValidateStreamRequest request_message;
typedef Clinicwave__Token__V1__ValidateStreamResponse response_message;

#define REQUEST &clinicwave__token__v1__validate_stream_request__descriptor
#define RESPONSE &clinicwave__token__v1__validate_stream_response__descriptor

/* ---- the server's side ---- */

static struct {
    atomic_int opened, messages, closed, half_closed, writable, end, peer_ok, stops;
    _Atomic(struct cw_rpc_stream *) held;
    atomic_bool hold; /* keep a reference for another thread */
} seen;

/* ---- memory that is not there ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_OWN_CALLOC 0 /* theirs has to stay */
#else
#define HAS_OWN_CALLOC 1
void *__libc_calloc(size_t n, size_t size);
static _Thread_local bool no_memory; /* for the next one */

/* The libraries', too: the program's own symbol goes before theirs. */
__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
    bool fails = no_memory;
    no_memory = false;
    return fails ? NULL : __libc_calloc(n, size);
}
#endif

enum { FORGOTTEN = 777 }; /* the id whose answer there is no memory for */

/* A response whose results carry the ids first .. first+n-1. */
static enum cw_rpc_sent send_ids(struct cw_rpc_stream *stream, uint64_t first, size_t n)
{
    Clinicwave__Token__V1__ValidateResult results[64], *list[64];
    for (size_t i = 0; i < n; i++) {
        clinicwave__token__v1__validate_result__init(&results[i]);
        results[i].id = first + i;
        list[i] = &results[i];
    }
    response_message response = CLINICWAVE__TOKEN__V1__VALIDATE_STREAM_RESPONSE__INIT;
    response.n_results = n;
    response.results = list;
    return cw_rpc_stream_send_message(stream, &response.base);
}

static void on_open(struct cw_rpc_stream *stream, void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&seen.opened, 1);
    atomic_store(&seen.peer_ok, cw_rpc_stream_peer(stream).uid == getuid());
    if (seen.hold) {
        atomic_store(&seen.held, cw_rpc_stream_ref(stream));
    }
}

static void on_message(struct cw_rpc_stream *stream, const ProtobufCMessage *message)
{
    const request_message *request = (const void *)message;
    atomic_fetch_add(&seen.messages, 1);
    for (size_t i = 0; i < request->n_entries; i++) {
#if HAS_OWN_CALLOC
        no_memory = request->entries[i]->id == FORGOTTEN;
#endif
        send_ids(stream, request->entries[i]->id, 1);
    }
}

static void on_half_close(struct cw_rpc_stream *stream)
{
    atomic_fetch_add(&seen.half_closed, 1);
    send_ids(stream, 999, 1);
    cw_rpc_stream_finish(stream, CW_OK, NULL);
}

static void on_writable(struct cw_rpc_stream *stream)
{
    (void)stream;
    atomic_fetch_add(&seen.writable, 1);
}

static void on_close(struct cw_rpc_stream *stream, enum cw_rpc_end end)
{
    (void)stream;
    atomic_store(&seen.end, end);
    atomic_fetch_add(&seen.closed, 1);
}

static void on_open_refuse(struct cw_rpc_stream *stream, void *ctx)
{
    (void)ctx;
    cw_rpc_stream_finish(stream, CW_FORBIDDEN, "not you");
}

static void on_stop(struct cw_rpc_stream *stream)
{
    atomic_fetch_add(&seen.stops, 1);
    send_ids(stream, 1000, 1);
    cw_rpc_stream_finish(stream, CW_OK, NULL);
}

/* The stream that is told first holds the stop up until the other one has ended. */
static void (*at_first_stop)(void);

static void on_stop_first(struct cw_rpc_stream *stream)
{
    if (atomic_fetch_add(&seen.stops, 1) == 0) {
        at_first_stop();
    }
    cw_rpc_stream_finish(stream, CW_OK, NULL);
}

static const struct cw_rpc_stream_ops echo_ops = {
    .on_open = on_open,
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_writable = on_writable,
    .on_close = on_close,
    .coalesce = 4096,
};
static const struct cw_rpc_stream_ops refuse_ops = {.on_open = on_open_refuse,
                                                    .on_close = on_close};
static const struct cw_rpc_stream_ops stop_ops = {
    .on_open = on_open, .on_message = on_message, .on_stop = on_stop, .on_close = on_close};

static const struct cw_rpc_stream_ops first_ops = {
    .on_open = on_open, .on_message = on_message, .on_stop = on_stop_first, .on_close = on_close};

static const struct cw_rpc_method methods[] = {
    {.path = "/t.S/Echo",
     .kind = CW_RPC_BIDI,
     .listeners = KIT_OPEN,
     .request = REQUEST,
     .stream = &echo_ops},
    {.path = "/t.S/Refuse",
     .kind = CW_RPC_BIDI,
     .listeners = KIT_OPEN,
     .request = REQUEST,
     .stream = &refuse_ops},
    {.path = "/t.S/Stop",
     .kind = CW_RPC_BIDI,
     .listeners = KIT_OPEN,
     .request = REQUEST,
     .stream = &stop_ops},
    {.path = "/t.S/StopFirst",
     .kind = CW_RPC_BIDI,
     .listeners = KIT_OPEN,
     .request = REQUEST,
     .stream = &first_ops},
    {.path = "/t.S/One",
     .kind = CW_RPC_SERVER_STREAM,
     .listeners = KIT_OPEN,
     .request = REQUEST,
     .stream = &echo_ops},
};

/* ---- the client's side: one subscription that writes down what happens ---- */

struct watch {
    struct cw_rpc_subscription *subscription;
    unsigned to_send;   /* entries in the first message */
    atomic_bool insist; /* sends in on_start until it is refused for good */
    atomic_int starts, messages, ends, err, start_err, first_end;
    atomic_bool first_end_known;
    atomic_uint_fast64_t last_id, results, order_broken;
};

/* On a poller: no assertions here, they only end a test on the test's own thread. */
static enum cw_err send_entries(struct cw_rpc_subscription *subscription, uint64_t first,
                                unsigned n)
{
    Clinicwave__Token__V1__ValidateEntry entries[256], *list[256];
    for (unsigned i = 0; i < n; i++) {
        clinicwave__token__v1__validate_entry__init(&entries[i]);
        entries[i].id = first + i;
        list[i] = &entries[i];
    }
    request_message request = CLINICWAVE__TOKEN__V1__VALIDATE_STREAM_REQUEST__INIT;
    request.n_entries = n;
    request.entries = list;
    return cw_rpc_subscription_send(subscription, &request.base);
}

static void on_start(struct cw_rpc_subscription *subscription, void *ctx)
{
    struct watch *w = ctx;
    atomic_fetch_add(&w->starts, 1);
    enum cw_err err = CW_OK;
    if (w->to_send) {
        err = send_entries(subscription, 1, w->to_send);
    }
    for (int i = 0; i < 20000 && atomic_load(&w->insist) && err != CW_UNAVAILABLE; i++) {
        usleep(1000);
        err = send_entries(subscription, 1, 1);
    }
    atomic_store(&w->start_err, err);
}

static void on_answer(struct cw_rpc_subscription *subscription, const ProtobufCMessage *message,
                      void *ctx)
{
    struct watch *w = ctx;
    const response_message *response = (const void *)message;
    (void)subscription;
    for (size_t i = 0; i < response->n_results; i++) {
        uint64_t id = response->results[i]->id;
        if (id <= atomic_load(&w->last_id) && id != 1) {
            atomic_fetch_add(&w->order_broken, 1);
        }
        atomic_store(&w->last_id, id);
    }
    atomic_fetch_add(&w->results, response->n_results);
    atomic_fetch_add(&w->messages, 1);
}

static void on_end(struct cw_rpc_subscription *subscription, const struct cw_rpc_answer *how,
                   void *ctx)
{
    struct watch *w = ctx;
    (void)subscription;
    atomic_store(&w->err, how->err);
    if (!atomic_load(&w->first_end_known)) {
        atomic_store(&w->first_end, how->err);
        atomic_store(&w->first_end_known, true);
    }
    atomic_fetch_add(&w->ends, 1);
}

#define OPS(name, path_, one)                                                                      \
    static const struct cw_rpc_subscription_ops name = {.path = (path_),                           \
                                                        .server_stream = (one),                    \
                                                        .response = RESPONSE,                      \
                                                        .on_start = on_start,                      \
                                                        .on_message = on_answer,                   \
                                                        .on_end = on_end}
OPS(echo, "/t.S/Echo", false);
OPS(refused, "/t.S/Refuse", false);
OPS(stopping, "/t.S/Stop", false);
OPS(stopping_first, "/t.S/StopFirst", false);
OPS(one, "/t.S/One", true);

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        int64_t until_ = kit_now_ms() + 20000;                                                     \
        while (!(condition)) {                                                                     \
            if (kit_now_ms() > until_) {                                                           \
                fail_msg("never: %s", #condition);                                                 \
            }                                                                                      \
            usleep(500);                                                                           \
        }                                                                                          \
    } while (0)

/* What a test has subscribed, so that one that breaks off leaves nothing that runs on. */
static struct watch *watches[128];
static size_t n_watches;

static void subscribe_at(struct kit *kit, struct cw_rpc_channel *channel,
                         const struct cw_rpc_subscription_ops *ops, struct watch *w)
{
    assert_true(n_watches < CW_ARRAY_SIZE(watches));
    assert_int_equal(cw_rpc_subscription_new(kit->runtime, channel, ops, w, &w->subscription),
                     CW_OK);
    watches[n_watches++] = w;
}

static void subscribe(struct kit *kit, const struct cw_rpc_subscription_ops *ops, struct watch *w)
{
    subscribe_at(kit, kit->open, ops, w);
}

static void unsubscribe(struct watch *w, unsigned linger_ms)
{
    cw_rpc_subscription_free(w->subscription, linger_ms);
    w->subscription = NULL;
}

static int setup(void **state)
{
    static struct kit kit;
    memset(&seen, 0, sizeof seen);
    kit_init(&kit);
    kit.config.outbox_bytes = 16 << 10;
    kit.config.linger_ms = 20000; /* not what is tested here */
    *state = &kit;
    kit_start(&kit, methods, CW_ARRAY_SIZE(methods), NULL);
    return 0;
}

static int teardown(void **state)
{
    while (n_watches > 0) {
        unsubscribe(watches[--n_watches], 0);
    }
    kit_done(*state);
    return 0;
}

static void answers_come_in_order_and_a_half_close_ends_it_well(void **state)
{
    struct kit *kit = *state;
    static struct watch w;
    w = (struct watch){.to_send = 200};
    subscribe(kit, &echo, &w);
    UNTIL(atomic_load(&w.results) == 200);
    assert_int_equal(send_entries(w.subscription, 300, 256), CW_OK);
    assert_int_equal(atomic_load(&w.start_err), CW_OK);
    UNTIL(atomic_load(&w.results) == 456);
    /* 456 answers of one result each were sent; those that waited were merged */
    assert_true(atomic_load(&w.messages) < 456);
    unsubscribe(&w, 5000);
    assert_int_equal(atomic_load(&w.results), 457); /* what on_half_close sent */
    assert_int_equal(atomic_load(&w.err), CW_OK);
    assert_int_equal(atomic_load(&w.order_broken), 0);
    assert_true(atomic_load(&seen.peer_ok));
    UNTIL(atomic_load(&seen.closed) == 1);
    assert_int_equal(atomic_load(&seen.half_closed), 1);
    assert_int_equal(atomic_load(&seen.end), CW_RPC_END_FINISHED);
}

static void a_cancel_is_told_from_a_broken_connection(void **state)
{
    struct kit *kit = *state;
    static struct watch w;
    w = (struct watch){.to_send = 1};
    subscribe(kit, &stopping, &w);
    UNTIL(atomic_load(&w.results) == 1);
    /* "/t.S/Stop" has no on_half_close, so the kit ends it; cancel instead by a client that breaks
     * off */
    struct kit_call call = {.message = "", .timeout_ms = 5000};
    kit_raw_call(kit->open_path, "/t.S/Stop", &call);
    assert_int_equal(call.status, 0);
    unsubscribe(&w, 1000);
    UNTIL(atomic_load(&seen.closed) == 2);
    seen.hold = true; /* a stream that is never finished by the server */
    static struct watch long_lived;
    long_lived = (struct watch){0};
    struct cw_rpc_channel *other = kit_channel(kit->open_path);
    subscribe_at(kit, other, &echo, &long_lived);
    UNTIL(atomic_load(&seen.held) != NULL);
    seen.hold = false;
    unsubscribe(&long_lived, 0); /* at once: half-close, then cancel */
    UNTIL(atomic_load(&seen.closed) == 3);
    assert_int_not_equal(atomic_load(&seen.end), CW_RPC_END_DISCONNECTED);
    cw_rpc_channel_free(other);
    assert_int_equal(cw_rpc_stream_send(atomic_load(&seen.held), CW_STR("")), CW_RPC_CLOSED);
    cw_rpc_stream_unref(atomic_load(&seen.held));
}

static void a_lost_process_is_a_broken_connection(void **state)
{
    struct kit *kit = *state;
    int status;
    assert_int_not_equal(waitpid(kit_run_self("--die", kit->open_path, 0), &status, 0), -1);
    assert_int_equal(WEXITSTATUS(status), 1);
    UNTIL(atomic_load(&seen.closed) == 1);
    assert_int_equal(atomic_load(&seen.half_closed), 0);
    assert_int_equal(atomic_load(&seen.end), CW_RPC_END_DISCONNECTED);
}

static void a_refusal_in_on_open_reaches_the_client_which_then_pauses(void **state)
{
    struct kit *kit = *state;
    static struct watch w;
    w = (struct watch){0};
    int64_t start = kit_now_ms();
    subscribe(kit, &refused, &w);
    UNTIL(atomic_load(&w.ends) == 3);
    assert_true(kit_now_ms() - start >= 300); /* 100 and 200 ms */
    assert_int_equal(atomic_load(&w.err), CW_FORBIDDEN);
    unsubscribe(&w, 0);
    UNTIL(atomic_load(&seen.closed) >= 3);
}

static void a_server_stream_takes_one_message_and_lives_on(void **state)
{
    struct kit *kit = *state;
    static struct watch w;
    w = (struct watch){.to_send = 3};
    seen.hold = true;
    subscribe(kit, &one, &w);
    UNTIL(atomic_load(&w.results) == 3);
    assert_int_equal(send_ids(atomic_load(&seen.held), 50, 2), CW_RPC_SENT);
    UNTIL(atomic_load(&w.results) == 5);
    assert_int_equal(atomic_load(&seen.half_closed), 0);
    cw_rpc_stream_finish(atomic_load(&seen.held), CW_SHUTTING_DOWN, NULL);
    cw_rpc_stream_finish(atomic_load(&seen.held), CW_OK, NULL); /* too late: no effect */
    UNTIL(atomic_load(&w.ends) == 1);
    assert_int_equal(atomic_load(&w.err), CW_SHUTTING_DOWN);
    seen.hold = false;
    UNTIL(atomic_load(&w.starts) == 2); /* it comes back by itself */
    unsubscribe(&w, 0);
    cw_rpc_stream_unref(atomic_load(&seen.held));
    struct kit_call none = {.timeout_ms = 5000};
    kit_raw_call(kit->open_path, "/t.S/One", &none);
    assert_int_equal(none.status, CW_GRPC_INVALID_ARGUMENT);
}

/* Sends until the outbox is full and stays so: while HTTP/2's windows and the kernel's buffers
 * still take bytes, a full one is half empty again a moment later. */
static void fill_for_good(struct cw_rpc_stream *stream, struct cw_str message)
{
    enum { ROUNDS = 100000, REST_US = 300 * 1000 };
    enum cw_rpc_sent sent = CW_RPC_SENT;
    for (int i = 0; i < ROUNDS; i++) {
        unsigned before = (unsigned)atomic_load(&seen.writable);
        sent = cw_rpc_stream_send(stream, message);
        usleep(sent == CW_RPC_FULL ? REST_US : 100);
        if (sent == CW_RPC_FULL && (unsigned)atomic_load(&seen.writable) == before) {
            break;
        }
    }
    assert_int_equal(sent, CW_RPC_FULL);
}

/* The outbox of a client that does not read. */
static void a_full_outbox_says_so_and_stops_reading(void **state)
{
    struct kit *kit = *state;
    atomic_store(&seen.hold, true);
    pid_t pid = kit_run_self("--stuck", kit->open_path, 0);
    UNTIL(atomic_load(&seen.held) != NULL);
    UNTIL(atomic_load(&seen.messages) == 1);
    usleep(100 * 1000); /* it has its answer and rests */
    assert_int_equal(kill(pid, SIGSTOP), 0);
    static char bulk[4000]; /* an unknown field of 3996 bytes: any message has room for it */
    memcpy(bulk, "\xfa\x3e\x9c\x1f", 4);
    struct cw_str message = {bulk, 4 + 3996};
    fill_for_good(atomic_load(&seen.held), message);
    int writable = (int)atomic_load(&seen.writable);
    assert_int_equal(kill(pid, SIGCONT), 0);
    UNTIL((int)atomic_load(&seen.writable) > writable);
    assert_int_equal(cw_rpc_stream_send(atomic_load(&seen.held), message), CW_RPC_SENT);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    UNTIL(atomic_load(&seen.closed) == 1);
    assert_int_equal(cw_rpc_stream_send(atomic_load(&seen.held), message), CW_RPC_CLOSED);
    cw_rpc_stream_unref(atomic_load(&seen.held));
}

/* A free that comes while on_start runs: what on_start still sends is refused. */
static void a_free_during_the_start_refuses_what_is_sent(void **state)
{
    struct kit *kit = *state;
    static struct watch w;
    w = (struct watch){.to_send = 1, .insist = true};
    subscribe(kit, &echo, &w);
    UNTIL(atomic_load(&w.starts) == 1);
    unsubscribe(&w, 5000);
    assert_int_equal(atomic_load(&w.start_err), CW_UNAVAILABLE);
    assert_int_equal(atomic_load(&w.starts), 1);
    assert_int_equal(atomic_load(&w.ends), 1);
}

static void *send_loop(void *arg)
{
    struct cw_rpc_stream *stream = arg;
    for (uint64_t i = 1; i <= 2000; i++) {
        while (send_ids(stream, i, 1) == CW_RPC_FULL) {
            usleep(100);
        }
    }
    cw_rpc_stream_unref(stream);
    return NULL;
}

static void several_threads_may_send_at_once(void **state)
{
    struct kit *kit = *state;
    static struct watch w;
    w = (struct watch){0};
    seen.hold = true;
    subscribe(kit, &echo, &w);
    UNTIL(atomic_load(&seen.held) != NULL);
    pthread_t threads[3];
    for (size_t i = 0; i < CW_ARRAY_SIZE(threads); i++) {
        pthread_create(&threads[i], NULL, send_loop, cw_rpc_stream_ref(atomic_load(&seen.held)));
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    UNTIL(atomic_load(&w.results) == 6000);
    unsubscribe(&w, 1000);
    cw_rpc_stream_unref(atomic_load(&seen.held));
}

/* Who watches would go on with what comes after it. */
static void a_stream_that_lost_a_message_ends(void **state)
{
    if (!HAS_OWN_CALLOC) {
        skip();
    }
    struct kit *kit = *state;
    static struct watch w;
    w = (struct watch){0};
    subscribe(kit, &echo, &w);
    UNTIL(atomic_load(&seen.opened) == 1);
    assert_int_equal(send_entries(w.subscription, FORGOTTEN, 1), CW_OK);
    UNTIL(atomic_load(&w.ends) == 1 && atomic_load(&w.starts) == 2);
    UNTIL(atomic_load(&seen.closed) == 1);
    assert_int_equal(atomic_load(&w.messages), 0);
    unsubscribe(&w, 0);
}

static void stopping_lets_a_stream_say_its_last(void **state)
{
    struct kit *kit = *state;
    static struct watch w, kept;
    w = kept = (struct watch){.to_send = 1};
    subscribe(kit, &stopping, &w);
    subscribe(kit, &echo, &kept);
    UNTIL(atomic_load(&w.results) == 1 && atomic_load(&kept.results) == 1);
    int64_t start = kit_now_ms();
    cw_rpc_server_stop(kit->server, 20000);
    assert_true(kit_now_ms() - start < 10000);
    UNTIL(atomic_load(&w.ends) == 1 && atomic_load(&kept.ends) == 1);
    assert_int_equal(atomic_load(&w.results), 2);
    assert_int_equal(atomic_load(&w.err), CW_OK);
    assert_int_equal(atomic_load(&kept.err), CW_SHUTTING_DOWN);
    assert_true(atomic_load(&seen.stops) >= 1);
    UNTIL(atomic_load(&seen.closed) == 2);
    unsubscribe(&w, 0);
    unsubscribe(&kept, 0);
}

static struct watch leaving, staying;

static void leave(void)
{
    unsubscribe(&leaving, 0);
    UNTIL(atomic_load(&seen.closed) == 1);
}

/* Its owner has freed what on_stop would use. */
static void a_stream_that_ends_while_others_are_told_of_the_stop_is_not_told(void **state)
{
    struct kit *kit = *state;
    leaving = staying = (struct watch){.to_send = 1};
    at_first_stop = leave;
    subscribe(kit, &stopping_first, &leaving);
    UNTIL(atomic_load(&leaving.results) == 1);
    subscribe(kit, &stopping_first, &staying); /* the newest one is told first */
    UNTIL(atomic_load(&staying.results) == 1);
    cw_rpc_server_stop(kit->server, 20000);
    UNTIL(atomic_load(&seen.closed) == 2);
    assert_int_equal(atomic_load(&seen.stops), 1);
    unsubscribe(&staying, 0);
}

/* A connection that were closed with the last stream would take answers along that the client has
 * not read yet. */
static void the_last_words_reach_every_client(void **state)
{
    enum { CLIENTS = 48 };
    struct kit *kit = *state;
    static struct watch w[CLIENTS], kept[CLIENTS];
    struct cw_rpc_channel *channels[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++) {
        w[i] = kept[i] = (struct watch){.to_send = 1};
        channels[i] = kit_channel(kit->open_path);
        subscribe_at(kit, channels[i], &stopping, &w[i]);
        subscribe_at(kit, channels[i], &echo, &kept[i]);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        UNTIL(atomic_load(&w[i].results) == 1 && atomic_load(&kept[i].results) == 1);
    }
    cw_rpc_server_stop(kit->server, 20000);
    unsigned heard = 0, ended_well = 0;
    for (size_t i = 0; i < CLIENTS; i++) {
        UNTIL(atomic_load(&w[i].first_end_known) && atomic_load(&kept[i].first_end_known));
        heard += atomic_load(&w[i].results) == 2;
        ended_well += atomic_load(&w[i].first_end) == CW_OK;
        ended_well += atomic_load(&kept[i].first_end) == CW_SHUTTING_DOWN;
    }
    for (size_t i = 0; i < CLIENTS; i++) { /* first: they use the channels */
        unsubscribe(&w[i], 0);
        unsubscribe(&kept[i], 0);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        cw_rpc_channel_free(channels[i]);
    }
    assert_int_equal(heard, CLIENTS);
    assert_int_equal(ended_well, 2 * CLIENTS);
}

static void a_stopped_server_uses_no_cpu_and_a_new_one_is_found_soon(void **state)
{
    struct kit *kit = *state;
    static struct watch w;
    w = (struct watch){.to_send = 1};
    subscribe(kit, &echo, &w);
    UNTIL(atomic_load(&w.results) == 1);
    cw_rpc_server_stop(kit->server, 5000);
    cw_rpc_server_free(kit->server);
    kit->server = NULL;
    UNTIL(atomic_load(&w.starts) == 2); /* waits for a server */
    uint64_t before = cw_rpc_runtime_cpu_ns(kit->runtime);
    usleep(700 * 1000);
    uint64_t used = cw_rpc_runtime_cpu_ns(kit->runtime) - before;
    assert_true(used <
                100u * 1000 * 1000); /* armed requests are not armed again, reconnects are paced */
    assert_int_equal(cw_rpc_server_new(kit->runtime, &kit->config, &kit->server), CW_OK);
    assert_int_equal(cw_rpc_server_add(kit->server, methods, CW_ARRAY_SIZE(methods), NULL), CW_OK);
    int64_t start = kit_now_ms();
    assert_int_equal(cw_rpc_server_start(kit->server, NULL), CW_OK);
    UNTIL(atomic_load(&w.results) == 2);
    assert_true(kit_now_ms() - start < 10000);
    unsubscribe(&w, 1000);
}

/* ---- clients that end badly ---- */

static int misbehave(const char *how, const char *path)
{
    struct cw_rpc_runtime *runtime;
    struct cw_rpc_channel *channel = kit_channel(path);
    static struct watch w;
    w = (struct watch){.to_send = 1};
    if (cw_rpc_runtime_new(1, &runtime) != CW_OK ||
        cw_rpc_subscription_new(runtime, channel, &echo, &w, &w.subscription) != CW_OK) {
        return 2;
    }
    for (int i = 0; i < 20000 && atomic_load(&w.results) == 0; i++) {
        usleep(500);
    }
    if (strcmp(how, "--die") == 0) {
        _exit(1);
    }
    pause();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        return misbehave(argv[1], argv[2]);
    }
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(answers_come_in_order_and_a_half_close_ends_it_well),
        CASE(a_cancel_is_told_from_a_broken_connection),
        CASE(a_lost_process_is_a_broken_connection),
        CASE(a_refusal_in_on_open_reaches_the_client_which_then_pauses),
        CASE(a_server_stream_takes_one_message_and_lives_on),
        CASE(a_full_outbox_says_so_and_stops_reading),
        CASE(a_free_during_the_start_refuses_what_is_sent),
        CASE(several_threads_may_send_at_once),
        CASE(a_stream_that_lost_a_message_ends),
        CASE(stopping_lets_a_stream_say_its_last),
        CASE(a_stream_that_ends_while_others_are_told_of_the_stop_is_not_told),
        CASE(the_last_words_reach_every_client),
        CASE(a_stopped_server_uses_no_cpu_and_a_new_one_is_found_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
