/* SHA-256 (FIPS 180-4) over OpenSSL, with the digest fetched once. */
#ifndef CW_CRYPTO_SHA256_H
#define CW_CRYPTO_SHA256_H

#include "common/base/str.h"

enum { CW_SHA256_SIZE = 32 }; /* bytes */

/* CW_NO_MEMORY where OpenSSL fails; ret_digest is then all zero. Any thread. */
CW_MUST_USE enum cw_err cw_sha256(struct cw_str bytes, unsigned char ret_digest[CW_SHA256_SIZE]);

#endif
