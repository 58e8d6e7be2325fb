/* Opens the store and keeps its settings: epoch, generation, the tenants' names. */
#include "authsvc/store/store_impl.h"

#include <sodium.h>
#include <stdlib.h>
#include <time.h>

static enum cw_err read_text(void *ctx, const struct db_value *columns, size_t n)
{
    if (n > 0) {
        cw_buf_add_str(ctx, columns[0].s);
    }
    return CW_OK;
}

static enum cw_err setting_get(struct db_tx *tx, const char *name, struct cw_buf *ret_value)
{
    const struct db_value args[] = {db_text(cw_str(name))};
    return db_run(tx, DB_SETTING_GET, args, CW_ARRAY_SIZE(args), read_text, ret_value, NULL);
}

static enum cw_err setting_put(struct db_tx *tx, const char *name, struct cw_str value)
{
    const struct db_value args[] = {db_text(cw_str(name)), db_text(value)};
    return db_run(tx, DB_SETTING_PUT, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}

static void on_failure(void *ctx, const char *operation, const char *message)
{
    struct store *store = ctx;
    atomic_store(&store->failed, true);
    if (store->told != NULL) {
        store->told(store->told_ctx, operation, message);
    }
}

enum cw_err store_open(const struct store_options *options, struct cw_buf *ret_message,
                       struct store **ret_store)
{
    if (sodium_init() < 0) {
        cw_buf_add_cstr(ret_message, "libsodium cannot be used on this host");
        return CW_INTERNAL;
    }
    struct store *store = calloc(1, sizeof(*store));
    ENSURE(store != NULL, CW_NO_MEMORY);
    store->clock = options->clock;
    const struct db_options db = {
        .url = options->url,
        .password_file = options->password_file,
        .connections = options->connections,
        .connect_timeout_ms = options->connect_timeout_ms,
        .statement_timeout_ms = options->statement_timeout_ms,
    };
    enum cw_err err = db_open(&db, ret_message, &store->db);
    if (err == CW_OK) {
        store->told = options->on_error;
        store->told_ctx = options->ctx;
        store->db->on_error = on_failure;
        store->db->on_error_ctx = store;
        store_redeemer_init(&store->redeemer, store->db);
        err = db_migrate(store->db, cw_clock_wall_ms(store->clock), ret_message);
    }
    if (err != CW_OK) {
        store_close(store);
        return err;
    }
    *ret_store = store;
    return CW_OK;
}

void store_close(struct store *store)
{
    if (store != NULL) {
        db_close(store->db);
        store_redeemer_done(&store->redeemer);
        free(store);
    }
}

enum cw_err store_check_url(struct cw_str url, struct cw_buf *ret_message)
{
    return db_check_url(url, ret_message);
}

static void on_notice(void *ctx, enum db_topic topic)
{
    static const enum store_topic topics[DB_TOPIC_COUNT] = {
        [DB_TOPIC_REVOCATIONS] = STORE_TOPIC_REVOCATIONS,
        [DB_TOPIC_TENANTS] = STORE_TOPIC_TENANTS,
        [DB_TOPIC_KEYS] = STORE_TOPIC_KEYS,
    };
    const struct store *store = ctx;
    store->changed(store->changed_ctx, topics[topic]);
}

enum cw_err store_on_change(struct store *store, void (*changed)(void *ctx, enum store_topic topic),
                            void *ctx)
{
    store->changed = changed;
    store->changed_ctx = ctx;
    return db_listen(store->db, on_notice, store);
}

void store_end_changes(struct store *store)
{
    if (store != NULL) {
        enum cw_err err = db_listen(store->db, NULL, NULL);
        (void)err; /* ending does not fail */
    }
}

const struct cw_clock *store_clock(const struct store *store)
{
    return store->clock;
}

void store_pause(int tries)
{
    if (tries > 0) {
        const uint32_t ms = 10 + randombytes_uniform(20U << tries);
        const struct timespec pause = {.tv_nsec = (long)ms * 1000000};
        nanosleep(&pause, NULL);
    }
}

enum cw_err store_do(struct store *store, enum db_durability durability,
                     enum db_statement statement, const struct db_value *args, size_t n,
                     db_row_fn *row, void *ctx, int64_t *ret_changes)
{
    enum cw_err err = CW_STORE_CONTENDED;
    for (int i = 0; i < STORE_TRIES && err == CW_STORE_CONTENDED; i++) {
        store_pause(i);
        err = db_run_alone(store->db, durability, statement, args, n, row, ctx, ret_changes);
    }
    return err;
}

enum cw_err store_do_all(struct store *store, enum db_durability durability,
                         const struct db_call *calls, size_t n)
{
    enum cw_err err = CW_STORE_CONTENDED;
    for (int i = 0; i < STORE_TRIES && err == CW_STORE_CONTENDED; i++) {
        store_pause(i);
        err = db_run_all_alone(store->db, durability, calls, n);
    }
    return err;
}

/* After a failure it must be written to: a full disk can still be read. */
enum cw_err store_check(struct store *store)
{
    if (!atomic_load(&store->failed)) {
        return store_do(store, DB_LAZY, DB_CHECK, NULL, 0, NULL, NULL, NULL);
    }
    const struct db_value args[] = {db_text(CW_STR("checked")), db_text(CW_STR(""))};
    TRY(store_do(store, DB_DURABLE, DB_SETTING_PUT, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL));
    atomic_store(&store->failed, false);
    return CW_OK;
}

static enum cw_err epoch_in(struct db_tx *tx, struct cw_buf *epoch)
{
    TRY(db_lock(tx, DB_LOCK_SETTINGS));
    TRY(setting_get(tx, "epoch", epoch));
    if (epoch->n == 0) {
        uint8_t random[STORE_EPOCH_SIZE / 2];
        char hex[STORE_EPOCH_SIZE + 1];
        randombytes_buf(random, sizeof(random));
        sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
        cw_buf_add_cstr(epoch, hex);
        TRY(setting_put(tx, "epoch", cw_buf_str(epoch)));
    }
    TRY(cw_buf_check(epoch));
    return epoch->n == STORE_EPOCH_SIZE ? CW_OK : CW_STORE_UNAVAILABLE;
}

enum cw_err store_epoch(struct store *store, char ret_epoch[STORE_EPOCH_SIZE + 1])
{
    struct db_tx *tx = NULL;
    TRY(db_begin(store->db, DB_DURABLE, &tx));
    CW_CLEANUP(cw_buf_done) struct cw_buf epoch = CW_BUF_INIT(256);
    enum cw_err err = db_end(tx, epoch_in(tx, &epoch));
    if (err == CW_OK) {
        memcpy(ret_epoch, epoch.p, STORE_EPOCH_SIZE);
        ret_epoch[STORE_EPOCH_SIZE] = '\0';
    }
    return err;
}

static enum cw_err generation_in(struct db_tx *tx, struct cw_str fingerprint,
                                 uint64_t *ret_generation)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf known = CW_BUF_INIT(4096);
    CW_CLEANUP(cw_buf_done) struct cw_buf number = CW_BUF_INIT(64);
    TRY(db_lock(tx, DB_LOCK_SETTINGS));
    TRY(setting_get(tx, "tenants.fingerprint", &known));
    TRY(setting_get(tx, "tenants.generation", &number));
    uint64_t generation = 0;
    if (number.n > 0) {
        ENSURE(cw_str_to_u64(cw_buf_str(&number), INT64_MAX, &generation) == CW_OK,
               CW_STORE_UNAVAILABLE);
    }
    if (generation == 0 || !cw_str_eq(cw_buf_str(&known), fingerprint)) {
        generation++;
        cw_buf_clear(&number);
        cw_buf_addf(&number, "%llu", (unsigned long long)generation);
        TRY(setting_put(tx, "tenants.generation", cw_buf_str(&number)));
        TRY(setting_put(tx, "tenants.fingerprint", fingerprint));
        db_notify(tx, DB_TOPIC_TENANTS);
    }
    *ret_generation = generation;
    return CW_OK;
}

