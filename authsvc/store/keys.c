/* Signing keys, sealed before they come here. Each change is one transaction under the keys' lock,
 * told to other processes, and numbered with its tenant. */
#include "authsvc/store/store_impl.h"

static enum cw_err read_number(void *ctx, const struct db_value *columns, size_t n)
{
    ENSURE(n == 1, CW_INTERNAL);
    *(int64_t *)ctx = columns[0].i;
    return CW_OK;
}

/* Whoever reads the number reads what was committed up to it. */
static enum cw_err tell(struct db_tx *tx, struct cw_str tenant)
{
    int64_t number = 0;
    TRY(db_run(tx, DB_KEY_CHANGE, NULL, 0, read_number, &number, NULL));
    const struct db_value args[] = {db_text(tenant), db_int(number)};
    db_notify(tx, DB_TOPIC_KEYS);
    return db_run(tx, DB_KEY_CHANGED, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}

/* --- adding ----------------------------------------------------------------------------- */

struct adding {
    struct cw_str tenant;
    const struct store_key *key;
    struct cw_str after;
    int64_t ahead_ms;
    bool instead;
    int64_t now;
};

static enum cw_err add_in(struct db_tx *tx, const struct adding *a, int64_t active_at)
{
    const struct db_value args[] = {
        db_text(a->tenant),
        db_text(a->key->kid),
        db_text(a->key->algorithm),
        db_text(active_at > a->now ? CW_STR("pending") : CW_STR("active")),
        db_text(a->key->public_jwk),
        db_bytes(a->key->sealed.p, a->key->sealed.n),
        db_int(a->now),
        db_int(active_at),
        db_int(a->key->life_ms),
    };
    TRY(db_run(tx, DB_KEY_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL));
    return tell(tx, a->tenant);
}

static enum cw_err count_of(struct db_tx *tx, struct cw_str tenant, int64_t *ret_count)
{
    const struct db_value args[] = {db_text(tenant)};
    return db_run(tx, DB_KEY_COUNT_OF, args, CW_ARRAY_SIZE(args), read_number, ret_count, NULL);
}

/* Of several processes that start at once, one makes the key; the others read it. */
static enum cw_err add_first_in(struct db_tx *tx, const struct adding *a)
{
    int64_t count = 0;
    TRY(db_lock(tx, DB_LOCK_KEYS));
    TRY(count_of(tx, a->tenant, &count));
    ENSURE(count == 0, CW_CONFLICT);
    return add_in(tx, a, a->now);
}

enum cw_err store_key_add_first(struct store *store, struct cw_str tenant,
                                const struct store_key *key)
{
    const struct adding a = {.tenant = tenant, .key = key, .now = cw_clock_wall_ms(store->clock)};
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx, add_first_in(tx, &a));
}

struct newest {
    struct cw_str after; /* that it should be */
    bool same;
    int64_t active_at;
};

static enum cw_err read_newest(void *ctx, const struct db_value *columns, size_t n)
{
    struct newest *newest = ctx;
    ENSURE(n == 2, CW_INTERNAL);
    newest->same = cw_str_eq(columns[0].s, newest->after);
    newest->active_at = columns[1].i;
    return CW_OK;
}

static enum cw_err add_next_in(struct db_tx *tx, const struct adding *a)
{
    const struct db_value args[] = {db_text(a->tenant), db_int(a->now)};
    struct newest newest = {.after = a->after};
    int64_t count = 0;
    TRY(db_lock(tx, DB_LOCK_KEYS));
    TRY(db_run(tx, DB_KEY_NEWEST, args, 1, read_newest, &newest, NULL));
    ENSURE(newest.same, CW_CONFLICT);
    if (newest.active_at > a->now) {
        ENSURE(a->instead, CW_CONFLICT);
        TRY(db_run(tx, DB_KEY_REMOVE_PENDING, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL));
    }
    TRY(count_of(tx, a->tenant, &count));
    ENSURE(count < STORE_KEYS_MAX, CW_PRECONDITION_FAILED);
    return add_in(tx, a, CW_MAX(a->now + a->ahead_ms, newest.active_at + 1));
}

enum cw_err store_key_add_next(struct store *store, struct cw_str tenant,
                               const struct store_key *key, struct cw_str after, int64_t ahead_ms,
                               bool instead)
{
    const struct adding a = {
        .tenant = tenant,
        .key = key,
        .after = after,
        .ahead_ms = ahead_ms,
        .instead = instead,
        .now = cw_clock_wall_ms(store->clock),
    };
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx, add_next_in(tx, &a));
}

static enum cw_err add_only_in(struct db_tx *tx, const struct adding *a, int64_t *ret_removed)
{
    const struct db_value args[] = {db_text(a->tenant)};
    TRY(db_lock(tx, DB_LOCK_KEYS));
    TRY(db_run(tx, DB_KEY_REMOVE_ALL, args, CW_ARRAY_SIZE(args), NULL, NULL, ret_removed));
    return add_in(tx, a, a->now);
}

enum cw_err store_key_add_only(struct store *store, struct cw_str tenant,
                               const struct store_key *key, int64_t *ret_removed)
{
    const struct adding a = {.tenant = tenant, .key = key, .now = cw_clock_wall_ms(store->clock)};
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx, add_only_in(tx, &a, ret_removed));
}

