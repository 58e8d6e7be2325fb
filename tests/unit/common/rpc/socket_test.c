/* Sockets: never stolen, never wider than 0660, and open to the users that the configuration names.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "grpc/health/v1/health.pb-c.h"
#include "tests/unit/common/rpc/kit.h"

enum { STRANGER = 65534 };

#define CHECK "/grpc.health.v1.Health/Check"
#define RESPONSE &grpc__health__v1__health_check_response__descriptor

static enum cw_err check(struct cw_rpc_channel *channel)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct cw_rpc_answer answer;
    enum cw_err err = cw_rpc_unary(channel, CHECK, &request.base, RESPONSE, 3000, false, &answer);
    cw_rpc_answer_done(&answer);
    return err;
}

static enum cw_err check_path(const char *path)
{
    struct cw_rpc_channel *channel = kit_channel(path);
    enum cw_err err = check(channel);
    cw_rpc_channel_free(channel);
    return err;
}

static int setup(void **state)
{
    static struct kit kit;
    kit_init(&kit);
    *state = &kit;
    kit_start(&kit, NULL, 0, NULL);
    return 0;
}

/* Without a server, so that the test can start one. */
static int setup_stopped(void **state)
{
    setup(state);
    struct kit *kit = *state;
    cw_rpc_server_free(kit->server);
    kit->server = NULL;
    return 0;
}

/* The second server of a test, which may break off at any assertion. */
static struct cw_rpc_server *another;
static void end_another(void)
{
    cw_rpc_server_free(another);
    another = NULL;
}

static int teardown(void **state)
{
    end_another(); /* where the test broke off */
    kit_done(*state);
    return 0;
}

/* Starts a second server with the kit's configuration. */
static enum cw_err start_another(struct kit *kit, struct cw_rpc_server **ret_server)
{
    struct cw_rpc_server *server;
    assert_int_equal(cw_rpc_server_new(kit->runtime, &kit->config, &server), CW_OK);
    struct cw_buf why = CW_BUF_INIT(1024);
    enum cw_err err = cw_rpc_server_start(server, &why);
    assert_true((err == CW_OK) == (why.n == 0)); /* a failure says why */
    cw_buf_done(&why);
    if (err == CW_OK) {
        *ret_server = another = server;
    } else {
        cw_rpc_server_free(server);
    }
    return err;
}

