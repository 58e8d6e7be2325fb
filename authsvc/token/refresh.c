/* Makes, chains, writes and reads opaque refresh tokens. */
#include "authsvc/token/refresh.h"

#include <sodium.h>
#include <string.h>

enum {
    RAW_SIZE = REFRESH_FAMILY_SIZE + 4 + REFRESH_SECRET_SIZE,
    /* Steps that are followed from an old token: a session that refreshes each minute for a month.
     */
    STEPS_MAX = 50000,
};

static const char prefix[] = "cwr_"; /* lets secret scanners name a leaked one */

_Static_assert(REFRESH_TEXT_SIZE == 4 + (RAW_SIZE * 4 + 2) / 3 + 1, "prefix, base64url, NUL");

static void pack(const struct refresh_token *token, uint8_t ret_raw[RAW_SIZE])
{
    memcpy(ret_raw, token->family, REFRESH_FAMILY_SIZE);
    for (int i = 0; i < 4; i++) {
        ret_raw[REFRESH_FAMILY_SIZE + i] = (uint8_t)(token->generation >> (24 - 8 * i));
    }
    memcpy(ret_raw + REFRESH_FAMILY_SIZE + 4, token->secret, REFRESH_SECRET_SIZE);
}

void refresh_token_new(struct refresh_token *ret_token)
{
    randombytes_buf(ret_token->family, sizeof(ret_token->family));
    randombytes_buf(ret_token->secret, sizeof(ret_token->secret));
    ret_token->generation = 0;
}

void refresh_token_next(const uint8_t key[REFRESH_KEY_SIZE], const struct refresh_token *token,
                        struct refresh_token *ret_next)
{
    struct refresh_token next = *token;
    next.generation++;
    uint8_t raw[RAW_SIZE]; /* family, the new generation, the old secret */
    pack(&next, raw);
    crypto_auth_hmacsha256(next.secret, raw, sizeof(raw), key);
    sodium_memzero(raw, sizeof(raw));
    *ret_next = next;
}

void refresh_token_hash(const struct refresh_token *token, uint8_t ret_hash[REFRESH_HASH_SIZE])
{
    uint8_t raw[RAW_SIZE];
    pack(token, raw);
    crypto_hash_sha256(ret_hash, raw, sizeof(raw));
    sodium_memzero(raw, sizeof(raw));
}

bool refresh_token_leads_to(const uint8_t key[REFRESH_KEY_SIZE], const struct refresh_token *token,
                            int64_t generation, const uint8_t hash[REFRESH_HASH_SIZE])
{
    int64_t steps = generation - (int64_t)token->generation;
    if (steps < 0 || steps > STEPS_MAX) {
        return false;
    }
    struct refresh_token t = *token;
    for (; steps > 0; steps--) {
        refresh_token_next(key, &t, &t);
    }
    uint8_t reached[REFRESH_HASH_SIZE];
    refresh_token_hash(&t, reached);
    sodium_memzero(&t, sizeof(t));
    return sodium_memcmp(reached, hash, REFRESH_HASH_SIZE) == 0;
}

void refresh_token_encode(const struct refresh_token *token, char ret_text[REFRESH_TEXT_SIZE])
{
    uint8_t raw[RAW_SIZE];
    pack(token, raw);
    memcpy(ret_text, prefix, sizeof(prefix) - 1);
    sodium_bin2base64(ret_text + sizeof(prefix) - 1, REFRESH_TEXT_SIZE - (sizeof(prefix) - 1), raw,
                      sizeof(raw), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(raw, sizeof(raw));
}

enum cw_err refresh_token_parse(struct cw_str text, struct refresh_token *ret_token)
{
    ENSURE(text.n == REFRESH_TEXT_SIZE - 1 && cw_str_starts(text, CW_STR("cwr_")),
           CW_REFRESH_INVALID);
    uint8_t raw[RAW_SIZE];
    size_t n = 0;
    const char *end = NULL;
    int rc = sodium_base642bin(raw, sizeof(raw), text.p + 4, text.n - 4, NULL, &n, &end,
                               sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    ENSURE(rc == 0 && n == RAW_SIZE && end == text.p + text.n, CW_REFRESH_INVALID);
    memcpy(ret_token->family, raw, REFRESH_FAMILY_SIZE);
    ret_token->generation = 0;
    for (int i = 0; i < 4; i++) {
        ret_token->generation = ret_token->generation << 8 | raw[REFRESH_FAMILY_SIZE + i];
    }
    memcpy(ret_token->secret, raw + REFRESH_FAMILY_SIZE + 4, REFRESH_SECRET_SIZE);
    sodium_memzero(raw, sizeof(raw));
    return CW_OK;
}
