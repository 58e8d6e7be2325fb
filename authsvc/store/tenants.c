/* Tenants that are added, changed and removed while the service runs. One counter row numbers the
 * changes, so that whoever reads up to a number has missed none; domains and issuers are unique in
 * the database, whichever authsvc writes. */
#include "authsvc/store/store_impl.h"

static enum cw_err read_number(void *ctx, const struct db_value *columns, size_t n)
{
    ENSURE(n == 1, CW_INTERNAL);
    *(uint64_t *)ctx = (uint64_t)columns[0].i;
    return CW_OK;
}

enum cw_err store_tenant_version(struct store *store, uint64_t *ret_version)
{
    return store_do(store, DB_LAZY, DB_TENANT_VERSION, NULL, 0, read_number, ret_version, NULL);
}

/* First in each transaction: the row's lock puts the changes of all processes in one order. */
static enum cw_err next_version(struct db_tx *tx, uint64_t *ret_version)
{
    db_notify(tx, DB_TOPIC_TENANTS);
    return db_run(tx, DB_TENANT_CHANGE, NULL, 0, read_number, ret_version, NULL);
}

static struct db_value bytes_or_null(struct cw_str bytes)
{
    return bytes.n > 0 ? db_bytes(bytes.p, bytes.n) : (struct db_value){.type = DB_NULL};
}

static enum cw_err put_domains(struct db_tx *tx, const struct store_tenant *t)
{
    const struct db_value tenant[] = {db_text(t->name)};
    TRY(db_run(tx, DB_TENANT_DOMAIN_CLEAR, tenant, 1, NULL, NULL, NULL));
    for (size_t i = 0; i < t->n_domains; i++) {
        const struct db_value args[] = {db_text(t->domains[i]), db_text(t->name)};
        TRY(db_run(tx, DB_TENANT_DOMAIN_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL));
    }
    return CW_OK;
}

static enum cw_err put(struct db_tx *tx, const struct store_tenant *t, uint64_t if_version,
                       int64_t now)
{
    uint64_t version = 0;
    int64_t changes = 0;
    TRY(next_version(tx, &version));
    const struct db_value name[] = {db_text(t->name), db_int(now)};
    TRY(db_run(tx, DB_TENANT_ADD, name, CW_ARRAY_SIZE(name), NULL, NULL, NULL));
    const struct db_value args[] = {
        db_text(t->name),
        db_int((int64_t)version),
        db_text(t->issuer),
        db_text(t->document),
        bytes_or_null(t->secrets),
        db_int(now),
        db_int((int64_t)if_version),
    };
    if (if_version > 0) {
        TRY(db_run(tx, DB_TENANT_CONFIG_SET, args, 7, NULL, NULL, &changes));
        ENSURE(changes == 1, CW_PRECONDITION_FAILED);
    } else {
        TRY(db_run(tx, DB_TENANT_CONFIG_ADD, args, 6, NULL, NULL, &changes));
        ENSURE(changes == 1, CW_CONFLICT);
    }
    return put_domains(tx, t);
}

enum cw_err store_tenant_put(struct store *store, const struct store_tenant *tenant,
                             uint64_t if_version)
{
    int64_t now = cw_clock_wall_ms(store->clock);
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx, put(tx, tenant, if_version, now));
}

static enum cw_err set_disabled(struct db_tx *tx, struct cw_str name, bool disabled, int64_t now)
{
    uint64_t version = 0;
    int64_t changes = 0;
    TRY(next_version(tx, &version));
    const struct db_value args[] = {
        db_text(name),
        db_int((int64_t)version),
        disabled ? db_int(now) : (struct db_value){.type = DB_NULL},
        db_int(now),
    };
    TRY(db_run(tx, DB_TENANT_CONFIG_DISABLE, args, CW_ARRAY_SIZE(args), NULL, NULL, &changes));
    return changes == 1 ? CW_OK : CW_NOT_FOUND;
}

enum cw_err store_tenant_set_disabled(struct store *store, struct cw_str name, bool disabled)
{
    int64_t now = cw_clock_wall_ms(store->clock);
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx, set_disabled(tx, name, disabled, now));
}

