/* The refresh tokens that keep a session alive. A family is the chain of refresh tokens of one
 * session; only the hashes of its newest token and of the one before are stored:
 *
 *   generation      n-1          n           n+1
 *                (forgotten)  previous  →  current
 *
 * Presenting `current` moves the chain on by one. `previous` within the grace window is answered
 * with `current` again (the first answer was lost, or another tab was faster). Anything older is
 * for the caller to judge: it can prove whether such a token once belonged to the family.
 *
 * Chains that are to be moved at the same time are moved in one transaction: a commit waits for the
 * disk and wakes several processes, which costs many times what moving a chain does.
 *
 *   first caller     leads: ├─ its own ─┤├─ those that came meanwhile ─┤ …
 *   others           wait ──────────────┘
 *
 * A row that somebody else holds is not waited for together: after a moment the transaction is
 * given up, and each of its refreshes has one of its own.
 */
#include "authsvc/store/store_impl.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct family_read {
    const struct store_rotate *rotate; /* for read_all */
    struct cw_arena *arena;
    struct store_rotated *rotated;
    uint8_t previous_hash[STORE_HASH_SIZE];
    bool has_previous;
    int64_t rotated_at;
    bool ended;
    bool found;
    enum cw_err err; /* of read_all */
};

enum { FAMILY_COLUMNS = 13, USER_COLUMNS = 7, GROUP_COLUMNS = 3 };

static enum cw_err read_family(void *ctx, const struct db_value *c, size_t n)
{
    struct family_read *read = ctx;
    struct store_rotated *out = read->rotated;
    ENSURE(n >= FAMILY_COLUMNS && c[1].s.n == STORE_HASH_SIZE, CW_INTERNAL);
    out->generation = c[0].i;
    memcpy(out->current_hash, c[1].s.p, STORE_HASH_SIZE);
    read->has_previous = c[2].type == DB_BYTES && c[2].s.n == STORE_HASH_SIZE;
    if (read->has_previous) {
        memcpy(read->previous_hash, c[2].s.p, STORE_HASH_SIZE);
    }
    read->rotated_at = c[3].i;
    out->idle_expires_at = c[4].i;
    out->expires_at = c[5].i;
    TRY(store_copy(read->arena, c[6].s, &out->session.id));
    TRY(store_copy(read->arena, c[7].s, &out->session.subject));
    TRY(store_copy(read->arena, c[8].s, &out->session.client_id));
    TRY(store_copy(read->arena, c[9].s, &out->session.scope));
    out->session.started_at = c[10].i;
    read->ended = c[11].type != DB_NULL;
    TRY(store_copy(read->arena, c[12].s, &out->session.amr));
    read->found = true;
    return CW_OK;
}

static enum cw_err read_user(struct family_read *read, const struct db_value *c)
{
    struct store_user *user = &read->rotated->user;
    user->subject = read->rotated->session.subject;
    TRY(store_copy(read->arena, c[0].s, &user->username));
    user->disabled = c[1].type != DB_NULL;
    TRY(store_copy(read->arena, c[2].s, &user->name));
    TRY(store_copy(read->arena, c[3].s, &user->email));
    user->email_verified = c[4].i != 0;
    TRY(store_copy(read->arena, c[5].s, &user->roles));
    return store_copy(read->arena, c[6].s, &user->permissions);
}

static enum cw_err read_group(struct family_read *read, const struct db_value *c, size_t n)
{
    ENSURE(n == FAMILY_COLUMNS + USER_COLUMNS + GROUP_COLUMNS, CW_INTERNAL);
    if (!read->found) {
        TRY(read_family(read, c, n));
        TRY(read_user(read, &c[FAMILY_COLUMNS]));
    }
    const struct db_value *g = &c[FAMILY_COLUMNS + USER_COLUMNS];
    if (g[0].type == DB_NULL || read->rotate->group == NULL) {
        return CW_OK;
    }
    const struct store_group group = {.name = g[0].s, .roles = g[1].s, .permissions = g[2].s};
    return read->rotate->group(read->rotate->ctx, &group);
}

