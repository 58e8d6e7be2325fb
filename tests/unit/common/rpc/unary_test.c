/* Unary calls: what a handler is given, how it may answer, and what it never sees. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clinicwave/token/v1/token.pb-c.h"
#include "tests/unit/common/rpc/kit.h"

typedef Clinicwave__Token__V1__ValidateRequest request_message;
typedef Clinicwave__Token__V1__ValidateResponse response_message;

#define REQUEST &clinicwave__token__v1__validate_request__descriptor
#define RESPONSE &clinicwave__token__v1__validate_response__descriptor

static atomic_int handled;
static atomic_bool saw_cancel;

static void echo(struct cw_rpc_call *call, const ProtobufCMessage *message, void *ctx)
{
    const request_message *request = (const void *)message;
    atomic_fetch_add(&handled, 1);
    response_message response = CLINICWAVE__TOKEN__V1__VALIDATE_RESPONSE__INIT;
    response.decision = CLINICWAVE__TOKEN__V1__DECISION__DECISION_ALLOW;
    response.reason = request->domain;
    response.required_scope = ctx;
    cw_rpc_reply(call, &response.base);
}

static void refuse(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    (void)request;
    (void)ctx;
    cw_rpc_fail(call, CW_KEYS_UNAVAILABLE, "no keys yet");
}

static void forget(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    (void)call;
    (void)request;
    (void)ctx;
}

/* Answers when the client is gone, or when the test says so. */
static atomic_bool answer_now;
static void *answer_later(void *arg)
{
    struct cw_rpc_call *call = arg;
    for (int i = 0; i < 20000 && !cw_rpc_call_cancelled(call) && !atomic_load(&answer_now); i++) {
        usleep(1000);
    }
    atomic_store(&saw_cancel, cw_rpc_call_cancelled(call));
    cw_rpc_reply_bytes(call, CW_STR("\x08\x01"));
    return NULL;
}

static void later(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    (void)request;
    cw_rpc_call_defer(call);
    pthread_t *thread = ctx;
    assert_int_equal(pthread_create(thread, NULL, answer_later, call), 0);
}

static void raw(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    (void)ctx;
    struct cw_rpc_peer peer = cw_rpc_call_peer(call);
    bool good = !request && peer.uid == getuid() && peer.pid == getpid() &&
                cw_rpc_call_listener(call) == KIT_OPEN &&
                cw_rpc_call_metadata(call, "user-agent").n > 0 &&
                cw_rpc_call_metadata(call, "no-such-key").n == 0;
    cw_rpc_reply_bytes(call, good ? cw_rpc_call_bytes(call) : CW_STR(""));
}

static pthread_t later_thread;

static const struct cw_rpc_method methods[] = {
    {.path = "/t.S/Echo", .listeners = KIT_OPEN | KIT_ADMIN, .request = REQUEST, .unary = echo},
    {.path = "/t.S/Refuse", .listeners = KIT_OPEN, .request = REQUEST, .unary = refuse},
    {.path = "/t.S/Forget", .listeners = KIT_OPEN, .request = REQUEST, .unary = forget},
    {.path = "/t.S/Raw", .listeners = KIT_OPEN, .unary = raw},
    {.path = "/t.S/AdminOnly", .listeners = KIT_ADMIN, .request = REQUEST, .unary = echo},
};
static const struct cw_rpc_method deferred[] = {
    {.path = "/t.S/Later", .listeners = KIT_OPEN, .request = REQUEST, .unary = later},
};

static char table_ctx[] = "ctx";

static int setup(void **state)
{
    static struct kit kit;
    kit_init(&kit);
    kit.config.call_memory = 64 << 10;
    *state = &kit;
    kit_start(&kit, methods, CW_ARRAY_SIZE(methods), table_ctx);
    return 0;
}

static int teardown(void **state)
{
    kit_done(*state);
    return 0;
}

static enum cw_err ask(struct cw_rpc_channel *channel, const char *path, const char *domain,
                       struct cw_rpc_answer *ret_answer)
{
    request_message request = CLINICWAVE__TOKEN__V1__VALIDATE_REQUEST__INIT;
    char copy[64];
    snprintf(copy, sizeof copy, "%s", domain);
    request.domain = copy;
    return cw_rpc_unary(channel, path, &request.base, RESPONSE, 5000, true, ret_answer);
}

