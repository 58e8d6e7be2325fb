/* The services of this host at Eureka: what each needs next. A service is wanted for as long as the
 * store has it, over broken connections, grace periods and restarts of this process; only when it
 * has left there is it cancelled. */
#include <stdlib.h>
#include <string.h>

#include "sidecar/registry/eureka_internal.h"

enum { RETRY_SHIFT_MAX = 6, JITTER = 10 };

static int order(const struct eureka_published *p, const char *app, const char *id)
{
    int by_app = strcmp(p->app, app);
    return by_app != 0 ? by_app : strcmp(p->id, id);
}

static size_t position(const struct eureka_publisher *publisher, const char *app, const char *id,
                       bool *ret_found)
{
    size_t low = 0, high = publisher->n;
    *ret_found = false;
    while (low < high && !*ret_found) {
        size_t middle = low + (high - low) / 2;
        int o = order(publisher->p[middle], app, id);
        *ret_found = o == 0;
        low = o < 0 ? middle + 1 : o == 0 ? middle : low;
        high = o > 0 ? middle : high;
    }
    return low;
}

struct eureka_published *eureka_publisher_find(const struct eureka *eureka, const char *app,
                                               const char *id)
{
    bool found;
    size_t at = position(&eureka->publisher, app, id, &found);
    return found ? eureka->publisher.p[at] : NULL;
}

static void published_free(struct eureka_published *p)
{
    registry_instance_unref(p->wanted);
    registry_instance_unref(p->sent);
    free(p);
}

void eureka_publisher_free(struct eureka *eureka)
{
    for (size_t i = 0; i < eureka->publisher.n; i++) {
        published_free(eureka->publisher.p[i]);
    }
    free((void *)eureka->publisher.p);
}

/* ---- what is wanted ---- */

/* A service of this host that others could reach: Eureka has no words for a Unix socket. */
static bool is_ours(const struct registry_item *item)
{
    return registry_instance_is_own(item->instance) && !item->gone &&
           item->instance->socket_path == NULL;
}

static struct eureka_published *make(struct eureka *eureka,
                                     const struct registry_instance *instance)
{
    struct eureka_publisher *publisher = &eureka->publisher;
    bool found;
    size_t at = position(publisher, instance->eureka.app, instance->id, &found);
    if (found) {
        return publisher->p[at];
    }
    struct eureka_published *p = calloc(1, sizeof(*p));
    if (p != NULL && publisher->n == publisher->cap) {
        size_t cap = publisher->cap == 0 ? 16 : 2 * publisher->cap;
        struct eureka_published **list =
            reallocarray((void *)publisher->p, cap, sizeof(struct eureka_published *));
        if (list == NULL) {
            free(p);
            return NULL;
        }
        publisher->p = list;
        publisher->cap = cap;
    }
    if (p == NULL) {
        return NULL;
    }
    memcpy(p->app, instance->eureka.app, strlen(instance->eureka.app) + 1);
    memcpy(p->id, instance->id, strlen(instance->id) + 1);
    /* what the last run drained was drained by us */
    p->drained = instance->was_drained || (instance->source == REGISTRY_RESTORED &&
                                           instance->eureka.status == CW_EUREKA_OUT_OF_SERVICE);
    p->asked = instance->source == REGISTRY_RESTORED;
    memmove((void *)&publisher->p[at + 1], (void *)&publisher->p[at],
            (publisher->n - at) * sizeof(struct eureka_published *));
    publisher->p[at] = p;
    publisher->n++;
    return p;
}

static void want(struct eureka *eureka, struct registry_instance *instance)
{
    struct eureka_published *p = make(eureka, instance);
    if (p == NULL) {
        return; /* the next change tries again */
    }
    p->seen = eureka->publisher.sync;
    if (p->wanted == instance) {
        return;
    }
    registry_instance_unref(p->wanted);
    p->wanted = registry_instance_ref(instance);
    p->cancelled = false;
    p->cancel_until_ms = 0;
    p->failures = 0;
    p->due_ms = eureka_now(eureka);
}

