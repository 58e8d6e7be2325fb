/* Hashes and verifies: every call of password_verify runs argon2id exactly once, whatever it was
 * given (security: enumeration by time). */
#include "authsvc/password/password.h"

#include <pthread.h>
#include <semaphore.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/password/argon2id.h"

_Static_assert(PASSWORD_HASH_MAX >= crypto_pwhash_argon2id_STRBYTES, "a PHC string must fit");

enum {
    SALT_SIZE = 16, /* of new hashes */
    TAG_SIZE = 32,
    KEPT_MAX = 256, /* memories that wait for the next hash */
};

struct password_hasher {
    struct password_params params;
    struct password_params bound;
    char dummy[PASSWORD_HASH_MAX]; /* of a password that nobody knows */
    sem_t *running;                /* hashes that may begin; NULL: any number */
    sem_t semaphore;
    unsigned at_once; /* memories that are kept */
    pthread_mutex_t lock;
    struct argon2id_memory *kept[KEPT_MAX];
    unsigned n_kept;
    unsigned least; /* of n_kept since the last call of password_hasher_trim: nobody needed them */
};

/* --- memory ----------------------------------------------------------------------------- */

/* The memory that was used last, since it is warm. */
static struct argon2id_memory *take_memory(struct password_hasher *hasher, uint32_t kib)
{
    pthread_mutex_lock(&hasher->lock);
    struct argon2id_memory *memory = hasher->n_kept > 0 ? hasher->kept[--hasher->n_kept] : NULL;
    hasher->least = CW_MIN(hasher->least, hasher->n_kept);
    pthread_mutex_unlock(&hasher->lock);
    if (memory != NULL && argon2id_memory_kib(memory) < kib) {
        argon2id_memory_free(memory);
        memory = NULL;
    }
    return memory != NULL ? memory : argon2id_memory_new(CW_MAX(kib, hasher->params.memory_kib));
}

/* More than a usual hash needs is not kept. */
static void give_memory(struct password_hasher *hasher, struct argon2id_memory *memory)
{
    pthread_mutex_lock(&hasher->lock);
    if (hasher->n_kept < hasher->at_once &&
        argon2id_memory_kib(memory) == hasher->params.memory_kib) {
        hasher->kept[hasher->n_kept++] = memory;
        memory = NULL;
    }
    pthread_mutex_unlock(&hasher->lock);
    argon2id_memory_free(memory);
}

void password_hasher_trim(struct password_hasher *hasher)
{
    pthread_mutex_lock(&hasher->lock);
    for (unsigned i = 0; i < hasher->least; i++) { /* the lowest ones were used longest ago */
        argon2id_memory_free(hasher->kept[i]);
    }
    hasher->n_kept -= hasher->least;
    memmove(hasher->kept, hasher->kept + hasher->least, hasher->n_kept * sizeof(*hasher->kept));
    hasher->least = hasher->n_kept;
    pthread_mutex_unlock(&hasher->lock);
}

unsigned password_hasher_kept(struct password_hasher *hasher)
{
    pthread_mutex_lock(&hasher->lock);
    unsigned n = hasher->n_kept;
    pthread_mutex_unlock(&hasher->lock);
    return n;
}

/* --- one hash --------------------------------------------------------------------------- */

/* "$argon2id$v=19$m=19456,t=2,p=1$salt$tag", taken apart. */
struct phc {
    struct password_params params;
    uint8_t salt[ARGON2ID_SALT_MAX];
    size_t salt_n;
    uint8_t tag[ARGON2ID_TAG_MAX];
    size_t tag_n;
};

/* Waits for its turn. */
static enum cw_err run(struct password_hasher *hasher, const struct phc *phc,
                       struct cw_str prepared, uint8_t *ret_tag)
{
    while (hasher->running != NULL && sem_wait(hasher->running) != 0) {
        /* EINTR */
    }
    const struct argon2id in = {
        .memory_kib = phc->params.memory_kib,
        .iterations = phc->params.iterations,
        .password = prepared,
        .salt = phc->salt,
        .salt_n = phc->salt_n,
        .tag_n = phc->tag_n,
    };
    struct argon2id_memory *memory = take_memory(hasher, in.memory_kib);
    if (memory != NULL) {
        argon2id_hash(&in, memory, ret_tag);
        give_memory(hasher, memory);
    }
    if (hasher->running != NULL) {
        (void)sem_post(hasher->running);
    }
    return memory != NULL ? CW_OK : CW_NO_MEMORY;
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
    hasher->at_once = 1;
    pthread_mutex_init(&hasher->lock, NULL);
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
    if (hasher == NULL) {
        return;
    }
    if (hasher->running != NULL) {
        sem_destroy(hasher->running);
    }
    while (hasher->n_kept > 0) {
        argon2id_memory_free(hasher->kept[--hasher->n_kept]);
    }
    pthread_mutex_destroy(&hasher->lock);
    free(hasher);
}

