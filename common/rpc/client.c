/* Channels and unary calls of clients. */
#include "common/rpc/client.h"

#include <grpc/grpc_security.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/rpc/client_internal.h"
#include "common/rpc/message.h"
#include "common/rpc/status.h"
#include "common/rpc/tag.h"

/* CONNECT_MS: what an attempt to connect may take until the server's SETTINGS are there (the core
 * calls it the least backoff; the pause between attempts is another matter). */
enum {
    KEEPALIVE_MS = 10 * 1000, /* a host that vanished sends no reset */
    KEEPALIVE_TIMEOUT_MS = 5000,
    CERTIFICATES_S = 60,
};
enum { CONNECT_MS = 2000, DEFAULT_MESSAGE = 4 << 20, ANSWER_MEMORY = 64 << 20, UNARY_OPS = 6 };

/* ---- channels ---- */

static grpc_arg int_arg(char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = key, .value.integer = value};
}

static grpc_channel_credentials *credentials_of(const struct cw_rpc_remote *remote)
{
    if (remote->ca_file == NULL) {
        return grpc_insecure_credentials_create();
    }
    grpc_tls_certificate_provider *files = grpc_tls_certificate_provider_file_watcher_create(
        remote->key_file, remote->certificate_file, remote->ca_file, CERTIFICATES_S);
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    grpc_tls_credentials_options_set_certificate_provider(options, files);
    grpc_tls_credentials_options_watch_root_certs(options);
    grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
    grpc_tls_credentials_options_set_verify_server_cert(options, 1);
    grpc_channel_credentials *credentials = grpc_tls_credentials_create(options);
    grpc_tls_certificate_provider_release(files);
    return credentials;
}

enum cw_err cw_rpc_channel_new(const char *target, uint32_t max_message,
                               struct cw_rpc_channel **ret_channel)
{
    const struct cw_rpc_remote remote = {.target = target};
    return cw_rpc_channel_new_to(&remote, max_message, ret_channel);
}

enum cw_err cw_rpc_channel_new_to(const struct cw_rpc_remote *remote, uint32_t max_message,
                                  struct cw_rpc_channel **ret_channel)
{
    struct cw_rpc_channel *channel = calloc(1, sizeof *channel);
    ENSURE(channel, CW_NO_MEMORY);
    char max[] = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
         first[] = GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS;
    char least[] = GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, most[] = GRPC_ARG_MAX_RECONNECT_BACKOFF_MS;
    char retries[] = GRPC_ARG_ENABLE_RETRIES, proxy[] = GRPC_ARG_ENABLE_HTTP_PROXY;
    char service_config[] = GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION;
    char pool[] = GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, idle[] = GRPC_ARG_CLIENT_IDLE_TIMEOUT_MS;
    char alive[] = GRPC_ARG_KEEPALIVE_TIME_MS, alive_timeout[] = GRPC_ARG_KEEPALIVE_TIMEOUT_MS;
    char pings[] = GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA;
    char channelz[] = GRPC_ARG_ENABLE_CHANNELZ, bdp_probe[] = GRPC_ARG_HTTP2_BDP_PROBE;
    grpc_arg args[] = {
        int_arg(max, (int)CW_MIN(max_message ? max_message : DEFAULT_MESSAGE, (uint32_t)INT_MAX)),
        int_arg(first, 100),
        int_arg(least, CONNECT_MS),
        int_arg(most, 500),
        int_arg(retries, 0), /* whether to try again is decided by whoever calls */
        int_arg(proxy, 0),
        int_arg(service_config, 1),
        int_arg(pool, 1), /* channels do not share connections */
        int_arg(idle, INT_MAX),
        int_arg(channelz, 0),
        int_arg(bdp_probe, 0),
        int_arg(alive, remote->ca_file ? KEEPALIVE_MS : INT_MAX),
        int_arg(alive_timeout, KEEPALIVE_TIMEOUT_MS),
        int_arg(pings, 0), /* as many as it takes: a feed may be quiet from this side */
    };
    grpc_channel_args list = {.num_args = CW_ARRAY_SIZE(args), .args = args};
    cw_rpc_core_ref();
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the core may start threads */
    grpc_channel_credentials *credentials = credentials_of(remote);
    channel->core = grpc_channel_create(remote->target, credentials, &list);
    grpc_channel_credentials_release(credentials);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    *ret_channel = channel;
    return CW_OK;
}

