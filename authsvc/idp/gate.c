/* Counts calls to one identity provider and keeps them away from it when it is better so. */
#include "authsvc/idp/gate.h"

enum {
    BUSY_RETRY_MS = 1000,       /* told to callers that meet a full house */
    HOLD_MAX_MS = 5 * 60 * 1000 /* a provider cannot switch itself off for longer */
};

void gate_init(struct gate *gate)
{
    *gate = (struct gate){0};
    pthread_mutex_init(&gate->lock, NULL);
}

void gate_done(struct gate *gate)
{
    pthread_mutex_destroy(&gate->lock);
}

/* With the lock held: refills the bucket; milliseconds until a call fits, 0: now. */
static int64_t rate_wait(struct gate *gate, const struct gate_limits *limits, int64_t now)
{
    if (limits->rate_per_second == 0) {
        return 0;
    }
    int64_t full = limits->rate_burst * 1000;
    if (!gate->filled) {
        gate->tokens = full;
        gate->filled = true;
    } else {
        int64_t passed = CW_MIN(CW_MAX(now - gate->filled_at, 0), 3600 * 1000);
        gate->tokens = CW_MIN(gate->tokens + passed * limits->rate_per_second, full);
    }
    gate->filled_at = now;
    int64_t lacking = 1000 - gate->tokens;
    return lacking <= 0 ? 0 : (lacking + limits->rate_per_second - 1) / limits->rate_per_second;
}

/* With the lock held: milliseconds until the breaker lets one through, 0: now. */
static int64_t breaker_wait(const struct gate *gate, int64_t now)
{
    switch (gate->state) {
    case GATE_OPEN:
        return CW_MAX(gate->open_until - now, 0);
    case GATE_PROBING:
        return BUSY_RETRY_MS;
    case GATE_CLOSED:
        break;
    }
    return 0;
}

enum cw_err gate_enter(struct gate *gate, const struct gate_limits *limits, int64_t now,
                       uint32_t *ret_retry_ms)
{
    pthread_mutex_lock(&gate->lock);
    int64_t wait = CW_MAX(breaker_wait(gate, now), CW_MAX(gate->hold_until - now, 0));
    if (wait == 0 && gate->in_flight >= limits->concurrency) {
        wait = BUSY_RETRY_MS;
    }
    if (wait == 0) {
        wait = rate_wait(gate, limits, now);
    }
    if (wait == 0) {
        gate->in_flight++;
        gate->tokens -= limits->rate_per_second > 0 ? 1000 : 0;
        gate->state = gate->state == GATE_OPEN ? GATE_PROBING : gate->state;
    }
    pthread_mutex_unlock(&gate->lock);
    *ret_retry_ms = (uint32_t)CW_MIN(wait, INT32_MAX);
    return wait == 0 ? CW_OK : CW_IDP_UNAVAILABLE;
}

void gate_leave(struct gate *gate, const struct gate_limits *limits, int64_t now,
                enum gate_outcome outcome, int64_t hold_ms)
{
    pthread_mutex_lock(&gate->lock);
    gate->in_flight--;
    switch (outcome) {
    case GATE_GOOD:
        gate->failed = 0;
        gate->state = GATE_CLOSED;
        break;
    case GATE_FAILED:
        gate->failed++;
        if (gate->state == GATE_PROBING || gate->failed >= limits->failures) {
            gate->state = GATE_OPEN;
            gate->open_until = now + limits->open_ms;
        }
        break;
    case GATE_ABANDONED:
        gate->state = gate->state == GATE_PROBING ? GATE_OPEN : gate->state;
        break;
    }
    if (hold_ms > 0) {
        gate->hold_until = CW_MAX(gate->hold_until, now + CW_MIN(hold_ms, HOLD_MAX_MS));
    }
    pthread_mutex_unlock(&gate->lock);
}

enum gate_state gate_state(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    enum gate_state state = gate->state;
    pthread_mutex_unlock(&gate->lock);
    return state;
}
