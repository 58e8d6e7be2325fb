/* Sessions, and the refresh tokens that keep them alive. A family is the chain of refresh tokens of
 * one session; only the hashes of its newest token and of the one before are stored:
 *
 *   generation      n-1          n           n+1
 *                (forgotten)  previous  →  current
 *
 * Presenting `current` moves the chain on by one. `previous` within the grace window is answered
 * with `current` again (the first answer was lost, or another tab was faster). Anything older is
 * for the caller to judge: it can prove whether such a token once belonged to the family. */
#include "authsvc/store/store_impl.h"

enum cw_err store_session_start_in(struct db_tx *tx, struct cw_str tenant,
                                   const struct store_session *session,
                                   const struct store_family *family, int64_t cap)
{
    const struct db_value add[] = {
        db_text(tenant),
        db_text(session->id),
        db_text(session->subject),
        db_text(session->client_id),
        db_text(session->scope),
        db_text(session->device),
        db_text(session->address),
        db_int(session->started_at),
        db_int(session->expires_at),
        db_text(session->amr),
        db_int(session->password_changed_at),
    };
    const struct db_value chain[] = {
        db_text(tenant),
        db_bytes(family->id, STORE_FAMILY_SIZE),
        db_text(session->id),
        db_bytes(family->hash, STORE_HASH_SIZE),
        db_int(session->started_at),
        db_int(family->idle_expires_at),
        db_int(session->expires_at),
    };
    const struct db_value oldest[] = {
        db_text(tenant),
        db_text(session->subject),
        db_int(cap),
        db_int(session->started_at),
    };
    int64_t started = 0;
    CW_CLEANUP(cw_buf_done) struct cw_buf ended = CW_BUF_INIT(STORE_IDS_MAX);
    const struct db_call calls[] = {
        {DB_SESSION_ADD, add, CW_ARRAY_SIZE(add), NULL, NULL, &started},
        {DB_FAMILY_ADD, chain, CW_ARRAY_SIZE(chain), NULL, NULL, NULL},
        {DB_SESSION_END_OLDEST, oldest, CW_ARRAY_SIZE(oldest), store_collect_id, &ended, NULL},
    };
    TRY(db_run_all(tx, calls, CW_ARRAY_SIZE(calls)));
    if (started != 1) {
        return store_user_refused(tx, tenant, session->subject);
    }
    return store_revoke_sessions(tx, tenant, &ended, session->started_at);
}

enum cw_err store_session_start(struct store *store, struct cw_str tenant,
                                const struct store_session *session,
                                const struct store_family *family, int64_t cap)
{
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             store_session_start_in(tx, tenant, session, family, cap));
}

static enum cw_err end_in(struct db_tx *tx, struct cw_str tenant, struct cw_str id, int64_t now,
                          const char *reason)
{
    const struct db_value args[] = {db_text(tenant), db_text(id), db_int(now),
                                    db_text(cw_str(reason))};
    int64_t changes = 0;
    TRY(db_run(tx, DB_SESSION_END, args, CW_ARRAY_SIZE(args), NULL, NULL, &changes));
    ENSURE(changes == 1, CW_NOT_FOUND);
    return store_revoke_session(tx, tenant, id, now);
}

enum cw_err store_session_end(struct store *store, struct cw_str tenant, struct cw_str id,
                              const char *reason)
{
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             end_in(tx, tenant, id, cw_clock_wall_ms(store->clock), reason));
}

struct owner_read {
    struct cw_str subject;
    bool same;
};

static enum cw_err read_owner(void *ctx, const struct db_value *columns, size_t n)
{
    struct owner_read *read = ctx;
    ENSURE(n == 1, CW_INTERNAL);
    read->same = cw_str_eq(columns[0].s, read->subject);
    return CW_OK;
}

enum cw_err store_session_check(struct store *store, struct cw_str tenant, struct cw_str id,
                                struct cw_str subject)
{
    const struct db_value args[] = {db_text(tenant), db_text(id),
                                    db_int(cw_clock_wall_ms(store->clock))};
    struct owner_read read = {.subject = subject};
    TRY(store_do(store, DB_LAZY, DB_SESSION_OWNER, args, CW_ARRAY_SIZE(args), read_owner, &read,
                 NULL));
    return read.same ? CW_OK : CW_NOT_FOUND;
}

struct session_list {
    enum cw_err (*each)(void *ctx, const struct store_session *session);
    void *ctx;
};

static enum cw_err read_session(void *ctx, const struct db_value *c, size_t n)
{
    const struct session_list *list = ctx;
    ENSURE(n == 9, CW_INTERNAL);
    const struct store_session session = {
        .id = c[0].s,
        .subject = c[1].s,
        .client_id = c[2].s,
        .scope = c[3].s,
        .device = c[4].s,
        .address = c[5].s,
        .started_at = c[6].i,
        .used_at = c[7].i,
        .expires_at = c[8].i,
    };
    return list->each(list->ctx, &session);
}