void password_hasher_limit(struct password_hasher *hasher, unsigned at_once)
{
    if (sem_init(&hasher->semaphore, 0, CW_MAX(at_once, 1U)) == 0) {
        hasher->running = &hasher->semaphore;
        hasher->at_once = CW_MIN(CW_MAX(at_once, 1U), (unsigned)KEPT_MAX);
    }
}

static void add_base64(char *text, size_t size, const uint8_t *bytes, size_t n)
{
    size_t used = strlen(text);
    sodium_bin2base64(text + used, size - used, bytes, n,
                      sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}

enum cw_err password_hash(struct password_hasher *hasher, struct cw_str prepared,
                          char ret_hash[PASSWORD_HASH_MAX])
{
    struct phc phc = {.params = hasher->params, .salt_n = SALT_SIZE, .tag_n = TAG_SIZE};
    randombytes_buf(phc.salt, phc.salt_n);
    TRY(run(hasher, &phc, prepared, phc.tag));
    snprintf(ret_hash, PASSWORD_HASH_MAX, "$argon2id$v=19$m=%u,t=%u,p=1$", phc.params.memory_kib,
             phc.params.iterations);
    add_base64(ret_hash, PASSWORD_HASH_MAX, phc.salt, phc.salt_n);
    snprintf(ret_hash + strlen(ret_hash), 2, "$");
    add_base64(ret_hash, PASSWORD_HASH_MAX, phc.tag, phc.tag_n);
    return CW_OK;
}

/* Up to a `$` or the end; the rest is behind it. */
static bool parse_base64(const char **text, uint8_t *ret, size_t min, size_t max, size_t *ret_n)
{
    const char *end = strchrnul(*text, '$');
    const char *stopped = NULL;
    bool ok = sodium_base642bin(ret, max, *text, (size_t)(end - *text), NULL, ret_n, &stopped,
                                sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
              stopped == end && *ret_n >= min;
    *text = *end == '$' ? end + 1 : end;
    return ok;
}

static bool parse(const char *text, struct phc *ret)
{
    unsigned long memory = 0;
    unsigned long iterations = 0;
    int end = -1;
    if (sscanf(text, "$argon2id$v=19$m=%10lu,t=%10lu,p=1$%n", &memory, &iterations, &end) != 2 ||
        end < 0 || memory > UINT32_MAX || iterations > UINT32_MAX) {
        return false;
    }
    ret->params = (struct password_params){(uint32_t)memory, (uint32_t)iterations};
    const char *rest = text + end;
    return parse_base64(&rest, ret->salt, ARGON2ID_SALT_MIN, ARGON2ID_SALT_MAX, &ret->salt_n) &&
           rest[-1] == '$' &&
           parse_base64(&rest, ret->tag, ARGON2ID_TAG_MIN, ARGON2ID_TAG_MAX, &ret->tag_n) &&
           rest[-1] != '$';
}

static bool acceptable(const struct password_hasher *hasher, const char *text, struct phc *ret)
{
    return parse(text, ret) && params_valid(ret->params) &&
           ret->params.memory_kib <= hasher->bound.memory_kib &&
           ret->params.iterations <= hasher->bound.iterations;
}

/* Nothing that cannot be a hash of ours is looked at. */
static bool read_hash(const struct password_hasher *hasher, struct cw_str hash, struct phc *ret)
{
    char text[PASSWORD_HASH_MAX];
    if (hash.n == 0 || hash.n >= sizeof(text) || memchr(hash.p, '\0', hash.n) != NULL) {
        return false;
    }
    memcpy(text, hash.p, hash.n);
    text[hash.n] = '\0';
    bool ok = acceptable(hasher, text, ret);
    cw_secret_wipe(text, sizeof(text));
    return ok;
}

bool password_hash_acceptable(const struct password_hasher *hasher, struct cw_str hash)
{
    struct phc phc;
    return read_hash(hasher, hash, &phc);
}

enum cw_err password_verify(struct password_hasher *hasher, struct cw_str hash,
                            struct cw_str prepared, enum password_outcome *ret_outcome)
{
    struct phc phc;
    uint8_t tag[ARGON2ID_TAG_MAX];
    bool real = read_hash(hasher, hash, &phc) && prepared.n > 0;
    ENSURE(real || acceptable(hasher, hasher->dummy, &phc), CW_INTERNAL);
    enum cw_err err = run(hasher, &phc, prepared, tag);
    bool right = err == CW_OK && sodium_memcmp(tag, phc.tag, phc.tag_n) == 0 && real;
    bool same = phc.params.memory_kib == hasher->params.memory_kib &&
                phc.params.iterations == hasher->params.iterations;
    cw_secret_wipe(&phc, sizeof(phc));
    cw_secret_wipe(tag, sizeof(tag));
    *ret_outcome = !right ? PASSWORD_WRONG : same ? PASSWORD_RIGHT : PASSWORD_RIGHT_REHASH;
    return err;
}
