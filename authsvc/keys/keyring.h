/* The signing keys of all tenants, in memory. A tenant's keys are published (JWKS) from the moment
 * they are made until the last token that they signed is over; which one signs follows from the
 * instants in their rows and the store's clock (schedule.h), in every process alike. Any thread may
 * call anything here; what makes a key blocks for up to seconds. */
#ifndef AUTHSVC_KEYS_KEYRING_H
#define AUTHSVC_KEYS_KEYRING_H

#include "authsvc/keys/schedule.h"
#include "authsvc/keys/signing_key.h"
#include "authsvc/store/store.h"

struct keyring;

struct keyring_options {
    struct key_policy policy;
    unsigned rsa_bits; /* of new RSA keys */
    /* KEKs beside the current one, which open what was sealed under them; read by keyring_open. */
    char *const *other_kek_files;
    size_t n_other_kek_files;
};

/* What a tenant's settings ask of its keys. */
struct keyring_want {
    const char *algorithm; /* of the next key */
    int64_t life_ms;       /* the longest that a token may live */
};

/* Opens the current KEK (made at first start, required when something is sealed already) and the
 * others, sees that nothing is sealed under one that is not here (but for damaged rows of single
 * users, see keyring_damaged), and keeps `store`, borrowed. On
 * failure ret_message has a sentence for people. */
CW_MUST_USE enum cw_err keyring_open(struct store *store, const char *kek_path,
                                     const struct keyring_options *options,
                                     struct cw_buf *ret_message, struct keyring **ret_ring);
void keyring_free(struct keyring *ring);

/* Loads the tenant's keys; makes and stores the first one where there is none, active at once.
 * Where the newest is of another algorithm than wanted, its successor is made. */
CW_MUST_USE enum cw_err keyring_load(struct keyring *ring, struct cw_str tenant,
                                     const struct keyring_want *want, struct cw_buf *ret_message);
/* The tenant is gone, and its keys with it. */
void keyring_forget(struct keyring *ring, struct cw_str tenant);

/* --- rotation --------------------------------------------------------------------------- */

/* One key of a list; borrowed. Times are Unix milliseconds. */
struct keyring_entry {
    struct cw_str kid;
    struct cw_str algorithm;
    enum key_state state;
    int64_t created_at;
    int64_t active_at;
    int64_t changed_at; /* when it came into its state */
    int64_t over_at;    /* 0: it has no successor yet */
};

/* Calls `each` per key of the tenant, in the order in which they sign. Reads the store. */
CW_MUST_USE enum cw_err
keyring_list(struct keyring *ring, struct cw_str tenant,
             enum cw_err (*each)(void *ctx, const struct keyring_entry *entry), void *ctx);

/* The tenant's next key: made, unless it is there already and waits for its turn. CW_CONFLICT: too
 * many keys are still published, with a sentence in the message. */
CW_MUST_USE enum cw_err keyring_rotate(struct keyring *ring, struct cw_str tenant,
                                       const struct keyring_want *want, struct cw_buf *ret_message);
/* All keys of the tenant go, and a new one signs, at once. */
CW_MUST_USE enum cw_err keyring_withdraw(struct keyring *ring, struct cw_str tenant,
                                         const struct keyring_want *want, int64_t *ret_withdrawn,
                                         struct cw_buf *ret_message);

/* Reads the keys that other processes have changed. ret_changed: some were. */
CW_MUST_USE enum cw_err keyring_follow(struct keyring *ring, bool *ret_changed,
                                       struct cw_buf *ret_message);
/* The first tenant behind `after`, by name, with whose keys something is to be done by now (see
 * keyring_advance), appended; false: none. Looks at memory only. */
bool keyring_due(struct keyring *ring, struct cw_str after, bool remove, struct cw_buf *ret_tenant);
/* Notes what has become active or retired, with `remove` deletes what is over, makes the next key
 * where the newest has served its time. ret_changed: published keys are others than before. */
CW_MUST_USE enum cw_err keyring_advance(struct keyring *ring, struct cw_str tenant,
                                        const struct keyring_want *want, bool remove,
                                        bool *ret_changed, struct cw_buf *ret_message);

/* How old keys are, over all tenants. Ages are milliseconds. */
struct keyring_survey {
    size_t tenants;
    int64_t age_ms;       /* of the key that has signed for longest; -1: there is none */
    struct cw_buf tenant; /* whose it is; the caller's */
    size_t pending;
    size_t retired;
    size_t overdue;               /* tenants whose key should have a successor by now */
    struct cw_buf overdue_tenant; /* of them, the one that has been so for longest; the caller's */
    int64_t rotate_after_ms;
};
/* Looks at memory only, at the tenants that `counts` is true of (NULL: all; called with the ring's
 * lock held): one whose identity provider signs by now may still have keys here. The buffers of
 * ret_survey are initialised by the caller. */
CW_MUST_USE enum cw_err keyring_look_over(struct keyring *ring,
                                          bool (*counts)(void *ctx, struct cw_str tenant),
                                          void *ctx, struct keyring_survey *ret_survey);

/* --- use -------------------------------------------------------------------------------- */

/* The key that signs; one reference to the caller. CW_KEYS_UNAVAILABLE: the tenant has none. */
CW_MUST_USE enum cw_err keyring_signer(struct keyring *ring, struct cw_str tenant,
                                       struct signing_key **ret_key);
/* The tenant's JWK Set (RFC 7517 §5), appended. CW_KEYS_UNAVAILABLE as above. */
CW_MUST_USE enum cw_err keyring_jwks(struct keyring *ring, struct cw_str tenant,
                                     struct cw_buf *ret_json);
/* The algorithms of its published keys, as members of a JSON array, appended. */
CW_MUST_USE enum cw_err keyring_algorithms(struct keyring *ring, struct cw_str tenant,
                                           struct cw_buf *ret_json);
/* Another number whenever the tenant's keys are others than before; 0 where it has none. */
uint64_t keyring_stamp(struct keyring *ring, struct cw_str tenant);
/* Rows of single users that name no KEK that there ever was, as sealed_check names them, found when
 * the ring was opened; empty: none. Borrowed from the ring. */
struct cw_str keyring_damaged(const struct keyring *ring);
/* The KEKs that the ring was opened with. */
const struct kek *keyring_kek(const struct keyring *ring);

/* Keys of 32 bytes of cw-authsvc itself, the same for all of its processes and whatever the KEK:
 * they lie in the database, sealed. */
enum keyring_secret {
    KEYRING_REFRESH_TOKENS = 0, /* makes successors (authsvc/token/refresh.h) */
    KEYRING_RECOVERY_CODES,     /* hashes them */
    KEYRING_SECRETS
};
enum { KEYRING_SECRET_SIZE = 32 };
/* Borrowed from the ring. */
const uint8_t *keyring_secret(const struct keyring *ring, enum keyring_secret secret);

#endif
