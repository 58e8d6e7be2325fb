/* How many calls and streams a server lets in: a bound for each listener, and one for all. */
#include <stdatomic.h>
#include <unistd.h>

#include "clinicwave/token/v1/token.pb-c.h"
#include "tests/unit/common/rpc/kit.h"

#define RESPONSE &clinicwave__token__v1__validate_response__descriptor
#define STREAM_RESPONSE &clinicwave__token__v1__validate_stream_response__descriptor

enum {
    ONE = 3,       /* places of one listener */
    ALL = ONE + 1, /* of both: a third more */
    MAX_HELD = 32,
    TIMEOUT_MS = 120000,
    FAILED = 1000, /* what a call that fails adds to `done` */
};

/* ---- the server's side ---- */

static _Atomic(struct cw_rpc_call *) held[MAX_HELD]; /* in the order of their arrival */
static atomic_int n_held, opened;

static void hold(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    (void)request;
    (void)ctx;
    cw_rpc_call_defer(call);
    int i = atomic_load(&n_held);
    assert_in_range(i, 0, MAX_HELD - 1);
    atomic_store(&held[i], call);
    atomic_store(&n_held, i + 1);
}

static void quick(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    (void)request;
    (void)ctx;
    cw_rpc_reply_bytes(call, CW_STR(""));
}

static void on_open(struct cw_rpc_stream *stream, void *ctx)
{
    (void)stream;
    (void)ctx;
    atomic_fetch_add(&opened, 1);
}

static const struct cw_rpc_stream_ops open_ops = {.on_open = on_open};
static const struct cw_rpc_method methods[] = {
    {.path = "/t.S/Hold", .listeners = KIT_OPEN | KIT_ADMIN, .unary = hold},
    {.path = "/t.S/Quick", .listeners = KIT_OPEN | KIT_ADMIN, .unary = quick},
    {.path = "/t.S/Stream", .kind = CW_RPC_BIDI, .listeners = KIT_OPEN, .stream = &open_ops},
};

static int setup(void **state)
{
    static struct kit kit;
    kit_init(&kit);
    kit.config.max_in_flight = ONE;
    *state = &kit;
    atomic_store(&n_held, 0);
    atomic_store(&opened, 0);
    kit_start(&kit, methods, CW_ARRAY_SIZE(methods), NULL);
    return 0;
}

/* Once; what has been released is let be. */
static void release(int i)
{
    struct cw_rpc_call *call = atomic_exchange(&held[i], NULL);
    if (call) {
        cw_rpc_reply_bytes(call, CW_STR(""));
    }
}

static int teardown(void **state)
{
    for (int i = 0; i < MAX_HELD; i++) { /* a test that failed has let none go */
        release(i);
    }
    kit_done(*state);
    return 0;
}

/* ---- the client's side ---- */

static atomic_int done;

static void count_done(const struct cw_rpc_answer *answer, void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&done, answer->err == CW_OK ? 1 : FAILED);
}

static void wait_for(atomic_int *value, int wanted)
{
    int64_t end = kit_now_ms() + TIMEOUT_MS;
    while (atomic_load(value) != wanted) {
        assert_true(atomic_load(&done) < FAILED); /* turned away */
        assert_true(kit_now_ms() < end);
        usleep(500);
    }
}

/* The places of calls that are over are free only once the server has let them go. */
static void wait_in_flight(struct kit *kit, unsigned wanted)
{
    struct cw_rpc_server_stats stats = {0};
    int64_t end = kit_now_ms() + TIMEOUT_MS;
    for (cw_rpc_server_stats(kit->server, &stats); stats.in_flight != wanted;
         cw_rpc_server_stats(kit->server, &stats)) {
        assert_true(kit_now_ms() < end);
        usleep(500);
    }
}

/* Calls that stay until they are released; returns when the handler has them. */
static void take(struct kit *kit, struct cw_rpc_channel *channel, int n)
{
    int before = atomic_load(&n_held);
    Clinicwave__Token__V1__ValidateRequest request = CLINICWAVE__TOKEN__V1__VALIDATE_REQUEST__INIT;
    for (int i = 0; i < n; i++) {
        cw_rpc_unary_start(kit->runtime, channel, "/t.S/Hold", &request.base, RESPONSE, TIMEOUT_MS,
                           count_done, NULL);
    }
    wait_for(&n_held, before + n);
}

static enum cw_err ask(struct cw_rpc_channel *channel)
{
    struct cw_rpc_answer answer;
    Clinicwave__Token__V1__ValidateRequest request = CLINICWAVE__TOKEN__V1__VALIDATE_REQUEST__INIT;
    enum cw_err err =
        cw_rpc_unary(channel, "/t.S/Quick", &request.base, RESPONSE, TIMEOUT_MS, true, &answer);
    cw_rpc_answer_done(&answer);
    return err;
}

