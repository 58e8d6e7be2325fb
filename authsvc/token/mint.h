/* Signs JWTs: by OpenSSL with a key that is parsed already, else by libjwt, which parses its key at
 * each signature. The only place that knows libjwt, and it never verifies with it
 * (docs/decisions/0002, 0014). */
#ifndef AUTHSVC_TOKEN_MINT_H
#define AUTHSVC_TOKEN_MINT_H

#include <openssl/types.h>

#include "common/base/str.h"

struct mint_key {
    const char *algorithm; /* RS256 or ES256 */
    const char *kid;       /* "": none */
    struct cw_str pem;     /* private key, PKCS #8; not read where there is a signer */
    /* Ready to sign with that key and SHA-256, and copied for each signature, so that threads may
     * share it; NULL: libjwt signs with `pem`. */
    const EVP_MD_CTX *signer;
};

/* A compact JWS of `claims` (a JSON object) with header alg, kid and typ, in that key's name. The
 * caller frees ret_token. CW_INTERNAL: the key or the claims are no good; CW_NO_MEMORY. Any thread.
 */
CW_MUST_USE enum cw_err mint_sign(const struct mint_key *key, const char *typ, struct cw_str claims,
                                  char **ret_token);

#endif
