/* Keeps the metadata of every provider: read ahead of the first login, looked at again in the
 * background, kept when a later look fails.
 *
 *   due ──▶ fetching ──good──▶ known, due again after refresh_ms
 *             └──bad──▶ what was known stays; due after 1 s, 2 s, 4 s … 10 s
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authsvc/idp/idp_impl.h"

enum {
    FETCHES_MAX = 16, /* at once */
    BACKOFF_FIRST_MS = 1000,
    BACKOFF_MAX_MS = 10 * 1000,
    TICK_MAX_MS = 1000,
};

static char *dup(struct cw_str s)
{
    return cw_str_dup(s);
}

/* OpenID Connect Discovery 1.0 §4: below the issuer without its last slash. */
static char *discovery_of(const struct tenant *tenant)
{
    struct cw_str issuer = tenant->issuer;
    if (tenant->idp->discovery_uri.n > 0) {
        return dup(tenant->idp->discovery_uri);
    }
    if (issuer.n > 0 && issuer.p[issuer.n - 1] == '/') {
        issuer.n--;
    }
    char *url = NULL;
    int n = asprintf(&url, "%.*s/.well-known/openid-configuration", CW_STR_ARG(issuer));
    return n >= 0 ? url : NULL;
}

static void upstream_free(struct upstream *u)
{
    cw_key_source_unref(u->keys);
    metadata_unref(u->metadata);
    gate_done(&u->gate);
    pthread_cond_destroy(&u->changed);
    pthread_mutex_destroy(&u->lock);
    free(u->tenant);
    free(u->issuer);
    free(u->discovery_uri);
    free(u->ca_file);
    free(u);
}

static struct upstream *upstream_new(struct idp *idp, const struct tenant *tenant)
{
    struct upstream *u = calloc(1, sizeof(*u));
    if (u == NULL) {
        return NULL;
    }
    u->idp = idp;
    u->refs = 1;
    gate_init(&u->gate);
    pthread_mutex_init(&u->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&u->changed, &attr);
    pthread_condattr_destroy(&attr);
    u->tenant = dup(tenant->name);
    u->issuer = dup(tenant->issuer);
    u->discovery_uri = discovery_of(tenant);
    u->ca_file = dup(tenant->idp->ca_file);
    u->plain_loopback = tenant->idp->plain_loopback;
    if (u->tenant != NULL && u->issuer != NULL && u->discovery_uri != NULL && u->ca_file != NULL) {
        const struct cw_key_source_spec keys = {
            .tenant = u->tenant,
            .issuer = u->issuer,
            .kind = CW_KEY_DISCOVERY,
            .location = "",
            .ca_file = u->ca_file,
            .plain_loopback = u->plain_loopback,
        };
        u->keys = cw_key_store_open(idp->keys, &keys);
    }
    if (u->keys == NULL) {
        upstream_free(u);
        return NULL;
    }
    return u;
}

/* Whether what is known of the provider holds for this tenant as it is now. */
static bool fits(const struct upstream *u, const struct tenant *tenant)
{
    char *discovery = discovery_of(tenant);
    bool same = discovery != NULL && strcmp(u->discovery_uri, discovery) == 0 &&
                cw_str_is(tenant->issuer, u->issuer) &&
                cw_str_is(tenant->idp->ca_file, u->ca_file) &&
                u->plain_loopback == tenant->idp->plain_loopback;
    free(discovery);
    return same;
}

size_t upstream_place(const struct idp *idp, struct cw_str tenant, bool *ret_found)
{
    size_t low = 0, high = idp->n_upstreams;
    *ret_found = false;
    while (low < high && !*ret_found) {
        size_t middle = low + (high - low) / 2;
        int order = cw_str_order(cw_str(idp->upstreams[middle]->tenant), tenant);
        if (order < 0) {
            low = middle + 1;
        } else {
            *ret_found = order == 0;
            high = middle;
        }
    }
    return high;
}

