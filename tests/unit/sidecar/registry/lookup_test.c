/* Lookup is answered beside the poller: one that takes long holds up nothing else. It is made to
 * take long by a clock that stands still while the store is locked. */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "proto/clinicwave/discovery/v1/discovery.pb-c.h"
#include "sidecar/registry/registry.h"
#include "tests/unit/common/rpc/kit.h"

#define LOOKUP "/clinicwave.discovery.v1.DiscoveryService/Lookup"
#define PING "/t.S/Ping"

typedef Clinicwave__Discovery__V1__LookupRequest request_message;
typedef Clinicwave__Discovery__V1__LookupResponse response_message;

enum {
    QUEUE = 16,           /* of lookups that wait */
    BOUND_MS = 20 * 1000, /* for what happens at once */
    CALL_MS = 120 * 1000,
    METHODS_MAX = 8,
};

static const struct cw_config_key keys[] = {
#include "sidecar/registry/config_rows.def"
};

static const struct cw_config_schema schema = {
    .program = "test", .summary = "A registry", .keys = keys, .n_keys = CW_ARRAY_SIZE(keys)};

struct world {
    struct kit kit;
    struct cw_rpc_runtime *runtime; /* the client's: not the poller in question */
    struct cw_clock clock;
    struct cw_config *empty, *full;
    struct registry *registry;
    struct cw_rpc_method methods[METHODS_MAX];
    pthread_t holder;
    enum cw_err reloaded;

    pthread_mutex_t lock; /* the ones below */
    pthread_cond_t changed;
    bool held, inside;
    unsigned asked, done, fine, refused, stopped;
};

/* ---- the clock ---- */

static int64_t wall(void *ctx)
{
    (void)ctx;
    return cw_clock_wall_ms(&cw_clock_system);
}

static int64_t monotonic(void *ctx)
{
    struct world *w = ctx;
    pthread_mutex_lock(&w->lock);
    while (w->held) {
        w->inside = true;
        pthread_cond_broadcast(&w->changed);
        pthread_cond_wait(&w->changed, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return cw_clock_monotonic_ms(&cw_clock_system);
}

/* Until *count is at least n. */
static bool reaches(struct world *w, const unsigned *count, unsigned n, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&w->lock);
    while (*count < n && pthread_cond_timedwait(&w->changed, &w->lock, &until) == 0) {
    }
    bool reached = *count >= n;
    pthread_mutex_unlock(&w->lock);
    return reached;
}

static void *hold(void *arg)
{
    struct world *w = arg;
    w->reloaded = registry_reload(w->registry, w->full);
    return NULL;
}

/* From here to let_go() the store is locked, by a reload that puts a static instance in. */
static void hold_store(struct world *w)
{
    pthread_mutex_lock(&w->lock);
    w->held = true;
    pthread_mutex_unlock(&w->lock);
    assert_int_equal(pthread_create(&w->holder, NULL, hold, w), 0);
    pthread_mutex_lock(&w->lock);
    while (!w->inside) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
}

static void let_go(struct world *w)
{
    pthread_mutex_lock(&w->lock);
    w->held = false;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->holder, NULL);
}

/* ---- the client ---- */

static void ping(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    (void)request;
    (void)ctx;
    cw_rpc_reply_bytes(call, CW_STR(""));
}

static enum cw_err ask_ping(struct world *w)
{
    request_message request;
    clinicwave__discovery__v1__lookup_request__init(&request);
    struct cw_rpc_answer answer;
    enum cw_err err = cw_rpc_unary(w->kit.open, PING, &request.base,
                                   &clinicwave__discovery__v1__lookup_response__descriptor,
                                   BOUND_MS, true, &answer);
    cw_rpc_answer_done(&answer);
    return err;
}

static void answered(const struct cw_rpc_answer *answer, void *ctx)
{
    struct world *w = ctx;
    const response_message *response = (const void *)answer->response;
    pthread_mutex_lock(&w->lock);
    w->done++;
    w->fine += response != NULL && response->n_applications == 1 &&
               strcmp(response->applications[0]->name, "STORAGE-SERVICE") == 0;
    w->refused += answer->err == CW_UNAVAILABLE;
    w->stopped += answer->err == CW_SHUTTING_DOWN;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void ask(struct world *w, unsigned n)
{
    request_message request;
    clinicwave__discovery__v1__lookup_request__init(&request);
    w->asked += n;
    for (unsigned i = 0; i < n; i++) {
        cw_rpc_unary_start(w->runtime, w->kit.open, LOOKUP, &request.base,
                           &clinicwave__discovery__v1__lookup_response__descriptor, CALL_MS,
                           answered, w);
    }
}

/* All that were asked have come to the poller, which does something else again. */
static bool arrived(struct world *w)
{
    struct cw_rpc_server_stats stats = {0};
    for (int64_t end = kit_now_ms() + BOUND_MS; stats.calls < w->asked && kit_now_ms() < end;) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        cw_rpc_server_stats(w->kit.server, &stats);
    }
    return stats.calls >= w->asked && ask_ping(w) == CW_OK;
}

