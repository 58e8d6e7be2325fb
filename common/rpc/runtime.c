/* The completion queue and the threads that poll it live here. */
#include "common/rpc/runtime.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/rpc/spin.h"
#include "common/rpc/tag.h"
#include "common/rpc/tune.h"

enum {
    MAX_POLLERS = 16,
    LOOK_AFTER = 4, /* deferred calls */
};

struct cw_rpc_runtime {
    grpc_completion_queue *queue;
    grpc_completion_queue *looks; /* nothing ever comes to it */
    int64_t spin_ns;
    unsigned n_pollers;
    pthread_t pollers[MAX_POLLERS];
};

static _Thread_local const struct cw_rpc_runtime *polled_here;
static _Thread_local struct cw_rpc_spin *spins_here; /* the poller's own */
static _Thread_local unsigned deferred_here;         /* calls, since the last look */

static void signals_block(sigset_t *ret_before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, ret_before);
}

/* The core's own lines are no JSON, repeat what a peer has sent, and come as often as it likes. The
 * last words before it aborts are let through, and all of them where GRPC_VERBOSITY asks for them.
 */
static void say_what_aborts(gpr_log_func_args *args)
{
    if (strstr(args->message, "assertion failed")) {
        fprintf(stderr, "%s:%d: %s\n", args->file, args->line, args->message);
    }
}

