/* Keeps the published keys of each tenant in memory, in front of the store. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/keys/keyring_impl.h"
#include "authsvc/keys/sealed.h"

enum { DAMAGED_TEXT_MAX = 64 * 1024 };

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

static enum cw_err open_keks(struct keyring *ring, const char *kek_path,
                             const struct keyring_options *options, struct cw_buf *ret_message)
{
    bool any = false;
    TRY(sealed_any(ring->store, &any));
    TRY(kek_open(kek_path, !any, ret_message, &ring->kek));
    for (size_t i = 0; i < options->n_other_kek_files; i++) {
        TRY(kek_add(ring->kek, options->other_kek_files[i], ret_message));
    }
    TRY(sealed_check(ring->store, ring->kek, ret_message, &ring->damaged));
    return keyring_open_secrets(ring, ret_message);
}

enum cw_err keyring_open(struct store *store, const char *kek_path,
                         const struct keyring_options *options, struct cw_buf *ret_message,
                         struct keyring **ret_ring)
{
    uint64_t version = 0;
    TRY(store_key_version(store, &version)); /* whatever is loaded is newer */
    struct keyring *ring = calloc(1, sizeof(*ring));
    ENSURE(ring != NULL, CW_NO_MEMORY);
    ring->store = store;
    ring->options = (struct keyring_options){options->policy, options->rsa_bits, NULL, 0};
    ring->seen = version;
    ring->damaged = (struct cw_buf)CW_BUF_INIT(DAMAGED_TEXT_MAX);
    pthread_rwlock_init(&ring->lock, NULL);
    pthread_mutex_init(&ring->following, NULL);
    enum cw_err err = open_keks(ring, kek_path, options, ret_message);
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
    cw_buf_done(&ring->damaged);
    sodium_free(ring->secrets); /* wipes; takes NULL */
    kek_free(ring->kek);
    pthread_mutex_destroy(&ring->following);
    pthread_rwlock_destroy(&ring->lock);
    free(ring);
}

const struct kek *keyring_kek(const struct keyring *ring)
{
    return ring->kek;
}

struct cw_str keyring_damaged(const struct keyring *ring)
{
    return cw_buf_str(&ring->damaged);
}

/* --- the sorted table ------------------------------------------------------------------- */

size_t keyring_position(const struct keyring *ring, struct cw_str tenant, bool *ret_found)
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

/* With the lock held. */
static enum cw_err insert(struct keyring *ring, size_t at, struct key_set *set)
{
    if (ring->n == ring->cap) {
        size_t cap = ring->cap > 0 ? ring->cap * 2 : 8;
        struct key_set **sets = reallocarray(ring->sets, cap, sizeof(struct key_set *));
        ENSURE(sets != NULL, CW_NO_MEMORY);
        ring->sets = sets;
        ring->cap = cap;
    }
    memmove(&ring->sets[at + 1], &ring->sets[at], (ring->n - at) * sizeof(struct key_set *));
    ring->sets[at] = set;
    ring->n++;
    return CW_OK;
}

/* Takes the set, in any case. Of two that were read at once, the newer stays. */
static enum cw_err publish(struct keyring *ring, struct key_set *set)
{
    enum cw_err err = CW_OK;
    struct key_set *old = NULL;
    bool found = false;
    pthread_rwlock_wrlock(&ring->lock);
    size_t at = keyring_position(ring, cw_str(set->tenant), &found);
    if (found && ring->sets[at]->version >= set->version) {
        old = set; /* the same, or older: each change of a key numbers its tenant anew */
    } else if (found) {
        old = ring->sets[at];
        ring->sets[at] = set;
    } else {
        err = insert(ring, at, set);
        old = err != CW_OK ? set : NULL;
    }
    if (old != set) {
        set->stamp = ++ring->stamps;
    }
    pthread_rwlock_unlock(&ring->lock);
    key_set_free(old);
    return err;
}

void keyring_forget(struct keyring *ring, struct cw_str tenant)
{
    struct key_set *old = NULL;
    pthread_rwlock_wrlock(&ring->lock);
    bool found = false;
    size_t at = keyring_position(ring, tenant, &found);
    if (found) {
        old = ring->sets[at];
        ring->n--;
        memmove(&ring->sets[at], &ring->sets[at + 1], (ring->n - at) * sizeof(struct key_set *));
    }
    pthread_rwlock_unlock(&ring->lock);
    key_set_free(old);
}

/* --- reading ---------------------------------------------------------------------------- */

struct reading {
    struct keyring *ring;
    struct cw_str tenant;
    struct key_set *set;
    struct cw_buf *message;
};

/* One that is here already need not be opened again: its name is the thumbprint of its numbers. */
static struct signing_key *known_key(struct keyring *ring, struct cw_str tenant, struct cw_str kid)
{
    struct signing_key *key = NULL;
    bool found = false;
    pthread_rwlock_rdlock(&ring->lock);
    size_t at = keyring_position(ring, tenant, &found);
    for (size_t i = 0; found && key == NULL && i < ring->sets[at]->n; i++) {
        struct signing_key *candidate = ring->sets[at]->keys[i];
        key = cw_str_is(kid, signing_key_kid(candidate)) ? signing_key_ref(candidate) : NULL;
    }
    pthread_rwlock_unlock(&ring->lock);
    return key;
}

