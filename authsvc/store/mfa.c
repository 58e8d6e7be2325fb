/* Second factors: logins that wait for one, TOTP secrets (sealed before they come here), recovery
 * codes (hashes). */
#include "authsvc/store/store_impl.h"

static enum cw_err add_in(struct db_tx *tx, struct cw_str tenant, const struct store_challenge *c)
{
    const struct db_value args[] = {
        db_text(tenant),
        db_bytes(c->id, STORE_HASH_SIZE),
        db_text(c->kind),
        db_text(c->subject),
        db_text(c->username),
        db_text(c->client_id),
        db_text(c->scope),
        db_text(c->methods),
        db_bytes(c->sealed.p, c->sealed.n),
        db_int(c->expires_at),
        db_int(c->password_changed_at),
    };
    size_t n = CW_ARRAY_SIZE(args);
    if (c->password_changed_at == STORE_NO_PASSWORD) {
        return db_run(tx, DB_MFA_ADD, args, n - 1, NULL, NULL, NULL);
    }
    int64_t changes = 0;
    TRY(db_run(tx, DB_MFA_ADD_SHOWN, args, n, NULL, NULL, &changes));
    return changes == 1 ? CW_OK : store_user_refused(tx, tenant, c->subject);
}

enum cw_err store_challenge_add(struct store *store, struct cw_str tenant,
                                const struct store_challenge *challenge)
{
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx, add_in(tx, tenant, challenge));
}

struct challenge_read {
    struct cw_arena *arena;
    struct store_challenge *challenge;
    bool found;
};

static enum cw_err read_challenge(void *ctx, const struct db_value *c, size_t n)
{
    struct challenge_read *read = ctx;
    ENSURE(n == 8, CW_INTERNAL);
    struct store_challenge *out = read->challenge;
    struct cw_str *const texts[] = {&out->kind,  &out->subject, &out->username, &out->client_id,
                                    &out->scope, &out->methods, &out->sealed};
    for (size_t i = 0; i < CW_ARRAY_SIZE(texts); i++) {
        TRY(store_copy(read->arena, c[i].s, texts[i]));
    }
    out->expires_at = c[7].i;
    read->found = true;
    return CW_OK;
}

enum cw_err store_challenge_take(struct store *store, struct cw_str tenant, const uint8_t *id,
                                 enum store_challenge_use use, int64_t max, struct cw_arena *arena,
                                 struct store_challenge *ret_challenge)
{
    const struct db_value args[] = {
        db_text(tenant),
        db_bytes(id, STORE_HASH_SIZE),
        db_int(cw_clock_wall_ms(store->clock)),
        db_int(use == STORE_CHALLENGE_ATTEMPT),
        db_int(use == STORE_CHALLENGE_SEND),
        db_int(max),
    };
    struct challenge_read read = {.arena = arena, .challenge = ret_challenge};
    TRY(store_do(store, DB_DURABLE, DB_MFA_TAKE, args, CW_ARRAY_SIZE(args), read_challenge, &read,
                 NULL));
    ENSURE(read.found, CW_NOT_FOUND);
    memcpy(ret_challenge->id, id, STORE_HASH_SIZE);
    return CW_OK;
}

/* A statement that changes one row, or none: `none`. */
static enum cw_err change_one(struct store *store, enum db_statement statement,
                              const struct db_value *args, size_t n, enum cw_err none)
{
    int64_t changes = 0;
    TRY(store_do(store, DB_DURABLE, statement, args, n, NULL, NULL, &changes));
    return changes == 1 ? CW_OK : none;
}

enum cw_err store_challenge_claim(struct store *store, struct cw_str tenant, const uint8_t *id)
{
    const struct db_value args[] = {db_text(tenant), db_bytes(id, STORE_HASH_SIZE)};
    return change_one(store, DB_MFA_CLAIM, args, CW_ARRAY_SIZE(args), CW_NOT_FOUND);
}

/* --- TOTP ------------------------------------------------------------------------------- */

enum cw_err store_totp_start(struct store *store, struct cw_str tenant, struct cw_str subject,
                             struct cw_str sealed)
{
    const struct db_value args[] = {db_text(tenant), db_text(subject), db_bytes(sealed.p, sealed.n),
                                    db_int(cw_clock_wall_ms(store->clock))};
    return change_one(store, DB_TOTP_START, args, CW_ARRAY_SIZE(args), CW_CONFLICT);
}

struct totp_read {
    struct cw_arena *arena;
    struct store_totp *totp;
    bool found;
};

static enum cw_err read_totp(void *ctx, const struct db_value *c, size_t n)
{
    struct totp_read *read = ctx;
    ENSURE(n == 4, CW_INTERNAL);
    TRY(store_copy(read->arena, c[0].s, &read->totp->sealed));
    read->totp->created_at = c[1].i;
    read->totp->confirmed = c[2].type != DB_NULL;
    read->totp->last_step = c[3].i;
    read->found = true;
    return CW_OK;
}

