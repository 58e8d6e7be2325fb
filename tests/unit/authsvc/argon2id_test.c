/* Every way to fill memory gives libsodium's tags, and leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "authsvc/password/argon2id.h"
#include "authsvc/password/argon2id_fill.h"
#include "common/base/macros.h"

enum { PASSWORD_MAX = 300, LARGEST_KIB = 4100 };

static int setup(void **state)
{
    (void)state;
    return sodium_init() < 0 ? -1 : 0;
}

struct row {
    uint32_t kib;
    uint32_t iterations;
    size_t password_n;
    size_t tag_n;
};

/* Around the edges of segments (4 blocks), of a block of addresses (128) and of a huge page. */
static const struct row rows[] = {
    {8, 1, 0, 32},     {8, 2, 1, 16},
    {9, 3, 19, 64},    {11, 1, 127, 32},
    {12, 4, 128, 32},  {31, 5, 129, 33},
    {64, 2, 64, 32},   {511, 1, 8, 32},
    {512, 2, 8, 32},   {516, 3, 8, 32},
    {520, 2, 8, 63},   {1024, 5, 300, 32},
    {2052, 3, 20, 32}, {LARGEST_KIB, 2, 20, 32},
};

static void fill_with_numbers(uint8_t *p, size_t n, uint8_t seed)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)(seed + 7 * i);
    }
}

static void check(const struct row *row, struct argon2id_memory *memory, const char *way)
{
    uint8_t password[PASSWORD_MAX];
    uint8_t salt[crypto_pwhash_argon2id_SALTBYTES];
    uint8_t ours[ARGON2ID_TAG_MAX];
    uint8_t theirs[ARGON2ID_TAG_MAX];
    fill_with_numbers(password, sizeof(password), (uint8_t)row->kib);
    fill_with_numbers(salt, sizeof(salt), (uint8_t)row->iterations);
    const struct argon2id in = {
        .memory_kib = row->kib,
        .iterations = row->iterations,
        .password = {(const char *)password, row->password_n},
        .salt = salt,
        .salt_n = sizeof(salt),
        .tag_n = row->tag_n,
    };
    argon2id_hash(&in, memory, ours);
    assert_int_equal(crypto_pwhash_argon2id(theirs, row->tag_n, (const char *)password,
                                            row->password_n, salt, row->iterations,
                                            (size_t)row->kib * 1024,
                                            crypto_pwhash_argon2id_ALG_ARGON2ID13),
                     0);
    if (memcmp(ours, theirs, row->tag_n) != 0) {
        fail_msg("%s: m=%u, t=%u, a password of %zu bytes", way, row->kib, row->iterations,
                 row->password_n);
    }
    const size_t n = ((size_t)row->kib + ARGON2ID_MORE_BLOCKS) * 1024;
    for (size_t i = 0; i < n; i += sizeof(uint64_t)) {
        if (memory->blocks[i / 1024].words[i % 1024 / sizeof(uint64_t)] != 0) {
            fail_msg("%s: m=%u: byte %zu of the memory was not wiped", way, row->kib, i);
        }
    }
}

static void every_way_gives_what_libsodium_gives_and_leaves_nothing(void **state)
{
    (void)state;
    struct argon2id_memory *memory = argon2id_memory_new(LARGEST_KIB);
    assert_non_null(memory);
    assert_int_equal(argon2id_memory_kib(memory), LARGEST_KIB);
    size_t ways = 0;
    for (size_t way = 0; way < argon2id_ways(); way++) {
        const char *name = NULL;
        if (!argon2id_use(way, &name)) {
            print_message("this processor has no %s\n", name);
            continue;
        }
        ways++;
        for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
            check(&rows[i], memory, name);
        }
    }
    assert_true(ways >= 1);
    argon2id_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_gives_what_libsodium_gives_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
