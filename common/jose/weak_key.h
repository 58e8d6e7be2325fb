/* Public keys that are well-formed and still no good. */
#ifndef CW_JOSE_WEAK_KEY_H
#define CW_JOSE_WEAK_KEY_H

#include <openssl/bn.h>
#include <stdbool.h>

enum { CW_ED25519_SIZE = 32 }; /* bytes of a public key */

/* The fingerprint of CVE-2017-15361: a modulus that is a power of 65537 modulo each small prime. A
 * sound key has it with a probability below 2^-20. */
bool cw_weak_key_is_roca(const BIGNUM *modulus);

/* An Ed25519 point that is not canonical (y >= p) or of order 1, 2, 4 or 8: with those, signatures
 * hold for messages that nobody signed (RFC 8032 §5.1.3, §8). */
bool cw_weak_key_is_bad_ed25519(const unsigned char bytes[CW_ED25519_SIZE]);

#endif
