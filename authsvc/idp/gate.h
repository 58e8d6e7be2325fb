/* What stands between us and one identity provider: calls at once, calls a second, a circuit
 * breaker. Times are monotonic milliseconds; no clock of its own. */
#ifndef AUTHSVC_IDP_GATE_H
#define AUTHSVC_IDP_GATE_H

#include <pthread.h>

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

struct gate_limits {
    int64_t concurrency;
    int64_t rate_per_second; /* 0: no bound */
    int64_t rate_burst;
    int64_t failures; /* in a row that open the breaker */
    int64_t open_ms;  /* before one call tries again */
};

/* CLOSED ──failures in a row──▶ OPEN ──open_ms──▶ one probe ──good──▶ CLOSED, bad──▶ OPEN */
enum gate_state { GATE_CLOSED = 0, GATE_OPEN, GATE_PROBING };

struct gate {
    pthread_mutex_t lock; /* all below */
    enum gate_state state;
    int64_t in_flight;
    int64_t failed;     /* in a row */
    int64_t open_until; /* OPEN */
    int64_t hold_until; /* the provider asked for a pause */
    int64_t tokens;     /* thousandths of a call */
    int64_t filled_at;
    bool filled; /* the bucket has been looked at */
};

enum gate_outcome {
    GATE_GOOD = 0,  /* it answered, whatever it said */
    GATE_FAILED,    /* no answer, or one of a broken provider */
    GATE_ABANDONED, /* the call never left: tells nothing about the provider */
};

void gate_init(struct gate *gate);
void gate_done(struct gate *gate);

/* Lets a call through (then gate_leave once), or CW_IDP_UNAVAILABLE with the time after which
 * trying again makes sense. Any thread. */
CW_MUST_USE enum cw_err gate_enter(struct gate *gate, const struct gate_limits *limits, int64_t now,
                                   uint32_t *ret_retry_ms);
/* `hold_ms` > 0: the provider wants no calls for so long (429). */
void gate_leave(struct gate *gate, const struct gate_limits *limits, int64_t now,
                enum gate_outcome outcome, int64_t hold_ms);
enum gate_state gate_state(struct gate *gate);

#endif
