/* Keeps the published keys of each tenant in memory, in front of the store. */
#include "authsvc/keys/keyring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 16 }; /* of a tenant: rotation keeps two or three */

struct key_set {
    char *tenant;
    uint64_t stamp; /* of its publication */
    size_t n;
    struct signing_key *keys[KEYS_MAX];
    struct signing_key *signer; /* one of them, borrowed */
};

struct keyring {
    struct store *store;
    struct kek *kek;
    pthread_rwlock_t lock; /* sets, n, cap and what they point to */
    struct key_set **sets; /* sorted by tenant */
    size_t n;
    size_t cap;
    uint64_t stamps; /* given out */
};

static void key_set_free(struct key_set *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        signing_key_unref(set->keys[i]);
    }
    free(set->tenant);
    free(set);
}

enum cw_err keyring_open(struct store *store, const char *kek_path, struct cw_buf *ret_message,
                         struct keyring **ret_ring)
{
    int64_t sealed_keys = 0;
    TRY(store_key_count(store, &sealed_keys));
    struct keyring *ring = calloc(1, sizeof(*ring));
    ENSURE(ring != NULL, CW_NO_MEMORY);
    ring->store = store;
    pthread_rwlock_init(&ring->lock, NULL);
    enum cw_err err = kek_open(kek_path, sealed_keys == 0, ret_message, &ring->kek);
    if (err != CW_OK) {
        keyring_free(ring);
        return err;
    }
    *ret_ring = ring;
    return CW_OK;
}

void keyring_free(struct keyring *ring)
{
    if (ring == NULL) {
        return;
    }
    for (size_t i = 0; i < ring->n; i++) {
        key_set_free(ring->sets[i]);
    }
    free(ring->sets);
    kek_free(ring->kek);
    pthread_rwlock_destroy(&ring->lock);
    free(ring);
}

const struct kek *keyring_kek(const struct keyring *ring)
{
    return ring->kek;
}

/* --- loading ---------------------------------------------------------------------------- */

struct loading {
    const struct kek *kek;
    struct cw_str tenant;
    const char *algorithm; /* the tenant's present one */
    struct key_set *set;
    struct cw_buf *message;
};

static enum cw_err load_key(void *ctx, const struct store_key *row)
{
    struct loading *loading = ctx;
    struct key_set *set = loading->set;
    if (set->n == KEYS_MAX) {
        cw_buf_addf(loading->message, "tenant %.*s has more than %d signing keys",
                    CW_STR_ARG(loading->tenant), KEYS_MAX);
        return CW_CONFIG_INVALID;
    }
    struct signing_key *key = NULL;
    enum cw_err err = signing_key_stored(loading->kek, loading->tenant, row->kid, row->algorithm,
                                         row->public_jwk, row->sealed, &key);
    if (err != CW_OK) {
        cw_buf_addf(loading->message, "the signing key %.*s of tenant %.*s %s",
                    CW_STR_ARG(row->kid), CW_STR_ARG(loading->tenant),
                    err == CW_CONFIG_INVALID ? "was sealed under another key-encryption key"
                                             : "cannot be opened");
        return err;
    }
    set->keys[set->n++] = key;
    if (cw_str_is(row->state, "active") &&
        strcmp(signing_key_algorithm(key), loading->algorithm) == 0) {
        set->signer = key; /* rows come oldest first */
    }
    return CW_OK;
}

static enum cw_err add_key(struct keyring *ring, struct cw_str tenant, struct signing_key *key)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(128 * 1024);
    TRY(signing_key_seal(key, ring->kek, tenant, &sealed));
    const struct store_key row = {
        .kid = cw_str(signing_key_kid(key)),
        .algorithm = cw_str(signing_key_algorithm(key)),
        .state = CW_STR("active"),
        .public_jwk = cw_str(signing_key_public_jwk(key)),
        .sealed = cw_buf_str(&sealed),
    };
    return store_key_add_first(ring->store, tenant, &row);
}

static enum cw_err make_first(struct keyring *ring, struct loading *loading, unsigned rsa_bits)
{
    ENSURE(loading->set->n < KEYS_MAX, CW_CONFIG_INVALID);
    struct signing_key *key = NULL;
    enum cw_err err = signing_key_generate(loading->algorithm, rsa_bits, &key);
    if (err == CW_OK) {
        err = add_key(ring, loading->tenant, key);
    }
    if (err == CW_CONFLICT) {
        signing_key_unref(key);
        return err; /* another process has made it: read it */
    }
    if (err != CW_OK) {
        cw_buf_addf(loading->message, "no signing key could be made for tenant %.*s (%s)",
                    CW_STR_ARG(loading->tenant), cw_err_code(err));
        signing_key_unref(key);
        return err;
    }
    loading->set->keys[loading->set->n++] = key;
    loading->set->signer = key;
    return CW_OK;
}

/* --- the sorted table ------------------------------------------------------------------- */

