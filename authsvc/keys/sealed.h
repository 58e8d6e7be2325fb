/* Everything that is sealed in the database, in one table; and the way of it all from former
 * key-encryption keys to the current one. */
#ifndef AUTHSVC_KEYS_SEALED_H
#define AUTHSVC_KEYS_SEALED_H

#include "authsvc/keys/seal.h"
#include "authsvc/store/store.h"

/* What a sealed value is bound to, as seal() and seal_open() take it, appended: it opens in its own
 * row only. Parts that the kind has not are empty. */
CW_MUST_USE enum cw_err sealed_context(enum store_sealed_kind kind, struct cw_str tenant,
                                       struct cw_str id, struct cw_str detail,
                                       struct cw_buf *context);
/* "signing-key": for people and programs. */
const char *sealed_kind_name(enum store_sealed_kind kind);

/* seal() and seal_open() of one value of the table. CW_SEALED_UNREADABLE: damaged, moved from
 * another row, or sealed under a KEK that is not here. */
CW_MUST_USE enum cw_err sealed_make(const struct kek *kek, enum store_sealed_kind kind,
                                    struct cw_str tenant, struct cw_str id, struct cw_str plain,
                                    struct cw_buf *ret_sealed);
CW_MUST_USE enum cw_err sealed_open(const struct kek *kek, enum store_sealed_kind kind,
                                    struct cw_str tenant, struct cw_str id, struct cw_str sealed,
                                    struct cw_secret *ret_plain);

/* --- by key ----------------------------------------------------------------------------- */

/* How much depends on one KEK. */
struct sealed_use {
    uint8_t id[KEK_ID_SIZE];
    bool known; /* to this process; else what is sealed under it cannot be opened here */
    bool real;  /* there is or was such a KEK; else damaged values name it */
    int64_t values[STORE_SEALED_KINDS];
};

/* Those that are configured, the current one first, and behind them those that values name beside.
 * Counts all values: for an operator, not for every second. The list is freed by the caller. */
CW_MUST_USE enum cw_err sealed_count(struct store *store, const struct kek *kek,
                                     struct sealed_use **ret_list, size_t *ret_n);
/* Whether anything is sealed at all. */
CW_MUST_USE enum cw_err sealed_any(struct store *store, bool *ret_any);
/* CW_CONFIG_INVALID, with a sentence: a value that lasts (no login that waits for its second
 * factor) depends on a KEK that is not here. Looks at ids only, by an index. Rows of single users
 * that name a KEK which there never was are damaged and concern nobody else: the first of them are
 * named in ret_damaged ("totp clinicwave/anna, …"), appended. Notes the KEKs that are here. */
CW_MUST_USE enum cw_err sealed_check(struct store *store, const struct kek *kek,
                                     struct cw_buf *ret_message, struct cw_buf *ret_damaged);
/* The KEK of the first value there is, signing keys first; what the store has derived from KEKs
 * before it kept secrets of its own (keyring.c). CW_NOT_FOUND. */
CW_MUST_USE enum cw_err sealed_first(struct store *store, uint8_t ret_id[KEK_ID_SIZE]);

struct resealed {
    int64_t values; /* now under the current KEK */
    int64_t failed; /* damaged: they stay as they are */
    bool done;      /* everything was looked at */
};

/* Brings at most `max` values under the current KEK, in one transaction, from where `place` says:
 * an empty one begins, and it is what to go on with afterwards. A value that changes meanwhile is
 * left alone. Whatever happens in between, each value is sealed under the one or the other. */
CW_MUST_USE enum cw_err sealed_reseal(struct store *store, const struct kek *kek, size_t max,
                                      struct cw_buf *place, struct resealed *ret_resealed);

#endif
