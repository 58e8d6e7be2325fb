/* Sessions: started with their chain of refresh tokens (chains.c), listed, ended with a revocation.
 */
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

enum cw_err store_session_end_in(struct db_tx *tx, struct cw_str tenant, struct cw_str id,
                                 int64_t now, const char *reason)
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
    return STORE_TRANSACTION(
        store->db, DB_DURABLE, tx,
        store_session_end_in(tx, tenant, id, cw_clock_wall_ms(store->clock), reason));
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