static void an_answer_comes_back_with_the_tables_context(void **state)
{
    struct kit *kit = *state;
    struct cw_rpc_answer answer;
    assert_int_equal(ask(kit->open, "/t.S/Echo", "abott.com", &answer), CW_OK);
    const response_message *response = (const void *)answer.response;
    assert_string_equal(response->reason, "abott.com");
    assert_string_equal(response->required_scope, "ctx");
    cw_rpc_answer_done(&answer);
}

static void an_error_carries_reason_text_and_retry(void **state)
{
    struct kit *kit = *state;
    struct cw_rpc_answer answer;
    assert_int_equal(ask(kit->open, "/t.S/Refuse", "x", &answer), CW_KEYS_UNAVAILABLE);
    assert_int_equal(answer.status, CW_GRPC_UNAVAILABLE);
    assert_string_equal(answer.message, "no keys yet");
    assert_int_equal(answer.retry_after_ms, 1000);
    assert_null(answer.response);
    cw_rpc_answer_done(&answer);
}

static void a_handler_that_forgets_to_answer_is_an_internal_error(void **state)
{
    struct kit *kit = *state;
    struct cw_rpc_answer answer;
    assert_int_equal(ask(kit->open, "/t.S/Forget", "x", &answer), CW_INTERNAL);
    cw_rpc_answer_done(&answer);
}

static void raw_bytes_and_the_peer_reach_the_handler(void **state)
{
    struct kit *kit = *state;
    response_message sent = CLINICWAVE__TOKEN__V1__VALIDATE_RESPONSE__INIT;
    sent.cached = true;
    struct cw_rpc_answer answer;
    assert_int_equal(cw_rpc_unary(kit->open, "/t.S/Raw", &sent.base, RESPONSE, 5000, true, &answer),
                     CW_OK);
    assert_true(((const response_message *)(const void *)answer.response)->cached);
    cw_rpc_answer_done(&answer);
}

static void each_method_is_allowed_on_its_sockets_only(void **state)
{
    struct kit *kit = *state;
    const struct {
        struct cw_rpc_channel *channel;
        const char *path;
        enum cw_err err;
    } table[] = {
        {kit->open, "/t.S/Echo", CW_OK},
        {kit->admin, "/t.S/Echo", CW_OK},
        {kit->open, "/t.S/AdminOnly", CW_PERMISSION_DENIED},
        {kit->admin, "/t.S/AdminOnly", CW_OK},
        {kit->admin, "/t.S/Raw", CW_PERMISSION_DENIED},
        {kit->open, "/t.S/Nothing", CW_UNIMPLEMENTED},
        {kit->admin, "/t.S/Nothing", CW_UNIMPLEMENTED},
        {kit->admin, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
         CW_PERMISSION_DENIED},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(table); i++) {
        struct cw_rpc_answer answer;
        int64_t start = kit_now_ms();
        enum cw_err err = ask(table[i].channel, table[i].path, "x", &answer);
        if (err != table[i].err) {
            fail_msg("%s (row %zu): %s, not %s", table[i].path, i, cw_err_code(err),
                     cw_err_code(table[i].err));
        }
        assert_true(kit_now_ms() - start < 3000); /* at once, not at the deadline */
        cw_rpc_answer_done(&answer);
    }
}

/* What arrives on the wire and the status that it must get. The handler sees none but the good
 * ones. */