static void who_fills_one_listener_leaves_places_on_the_other(void **state)
{
    struct kit *kit = *state;
    atomic_store(&done, 0);
    take(kit, kit->open, ONE);
    for (int i = 0; i < 2 * ALL; i++) { /* what is turned away takes no place, either */
        assert_int_equal(ask(kit->open), CW_TOO_MANY_REQUESTS);
    }
    take(kit, kit->admin, ALL - ONE);
    assert_int_equal(ask(kit->admin), CW_TOO_MANY_REQUESTS); /* the bound of all holds */
    assert_int_equal(ask(kit->open), CW_TOO_MANY_REQUESTS);

    release(0); /* one of the first listener's: its place is anybody's */
    wait_in_flight(kit, ALL - 1);
    take(kit, kit->admin, 1);
    assert_int_equal(ask(kit->open), CW_TOO_MANY_REQUESTS);
    int n = atomic_load(&n_held);
    for (int i = 1; i < n; i++) {
        release(i);
    }
    wait_for(&done, n);
    wait_in_flight(kit, 0);

    take(kit, kit->admin, ONE); /* nothing was lost in counting, and the other can be filled, too */
    assert_int_equal(ask(kit->admin), CW_TOO_MANY_REQUESTS);
    assert_int_equal(ask(kit->open), CW_OK);
    for (int i = n; i < n + ONE; i++) {
        release(i);
    }
    wait_for(&done, n + ONE);
}

static void on_start(struct cw_rpc_subscription *subscription, void *ctx)
{
    (void)subscription;
    (void)ctx;
}

static void on_answer(struct cw_rpc_subscription *subscription, const ProtobufCMessage *message,
                      void *ctx)
{
    (void)subscription;
    (void)message;
    (void)ctx;
}

static void streams_take_places_as_calls_do(void **state)
{
    static const struct cw_rpc_subscription_ops ops = {
        .path = "/t.S/Stream",
        .response = STREAM_RESPONSE,
        .on_start = on_start,
        .on_message = on_answer,
    };
    struct kit *kit = *state;
    struct cw_rpc_subscription *subscriptions[ONE];
    atomic_store(&done, 0);
    for (int i = 0; i < ONE; i++) {
        assert_int_equal(
            cw_rpc_subscription_new(kit->runtime, kit->open, &ops, NULL, &subscriptions[i]), CW_OK);
    }
    wait_for(&opened, ONE);
    assert_int_equal(ask(kit->open), CW_TOO_MANY_REQUESTS);
    assert_int_equal(ask(kit->admin), CW_OK);
    cw_rpc_subscription_free(subscriptions[0], TIMEOUT_MS);
    wait_in_flight(kit, ONE - 1);
    assert_int_equal(ask(kit->open), CW_OK);
    for (int i = 1; i < ONE; i++) {
        cw_rpc_subscription_free(subscriptions[i], TIMEOUT_MS);
    }
    wait_in_flight(kit, 0);
}

/* Nobody is turned away for it: the client keeps what is too much until there is room. */
static void a_connection_has_so_many_streams_and_the_rest_wait_in_the_client(void **state)
{
    enum { STREAMS = 2, ROUNDS = 20 };
    struct kit *kit = *state;
    atomic_store(&done, 0);
    take(kit, kit->open, STREAMS);
    Clinicwave__Token__V1__ValidateRequest request = CLINICWAVE__TOKEN__V1__VALIDATE_REQUEST__INIT;
    for (int i = 0; i < ALL; i++) {
        cw_rpc_unary_start(kit->runtime, kit->open, "/t.S/Quick", &request.base, RESPONSE,
                           TIMEOUT_MS, count_done, NULL);
    }
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(ask(kit->admin), CW_OK);
    }
    assert_int_equal(atomic_load(&done), 0);
    release(0);
    wait_for(&done, 1 + ALL);
    release(1);
    wait_for(&done, STREAMS + ALL);
}

static int setup_few_streams(void **state)
{
    static struct kit kit;
    kit_init(&kit);
    kit.listeners[0].max_streams = 2;
    *state = &kit;
    atomic_store(&n_held, 0);
    kit_start(&kit, methods, CW_ARRAY_SIZE(methods), NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_fills_one_listener_leaves_places_on_the_other, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(streams_take_places_as_calls_do, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_connection_has_so_many_streams_and_the_rest_wait_in_the_client, setup_few_streams,
            teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