static enum cw_err remove_all(struct db_tx *tx, struct cw_str name)
{
    static const enum db_statement of_others[] = {DB_USERS_HOLD,
                                                  DB_TENANT_REMOVE_HOLD,
                                                  DB_TENANT_REMOVE_USERS,
                                                  DB_TENANT_REMOVE_GROUPS,
                                                  DB_TENANT_REMOVE_KEYS,
                                                  DB_TENANT_REMOVE_CHALLENGES,
                                                  DB_TENANT_REMOVE_REVOCATIONS,
                                                  DB_TENANT_REMOVE_THROTTLE,
                                                  DB_TENANT_REMOVE};
    const struct db_value args[] = {db_text(name)};
    uint64_t version = 0;
    int64_t changes = 0;
    TRY(next_version(tx, &version));
    TRY(db_run(tx, DB_TENANT_DOMAIN_CLEAR, args, 1, NULL, NULL, NULL));
    TRY(db_run(tx, DB_TENANT_REMOVE_CONFIG, args, 1, NULL, NULL, &changes));
    ENSURE(changes == 1, CW_NOT_FOUND);
    for (size_t i = 0; i < CW_ARRAY_SIZE(of_others); i++) {
        TRY(db_run(tx, of_others[i], args, 1, NULL, NULL, NULL));
    }
    return CW_OK;
}

enum cw_err store_tenant_remove(struct store *store, struct cw_str name)
{
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx, remove_all(tx, name));
}

struct tenant_list {
    enum cw_err (*each)(void *ctx, const struct store_tenant *tenant);
    enum cw_err (*each_name)(void *ctx, struct cw_str name);
    void *ctx;
};

static enum cw_err read_tenant(void *ctx, const struct db_value *c, size_t n)
{
    const struct tenant_list *list = ctx;
    ENSURE(n == 7, CW_INTERNAL);
    const struct store_tenant tenant = {
        .name = c[0].s,
        .version = (uint64_t)c[1].i,
        .document = c[2].s,
        .secrets = c[3].type == DB_NULL ? CW_STR("") : c[3].s,
        .disabled = c[4].type != DB_NULL,
        .created_at = c[5].i,
        .updated_at = c[6].i,
    };
    return list->each(list->ctx, &tenant);
}

enum cw_err store_tenant_since(struct store *store, uint64_t version,
                               enum cw_err (*each)(void *ctx, const struct store_tenant *tenant),
                               void *ctx)
{
    const struct db_value args[] = {db_int((int64_t)version)};
    struct tenant_list list = {.each = each, .ctx = ctx};
    return store_do(store, DB_LAZY, DB_TENANT_CONFIG_SINCE, args, CW_ARRAY_SIZE(args), read_tenant,
                    &list, NULL);
}

struct tenant_copy {
    struct cw_arena *arena;
    struct store_tenant *tenant;
    bool found;
};

static enum cw_err copy_tenant(void *ctx, const struct store_tenant *t)
{
    struct tenant_copy *copy = ctx;
    *copy->tenant = *t;
    copy->found = true;
    TRY(store_copy(copy->arena, t->name, &copy->tenant->name));
    TRY(store_copy(copy->arena, t->document, &copy->tenant->document));
    return store_copy(copy->arena, t->secrets, &copy->tenant->secrets);
}

enum cw_err store_tenant_get(struct store *store, struct cw_str name, struct cw_arena *arena,
                             struct store_tenant *ret_tenant)
{
    const struct db_value args[] = {db_text(name)};
    struct tenant_copy copy = {.arena = arena, .tenant = ret_tenant};
    struct tenant_list list = {.each = copy_tenant, .ctx = &copy};
    TRY(store_do(store, DB_LAZY, DB_TENANT_CONFIG_GET, args, CW_ARRAY_SIZE(args), read_tenant,
                 &list, NULL));
    return copy.found ? CW_OK : CW_NOT_FOUND;
}

static enum cw_err read_name(void *ctx, const struct db_value *columns, size_t n)
{
    const struct tenant_list *list = ctx;
    ENSURE(n == 1, CW_INTERNAL);
    return list->each_name(list->ctx, columns[0].s);
}

enum cw_err store_tenant_names(struct store *store,
                               enum cw_err (*each)(void *ctx, struct cw_str name), void *ctx)
{
    struct tenant_list list = {.each_name = each, .ctx = ctx};
    return store_do(store, DB_LAZY, DB_TENANT_CONFIG_NAMES, NULL, 0, read_name, &list, NULL);
}
