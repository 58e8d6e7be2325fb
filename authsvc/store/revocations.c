/* Revocations: written in the transaction that ends a session, numbered by one counter row, so that
 * who reads up to a number has missed nothing. */
#include "authsvc/store/store_impl.h"

enum {
    /* No access token lives longer than an hour, and no sidecar's leeway is above a minute. */
    KEEP_MS = 65 * 60 * 1000,
};

static enum cw_err read_number(void *ctx, const struct db_value *columns, size_t n)
{
    ENSURE(n == 1, CW_INTERNAL);
    *(int64_t *)ctx = columns[0].i;
    return CW_OK;
}

static const char *const kinds[] = {
    [STORE_REVOKED_SESSION] = "session",
    [STORE_REVOKED_TOKEN] = "token",
    [STORE_REVOKED_SUBJECT] = "subject",
    [STORE_REVOKED_TENANT] = "tenant",
};

static enum cw_err add(struct db_tx *tx, struct cw_str tenant, enum store_revocation_kind kind,
                       struct cw_str value, int64_t issued_until, int64_t expires_at)
{
    int64_t number = 0;
    TRY(db_run(tx, DB_REVOCATION_NEXT, NULL, 0, read_number, &number, NULL));
    const struct db_value args[] = {
        db_int(number), db_text(tenant),      db_text(cw_str(kinds[kind])),
        db_text(value), db_int(issued_until), db_int(expires_at),
    };
    db_notify(tx, DB_TOPIC_REVOCATIONS);
    return db_run(tx, DB_REVOCATION_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}

enum cw_err store_revoke_session(struct db_tx *tx, struct cw_str tenant, struct cw_str id,
                                 int64_t now)
{
    TRY(add(tx, tenant, STORE_REVOKED_SESSION, id, 0, now + KEEP_MS));
    return store_revoke_idp_tokens(tx, tenant, id, now);
}

enum cw_err store_revoke_token(struct db_tx *tx, struct cw_str tenant, struct cw_str name,
                               int64_t expires_at)
{
    return add(tx, tenant, STORE_REVOKED_TOKEN, name, 0, expires_at);
}

static enum cw_err revoke(struct db_tx *tx, struct cw_str tenant, enum store_revocation_kind kind,
                          struct cw_str value, const struct cw_clock *clock, int64_t keep_ms,
                          int64_t *ret_ended)
{
    int64_t now = cw_clock_wall_ms(clock);
    const struct db_value subject[] = {db_text(tenant), db_text(value), db_int(now),
                                       db_text(CW_STR("revoked"))};
    const struct db_value all[] = {db_text(tenant), db_int(now), db_text(CW_STR("revoked"))};
    *ret_ended = 0;
    if (kind == STORE_REVOKED_SUBJECT) {
        TRY(db_run(tx, DB_USER_HOLD, subject, 2, NULL, NULL, NULL));
        TRY(db_run(tx, DB_FAMILIES_HOLD_OF_SUBJECT, subject, 3, NULL, NULL, NULL));
        TRY(db_run(tx, DB_SESSION_END_OF_SUBJECT, subject, 4, NULL, NULL, ret_ended));
    } else if (kind == STORE_REVOKED_TENANT) {
        TRY(db_run(tx, DB_USERS_HOLD, all, 1, NULL, NULL, NULL));
        TRY(db_run(tx, DB_FAMILIES_HOLD_OF_TENANT, all, 2, NULL, NULL, NULL));
        TRY(db_run(tx, DB_SESSION_END_OF_TENANT, all, 3, NULL, NULL, ret_ended));
    }
    /* Read after the locks: what those who had them before have issued is meant, too. */
    now = cw_clock_wall_ms(clock);
    /* The token itself is meant whenever it was issued. */
    int64_t until = kind == STORE_REVOKED_TOKEN ? 0 : now / 1000;
    return add(tx, tenant, kind, kind == STORE_REVOKED_TENANT ? CW_STR("") : value, until,
               now + keep_ms);
}

enum cw_err store_revoke(struct store *store, struct cw_str tenant, enum store_revocation_kind kind,
                         struct cw_str value, int64_t keep_ms, int64_t *ret_sessions_ended)
{
    return STORE_TRANSACTION(
        store->db, DB_DURABLE, tx,
        revoke(tx, tenant, kind, value, store->clock, keep_ms, ret_sessions_ended));
}

enum cw_err store_collect_id(void *ctx, const struct db_value *columns, size_t n)
{
    ENSURE(n == 1, CW_INTERNAL);
    cw_buf_add_str(ctx, columns[0].s);
    cw_buf_add_char(ctx, ' ');
    return CW_OK;
}

enum cw_err store_revoke_sessions(struct db_tx *tx, struct cw_str tenant, const struct cw_buf *ids,
                                  int64_t now)
{
    TRY(cw_buf_check(ids));
    struct cw_str rest = cw_buf_str(ids);
    struct cw_str id;
    while (cw_str_word(&rest, ' ', &id)) {
        TRY(store_revoke_session(tx, tenant, id, now));
    }
    return CW_OK;
}

enum cw_err store_end_sessions(struct db_tx *tx, enum db_statement statement,
                               const struct db_value *args, size_t n, struct cw_str tenant,
                               int64_t now)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf ids = CW_BUF_INIT(STORE_IDS_MAX);
    TRY(db_run(tx, statement, args, n, store_collect_id, &ids, NULL));
    return store_revoke_sessions(tx, tenant, &ids, now);
}

enum cw_err store_end_user_sessions(struct db_tx *tx, struct cw_str tenant, struct cw_str username,
                                    const char *reason, int64_t now)
{
    const struct db_value args[] = {db_text(tenant), db_text(username), db_int(now),
                                    db_text(cw_str(reason))};
    return store_end_sessions(tx, DB_SESSION_END_ALL, args, CW_ARRAY_SIZE(args), tenant, now);
}

enum cw_err store_revocation_number(struct store *store, uint64_t *ret_number)
{
    int64_t number = 0;
    TRY(store_do(store, DB_LAZY, DB_REVOCATION_NUMBER, NULL, 0, read_number, &number, NULL));
    *ret_number = (uint64_t)number;
    return CW_OK;
}

struct revocation_list {
    enum cw_err (*each)(void *ctx, const struct store_revocation *revocation);
    void *ctx;
};

static enum cw_err read_revocation(void *ctx, const struct db_value *c, size_t n)
{
    const struct revocation_list *list = ctx;
    ENSURE(n == 6, CW_INTERNAL);
    size_t kind = 0;
    while (kind < CW_ARRAY_SIZE(kinds) && !cw_str_is(c[2].s, kinds[kind])) {
        kind++;
    }
    ENSURE(kind < CW_ARRAY_SIZE(kinds), CW_STORE_UNAVAILABLE); /* never passed over */
    const struct store_revocation revocation = {
        .number = (uint64_t)c[0].i,
        .tenant = c[1].s,
        .kind = (enum store_revocation_kind)kind,
        .value = c[3].s,
        .issued_until = c[4].i,
        .expires_at = c[5].i,
    };
    return list->each(list->ctx, &revocation);
}

enum cw_err store_revocation_list(struct store *store, uint64_t after,
                                  enum cw_err (*each)(void *ctx,
                                                      const struct store_revocation *revocation),
                                  void *ctx)
{
    const struct db_value args[] = {db_int((int64_t)after), db_int(cw_clock_wall_ms(store->clock))};
    struct revocation_list list = {.each = each, .ctx = ctx};
    return store_do(store, DB_LAZY, DB_REVOCATION_LIST, args, CW_ARRAY_SIZE(args), read_revocation,
                    &list, NULL);
}