void cw_rpc_core_ref(void)
{
    sigset_t before;
    signals_block(&before);
    if (!getenv("GRPC_VERBOSITY")) {
        gpr_set_log_function(say_what_aborts);
    }
    (void)cw_rpc_tune(); /* a library without the switch only is slower */
    grpc_init();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void cw_rpc_core_unref(void)
{
    grpc_shutdown();
}

gpr_timespec cw_rpc_deadline(int64_t timeout_ms)
{
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
}

void cw_rpc_batch(grpc_call *call, const grpc_op *ops, size_t n, struct cw_rpc_tag *tag)
{
    CW_RPC_RELEASE(tag);
    if (grpc_call_start_batch(call, ops, n, tag, NULL) != GRPC_CALL_OK) {
        tag->fire(tag, false);
    }
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static grpc_event ask(struct cw_rpc_runtime *runtime, gpr_timespec until)
{
    return grpc_completion_queue_next(runtime->queue, until, NULL);
}

/* A deadline that has passed makes the core look at the sockets once, without sleeping. */
static grpc_event next_event(struct cw_rpc_runtime *runtime, struct cw_rpc_spin *spin)
{
    grpc_event event = {.type = GRPC_QUEUE_TIMEOUT};
    bool spins = spin->bound_ns > 0 && cw_rpc_spin_begin(spin, now_ns());
    while (spins) {
        event = ask(runtime, gpr_time_0(GPR_CLOCK_MONOTONIC));
        if (event.type != GRPC_QUEUE_TIMEOUT) {
            break;
        }
        int64_t yield_ns = now_ns();
        sched_yield();
        spins = cw_rpc_spin_again(spin, yield_ns, now_ns());
    }
    if (event.type == GRPC_QUEUE_TIMEOUT) {
        event = ask(runtime, gpr_inf_future(GPR_CLOCK_MONOTONIC));
    }
    if (spin->bound_ns > 0) {
        cw_rpc_spin_end(spin, now_ns());
    }
    return event;
}

/* The core looks at the sockets only when the queue is empty, and one connection with a hundred
 * calls fills it: who asks on another would wait for all of them. All queues share the core's one
 * set of sockets, so asking an empty one without waiting serves the next socket that is ready; what
 * it brings goes to the queue that it is for. A look costs a system call and reads less at once:
 * calls that are answered in their handler are not worth it. */
static void look(struct cw_rpc_runtime *runtime)
{
    deferred_here = 0;
    (void)grpc_completion_queue_next(runtime->looks, gpr_time_0(GPR_CLOCK_MONOTONIC), NULL);
}

static void *poll_loop(void *arg)
{
    struct cw_rpc_runtime *runtime = arg;
    struct cw_rpc_spin spin = CW_RPC_SPIN_INIT(runtime->spin_ns);
    polled_here = runtime;
    spins_here = &spin;
    for (;;) {
        grpc_event event = next_event(runtime, &spin);
        if (event.type == GRPC_QUEUE_SHUTDOWN) {
            return NULL;
        }
        if (event.type != GRPC_OP_COMPLETE) {
            continue;
        }
        struct cw_rpc_tag *tag = event.tag;
        CW_RPC_ACQUIRE(tag);
        if (tag->magic != CW_RPC_TAG_MAGIC) {
            abort(); /* memory is corrupt: nothing that follows can be trusted */
        }
        tag->fire(tag, event.success != 0);
        if (deferred_here >= LOOK_AFTER) {
            look(runtime);
        }
    }
}

enum cw_err cw_rpc_runtime_new(unsigned pollers, struct cw_rpc_runtime **ret_runtime)
{
    return cw_rpc_runtime_new_spinning(pollers, 0, ret_runtime);
}

enum cw_err cw_rpc_runtime_new_spinning(unsigned pollers, unsigned spin_us,
                                        struct cw_rpc_runtime **ret_runtime)
{
    ENSURE(pollers >= 1 && pollers <= MAX_POLLERS && spin_us <= CW_RPC_SPIN_MAX_US,
           CW_CONFIG_INVALID);
    struct cw_rpc_runtime *runtime = calloc(1, sizeof *runtime);
    ENSURE(runtime, CW_NO_MEMORY);
    cw_rpc_core_ref();
    runtime->spin_ns = pollers == 1 ? spin_us * INT64_C(1000) : 0;
    runtime->queue = grpc_completion_queue_create_for_next(NULL);
    runtime->looks = grpc_completion_queue_create_for_next(NULL);
    sigset_t before;
    signals_block(&before);
    while (runtime->n_pollers < pollers) {
        pthread_t *thread = &runtime->pollers[runtime->n_pollers];
        if (pthread_create(thread, NULL, poll_loop, runtime) != 0) {
            break;
        }
        pthread_setname_np(*thread, "cw-rpc-poll");
        runtime->n_pollers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (runtime->n_pollers < pollers) {
        cw_rpc_runtime_free(runtime);
        return CW_NO_MEMORY;
    }
    *ret_runtime = runtime;
    return CW_OK;
}

/* A queue wants to be drained before it goes. */
static void queue_end(grpc_completion_queue *queue)
{
    grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_completion_queue_destroy(queue);
}

void cw_rpc_runtime_free(struct cw_rpc_runtime *runtime)
{
    if (!runtime) {
        return;
    }
    grpc_completion_queue_shutdown(runtime->queue);
    for (unsigned i = 0; i < runtime->n_pollers; i++) {
        pthread_join(runtime->pollers[i], NULL);
    }
    queue_end(runtime->queue);
    grpc_completion_queue_shutdown(runtime->looks);
    queue_end(runtime->looks);
    free(runtime);
    cw_rpc_core_unref();
}

void cw_rpc_runtime_several(void)
{
    if (spins_here) {
        cw_rpc_spin_several(spins_here);
    }
}

void cw_rpc_runtime_deferred(void)
{
    deferred_here++;
}

bool cw_rpc_runtime_on_poller(const struct cw_rpc_runtime *runtime)
{
    return polled_here == runtime;
}

uint64_t cw_rpc_runtime_cpu_ns(const struct cw_rpc_runtime *runtime)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < runtime->n_pollers; i++) {
        clockid_t clock;
        struct timespec used;
        if (pthread_getcpuclockid(runtime->pollers[i], &clock) == 0 &&
            clock_gettime(clock, &used) == 0) {
            sum += (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
        }
    }
    return sum;
}

grpc_completion_queue *cw_rpc_runtime_queue(struct cw_rpc_runtime *runtime)
{
    return runtime->queue;
}
