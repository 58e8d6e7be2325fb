/* Three leaking buckets an attempt: account and address, address, tenant. A right password empties
 * the first and takes the attempt out of the others, so only failures count. */
#include "authsvc/login/throttle.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct throttle {
    struct store *store;
    struct login_limits limits;
    pthread_mutex_t lock; /* running, ended */
    pthread_cond_t changed;
    struct throttle_attempt *running; /* let in or trying to be, not yet ended */
    uint64_t ended;                   /* so many that had been let in have */
};

enum cw_err throttle_new(struct store *store, const struct login_limits *limits,
                         struct throttle **ret_throttle)
{
    struct throttle *throttle = calloc(1, sizeof(*throttle));
    ENSURE(throttle != NULL, CW_NO_MEMORY);
    throttle->store = store;
    throttle->limits = *limits;
    pthread_mutex_init(&throttle->lock, NULL);
    pthread_cond_init(&throttle->changed, NULL);
    *ret_throttle = throttle;
    return CW_OK;
}

void throttle_free(struct throttle *throttle)
{
    if (throttle != NULL) {
        pthread_cond_destroy(&throttle->changed);
        pthread_mutex_destroy(&throttle->lock);
        free(throttle);
    }
}

/* Who holds one IPv6 address holds its /64. Writes at most 16 bytes. */
static size_t address_key(struct cw_str address, uint8_t ret_key[16])
{
    char text[INET6_ADDRSTRLEN];
    if (address.n > 0 && address.n < sizeof(text)) {
        memcpy(text, address.p, address.n);
        text[address.n] = '\0';
        if (inet_pton(AF_INET, text, ret_key) == 1) {
            return 4;
        }
        if (inet_pton(AF_INET6, text, ret_key) == 1) {
            return 8;
        }
    }
    return 0; /* unknown addresses share one bucket */
}

static void hash_key(struct cw_str a, const uint8_t *b, size_t n, uint8_t ret_key[STORE_HASH_SIZE])
{
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, (const uint8_t *)a.p, a.n);
    crypto_hash_sha256_update(&state, (const uint8_t *)"", 1);
    crypto_hash_sha256_update(&state, b, n);
    crypto_hash_sha256_final(&state, ret_key);
}

static void fill(const struct throttle *throttle, enum throttle_what what, struct cw_str username,
                 struct cw_str address, struct throttle_attempt *attempt)
{
    uint8_t from[16];
    size_t n = address_key(address, from);
    const struct login_limits *l = &throttle->limits;
    const struct row {
        const char *dimension;
        const struct login_bucket *limit;
    } first[] = {
        [THROTTLE_LOGIN] = {"account-address", &l->account},
        [THROTTLE_MFA] = {"mfa", &l->mfa},
        [THROTTLE_RESET] = {"reset", &l->account},
    };
    const struct row rows[THROTTLE_BUCKETS] = {
        first[what], {"address", &l->address}, {"tenant", &l->tenant}};
    for (size_t i = 0; i < THROTTLE_BUCKETS; i++) {
        attempt->buckets[i] = (struct store_bucket){
            .dimension = rows[i].dimension,
            .burst = rows[i].limit->burst,
            .leak_per_minute = rows[i].limit->per_minute,
        };
    }
    hash_key(username, from, what == THROTTLE_MFA ? 0 : n, attempt->buckets[0].key);
    hash_key(CW_STR(""), from, n, attempt->buckets[1].key);
    hash_key(CW_STR(""), from, 0, attempt->buckets[2].key);
}

/* With the lock held: whether a running attempt shares one of these buckets. */
static bool shares(const struct throttle *throttle, const struct throttle_attempt *attempt)
{
    for (const struct throttle_attempt *r = throttle->running; r != NULL; r = r->next) {
        for (size_t i = 0; i < THROTTLE_BUCKETS && cw_str_eq(r->tenant, attempt->tenant); i++) {
            if (memcmp(r->buckets[i].key, attempt->buckets[i].key, STORE_HASH_SIZE) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* With the lock held. */
static void leave(struct throttle *throttle, struct throttle_attempt *attempt)
{
    struct throttle_attempt **at = &throttle->running;
    while (*at != attempt) {
        at = &(*at)->next;
    }
    *at = attempt->next;
    pthread_cond_broadcast(&throttle->changed);
}

/* One try. CW_THROTTLED comes after waiting for an attempt that stood in the way, with *ret_again
 * set, or where none does. */
static enum cw_err try_once(struct throttle *throttle, struct throttle_attempt *attempt,
                            int64_t *ret_wait_ms, bool *ret_again)
{
    pthread_mutex_lock(&throttle->lock);
    uint64_t seen = throttle->ended;
    attempt->next = throttle->running; /* before the database lets it in: nobody may miss it */
    throttle->running = attempt;
    pthread_mutex_unlock(&throttle->lock);

    enum cw_err err = store_throttle_take(throttle->store, attempt->tenant, attempt->buckets,
                                          THROTTLE_BUCKETS, ret_wait_ms);
    if (err == CW_OK) {
        return CW_OK;
    }
    pthread_mutex_lock(&throttle->lock);
    leave(throttle, attempt);
    *ret_again = shares(throttle, attempt) || throttle->ended != seen;
    while (shares(throttle, attempt) && throttle->ended == seen) {
        pthread_cond_wait(&throttle->changed, &throttle->lock);
    }
    pthread_mutex_unlock(&throttle->lock);
    return err;
}

enum cw_err throttle_begin(struct throttle *throttle, enum throttle_what what, struct cw_str tenant,
                           struct cw_str username, struct cw_str address,
                           struct throttle_attempt *attempt, int64_t *ret_wait_ms)
{
    *attempt = (struct throttle_attempt){.tenant = tenant};
    fill(throttle, what, username, address, attempt);
    bool again = false;
    enum cw_err err;
    do {
        again = false;
        err = try_once(throttle, attempt, ret_wait_ms, &again);
    } while (err == CW_THROTTLED && again);
    return err;
}

void throttle_end(struct throttle *throttle, struct throttle_attempt *attempt,
                  enum throttle_verdict verdict)
{
    if (verdict != THROTTLE_WRONG) {
        /* A database that fails here costs the account an attempt, which leaks away. */
        enum cw_err err = store_throttle_give(throttle->store, attempt->tenant, attempt->buckets,
                                              THROTTLE_BUCKETS, verdict == THROTTLE_RIGHT);
        (void)err;
    }
    pthread_mutex_lock(&throttle->lock);
    throttle->ended++;
    leave(throttle, attempt);
    pthread_mutex_unlock(&throttle->lock);
}
