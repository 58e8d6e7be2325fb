/* Revocations: written in the transaction that ends a session, numbered by one counter row, so that
 * who reads up to a number has missed nothing. */
#include "authsvc/store/store_impl.h"

enum {
    IDS_MAX = 64 * 1024, /* bytes of session ids of one statement */
    /* No access token lives longer than an hour, and no sidecar's leeway is above a minute. */
    KEEP_MS = 65 * 60 * 1000,
};

static enum cw_err read_number(void *ctx, const struct db_value *columns, size_t n)
{
    ENSURE(n == 1, CW_INTERNAL);
    *(int64_t *)ctx = columns[0].i;
    return CW_OK;
}

enum cw_err store_revoke_session(struct db_tx *tx, struct cw_str tenant, struct cw_str id,
                                 int64_t now)
{
    int64_t number = 0;
    TRY(db_run(tx, DB_REVOCATION_NEXT, NULL, 0, read_number, &number, NULL));
    const struct db_value args[] = {
        db_int(number), db_text(tenant), db_text(CW_STR("session")),
        db_text(id),    db_int(0),       db_int(now + KEEP_MS),
    };
    return db_run(tx, DB_REVOCATION_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}

static enum cw_err collect_id(void *ctx, const struct db_value *columns, size_t n)
{
    ENSURE(n == 1, CW_INTERNAL);
    cw_buf_add_str(ctx, columns[0].s);
    cw_buf_add_char(ctx, ' ');
    return CW_OK;
}

enum cw_err store_end_sessions(struct db_tx *tx, enum db_statement statement,
                               const struct db_value *args, size_t n, struct cw_str tenant,
                               int64_t now)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf ids = CW_BUF_INIT(IDS_MAX);
    TRY(db_run(tx, statement, args, n, collect_id, &ids, NULL));
    TRY(cw_buf_check(&ids));
    struct cw_str rest = cw_buf_str(&ids);
    struct cw_str id;
    while (cw_str_word(&rest, ' ', &id)) {
        TRY(store_revoke_session(tx, tenant, id, now));
    }
    return CW_OK;
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
    const struct store_revocation revocation = {
        .number = (uint64_t)c[0].i,
        .tenant = c[1].s,
        .session_id = c[3].s,
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
