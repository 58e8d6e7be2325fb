/* Passwords change: by their user, by an administrator, by a one-time code. Whatever was let in or
 * half let in with the one before ends in the same transaction. */
#include "authsvc/store/store_impl.h"

enum { SUBJECT_MAX = 256 };

struct subject_read {
    char text[SUBJECT_MAX];
    size_t n;
};

static enum cw_err read_subject(void *ctx, const struct db_value *columns, size_t n)
{
    struct subject_read *read = ctx;
    ENSURE(n == 1 && columns[0].s.n > 0 && columns[0].s.n <= SUBJECT_MAX, CW_INTERNAL);
    memcpy(read->text, columns[0].s.p, columns[0].s.n);
    read->n = columns[0].s.n;
    return CW_OK;
}

static struct cw_str subject_of(const struct subject_read *read)
{
    return (struct cw_str){read->text, read->n};
}

/* What the password before had opened. */
static enum cw_err close_in(struct db_tx *tx, struct cw_str tenant, struct cw_str subject,
                            const char *reason, struct cw_str keep_session, int64_t now)
{
    const struct db_value args[] = {db_text(tenant), db_text(subject), db_int(now),
                                    db_text(cw_str(reason)), db_text(keep_session)};
    TRY(store_end_sessions(tx, DB_SESSION_END_OTHERS, args, CW_ARRAY_SIZE(args), tenant, now));
    TRY(db_run(tx, DB_MFA_DROP, args, 2, NULL, NULL, NULL));
    return db_run(tx, DB_RESET_CLEAR, args, 2, NULL, NULL, NULL);
}

/* --- set and change --------------------------------------------------------------------- */

static enum cw_err set_in(struct db_tx *tx, struct cw_str tenant, struct cw_str username,
                          struct cw_str hash, int64_t now)
{
    const struct db_value args[] = {db_text(tenant), db_text(username), db_text(hash), db_int(now)};
    struct subject_read subject = {.n = 0};
    TRY(db_run(tx, DB_USER_SET_PASSWORD, args, CW_ARRAY_SIZE(args), read_subject, &subject, NULL));
    ENSURE(subject.n > 0, CW_NOT_FOUND);
    return close_in(tx, tenant, subject_of(&subject), "password_changed", CW_STR(""), now);
}

enum cw_err store_user_set_password(struct store *store, struct cw_str tenant,
                                    struct cw_str username, struct cw_str hash)
{
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             set_in(tx, tenant, username, hash, cw_clock_wall_ms(store->clock)));
}

static enum cw_err change_in(struct db_tx *tx, const struct db_value *args, size_t n,
                             struct cw_str keep_session, int64_t now)
{
    int64_t changes = 0;
    TRY(db_run(tx, DB_USER_CHANGE_PASSWORD, args, n, NULL, NULL, &changes));
    ENSURE(changes == 1, CW_CONFLICT);
    return close_in(tx, args[0].s, args[1].s, "password_changed", keep_session, now);
}

enum cw_err store_user_change_password(struct store *store, struct cw_str tenant,
                                       struct cw_str subject, struct cw_str old_hash,
                                       struct cw_str new_hash, struct cw_str keep_session)
{
    int64_t now = cw_clock_wall_ms(store->clock);
    const struct db_value args[] = {db_text(tenant), db_text(subject), db_text(old_hash),
                                    db_text(new_hash), db_int(now)};
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             change_in(tx, args, CW_ARRAY_SIZE(args), keep_session, now));
}

static enum cw_err expire_in(struct db_tx *tx, struct cw_str tenant, struct cw_str username,
                             int64_t now)
{
    const struct db_value args[] = {db_text(tenant), db_text(username), db_int(now)};
    int64_t changes = 0;
    TRY(db_run(tx, DB_USER_EXPIRE_PASSWORD, args, CW_ARRAY_SIZE(args), NULL, NULL, &changes));
    ENSURE(changes == 1, CW_NOT_FOUND);
    return store_end_user_sessions(tx, tenant, username, "password_expired", now);
}

enum cw_err store_user_expire_password(struct store *store, struct cw_str tenant,
                                       struct cw_str username)
{
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             expire_in(tx, tenant, username, cw_clock_wall_ms(store->clock)));
}

/* --- reset codes ------------------------------------------------------------------------ */

enum cw_err store_reset_add(struct store *store, struct cw_str tenant, struct cw_str username,
                            const uint8_t *code_hash, int64_t expires_at)
{
    const struct db_value args[] = {
        db_text(tenant),
        db_text(username),
        db_bytes(code_hash, STORE_HASH_SIZE),
        db_int(cw_clock_wall_ms(store->clock)),
        db_int(expires_at),
    };
    int64_t changes = 0;
    TRY(store_do(store, DB_DURABLE, DB_RESET_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, &changes));
    return changes == 1 ? CW_OK : CW_NOT_FOUND;
}

enum cw_err store_reset_user(struct store *store, struct cw_str tenant, const uint8_t *code_hash,
                             struct cw_arena *arena, struct store_user *ret_user)
{
    const struct db_value args[] = {db_text(tenant), db_bytes(code_hash, STORE_HASH_SIZE),
                                    db_int(cw_clock_wall_ms(store->clock))};
    struct store_user_read read = {.arena = arena, .user = ret_user};
    TRY(store_do(store, DB_LAZY, DB_RESET_USER, args, CW_ARRAY_SIZE(args), store_user_read_row,
                 &read, NULL));
    return read.found ? CW_OK : CW_NOT_FOUND;
}

static enum cw_err redeem_in(struct db_tx *tx, struct cw_str tenant, const uint8_t *code_hash,
                             struct cw_str new_hash, int64_t now)
{
    const struct db_value code[] = {db_text(tenant), db_bytes(code_hash, STORE_HASH_SIZE),
                                    db_int(now)};
    struct subject_read subject = {.n = 0};
    TRY(db_run(tx, DB_RESET_REDEEM, code, CW_ARRAY_SIZE(code), read_subject, &subject, NULL));
    ENSURE(subject.n > 0, CW_NOT_FOUND);
    const struct db_value args[] = {db_text(tenant), db_text(subject_of(&subject)),
                                    db_text(new_hash), db_int(now)};
    TRY(db_run(tx, DB_USER_RESET_PASSWORD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL));
    return close_in(tx, tenant, subject_of(&subject), "password_reset", CW_STR(""), now);
}

enum cw_err store_reset_redeem(struct store *store, struct cw_str tenant, const uint8_t *code_hash,
                               struct cw_str new_hash)
{
    return STORE_TRANSACTION(
        store->db, DB_DURABLE, tx,
        redeem_in(tx, tenant, code_hash, new_hash, cw_clock_wall_ms(store->clock)));
}
