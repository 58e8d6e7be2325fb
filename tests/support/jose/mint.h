/* Makes keys and tokens for tests, good and bad ones: whatever header and payload a test writes is
 * signed as it stands. Failures abort the test. */
#ifndef CW_TESTS_MINT_H
#define CW_TESTS_MINT_H

#include <openssl/evp.h>

#include "common/base/str.h"

/* The key for an algorithm by name ("RS256"); made on first use and kept: RS* and PS* share one,
 * HS* share one secret of 64 bytes. Single-threaded. */
struct mint_key {
    EVP_PKEY *pkey;
    unsigned char secret[64];
};
const struct mint_key *mint_key(const char *alg);
/* Another key of the same kind, made on each call; mint_key_free. */
struct mint_key *mint_key_new(const char *alg);
void mint_key_free(struct mint_key *key);
/* Frees the kept ones. */
void mint_done(void);

/* Everything below is malloc'ed text; the caller frees. */

/* The public JWK (for oct the secret) with `members` added, for example "\"kid\":\"a\"". */
char *mint_jwk(const struct mint_key *key, const char *alg, const char *members);
/* header.payload.signature with `key`. */
char *mint_token(const struct mint_key *key, const char *alg, struct cw_str header,
                 struct cw_str payload);
/* The signature as bytes; ret_n receives their number. */
unsigned char *mint_sign(const struct mint_key *key, const char *alg, struct cw_str input,
                         size_t *ret_n);
/* header.payload. and the given signature bytes. */
char *mint_join(struct cw_str header, struct cw_str payload, const unsigned char *signature,
                size_t n);
/* base64url of bytes. */
char *mint_b64url(const void *bytes, size_t n);
char *mint_format(const char *format, ...) CW_PRINTF(1, 2);

#endif