enum cw_err cw_rpc_channel_guard(struct cw_rpc_channel *channel, const char *path,
                                 const uid_t *uids, size_t n)
{
    channel->guarded = strdup(path);
    channel->owners = calloc(n + 1, sizeof *uids);
    ENSURE(channel->guarded && channel->owners, CW_NO_MEMORY);
    if (n) {
        memcpy(channel->owners, uids, n * sizeof *uids);
    }
    channel->n_owners = n;
    return CW_OK;
}

enum cw_rpc_owner cw_rpc_socket_owner(const char *path, const uid_t *uids, size_t n,
                                      uid_t *ret_owner)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return CW_RPC_OWNER_ABSENT;
    }
    bool known = st.st_uid == 0 || st.st_uid == geteuid();
    for (size_t i = 0; i < n; i++) {
        known |= st.st_uid == uids[i];
    }
    if (ret_owner) {
        *ret_owner = st.st_uid;
    }
    return known && S_ISSOCK(st.st_mode) ? CW_RPC_OWNER_FINE : CW_RPC_OWNER_STRANGER;
}

enum cw_rpc_owner cw_rpc_channel_owner(const struct cw_rpc_channel *channel)
{
    return channel->guarded
               ? cw_rpc_socket_owner(channel->guarded, channel->owners, channel->n_owners, NULL)
               : CW_RPC_OWNER_FINE;
}

void cw_rpc_channel_free(struct cw_rpc_channel *channel)
{
    if (channel) {
        grpc_channel_destroy(channel->core);
        free(channel->guarded);
        free(channel->owners);
        free(channel);
        cw_rpc_core_unref();
    }
}

/* ---- endings ---- */

void cw_rpc_ending_init(struct cw_rpc_ending *ending)
{
    *ending = (struct cw_rpc_ending){.code = GRPC_STATUS_UNKNOWN, .message = grpc_empty_slice()};
    grpc_metadata_array_init(&ending->trailing);
}

void cw_rpc_ending_done(struct cw_rpc_ending *ending)
{
    grpc_metadata_array_destroy(&ending->trailing);
    grpc_slice_unref(ending->message);
}

