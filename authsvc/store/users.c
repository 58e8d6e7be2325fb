/* Users of database tenants. */
#include "authsvc/store/store_impl.h"

enum { USER_ARENA = 256 * 1024 };

enum cw_err store_user_add(struct store *store, struct cw_str tenant, const struct store_user *user)
{
    const struct db_value args[] = {
        db_text(tenant),
        db_text(user->subject),
        db_text(user->username),
        db_text(user->password_hash),
        db_int(cw_clock_wall_ms(store->clock)),
        db_text(user->name),
        db_text(user->email),
        db_int(user->email_verified),
        db_text(user->roles),
        db_text(user->permissions),
    };
    return store_do(store, DB_DURABLE, DB_USER_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}

enum cw_err store_user_read_row(void *ctx, const struct db_value *columns, size_t n)
{
    struct store_user_read *read = ctx;
    ENSURE(n == 11, CW_INTERNAL);
    struct store_user *user = read->user;
    TRY(store_copy(read->arena, columns[0].s, &user->subject));
    TRY(store_copy(read->arena, columns[1].s, &user->username));
    TRY(store_copy(read->arena, columns[2].s, &user->password_hash));
    user->disabled = columns[3].type != DB_NULL;
    TRY(store_copy(read->arena, columns[4].s, &user->name));
    TRY(store_copy(read->arena, columns[5].s, &user->email));
    user->email_verified = columns[6].i != 0;
    TRY(store_copy(read->arena, columns[7].s, &user->roles));
    TRY(store_copy(read->arena, columns[8].s, &user->permissions));
    user->password_expired = columns[9].type != DB_NULL;
    user->password_changed_at = columns[10].i;
    read->found = true;
    return CW_OK;
}

static enum cw_err find(struct store *store, enum db_statement statement, struct cw_str tenant,
                        struct cw_str key, struct cw_arena *arena, struct store_user *ret_user)
{
    const struct db_value args[] = {db_text(tenant), db_text(key)};
    struct store_user_read read = {.arena = arena, .user = ret_user};
    TRY(store_do(store, DB_LAZY, statement, args, CW_ARRAY_SIZE(args), store_user_read_row, &read,
                 NULL));
    return read.found ? CW_OK : CW_NOT_FOUND;
}

enum cw_err store_user_by_name(struct store *store, struct cw_str tenant, struct cw_str username,
                               struct cw_arena *arena, struct store_user *ret_user)
{
    return find(store, DB_USER_BY_NAME, tenant, username, arena, ret_user);
}

enum cw_err store_user_by_subject(struct store *store, struct cw_str tenant, struct cw_str subject,
                                  struct cw_arena *arena, struct store_user *ret_user)
{
    return find(store, DB_USER_BY_SUBJECT, tenant, subject, arena, ret_user);
}

static enum cw_err read_standing(void *ctx, const struct db_value *columns, size_t n)
{
    enum cw_err *why = ctx;
    ENSURE(n == 2, CW_INTERNAL);
    bool disabled = columns[0].type != DB_NULL;
    bool expired = columns[1].type != DB_NULL;
    *why = disabled ? CW_ACCOUNT_BLOCKED : expired ? CW_PASSWORD_EXPIRED : CW_CREDENTIALS_INVALID;
    return CW_OK;
}

enum cw_err store_user_refused(struct db_tx *tx, struct cw_str tenant, struct cw_str subject)
{
    const struct db_value args[] = {db_text(tenant), db_text(subject)};
    enum cw_err why = CW_ACCOUNT_BLOCKED; /* deleted */
    TRY(db_run(tx, DB_USER_STANDING, args, CW_ARRAY_SIZE(args), read_standing, &why, NULL));
    return why;
}

struct user_list {
    enum cw_err (*each)(void *ctx, const struct store_user *user);
    void *ctx;
};

static enum cw_err list_one(void *ctx, const struct db_value *columns, size_t n)
{
    const struct user_list *list = ctx;
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(USER_ARENA);
    struct store_user user = {0};
    struct store_user_read read = {.arena = &arena, .user = &user};
    TRY(store_user_read_row(&read, columns, n));
    return list->each(list->ctx, &user);
}

enum cw_err store_user_list(struct store *store, struct cw_str tenant, struct cw_str after,
                            int64_t max,
                            enum cw_err (*each)(void *ctx, const struct store_user *user),
                            void *ctx)
{
    const struct db_value args[] = {db_text(tenant), db_text(after), db_int(max)};
    struct user_list list = {.each = each, .ctx = ctx};
    return store_do(store, DB_LAZY, DB_USER_LIST, args, CW_ARRAY_SIZE(args), list_one, &list, NULL);
}

enum cw_err store_user_update(struct store *store, struct cw_str tenant,
                              const struct store_user *user)
{
    const struct db_value args[] = {
        db_text(tenant),
        db_text(user->username),
        db_text(user->name),
        db_text(user->email),
        db_int(user->email_verified),
        db_text(user->roles),
        db_text(user->permissions),
        db_int(cw_clock_wall_ms(store->clock)),
    };
    int64_t changes = 0;
    TRY(store_do(store, DB_DURABLE, DB_USER_UPDATE, args, CW_ARRAY_SIZE(args), NULL, NULL,
                 &changes));
    return changes == 1 ? CW_OK : CW_NOT_FOUND;
}

enum cw_err store_user_rehash(struct store *store, struct cw_str tenant, struct cw_str subject,
                              struct cw_str old_hash, struct cw_str new_hash)
{
    const struct db_value args[] = {
        db_text(tenant),
        db_text(subject),
        db_text(old_hash),
        db_text(new_hash),
        db_int(cw_clock_wall_ms(store->clock)),
    };
    return store_do(store, DB_LAZY, DB_USER_REHASH, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}

/* A change after which the sessions of before are over. */
static enum cw_err change_in(struct db_tx *tx, enum db_statement statement,
                             const struct db_value *args, size_t n, struct cw_str tenant,
                             struct cw_str username, const char *end_reason, int64_t now)
{
    int64_t changes = 0;
    TRY(db_run(tx, statement, args, n, NULL, NULL, &changes));
    ENSURE(changes == 1, CW_NOT_FOUND);
    return end_reason != NULL ? store_end_user_sessions(tx, tenant, username, end_reason, now)
                              : CW_OK;
}

static enum cw_err change(struct store *store, enum db_statement statement,
                          const struct db_value *args, size_t n, struct cw_str tenant,
                          struct cw_str username, const char *end_reason)
{
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             change_in(tx, statement, args, n, tenant, username, end_reason,
                                       cw_clock_wall_ms(store->clock)));
}

enum cw_err store_user_set_disabled(struct store *store, struct cw_str tenant,
                                    struct cw_str username, bool disabled)
{
    int64_t now = cw_clock_wall_ms(store->clock);
    const struct db_value args[] = {
        db_text(tenant),
        db_text(username),
        disabled ? db_int(now) : (struct db_value){.type = DB_NULL},
        db_int(now),
    };
    return change(store, DB_USER_SET_DISABLED, args, CW_ARRAY_SIZE(args), tenant, username,
                  disabled ? "user_disabled" : NULL);
}