/* A row for each group; what stands before the group is the same in all. An error is kept: it is
 * none of the other refreshes in this transaction. */
static enum cw_err read_all(void *ctx, const struct db_value *c, size_t n)
{
    struct family_read *read = ctx;
    read->err = read->err == CW_OK ? read_group(read, c, n) : read->err;
    return CW_OK;
}

static bool is_present(const struct store_rotated *family, const struct store_rotate *rotate)
{
    return rotate->generation == family->generation &&
           memcmp(family->current_hash, rotate->hash, STORE_HASH_SIZE) == 0;
}

/* What a token is that did not move the chain. */
static enum store_rotation judge(const struct family_read *read, const struct store_rotate *rotate,
                                 int64_t now)
{
    const struct store_rotated *family = read->rotated;
    if (!cw_str_eq(family->session.client_id, rotate->client_id)) {
        return STORE_ROTATION_UNKNOWN; /* RFC 6749 §10.4: bound to its client */
    }
    if (read->ended || family->idle_expires_at <= now || family->expires_at <= now) {
        return STORE_ROTATION_ENDED;
    }
    if (read->has_previous && rotate->generation == family->generation - 1 &&
        memcmp(read->previous_hash, rotate->hash, STORE_HASH_SIZE) == 0 &&
        now - read->rotated_at <= rotate->grace_ms) {
        return STORE_ROTATION_REPEATED;
    }
    return STORE_ROTATION_STALE;
}

enum cw_err store_family_judge_in(struct db_tx *tx, struct cw_str tenant,
                                  const struct store_rotate *rotate, struct cw_arena *arena,
                                  int64_t now, struct store_rotated *ret_rotated)
{
    const struct db_value args[] = {db_text(tenant), db_bytes(rotate->family, STORE_FAMILY_SIZE)};
    struct family_read read = {.arena = arena, .rotated = ret_rotated};
    TRY(db_run(tx, DB_FAMILY_GET, args, CW_ARRAY_SIZE(args), read_family, &read, NULL));
    if (!read.found) {
        ret_rotated->outcome = STORE_ROTATION_UNKNOWN;
        return CW_OK;
    }
    ret_rotated->outcome = judge(&read, rotate, now);
    if (is_present(ret_rotated, rotate) && ret_rotated->outcome == STORE_ROTATION_STALE) {
        ret_rotated->outcome = STORE_ROTATION_DONE;
    }
    return CW_OK;
}

/* --- moving a chain --------------------------------------------------------------------- */

/* The statements of a refresh: none needs a row of another, so that they can travel together. */
struct rotation {
    struct db_value move[8];
    struct db_value use[5];
    int64_t moved;
    int64_t used;
    int64_t now;
    struct family_read read;
};

enum { MOVE_CALLS = 2 };

static void rotation_init(struct rotation *r, struct cw_str tenant,
                          const struct store_rotate *rotate, struct cw_arena *arena, int64_t now,
                          struct store_rotated *rotated)
{
    const struct db_value family = db_bytes(rotate->family, STORE_FAMILY_SIZE);
    const struct db_value next = db_bytes(rotate->next_hash, STORE_HASH_SIZE);
    const struct db_value move[] = {
        db_text(tenant),
        family,
        db_bytes(rotate->hash, STORE_HASH_SIZE),
        db_int(rotate->generation),
        next,
        db_int(now),
        db_int(now + rotate->idle_ms),
        db_text(rotate->client_id),
    };
    const struct db_value use[] = {db_text(tenant), family, next, db_text(rotate->client_id),
                                   db_int(now)};
    *r = (struct rotation){
        .used = 1, .now = now, .read = {.rotate = rotate, .arena = arena, .rotated = rotated}};
    memcpy(r->move, move, sizeof(move));
    memcpy(r->use, use, sizeof(use));
}

/* The second one reads what is there once the first has the chain for itself. */
static void move_calls(struct rotation *r, struct db_call calls[MOVE_CALLS])
{
    calls[0] =
        (struct db_call){DB_FAMILY_ROTATE, r->move, CW_ARRAY_SIZE(r->move), NULL, NULL, &r->moved};
    calls[1] = (struct db_call){DB_FAMILY_GET_ALL, r->move, 2, read_all, &r->read, NULL};
}

