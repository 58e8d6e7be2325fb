/* Randomness as an argument, so that tests can repeat what it chose. */
#ifndef CW_CRYPTO_RANDOM_H
#define CW_CRYPTO_RANDOM_H

#include "common/base/str.h"

struct cw_random {
    enum cw_err (*fill)(void *ctx, void *bytes, size_t n);
    void *ctx;
};

/* OpenSSL's generator, fit for keys and tokens. Any thread. */
extern const struct cw_random cw_random_system;

/* CW_INTERNAL where no randomness can be had; the bytes must then not be used. */
CW_MUST_USE enum cw_err cw_random_fill(const struct cw_random *random, void *ret_bytes, size_t n);

/* Random bytes in base64url: 16 bytes give 22 characters and a NUL. */
enum { CW_RANDOM_ID_SIZE = 23 };
CW_MUST_USE enum cw_err cw_random_id(const struct cw_random *random,
                                     char ret_id[CW_RANDOM_ID_SIZE]);

#endif
