/* What the files of the keyring share. */
#ifndef AUTHSVC_KEYS_KEYRING_IMPL_H
#define AUTHSVC_KEYS_KEYRING_IMPL_H

#include <pthread.h>

#include "authsvc/keys/keyring.h"

/* A tenant's keys as they were read once; immutable but for what publish sets. */
struct key_set {
    char *tenant;
    uint64_t version; /* of the rows */
    uint64_t stamp;   /* of its publication */
    size_t n;
    struct signing_key *keys[STORE_KEYS_MAX]; /* references, in the order of active_at */
    struct key_times times[STORE_KEYS_MAX];
    int64_t created_at[STORE_KEYS_MAX];
    bool told_active[STORE_KEYS_MAX]; /* the row says so, or that it is retired */
    bool told_retired[STORE_KEYS_MAX];
};

struct keyring {
    struct store *store;
    struct kek *kek;
    struct cw_buf damaged; /* what of single users could not be opened at the start */
    uint8_t (*secrets)[KEYRING_SECRET_SIZE]; /* KEYRING_SECRETS, in locked memory */
    struct keyring_options options;
    pthread_rwlock_t lock; /* sets, n, cap and what they point to */
    struct key_set **sets; /* sorted by tenant */
    size_t n;
    size_t cap;
    uint64_t stamps; /* given out */
    pthread_mutex_t following;
    uint64_t seen; /* the newest change that was followed */
};

/* Opens cw-authsvc's own secrets; makes those that are missing. Once, at the start. */
CW_MUST_USE enum cw_err keyring_open_secrets(struct keyring *ring, struct cw_buf *ret_message);

/* Where the tenant is or belongs. With the lock held. */
size_t keyring_position(const struct keyring *ring, struct cw_str tenant, bool *ret_found);
/* Reads the tenant's keys and publishes them, unless newer ones are there. ret_n: how many. */
CW_MUST_USE enum cw_err keyring_read(struct keyring *ring, struct cw_str tenant,
                                     struct cw_buf *ret_message, size_t *ret_n);

/* What there is, to decide by: taken out of the lock. */
struct keyring_view {
    size_t n; /* 0: the tenant has no keys in memory */
    struct key_times times[STORE_KEYS_MAX];
    char algorithms[STORE_KEYS_MAX][8];
    char kids[STORE_KEYS_MAX][SIGNING_KEY_KID_SIZE];
    bool told_active[STORE_KEYS_MAX];
    bool told_retired[STORE_KEYS_MAX];
    int64_t created_at[STORE_KEYS_MAX];
};
void keyring_look(struct keyring *ring, struct cw_str tenant, struct keyring_view *ret_view);

#endif