/* With idp's lock held: room for one more, or false. */
static bool make_room(struct idp *idp)
{
    if (idp->n_upstreams < idp->room) {
        return true;
    }
    size_t room = idp->room > 0 ? 2 * idp->room : 16;
    struct upstream **larger = reallocarray(idp->upstreams, room, sizeof(struct upstream *));
    if (larger == NULL) {
        return false;
    }
    idp->upstreams = larger;
    idp->room = room;
    return true;
}

/* With idp's lock held: a new one at its place, in that of the old one where there is one.
 * *ret_old is what nobody has a reference to any more. */
static struct upstream *put_new(struct idp *idp, const struct tenant *tenant, size_t at, bool found,
                                struct upstream **ret_old)
{
    struct upstream *u = found || make_room(idp) ? upstream_new(idp, tenant) : NULL;
    if (u == NULL) {
        return NULL;
    }
    if (found) {
        struct upstream *old = idp->upstreams[at];
        *ret_old = --old->refs == 0 ? old : NULL;
    } else {
        memmove(idp->upstreams + at + 1, idp->upstreams + at,
                (idp->n_upstreams - at) * sizeof(struct upstream *));
        idp->n_upstreams++;
    }
    idp->upstreams[at] = u;
    pthread_cond_signal(&idp->wake);
    return u;
}

struct upstream *upstream_get(struct idp *idp, const struct tenant *tenant)
{
    struct upstream *old = NULL;
    bool found = false;
    pthread_mutex_lock(&idp->lock);
    size_t at = upstream_place(idp, tenant->name, &found);
    struct upstream *u = found && fits(idp->upstreams[at], tenant)
                             ? idp->upstreams[at]
                             : put_new(idp, tenant, at, found, &old);
    if (u != NULL) {
        u->refs++;
        pthread_mutex_lock(&u->lock);
        u->connect_ms = tenant->idp->connect_ms;
        u->total_ms = tenant->idp->total_ms;
        u->refresh_ms = tenant->idp->refresh_ms;
        pthread_mutex_unlock(&u->lock);
    }
    pthread_mutex_unlock(&idp->lock);
    if (old != NULL) {
        upstream_free(old);
    }
    return u;
}

void upstream_unref(struct upstream *u)
{
    if (u == NULL) {
        return;
    }
    struct idp *idp = u->idp;
    pthread_mutex_lock(&idp->lock);
    bool last = --u->refs == 0;
    pthread_mutex_unlock(&idp->lock);
    if (last) {
        upstream_free(u);
    }
}

/* --- looks at the metadata -------------------------------------------------------------- */

/* With the upstream's lock held. */
static void plan(struct upstream *u, bool good, int64_t now)
{
    if (good) {
        u->failures = 0;
        u->due_ms = now + u->refresh_ms;
        return;
    }
    int64_t pause = CW_MIN((int64_t)BACKOFF_FIRST_MS << CW_MIN(u->failures, 4u), BACKOFF_MAX_MS);
    u->failures++;
    u->due_ms = now + pause;
}

static enum cw_err read_answer(const struct upstream *u, const struct cw_http_result *result,
                               struct metadata **ret, char why[METADATA_WHY_SIZE])
{
    if (result->err != CW_OK) {
        snprintf(why, METADATA_WHY_SIZE, "%s: %s", cw_err_code(result->err), result->detail);
        return CW_IDP_UNAVAILABLE;
    }
    if (result->status != 200) {
        snprintf(why, METADATA_WHY_SIZE, "the metadata's address answers %d", result->status);
        return result->status >= 500 ? CW_IDP_UNAVAILABLE : CW_IDP_MISCONFIGURED;
    }
    return metadata_parse(result->body, cw_str(u->issuer), u->plain_loopback, ret, why);
}

