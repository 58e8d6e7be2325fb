/* Who called is the one at the other end of the call's connection, also when that has gone and
 * others have come. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clinicwave/token/v1/token.pb-c.h"
#include "tests/unit/common/rpc/kit.h"

enum { OTHERS = 64, TIMEOUT_MS = 120000 };

#define HOLD "/t.S/Hold"

static _Atomic(struct cw_rpc_call *) held;

static void hold(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    (void)request;
    (void)ctx;
    cw_rpc_call_defer(call);
    atomic_store(&held, call);
}

static const struct cw_rpc_method methods[] = {
    {.path = HOLD, .listeners = KIT_OPEN, .unary = hold},
};

static int setup(void **state)
{
    static struct kit kit;
    kit_init(&kit);
    *state = &kit;
    kit_start(&kit, methods, CW_ARRAY_SIZE(methods), NULL);
    return 0;
}

static int teardown(void **state)
{
    struct cw_rpc_call *call = atomic_exchange(&held, NULL);
    if (call) { /* the test broke off */
        cw_rpc_reply_bytes(call, CW_STR(""));
    }
    kit_done(*state);
    return 0;
}

/* Another process: waits for an answer that never comes. */
static int ask(const char *path)
{
    struct cw_rpc_channel *channel = kit_channel(path);
    Clinicwave__Token__V1__ValidateRequest request = CLINICWAVE__TOKEN__V1__VALIDATE_REQUEST__INIT;
    struct cw_rpc_answer answer;
    return (int)cw_rpc_unary(channel, HOLD, &request.base,
                             &clinicwave__token__v1__validate_response__descriptor, TIMEOUT_MS,
                             true, &answer);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* The core names a connection by its descriptor's number: it must not be another's while the call
 * is held, whatever has become of the connection. */
static void a_caller_that_has_gone_is_not_taken_for_the_next_one(void **state)
{
    struct kit *kit = *state;
    pid_t pid = kit_run_self("--ask", kit->open_path, 0);
    int64_t end = kit_now_ms() + TIMEOUT_MS;
    while (!atomic_load(&held)) {
        assert_true(kit_now_ms() < end);
        usleep(500);
    }
    struct cw_rpc_call *call = atomic_load(&held);
    assert_int_equal(cw_rpc_call_peer(call).pid, pid);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    while (!cw_rpc_call_cancelled(call)) { /* the core knows, too */
        assert_true(kit_now_ms() < end);
        usleep(500);
    }
    struct cw_rpc_server_stats stats = {0};
    cw_rpc_server_stats(kit->server, &stats);
    uint64_t before = stats.connections;
    int others[OTHERS];
    for (int i = 0; i < OTHERS; i++) {
        others[i] = connect_to(kit->open_path);
    }
    while (stats.connections < before + OTHERS) { /* each has a number by now */
        assert_true(kit_now_ms() < end);
        usleep(500);
        cw_rpc_server_stats(kit->server, &stats);
    }
    struct cw_rpc_peer peer = cw_rpc_call_peer(call);
    for (int i = 0; i < OTHERS; i++) {
        close(others[i]);
    }
    assert_int_equal(peer.pid, pid);
    assert_int_equal(peer.uid, getuid());
    cw_rpc_reply_bytes(atomic_exchange(&held, NULL), CW_STR(""));
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--ask") == 0) {
        return ask(argv[2]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_caller_that_has_gone_is_not_taken_for_the_next_one, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
