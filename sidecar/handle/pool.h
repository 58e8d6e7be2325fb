/* The verifiers: a bounded pool that takes from many sources in turn, so that one source's flood
 * delays the others by one verification each, not by its queue. */
#ifndef SIDECAR_HANDLE_POOL_H
#define SIDECAR_HANDLE_POOL_H

#include "common/base/str.h"

enum {
    POOL_LANES = 64,     /* sources are hashed onto these */
    POOL_LANE_SHARE = 4, /* one lane holds at most 1/4 of the queue */
    POOL_NICE = 5,       /* its threads are so much nicer than the process */
};

struct pool;

/* Embedded in what is queued. */
struct pool_item {
    struct pool_item *next;
};

/* Starts `threads` threads, called `name` (at most 15 bytes; borrowed until pool_stop). `run` is
 * called for each item; `idle` (may be NULL) on a thread that has run something and finds nothing
 * more. CW_UNAVAILABLE, CW_NO_MEMORY. */
CW_MUST_USE enum cw_err pool_new(const char *name, unsigned threads, unsigned queue_max,
                                 void (*run)(struct pool_item *item), void (*idle)(void),
                                 struct pool **ret_pool);
/* CW_VALIDATOR_OVERLOADED when the queue or the source's part of it is full, CW_SHUTTING_DOWN: the
 * item stays the caller's. Any thread; never waits. */
CW_MUST_USE enum cw_err pool_submit(struct pool *pool, uint64_t source, struct pool_item *item);
/* Items that wait. */
unsigned pool_depth(struct pool *pool);
/* Runs what waits, joins. Nothing more is taken. */
void pool_stop(struct pool *pool);
/* After stop. NULL is fine. */
void pool_free(struct pool *pool);

#endif
