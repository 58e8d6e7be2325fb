/* The refresh tokens that keep a session alive. A family is the chain of refresh tokens of one
 * session; only the hashes of its newest token and of the one before are stored:
 *
 *   generation      n-1          n           n+1
 *                (forgotten)  previous  →  current
 *
 * Presenting `current` moves the chain on by one. `previous` within the grace window is answered
 * with `current` again (the first answer was lost, or another tab was faster). Anything older is
 * for the caller to judge: it can prove whether such a token once belonged to the family.
 */
#include "authsvc/store/chains_impl.h"

enum { FAMILY_COLUMNS = 13, USER_COLUMNS = 7, GROUP_COLUMNS = 3 };

static enum cw_err read_family(void *ctx, const struct db_value *c, size_t n)
{
    struct store_family_read *read = ctx;
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

static enum cw_err read_user(struct store_family_read *read, const struct db_value *c)
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

static enum cw_err read_group(struct store_family_read *read, const struct db_value *c, size_t n)
{
    ENSURE(n >= FAMILY_COLUMNS + USER_COLUMNS + GROUP_COLUMNS, CW_INTERNAL);
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

/* A row for each group; what stands before the group is the same in all. */
enum cw_err store_family_read_all(void *ctx, const struct db_value *c, size_t n)
{
    struct store_family_read *read = ctx;
    read->err = read->err == CW_OK ? read_group(read, c, n) : read->err;
    return CW_OK;
}

static bool is_present(const struct store_rotated *family, const struct store_rotate *rotate)
{
    return rotate->generation == family->generation &&
           memcmp(family->current_hash, rotate->hash, STORE_HASH_SIZE) == 0;
}

/* What a token is that did not move the chain. */
static enum store_rotation judge(const struct store_family_read *read,
                                 const struct store_rotate *rotate, int64_t now)
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
    struct store_family_read read = {.arena = arena, .rotated = ret_rotated};
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

static void rotation_init(struct store_move *r, struct cw_str tenant,
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
    *r = (struct store_move){
        .used = 1, .now = now, .read = {.rotate = rotate, .arena = arena, .rotated = rotated}};
    memcpy(r->move, move, sizeof(move));
    memcpy(r->use, use, sizeof(use));
}

void store_move_calls(struct store_move *r, struct db_call calls[STORE_MOVE_CALLS])
{
    calls[0] =
        (struct db_call){DB_FAMILY_ROTATE, r->move, CW_ARRAY_SIZE(r->move), NULL, NULL, &r->moved};
    calls[1] =
        (struct db_call){DB_FAMILY_GET_ALL, r->move, 2, store_family_read_all, &r->read, NULL};
}

/* True where the session must be ended, since its user is disabled. */
static bool rotation_judge(const struct store_move *r)
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
    struct store_move r;
    rotation_init(&r, tenant, rotate, arena, now, ret_rotated);
    struct db_call calls[STORE_MOVE_CALLS + 1];
    store_move_calls(&r, calls);
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

/* --- a refresh -------------------------------------------------------------------------- */

/* Who has not moved the chain did not have it for itself: a revocation of its subject that is under
 * way is waited for, or waits. */
static enum cw_err hold_session(struct store *store, struct store_move *r)
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
    struct store_move move;
    rotation_init(&move, tenant, rotate, arena, cw_clock_wall_ms(store->clock), &rotated);
    /* The others of the same transaction are not to be refused for it. */
    ENSURE(db_texts_are_text(move.move, CW_ARRAY_SIZE(move.move)), CW_REQUEST_MALFORMED);
    TRY(store_redeem(store, &move));
    if (move.read.err != CW_OK && (move.moved == 1 || !move.read.found)) {
        enum cw_err ignored =
            move.moved == 1 ? store_refresh_put_back(store, tenant, rotate) : CW_OK;
        (void)ignored; /* what was wrong first is told */
        return move.read.err;
    }
    bool disabled = rotation_judge(&move);
    /* A token that gets no answer is told so whatever the answer would have lacked: one that is
     * used twice ends its session. */
    ENSURE(move.read.err == CW_OK || rotated.outcome != STORE_ROTATION_REPEATED, move.read.err);
    /* Put back by another thread, between the two looks at it. */
    ENSURE(rotated.outcome != STORE_ROTATION_STALE || !is_present(&rotated, rotate),
           CW_STORE_CONTENDED);
    if (rotated.outcome == STORE_ROTATION_REPEATED) {
        TRY(hold_session(store, &move));
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
    struct store_family_read read = {.arena = arena, .rotated = ret_rotated};
    TRY(store_do(store, DB_LAZY, DB_FAMILY_GET, args, CW_ARRAY_SIZE(args), read_family, &read,
                 NULL));
    return read.found ? CW_OK : CW_NOT_FOUND;
}
