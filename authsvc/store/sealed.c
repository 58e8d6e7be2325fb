/* Sealed values of all tables, by the key that sealed them. What is in them the store never sees.
 */
#include "authsvc/store/store_impl.h"

enum {
    BATCH_BYTES_MAX = 16 * 1024 * 1024,
    SEALED_MAX = 160 * 1024,
};

static const struct {
    enum db_statement next, count, list, set;
    bool bytes; /* the id is no text */
} kinds[STORE_SEALED_KINDS] = {
#define KIND(name)                                                                                 \
    DB_SEALED_NEXT_##name, DB_SEALED_COUNT_##name, DB_SEALED_LIST_##name, DB_SEALED_SET_##name
    [STORE_SEALED_SIGNING_KEY] = {KIND(SIGNING_KEY), false},
    [STORE_SEALED_TENANT] = {KIND(TENANT), false},
    [STORE_SEALED_TOTP] = {KIND(TOTP), false},
    [STORE_SEALED_CHALLENGE] = {KIND(CHALLENGE), true},
    [STORE_SEALED_IDP_SESSION] = {KIND(IDP_SESSION), false},
    [STORE_SEALED_SECRET] = {KIND(SECRET), false},
#undef KIND
};

/* --- which there are -------------------------------------------------------------------- */

/* One that is cut off is damaged. */
static void read_id(const struct db_value *column, uint8_t ret_sealer[STORE_SEALER_SIZE])
{
    memset(ret_sealer, 0, STORE_SEALER_SIZE);
    if (column->s.n > 0) {
        memcpy(ret_sealer, column->s.p, CW_MIN(column->s.n, STORE_SEALER_SIZE));
    }
}

struct next {
    uint8_t *sealer;
    bool found;
};

static enum cw_err read_next(void *ctx, const struct db_value *columns, size_t n)
{
    struct next *next = ctx;
    ENSURE(n == 1, CW_INTERNAL);
    read_id(&columns[0], next->sealer);
    next->found = true;
    return CW_OK;
}

enum cw_err store_sealed_next(struct store *store, enum store_sealed_kind kind,
                              const uint8_t *after, uint8_t ret_sealer[STORE_SEALER_SIZE],
                              bool *ret_found)
{
    const struct db_value args[] = {
        db_bytes(after != NULL ? (const char *)after : "", after != NULL ? STORE_SEALER_SIZE : 0)};
    struct next next = {.sealer = ret_sealer};
    TRY(store_do(store, DB_LAZY, kinds[kind].next, args, CW_ARRAY_SIZE(args), read_next, &next,
                 NULL));
    *ret_found = next.found;
    return CW_OK;
}

struct count {
    enum cw_err (*each)(void *ctx, const uint8_t sealer[STORE_SEALER_SIZE], int64_t values);
    void *ctx;
};

static enum cw_err read_count(void *ctx, const struct db_value *columns, size_t n)
{
    const struct count *count = ctx;
    uint8_t sealer[STORE_SEALER_SIZE];
    ENSURE(n == 2, CW_INTERNAL);
    read_id(&columns[0], sealer);
    return count->each(count->ctx, sealer, columns[1].i);
}

enum cw_err store_sealed_count(struct store *store, enum store_sealed_kind kind,
                               enum cw_err (*each)(void *ctx,
                                                   const uint8_t sealer[STORE_SEALER_SIZE],
                                                   int64_t values),
                               void *ctx)
{
    struct count count = {.each = each, .ctx = ctx};
    return store_do(store, DB_LAZY, kinds[kind].count, NULL, 0, read_count, &count, NULL);
}

struct sealers {
    enum cw_err (*each)(void *ctx, const uint8_t sealer[STORE_SEALER_SIZE]);
    void *ctx;
};

static enum cw_err read_sealer(void *ctx, const struct db_value *columns, size_t n)
{
    const struct sealers *sealers = ctx;
    ENSURE(n == 1, CW_INTERNAL);
    return columns[0].s.n == STORE_SEALER_SIZE
               ? sealers->each(sealers->ctx, (const uint8_t *)columns[0].s.p)
               : CW_OK; /* of a damaged row, from the time before this table */
}

enum cw_err store_sealer_list(struct store *store,
                              enum cw_err (*each)(void *ctx,
                                                  const uint8_t sealer[STORE_SEALER_SIZE]),
                              void *ctx)
{
    struct sealers sealers = {.each = each, .ctx = ctx};
    return store_do(store, DB_LAZY, DB_SEALERS, NULL, 0, read_sealer, &sealers, NULL);
}