static void bad_messages_never_reach_the_handler(void **state)
{
    struct kit *kit = *state;
    static char large[300 << 10], many[40002];
    for (size_t i = 0; i + 1 < sizeof many; i += 2) {
        many[i] = 0x1a; /* requirement = {} */
        many[i + 1] = 0;
    }
    static char scopes[40002]; /* one Requirement with 20 000 empty strings */
    const size_t inner = 39990;
    scopes[0] = 0x1a;
    scopes[1] = (char)((inner & 0x7f) | 0x80);
    scopes[2] = (char)(((inner >> 7) & 0x7f) | 0x80);
    scopes[3] = (char)(inner >> 14);
    for (size_t i = 4; i < 4 + inner; i += 2) {
        scopes[i] = 0x12;
    }
    const struct {
        const char *what;
        const char *p;
        size_t n;
        int status;
    } table[] = {
        {"no message at all", NULL, 0, 3},
        {"an empty message is a default one", "", 0, 0},
        {"a domain with a NUL inside",
         "\x12\x03"
         "a\0b",
         5, 3},
        {"a domain that is no UTF-8", "\x12\x02\xc3\x28", 4, 3},
        {"a length past the end",
         "\x12\x7f"
         "a",
         3, 3},
        {"a group", "\x13\x14", 2, 3},
        {"an unknown field is skipped",
         "\xfa\x3e\x01"
         "x",
         4, 0},
        {"above the size bound", large, sizeof large, 8},
        {"20 000 empty messages for one field", many, 40000, 3},
        {"20 000 elements past the memory bound", scopes, 4 + inner, 3},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(table); i++) {
        struct kit_call call = {.message = table[i].p, .n = table[i].n, .timeout_ms = 5000};
        int before = atomic_load(&handled);
        kit_raw_call(kit->open_path, "/t.S/Echo", &call);
        if (call.status != table[i].status ||
            atomic_load(&handled) - before != (table[i].status == 0)) {
            fail_msg("%s: status %d, handled %d", table[i].what, call.status,
                     atomic_load(&handled) - before);
        }
    }
}

static int setup_deferred(void **state)
{
    static struct kit kit;
    kit_init(&kit);
    *state = &kit;
    kit_start(&kit, deferred, 1, &later_thread);
    return 0;
}

static void a_deferred_call_is_answered_by_another_thread(void **state)
{
    struct kit *kit = *state;
    struct cw_rpc_answer answer;
    atomic_store(&answer_now, true);
    assert_int_equal(ask(kit->open, "/t.S/Later", "x", &answer), CW_OK);
    pthread_join(later_thread, NULL);
    assert_false(atomic_load(&saw_cancel));
    cw_rpc_answer_done(&answer);
}

static void a_deferred_call_learns_that_the_client_is_gone(void **state)
{
    struct kit *kit = *state;
    atomic_store(&answer_now, false);
    struct kit_call cancelled = {.message = "", .timeout_ms = 20000, .cancel_after_ms = 300};
    kit_raw_call(kit->open_path, "/t.S/Later", &cancelled);
    pthread_join(later_thread, NULL);
    assert_int_equal(cancelled.status, 1);
    assert_true(atomic_load(&saw_cancel));

    struct kit_call late = {.message = "", .timeout_ms = 800};
    kit_raw_call(kit->open_path, "/t.S/Later", &late);
    pthread_join(later_thread, NULL);
    assert_int_equal(late.status, 4);
    assert_true(atomic_load(&saw_cancel));
}

static void count_done(const struct cw_rpc_answer *answer, void *ctx)
{
    atomic_fetch_add((atomic_int *)ctx, answer->err == CW_OK ? 1 : 1000);
}

static void above_the_bound_calls_are_turned_away(void **state)
{
    static struct kit kit;
    (void)state;
    kit_init(&kit);
    kit.config.max_in_flight = 1;
    kit_start(&kit, deferred, 1, &later_thread);
    struct cw_rpc_answer answer;
    request_message request = CLINICWAVE__TOKEN__V1__VALIDATE_REQUEST__INIT;
    atomic_int done = 0;
    struct cw_rpc_server_stats stats = {0};
    atomic_store(&answer_now, false);
    cw_rpc_unary_start(kit.runtime, kit.open, "/t.S/Later", &request.base, RESPONSE, 5000,
                       count_done, &done);
    while (stats.in_flight == 0 && atomic_load(&done) == 0) {
        usleep(500);
        cw_rpc_server_stats(kit.server, &stats);
    }
    assert_int_equal(ask(kit.open, "/t.S/Later", "x", &answer), CW_TOO_MANY_REQUESTS);
    assert_int_equal(answer.retry_after_ms, 1000);
    cw_rpc_answer_done(&answer);
    atomic_store(&answer_now, true);
    while (atomic_load(&done) == 0) {
        usleep(500);
    }
    assert_int_equal(atomic_load(&done), 1);
    pthread_join(later_thread, NULL);
    cw_rpc_server_stats(kit.server, &stats);
    assert_int_equal(stats.overloaded, 1);
    kit_done(&kit);
}

