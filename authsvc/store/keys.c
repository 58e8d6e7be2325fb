/* Signing keys, sealed before they come here. */
#include "authsvc/store/store_impl.h"

enum { KEY_ARGS = 7 };

static enum cw_err read_count(void *ctx, const struct db_value *columns, size_t n)
{
    ENSURE(n == 1, CW_INTERNAL);
    *(int64_t *)ctx = columns[0].i;
    return CW_OK;
}

static void key_args(struct store *store, struct cw_str tenant, const struct store_key *key,
                     struct db_value ret_args[KEY_ARGS])
{
    const struct db_value args[KEY_ARGS] = {
        db_text(tenant),
        db_text(key->kid),
        db_text(key->algorithm),
        db_text(key->state),
        db_text(key->public_jwk),
        db_bytes(key->sealed.p, key->sealed.n),
        db_int(cw_clock_wall_ms(store->clock)),
    };
    memcpy(ret_args, args, sizeof(args));
}

static enum cw_err add_in(struct db_tx *tx, const struct db_value args[KEY_ARGS])
{
    db_notify(tx, DB_TOPIC_KEYS);
    return db_run(tx, DB_KEY_ADD, args, KEY_ARGS, NULL, NULL, NULL);
}

enum cw_err store_key_add(struct store *store, struct cw_str tenant, const struct store_key *key)
{
    struct db_value args[KEY_ARGS];
    key_args(store, tenant, key, args);
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx, add_in(tx, args));
}

/* Of several processes that start at once, one makes the key; the others read it. */
static enum cw_err add_first_in(struct db_tx *tx, const struct db_value args[KEY_ARGS])
{
    enum { TENANT = 0, ALGORITHM = 2, TIME = 6 };
    TRY(db_lock(tx, DB_LOCK_KEYS));
    const struct db_value retire[] = {args[TENANT], args[ALGORITHM], args[TIME]};
    int64_t active = 0;
    TRY(db_run(tx, DB_KEY_ACTIVE, retire, 2, read_count, &active, NULL));
    ENSURE(active == 0, CW_CONFLICT);
    TRY(db_run(tx, DB_KEY_RETIRE_OTHERS, retire, CW_ARRAY_SIZE(retire), NULL, NULL, NULL));
    return add_in(tx, args);
}

enum cw_err store_key_add_first(struct store *store, struct cw_str tenant,
                                const struct store_key *key)
{
    struct db_value args[KEY_ARGS];
    key_args(store, tenant, key, args);
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx, add_first_in(tx, args));
}

struct key_list {
    enum cw_err (*each)(void *ctx, const struct store_key *key);
    void *ctx;
};

static enum cw_err read_key(void *ctx, const struct db_value *columns, size_t n)
{
    const struct key_list *list = ctx;
    ENSURE(n == 7, CW_INTERNAL);
    const struct store_key key = {
        .kid = columns[0].s,
        .algorithm = columns[1].s,
        .state = columns[2].s,
        .public_jwk = columns[3].s,
        .sealed = columns[4].s,
        .created_at = columns[5].i,
        .changed_at = columns[6].i,
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

enum cw_err store_key_set_state(struct store *store, struct cw_str tenant, struct cw_str kid,
                                const char *state)
{
    const struct db_value args[] = {db_text(tenant), db_text(kid), db_text(cw_str(state)),
                                    db_int(cw_clock_wall_ms(store->clock))};
    int64_t changes = 0;
    TRY(store_do(store, DB_DURABLE, DB_KEY_SET_STATE, args, CW_ARRAY_SIZE(args), NULL, NULL,
                 &changes));
    return changes == 1 ? CW_OK : CW_NOT_FOUND;
}

enum cw_err store_key_remove(struct store *store, struct cw_str tenant, struct cw_str kid)
{
    const struct db_value args[] = {db_text(tenant), db_text(kid)};
    int64_t changes = 0;
    TRY(store_do(store, DB_DURABLE, DB_KEY_REMOVE, args, CW_ARRAY_SIZE(args), NULL, NULL,
                 &changes));
    return changes == 1 ? CW_OK : CW_NOT_FOUND;
}

enum cw_err store_key_count(struct store *store, int64_t *ret_count)
{
    return store_do(store, DB_LAZY, DB_KEY_COUNT, NULL, 0, read_count, ret_count, NULL);
}
