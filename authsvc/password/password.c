/* Hashes and verifies: every call of password_verify runs argon2id exactly once, whatever it was
 * given (security: enumeration by time). */
#include "authsvc/password/password.h"

#include <semaphore.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(PASSWORD_HASH_MAX >= crypto_pwhash_argon2id_STRBYTES, "a PHC string must fit");

struct password_hasher {
    struct password_params params;
    struct password_params bound;
    char dummy[PASSWORD_HASH_MAX]; /* of a password that nobody knows */
    sem_t *running;                /* hashes that may begin; NULL: any number */
    sem_t semaphore;
};

static void enter(const struct password_hasher *hasher)
{
    while (hasher->running != NULL && sem_wait(hasher->running) != 0) {
        /* EINTR */
    }
}

static void leave(const struct password_hasher *hasher)
{
    if (hasher->running != NULL) {
        (void)sem_post(hasher->running);
    }
}

static bool params_valid(struct password_params p)
{
    uint64_t bytes = (uint64_t)p.memory_kib * 1024;
    return bytes >= crypto_pwhash_argon2id_MEMLIMIT_MIN &&
           bytes <= crypto_pwhash_argon2id_MEMLIMIT_MAX &&
           p.iterations >= crypto_pwhash_argon2id_OPSLIMIT_MIN &&
           p.iterations <= crypto_pwhash_argon2id_OPSLIMIT_MAX;
}

enum cw_err password_hasher_new(struct password_params params, struct password_params bound,
                                struct password_hasher **ret_hasher)
{
    ENSURE(sodium_init() >= 0, CW_INTERNAL);
    ENSURE(params_valid(params), CW_CONFIG_INVALID);
    ENSURE(bound.memory_kib >= params.memory_kib && bound.iterations >= params.iterations,
           CW_CONFIG_INVALID);
    struct password_hasher *hasher = calloc(1, sizeof(*hasher));
    ENSURE(hasher != NULL, CW_NO_MEMORY);
    hasher->params = params;
    hasher->bound = bound;
    char nobody[32];
    randombytes_buf(nobody, sizeof(nobody));
    enum cw_err err = password_hash(hasher, (struct cw_str){nobody, sizeof(nobody)}, hasher->dummy);
    cw_secret_wipe(nobody, sizeof(nobody));
    if (err != CW_OK) {
        password_hasher_free(hasher);
        return err;
    }
    *ret_hasher = hasher;
    return CW_OK;
}

void password_hasher_free(struct password_hasher *hasher)
{
    if (hasher != NULL && hasher->running != NULL) {
        sem_destroy(hasher->running);
    }
    free(hasher);
}

void password_hasher_limit(struct password_hasher *hasher, unsigned at_once)
{
    if (sem_init(&hasher->semaphore, 0, CW_MAX(at_once, 1U)) == 0) {
        hasher->running = &hasher->semaphore;
    }
}

enum cw_err password_hash(const struct password_hasher *hasher, struct cw_str prepared,
                          char ret_hash[PASSWORD_HASH_MAX])
{
    enter(hasher);
    int rc = crypto_pwhash_argon2id_str(ret_hash, prepared.p != NULL ? prepared.p : "", prepared.n,
                                        hasher->params.iterations,
                                        (size_t)hasher->params.memory_kib * 1024);
    leave(hasher);
    return rc == 0 ? CW_OK : CW_NO_MEMORY;
}

/* "$argon2id$v=19$m=19456,t=2,p=1$salt$hash" */
static bool parse_params(const char *phc, struct password_params *ret_params)
{
    unsigned long memory = 0;
    unsigned long iterations = 0;
    int end = -1;
    if (sscanf(phc, "$argon2id$v=19$m=%10lu,t=%10lu,p=1$%n", &memory, &iterations, &end) != 2 ||
        end < 0 || memory > UINT32_MAX || iterations > UINT32_MAX) {
        return false;
    }
    *ret_params = (struct password_params){(uint32_t)memory, (uint32_t)iterations};
    return true;
}

static bool acceptable(const struct password_hasher *hasher, const char *phc,
                       struct password_params *ret_params)
{
    return parse_params(phc, ret_params) && params_valid(*ret_params) &&
           ret_params->memory_kib <= hasher->bound.memory_kib &&
           ret_params->iterations <= hasher->bound.iterations;
}

static bool copy_hash(struct cw_str hash, char ret_phc[PASSWORD_HASH_MAX])
{
    if (hash.n == 0 || hash.n >= PASSWORD_HASH_MAX || memchr(hash.p, '\0', hash.n) != NULL) {
        return false;
    }
    memset(ret_phc, 0, PASSWORD_HASH_MAX); /* libsodium reads the whole array */
    memcpy(ret_phc, hash.p, hash.n);
    return true;
}

bool password_hash_acceptable(const struct password_hasher *hasher, struct cw_str hash)
{
    char phc[PASSWORD_HASH_MAX];
    struct password_params params;
    return copy_hash(hash, phc) && acceptable(hasher, phc, &params);
}

enum cw_err password_verify(const struct password_hasher *hasher, struct cw_str hash,
                            struct cw_str prepared, enum password_outcome *ret_outcome)
{
    char phc[PASSWORD_HASH_MAX];
    struct password_params params = hasher->params;
    bool real = copy_hash(hash, phc) && acceptable(hasher, phc, &params) && prepared.n > 0;
    const char *compared = real ? phc : hasher->dummy;
    enter(hasher);
    int rc = crypto_pwhash_argon2id_str_verify(compared, prepared.p != NULL ? prepared.p : "",
                                               prepared.n);
    leave(hasher);
    enum password_outcome outcome = PASSWORD_WRONG;
    if (rc == 0 && real) {
        bool same = params.memory_kib == hasher->params.memory_kib &&
                    params.iterations == hasher->params.iterations;
        outcome = same ? PASSWORD_RIGHT : PASSWORD_RIGHT_REHASH;
    }
    cw_secret_wipe(phc, sizeof(phc));
    *ret_outcome = outcome;
    return CW_OK;
}