/* --- changing --------------------------------------------------------------------------- */

/* A statement that changes rows, or none. */
static enum cw_err change_in(struct db_tx *tx, enum db_statement statement,
                             const struct db_value *args, size_t n, int64_t *ret_changes)
{
    TRY(db_lock(tx, DB_LOCK_KEYS));
    TRY(db_run(tx, statement, args, n, NULL, NULL, ret_changes));
    return *ret_changes > 0 ? tell(tx, args[0].s) : CW_OK;
}

enum cw_err store_key_drop_pending(struct store *store, struct cw_str tenant)
{
    const struct db_value args[] = {db_text(tenant), db_int(cw_clock_wall_ms(store->clock))};
    int64_t changes = 0;
    TRY(STORE_TRANSACTION(
        store->db, DB_DURABLE, tx,
        change_in(tx, DB_KEY_REMOVE_PENDING, args, CW_ARRAY_SIZE(args), &changes)));
    return changes > 0 ? CW_OK : CW_NOT_FOUND;
}

enum cw_err store_key_set_life(struct store *store, struct cw_str tenant, int64_t life_ms)
{
    const struct db_value args[] = {db_text(tenant), db_int(life_ms)};
    int64_t changes = 0;
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             change_in(tx, DB_KEY_LIFE, args, CW_ARRAY_SIZE(args), &changes));
}

static enum cw_err advance_in(struct db_tx *tx, struct cw_str tenant, bool remove,
                              int64_t margin_ms, int64_t now, int64_t *ret_changes)
{
    const struct db_value args[] = {db_text(tenant), db_int(now), db_int(margin_ms)};
    int64_t activated = 0;
    int64_t retired = 0;
    int64_t removed = 0;
    TRY(db_lock(tx, DB_LOCK_KEYS));
    TRY(db_run(tx, DB_KEY_ACTIVATE, args, 2, NULL, NULL, &activated));
    TRY(db_run(tx, DB_KEY_RETIRE, args, 2, NULL, NULL, &retired));
    if (remove) {
        TRY(db_run(tx, DB_KEY_REMOVE_OVER, args, CW_ARRAY_SIZE(args), NULL, NULL, &removed));
    }
    *ret_changes = activated + retired + removed;
    return *ret_changes > 0 ? tell(tx, tenant) : CW_OK;
}

enum cw_err store_key_advance(struct store *store, struct cw_str tenant, bool remove,
                              int64_t margin_ms, int64_t *ret_changes)
{
    int64_t now = cw_clock_wall_ms(store->clock);
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             advance_in(tx, tenant, remove, margin_ms, now, ret_changes));
}

/* --- reading ---------------------------------------------------------------------------- */

struct key_list {
    enum cw_err (*each)(void *ctx, const struct store_key *key);
    void *ctx;
};

static enum cw_err read_key(void *ctx, const struct db_value *columns, size_t n)
{
    const struct key_list *list = ctx;
    ENSURE(n == 9, CW_INTERNAL);
    const struct store_key key = {
        .kid = columns[0].s,
        .algorithm = columns[1].s,
        .state = columns[2].s,
        .public_jwk = columns[3].s,
        .sealed = columns[4].s,
        .created_at = columns[5].i,
        .active_at = columns[6].i,
        .life_ms = columns[7].i,
        .version = (uint64_t)columns[8].i,
    };
    return list->each(list->ctx, &key);
}

enum cw_err store_key_list(struct store *store, struct cw_str tenant,
                           enum cw_err (*each)(void *ctx, const struct store_key *key), void *ctx)
{
    const struct db_value args[] = {db_text(tenant)};
    struct key_list list = {.each = each, .ctx = ctx};
    return store_do(store, DB_LAZY, DB_KEY_LIST, args, CW_ARRAY_SIZE(args), read_key, &list, NULL);
}

enum cw_err store_key_version(struct store *store, uint64_t *ret_version)
{
    int64_t version = 0;
    TRY(store_do(store, DB_LAZY, DB_KEY_VERSION, NULL, 0, read_number, &version, NULL));
    *ret_version = (uint64_t)version;
    return CW_OK;
}

struct tenant_list {
    enum cw_err (*each)(void *ctx, struct cw_str tenant, uint64_t version);
    void *ctx;
};

static enum cw_err read_tenant(void *ctx, const struct db_value *columns, size_t n)
{
    const struct tenant_list *list = ctx;
    ENSURE(n == 2, CW_INTERNAL);
    return list->each(list->ctx, columns[0].s, (uint64_t)columns[1].i);
}

enum cw_err store_key_since(struct store *store, uint64_t version,
                            enum cw_err (*each)(void *ctx, struct cw_str tenant, uint64_t version),
                            void *ctx)
{
    const struct db_value args[] = {db_int((int64_t)version)};
    struct tenant_list list = {.each = each, .ctx = ctx};
    return store_do(store, DB_LAZY, DB_KEY_SINCE, args, CW_ARRAY_SIZE(args), read_tenant, &list,
                    NULL);
}