enum cw_err store_totp_get(struct store *store, struct cw_str tenant, struct cw_str subject,
                           struct cw_arena *arena, struct store_totp *ret_totp)
{
    const struct db_value args[] = {db_text(tenant), db_text(subject)};
    struct totp_read read = {.arena = arena, .totp = ret_totp};
    TRY(store_do(store, DB_LAZY, DB_TOTP_GET, args, CW_ARRAY_SIZE(args), read_totp, &read, NULL));
    return read.found ? CW_OK : CW_NOT_FOUND;
}

enum cw_err store_totp_attempt(struct store *store, struct cw_str tenant, struct cw_str subject,
                               int64_t max)
{
    const struct db_value args[] = {db_text(tenant), db_text(subject), db_int(max)};
    return change_one(store, DB_TOTP_ATTEMPT, args, CW_ARRAY_SIZE(args), CW_CONFLICT);
}

enum cw_err store_totp_use(struct store *store, struct cw_str tenant, struct cw_str subject,
                           struct cw_str sealed, int64_t step)
{
    const struct db_value args[] = {db_text(tenant), db_text(subject), db_bytes(sealed.p, sealed.n),
                                    db_int(step)};
    return change_one(store, DB_TOTP_USE, args, CW_ARRAY_SIZE(args), CW_CONFLICT);
}

/* --- recovery codes --------------------------------------------------------------------- */

static enum cw_err replace_codes(struct db_tx *tx, struct cw_str tenant, struct cw_str subject,
                                 const uint8_t (*hashes)[STORE_HASH_SIZE], size_t n)
{
    struct db_value args[] = {db_text(tenant), db_text(subject), db_int(0)};
    TRY(db_run(tx, DB_RECOVERY_CLEAR, args, 2, NULL, NULL, NULL));
    for (size_t i = 0; i < n; i++) {
        args[2] = db_bytes(hashes[i], STORE_HASH_SIZE);
        TRY(db_run(tx, DB_RECOVERY_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL));
    }
    return CW_OK;
}

static enum cw_err confirm_in(struct db_tx *tx, const struct db_value *args, size_t n_args,
                              const uint8_t (*hashes)[STORE_HASH_SIZE], size_t n)
{
    int64_t changes = 0;
    TRY(db_run(tx, DB_TOTP_CONFIRM, args, n_args, NULL, NULL, &changes));
    ENSURE(changes == 1, CW_CONFLICT);
    return replace_codes(tx, args[0].s, args[1].s, hashes, n);
}

enum cw_err store_totp_confirm(struct store *store, struct cw_str tenant, struct cw_str subject,
                               struct cw_str sealed, int64_t step,
                               const uint8_t (*code_hashes)[STORE_HASH_SIZE], size_t n)
{
    const struct db_value args[] = {db_text(tenant), db_text(subject), db_bytes(sealed.p, sealed.n),
                                    db_int(step), db_int(cw_clock_wall_ms(store->clock))};
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             confirm_in(tx, args, CW_ARRAY_SIZE(args), code_hashes, n));
}

static enum cw_err remove_in(struct db_tx *tx, struct cw_str tenant, struct cw_str subject)
{
    const struct db_value args[] = {db_text(tenant), db_text(subject)};
    int64_t changes = 0;
    TRY(db_run(tx, DB_TOTP_REMOVE, args, CW_ARRAY_SIZE(args), NULL, NULL, &changes));
    ENSURE(changes == 1, CW_NOT_FOUND);
    return db_run(tx, DB_RECOVERY_CLEAR, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}

enum cw_err store_mfa_remove(struct store *store, struct cw_str tenant, struct cw_str subject)
{
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx, remove_in(tx, tenant, subject));
}

enum cw_err store_recovery_replace(struct store *store, struct cw_str tenant, struct cw_str subject,
                                   const uint8_t (*code_hashes)[STORE_HASH_SIZE], size_t n)
{
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             replace_codes(tx, tenant, subject, code_hashes, n));
}

static enum cw_err recover_in(struct db_tx *tx, const struct db_value *args, size_t n)
{
    int64_t changes = 0;
    TRY(db_run(tx, DB_RECOVERY_USE, args, n, NULL, NULL, &changes));
    ENSURE(changes == 1, CW_NOT_FOUND);
    return db_run(tx, DB_TOTP_FORGIVE, args, 2, NULL, NULL, NULL);
}

enum cw_err store_recovery_use(struct store *store, struct cw_str tenant, struct cw_str subject,
                               const uint8_t *code_hash)
{
    const struct db_value args[] = {db_text(tenant), db_text(subject),
                                    db_bytes(code_hash, STORE_HASH_SIZE)};
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx, recover_in(tx, args, CW_ARRAY_SIZE(args)));
}

static enum cw_err read_count(void *ctx, const struct db_value *columns, size_t n)
{
    ENSURE(n == 1, CW_INTERNAL);
    *(int64_t *)ctx = columns[0].i;
    return CW_OK;
}

enum cw_err store_recovery_count(struct store *store, struct cw_str tenant, struct cw_str subject,
                                 int64_t *ret_count)
{
    const struct db_value args[] = {db_text(tenant), db_text(subject)};
    return store_do(store, DB_LAZY, DB_RECOVERY_COUNT, args, CW_ARRAY_SIZE(args), read_count,
                    ret_count, NULL);
}