/* True where the session must be ended, since its user is disabled. */
static bool rotation_judge(const struct rotation *r)
{
    struct store_rotated *rotated = r->read.rotated;
    if (!r->read.found) {
        rotated->outcome = STORE_ROTATION_UNKNOWN;
        return false;
    }
    rotated->outcome =
        r->moved == 1 ? STORE_ROTATION_DONE : judge(&r->read, r->read.rotate, r->now);
    bool good =
        rotated->outcome == STORE_ROTATION_DONE || rotated->outcome == STORE_ROTATION_REPEATED;
    bool disabled = good && rotated->user.disabled;
    if (disabled || (good && (r->read.ended || r->used != 1))) { /* since the chain was moved */
        rotated->outcome = STORE_ROTATION_ENDED;
    }
    return disabled;
}

static const char user_disabled[] = "user_disabled";

/* Holds the session, too: who ends it revokes the provider's tokens that it finds. */
enum cw_err store_rotate_in(struct db_tx *tx, struct cw_str tenant,
                            const struct store_rotate *rotate, struct cw_arena *arena, int64_t now,
                            struct store_rotated *ret_rotated)
{
    struct rotation r;
    rotation_init(&r, tenant, rotate, arena, now, ret_rotated);
    struct db_call calls[MOVE_CALLS + 1];
    move_calls(&r, calls);
    calls[2] = calls[1];
    calls[1] = (struct db_call){DB_SESSION_USED, r.use, CW_ARRAY_SIZE(r.use), NULL, NULL, &r.used};
    TRY(db_run_all(tx, calls, CW_ARRAY_SIZE(calls)));
    TRY(r.read.err);
    if (rotation_judge(&r)) {
        enum cw_err err =
            store_session_end_in(tx, tenant, ret_rotated->session.id, now, user_disabled);
        return err == CW_NOT_FOUND ? CW_OK : err; /* whoever disabled the user has ended it */
    }
    return CW_OK;
}

/* --- many at once ----------------------------------------------------------------------- */

enum {
    BATCH_MAX = (DB_CALLS_MAX - 1) / MOVE_CALLS, /* and LOCKS_BRIEFLY */
    CORES_EACH = 2,       /* that a leading one keeps busy, with the server's process */
    PATIENCE_MS = 50,     /* of who waits: the one that leads may stand at somebody else's row */
    LOCK_WAIT_MS = 100,   /* for a row of somebody else's, at most */
    CONNECTIONS_LEFT = 4, /* for logins, revocations, health */
};

/* Lies on the stack of the thread that waits for it; all but `rotation` under the lock. */
struct store_redemption {
    struct rotation rotation;
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
    return memcmp((*x)->rotation.read.rotate->family, (*y)->rotation.read.rotate->family,
                  STORE_FAMILY_SIZE);
}

/* With the lock held. */
static size_t take_batch(struct store_redeemer *q, struct store_redemption *batch[BATCH_MAX])
{
    size_t n = 0;
    while (q->first != NULL && n < BATCH_MAX) {
        batch[n] = q->first;
        batch[n]->state = UNDER_WAY;
        q->first = q->first->next;
        n++;
    }
    q->last = q->first != NULL ? q->last : &q->first;
    return n;
}

static enum cw_err move_one(struct store *store, struct rotation *r)
{
    struct db_call calls[MOVE_CALLS];
    move_calls(r, calls);
    return store_do_all(store, DB_DURABLE, calls, MOVE_CALLS);
}