enum cw_err store_sealer_add(struct store *store, const uint8_t sealer[STORE_SEALER_SIZE])
{
    const struct db_value args[] = {db_bytes((const char *)sealer, STORE_SEALER_SIZE)};
    return store_do(store, DB_DURABLE, DB_SEALER_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}

/* --- sealed anew ------------------------------------------------------------------------ */

struct batch {
    enum store_sealed_kind kind;
    const uint8_t *sealer;
    struct cw_str tenant, id;
    size_t max;
    enum cw_err (*reseal)(void *ctx, const struct store_sealed *value, struct cw_buf *ret_sealed);
    void *ctx;
    struct store_resealed *resealed;
    struct cw_arena arena;
    struct store_sealed *values;
    size_t n;
    size_t bytes; /* of them */
    bool more;    /* there are some behind them */
};

static struct db_value id_of(const struct batch *b, struct cw_str id)
{
    return kinds[b->kind].bytes ? db_bytes(id.p, id.n) : db_text(id);
}

static enum cw_err read_value(void *ctx, const struct db_value *columns, size_t n)
{
    struct batch *b = ctx;
    ENSURE(n == 4 && b->n < b->max, CW_INTERNAL);
    for (size_t i = 0; i < n; i++) {
        b->bytes += columns[i].s.n;
    }
    if (b->n > 0 && b->bytes > BATCH_BYTES_MAX / 2) {
        b->more = true; /* large ones: fewer at once */
        return CW_OK;
    }
    struct store_sealed *value = &b->values[b->n++];
    struct cw_str *const texts[] = {&value->tenant, &value->id, &value->detail, &value->sealed};
    for (size_t i = 0; i < CW_ARRAY_SIZE(texts); i++) {
        TRY(store_copy(&b->arena, columns[i].s, texts[i]));
    }
    return CW_OK;
}

static enum cw_err reseal_value(struct db_tx *tx, struct batch *b, const struct store_sealed *value)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(SEALED_MAX);
    enum cw_err err = b->reseal(b->ctx, value, &sealed);
    if (err == CW_NOT_FOUND) {
        b->resealed->failed++;
        return CW_OK;
    }
    TRY(err);
    const struct db_value args[] = {
        db_text(value->tenant),
        id_of(b, value->id),
        db_bytes(value->sealed.p, value->sealed.n),
        db_bytes(sealed.p, sealed.n),
    };
    int64_t changes = 0;
    TRY(db_run(tx, kinds[b->kind].set, args, CW_ARRAY_SIZE(args), NULL, NULL, &changes));
    b->resealed->changed += changes;
    return CW_OK;
}

/* May be done again. */
static enum cw_err reseal_in(struct db_tx *tx, struct batch *b)
{
    const struct db_value args[] = {
        db_bytes(b->sealer, STORE_SEALER_SIZE),
        db_text(b->tenant),
        id_of(b, b->id),
        db_int((int64_t)b->max),
    };
    cw_arena_done(&b->arena);
    b->arena = (struct cw_arena)CW_ARENA_INIT(BATCH_BYTES_MAX);
    b->values = cw_arena_zalloc(&b->arena, b->max * sizeof(*b->values));
    ENSURE(b->values != NULL, CW_NO_MEMORY);
    b->n = b->bytes = 0;
    b->more = false;
    b->resealed->changed = b->resealed->failed = 0;
    TRY(db_run(tx, kinds[b->kind].list, args, CW_ARRAY_SIZE(args), read_value, b, NULL));
    for (size_t i = 0; i < b->n; i++) {
        TRY(reseal_value(tx, b, &b->values[i]));
    }
    return CW_OK;
}

enum cw_err store_reseal(struct store *store, enum store_sealed_kind kind,
                         const uint8_t sealer[STORE_SEALER_SIZE], struct cw_str tenant,
                         struct cw_str id, size_t max,
                         enum cw_err (*reseal)(void *ctx, const struct store_sealed *value,
                                               struct cw_buf *ret_sealed),
                         void *ctx, struct store_resealed *ret_resealed)
{
    struct batch b = {
        .kind = kind,
        .sealer = sealer,
        .tenant = tenant,
        .id = id,
        .max = max,
        .reseal = reseal,
        .ctx = ctx,
        .resealed = ret_resealed,
        .arena = CW_ARENA_INIT(BATCH_BYTES_MAX),
    };
    enum cw_err err = STORE_TRANSACTION(store->db, DB_DURABLE, tx, reseal_in(tx, &b));
    if (err == CW_OK && b.n > 0) {
        const struct store_sealed *last = &b.values[b.n - 1];
        cw_buf_clear(&ret_resealed->last);
        cw_buf_add_str(&ret_resealed->last, last->tenant);
        cw_buf_add_char(&ret_resealed->last, '\0');
        cw_buf_add_str(&ret_resealed->last, last->id);
        err = cw_buf_check(&ret_resealed->last);
    }
    ret_resealed->more = b.more || b.n == max;
    cw_arena_done(&b.arena);
    return err;
}

/* --- cw-authsvc's own ------------------------------------------------------------------- */

static enum cw_err read_secret(void *ctx, const struct db_value *columns, size_t n)
{
    ENSURE(n == 1, CW_INTERNAL);
    cw_buf_add_str(ctx, columns[0].s);
    return CW_OK;
}

enum cw_err store_secret_get(struct store *store, struct cw_str name, struct cw_buf *ret_sealed)
{
    const struct db_value args[] = {db_text(name)};
    size_t before = ret_sealed->n;
    TRY(store_do(store, DB_LAZY, DB_SECRET_GET, args, CW_ARRAY_SIZE(args), read_secret, ret_sealed,
                 NULL));
    TRY(cw_buf_check(ret_sealed));
    return ret_sealed->n > before ? CW_OK : CW_NOT_FOUND;
}

enum cw_err store_secret_add(struct store *store, struct cw_str name, struct cw_str sealed)
{
    const struct db_value args[] = {db_text(name), db_bytes(sealed.p, sealed.n),
                                    db_int(cw_clock_wall_ms(store->clock))};
    return store_do(store, DB_DURABLE, DB_SECRET_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}
