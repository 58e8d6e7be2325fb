/* One thread: others' changes first, then what is due, then the sidecars are told. */
#include "authsvc/admin/keeper.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    JUMP_MS = 2000, /* by which the two clocks may part between looks: a stalled process is none */
    NAME_MAX_BYTES = 4096,
    MESSAGE_MAX = 4096,
    ROUND_MAX = 8, /* tenants of a look: then the sidecars are told, though others are due, too */
};

struct keeper {
    struct keeper_deps deps;
    struct keeper_calm calm;    /* the thread's, as the next */
    char after[NAME_MAX_BYTES]; /* the tenant that a full round ended with; empty: none */
    pthread_t thread;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;
    bool poked;
    bool stopping;
};

bool keeper_calm(struct keeper_calm *calm, int64_t wall_ms, int64_t monotonic_ms, int64_t calm_ms)
{
    int64_t offset = wall_ms - monotonic_ms;
    int64_t jump = offset > calm->offset ? offset - calm->offset : calm->offset - offset;
    if (!calm->begun || jump > JUMP_MS) {
        calm->begun = true;
        calm->since_ms = monotonic_ms;
    }
    calm->offset = offset;
    return monotonic_ms - calm->since_ms >= calm_ms;
}

static void tell(const struct keeper *keeper, struct cw_str tenant, const struct cw_buf *message,
                 enum cw_err err)
{
    if (keeper->deps.on_problem != NULL && err != CW_OK) {
        keeper->deps.on_problem(keeper->deps.ctx, tenant,
                                message->n > 0 ? cw_buf_str(message)
                                               : cw_str(cw_err_info(err)->meaning));
    }
}

static void advance(struct keeper *keeper, const struct tenant_set *set, struct cw_str name,
                    bool remove, bool *changed)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(MESSAGE_MAX);
    const struct tenant *tenant = tenant_set_by_name(set, name);
    if (tenant == NULL || tenant->login != TENANT_LOGIN_DATABASE) {
        return; /* it was removed just now, or its provider signs by now */
    }
    const struct keyring_want want = book_keys_wanted(tenant);
    bool published = false;
    enum cw_err err = keyring_advance(keeper->deps.keys, name, &want, remove, &published, &message);
    *changed = *changed || published;
    tell(keeper, name, &message, err);
}

/* Moves on to the next tenant with whose keys something is to be done. */
static bool next_due(struct keeper *keeper, bool remove)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf name = CW_BUF_INIT(NAME_MAX_BYTES);
    bool due = keyring_due(keeper->deps.keys, cw_str(keeper->after), remove, &name) &&
               cw_buf_check(&name) == CW_OK && name.n < NAME_MAX_BYTES;
    keeper->after[0] = '\0';
    if (due) {
        memcpy(keeper->after, name.p, name.n);
        keeper->after[name.n] = '\0';
    }
    return due;
}

static void look(struct keeper *keeper)
{
    const struct cw_clock *clock = store_clock(keeper->deps.store);
    bool remove = keeper_calm(&keeper->calm, cw_clock_wall_ms(clock), cw_clock_monotonic_ms(clock),
                              keeper->deps.calm_ms);
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(MESSAGE_MAX);
    bool changed = false;
    tell(keeper, CW_STR(""), &message, keyring_follow(keeper->deps.keys, &changed, &message));
    struct tenant_set *set = tenant_current_get(book_current(keeper->deps.book));
    for (int i = 0; next_due(keeper, remove); i++) {
        advance(keeper, set, cw_str(keeper->after), remove, &changed);
        if (i + 1 == ROUND_MAX) {
            break; /* the next look goes on behind it */
        }
    }
    tenant_set_unref(set);
    if (changed) {
        enum cw_err err = book_spread(keeper->deps.book, 0);
        tell(keeper, CW_STR(""), &message, err);
    }
}

static void *run(void *arg)
{
    struct keeper *keeper = arg;
    pthread_mutex_lock(&keeper->lock);
    while (!keeper->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += KEEPER_PERIOD_MS % 1000 * 1000000L;
        until.tv_sec += KEEPER_PERIOD_MS / 1000 + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        int rc = 0;
        while (rc == 0 && !keeper->poked && !keeper->stopping) {
            rc = pthread_cond_timedwait(&keeper->wake, &keeper->lock, &until);
        }
        keeper->poked = false;
        if (!keeper->stopping) {
            pthread_mutex_unlock(&keeper->lock);
            look(keeper);
            pthread_mutex_lock(&keeper->lock);
        }
    }
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

void keeper_poke(struct keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->poked = true;
    pthread_cond_signal(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
}

enum cw_err keeper_new(const struct keeper_deps *deps, struct keeper **ret_keeper)
{
    struct keeper *keeper = calloc(1, sizeof(*keeper));
    ENSURE(keeper != NULL, CW_NO_MEMORY);
    keeper->deps = *deps;
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&keeper->thread, NULL, run, keeper) != 0) {
        pthread_cond_destroy(&keeper->wake);
        pthread_mutex_destroy(&keeper->lock);
        free(keeper);
        return CW_UNAVAILABLE;
    }
    *ret_keeper = keeper;
    return CW_OK;
}

void keeper_free(struct keeper *keeper)
{
    if (keeper == NULL) {
        return;
    }
    pthread_mutex_lock(&keeper->lock);
    keeper->stopping = true;
    pthread_cond_signal(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->thread, NULL);
    pthread_cond_destroy(&keeper->wake);
    pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}