void eureka_publisher_sync(struct eureka *eureka, const struct registry_snapshot *snapshot)
{
    struct eureka_publisher *publisher = &eureka->publisher;
    int64_t now = eureka_now(eureka);
    publisher->sync++;
    for (size_t a = 0; a < snapshot->n; a++) {
        for (size_t i = 0; i < snapshot->apps[a]->n; i++) {
            if (is_ours(&snapshot->apps[a]->items[i])) {
                want(eureka, snapshot->apps[a]->items[i].instance);
            }
        }
    }
    for (size_t i = 0; i < publisher->n; i++) {
        struct eureka_published *p = publisher->p[i];
        if (p->seen != publisher->sync && p->wanted != NULL) {
            registry_instance_unref(p->wanted);
            p->wanted = NULL;
            p->failures = 0;
            p->due_ms = now;
            p->cancel_until_ms = now + eureka->config->lease_ms;
        }
    }
}

void eureka_publisher_overrides(struct eureka *eureka)
{
    int64_t now = eureka_now(eureka);
    for (size_t i = 0; i < eureka->publisher.n; i++) {
        const struct eureka_published *p = eureka->publisher.p[i];
        const struct registry_instance *theirs =
            eureka_mirror_find(&eureka->reader.mirror, p->app, p->id);
        if (p->wanted == NULL || theirs == NULL) {
            continue;
        }
        enum cw_eureka_status said = theirs->eureka.overridden;
        bool ours = p->drained || p->echo_until_ms > now;
        bool out = said == CW_EUREKA_OUT_OF_SERVICE || said == CW_EUREKA_DOWN;
        registry_store_override(eureka->options.store, p->app, p->id,
                                out && !ours ? said : CW_EUREKA_UNKNOWN);
    }
}

bool eureka_publisher_cancels(const struct eureka *eureka)
{
    for (size_t i = 0; i < eureka->publisher.n; i++) {
        const struct eureka_published *p = eureka->publisher.p[i];
        if (p->busy || (p->wanted == NULL && p->asked && !p->cancelled)) {
            return true;
        }
    }
    return false;
}

/* ---- the next step ---- */

/* Nothing that other hosts see differs from what was registered last. */
static bool is_sent(const struct eureka_published *p)
{
    return p->sent == p->wanted;
}

static enum eureka_kind next_step(const struct eureka_published *p)
{
    if (p->wanted == NULL) {
        return EUREKA_CANCEL;
    }
    bool out = p->wanted->eureka.status == CW_EUREKA_OUT_OF_SERVICE;
    if (!p->looked) {
        return EUREKA_LOOK;
    }
    if (!p->known) {
        return EUREKA_REGISTER;
    }
    /* while a lease is UP the servers do not take OUT_OF_SERVICE from a registration, nor UP while
     * it is OUT_OF_SERVICE: both need an override */
    if (out != p->drained) {
        return out ? EUREKA_DRAIN : EUREKA_DRAIN_END;
    }
    return is_sent(p) ? EUREKA_BEAT : EUREKA_REGISTER;
}

/* Above everything that was said before, also when the clock was set back: a server keeps the older
 * record, silently, when the newer one bears an older time. */
static void stamp(const struct eureka *eureka, struct eureka_published *p, int64_t above)
{
    int64_t wall = cw_clock_wall_ms(eureka->options.clock);
    p->dirty_ms = CW_MAX(CW_MAX(wall, p->dirty_ms + 1), above + 1);
}

static void forget(struct eureka *eureka, size_t at)
{
    struct eureka_publisher *publisher = &eureka->publisher;
    struct eureka_published *p = publisher->p[at];
    publisher->n--;
    memmove((void *)&publisher->p[at], (void *)&publisher->p[at + 1],
            (publisher->n - at) * sizeof(struct eureka_published *));
    /* somebody else may hold the id at the servers by now */
    struct registry_instance *theirs = eureka_mirror_find(&eureka->reader.mirror, p->app, p->id);
    struct registry_news news = {0};
    if (theirs != NULL && registry_news_add(&news, theirs, false) == CW_OK) {
        eureka_tell(eureka, &news);
    }
    registry_news_done(&news);
    published_free(p);
}

