/* Starts and stops what belongs to all providers: client, keys, the thread that looks ahead. */
#include "authsvc/idp/idp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authsvc/idp/idp_impl.h"
#include "common/base/version.h"
#include "common/keys/key_getter.h"

enum { ACTIVE_MAX = 2048 }; /* requests to all providers, metadata and keys included */

void idp_tell(struct idp *idp, const struct idp_event *event)
{
    if (idp->options.on_event != NULL) {
        idp->options.on_event(idp->options.ctx, event);
    }
}

static void keys_fetched(void *ctx, const char *tenant, const char *issuer, bool good,
                         const char *why)
{
    (void)issuer;
    idp_tell(ctx, &(struct idp_event){.tenant = cw_str(tenant),
                                      .operation = "keys",
                                      .outcome = good ? CW_OK : CW_KEYS_UNAVAILABLE,
                                      .error = "",
                                      .detail = why});
}

static void *look_ahead(void *arg)
{
    struct idp *idp = arg;
    pthread_mutex_lock(&idp->lock);
    while (!idp->stopping) {
        pthread_mutex_unlock(&idp->lock);
        int64_t wait = upstream_tick(idp);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += wait / 1000;
        until.tv_nsec += wait % 1000 * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        pthread_mutex_lock(&idp->lock);
        if (!idp->stopping) {
            (void)pthread_cond_timedwait(&idp->wake, &idp->lock, &until);
        }
    }
    pthread_mutex_unlock(&idp->lock);
    return NULL;
}

static enum cw_err start(struct idp *idp)
{
    TRY(cw_http_client_new("cw-authsvc/" CW_VERSION, ACTIVE_MAX, &idp->http));
    const struct cw_key_store_config keys = {
        .clock = idp->options.clock,
        .random = &cw_random_system,
        .getter = cw_key_getter_of(idp->http),
        .fetched = keys_fetched,
        .ctx = idp,
    };
    idp->keys = cw_key_store_new(&keys);
    ENSURE(idp->keys != NULL, CW_NO_MEMORY);
    TRY(cw_key_store_start(idp->keys));
    ENSURE(pthread_create(&idp->thread, NULL, look_ahead, idp) == 0, CW_UNAVAILABLE);
    pthread_setname_np(idp->thread, "idp-metadata");
    idp->started = true;
    return CW_OK;
}

enum cw_err idp_new(const struct idp_options *options, struct idp **ret_idp)
{
    struct idp *idp = calloc(1, sizeof(*idp));
    ENSURE(idp != NULL, CW_NO_MEMORY);
    idp->options = *options;
    pthread_mutex_init(&idp->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&idp->wake, &attr);
    pthread_condattr_destroy(&attr);
    enum cw_err err = start(idp);
    if (err != CW_OK) {
        idp_free(idp);
        return err;
    }
    *ret_idp = idp;
    return CW_OK;
}

void idp_free(struct idp *idp)
{
    if (idp == NULL) {
        return;
    }
    pthread_mutex_lock(&idp->lock);
    idp->stopping = true;
    pthread_cond_signal(&idp->wake);
    pthread_mutex_unlock(&idp->lock);
    if (idp->started) {
        pthread_join(idp->thread, NULL);
    }
    if (idp->keys != NULL) {
        cw_key_store_stop(idp->keys);
    }
    cw_http_client_free(idp->http); /* runs the callbacks of what was under way */
    while (idp->n_upstreams > 0) {
        upstream_unref(idp->upstreams[--idp->n_upstreams]);
    }
    free(idp->upstreams);
    cw_key_store_free(idp->keys);
    pthread_cond_destroy(&idp->wake);
    pthread_mutex_destroy(&idp->lock);
    free(idp);
}

static bool in_set(const struct tenant_set *set, const char *name)
{
    const struct tenant *tenant = tenant_set_by_name(set, cw_str(name));
    return tenant != NULL && tenant->login == TENANT_LOGIN_IDP;
}

void idp_warm(struct idp *idp, const struct tenant_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        if (set->tenants[i]->login == TENANT_LOGIN_IDP) {
            upstream_unref(upstream_get(idp, set->tenants[i]));
        }
    }
    pthread_mutex_lock(&idp->lock);
    /* Those that are gone come behind those that stay. */
    size_t n = idp->n_upstreams, kept = 0;
    struct upstream **gone = calloc(n + 1, sizeof(struct upstream *));
    size_t n_gone = 0;
    for (size_t i = 0; i < n && gone != NULL; i++) {
        struct upstream *u = idp->upstreams[i];
        if (in_set(set, u->tenant)) {
            idp->upstreams[kept++] = u;
        } else {
            gone[n_gone++] = u;
        }
    }
    idp->n_upstreams = gone != NULL ? kept : n; /* without memory they stay for the next time */
    pthread_mutex_unlock(&idp->lock);
    for (size_t i = 0; i < n_gone; i++) {
        upstream_unref(gone[i]);
    }
    free(gone);
}

/* --- for the health page ---------------------------------------------------------------- */

struct walk {
    struct idp *idp;
    void (*each)(void *ctx, const struct idp_state *state);
    void *ctx;
};

static void describe(void *ctx, struct cw_key_source *source, const struct cw_key_source_info *info)
{
    static const char *const breakers[] = {
        [GATE_CLOSED] = "closed", [GATE_OPEN] = "open", [GATE_PROBING] = "probing"};
    const struct walk *walk = ctx;
    struct idp *idp = walk->idp;
    bool found = false;
    struct idp_state state = {.tenant = info->tenant, .keys_age_s = -1};
    pthread_mutex_lock(&idp->lock);
    size_t at = upstream_place(idp, cw_str(info->tenant), &found);
    if (found && idp->upstreams[at]->keys == source) { /* else of a provider that was replaced */
        struct upstream *u = idp->upstreams[at];
        state.breaker = breakers[gate_state(&u->gate)];
        pthread_mutex_lock(&u->lock);
        state.known = u->metadata != NULL;
        snprintf(state.why, sizeof(state.why), "%s", u->why);
        pthread_mutex_unlock(&u->lock);
    }
    pthread_mutex_unlock(&idp->lock);
    if (state.breaker == NULL) {
        return;
    }
    if (info->fetched_at > 0) {
        state.keys_age_s = CW_MAX(cw_clock_wall_s(idp->options.clock) - info->fetched_at, 0);
    }
    state.usable = state.known && strcmp(state.breaker, "closed") == 0 && info->set != NULL;
    walk->each(walk->ctx, &state);
}

void idp_each(struct idp *idp, void (*each)(void *ctx, const struct idp_state *state), void *ctx)
{
    struct walk walk = {.idp = idp, .each = each, .ctx = ctx};
    cw_key_store_each(idp->keys, describe, &walk);
}

void idp_tokens_done(struct idp_tokens *t)
{
    char *const secret[] = {t->access_token, t->id_token, t->refresh_token, t->recovery_code};
    for (size_t i = 0; i < CW_ARRAY_SIZE(secret); i++) {
        if (secret[i] != NULL) {
            cw_secret_wipe(secret[i], strlen(secret[i]));
            free(secret[i]);
        }
    }
    free(t->scope);
    free(t->subject);
    free(t->full_name);
    free(t->email);
    *t = (struct idp_tokens){0};
}

void idp_refusal_done(struct idp_refusal *refusal)
{
    if (refusal->mfa_token != NULL) {
        cw_secret_wipe(refusal->mfa_token, strlen(refusal->mfa_token));
        free(refusal->mfa_token);
    }
    *refusal = (struct idp_refusal){0};
}
