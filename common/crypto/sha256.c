/* SHA-256 with OpenSSL's digest fetched once a process: the fetch costs more than hashing a token.
 */
#include "common/crypto/sha256.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *digest;

static void fetch(void)
{
    digest = EVP_MD_fetch(NULL, "SHA256", NULL);
}

enum cw_err cw_sha256(struct cw_str bytes, unsigned char ret_digest[CW_SHA256_SIZE])
{
    pthread_once(&once, fetch);
    if (!digest || EVP_Digest(bytes.p, bytes.n, ret_digest, NULL, digest, NULL) != 1) {
        memset(ret_digest, 0, CW_SHA256_SIZE);
        return CW_NO_MEMORY;
    }
    return CW_OK;
}
