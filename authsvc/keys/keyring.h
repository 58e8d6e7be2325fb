/* The signing keys of all tenants. A tenant's keys are published (JWKS) in the states pending,
 * active and retired; the newest active one signs. */
#ifndef AUTHSVC_KEYS_KEYRING_H
#define AUTHSVC_KEYS_KEYRING_H

#include "authsvc/keys/signing_key.h"
#include "authsvc/store/store.h"

struct keyring;

/* Opens the KEK (made at first start, required when sealed keys exist) and keeps `store`, borrowed.
 * On failure ret_message has a sentence for people. */
CW_MUST_USE enum cw_err keyring_open(struct store *store, const char *kek_path,
                                     struct cw_buf *ret_message, struct keyring **ret_ring);
void keyring_free(struct keyring *ring);

/* Loads the tenant's keys; makes and stores the first active key of `algorithm` where there is
 * none. An algorithm that was changed gets a new key, the old one is retired. Any thread. */
CW_MUST_USE enum cw_err keyring_load(struct keyring *ring, struct cw_str tenant,
                                     const char *algorithm, unsigned rsa_bits,
                                     struct cw_buf *ret_message);

/* The tenant is gone, and its keys with it. Any thread. */
void keyring_forget(struct keyring *ring, struct cw_str tenant);

/* The key that signs; one reference to the caller. CW_KEYS_UNAVAILABLE: the tenant has none. Any
 * thread. */
CW_MUST_USE enum cw_err keyring_signer(struct keyring *ring, struct cw_str tenant,
                                       struct signing_key **ret_key);
/* The tenant's JWK Set (RFC 7517 §5), appended. CW_KEYS_UNAVAILABLE as above. Any thread. */
CW_MUST_USE enum cw_err keyring_jwks(struct keyring *ring, struct cw_str tenant,
                                     struct cw_buf *ret_json);
/* Another number whenever the tenant's keys are others than before; 0 where it has none. Any
 * thread. */
uint64_t keyring_stamp(struct keyring *ring, struct cw_str tenant);
/* The KEK that the ring was opened with. */
const struct kek *keyring_kek(const struct keyring *ring);

#endif
