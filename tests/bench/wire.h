/* The little of protobuf's wire format that the bench programs need. Writers return the number of
 * bytes. */
#ifndef TESTS_BENCH_WIRE_H
#define TESTS_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline size_t wire_varint(uint8_t *p, uint64_t value)
{
    size_t n = 0;
    for (; value > 0x7f; value >>= 7) {
        p[n++] = (uint8_t)(value | 0x80);
    }
    p[n++] = (uint8_t)value;
    return n;
}

static inline size_t wire_varint_field(uint8_t *p, unsigned field, uint64_t value)
{
    size_t n = wire_varint(p, field << 3);
    return n + wire_varint(p + n, value);
}

static inline size_t wire_bytes(uint8_t *p, unsigned field, const void *bytes, size_t size)
{
    size_t n = wire_varint(p, field << 3 | 2);
    n += wire_varint(p + n, size);
    memcpy(p + n, bytes, size);
    return n + size;
}

/* Of a field with a number below 16. */
static inline size_t wire_bytes_size(size_t size)
{
    uint8_t scratch[10];
    return 1 + wire_varint(scratch, size) + size;
}

struct wire_reader {
    const uint8_t *p, *end;
    /* the field that was read */
    unsigned field;
    uint64_t number; /* of a varint */
    const uint8_t *value;
    size_t value_n;
};

static inline bool wire_take(struct wire_reader *r, uint64_t *ret_value)
{
    *ret_value = 0;
    for (unsigned shift = 0; r->p < r->end && shift < 64; shift += 7) {
        uint8_t byte = *r->p++;
        *ret_value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            return true;
        }
    }
    return false;
}

#define WIRE_READER(from, to) ((struct wire_reader){.p = (from), .end = (to)})

/* Varints and bytes only, as the messages here have. False at the end. */
static inline bool wire_next(struct wire_reader *r)
{
    uint64_t key;
    if (r->p == r->end || !wire_take(r, &key) || !wire_take(r, &r->number)) {
        return false;
    }
    r->field = (unsigned)(key >> 3);
    if ((key & 7) == 2) {
        if (r->number > (uint64_t)(r->end - r->p)) {
            return false;
        }
        r->value = r->p;
        r->value_n = (size_t)r->number;
        r->p += r->number;
    }
    return (key & 7) == 2 || (key & 7) == 0;
}

#endif
