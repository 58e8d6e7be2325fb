#include "tests/unit/common/rpc/kit.h"

#include <dirent.h>
#include <grp.h>
#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"

int64_t kit_now_ms(void)
{
    return cw_clock_monotonic_ms(&cw_clock_system);
}

void kit_init(struct kit *kit)
{
    *kit = (struct kit){.dir = "/tmp/cwrpcXXXXXX"};
    assert_non_null(mkdtemp(kit->dir));
    snprintf(kit->open_path, sizeof kit->open_path, "%s/open.sock", kit->dir);
    snprintf(kit->admin_path, sizeof kit->admin_path, "%s/admin.sock", kit->dir);
    kit->listeners[0] = (struct cw_rpc_listener){
        .name = "open", .bit = KIT_OPEN, .path = kit->open_path, .any_uid = true};
    kit->listeners[1] =
        (struct cw_rpc_listener){.name = "admin", .bit = KIT_ADMIN, .path = kit->admin_path};
    kit->config = (struct cw_rpc_server_config){
        .listeners = kit->listeners, .n_listeners = 2, .reflection = KIT_OPEN};
}

struct cw_rpc_channel *kit_channel(const char *path)
{
    char target[128];
    snprintf(target, sizeof target, "unix:%s", path);
    struct cw_rpc_channel *channel;
    assert_int_equal(cw_rpc_channel_new(target, 0, &channel), CW_OK);
    return channel;
}

void kit_start(struct kit *kit, const struct cw_rpc_method *methods, size_t n, void *ctx)
{
    assert_int_equal(cw_rpc_runtime_new_spinning(1, KIT_SPIN_US, &kit->runtime), CW_OK);
    assert_int_equal(cw_rpc_server_new(kit->runtime, &kit->config, &kit->server), CW_OK);
    if (n) {
        assert_int_equal(cw_rpc_server_add(kit->server, methods, n, ctx), CW_OK);
    }
    struct cw_buf why = CW_BUF_INIT(1024);
    if (cw_rpc_server_start(kit->server, &why) != CW_OK) {
        fail_msg("%.*s", (int)why.n, why.p);
    }
    cw_buf_done(&why);
    cw_rpc_server_set_serving(kit->server, NULL, true);
    kit->open = kit_channel(kit->open_path);
    kit->admin = kit_channel(kit->admin_path);
}

void kit_done(struct kit *kit)
{
    cw_rpc_channel_free(kit->open);
    cw_rpc_channel_free(kit->admin);
    cw_rpc_server_free(kit->server);
    cw_rpc_runtime_free(kit->runtime);
    DIR *dir = opendir(kit->dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
    assert_int_equal(rmdir(kit->dir), 0);
}

pid_t kit_run_self(const char *how, const char *path, uid_t uid)
{
    char self[] = "self", how_copy[32], path_copy[128];
    snprintf(how_copy, sizeof how_copy, "%s", how);
    snprintf(path_copy, sizeof path_copy, "%s", path);
    char *argv[] = {self, how_copy, path_copy, NULL};
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (uid == 0 || (setgroups(0, NULL) == 0 && setgid(uid) == 0 && setuid(uid) == 0)) {
            execv("/proc/self/exe", argv);
        }
        _exit(255);
    }
    return pid;
}

void kit_raw_call(const char *path, const char *method, struct kit_call *want)
{
    char target[128];
    snprintf(target, sizeof target, "unix:%s", path);
    grpc_init();
    grpc_channel_credentials *insecure = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(target, insecure, NULL);
    grpc_channel_credentials_release(insecure);
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    grpc_call *call = grpc_channel_create_call(
        channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue, grpc_slice_from_copied_string(method), NULL,
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                     gpr_time_from_millis(want->timeout_ms, GPR_TIMESPAN)),
        NULL);
    grpc_metadata_array head, trailing;
    grpc_metadata_array_init(&head);
    grpc_metadata_array_init(&trailing);
    grpc_status_code status = GRPC_STATUS_UNKNOWN;
    grpc_slice details = grpc_empty_slice();
    grpc_byte_buffer *message = NULL, *answer = NULL;
    grpc_op ops[6] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}};
    size_t n = 1;
    if (want->message) {
        grpc_slice slice = grpc_slice_from_copied_buffer(want->message, want->n);
        message = grpc_raw_byte_buffer_create(&slice, 1);
        grpc_slice_unref(slice);
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = message;
    }
    ops[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[n].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[n++].data.recv_initial_metadata.recv_initial_metadata = &head;
    ops[n].op = GRPC_OP_RECV_MESSAGE;
    ops[n++].data.recv_message.recv_message = &answer;
    ops[n].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[n].data.recv_status_on_client.trailing_metadata = &trailing;
    ops[n].data.recv_status_on_client.status = &status;
    ops[n++].data.recv_status_on_client.status_details = &details;
    int64_t start = kit_now_ms();
    assert_int_equal(grpc_call_start_batch(call, ops, n, call, NULL), GRPC_CALL_OK);
    if (want->cancel_after_ms) {
        usleep(want->cancel_after_ms * 1000);
        grpc_call_cancel(call, NULL);
    }
    grpc_completion_queue_pluck(queue, call, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    want->took_ms = (unsigned)(kit_now_ms() - start);
    want->status = (int)status;
    if (message) {
        grpc_byte_buffer_destroy(message);
    }
    if (answer) {
        grpc_byte_buffer_destroy(answer);
    }
    grpc_slice_unref(details);
    grpc_metadata_array_destroy(&head);
    grpc_metadata_array_destroy(&trailing);
    grpc_call_unref(call);
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
    grpc_channel_destroy(channel);
    grpc_shutdown();
}
