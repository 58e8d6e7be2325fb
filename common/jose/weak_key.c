/* Two tables of numbers against two families of broken keys. */
#include "common/jose/weak_key.h"

#include <stddef.h>
#include <string.h>

#include "common/base/macros.h"

static const unsigned char primes[] = {
    3,  5,  7,  11, 13, 17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,  71,
    73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};

static bool is_power_of_65537(unsigned long residue, unsigned prime)
{
    unsigned generator = 65537 % prime, power = 1;
    do {
        if (power == residue) {
            return true;
        }
        power = power * generator % prime;
    } while (power != 1);
    return false;
}

bool cw_weak_key_is_roca(const BIGNUM *modulus)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(primes); i++) {
        if (!is_power_of_65537(BN_mod_word(modulus, primes[i]), primes[i])) {
            return false;
        }
    }
    return true;
}

/* y of the points of small order, little-endian, without the sign of x. */
static const unsigned char small_order[][CW_ED25519_SIZE] = {
    {0},
    {1},
    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
     0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
     0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
     0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
     0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
};

/* 2^255 - 19 <= y, all in the lowest byte once the others are full */
static bool above_field(const unsigned char y[CW_ED25519_SIZE])
{
    for (size_t i = 1; i < CW_ED25519_SIZE - 1; i++) {
        if (y[i] != 0xff) {
            return false;
        }
    }
    return y[CW_ED25519_SIZE - 1] == 0x7f && y[0] >= 0xed;
}

bool cw_weak_key_is_bad_ed25519(const unsigned char bytes[CW_ED25519_SIZE])
{
    unsigned char y[CW_ED25519_SIZE];
    memcpy(y, bytes, sizeof y);
    y[CW_ED25519_SIZE - 1] &= 0x7f;
    bool bad = above_field(y);
    for (size_t i = 0; i < CW_ARRAY_SIZE(small_order); i++) {
        bad |= memcmp(y, small_order[i], sizeof y) == 0;
    }
    return bad;
}
