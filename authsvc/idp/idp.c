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
    while (idp->upstreams != NULL) {
        struct upstream *u = idp->upstreams;
        idp->upstreams = u->next;
        upstream_unref(u);
    }
    cw_key_store_free(idp->keys);
    pthread_cond_destroy(&idp->wake);
    pthread_mutex_destroy(&idp->lock);
    free(idp);
}

static bool in_set(const struct tenant_set *set, const char *tenant)
{
    for (size_t i = 0; i < set->n; i++) {
        if (set->tenants[i]->login == TENANT_LOGIN_IDP &&
            cw_str_is(set->tenants[i]->name, tenant)) {
            return true;
        }
    }
    return false;
}

void idp_warm(struct idp *idp, const struct tenant_set *set)
{
    struct upstream *gone = NULL;
    for (size_t i = 0; i < set->n; i++) {
        if (set->tenants[i]->login == TENANT_LOGIN_IDP) {
            upstream_unref(upstream_get(idp, set->tenants[i]));
        }
    }
    pthread_mutex_lock(&idp->lock);
    for (struct upstream **at = &idp->upstreams; *at != NULL;) {
        struct upstream *u = *at;
        if (in_set(set, u->tenant)) {
            at = &u->next;
        } else {
            *at = u->next;
            u->next = gone;
            gone = u;
        }
    }
    pthread_mutex_unlock(&idp->lock);
    while (gone != NULL) {
        struct upstream *u = gone;
        gone = u->next;
        u->next = NULL;
        upstream_unref(u);
    }
}

void idp_describe(struct idp *idp, const struct tenant *tenant, struct idp_state *ret_state)
{
    *ret_state = (struct idp_state){0};
    struct upstream *u = upstream_get(idp, tenant);
    if (u == NULL) {
        return;
    }
    pthread_mutex_lock(&u->lock);
    ret_state->known = u->metadata != NULL;
    snprintf(ret_state->why, sizeof(ret_state->why), "%s", u->why);
    pthread_mutex_unlock(&u->lock);
    ret_state->open = gate_state(&u->gate) != GATE_CLOSED;
    upstream_unref(u);
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
