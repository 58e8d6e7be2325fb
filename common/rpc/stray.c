/* Calls that nobody offers are refused here; the core would let them wait for ever.
 *
 * On a listener these are methods in no table (UNIMPLEMENTED) and methods of other listeners
 * (PERMISSION_DENIED); on the refusing server it is whatever a caller asks whose uid is not
 * allowed. */
#include <stdlib.h>

#include "common/rpc/server_internal.h"
#include "common/rpc/status.h"

struct stray {
    struct cw_rpc_tag tag;
    struct cw_rpc_server *server;
    struct cw_rpc_listening *listening; /* NULL: the refusing server */
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    struct cw_rpc_status status;
    int cancelled;
};

static void stray_arrived(struct cw_rpc_tag *tag, bool ok);

static void stray_free(struct stray *stray)
{
    grpc_call_details_destroy(&stray->details);
    grpc_metadata_array_destroy(&stray->metadata);
    free(stray);
}

void cw_rpc_stray_arm(struct cw_rpc_server *server, struct cw_rpc_listening *listening)
{
    struct stray *stray = calloc(1, sizeof *stray);
    if (!stray) {
        return;
    }
    stray->tag = CW_RPC_TAG(stray_arrived);
    stray->server = server;
    stray->listening = listening;
    grpc_call_details_init(&stray->details);
    grpc_metadata_array_init(&stray->metadata);
    pthread_mutex_lock(&server->lock);
    server->armed++;
    pthread_mutex_unlock(&server->lock);
    grpc_completion_queue *queue = cw_rpc_runtime_queue(server->runtime);
    CW_RPC_RELEASE(&stray->tag);
    if (grpc_server_request_call(listening ? listening->core : server->refusing, &stray->call,
                                 &stray->details, &stray->metadata, queue, queue,
                                 &stray->tag) != GRPC_CALL_OK) {
        stray_free(stray);
        cw_rpc_arrival_unused(server);
    }
}

static bool known_elsewhere(const struct cw_rpc_server *server, grpc_slice path)
{
    for (size_t i = 0; i < server->n_tables; i++) {
        for (size_t j = 0; j < server->tables[i].n; j++) {
            if (grpc_slice_str_cmp(path, server->tables[i].methods[j].path) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void stray_refused(struct cw_rpc_tag *tag, bool ok)
{
    struct stray *stray = CW_CONTAINER_OF(tag, struct stray, tag);
    struct cw_rpc_server *server = stray->server;
    (void)ok;
    cw_rpc_status_done(&stray->status);
    grpc_call_unref(stray->call);
    stray_free(stray);
    cw_rpc_server_leave(server, NULL);
}

static void stray_arrived(struct cw_rpc_tag *tag, bool ok)
{
    struct stray *stray = CW_CONTAINER_OF(tag, struct stray, tag);
    struct cw_rpc_server *server = stray->server;
    if (!ok) {
        stray_free(stray);
        cw_rpc_arrival_unused(server);
        return;
    }
    cw_rpc_stray_arm(server, stray->listening);
    pthread_mutex_lock(&server->lock);
    server->live++;
    server->armed--;
    pthread_mutex_unlock(&server->lock);
    bool denied = !stray->listening || known_elsewhere(server, stray->details.method);
    atomic_fetch_add(denied ? &server->refused : &server->unknown, 1);
    enum cw_err err = denied ? CW_PERMISSION_DENIED : CW_UNIMPLEMENTED;
    cw_rpc_status_init(&stray->status, err, NULL, 0);
    grpc_op ops[3] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA}, {0}, {.op = GRPC_OP_RECV_CLOSE_ON_SERVER}};
    cw_rpc_status_op(&ops[1], err, &stray->status);
    ops[2].data.recv_close_on_server.cancelled = &stray->cancelled;
    stray->tag = CW_RPC_TAG(stray_refused);
    cw_rpc_batch(stray->call, ops, CW_ARRAY_SIZE(ops), &stray->tag);
}