void cw_rpc_ending_op(grpc_op *op, struct cw_rpc_ending *ending)
{
    *op = (grpc_op){.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    op->data.recv_status_on_client.trailing_metadata = &ending->trailing;
    op->data.recv_status_on_client.status = &ending->code;
    op->data.recv_status_on_client.status_details = &ending->message;
}

void cw_rpc_ending_read(const struct cw_rpc_ending *ending, struct cw_rpc_answer *ret_answer)
{
    struct cw_str message = {(const char *)GRPC_SLICE_START_PTR(ending->message),
                             GRPC_SLICE_LENGTH(ending->message)};
    *ret_answer = (struct cw_rpc_answer){.arena = CW_ARENA_INIT(ANSWER_MEMORY)};
    bool known = (unsigned)ending->code <= GRPC_STATUS_UNAUTHENTICATED;
    ret_answer->status = known ? (enum cw_grpc_status)ending->code : CW_GRPC_UNKNOWN;
    ret_answer->err =
        cw_rpc_status_read(ending->code, &ending->trailing, &ret_answer->retry_after_ms);
    const char *copy = cw_arena_dup(&ret_answer->arena, message);
    ret_answer->message = copy ? copy : "";
}

void cw_rpc_answer_done(struct cw_rpc_answer *answer)
{
    cw_arena_done(&answer->arena);
    answer->response = NULL;
    answer->message = "";
}

/* ---- unary calls ---- */

struct unary {
    struct cw_rpc_tag tag;
    grpc_call *call;
    const ProtobufCMessageDescriptor *response;
    grpc_metadata_array head;
    grpc_byte_buffer *sent, *received;
    struct cw_rpc_ending ending;
    void (*done)(const struct cw_rpc_answer *answer, void *ctx);
    void *ctx;
};

static void unary_init(struct unary *u, struct cw_rpc_channel *channel,
                       grpc_completion_queue *queue, const char *path,
                       const ProtobufCMessage *request, unsigned timeout_ms)
{
    grpc_metadata_array_init(&u->head);
    cw_rpc_ending_init(&u->ending);
    grpc_slice slice = cw_rpc_message_pack(request);
    u->sent = cw_rpc_message_buffer(&slice, 1);
    grpc_slice_unref(slice);
    grpc_slice method = grpc_slice_from_copied_string(path);
    u->call = grpc_channel_create_call(channel->core, NULL, GRPC_PROPAGATE_DEFAULTS, queue, method,
                                       NULL, cw_rpc_deadline(timeout_ms), NULL);
    grpc_slice_unref(method);
}

static void unary_ops(struct unary *u, bool wait_for_ready, grpc_op ops[UNARY_OPS])
{
    memset(ops, 0, UNARY_OPS * sizeof *ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].flags = wait_for_ready ? GRPC_INITIAL_METADATA_WAIT_FOR_READY |
                                        GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET
                                  : 0;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = u->sent;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &u->head;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &u->received;
    cw_rpc_ending_op(&ops[5], &u->ending);
}

static void unary_answer(struct unary *u, struct cw_rpc_answer *answer)
{
    cw_rpc_ending_read(&u->ending, answer);
    grpc_slice hold;
    struct cw_str bytes;
    if (answer->status != CW_GRPC_OK) {
        return;
    }
    if (u->received && cw_rpc_message_bytes(u->received, &hold, &bytes)) {
        answer->response = cw_rpc_message_unpack(u->response, bytes, &answer->arena);
        grpc_slice_unref(hold);
    }
    if (!answer->response) {
        answer->status = CW_GRPC_INTERNAL;
        answer->err = CW_INTERNAL;
        answer->message = "the server's answer cannot be read";
    }
}

static void unary_done(struct unary *u)
{
    grpc_metadata_array_destroy(&u->head);
    cw_rpc_ending_done(&u->ending);
    grpc_byte_buffer_destroy(u->sent);
    if (u->received) {
        grpc_byte_buffer_destroy(u->received);
    }
    grpc_call_unref(u->call);
}

/* A stranger's socket gets no message; what is absent is left to the core. */
static bool unary_may(const struct cw_rpc_channel *channel, struct cw_rpc_answer *answer)
{
    if (cw_rpc_channel_owner(channel) != CW_RPC_OWNER_STRANGER) {
        return true;
    }
    *answer = (struct cw_rpc_answer){
        .status = CW_GRPC_UNAVAILABLE, .err = CW_UNAVAILABLE, .message = CW_RPC_STRANGER_TEXT};
    return false;
}

enum cw_err cw_rpc_unary(struct cw_rpc_channel *channel, const char *path,
                         const ProtobufCMessage *request,
                         const ProtobufCMessageDescriptor *response, unsigned timeout_ms,
                         bool wait_for_ready, struct cw_rpc_answer *ret_answer)
{
    if (!unary_may(channel, ret_answer)) {
        return ret_answer->err;
    }
    struct unary u = {.response = response};
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    unary_init(&u, channel, queue, path, request, timeout_ms);
    grpc_op ops[UNARY_OPS];
    unary_ops(&u, wait_for_ready, ops);
    CW_RPC_RELEASE(&u);
    if (grpc_call_start_batch(u.call, ops, UNARY_OPS, &u, NULL) == GRPC_CALL_OK) {
        grpc_completion_queue_pluck(queue, &u, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        CW_RPC_ACQUIRE(&u);
    }
    unary_answer(&u, ret_answer);
    unary_done(&u);
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
    return ret_answer->err;
}

static void unary_ended(struct cw_rpc_tag *tag, bool ok)
{
    struct unary *u = CW_CONTAINER_OF(tag, struct unary, tag);
    (void)ok; /* the status says it */
    struct cw_rpc_answer answer;
    unary_answer(u, &answer);
    u->done(&answer, u->ctx);
    cw_rpc_answer_done(&answer);
    unary_done(u);
    free(u);
}

void cw_rpc_unary_start(struct cw_rpc_runtime *runtime, struct cw_rpc_channel *channel,
                        const char *path, const ProtobufCMessage *request,
                        const ProtobufCMessageDescriptor *response, unsigned timeout_ms,
                        void (*done)(const struct cw_rpc_answer *answer, void *ctx), void *ctx)
{
    struct cw_rpc_answer refused;
    if (!unary_may(channel, &refused)) {
        done(&refused, ctx);
        return;
    }
    struct unary *u = calloc(1, sizeof *u);
    if (!u) {
        struct cw_rpc_answer none = {
            .status = CW_GRPC_RESOURCE_EXHAUSTED, .err = CW_NO_MEMORY, .message = ""};
        done(&none, ctx);
        return;
    }
    u->tag = CW_RPC_TAG(unary_ended);
    u->response = response;
    u->done = done;
    u->ctx = ctx;
    unary_init(u, channel, cw_rpc_runtime_queue(runtime), path, request, timeout_ms);
    grpc_op ops[UNARY_OPS];
    unary_ops(u, false, ops);
    cw_rpc_batch(u->call, ops, UNARY_OPS, &u->tag);
}
