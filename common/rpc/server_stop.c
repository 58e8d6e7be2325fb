/* The end of a server in the right order.
 *
 *   NOT_SERVING ▶ no more connections ▶ streams say their last ▶ GOAWAY ▶ calls end ▶ what is left
 *   is cancelled
 */
#include <grpc/grpc.h>

#include "common/base/clock.h"
#include "common/rpc/server_internal.h"

enum { LAST_WORDS_MS = 1000 };

static void core_shut(struct cw_rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    if (--server->closing == 0) {
        pthread_cond_broadcast(&server->changed);
    }
    pthread_mutex_unlock(&server->lock);
}

static void listening_shut(struct cw_rpc_tag *tag, bool ok)
{
    (void)ok;
    core_shut(CW_CONTAINER_OF(tag, struct cw_rpc_listening, shut)->server);
}

static void refusing_shut(struct cw_rpc_tag *tag, bool ok)
{
    (void)ok;
    core_shut(CW_CONTAINER_OF(tag, struct cw_rpc_server, refusing_shut));
}

static void core_shutdown(struct cw_rpc_server *server, grpc_server *core, struct cw_rpc_tag *tag)
{
    pthread_mutex_lock(&server->lock);
    server->closing++;
    pthread_mutex_unlock(&server->lock);
    CW_RPC_RELEASE(tag);
    grpc_server_shutdown_and_notify(core, cw_rpc_runtime_queue(server->runtime), tag);
}

static int64_t now_ms(void)
{
    return cw_clock_monotonic_ms(&cw_clock_system);
}

static void wait_until(struct cw_rpc_server *server, int64_t ms)
{
    struct timespec until = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    pthread_cond_timedwait(&server->changed, &server->lock, &until);
}

/* Until the streams are over: what they said last has been written, and goes before the GOAWAY. The
 * core closes a connection as soon as its last stream has ended after the GOAWAY; a client that
 * writes at that moment gets EPIPE, and with it loses what it has not read yet. */
static void wait_streams(struct cw_rpc_server *server, int64_t end)
{
    pthread_mutex_lock(&server->lock);
    while (server->streams && now_ms() < end) {
        wait_until(server, end);
    }
    pthread_mutex_unlock(&server->lock);
}

/* Until the core has shut down, the grace is over, or nothing has been live for a moment: a client
 * that merely keeps the object of an ended call would hold the core up for the whole grace. */
static void wait_closed(struct cw_rpc_server *server, int64_t end)
{
    int64_t idle_end = INT64_MAX;
    pthread_mutex_lock(&server->lock);
    while (server->closing > 0 && now_ms() < CW_MIN(end, idle_end)) {
        if (server->live > 0) {
            idle_end = INT64_MAX;
        } else if (idle_end == INT64_MAX) {
            idle_end = now_ms() + server->config.linger_ms;
        }
        wait_until(server, CW_MIN(end, idle_end));
    }
    pthread_mutex_unlock(&server->lock);
}

void cw_rpc_server_stop(struct cw_rpc_server *server, unsigned grace_ms)
{
    pthread_mutex_lock(&server->lock);
    bool already = server->stopping || !server->started;
    server->stopping = true;
    pthread_mutex_unlock(&server->lock);
    if (already) {
        return;
    }
    cw_rpc_health_stop(server->health);
    cw_rpc_accept_stop(server->accept);
    server->accept = NULL;
    cw_rpc_listeners_close(server);
    int64_t end = now_ms() + grace_ms;
    cw_rpc_streams_stop(server);
    wait_streams(server, CW_MIN(end, now_ms() + LAST_WORDS_MS));
    for (size_t i = 0; i < server->n_listening; i++) {
        struct cw_rpc_listening *l = &server->listening[i];
        l->shut = CW_RPC_TAG(listening_shut);
        core_shutdown(server, l->core, &l->shut);
    }
    server->refusing_shut = CW_RPC_TAG(refusing_shut);
    core_shutdown(server, server->refusing, &server->refusing_shut);
    wait_closed(server, end);
    for (size_t i = 0; i < server->n_listening; i++) { /* nothing to do where all has ended */
        grpc_server_cancel_all_calls(server->listening[i].core);
    }
    grpc_server_cancel_all_calls(server->refusing);
    pthread_mutex_lock(&server->lock);
    while (server->closing > 0) {
        pthread_cond_wait(&server->changed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}
