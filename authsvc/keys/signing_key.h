/* One private key of a tenant, ready to sign; immutable, shared by reference count. */
#ifndef AUTHSVC_KEYS_SIGNING_KEY_H
#define AUTHSVC_KEYS_SIGNING_KEY_H

#include <openssl/types.h>

#include "authsvc/keys/seal.h"

enum { SIGNING_KEY_KID_SIZE = 44 }; /* RFC 7638 thumbprint in base64url, with the NUL */

struct signing_key;

/* RS256: RSA of `rsa_bits` (2048 to 8192); ES256: P-256. CW_CONFIG_INVALID for another algorithm or
 * size. One reference to the caller. Blocks for up to seconds. */
CW_MUST_USE enum cw_err signing_key_generate(const char *algorithm, unsigned rsa_bits,
                                             struct signing_key **ret_key);
/* From a private key in PEM (PKCS #8); its kid is computed anew. */
CW_MUST_USE enum cw_err signing_key_from_pem(const char *algorithm, struct cw_str pem,
                                             struct signing_key **ret_key);

/* For storage, and back. The kid of what comes out must be `kid`. */
CW_MUST_USE enum cw_err signing_key_seal(const struct signing_key *key, const struct kek *kek,
                                         struct cw_str tenant, struct cw_buf *ret_sealed);
CW_MUST_USE enum cw_err signing_key_unseal(const struct kek *kek, struct cw_str tenant,
                                           struct cw_str kid, struct cw_str algorithm,
                                           struct cw_str sealed, struct signing_key **ret_key);

/* The same, opened when it is first used: parsing a private key takes longer than all the rest.
 * What was sealed is opened and thrown away again, so that the row is known to be genuine, and the
 * public JWK must have the thumbprint `kid`. `kek` is borrowed for the key's life. */
CW_MUST_USE enum cw_err signing_key_stored(const struct kek *kek, struct cw_str tenant,
                                           struct cw_str kid, struct cw_str algorithm,
                                           struct cw_str public_jwk, struct cw_str sealed,
                                           struct signing_key **ret_key);
/* Makes its private part available. Any thread. */
CW_MUST_USE enum cw_err signing_key_open(struct signing_key *key);

struct signing_key *signing_key_ref(struct signing_key *key);
/* Wipes with the last reference. NULL is fine. */
void signing_key_unref(struct signing_key *key);

/* All borrowed from the key. */
const char *signing_key_kid(const struct signing_key *key);
const char *signing_key_algorithm(const struct signing_key *key);
/* Public part as a JWK (RFC 7517): kty, use, alg, kid and the numbers. */
const char *signing_key_public_jwk(const struct signing_key *key);
/* NUL-terminated behind the end, in locked and guarded memory (sodium_malloc). Empty before it is
 * open. */
struct cw_str signing_key_pem(const struct signing_key *key);
/* The same, parsed and ready to sign a SHA-256: to be copied for each signature, on any thread.
 * NULL before it is open. */
const EVP_MD_CTX *signing_key_signer(const struct signing_key *key);

#endif