/* True when the entry is over. */
static bool is_over(const struct eureka_published *p, int64_t now_ms)
{
    return p->wanted == NULL && !p->busy &&
           (p->cancelled ? p->due_ms <= now_ms : !p->asked || p->cancel_until_ms <= now_ms);
}

static void step(struct eureka *eureka, struct eureka_published *p, int64_t now_ms)
{
    enum eureka_kind kind = next_step(p);
    if (kind == EUREKA_REGISTER) {
        if (p->known || p->dirty_ms == 0) {
            stamp(eureka, p, 0);
        }
        registry_instance_unref(p->sent);
        p->sent = registry_instance_ref(p->wanted);
        p->asked = true;
    }
    if (!eureka_call(eureka, kind, p)) {
        p->due_ms = now_ms + EUREKA_RETRY_MS;
    }
}

int64_t eureka_publisher_tick(struct eureka *eureka, int64_t now_ms)
{
    struct eureka_publisher *publisher = &eureka->publisher;
    int64_t next = INT64_MAX;
    for (size_t i = publisher->n; i-- > 0;) {
        struct eureka_published *p = publisher->p[i];
        if (is_over(p, now_ms)) {
            forget(eureka, i);
            continue;
        }
        if (p->busy || (eureka->stopping && p->wanted != NULL)) {
            continue;
        }
        if (p->due_ms <= now_ms && !p->cancelled) {
            if (publisher->busy >= EUREKA_PUBLISHING_MAX) {
                continue; /* an answer makes room and looks again */
            }
            step(eureka, p, now_ms);
        }
        if (!p->busy) {
            next = CW_MIN(next, CW_MAX(p->due_ms - now_ms, 1));
        }
    }
    return next;
}

/* ---- answers ---- */

static void retry_later(struct eureka *eureka, struct eureka_published *p)
{
    unsigned shift = CW_MIN(p->failures, (unsigned)RETRY_SHIFT_MAX);
    int64_t pause = CW_MIN((int64_t)EUREKA_RETRY_MS << shift, eureka->config->heartbeat_ms);
    p->failures++;
    p->due_ms = eureka_now(eureka) + eureka_jitter(eureka->options.random, pause, JITTER);
}

/* The first heartbeat somewhere in the interval, so that what was registered at once does not beat
 * at once for ever. */
static void first_beat(struct eureka *eureka, struct eureka_published *p)
{
    int64_t half = eureka->config->heartbeat_ms / 2;
    p->due_ms = eureka_now(eureka) + eureka_jitter(eureka->options.random, half, 100);
}

static void looked(struct eureka *eureka, struct eureka_published *p,
                   const struct eureka_outcome *outcome)
{
    struct cw_arena arena = CW_ARENA_INIT(CW_EUREKA_INSTANCE_MAX);
    struct cw_eureka_instance theirs;
    int64_t above = 0;
    if (outcome->status == 200 && cw_eureka_parse_lookup(&arena, outcome->body, &theirs) == CW_OK) {
        above = theirs.last_dirty_ms;
    }
    cw_arena_done(&arena);
    p->looked = true;
    if (above > cw_clock_wall_ms(eureka->options.clock)) {
        eureka->stats.outbid++;
        eureka_log_instance(EUREKA_EVENT_OUTBID, p, NULL);
    }
    stamp(eureka, p, above);
}

