/* Chains that are to be moved at the same time are moved in one transaction: a commit waits for the
 * disk and wakes several processes, which costs many times what moving a chain does.
 *
 *   first caller     leads: ├─ its own ─┤├─ those that came meanwhile ─┤ …
 *   others           wait ──────────────┘
 *
 * A server gets them as arrays, in one statement that moves and one that reads; what a statement
 * costs it is mostly its beginning and its end.
 *
 * A row that somebody else holds is not waited for together: after a moment the transaction is
 * given up, and each of its refreshes has one of its own.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "authsvc/store/chains_impl.h"

enum {
    BATCH_MAX = (DB_CALLS_MAX - 1) / STORE_MOVE_CALLS,
    CORES_EACH = 2,       /* that a leading one keeps busy, with the server's process */
    PATIENCE_MS = 50,     /* of who waits: the one that leads may stand at somebody else's row */
    LOCK_WAIT_MS = 100,   /* for a row of somebody else's, at most */
    CONNECTIONS_LEFT = 4, /* for logins, revocations, health */
};

/* Lies on the stack of the thread that waits for it; all but `move` under the lock. */
struct store_redemption {
    struct store_move *move;
    enum { WAITING = 0, UNDER_WAY, OVER } state;
    bool alone; /* nothing was done: to be done once more, without the others */
    enum cw_err err;
    sem_t woken;
    unsigned posts; /* to `woken`, made or about to be made: all are taken before it goes */
    struct store_redemption *next; /* waiting behind it */
};

/* The same order in every process, so that none waits for a chain while it holds one that the other
 * waits for. */
static int by_name(const void *a, const void *b)
{
    const struct store_redemption *const *x = a;
    const struct store_redemption *const *y = b;
    return memcmp((*x)->move->read.rotate->family, (*y)->move->read.rotate->family,
                  STORE_FAMILY_SIZE);
}

