/* Sessions whose tokens are an identity provider's. Our own refresh token rotates as for everybody;
 * beside it lies, sealed, what the provider gave. A refresh is three steps, since the provider is
 * asked in between:
 *
 *   claim ──▶ (the provider) ──new tokens──▶ commit: both chains move in one transaction
 *                             └─none───────▶ release
 *
 * Only one caller of all processes holds the claim, so the provider never sees a token twice. A
 * crash between its answer and the commit loses the new token: the next refresh presents the old
 * one again, the provider refuses, and the session ends. */
#include "authsvc/store/store_impl.h"

enum {
    SEALED_MAX = 128 * 1024,
    TOKENS_MAX = 1024,
    TOKENS_ARENA = 512 * 1024,
    LEEWAY_MS = 2 * 60 * 1000
};

static enum cw_err keep_tokens(struct db_tx *tx, struct cw_str tenant, struct cw_str session_id,
                               const struct store_idp_tokens *tokens)
{
    const struct db_value args[] = {
        db_text(tenant),
        db_text(tokens->token_name),
        db_text(session_id),
        db_int(tokens->token_expires_at),
    };
    return db_run(tx, DB_IDP_TOKEN_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}

static enum cw_err start_in(struct db_tx *tx, struct cw_str tenant, const struct store_user *user,
                            const struct store_session *session, const struct store_family *family,
                            const struct store_idp_tokens *tokens, int64_t cap)
{
    const struct db_value seen[] = {
        db_text(tenant),      db_text(user->subject),       db_text(user->name),
        db_text(user->email), db_int(user->email_verified), db_int(session->started_at),
    };
    TRY(db_run(tx, DB_IDP_USER_SEEN, seen, CW_ARRAY_SIZE(seen), NULL, NULL, NULL));
    TRY(store_session_start_in(tx, tenant, session, family, cap));
    const struct db_value args[] = {
        db_text(tenant),
        db_text(session->id),
        db_bytes(tokens->sealed.p, tokens->sealed.n),
    };
    TRY(db_run(tx, DB_IDP_SESSION_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL));
    return keep_tokens(tx, tenant, session->id, tokens);
}

enum cw_err store_idp_session_start(struct store *store, struct cw_str tenant,
                                    const struct store_user *user,
                                    const struct store_session *session,
                                    const struct store_family *family,
                                    const struct store_idp_tokens *tokens, int64_t cap)
{
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             start_in(tx, tenant, user, session, family, tokens, cap));
}

struct sealed_read {
    struct cw_arena *arena;
    struct cw_str sealed;
    bool found;
};

static enum cw_err read_sealed(void *ctx, const struct db_value *columns, size_t n)
{
    struct sealed_read *read = ctx;
    ENSURE(n == 1 && columns[0].s.n <= SEALED_MAX, CW_INTERNAL);
    TRY(store_copy(read->arena, columns[0].s, &read->sealed));
    read->found = true;
    return CW_OK;
}

static enum cw_err claim_in(struct db_tx *tx, struct cw_str tenant,
                            const struct store_rotate *rotate, int64_t now, int64_t lease_ms,
                            struct cw_arena *arena, struct store_idp_claimed *ret)
{
    *ret = (struct store_idp_claimed){0};
    struct sealed_read read = {.arena = arena};
    TRY(store_family_judge_in(tx, tenant, rotate, arena, now, &ret->family));
    ret->outcome = ret->family.outcome;
    const struct db_value args[] = {
        db_text(tenant), db_text(ret->family.session.id), db_int(rotate->generation),
        db_int(now),     db_int(now + lease_ms),
    };
    if (ret->outcome == STORE_ROTATION_DONE) {
        /* The generation is compared in the row itself: of two that read the family before either
         * wrote, the second sees the first one's row. */
        TRY(db_run(tx, DB_IDP_CLAIM, args, CW_ARRAY_SIZE(args), read_sealed, &read, NULL));
        ret->busy = !read.found;
    } else if (ret->outcome == STORE_ROTATION_REPEATED) {
        TRY(db_run(tx, DB_IDP_SEALED, args, 2, read_sealed, &read, NULL));
        ENSURE(read.found, CW_INTERNAL);
    }
    ret->sealed = read.sealed;
    return CW_OK;
}

enum cw_err store_idp_claim(struct store *store, struct cw_str tenant,
                            const struct store_rotate *rotate, int64_t lease_ms,
                            struct cw_arena *arena, struct store_idp_claimed *ret)
{
    int64_t now = cw_clock_wall_ms(store->clock);
    return STORE_TRANSACTION(store->db, DB_LAZY, tx,
                             claim_in(tx, tenant, rotate, now, lease_ms, arena, ret));
}

enum cw_err store_idp_release(struct store *store, struct cw_str tenant, struct cw_str session_id,
                              int64_t generation)
{
    const struct db_value args[] = {db_text(tenant), db_text(session_id), db_int(generation)};
    return store_do(store, DB_LAZY, DB_IDP_RELEASE, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL);
}

