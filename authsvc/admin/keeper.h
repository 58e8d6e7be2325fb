/* Looks after the signing keys: follows other processes, and does in time what the schedule of the
 * keys asks for (authsvc/keys/schedule.h). */
#ifndef AUTHSVC_ADMIN_KEEPER_H
#define AUTHSVC_ADMIN_KEEPER_H

#include "authsvc/admin/book.h"

enum { KEEPER_PERIOD_MS = 500 }; /* between looks */

struct keeper;

struct keeper_deps {
    struct store *store;
    struct keyring *keys;
    struct book *book;
    /* So long the clock must have gone evenly before keys are deleted by it; the retire margin. */
    int64_t calm_ms;
    /* A tenant's keys could not be looked after; for the log. May be NULL. */
    void (*on_problem)(void *ctx, struct cw_str tenant, struct cw_str text);
    void *ctx;
};

/* Copies deps, and starts the thread. */
CW_MUST_USE enum cw_err keeper_new(const struct keeper_deps *deps, struct keeper **ret_keeper);
/* Ends the thread. NULL is fine. */
void keeper_free(struct keeper *keeper);
/* Another process may have changed keys: the thread looks now. Any thread; does not block. */
void keeper_poke(struct keeper *keeper);

/* Whether keys may be deleted by what the wall clock says. Deleting cannot be taken back, so a
 * clock that has jumped gets time to come right again. Times are milliseconds. */
struct keeper_calm {
    int64_t offset;   /* wall clock minus monotonic clock, at the last look */
    int64_t since_ms; /* monotonic: even since then */
    bool begun;
};
bool keeper_calm(struct keeper_calm *calm, int64_t wall_ms, int64_t monotonic_ms, int64_t calm_ms);

#endif
