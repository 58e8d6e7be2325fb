/* Asks each static instance's health check in turn. */
#include "sidecar/registry/checks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/version.h"
#include "common/crypto/random.h"
#include "common/http/client.h"
#include "sidecar/registry/eureka_servers.h"
#include "sidecar/registry/registry_internal.h"

enum {
    ANSWER_MAX = 64 << 10,
    JITTER = 10, /* percent */
    OUT_OF_SERVICE = 503,
    PATIENCE = 3, /* so many answers in a row may be too late before it is DOWN */
};

struct check {
    struct check_set *set;
    const char *app, *id, *url; /* in the instance */
    struct registry_instance *instance;
    _Atomic bool busy;
    unsigned late; /* answers in a row that came too late; the answer's thread */
    int64_t due_ms;
};

/* What a configuration asks for; answers on their way hold a reference. */
struct check_set {
    _Atomic unsigned refs;
    struct registry_store *store;
    int64_t every_ms;
    size_t n;
    struct check list[];
};

struct registry_checks {
    struct registry_store *store;
    const struct cw_clock *clock;
    struct cw_http_client *client; /* NULL until there is something to ask */
    pthread_mutex_t lock;
    struct check_set *set; /* under the lock; NULL: none */
};

static void set_unref(struct check_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        registry_instance_unref(set->list[i].instance);
    }
    free(set);
}

static struct check_set *set_get(struct registry_checks *checks)
{
    pthread_mutex_lock(&checks->lock);
    struct check_set *set = checks->set;
    if (set != NULL) {
        atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&checks->lock);
    return set;
}

/* ---- one check ---- */

static enum cw_eureka_status status_of(const struct cw_http_result *result)
{
    if (result->err == CW_OK && result->status >= 200 && result->status < 300) {
        return CW_EUREKA_UP;
    }
    return result->err == CW_OK && result->status == OUT_OF_SERVICE ? CW_EUREKA_OUT_OF_SERVICE
                                                                    : CW_EUREKA_DOWN;
}

static void answered(void *ctx, const struct cw_http_result *result)
{
    struct check *check = ctx;
    struct check_set *set = check->set;
    enum cw_eureka_status status = status_of(result);
    bool changed = false;
    check->late = result->err == CW_TIMEOUT ? check->late + 1 : 0;
    bool counts = result->err != CW_CANCELLED && (check->late == 0 || check->late >= PATIENCE);
    if (counts &&
        registry_store_checked(set->store, check->app, check->id, status, &changed) == CW_OK &&
        changed) {
        registry_log_status(REGISTRY_EVENT_CHECKED, check->app, check->id,
                            cw_eureka_status_name(status));
    }
    check->busy = false;
    set_unref(set);
}

static void ask(struct registry_checks *checks, struct check *check, int64_t now_ms)
{
    struct check_set *set = check->set;
    check->due_ms = now_ms + eureka_jitter(&cw_random_system, set->every_ms, JITTER);
    if (atomic_exchange(&check->busy, true)) {
        return; /* the last answer is still waited for: this round is left out */
    }
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    enum cw_err err = cw_http_client_start(checks->client,
                                           &(struct cw_http_fetch){
                                               .url = check->url,
                                               .plain = CW_HTTP_PLAIN_PRIVATE,
                                               .connect_ms = (unsigned)set->every_ms,
                                               .total_ms = (unsigned)set->every_ms,
                                               .max_body = ANSWER_MAX,
                                           },
                                           answered, check, NULL);
    if (err != CW_OK) { /* that we could not ask says nothing about the instance */
        answered(check, &(struct cw_http_result){.err = err == CW_FORBIDDEN ? err : CW_CANCELLED});
    }
}

int64_t registry_checks_tick(struct registry_checks *checks)
{
    struct check_set *set = set_get(checks);
    int64_t now = cw_clock_monotonic_ms(checks->clock), next = INT64_MAX;
    for (size_t i = 0; set != NULL && i < set->n; i++) {
        struct check *check = &set->list[i];
        if (check->due_ms <= now) {
            ask(checks, check, now);
        }
        next = CW_MIN(next, CW_MAX(check->due_ms - now, 1));
    }
    set_unref(set);
    return next;
}

/* ---- all of them ---- */

static enum cw_err set_make(struct registry_checks *checks, const struct registry_spec *specs,
                            size_t n, int64_t every_ms, struct check_set **ret_set)
{
    struct check_set *set = calloc(1, sizeof(*set) + n * sizeof(struct check));
    ENSURE(set != NULL, CW_NO_MEMORY);
    atomic_init(&set->refs, 1);
    set->store = checks->store;
    set->every_ms = every_ms;
    enum cw_err err = CW_OK;
    for (size_t i = 0; i < n && err == CW_OK; i++) {
        struct check *check = &set->list[set->n];
        if (specs[i].check_url == NULL) {
            continue;
        }
        err = set->n < REGISTRY_CHECKS_MAX ? registry_instance_new(&specs[i], &check->instance)
                                           : CW_REGISTRY_FULL;
        if (err == CW_OK) {
            check->set = set;
            check->app = check->instance->eureka.app;
            check->id = check->instance->id;
            check->url = check->instance->check_url;
            set->n++;
        }
    }
    if (err == CW_OK && set->n > 0 && checks->client == NULL) {
        err =
            cw_http_client_new("cw-sidecar/" CW_VERSION, 2 * REGISTRY_CHECKS_MAX, &checks->client);
    }
    if (err != CW_OK) {
        set_unref(set);
        return err;
    }
    *ret_set = set;
    return CW_OK;
}

enum cw_err registry_checks_set(struct registry_checks *checks, const struct registry_spec *specs,
                                size_t n, int64_t every_ms)
{
    struct check_set *set;
    TRY(set_make(checks, specs, n, every_ms, &set));
    pthread_mutex_lock(&checks->lock);
    struct check_set *old = checks->set;
    checks->set = set;
    pthread_mutex_unlock(&checks->lock);
    set_unref(old);
    return CW_OK;
}

enum cw_err registry_checks_new(struct registry_store *store, const struct cw_clock *clock,
                                struct registry_checks **ret_checks)
{
    struct registry_checks *checks = calloc(1, sizeof(*checks));
    ENSURE(checks != NULL, CW_NO_MEMORY);
    checks->store = store;
    checks->clock = clock;
    pthread_mutex_init(&checks->lock, NULL);
    *ret_checks = checks;
    return CW_OK;
}

void registry_checks_free(struct registry_checks *checks)
{
    if (checks != NULL) {
        cw_http_client_free(checks->client);
        set_unref(checks->set);
        pthread_mutex_destroy(&checks->lock);
        free(checks);
    }
}