static void fetched(void *ctx, const struct cw_http_result *result)
{
    struct upstream *u = ctx;
    struct idp *idp = u->idp;
    struct metadata *metadata = NULL;
    char why[METADATA_WHY_SIZE] = "";
    enum cw_err err = read_answer(u, result, &metadata, why);
    pthread_mutex_lock(&u->lock);
    if (err == CW_OK) {
        metadata_unref(u->metadata);
        u->metadata = metadata;
    }
    memcpy(u->why, why, sizeof(u->why));
    u->fetching = false;
    plan(u, err == CW_OK, idp_now_ms(idp));
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
    if (result->err != CW_CANCELLED) {
        idp_tell(idp, &(struct idp_event){.tenant = cw_str(u->tenant),
                                          .operation = "metadata",
                                          .outcome = err,
                                          .status = result->status,
                                          .error = "",
                                          .detail = why,
                                          .duration_ms = result->duration_ms});
    }
    pthread_mutex_lock(&idp->lock);
    idp->fetching--;
    pthread_cond_signal(&idp->wake);
    pthread_mutex_unlock(&idp->lock);
    upstream_unref(u);
}

/* The upstream is marked as being looked at, and a reference is the look's. */
static void fetch(struct upstream *u)
{
    static const char *const headers[] = {"Accept: application/json", NULL};
    pthread_mutex_lock(&u->lock);
    unsigned connect_ms = (unsigned)u->connect_ms;
    unsigned total_ms = (unsigned)u->total_ms;
    pthread_mutex_unlock(&u->lock);
    const struct cw_http_fetch fetch = {
        .url = u->discovery_uri,
        .headers = headers,
        .plain = u->plain_loopback ? CW_HTTP_PLAIN_LOOPBACK : CW_HTTP_PLAIN_NEVER,
        .ca_file = u->ca_file[0] != '\0' ? u->ca_file : NULL,
        .connect_ms = connect_ms,
        .total_ms = total_ms,
        .max_body = IDP_ANSWER_MAX,
    };
    enum cw_err err = cw_http_client_start(u->idp->http, &fetch, fetched, u, NULL);
    if (err != CW_OK) {
        fetched(u, &(struct cw_http_result){.err = err, .body = CW_STR(""), .detail = ""});
    }
}

int64_t upstream_tick(struct idp *idp)
{
    struct upstream *due[FETCHES_MAX];
    size_t n = 0;
    int64_t now = idp_now_ms(idp);
    int64_t next = now + TICK_MAX_MS;
    pthread_mutex_lock(&idp->lock);
    for (size_t i = 0; i < idp->n_upstreams; i++) {
        struct upstream *u = idp->upstreams[i];
        pthread_mutex_lock(&u->lock);
        bool begin =
            !idp->stopping && !u->fetching && u->due_ms <= now && idp->fetching + n < FETCHES_MAX;
        u->fetching = u->fetching || begin;
        next = u->fetching ? next : CW_MIN(next, u->due_ms);
        pthread_mutex_unlock(&u->lock);
        if (begin) {
            u->refs++;
            due[n++] = u;
        }
    }
    idp->fetching += (unsigned)n;
    pthread_mutex_unlock(&idp->lock);
    for (size_t i = 0; i < n; i++) {
        fetch(due[i]);
    }
    return CW_MAX(next - now, 10);
}

static struct timespec in_ms(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

enum cw_err upstream_metadata(struct upstream *u, struct metadata **ret)
{
    pthread_mutex_lock(&u->lock);
    const struct timespec until = in_ms(u->total_ms);
    int rc = 0;
    /* Known, or known not to be had: then nobody waits for the next look. */
    while (u->metadata == NULL && u->failures == 0 && rc == 0) {
        rc = pthread_cond_timedwait(&u->changed, &u->lock, &until);
    }
    *ret = u->metadata != NULL ? metadata_ref(u->metadata) : NULL;
    pthread_mutex_unlock(&u->lock);
    return *ret != NULL ? CW_OK : CW_IDP_UNAVAILABLE;
}