/* Where the tenant is or belongs. With the lock held. */
static size_t position(const struct keyring *ring, struct cw_str tenant, bool *ret_found)
{
    size_t low = 0;
    size_t high = ring->n;
    *ret_found = false;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        struct cw_str name = cw_str(ring->sets[mid]->tenant);
        int order = cw_str_order(name, tenant);
        if (order == 0) {
            *ret_found = true;
            return mid;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Takes the set, in any case. */
static enum cw_err publish(struct keyring *ring, struct key_set *set)
{
    enum cw_err err = CW_OK;
    struct key_set *old = NULL;
    pthread_rwlock_wrlock(&ring->lock);
    bool found = false;
    size_t at = position(ring, cw_str(set->tenant), &found);
    set->stamp = ++ring->stamps;
    if (found) {
        old = ring->sets[at];
        ring->sets[at] = set;
    } else if (ring->n == ring->cap) {
        size_t cap = ring->cap > 0 ? ring->cap * 2 : 8;
        struct key_set **sets = reallocarray(ring->sets, cap, sizeof(struct key_set *));
        if (sets == NULL) {
            err = CW_NO_MEMORY;
            old = set;
        } else {
            ring->sets = sets;
            ring->cap = cap;
        }
    }
    if (err == CW_OK && !found) {
        memmove(&ring->sets[at + 1], &ring->sets[at], (ring->n - at) * sizeof(struct key_set *));
        ring->sets[at] = set;
        ring->n++;
    }
    pthread_rwlock_unlock(&ring->lock);
    key_set_free(old);
    return err;
}

/* CW_CONFLICT: another process has made the first key meanwhile. */
static enum cw_err load_once(struct keyring *ring, struct cw_str tenant, const char *algorithm,
                             unsigned rsa_bits, struct cw_buf *ret_message)
{
    struct key_set *set = calloc(1, sizeof(*set));
    ENSURE(set != NULL, CW_NO_MEMORY);
    set->tenant = cw_str_dup(tenant);
    struct loading loading = {
        .kek = ring->kek,
        .tenant = tenant,
        .algorithm = algorithm,
        .set = set,
        .message = ret_message,
    };
    enum cw_err err = set->tenant == NULL ? CW_NO_MEMORY
                                          : store_key_list(ring->store, tenant, load_key, &loading);
    if (err == CW_OK && set->signer == NULL) {
        err = make_first(ring, &loading, rsa_bits);
    }
    if (err != CW_OK) {
        key_set_free(set);
        return err;
    }
    return publish(ring, set);
}

void keyring_forget(struct keyring *ring, struct cw_str tenant)
{
    struct key_set *old = NULL;
    pthread_rwlock_wrlock(&ring->lock);
    bool found = false;
    size_t at = position(ring, tenant, &found);
    if (found) {
        old = ring->sets[at];
        ring->n--;
        memmove(&ring->sets[at], &ring->sets[at + 1], (ring->n - at) * sizeof(struct key_set *));
    }
    pthread_rwlock_unlock(&ring->lock);
    key_set_free(old);
}

enum cw_err keyring_load(struct keyring *ring, struct cw_str tenant, const char *algorithm,
                         unsigned rsa_bits, struct cw_buf *ret_message)
{
    enum cw_err err = load_once(ring, tenant, algorithm, rsa_bits, ret_message);
    return err == CW_CONFLICT ? load_once(ring, tenant, algorithm, rsa_bits, ret_message) : err;
}

/* --- use -------------------------------------------------------------------------------- */

enum cw_err keyring_signer(struct keyring *ring, struct cw_str tenant, struct signing_key **ret_key)
{
    struct signing_key *key = NULL;
    pthread_rwlock_rdlock(&ring->lock);
    bool found = false;
    size_t at = position(ring, tenant, &found);
    if (found) {
        key = signing_key_ref(ring->sets[at]->signer);
    }
    pthread_rwlock_unlock(&ring->lock);
    ENSURE(found, CW_KEYS_UNAVAILABLE);
    enum cw_err err = signing_key_open(key); /* the first time it takes a while */
    if (err != CW_OK) {
        signing_key_unref(key);
        return err;
    }
    *ret_key = key;
    return CW_OK;
}

enum cw_err keyring_jwks(struct keyring *ring, struct cw_str tenant, struct cw_buf *ret_json)
{
    pthread_rwlock_rdlock(&ring->lock);
    bool found = false;
    size_t at = position(ring, tenant, &found);
    if (found) {
        const struct key_set *set = ring->sets[at];
        cw_buf_add_cstr(ret_json, "{\"keys\":[");
        for (size_t i = 0; i < set->n; i++) {
            cw_buf_add_cstr(ret_json, i > 0 ? "," : "");
            cw_buf_add_cstr(ret_json, signing_key_public_jwk(set->keys[i]));
        }
        cw_buf_add_cstr(ret_json, "]}");
    }
    pthread_rwlock_unlock(&ring->lock);
    ENSURE(found, CW_KEYS_UNAVAILABLE);
    return cw_buf_check(ret_json);
}

uint64_t keyring_stamp(struct keyring *ring, struct cw_str tenant)
{
    pthread_rwlock_rdlock(&ring->lock);
    bool found = false;
    size_t at = position(ring, tenant, &found);
    uint64_t stamp = found ? ring->sets[at]->stamp : 0;
    pthread_rwlock_unlock(&ring->lock);
    return stamp;
}
