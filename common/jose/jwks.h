/* A key set (RFC 7517 §5): immutable, shared by reference count, swapped as a whole. */
#ifndef CW_JOSE_JWKS_H
#define CW_JOSE_JWKS_H

#include "common/jose/jwk.h"

enum {
    CW_JWKS_TEXT_MAX = 256 * 1024, /* bytes of a document */
    CW_JWKS_KEYS_MAX = 64,
    CW_JWKS_CANDIDATES = 4, /* keys that may be tried for one token without a kid */
};

struct cw_jwks;

struct cw_jwks_options {
    bool allow_oct; /* only for a secret from configuration, never for a published set */
    /* Keys that are the same in both are carried over as the same objects, so that cached verdicts
     * stay alive. NULL for none. */
    const struct cw_jwks *previous;
};

/* Members that cannot be used are skipped and reported; a set without one usable key is refused, so
 * that garbage never replaces good keys. Two keys of one kid that share an algorithm are both
 * skipped: which of them is meant cannot be told. CW_KEYS_UNAVAILABLE for no JSON, no `keys`, too
 * large or too many, no usable key; CW_NO_MEMORY. `ret_why` (may be NULL) has the reason for
 * people. One reference to the caller. */
CW_MUST_USE enum cw_err cw_jwks_parse(struct cw_str text, const struct cw_jwks_options *options,
                                      struct cw_jwks **ret_set, char ret_why[CW_JWK_WHY_SIZE]);

/* Any thread. unref takes NULL. */
struct cw_jwks *cw_jwks_ref(struct cw_jwks *set);
void cw_jwks_unref(struct cw_jwks *set);

size_t cw_jwks_count(const struct cw_jwks *set);
struct cw_jwk *cw_jwks_at(const struct cw_jwks *set, size_t i); /* borrowed */
/* Lines for people about members that were skipped or look wrong. */
size_t cw_jwks_notes(const struct cw_jwks *set);
const char *cw_jwks_note(const struct cw_jwks *set, size_t i);

/* The keys that may verify `alg` under `kid`, borrowed from the set. Without a kid (NULL) all that
 * fit, at most CW_JWKS_CANDIDATES. CW_KEY_UNKNOWN: no key has this kid (whether a newer set has, is
 * the caller's to find out); CW_ALGORITHM_MISMATCH: one has, for other algorithms. */
CW_MUST_USE enum cw_err cw_jwks_find(const struct cw_jwks *set, const struct cw_str *kid,
                                     const struct cw_alg *alg,
                                     struct cw_jwk *ret_keys[CW_JWKS_CANDIDATES], size_t *ret_n);

/* Marks the keys of `old` that `now` no longer holds as withdrawn; their number. `now` must have
 * been parsed with `old` as its previous. */
size_t cw_jwks_withdraw_missing(const struct cw_jwks *old, const struct cw_jwks *now);

#endif
