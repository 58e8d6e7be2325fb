/* Private keys at rest: AES-256-GCM under the key-encryption key (KEK), bound to where they belong.
 */
#ifndef AUTHSVC_KEYS_SEAL_H
#define AUTHSVC_KEYS_SEAL_H

#include "common/base/buf.h"
#include "common/base/secret.h"

enum { KEK_SIZE = 32, KEK_ID_SIZE = 8 };

struct kek;

/* Reads the KEK from `path`: 32 bytes, or 64 hex digits. Where the file does not exist it is made
 * with mode 0400 if `create` says so. On failure ret_message has a sentence for people. */
CW_MUST_USE enum cw_err kek_open(const char *path, bool create, struct cw_buf *ret_message,
                                 struct kek **ret_kek);
void kek_free(struct kek *kek);
/* Names the KEK without telling it: 16 hex digits and a NUL. */
void kek_id(const struct kek *kek, char ret_id[2 * KEK_ID_SIZE + 1]);
/* A key of 32 bytes for another purpose, derived from the KEK (HKDF-SHA-256). */
CW_MUST_USE enum cw_err kek_derive(const struct kek *kek, const char *purpose, uint8_t ret_key[32]);

/* `context` (tenant, kid, …) is authenticated: a sealed key moved to another row does not open. */
CW_MUST_USE enum cw_err seal(const struct kek *kek, struct cw_str context, struct cw_str plain,
                             struct cw_buf *ret_sealed);
/* CW_CONFIG_INVALID: sealed under another KEK; CW_STORE_UNAVAILABLE: damaged or moved. */
CW_MUST_USE enum cw_err seal_open(const struct kek *kek, struct cw_str context,
                                  struct cw_str sealed, struct cw_secret *ret_plain);

#endif
