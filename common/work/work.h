/* A bounded pool of worker threads: for work that may take long and must not run where requests are
 * polled. */
#ifndef CW_WORK_WORK_H
#define CW_WORK_WORK_H

#include "common/base/err.h"

struct cw_work;

/* `name` names the threads (≤ 15 bytes). CW_NO_MEMORY, CW_UNAVAILABLE when a thread cannot be made.
 */
CW_MUST_USE enum cw_err cw_work_new(const char *name, unsigned threads, size_t queue_max,
                                    struct cw_work **ret_work);
/* Hands (run, arg) to a worker. After CW_OK `run` is called exactly once. CW_UNAVAILABLE when
 * queue_max items wait already, CW_SHUTTING_DOWN after cw_work_stop(): then it is not called and
 * arg stays the caller's. Any thread, never blocks on the work. */
CW_MUST_USE enum cw_err cw_work_submit(struct cw_work *work, void (*run)(void *arg), void *arg);
/* Items that wait. */
size_t cw_work_depth(struct cw_work *work);
/* Takes nothing new, runs what waits, joins the threads. Not from a worker. Idempotent; NULL is
 * fine. */
void cw_work_stop(struct cw_work *work);
/* Stops first; NULL is fine. Every cw_work_submit must have returned: what it handed over may have
 * run before that. */
void cw_work_free(struct cw_work *work);

#endif
