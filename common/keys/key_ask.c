/* Step 4d: a token names a key that the published set does not have.
 *
 * An unknown kid (a token may name any) is answered by what is known about the published set:
 *
 *   a good fetch began after the kid was first seen, or at most 30 s ago   no such key
 *   a fetch runs                                                           wait for it, bounded
 *   the last fetch began more than 30 s ago                                begin one, wait
 *   else (it failed)                                                       cannot be told
 *
 * so that a flood of made-up kids costs the issuer one fetch in 30 s at most. */
#include "common/keys/key_internal.h"

/* Under the lock: when this kid was first asked for. Forgotten after a while, so that nobody can
 * spoil the name of the issuer's next key by asking for it too early. A flood pushes older ones
 * out, which makes them newer than they are: more tokens wait or get "cannot be told", none is
 * refused wrongly. */
static int64_t first_seen(struct cw_key_source *source, const struct cw_str *kid, int64_t now)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; kid && i < kid->n; i++) {
        hash = (hash ^ (unsigned char)kid->p[i]) * 0x100000001b3u;
    }
    for (size_t i = 0; i < CW_KEY_STORE_UNKNOWN_MAX; i++) {
        if (source->unknown[i].hash == hash) {
            if (now - source->unknown[i].first_ms >= CW_KEY_STORE_UNKNOWN_MS) {
                source->unknown[i].first_ms = now;
            }
            return source->unknown[i].first_ms;
        }
    }
    source->unknown[source->unknown_next++ % CW_KEY_STORE_UNKNOWN_MAX] =
        (struct unknown_kid){hash, now};
    return now;
}

/* Under the lock. */
static enum cw_key_answer ask_locked(struct cw_key_source *source, const struct cw_jwks *seen,
                                     const struct cw_str *kid, struct cw_key_waiter *waiter,
                                     int64_t now, bool *ret_begin, int64_t *ret_retry_ms)
{
    struct cw_jwks *present = source->stale ? NULL : source->set;

    if (present != seen) {
        return CW_KEY_ANSWER_AGAIN;
    }
    if (present && source->good &&
        (now - source->good_began_ms <= CW_KEY_STORE_COOLDOWN_MS ||
         source->good_began_ms >= first_seen(source, kid, now))) {
        return CW_KEY_ANSWER_UNKNOWN;
    }
    if (!source->fetching &&
        (!source->began || now - source->began_ms >= CW_KEY_STORE_COOLDOWN_MS)) {
        *ret_begin = cw_key_begin_fetch(source, now);
    }
    *ret_retry_ms =
        source->next_ms == INT64_MAX ? CW_KEY_STORE_COOLDOWN_MS : CW_MAX(source->next_ms - now, 0);
    const struct cw_key_store_config *config = &source->store->config;
    if (!source->fetching || source->n_waiters >= config->waiters_each ||
        atomic_load(&source->store->waiting) >= config->waiters ||
        atomic_load(&source->store->closing)) {
        return CW_KEY_ANSWER_UNAVAILABLE;
    }
    waiter->next = source->waiters;
    source->waiters = waiter;
    source->n_waiters++;
    atomic_fetch_add(&source->store->waiting, 1);
    return CW_KEY_ANSWER_WAIT;
}

enum cw_key_answer cw_key_source_ask(struct cw_key_source *source, const struct cw_jwks *seen,
                                     const struct cw_str *kid, struct cw_key_waiter *waiter,
                                     int64_t *ret_retry_ms)
{
    int64_t now = cw_key_now_ms(source->store);
    bool begin = false;

    *ret_retry_ms = 0;
    /* The source must outlive the waiter, which may be woken at once. */
    cw_key_source_ref(source);
    pthread_mutex_lock(&source->lock);
    enum cw_key_answer answer = ask_locked(source, seen, kid, waiter, now, &begin, ret_retry_ms);
    pthread_mutex_unlock(&source->lock);
    if (begin) {
        cw_key_run_fetch(source);
    }
    if (answer == CW_KEY_ANSWER_WAIT) {
        cw_key_store_nudge(source->store);
    }
    cw_key_source_unref(source);
    return answer;
}
