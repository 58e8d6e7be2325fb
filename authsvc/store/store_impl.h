/* What the store's own files share. */
#ifndef AUTHSVC_STORE_STORE_IMPL_H
#define AUTHSVC_STORE_STORE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "authsvc/store/db.h"
#include "authsvc/store/store.h"

struct store_redemption;

/* Refreshes that wait to be redeemed in one transaction (redeemer.c). */
struct store_redeemer {
    pthread_mutex_t lock; /* all below */
    struct store_redemption *first;
    struct store_redemption **last; /* where the next one is put */
    unsigned leading;               /* transactions under way */
    unsigned leading_max;           /* unless somebody has lost patience */
    unsigned leading_cap;           /* whatever the patience: others need connections, too */
    char lock_wait[24];             /* ms, as text; empty: there are no rows to wait for */
};
void store_redeemer_init(struct store_redeemer *q, const struct db *db);
void store_redeemer_done(struct store_redeemer *q);

struct store {
    struct db *db;
    struct store_redeemer redeemer;
    const struct cw_clock *clock;
    void (*changed)(void *ctx, enum store_topic topic);
    void *changed_ctx;
    void (*told)(void *ctx, const char *operation, const char *message); /* may be NULL */
    void *told_ctx;
    atomic_bool failed; /* something did, and nothing was written by store_check since */
};

enum { STORE_TRIES = 4 }; /* of a transaction that the database ended to break a deadlock */

/* Before the next try: the winner needs a moment to take what was let go. */
void store_pause(int tries);

/* BODY, an expression that uses `tx`, as one transaction: begun, ended, and done again where the
 * database asks for that. So it must not leave anything behind when it fails. */
#define STORE_TRANSACTION(db, durability, tx, body)                                                \
    ({                                                                                             \
        enum cw_err err_ = CW_STORE_CONTENDED;                                                     \
        for (int try_ = 0; try_ < STORE_TRIES && err_ == CW_STORE_CONTENDED; try_++) {             \
            store_pause(try_);                                                                     \
            struct db_tx *tx = NULL;                                                               \
            err_ = db_begin(db, durability, &(tx));                                                \
            if (err_ == CW_OK) {                                                                   \
                err_ = db_end(tx, body);                                                           \
            }                                                                                      \
        }                                                                                          \
        err_;                                                                                      \
    })

/* One statement as one transaction. */
CW_MUST_USE enum cw_err store_do(struct store *store, enum db_durability durability,
                                 enum db_statement statement, const struct db_value *args, size_t n,
                                 db_row_fn *row, void *ctx, int64_t *ret_changes);
/* Several as one. */
CW_MUST_USE enum cw_err store_do_all(struct store *store, enum db_durability durability,
                                     const struct db_call *calls, size_t n);
CW_MUST_USE enum cw_err store_copy(struct cw_arena *arena, struct cw_str s,
                                   struct cw_str *ret_copy);

/* Reads a row of USER_BY_*; ctx is a struct store_user_read. */
struct store_user_read {
    struct cw_arena *arena;
    struct store_user *user;
    bool found;
};
CW_MUST_USE enum cw_err store_user_read_row(void *ctx, const struct db_value *columns, size_t n);

/* Why a user who was let in may not go on by now; CW_CREDENTIALS_INVALID where nothing else is
 * wrong: the password was changed. */
CW_MUST_USE enum cw_err store_user_refused(struct db_tx *tx, struct cw_str tenant,
                                           struct cw_str subject);
/* store_session_start, store_refresh_rotate inside of a transaction. */
CW_MUST_USE enum cw_err store_session_start_in(struct db_tx *tx, struct cw_str tenant,
                                               const struct store_session *session,
                                               const struct store_family *family, int64_t cap);
CW_MUST_USE enum cw_err store_rotate_in(struct db_tx *tx, struct cw_str tenant,
                                        const struct store_rotate *rotate, struct cw_arena *arena,
                                        int64_t now, struct store_rotated *ret_rotated);
/* store_session_end inside of a transaction. */
CW_MUST_USE enum cw_err store_session_end_in(struct db_tx *tx, struct cw_str tenant,
                                             struct cw_str id, int64_t now, const char *reason);
/* What a refresh token is, without redeeming it: DONE where it is the family's present one. */
CW_MUST_USE enum cw_err store_family_judge_in(struct db_tx *tx, struct cw_str tenant,
                                              const struct store_rotate *rotate,
                                              struct cw_arena *arena, int64_t now,
                                              struct store_rotated *ret_rotated);
/* Adds the revocation of one access token to the feed. */
CW_MUST_USE enum cw_err store_revoke_token(struct db_tx *tx, struct cw_str tenant,
                                           struct cw_str name, int64_t expires_at);
/* Revokes the access tokens that a session was given by its identity provider. */
CW_MUST_USE enum cw_err store_revoke_idp_tokens(struct db_tx *tx, struct cw_str tenant,
                                                struct cw_str session_id, int64_t now);

/* In the transaction that ends the session: its tokens count no more. */
CW_MUST_USE enum cw_err store_revoke_session(struct db_tx *tx, struct cw_str tenant,
                                             struct cw_str id, int64_t now);
/* Bytes of session ids of one statement: of all that a user may have (sessions-max). */
enum { STORE_IDS_MAX = 512 * 1024 };
/* A db_row_fn that collects the column id; ctx is a struct cw_buf of STORE_IDS_MAX. */
CW_MUST_USE enum cw_err store_collect_id(void *ctx, const struct db_value *columns, size_t n);
/* In the transaction that has ended the sessions that were collected: their tokens count no more.
 */
CW_MUST_USE enum cw_err store_revoke_sessions(struct db_tx *tx, struct cw_str tenant,
                                              const struct cw_buf *ids, int64_t now);
/* Ends and revokes all that a statement with RETURNING id ends. */
CW_MUST_USE enum cw_err store_end_sessions(struct db_tx *tx, enum db_statement statement,
                                           const struct db_value *args, size_t n,
                                           struct cw_str tenant, int64_t now);
/* All of a user's sessions. */
CW_MUST_USE enum cw_err store_end_user_sessions(struct db_tx *tx, struct cw_str tenant,
                                                struct cw_str username, const char *reason,
                                                int64_t now);

#endif