enum cw_err store_session_list(struct store *store, struct cw_str tenant, struct cw_str subject,
                               int64_t max,
                               enum cw_err (*each)(void *ctx, const struct store_session *session),
                               void *ctx)
{
    const struct db_value args[] = {db_text(tenant), db_text(subject),
                                    db_int(cw_clock_wall_ms(store->clock)), db_int(max)};
    struct session_list list = {.each = each, .ctx = ctx};
    return store_do(store, DB_LAZY, DB_SESSION_LIST, args, CW_ARRAY_SIZE(args), read_session, &list,
                    NULL);
}

struct family_read {
    const struct store_rotate *rotate; /* for read_all */
    struct cw_arena *arena;
    struct store_rotated *rotated;
    uint8_t previous_hash[STORE_HASH_SIZE];
    bool has_previous;
    int64_t rotated_at;
    bool ended;
    bool found;
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

/* A row for each group; what stands before the group is the same in all. */
static enum cw_err read_all(void *ctx, const struct db_value *c, size_t n)
{
    struct family_read *read = ctx;
    ENSURE(n == FAMILY_COLUMNS + USER_COLUMNS + GROUP_COLUMNS, CW_INTERNAL);
    if (!read->found) {
        TRY(read_family(ctx, c, n));
        TRY(read_user(read, &c[FAMILY_COLUMNS]));
    }
    const struct db_value *g = &c[FAMILY_COLUMNS + USER_COLUMNS];
    if (g[0].type == DB_NULL || read->rotate->group == NULL) {
        return CW_OK;
    }
    const struct store_group group = {.name = g[0].s, .roles = g[1].s, .permissions = g[2].s};
    return read->rotate->group(read->rotate->ctx, &group);
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
    bool present = rotate->generation == ret_rotated->generation &&
                   memcmp(ret_rotated->current_hash, rotate->hash, STORE_HASH_SIZE) == 0;
    ret_rotated->outcome = judge(&read, rotate, now);
    if (present && ret_rotated->outcome == STORE_ROTATION_STALE) {
        ret_rotated->outcome = STORE_ROTATION_DONE;
    }
    return CW_OK;
}

/* --- redeeming -------------------------------------------------------------------------- */

/* The statements of a refresh: none needs a row of another, so that they can travel together. */
struct rotation {
    struct db_value move[8];
    struct db_value use[5];
    struct db_call calls[3];
    int64_t moved;
    int64_t used;
    struct family_read read;
};

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
    *r = (struct rotation){.read = {.rotate = rotate, .arena = arena, .rotated = rotated}};
    memcpy(r->move, move, sizeof(move));
    memcpy(r->use, use, sizeof(use));
    r->calls[0] =
        (struct db_call){DB_FAMILY_ROTATE, r->move, CW_ARRAY_SIZE(move), NULL, NULL, &r->moved};
    r->calls[1] =
        (struct db_call){DB_SESSION_USED, r->use, CW_ARRAY_SIZE(use), NULL, NULL, &r->used};
    r->calls[2] = (struct db_call){DB_FAMILY_GET_ALL, r->move, 2, read_all, &r->read, NULL};
}

/* True where the session must be ended, since its user is disabled. */
static bool rotation_judge(const struct rotation *r, int64_t now)
{
    struct store_rotated *rotated = r->read.rotated;
    if (!r->read.found) {
        rotated->outcome = STORE_ROTATION_UNKNOWN;
        return false;
    }
    rotated->outcome = r->moved == 1 ? STORE_ROTATION_DONE : judge(&r->read, r->read.rotate, now);
    bool good =
        rotated->outcome == STORE_ROTATION_DONE || rotated->outcome == STORE_ROTATION_REPEATED;
    bool disabled = good && rotated->user.disabled;
    if (disabled || (good && r->used != 1)) { /* ended since the chain was moved */
        rotated->outcome = STORE_ROTATION_ENDED;
    }
    return disabled;
}

static const char user_disabled[] = "user_disabled";

enum cw_err store_rotate_in(struct db_tx *tx, struct cw_str tenant,
                            const struct store_rotate *rotate, struct cw_arena *arena, int64_t now,
                            struct store_rotated *ret_rotated)
{
    struct rotation r;
    rotation_init(&r, tenant, rotate, arena, now, ret_rotated);
    TRY(db_run_all(tx, r.calls, CW_ARRAY_SIZE(r.calls)));
    if (rotation_judge(&r, now)) {
        enum cw_err err = end_in(tx, tenant, ret_rotated->session.id, now, user_disabled);
        return err == CW_NOT_FOUND ? CW_OK : err; /* whoever disabled the user has ended it */
    }
    return CW_OK;
}

enum cw_err store_refresh_rotate(struct store *store, struct cw_str tenant,
                                 const struct store_rotate *rotate, struct cw_arena *arena,
                                 struct store_rotated *ret_rotated)
{
    const int64_t now = cw_clock_wall_ms(store->clock);
    struct store_rotated rotated = {0};
    struct rotation r;
    rotation_init(&r, tenant, rotate, arena, now, &rotated);
    TRY(store_do_all(store, DB_DURABLE, r.calls, CW_ARRAY_SIZE(r.calls)));
    if (rotation_judge(&r, now)) {
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