static void registered(struct eureka *eureka, struct eureka_published *p,
                       const struct eureka_outcome *outcome)
{
    if (outcome->status == 400) {
        struct cw_str why = cw_str_slice(outcome->body, 0, EUREKA_ERROR_MAX - 1);
        memcpy(eureka->stats.refusal, why.p, why.n);
        eureka->stats.refusal[why.n] = '\0';
        eureka_log_instance(EUREKA_EVENT_REFUSED, p, eureka->stats.refusal);
        registry_instance_unref(p->sent);
        p->sent = NULL;
        retry_later(eureka, p);
        return;
    }
    if (!p->known) {
        eureka_log_instance(EUREKA_EVENT_REGISTERED, p, NULL);
    }
    eureka->stats.refusal[0] = '\0';
    p->known = true;
    p->failures = 0;
    /* a new lease takes OUT_OF_SERVICE as said; one that stood needs the override */
    first_beat(eureka, p);
}

static void forgotten(struct eureka *eureka, struct eureka_published *p)
{
    eureka_log_instance(EUREKA_EVENT_FORGOTTEN, p, NULL);
    p->known = p->drained = false;
    p->echo_until_ms = eureka_now(eureka) + eureka->config->lease_ms;
    stamp(eureka, p, 0);
}

static void cancelled(struct eureka *eureka, struct eureka_published *p)
{
    eureka_log_instance(EUREKA_EVENT_CANCELLED, p, NULL);
    p->cancelled = true;
    p->looked = p->known = p->drained = p->asked = false;
    registry_instance_unref(p->sent);
    p->sent = NULL;
    /* servers repeat what changed for three minutes, and caches lag behind */
    p->due_ms = eureka_now(eureka) + eureka->config->lease_ms;
}

static void unanswered(struct eureka *eureka, struct eureka_published *p,
                       const struct eureka_outcome *outcome)
{
    if (outcome->kind == EUREKA_BEAT) {
        eureka->stats.beats_failed++;
        eureka_log_instance(EUREKA_EVENT_UNRENEWED, p, outcome->error);
    } else if (outcome->kind == EUREKA_REGISTER || outcome->kind == EUREKA_LOOK) {
        size_t n = CW_MIN(strlen(outcome->error), (size_t)EUREKA_ERROR_MAX - 1);
        memcpy(eureka->stats.refusal, outcome->error, n);
        eureka->stats.refusal[n] = '\0';
        eureka_log_instance(EUREKA_EVENT_REFUSED, p, outcome->error);
        if (outcome->kind == EUREKA_REGISTER) {
            registry_instance_unref(p->sent);
            p->sent = NULL;
        }
    }
    retry_later(eureka, p);
}

void eureka_publisher_answered(struct eureka *eureka, struct eureka_published *p,
                               const struct eureka_outcome *outcome)
{
    if (!outcome->answered) {
        unanswered(eureka, p, outcome);
        return;
    }
    bool missing = outcome->status == 404;
    p->due_ms = eureka_now(eureka);
    switch (outcome->kind) {
    case EUREKA_LOOK:
        looked(eureka, p, outcome);
        break;
    case EUREKA_REGISTER:
        registered(eureka, p, outcome);
        break;
    case EUREKA_BEAT:
        eureka->stats.beats_good += !missing;
        p->failures = 0;
        p->due_ms += missing ? 0 : eureka->config->heartbeat_ms;
        break;
    case EUREKA_DRAIN:
        p->drained = !missing;
        if (!missing) {
            eureka_log_instance(EUREKA_EVENT_DRAINED, p, NULL);
        }
        break;
    case EUREKA_DRAIN_END:
        p->drained = false;
        p->echo_until_ms = eureka_now(eureka) + eureka->config->lease_ms;
        break;
    case EUREKA_CANCEL:
        if (p->wanted == NULL) {
            cancelled(eureka, p);
        } else {
            p->looked = p->known = p->drained = false; /* back while we took it out */
        }
        return;
    case EUREKA_FULL:
    case EUREKA_DELTA:
        return;
    }
    if (missing && outcome->kind != EUREKA_LOOK) {
        forgotten(eureka, p);
    } else if (p->known && p->wanted != NULL && next_step(p) != EUREKA_BEAT) {
        p->due_ms = eureka_now(eureka); /* it changed meanwhile */
    }
}
