/* Leaking buckets: an attempt is counted before the password is looked at, in one statement, so
 * that a thousand parallel guesses count as a thousand. */
#include "authsvc/store/store_impl.h"

enum { UNIT = 60000 }; /* of a level: one attempt; the leak is then levels per millisecond × 1000 */

static enum cw_err read_level(void *ctx, const struct db_value *columns, size_t n)
{
    (void)columns;
    ENSURE(n == 1, CW_INTERNAL);
    *(bool *)ctx = true;
    return CW_OK;
}

struct level {
    int64_t level;
    int64_t updated_at;
};

static enum cw_err read_state(void *ctx, const struct db_value *columns, size_t n)
{
    ENSURE(n == 2, CW_INTERNAL);
    *(struct level *)ctx = (struct level){columns[0].i, columns[1].i};
    return CW_OK;
}

/* How long until one more attempt fits. */
static enum cw_err waiting_time(struct db_tx *tx, struct cw_str tenant,
                                const struct store_bucket *bucket, int64_t now,
                                int64_t *ret_wait_ms)
{
    const struct db_value args[] = {db_text(tenant), db_text(cw_str(bucket->dimension)),
                                    db_bytes(bucket->key, STORE_HASH_SIZE)};
    struct level state = {0, now};
    TRY(db_run(tx, DB_THROTTLE_GET, args, CW_ARRAY_SIZE(args), read_state, &state, NULL));
    int64_t excess = state.level - (now - state.updated_at) * bucket->leak_per_minute -
                     (bucket->burst - 1) * UNIT;
    *ret_wait_ms = CW_MAX(excess / CW_MAX(bucket->leak_per_minute, 1), 1);
    return CW_OK;
}

enum { KEY_ARGS = 3, TAKE_ARGS = 7, GIVE_ARGS = 4 };

/* The first KEY_ARGS, which name the bucket. */
static void bucket_args(struct db_value *args, struct cw_str tenant,
                        const struct store_bucket *bucket)
{
    args[0] = db_text(tenant);
    args[1] = db_text(cw_str(bucket->dimension));
    args[2] = db_bytes(bucket->key, STORE_HASH_SIZE);
}

/* CW_THROTTLED rolls back what the others have counted. */
static enum cw_err judge(struct db_tx *tx, struct cw_str tenant, const struct store_bucket *buckets,
                         const bool *taken, size_t n, int64_t now, int64_t *ret_wait_ms)
{
    for (size_t i = 0; i < n; i++) {
        if (!taken[i]) {
            TRY(waiting_time(tx, tenant, &buckets[i], now, ret_wait_ms));
            return CW_THROTTLED;
        }
    }
    return CW_OK;
}

static enum cw_err take_in(struct db_tx *tx, struct cw_str tenant,
                           const struct store_bucket *buckets, size_t n, int64_t now,
                           int64_t *ret_wait_ms)
{
    struct db_value args[DB_CALLS_MAX][TAKE_ARGS];
    struct db_call calls[DB_CALLS_MAX];
    bool taken[DB_CALLS_MAX] = {false};
    ENSURE(n > 0 && n <= DB_CALLS_MAX, CW_INTERNAL);
    for (size_t i = 0; i < n; i++) {
        bucket_args(args[i], tenant, &buckets[i]);
        args[i][3] = db_int(now);
        args[i][4] = db_int(UNIT);
        /* leak_per_minute attempts a minute are leak_per_minute units a millisecond. */
        args[i][5] = db_int(buckets[i].leak_per_minute * 1000);
        args[i][6] = db_int(buckets[i].burst * UNIT);
        calls[i] = (struct db_call){
            DB_THROTTLE_TAKE, args[i], TAKE_ARGS, read_level, &taken[i], NULL,
        };
    }
    /* The last one is everybody's: who is refused by one before it does not wait for it. */
    size_t own = n - 1;
    if (own > 0) {
        TRY(db_run_all(tx, calls, own));
        TRY(judge(tx, tenant, buckets, taken, own, now, ret_wait_ms));
    }
    TRY(db_run_all(tx, &calls[own], 1));
    return judge(tx, tenant, buckets, taken, n, now, ret_wait_ms);
}

enum cw_err store_throttle_take(struct store *store, struct cw_str tenant,
                                const struct store_bucket *buckets, size_t n, int64_t *ret_wait_ms)
{
    return STORE_TRANSACTION(
        store->db, DB_LAZY, tx,
        take_in(tx, tenant, buckets, n, cw_clock_wall_ms(store->clock), ret_wait_ms));
}

enum cw_err store_throttle_give(struct store *store, struct cw_str tenant,
                                const struct store_bucket *buckets, size_t n, bool good)
{
    struct db_value args[DB_CALLS_MAX][GIVE_ARGS];
    struct db_call calls[DB_CALLS_MAX];
    ENSURE(n <= DB_CALLS_MAX, CW_INTERNAL);
    for (size_t i = 0; i < n; i++) {
        bool clear = i == 0 && good;
        bucket_args(args[i], tenant, &buckets[i]);
        args[i][3] = db_int(UNIT);
        calls[i] = (struct db_call){
            .statement = clear ? DB_THROTTLE_CLEAR : DB_THROTTLE_GIVE,
            .args = args[i],
            .n = clear ? KEY_ARGS : GIVE_ARGS,
        };
    }
    return store_do_all(store, DB_LAZY, calls, n);
}
