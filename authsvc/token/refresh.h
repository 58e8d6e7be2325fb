/* Opaque refresh tokens. A token names its family and generation and carries a secret of 256 bits:
 *
 *   cwr_ base64url( family 16 | generation 4, big-endian | secret 32 )
 *
 * The first secret of a family is random; each later one is an HMAC over the one before, its family
 * and its generation, under a key that the database does not hold. So the successor of a token can
 * be given out again when an answer was lost, and a token from any earlier generation proves itself
 * by leading to the present one, although only hashes are stored. */
#ifndef AUTHSVC_TOKEN_REFRESH_H
#define AUTHSVC_TOKEN_REFRESH_H

#include "common/base/str.h"

enum {
    REFRESH_FAMILY_SIZE = 16,
    REFRESH_SECRET_SIZE = 32,
    REFRESH_HASH_SIZE = 32,
    REFRESH_KEY_SIZE = 32,
    REFRESH_TEXT_SIZE = 75, /* with the NUL */
};

struct refresh_token {
    uint8_t family[REFRESH_FAMILY_SIZE];
    uint32_t generation;
    uint8_t secret[REFRESH_SECRET_SIZE];
};

/* The first token of a new family. */
void refresh_token_new(struct refresh_token *ret_token);
/* The one after `token`, always the same. */
void refresh_token_next(const uint8_t key[REFRESH_KEY_SIZE], const struct refresh_token *token,
                        struct refresh_token *ret_next);
/* SHA-256 of the token: what is stored. */
void refresh_token_hash(const struct refresh_token *token, uint8_t ret_hash[REFRESH_HASH_SIZE]);
/* Whether `token` was once given out in a family that is now at `generation` with this hash. */
bool refresh_token_leads_to(const uint8_t key[REFRESH_KEY_SIZE], const struct refresh_token *token,
                            int64_t generation, const uint8_t hash[REFRESH_HASH_SIZE]);

void refresh_token_encode(const struct refresh_token *token, char ret_text[REFRESH_TEXT_SIZE]);
/* CW_REFRESH_INVALID for anything that encode does not write. */
CW_MUST_USE enum cw_err refresh_token_parse(struct cw_str text, struct refresh_token *ret_token);

#endif
