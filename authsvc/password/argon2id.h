/* Argon2id, version 0x13, one lane, without secret and associated data (RFC 9106): what libsodium's
 * crypto_pwhash_argon2id computes, bit for bit, but in memory that the caller keeps. libsodium maps
 * its memory for each hash and has the kernel clear every page of it again, which was a third of a
 * hash (docs/decisions/0019). Only the filling of the memory is ours; BLAKE2b is libsodium's. */
#ifndef AUTHSVC_PASSWORD_ARGON2ID_H
#define AUTHSVC_PASSWORD_ARGON2ID_H

#include <stdint.h>

#include "common/base/str.h"

enum {
    ARGON2ID_KIB_MIN = 8, /* RFC 9106 §3.1 */
    ARGON2ID_SALT_MIN = 8,
    ARGON2ID_SALT_MAX = 64,
    ARGON2ID_TAG_MIN = 16,
    ARGON2ID_TAG_MAX = 64, /* one BLAKE2b */
};

struct argon2id {
    uint32_t memory_kib; /* ARGON2ID_KIB_MIN or more */
    uint32_t iterations; /* 1 or more */
    struct cw_str password;
    const uint8_t *salt;
    size_t salt_n;
    size_t tag_n;
};

/* Memory for one hash at a time. NULL: none can be had. Huge pages, where the kernel gives them to
 * who asks; never in a core dump. */
struct argon2id_memory *argon2id_memory_new(uint32_t kib);
void argon2id_memory_free(struct argon2id_memory *memory);
uint32_t argon2id_memory_kib(const struct argon2id_memory *memory);

/* The tag, tag_n bytes. All values in their bounds, and memory for memory_kib at least, or it is a
 * mistake of the caller's. What it leaves in the memory is wiped. */
void argon2id_hash(const struct argon2id *in, struct argon2id_memory *memory, uint8_t *ret_tag);

/* Ways to fill memory, by what a processor can; index 0 runs on any. */
size_t argon2id_ways(void);
/* For tests: argon2id_hash goes that way from now on, if the processor can; false if not. */
bool argon2id_use(size_t way, const char **ret_name);

#endif
