/* Random bytes and ids from OpenSSL's generator. */
#include "common/crypto/random.h"

#include <limits.h>
#include <openssl/rand.h>

static enum cw_err system_fill(void *ctx, void *bytes, size_t n)
{
    (void)ctx;
    ENSURE(n <= INT_MAX && RAND_bytes(bytes, (int)n) == 1, CW_INTERNAL);
    return CW_OK;
}

const struct cw_random cw_random_system = {.fill = system_fill};

enum cw_err cw_random_fill(const struct cw_random *random, void *ret_bytes, size_t n)
{
    return random->fill(random->ctx, ret_bytes, n);
}

enum cw_err cw_random_id(const struct cw_random *random, char ret_id[CW_RANDOM_ID_SIZE])
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char bytes[18] = {0};
    TRY(cw_random_fill(random, bytes, 16));
    for (size_t i = 0; i < CW_RANDOM_ID_SIZE - 1; i++) {
        const unsigned char *p = bytes + i / 4 * 3;
        unsigned group = (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
        ret_id[i] = alphabet[group >> (18 - i % 4 * 6) & 63];
    }
    ret_id[CW_RANDOM_ID_SIZE - 1] = '\0';
    return CW_OK;
}
