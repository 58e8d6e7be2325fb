/* What chains.c and redeemer.c share. */
#ifndef AUTHSVC_STORE_CHAINS_IMPL_H
#define AUTHSVC_STORE_CHAINS_IMPL_H

#include "authsvc/store/store_impl.h"

/* What is read of a chain, and where it goes. */
struct store_family_read {
    const struct store_rotate *rotate; /* for store_family_read_all */
    struct cw_arena *arena;
    struct store_rotated *rotated;
    uint8_t previous_hash[STORE_HASH_SIZE];
    bool has_previous;
    int64_t rotated_at;
    bool ended;
    bool found;
    enum cw_err err; /* of store_family_read_all */
};

/* A row of FAMILY_GET_ALL; ctx is a struct store_family_read. CW_OK always: an error is kept, since
 * it is none of the other refreshes in this transaction. */
CW_MUST_USE enum cw_err store_family_read_all(void *ctx, const struct db_value *columns, size_t n);

enum { STORE_MOVE_ARGS = 8, STORE_MOVE_CALLS = 2 };

/* The statements of a refresh: none needs a row of another, so that they can travel together. */
struct store_move {
    struct db_value move[STORE_MOVE_ARGS];
    struct db_value use[5];
    int64_t moved;
    int64_t used;
    int64_t now;
    struct store_family_read read;
};

/* The second one reads what is there once the first has the chain for itself. */
void store_move_calls(struct store_move *move, struct db_call calls[STORE_MOVE_CALLS]);

/* Runs them in one transaction, together with those of other threads. Their arguments are
 * texts where they should be (db_texts_are_text). All errors of a transaction. */
CW_MUST_USE enum cw_err store_redeem(struct store *store, struct store_move *move);

#endif
