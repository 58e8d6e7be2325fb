/* What may not be read out of the database: AES-256-GCM under a key-encryption key (KEK), bound to
 * where it belongs. There is one current KEK, under which everything new is sealed, and there may
 * be others that still open what was sealed under them. */
#ifndef AUTHSVC_KEYS_SEAL_H
#define AUTHSVC_KEYS_SEAL_H

#include "common/base/buf.h"
#include "common/base/secret.h"

enum {
    KEK_SIZE = 32,
    KEK_ID_SIZE = 8,
    KEK_FINGERPRINT_SIZE = 2 * KEK_ID_SIZE + 1,
    KEK_COUNT_MAX = 16,
};

struct kek;

/* Reads the current KEK from `path`: 32 bytes, or 64 hex digits. Where the file does not exist it
 * is made with mode 0400 if `create` says so. On failure ret_message has a sentence for people. */
CW_MUST_USE enum cw_err kek_open(const char *path, bool create, struct cw_buf *ret_message,
                                 struct kek **ret_kek);
/* One more that opens; one that is there already is fine. Before the first use. */
CW_MUST_USE enum cw_err kek_add(struct kek *kek, const char *path, struct cw_buf *ret_message);
void kek_free(struct kek *kek);

/* The ids, the current one first: SHA-256 of the key, cut off. Borrowed. */
size_t kek_count(const struct kek *kek);
const uint8_t *kek_id(const struct kek *kek, size_t i);
bool kek_knows(const struct kek *kek, const uint8_t id[KEK_ID_SIZE]);
/* For people: 16 hex digits and a NUL. */
void kek_fingerprint(const uint8_t id[KEK_ID_SIZE], char ret_text[KEK_FINGERPRINT_SIZE]);
/* A key of 32 bytes for another purpose, derived from one of them (HKDF-SHA-256).
 * CW_CONFIG_INVALID: there is none with this id. */
CW_MUST_USE enum cw_err kek_derive(const struct kek *kek, const uint8_t id[KEK_ID_SIZE],
                                   const char *purpose, uint8_t ret_key[32]);

/* `context` (tenant, kid, …) is authenticated: a sealed key moved to another row does not open. */
CW_MUST_USE enum cw_err seal(const struct kek *kek, struct cw_str context, struct cw_str plain,
                             struct cw_buf *ret_sealed);
/* CW_CONFIG_INVALID: sealed under a KEK that is not here; CW_STORE_UNAVAILABLE: damaged or moved.
 */
CW_MUST_USE enum cw_err seal_open(const struct kek *kek, struct cw_str context,
                                  struct cw_str sealed, struct cw_secret *ret_plain);

#endif