static enum cw_err open_row(const struct reading *r, const struct store_key *row,
                            struct signing_key **ret_key)
{
    *ret_key = known_key(r->ring, r->tenant, row->kid);
    if (*ret_key != NULL) {
        return CW_OK;
    }
    enum cw_err err = signing_key_stored(r->ring->kek, r->tenant, row->kid, row->algorithm,
                                         row->public_jwk, row->sealed, ret_key);
    if (err != CW_OK) {
        cw_buf_addf(r->message, "the signing key %.*s of tenant %.*s %s", CW_STR_ARG(row->kid),
                    CW_STR_ARG(r->tenant),
                    err == CW_CONFIG_INVALID ? "was sealed under another key-encryption key"
                                             : "cannot be opened");
    }
    return err;
}

static enum cw_err read_row(void *ctx, const struct store_key *row)
{
    const struct reading *r = ctx;
    struct key_set *set = r->set;
    if (set->n == STORE_KEYS_MAX) {
        cw_buf_addf(r->message, "tenant %.*s has more than %d signing keys", CW_STR_ARG(r->tenant),
                    STORE_KEYS_MAX);
        return CW_CONFIG_INVALID;
    }
    TRY(open_row(r, row, &set->keys[set->n]));
    set->times[set->n] = (struct key_times){row->active_at, row->life_ms};
    set->created_at[set->n] = row->created_at;
    set->told_retired[set->n] = cw_str_is(row->state, "retired");
    set->told_active[set->n] = set->told_retired[set->n] || cw_str_is(row->state, "active");
    set->version = row->version;
    set->n++;
    return CW_OK;
}

enum cw_err keyring_read(struct keyring *ring, struct cw_str tenant, struct cw_buf *ret_message,
                         size_t *ret_n)
{
    struct key_set *set = calloc(1, sizeof(*set));
    ENSURE(set != NULL, CW_NO_MEMORY);
    set->tenant = cw_str_dup(tenant);
    struct reading reading = {.ring = ring, .tenant = tenant, .set = set, .message = ret_message};
    enum cw_err err = set->tenant == NULL ? CW_NO_MEMORY
                                          : store_key_list(ring->store, tenant, read_row, &reading);
    *ret_n = set->n;
    if (err != CW_OK || set->n == 0) {
        key_set_free(set);
        return err;
    }
    return publish(ring, set);
}

/* With the lock held. */
static void look_at(const struct key_set *set, struct keyring_view *view)
{
    view->n = set->n;
    for (size_t i = 0; i < set->n; i++) {
        view->times[i] = set->times[i];
        view->created_at[i] = set->created_at[i];
        view->told_active[i] = set->told_active[i];
        view->told_retired[i] = set->told_retired[i];
        strncpy(view->algorithms[i], signing_key_algorithm(set->keys[i]),
                sizeof(view->algorithms[i]) - 1);
        memcpy(view->kids[i], signing_key_kid(set->keys[i]), SIGNING_KEY_KID_SIZE);
    }
}

void keyring_look(struct keyring *ring, struct cw_str tenant, struct keyring_view *ret_view)
{
    bool found = false;
    *ret_view = (struct keyring_view){0};
    pthread_rwlock_rdlock(&ring->lock);
    size_t at = keyring_position(ring, tenant, &found);
    if (found) {
        look_at(ring->sets[at], ret_view);
    }
    pthread_rwlock_unlock(&ring->lock);
}

/* --- use -------------------------------------------------------------------------------- */

enum cw_err keyring_signer(struct keyring *ring, struct cw_str tenant, struct signing_key **ret_key)
{
    struct signing_key *key = NULL;
    int64_t now = cw_clock_wall_ms(store_clock(ring->store));
    pthread_rwlock_rdlock(&ring->lock);
    bool found = false;
    size_t at = keyring_position(ring, tenant, &found);
    if (found) {
        const struct key_set *set = ring->sets[at];
        key = signing_key_ref(set->keys[key_signer(set->times, set->n, now)]);
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
    size_t at = keyring_position(ring, tenant, &found);
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

enum cw_err keyring_algorithms(struct keyring *ring, struct cw_str tenant, struct cw_buf *ret_json)
{
    struct keyring_view view;
    keyring_look(ring, tenant, &view);
    ENSURE(view.n > 0, CW_KEYS_UNAVAILABLE);
    for (size_t i = 0; i < view.n; i++) {
        bool told = false;
        for (size_t k = 0; k < i; k++) {
            told = told || strcmp(view.algorithms[i], view.algorithms[k]) == 0;
        }
        if (!told) {
            cw_buf_addf(ret_json, "%s\"%s\"", i > 0 ? "," : "", view.algorithms[i]);
        }
    }
    return cw_buf_check(ret_json);
}

uint64_t keyring_stamp(struct keyring *ring, struct cw_str tenant)
{
    pthread_rwlock_rdlock(&ring->lock);
    bool found = false;
    size_t at = keyring_position(ring, tenant, &found);
    uint64_t stamp = found ? ring->sets[at]->stamp : 0;
    pthread_rwlock_unlock(&ring->lock);
    return stamp;
}