static enum cw_err commit_in(struct db_tx *tx, struct cw_str tenant,
                             const struct store_rotate *rotate,
                             const struct store_idp_tokens *tokens, int64_t now,
                             struct cw_arena *arena, struct store_rotated *ret)
{
    *ret = (struct store_rotated){0};
    TRY(store_rotate_in(tx, tenant, rotate, arena, now, ret));
    if (ret->outcome == STORE_ROTATION_REPEATED) {
        ret->outcome = STORE_ROTATION_STALE; /* the claim had lapsed, and another one was faster */
    }
    if (ret->outcome != STORE_ROTATION_DONE) {
        return CW_OK;
    }
    const struct db_value args[] = {
        db_text(tenant),
        db_text(ret->session.id),
        db_int(rotate->generation),
        db_bytes(tokens->sealed.p, tokens->sealed.n),
    };
    int64_t changes = 0;
    TRY(db_run(tx, DB_IDP_NEXT, args, CW_ARRAY_SIZE(args), NULL, NULL, &changes));
    ENSURE(changes == 1, CW_INTERNAL);
    return keep_tokens(tx, tenant, ret->session.id, tokens);
}

enum cw_err store_idp_commit(struct store *store, struct cw_str tenant,
                             const struct store_rotate *rotate,
                             const struct store_idp_tokens *tokens, struct cw_arena *arena,
                             struct store_rotated *ret_rotated)
{
    int64_t now = cw_clock_wall_ms(store->clock);
    return STORE_TRANSACTION(store->db, DB_DURABLE, tx,
                             commit_in(tx, tenant, rotate, tokens, now, arena, ret_rotated));
}

struct session_read {
    struct cw_arena *arena;
    struct store_session *session;
    bool found;
};

static enum cw_err read_session(void *ctx, const struct db_value *c, size_t n)
{
    struct session_read *read = ctx;
    ENSURE(n == 4, CW_INTERNAL);
    TRY(store_copy(read->arena, c[0].s, &read->session->id));
    TRY(store_copy(read->arena, c[1].s, &read->session->subject));
    TRY(store_copy(read->arena, c[2].s, &read->session->client_id));
    TRY(store_copy(read->arena, c[3].s, &read->session->scope));
    read->found = true;
    return CW_OK;
}

enum cw_err store_idp_session_of(struct store *store, struct cw_str tenant,
                                 struct cw_str token_name, struct cw_arena *arena,
                                 struct store_session *ret_session)
{
    const struct db_value args[] = {db_text(tenant), db_text(token_name),
                                    db_int(cw_clock_wall_ms(store->clock))};
    struct session_read read = {.arena = arena, .session = ret_session};
    *ret_session = (struct store_session){0};
    TRY(store_do(store, DB_LAZY, DB_IDP_TOKEN_SESSION, args, CW_ARRAY_SIZE(args), read_session,
                 &read, NULL));
    return read.found ? CW_OK : CW_NOT_FOUND;
}

enum cw_err store_idp_sealed(struct store *store, struct cw_str tenant, struct cw_str session_id,
                             struct cw_arena *arena, struct cw_str *ret_sealed)
{
    const struct db_value args[] = {db_text(tenant), db_text(session_id)};
    struct sealed_read read = {.arena = arena};
    TRY(store_do(store, DB_LAZY, DB_IDP_SEALED, args, CW_ARRAY_SIZE(args), read_sealed, &read,
                 NULL));
    *ret_sealed = read.sealed;
    return read.found ? CW_OK : CW_NOT_FOUND;
}

/* --- revocation ------------------------------------------------------------------------- */

struct token_list {
    struct cw_arena arena;
    struct {
        struct cw_str name;
        int64_t expires_at;
    } items[TOKENS_MAX];
    size_t n;
};

static enum cw_err read_token(void *ctx, const struct db_value *c, size_t n)
{
    struct token_list *list = ctx;
    ENSURE(n == 2 && list->n < TOKENS_MAX, CW_INTERNAL);
    TRY(store_copy(&list->arena, c[0].s, &list->items[list->n].name));
    list->items[list->n++].expires_at = c[1].i;
    return CW_OK;
}

enum cw_err store_revoke_idp_tokens(struct db_tx *tx, struct cw_str tenant,
                                    struct cw_str session_id, int64_t now)
{
    const struct db_value args[] = {db_text(tenant), db_text(session_id), db_int(now - LEEWAY_MS),
                                    db_int(TOKENS_MAX)};
    struct token_list list = {.arena = CW_ARENA_INIT(TOKENS_ARENA)};
    enum cw_err err =
        db_run(tx, DB_IDP_TOKEN_LIST, args, CW_ARRAY_SIZE(args), read_token, &list, NULL);
    for (size_t i = 0; err == CW_OK && i < list.n; i++) {
        err = store_revoke_token(tx, tenant, list.items[i].name,
                                 list.items[i].expires_at + LEEWAY_MS);
    }
    cw_arena_done(&list.arena);
    return err;
}
