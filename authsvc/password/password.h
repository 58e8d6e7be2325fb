/* Passwords: Unicode preparation, argon2id (RFC 9106, PHC strings), and the dummy that makes an
 * unknown user cost what a known one does. */
#ifndef AUTHSVC_PASSWORD_PASSWORD_H
#define AUTHSVC_PASSWORD_PASSWORD_H

#include "common/base/secret.h"

enum {
    PASSWORD_BYTES_MAX = 1024, /* as typed, UTF-8 */
    PASSWORD_HASH_MAX = 128,   /* PHC string with its NUL */
    PASSWORD_NAME_MAX = 256,   /* user name, UTF-8 */
};

/* Cost of one hash. One lane always, as libsodium has it. */
struct password_params {
    uint32_t memory_kib; /* OWASP: 19456 with 2 iterations, 7168 with 5 */
    uint32_t iterations;
};

struct password_hasher;

/* `params` for new hashes; `bound` is the most that a stored hash may cost when it is verified.
 * Computes the dummy hash. CW_CONFIG_INVALID: a value out of libsodium's range. */
CW_MUST_USE enum cw_err password_hasher_new(struct password_params params,
                                            struct password_params bound,
                                            struct password_hasher **ret_hasher);
void password_hasher_free(struct password_hasher *hasher);
/* From now on at most `at_once` (1 or more) hashes run at the same time, each with its memory;
 * further callers wait. Before the hasher is shared; without it there is no bound. Memory is kept
 * for so many. */
void password_hasher_limit(struct password_hasher *hasher, unsigned at_once);

/* NFKC (NIST SP 800-63B rev. 4 §3.1.1.2: normalise before hashing), nothing cut off.
 * CW_REQUEST_MALFORMED: no UTF-8, a NUL, or longer than PASSWORD_BYTES_MAX. Empty is fine here. */
CW_MUST_USE enum cw_err password_prepare(struct cw_str password, struct cw_secret *ret_prepared);
/* NFKC and lower case (after RFC 8265 §3.3), blanks around it cut off: what users are found by.
 * The caller frees. CW_REQUEST_MALFORMED as above, with PASSWORD_NAME_MAX, or a control character.
 */
CW_MUST_USE enum cw_err password_prepare_name(struct cw_str name, char **ret_prepared);

/* Gives back what hashes have kept and none has needed since the last call, so that a burst's
 * memory goes although somebody logs in now and then: for somebody who calls now and then. Any
 * thread. */
void password_hasher_trim(struct password_hasher *hasher);
/* Memories that are kept just now. Any thread. */
unsigned password_hasher_kept(struct password_hasher *hasher);

/* Hashes a prepared password. CW_NO_MEMORY where the memory that argon2id needs cannot be had. */
CW_MUST_USE enum cw_err password_hash(struct password_hasher *hasher, struct cw_str prepared,
                                      char ret_hash[PASSWORD_HASH_MAX]);

enum password_outcome {
    PASSWORD_WRONG = 0,
    PASSWORD_RIGHT,
    PASSWORD_RIGHT_REHASH, /* right, but hashed with other parameters than the present ones */
};

/* Verifies a prepared password. An empty `hash` (no such user), an empty password or a stored hash
 * out of bounds is PASSWORD_WRONG after the same work, done on the dummy. CW_NO_MEMORY: not known.
 */
CW_MUST_USE enum cw_err password_verify(struct password_hasher *hasher, struct cw_str hash,
                                        struct cw_str prepared, enum password_outcome *ret_outcome);

/* Whether a stored hash is argon2id, version 19, one lane, within the bound. */
bool password_hash_acceptable(const struct password_hasher *hasher, struct cw_str hash);

#endif