enum cw_err store_generation(struct store *store, struct cw_str fingerprint,
                             uint64_t *ret_generation)
{
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             generation_in(tx, fingerprint, ret_generation));
}

enum cw_err store_tenant_add(struct store *store, struct cw_str tenant)
{
    const struct db_value args[] = {db_text(tenant), db_int(cw_clock_wall_ms(store->clock))};
    return store_do(store, DB_DURABLE, DB_TENANT_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}

enum cw_err store_purge(struct store *store, int64_t before)
{
    const struct db_value args[] = {db_int(before)};
    const struct db_value now[] = {db_int(cw_clock_wall_ms(store->clock))};
    TRY(store_do(store, DB_LAZY, DB_REVOCATION_PURGE, now, 1, NULL, NULL, NULL));
    TRY(store_do(store, DB_LAZY, DB_MFA_PURGE, now, 1, NULL, NULL, NULL));
    TRY(store_do(store, DB_LAZY, DB_IDP_TOKEN_PURGE, args, 1, NULL, NULL, NULL));
    TRY(store_do(store, DB_LAZY, DB_RESET_PURGE, now, 1, NULL, NULL, NULL));
    TRY(store_do(store, DB_LAZY, DB_SESSION_PURGE, args, 1, NULL, NULL, NULL));
    return store_do(store, DB_LAZY, DB_THROTTLE_PURGE, args, 1, NULL, NULL, NULL);
}

enum cw_err store_copy(struct cw_arena *arena, struct cw_str s, struct cw_str *ret_copy)
{
    char *p = cw_arena_dup(arena, s);
    ENSURE(p != NULL, CW_NO_MEMORY);
    *ret_copy = (struct cw_str){p, s.n};
    return CW_OK;
}
