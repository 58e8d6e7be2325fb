/* When a feed that said something that cannot be applied is begun anew: at once the first time, and
 * then ever more rarely. What could not be applied is mostly in the next snapshot as well, and each
 * one is unpacked on the poller and read by authsvc from its whole table. */
#ifndef SIDECAR_MAIN_RESTARTS_H
#define SIDECAR_MAIN_RESTARTS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    RESTARTS_FIRST_MS = 60 * 1000,
    /* Restarts come 0, 1, 3 and 7 minutes after the first miss: four before nothing is decided by
     * the feed any more (sidecar.authsvc.max-stale, 15 minutes). Who mends authsvc later than that
     * waits for his sidecars no longer than this. */
    RESTARTS_MOST_MS = 8 * RESTARTS_FIRST_MS,
};

/* Zeroed at first. One thread's. */
struct restarts {
    int64_t began_ms; /* the last one; monotonic */
    int64_t next_ms;  /* not before */
    int64_t pause_ms; /* after that one; 0: the first */
};

/* Whether to begin anew now; then it counts as begun. */
bool restarts_due(struct restarts *restarts, int64_t now_ms);
/* Something was applied: the pause is the first again, the one that runs, too. */
void restarts_applied(struct restarts *restarts);

#endif