static ino_t inode(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static int plain_listener(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static void the_socket_has_mode_0660_whatever_the_umask(void **state)
{
    struct kit *kit = *state;
    const mode_t masks[] = {0, 022, 077};
    for (size_t i = 0; i < CW_ARRAY_SIZE(masks); i++) {
        struct cw_rpc_server *server;
        mode_t before = umask(masks[i]);
        assert_int_equal(start_another(kit, &server), CW_OK);
        assert_int_equal(umask(before), masks[i]); /* ours is untouched */
        struct stat st;
        assert_int_equal(lstat(kit->open_path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0660);
        assert_int_equal(check_path(kit->open_path), CW_OK);
        end_another();
        assert_int_equal(inode(kit->open_path), 0); /* gone with its server */
    }
}

static void a_live_socket_is_not_stolen(void **state)
{
    struct kit *kit = *state;
    struct cw_rpc_server *server;
    ino_t before = inode(kit->open_path);
    assert_int_equal(start_another(kit, &server), CW_CONFLICT);
    assert_int_equal(inode(kit->open_path), before);
    assert_int_equal(check_path(kit->open_path), CW_OK);
}

static void a_socket_of_somebody_without_our_lock_is_not_stolen(void **state)
{
    struct kit *kit = *state;
    struct cw_rpc_server *server;
    int fd = plain_listener(kit->admin_path);
    ino_t before = inode(kit->admin_path);
    assert_int_equal(start_another(kit, &server), CW_CONFLICT);
    assert_int_equal(inode(kit->admin_path), before);
    assert_int_equal(inode(kit->open_path), 0); /* nothing of the failed start stays */
    close(fd);
    assert_int_equal(start_another(kit, &server), CW_OK); /* dead now: replaced */
    assert_int_equal(check_path(kit->admin_path), CW_OK);
    end_another();
}

static void what_is_no_socket_is_left_alone(void **state)
{
    struct kit *kit = *state;
    struct cw_rpc_server *server;
    int fd = open(kit->open_path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    ino_t before = inode(kit->open_path);
    assert_int_equal(start_another(kit, &server), CW_CONFLICT);
    assert_int_equal(inode(kit->open_path), before);
    unlink(kit->open_path);
    assert_int_equal(symlink("/nowhere", kit->open_path), 0);
    before = inode(kit->open_path);
    assert_int_equal(start_another(kit, &server), CW_CONFLICT);
    assert_int_equal(inode(kit->open_path), before);
}

static void a_path_that_was_replaced_stays_when_we_end(void **state)
{
    struct kit *kit = *state;
    unlink(kit->open_path);
    int fd = plain_listener(kit->open_path);
    ino_t theirs = inode(kit->open_path);
    cw_rpc_server_free(kit->server);
    kit->server = NULL;
    assert_int_equal(inode(kit->open_path), theirs);
    assert_int_equal(inode(kit->admin_path), 0);
    close(fd);
}

static void impossible_addresses_are_refused_with_a_reason(void **state)
{
    struct kit *kit = *state;
    struct cw_rpc_server *server;
    static char long_path[200];
    memset(long_path, 'x', sizeof long_path - 1);
    memcpy(long_path, "/tmp/", 5);
    const struct {
        const char *path, *address;
        enum cw_err err;
    } table[] = {
        {long_path, NULL, CW_CONFIG_INVALID},   {"/nowhere/at/all.sock", NULL, CW_IO},
        {NULL, "0.0.0.0", CW_CONFIG_INVALID},   {NULL, "192.0.2.1", CW_CONFIG_INVALID},
        {NULL, "localhost", CW_CONFIG_INVALID}, {NULL, "::", CW_CONFIG_INVALID},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(table); i++) {
        kit->listeners[1].path = table[i].path;
        kit->listeners[1].address = table[i].address;
        assert_int_equal(start_another(kit, &server), table[i].err);
    }
}

static void a_loopback_port_serves_and_is_not_shared(void **state)
{
    struct kit *kit = *state;
    struct cw_rpc_server *server, *second;
    kit->listeners[1].path = NULL;
    kit->listeners[1].address = "127.0.0.1";
    assert_int_equal(start_another(kit, &server), CW_OK);
    uint16_t port = cw_rpc_server_port(server, "admin");
    assert_int_not_equal(port, 0);
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%u", port);
    struct cw_rpc_channel *channel;
    assert_int_equal(cw_rpc_channel_new(target, 0, &channel), CW_OK);
    assert_int_equal(check(channel), CW_OK);
    cw_rpc_channel_free(channel);
    kit->listeners[0].path = kit->admin_path; /* another lock */
    kit->listeners[1].port = port;
    assert_int_equal(start_another(kit, &second), CW_CONFLICT);
    end_another();
}

/* A place returns when the server has seen the end of the connection that held it. */
static void check_until_there(struct cw_rpc_channel *channel)
{
    enum cw_err err = CW_UNAVAILABLE;
    for (int i = 0; i < 10000 && err != CW_OK; i++) {
        err = check(channel);
        usleep(err == CW_OK ? 0 : 2000);
    }
    assert_int_equal(err, CW_OK);
}

static void above_the_bound_connections_are_closed_and_places_return(void **state)
{
    struct kit *kit = *state;
    kit->config.max_connections = 2;
    struct cw_rpc_server *server;
    assert_int_equal(start_another(kit, &server), CW_OK);
    cw_rpc_server_set_serving(server, NULL, true);
    for (int round = 0; round < 5; round++) {
        struct cw_rpc_channel *a = kit_channel(kit->open_path), *b = kit_channel(kit->open_path);
        check_until_there(a);
        check_until_there(b);
        assert_int_equal(check_path(kit->open_path), CW_UNAVAILABLE);
        cw_rpc_channel_free(a);
        cw_rpc_channel_free(b);
    }
    struct cw_rpc_server_stats stats;
    cw_rpc_server_stats(server, &stats);
    assert_true(stats.turned_away >= 5);
    end_another();
}

/* As another user in another process; its exit status is the error. */
static enum cw_err as_stranger(const char *path)
{
    pid_t pid = kit_run_self("--check", path, STRANGER);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return (enum cw_err)WEXITSTATUS(status);
}

static void another_user_is_refused_unless_configured(void **state)
{
    struct kit *kit = *state;
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    assert_int_equal(chmod(kit->dir, 0755), 0);
    static const uid_t stranger[] = {STRANGER};
    const struct {
        gid_t group;
        bool any_uid;
        size_t n_uids;
        enum cw_err err;
    } table[] = {
        {0, true, 1, CW_UNAVAILABLE},               /* the file itself shuts him out */
        {STRANGER, false, 0, CW_PERMISSION_DENIED}, /* the file lets him in, the kernel names him */
        {STRANGER, false, 1, CW_OK},
        {STRANGER, true, 0, CW_OK},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(table); i++) {
        kit->listeners[0].group = table[i].group;
        kit->listeners[0].any_uid = table[i].any_uid;
        kit->listeners[0].uids = stranger;
        kit->listeners[0].n_uids = table[i].n_uids;
        struct cw_rpc_server *server;
        assert_int_equal(start_another(kit, &server), CW_OK);
        cw_rpc_server_set_serving(server, NULL, true);
        enum cw_err err = as_stranger(kit->open_path);
        if (err != table[i].err) {
            fail_msg("row %zu: %s", i, cw_err_code(err));
        }
        struct cw_rpc_server_stats stats;
        cw_rpc_server_stats(server, &stats);
        assert_int_equal(stats.refused, table[i].err == CW_PERMISSION_DENIED);
        end_another();
    }
}

/* Only root can give a file away. */
static void a_guarded_channel_calls_no_strangers_socket(void **state)
{
    struct kit *kit = *state;
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    static const uid_t stranger[] = {STRANGER};
    const struct {
        uid_t owner;
        size_t n_uids;
        enum cw_err err;
    } table[] = {{0, 0, CW_OK},
                 {STRANGER, 0, CW_UNAVAILABLE},
                 {STRANGER, 1, CW_OK},
                 {1234, 1, CW_UNAVAILABLE}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(table); i++) {
        assert_int_equal(chown(kit->open_path, table[i].owner, (gid_t)-1), 0);
        struct cw_rpc_server_stats before, after;
        cw_rpc_server_stats(kit->server, &before);
        struct cw_rpc_channel *channel = kit_channel(kit->open_path);
        assert_int_equal(cw_rpc_channel_guard(channel, kit->open_path, stranger, table[i].n_uids),
                         CW_OK);
        enum cw_err err = check(channel);
        cw_rpc_channel_free(channel);
        cw_rpc_server_stats(kit->server, &after);
        if (err != table[i].err || (after.connections > before.connections) != (err == CW_OK)) {
            fail_msg("row %zu: %s", i, cw_err_code(err));
        }
    }
}

static atomic_int guarded_starts, guarded_messages, guarded_ends;

static void guarded_start(struct cw_rpc_subscription *subscription, void *ctx)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    (void)ctx;
    atomic_fetch_add(&guarded_starts, 1);
    if (cw_rpc_subscription_send(subscription, &request.base) != CW_OK) {
        atomic_fetch_add(&guarded_starts, 1000);
    }
}

static void guarded_message(struct cw_rpc_subscription *subscription,
                            const ProtobufCMessage *message, void *ctx)
{
    (void)subscription;
    (void)message;
    (void)ctx;
    atomic_fetch_add(&guarded_messages, 1);
}

static void guarded_end(struct cw_rpc_subscription *subscription, const struct cw_rpc_answer *how,
                        void *ctx)
{
    (void)subscription;
    (void)ctx;
    atomic_fetch_add(&guarded_ends, how->err == CW_UNAVAILABLE ? 1 : 1000);
}

static void a_guarded_stream_waits_for_the_right_owner(void **state)
{
    struct kit *kit = *state;
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    static const struct cw_rpc_subscription_ops ops = {.path = "/grpc.health.v1.Health/Watch",
                                                       .server_stream = true,
                                                       .response = RESPONSE,
                                                       .on_start = guarded_start,
                                                       .on_message = guarded_message,
                                                       .on_end = guarded_end};
    assert_int_equal(chown(kit->open_path, STRANGER, (gid_t)-1), 0);
    struct cw_rpc_channel *channel = kit_channel(kit->open_path);
    assert_int_equal(cw_rpc_channel_guard(channel, kit->open_path, NULL, 0), CW_OK);
    struct cw_rpc_subscription *subscription;
    assert_int_equal(cw_rpc_subscription_new(kit->runtime, channel, &ops, NULL, &subscription),
                     CW_OK);
    for (int i = 0; i < 10000 && atomic_load(&guarded_ends) == 0; i++) {
        usleep(2000);
    }
    usleep(500 * 1000); /* it looks again, and says nothing more */
    int ends = atomic_load(&guarded_ends), starts = atomic_load(&guarded_starts);
    int owned = chown(kit->open_path, 0, (gid_t)-1);
    for (int i = 0; i < 10000 && atomic_load(&guarded_messages) == 0; i++) {
        usleep(2000);
    }
    int messages = atomic_load(&guarded_messages);
    cw_rpc_subscription_free(subscription, 0);
    cw_rpc_channel_free(channel);
    assert_int_equal(ends, 1);
    assert_int_equal(starts, 0);
    assert_int_equal(owned, 0);
    assert_int_equal(messages, 1);
    assert_int_equal(atomic_load(&guarded_starts), 1);
}

static int connect_plain(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}

/* The stranger's part: as many connections as CROWD, held until he is killed. */
enum { CROWD = 20 };
static int crowd(const char *path)
{
    for (int i = 0; i < CROWD; i++) {
        if (connect_plain(path) < 0) {
            return 1;
        }
    }
    pause();
    return 0;
}

static void strangers_cannot_take_all_places(void **state)
{
    struct kit *kit = *state;
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    assert_int_equal(chmod(kit->dir, 0755), 0);
    kit->listeners[0].group = STRANGER;
    kit->listeners[0].any_uid = false;
    kit->config.max_connections = 8;
    struct cw_rpc_server *server;
    assert_int_equal(start_another(kit, &server), CW_OK);
    pid_t pid = kit_run_self("--crowd", kit->open_path, STRANGER);
    struct cw_rpc_server_stats stats = {0};
    for (int i = 0; i < 5000 && stats.turned_away < CROWD - 2; i++) {
        usleep(2000);
        cw_rpc_server_stats(server, &stats);
    }
    assert_int_equal(stats.connections, 2);
    assert_int_equal(stats.turned_away, CROWD - 2);
    assert_int_equal(check_path(kit->open_path), CW_OK);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    end_another();
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--crowd") == 0) {
        return crowd(argv[2]);
    }
    if (argc == 3 && strcmp(argv[1], "--check") == 0) {
        return (int)check_path(argv[2]);
    }
#define CASE(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_socket_has_mode_0660_whatever_the_umask, setup_stopped),
        CASE(a_live_socket_is_not_stolen, setup),
        CASE(a_socket_of_somebody_without_our_lock_is_not_stolen, setup_stopped),
        CASE(what_is_no_socket_is_left_alone, setup_stopped),
        CASE(a_path_that_was_replaced_stays_when_we_end, setup),
        CASE(impossible_addresses_are_refused_with_a_reason, setup_stopped),
        CASE(a_loopback_port_serves_and_is_not_shared, setup_stopped),
        CASE(above_the_bound_connections_are_closed_and_places_return, setup_stopped),
        CASE(another_user_is_refused_unless_configured, setup_stopped),
        CASE(strangers_cannot_take_all_places, setup_stopped),
        CASE(a_guarded_channel_calls_no_strangers_socket, setup),
        CASE(a_guarded_stream_waits_for_the_right_owner, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
