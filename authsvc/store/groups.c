/* Groups of a tenant: roles and permissions that their members have beside their own. */
#include "authsvc/store/store_impl.h"

enum cw_err store_group_put(struct store *store, struct cw_str tenant,
                            const struct store_group *group)
{
    const struct db_value args[] = {
        db_text(tenant),       db_text(group->name),        db_text(group->description),
        db_text(group->roles), db_text(group->permissions), db_int(cw_clock_wall_ms(store->clock)),
    };
    return store_do(store, DB_DURABLE, DB_GROUP_PUT, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}

/* A statement that changes one row, or CW_NOT_FOUND. */
static enum cw_err change_one(struct store *store, enum db_statement statement,
                              const struct db_value *args, size_t n)
{
    int64_t changes = 0;
    TRY(store_do(store, DB_DURABLE, statement, args, n, NULL, NULL, &changes));
    return changes == 1 ? CW_OK : CW_NOT_FOUND;
}

enum cw_err store_group_remove(struct store *store, struct cw_str tenant, struct cw_str name)
{
    const struct db_value args[] = {db_text(tenant), db_text(name)};
    return change_one(store, DB_GROUP_REMOVE, args, CW_ARRAY_SIZE(args));
}

struct group_list {
    store_group_fn *each;
    void *ctx;
};

static enum cw_err read_group(void *ctx, const struct db_value *c, size_t n)
{
    const struct group_list *list = ctx;
    ENSURE(n == 4, CW_INTERNAL);
    const struct store_group group = {
        .name = c[0].s, .description = c[1].s, .roles = c[2].s, .permissions = c[3].s};
    return list->each(list->ctx, &group);
}

enum cw_err store_group_list(struct store *store, struct cw_str tenant, struct cw_str after,
                             int64_t max, store_group_fn *each, void *ctx)
{
    const struct db_value args[] = {db_text(tenant), db_text(after), db_int(max)};
    struct group_list list = {.each = each, .ctx = ctx};
    return store_do(store, DB_LAZY, DB_GROUP_LIST, args, CW_ARRAY_SIZE(args), read_group, &list,
                    NULL);
}

enum cw_err store_groups_of(struct store *store, struct cw_str tenant, struct cw_str subject,
                            store_group_fn *each, void *ctx)
{
    const struct db_value args[] = {db_text(tenant), db_text(subject)};
    struct group_list list = {.each = each, .ctx = ctx};
    return store_do(store, DB_LAZY, DB_GROUPS_OF, args, CW_ARRAY_SIZE(args), read_group, &list,
                    NULL);
}

/* --- members ---------------------------------------------------------------------------- */

static enum cw_err read_found(void *ctx, const struct db_value *columns, size_t n)
{
    (void)columns;
    ENSURE(n == 1, CW_INTERNAL);
    *(bool *)ctx = true;
    return CW_OK;
}

static enum cw_err add_in(struct db_tx *tx, const struct db_value *args, size_t n)
{
    bool both = false;
    TRY(db_run(tx, DB_MEMBER_ADD, args, n, NULL, NULL, NULL)); /* nothing where it is one already */
    TRY(db_run(tx, DB_MEMBER_GET, args, n, read_found, &both, NULL));
    return both ? CW_OK : CW_NOT_FOUND;
}

enum cw_err store_member_add(struct store *store, struct cw_str tenant, struct cw_str group,
                             struct cw_str username)
{
    const struct db_value args[] = {db_text(tenant), db_text(group), db_text(username)};
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx, add_in(tx, args, CW_ARRAY_SIZE(args)));
}

enum cw_err store_member_remove(struct store *store, struct cw_str tenant, struct cw_str group,
                                struct cw_str username)
{
    const struct db_value args[] = {db_text(tenant), db_text(group), db_text(username)};
    return change_one(store, DB_MEMBER_REMOVE, args, CW_ARRAY_SIZE(args));
}

struct member_list {
    enum cw_err (*each)(void *ctx, struct cw_str username);
    void *ctx;
};

static enum cw_err read_member(void *ctx, const struct db_value *c, size_t n)
{
    const struct member_list *list = ctx;
    ENSURE(n == 1, CW_INTERNAL);
    return list->each(list->ctx, c[0].s);
}

enum cw_err store_member_list(struct store *store, struct cw_str tenant, struct cw_str group,
                              struct cw_str after, int64_t max,
                              enum cw_err (*each)(void *ctx, struct cw_str username), void *ctx)
{
    const struct db_value args[] = {db_text(tenant), db_text(group), db_text(after), db_int(max)};
    struct member_list list = {.each = each, .ctx = ctx};
    return store_do(store, DB_LAZY, DB_MEMBER_LIST, args, CW_ARRAY_SIZE(args), read_member, &list,
                    NULL);
}