/* ---- the tests ---- */

static struct cw_config *load(const char *text)
{
    struct cw_config_input input = {.file = "test.yaml", .text = cw_str(text)};
    CW_CLEANUP(cw_buf_done) struct cw_buf problems = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct cw_config *config = NULL;
    if (cw_config_load(&schema, &input, &problems, &config) != CW_OK) {
        fail_msg("%.*s", CW_STR_ARG(cw_buf_str(&problems)));
    }
    return config;
}

static int setup(void **state)
{
    static struct world world;
    struct world *w = &world;
    *w = (struct world){.clock = {wall, monotonic, w},
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .changed = PTHREAD_COND_INITIALIZER};
    w->empty = load("registry: {embedded: {port: 0}}\n");
    w->full = load("registry:\n"
                   "  embedded: {port: 0}\n"
                   "  static: [{application: storage-service, address: 127.0.0.1, port: 9000}]\n");
    assert_int_equal(registry_new(w->empty, NULL, &w->clock, &w->registry), CW_OK);
    assert_true(registry_n_methods < METHODS_MAX);
    memcpy(w->methods, registry_methods, registry_n_methods * sizeof(w->methods[0]));
    w->methods[registry_n_methods] =
        (struct cw_rpc_method){.path = PING, .listeners = KIT_OPEN, .unary = ping};
    kit_init(&w->kit);
    kit_start(&w->kit, w->methods, registry_n_methods + 1, w->registry);
    assert_int_equal(cw_rpc_runtime_new(1, &w->runtime), CW_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    kit_done(&w->kit);
    cw_rpc_runtime_free(w->runtime);
    registry_free(w->registry);
    cw_config_unref(w->empty);
    cw_config_unref(w->full);
    return 0;
}

static void a_lookup_that_waits_does_not_hold_up_the_poller(void **state)
{
    struct world *w = *state;
    hold_store(w);
    ask(w, 1);
    bool at_work = arrived(w);
    bool early = reaches(w, &w->done, 1, 0);
    let_go(w);
    assert_true(at_work);
    assert_false(early);
    assert_int_equal(w->reloaded, CW_OK);
    assert_true(reaches(w, &w->done, 1, BOUND_MS));
    assert_int_equal(w->fine, 1);
}

static void a_full_queue_is_told_at_once(void **state)
{
    struct world *w = *state;
    hold_store(w);
    ask(w, QUEUE + 4);
    bool told = reaches(w, &w->refused, 3, BOUND_MS); /* one of the others is under way */
    let_go(w);
    assert_true(told);
    assert_true(reaches(w, &w->done, w->asked, BOUND_MS));
    assert_in_range(w->refused, 3, 4); /* 4: all came before the first was taken up */
    assert_int_equal(w->fine, w->asked - w->refused);
}

static void *stop(void *arg)
{
    struct world *w = arg;
    registry_stop(w->registry);
    return NULL;
}

static void a_stop_answers_what_waits_and_takes_nothing_new(void **state)
{
    struct world *w = *state;
    pthread_t stopping;
    hold_store(w);
    ask(w, 5);
    bool here = arrived(w);
    assert_int_equal(pthread_create(&stopping, NULL, stop, w), 0);
    bool told = false; /* the stop is under way, and so is a lookup */
    for (int64_t end = kit_now_ms() + BOUND_MS; !told && kit_now_ms() < end;) {
        ask(w, 1);
        told = reaches(w, &w->stopped, 1, 20);
    }
    let_go(w);
    pthread_join(stopping, NULL);
    assert_true(here);
    assert_true(told);
    assert_true(reaches(w, &w->done, w->asked, BOUND_MS));
    assert_true(w->fine >= 5);
    assert_int_equal(w->fine + w->refused + w->stopped, w->asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_lookup_that_waits_does_not_hold_up_the_poller, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_is_told_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stop_answers_what_waits_and_takes_nothing_new, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