static void the_deadline_of_a_server_that_is_not_there_holds(void **state)
{
    (void)state;
    struct cw_rpc_channel *channel = kit_channel("/tmp/cwrpc-nobody-is-here.sock");
    struct cw_rpc_answer answer;
    request_message request = CLINICWAVE__TOKEN__V1__VALIDATE_REQUEST__INIT;
    int64_t start = kit_now_ms();
    assert_int_equal(
        cw_rpc_unary(channel, "/t.S/Echo", &request.base, RESPONSE, 5000, false, &answer),
        CW_UNAVAILABLE);
    cw_rpc_answer_done(&answer);
    assert_int_equal(
        cw_rpc_unary(channel, "/t.S/Echo", &request.base, RESPONSE, 200, true, &answer),
        CW_DEADLINE_EXCEEDED);
    cw_rpc_answer_done(&answer);
    assert_true(kit_now_ms() - start < 4500);
    cw_rpc_channel_free(channel);
}

/* The share of one core that the poller used since `start_ms`, in percent. */
static uint64_t poller_share(struct kit *kit, int64_t start_ms, uint64_t cpu_ns)
{
    uint64_t wall_ms = (uint64_t)(kit_now_ms() - start_ms);
    return (cw_rpc_runtime_cpu_ns(kit->runtime) - cpu_ns) / 10000 / CW_MAX(wall_ms, 1u);
}

static void a_spinning_poller_leaves_the_core_alone_when_little_comes(void **state)
{
    enum { BURST = 200, PACED = 100, PACE_US = 5000, IDLE_US = 500000, MAX_SHARE = 40 };
    struct kit *kit = *state;
    struct cw_rpc_answer answer;
    for (int i = 0; i < BURST; i++) { /* so fast that it expects more */
        assert_int_equal(ask(kit->open, "/t.S/Echo", "x", &answer), CW_OK);
        cw_rpc_answer_done(&answer);
    }
    int64_t start = kit_now_ms();
    uint64_t cpu = cw_rpc_runtime_cpu_ns(kit->runtime);
    usleep(IDLE_US);
    assert_in_range(poller_share(kit, start, cpu), 0, MAX_SHARE / 4);
    start = kit_now_ms();
    cpu = cw_rpc_runtime_cpu_ns(kit->runtime);
    for (int i = 0; i < PACED; i++) {
        usleep(PACE_US);
        assert_int_equal(ask(kit->open, "/t.S/Echo", "x", &answer), CW_OK);
        cw_rpc_answer_done(&answer);
    }
    assert_in_range(poller_share(kit, start, cpu), 0, MAX_SHARE);
}

/* A busy machine takes its time to greet: an attempt to connect is not given up at once. */
static void a_server_that_is_slow_to_greet_is_waited_for(void **state)
{
    (void)state;
    static struct kit kit;
    kit_init(&kit);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", kit.open_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0); /* and it says nothing */
    struct cw_rpc_channel *channel = kit_channel(address.sun_path);
    struct cw_rpc_answer answer;
    request_message request = CLINICWAVE__TOKEN__V1__VALIDATE_REQUEST__INIT;
    enum cw_err err =
        cw_rpc_unary(channel, "/t.S/Echo", &request.base, RESPONSE, 800, false, &answer);
    cw_rpc_answer_done(&answer);
    cw_rpc_channel_free(channel);
    close(fd);
    unlink(address.sun_path);
    assert_int_equal(rmdir(kit.dir), 0);
    assert_int_equal(err, CW_DEADLINE_EXCEEDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_is_slow_to_greet_is_waited_for),
        cmocka_unit_test_setup_teardown(an_answer_comes_back_with_the_tables_context, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_error_carries_reason_text_and_retry, setup, teardown),
        cmocka_unit_test_setup_teardown(a_handler_that_forgets_to_answer_is_an_internal_error,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(raw_bytes_and_the_peer_reach_the_handler, setup, teardown),
        cmocka_unit_test_setup_teardown(each_method_is_allowed_on_its_sockets_only, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(bad_messages_never_reach_the_handler, setup, teardown),
        cmocka_unit_test_setup_teardown(a_deferred_call_is_answered_by_another_thread,
                                        setup_deferred, teardown),
        cmocka_unit_test_setup_teardown(a_deferred_call_learns_that_the_client_is_gone,
                                        setup_deferred, teardown),
        cmocka_unit_test(above_the_bound_calls_are_turned_away),
        cmocka_unit_test_setup_teardown(a_spinning_poller_leaves_the_core_alone_when_little_comes,
                                        setup, teardown),
        cmocka_unit_test(the_deadline_of_a_server_that_is_not_there_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