/* CW_STORE_CONTENDED: one of them met a row that somebody else holds, and nothing was done. */
static enum cw_err move_all(struct store *store, struct store_redemption *const *batch, size_t n)
{
    const struct db_value wait = db_text(cw_str(store->redeemer.lock_wait));
    struct db_call calls[DB_CALLS_MAX];
    size_t n_calls = 0;
    if (wait.s.n > 0) {
        calls[n_calls++] = (struct db_call){DB_LOCKS_BRIEFLY, &wait, 1, NULL, NULL, NULL};
    }
    for (size_t i = 0; i < n; i++) {
        move_calls(&batch[i]->rotation, &calls[n_calls]);
        n_calls += MOVE_CALLS;
    }
    return db_run_all_alone(store->db, DB_DURABLE, calls, n_calls);
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
    tell(q, batch, n, own,
         n > 1 ? move_all(store, batch, n) : move_one(store, &batch[0]->rotation));
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

/* Runs the rotation together with those of other threads. */
static enum cw_err redeem(struct store *store, struct store_redemption *own)
{
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
    return own->alone ? move_one(store, &own->rotation) : own->err;
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

/* Who has not moved the chain did not have it for itself: a revocation of its subject that is under
 * way is waited for, or waits. */
static enum cw_err hold_session(struct store *store, struct rotation *r)
{
    TRY(store_do(store, DB_LAZY, DB_SESSION_USED, r->use, CW_ARRAY_SIZE(r->use), NULL, NULL,
                 &r->used));
    if (r->used != 1) {
        r->read.rotated->outcome = STORE_ROTATION_ENDED;
    }
    return CW_OK;
}

/* A fault of ours must not look like a token that is used twice, once the grace is over. */
enum cw_err store_refresh_put_back(struct store *store, struct cw_str tenant,
                                   const struct store_rotate *rotate)
{
    const struct db_value args[] = {
        db_text(tenant),
        db_bytes(rotate->family, STORE_FAMILY_SIZE),
        db_bytes(rotate->next_hash, STORE_HASH_SIZE),
        db_int(rotate->generation + 1),
        db_bytes(rotate->hash, STORE_HASH_SIZE),
    };
    return store_do(store, DB_DURABLE, DB_FAMILY_PUT_BACK, args, CW_ARRAY_SIZE(args), NULL, NULL,
                    NULL);
}

enum cw_err store_refresh_rotate(struct store *store, struct cw_str tenant,
                                 const struct store_rotate *rotate, struct cw_arena *arena,
                                 struct store_rotated *ret_rotated)
{
    struct store_rotated rotated = {0};
    struct store_redemption own = {0};
    struct rotation *r = &own.rotation;
    rotation_init(r, tenant, rotate, arena, cw_clock_wall_ms(store->clock), &rotated);
    /* The others of the same transaction are not to be refused for it. */
    ENSURE(db_texts_are_text(r->move, CW_ARRAY_SIZE(r->move)), CW_REQUEST_MALFORMED);
    TRY(redeem(store, &own));
    if (r->read.err != CW_OK) {
        enum cw_err ignored = r->moved == 1 ? store_refresh_put_back(store, tenant, rotate) : CW_OK;
        (void)ignored; /* what was wrong first is told */
        return r->read.err;
    }
    bool disabled = rotation_judge(r);
    /* Put back by another thread, between the two looks at it. */
    ENSURE(rotated.outcome != STORE_ROTATION_STALE || !is_present(&rotated, rotate),
           CW_STORE_CONTENDED);
    if (rotated.outcome == STORE_ROTATION_REPEATED) {
        TRY(hold_session(store, r));
    }
    if (disabled) {
        enum cw_err err = store_session_end(store, tenant, rotated.session.id, user_disabled);
        if (err != CW_OK && err != CW_NOT_FOUND) {
            return err;
        }
    }
    *ret_rotated = rotated;
    return CW_OK;
}

enum cw_err store_family_find(struct store *store, struct cw_str tenant, const uint8_t *family,
                              struct cw_arena *arena, struct store_rotated *ret_rotated)
{
    const struct db_value args[] = {db_text(tenant), db_bytes(family, STORE_FAMILY_SIZE)};
    struct family_read read = {.arena = arena, .rotated = ret_rotated};
    TRY(store_do(store, DB_LAZY, DB_FAMILY_GET, args, CW_ARRAY_SIZE(args), read_family, &read,
                 NULL));
    return read.found ? CW_OK : CW_NOT_FOUND;
}