static bool has_chain(struct store_redemption *const *batch, size_t n, const uint8_t *family)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(batch[i]->move->read.rotate->family, family, STORE_FAMILY_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

/* The second token of one chain stays for the next batch: what it is shows once the first is
 * redeemed. With the lock held. */
static size_t take_batch(struct store_redeemer *q, struct store_redemption *batch[BATCH_MAX])
{
    struct store_redemption **at = &q->first;
    size_t n = 0;
    while (*at != NULL && n < BATCH_MAX) {
        struct store_redemption *one = *at;
        if (has_chain(batch, n, one->move->read.rotate->family)) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        one->state = UNDER_WAY;
        batch[n++] = one;
    }
    if (*at == NULL) {
        q->last = at;
    }
    return n;
}

static enum cw_err move_one(struct store *store, struct store_move *r)
{
    struct db_call calls[STORE_MOVE_CALLS];
    store_move_calls(r, calls);
    return store_do_all(store, DB_DURABLE, calls, STORE_MOVE_CALLS);
}

static enum cw_err move_each(struct store *store, struct store_redemption *const *batch, size_t n)
{
    struct db_call calls[DB_CALLS_MAX];
    for (size_t i = 0; i < n; i++) {
        store_move_calls(batch[i]->move, &calls[i * STORE_MOVE_CALLS]);
    }
    return db_run_all_alone(store->db, DB_DURABLE, calls, n * STORE_MOVE_CALLS);
}

/* --- all in two statements -------------------------------------------------------------- */

struct batch {
    struct store_redemption *const *of;
    size_t n;
};

static struct store_move *find(const struct batch *batch, struct cw_str family)
{
    for (size_t i = 0; i < batch->n && family.n == STORE_FAMILY_SIZE; i++) {
        struct store_move *move = batch->of[i]->move;
        if (memcmp(move->read.rotate->family, family.p, STORE_FAMILY_SIZE) == 0) {
            return move;
        }
    }
    return NULL;
}

static enum cw_err read_moved(void *ctx, const struct db_value *columns, size_t n)
{
    struct store_move *move = n == 1 ? find(ctx, columns[0].s) : NULL;
    ENSURE(move != NULL, CW_INTERNAL);
    move->moved = 1;
    return CW_OK;
}

static enum cw_err read_chain(void *ctx, const struct db_value *columns, size_t n)
{
    struct store_move *move = n > 0 ? find(ctx, columns[n - 1].s) : NULL;
    ENSURE(move != NULL, CW_INTERNAL);
    return store_family_read_all(&move->read, columns, n - 1);
}

/* CW_STORE_CONTENDED: one of them met a row that somebody else holds, and nothing was done. */
static enum cw_err move_all(struct store *store, struct store_redemption *const *batch, size_t n)
{
    struct db_value items[STORE_MOVE_ARGS][BATCH_MAX];
    struct db_value args[STORE_MOVE_ARGS];
    for (size_t a = 0; a < STORE_MOVE_ARGS; a++) {
        for (size_t i = 0; i < n; i++) {
            items[a][i] = batch[i]->move->move[a];
        }
        args[a] = db_array(items[a], n);
    }
    struct batch all = {batch, n};
    const struct db_value wait = db_text(cw_str(store->redeemer.lock_wait));
    const struct db_call calls[] = {
        {DB_LOCKS_BRIEFLY, &wait, 1, NULL, NULL, NULL},
        {DB_FAMILIES_ROTATE, args, STORE_MOVE_ARGS, read_moved, &all, NULL},
        {DB_FAMILIES_GET, args, 2, read_chain, &all, NULL},
    };
    return db_run_all_alone(store->db, DB_DURABLE, calls, CW_ARRAY_SIZE(calls));
}

/* --- who leads -------------------------------------------------------------------------- */

static enum cw_err move_batch(struct store *store, struct store_redemption *const *batch, size_t n)
{
    if (n == 1) {
        return move_one(store, batch[0]->move);
    }
    return store->db->driver->arrays ? move_all(store, batch, n) : move_each(store, batch, n);
}

/* The state of all of them changes at once, under the lock; they are woken behind it, since each
 * wants it first. */
static void tell(struct store_redeemer *q, struct store_redemption *const *batch, size_t n,
                 const struct store_redemption *own, enum cw_err err)
{
    pthread_mutex_lock(&q->lock);
    q->leading--;
    for (size_t i = 0; i < n; i++) {
        batch[i]->err = err;
        batch[i]->alone = n > 1 && err == CW_STORE_CONTENDED;
        batch[i]->posts += batch[i] != own;
        batch[i]->state = OVER;
    }
    if (q->first != NULL) { /* it leads the next ones */
        q->first->posts++;
        sem_post(&q->first->woken);
    }
    pthread_mutex_unlock(&q->lock);
    for (size_t i = 0; i < n; i++) {
        if (batch[i] != own) {
            sem_post(&batch[i]->woken);
        }
    }
}

/* With the lock held, which is let go meanwhile. */
static void lead(struct store *store, const struct store_redemption *own)
{
    struct store_redeemer *q = &store->redeemer;
    struct store_redemption *batch[BATCH_MAX];
    size_t n = take_batch(q, batch);
    q->leading++;
    pthread_mutex_unlock(&q->lock);
    qsort(batch, n, sizeof(*batch), by_name);
    tell(q, batch, n, own, move_batch(store, batch, n));
    pthread_mutex_lock(&q->lock);
}

static struct timespec patience(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += PATIENCE_MS * 1000000L;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static bool may_lead(const struct store_redeemer *q, bool impatient)
{
    return q->leading < (impatient ? q->leading_cap : q->leading_max);
}

enum cw_err store_redeem(struct store *store, struct store_move *move)
{
    struct store_redemption redemption = {.move = move};
    struct store_redemption *own = &redemption;
    struct store_redeemer *q = &store->redeemer;
    const struct timespec until = patience();
    bool impatient = false;
    unsigned taken = 0;
    sem_init(&own->woken, 0, 0);
    pthread_mutex_lock(&q->lock);
    *q->last = own;
    q->last = &own->next;
    while (own->state != OVER) {
        if (own->state == WAITING && may_lead(q, impatient)) {
            lead(store, own);
            continue;
        }
        bool timed = own->state == WAITING && !impatient; /* who ends wakes the first, too */
        pthread_mutex_unlock(&q->lock);
        int rc =
            timed ? sem_clockwait(&own->woken, CLOCK_MONOTONIC, &until) : sem_wait(&own->woken);
        taken += rc == 0;
        impatient = impatient || (timed && rc != 0 && errno == ETIMEDOUT);
        pthread_mutex_lock(&q->lock);
    }
    unsigned posts = own->posts;
    pthread_mutex_unlock(&q->lock);
    while (taken < posts) {
        taken += sem_wait(&own->woken) == 0;
    }
    sem_destroy(&own->woken);
    return own->alone ? move_one(store, own->move) : own->err;
}

void store_redeemer_init(struct store_redeemer *q, const struct db *db)
{
    long each = CW_MAX(sysconf(_SC_NPROCESSORS_ONLN) / CORES_EACH, 1);
    unsigned cap = db->connections > CONNECTIONS_LEFT ? db->connections - CONNECTIONS_LEFT : 1;
    *q = (struct store_redeemer){.leading_max = CW_MIN((unsigned)each, cap), .leading_cap = cap};
    if (db->connections > 0) { /* all of a batch's rows together: half of the time there is */
        int64_t ms = CW_MAX(db->statement_timeout_ms / (2 * BATCH_MAX), 1);
        snprintf(q->lock_wait, sizeof(q->lock_wait), "%lld",
                 (long long)CW_MIN(ms, (int64_t)LOCK_WAIT_MS));
    }
    q->last = &q->first;
    pthread_mutex_init(&q->lock, NULL);
}

void store_redeemer_done(struct store_redeemer *q)
{
    pthread_mutex_destroy(&q->lock);
}
