/* Binary forms: numbers are big-endian, texts and bytes are themselves. */
#include "authsvc/store/db_postgresql_values.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

enum {
    BINARY = 1,
    OID_BOOL = 16, /* pg_type.dat; these never change */
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_BYTEA_ARRAY = 1001,
    OID_TEXT_ARRAY = 1009,
    OID_INT8_ARRAY = 1016,
    OID_VARCHAR = 1043,
};

static bool encode_int(struct pg_args *out, size_t i, Oid type, int64_t value)
{
    union pg_number *number = &out->numbers[i];
    out->values[i] = (const char *)number;
    switch (type) {
    case OID_INT8:
        number->n8 = htobe64((uint64_t)value);
        out->lengths[i] = 8;
        return true;
    case OID_INT4:
        number->n4 = htobe32((uint32_t)value);
        out->lengths[i] = 4;
        return value >= INT32_MIN && value <= INT32_MAX;
    case OID_INT2:
        number->n2 = htobe16((uint16_t)value);
        out->lengths[i] = 2;
        return value >= INT16_MIN && value <= INT16_MAX;
    default:
        return false;
    }
}

/* --- arrays ----------------------------------------------------------------------------- */

/* array_recv of PostgreSQL: dimensions, whether there are NULLs, the items' type, for the one
 * dimension its length and where it begins; then length and bytes of each item. */
enum { ARRAY_HEAD = 20, ITEM_HEAD = 4, INT8_BYTES = 8, ARRAY_MAX = 16 << 20 };

static Oid item_type(Oid array)
{
    switch (array) {
    case OID_TEXT_ARRAY:
        return OID_TEXT;
    case OID_BYTEA_ARRAY:
        return OID_BYTEA;
    case OID_INT8_ARRAY:
        return OID_INT8;
    default:
        return 0;
    }
}

static bool item_fits(const struct db_value *item, Oid type)
{
    return (type == OID_TEXT && item->type == DB_TEXT) ||
           (type == OID_BYTEA && item->type == DB_BYTES) ||
           (type == OID_INT8 && item->type == DB_INT);
}

static size_t item_size(const struct db_value *item)
{
    return item->type == DB_INT ? INT8_BYTES : item->s.n;
}

static char *put(char *at, const void *bytes, size_t n)
{
    if (n > 0) {
        memcpy(at, bytes, n);
    }
    return at + n;
}

static char *put4(char *at, uint32_t value)
{
    const uint32_t wire = htobe32(value);
    return put(at, &wire, sizeof(wire));
}

static char *put_item(char *at, const struct db_value *item)
{
    at = put4(at, (uint32_t)item_size(item));
    if (item->type == DB_INT) {
        const uint64_t wire = htobe64((uint64_t)item->i);
        return put(at, &wire, sizeof(wire));
    }
    return put(at, item->s.p, item->s.n);
}

static bool encode_array(struct pg_args *out, size_t i, Oid type, const struct db_value *array)
{
    const Oid of = item_type(type);
    size_t size = ARRAY_HEAD;
    for (int64_t k = 0; k < array->i; k++) {
        size += ITEM_HEAD + item_size(&array->items[k]);
        if (!item_fits(&array->items[k], of) || size > ARRAY_MAX) {
            return false;
        }
    }
    char *at = out->arrays[i] = malloc(size);
    if (at == NULL) {
        return false;
    }
    out->values[i] = at;
    out->lengths[i] = (int)size;
    at = put4(at, 1);
    at = put4(at, 0);
    at = put4(at, of);
    at = put4(at, (uint32_t)array->i);
    at = put4(at, 1);
    for (int64_t k = 0; k < array->i; k++) {
        at = put_item(at, &array->items[k]);
    }
    return true;
}

/* --- arguments -------------------------------------------------------------------------- */

static bool encode(struct pg_args *out, size_t i, Oid type, const struct db_value *value)
{
    out->formats[i] = BINARY;
    out->values[i] = NULL;
    switch (value->type) {
    case DB_NULL:
        return true;
    case DB_INT:
        return encode_int(out, i, type, value->i);
    case DB_TEXT:
    case DB_BYTES:
        out->values[i] = value->s.p != NULL ? value->s.p : "";
        out->lengths[i] = (int)value->s.n;
        return value->s.n <= INT32_MAX &&
               (value->type == DB_BYTES ? type == OID_BYTEA
                                        : type == OID_TEXT || type == OID_VARCHAR);
    case DB_ARRAY:
        return encode_array(out, i, type, value);
    }
    return false;
}

bool pg_args_encode(struct pg_args *args, const Oid *types, const struct db_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!encode(args, i, types[i], &values[i])) {
            return false;
        }
    }
    return true;
}

void pg_args_done(struct pg_args *args)
{
    for (size_t i = 0; i < DB_ARGS_MAX; i++) {
        free(args->arrays[i]);
    }
}

/* --- columns ---------------------------------------------------------------------------- */

static int64_t decode_int(const char *p, Oid type)
{
    union pg_number number = {0};
    if (type == OID_INT8) {
        memcpy(&number.n8, p, 8);
        return (int64_t)be64toh(number.n8);
    }
    if (type == OID_INT4) {
        memcpy(&number.n4, p, 4);
        return (int32_t)be32toh(number.n4);
    }
    memcpy(&number.n2, p, 2);
    return (int16_t)be16toh(number.n2);
}

enum cw_err pg_value(const PGresult *result, int row, int column, struct db_value *ret_value)
{
    const char *p = PQgetvalue(result, row, column);
    size_t n = (size_t)PQgetlength(result, row, column);
    if (PQgetisnull(result, row, column)) {
        *ret_value = (struct db_value){.type = DB_NULL};
        return CW_OK;
    }
    Oid type = PQftype(result, column);
    switch (type) {
    case OID_INT8:
    case OID_INT4:
    case OID_INT2:
        *ret_value = db_int(decode_int(p, type));
        return CW_OK;
    case OID_BOOL:
        *ret_value = db_int(p[0] != 0);
        return CW_OK;
    case OID_TEXT:
    case OID_VARCHAR:
        *ret_value = db_text((struct cw_str){p, n});
        return CW_OK;
    case OID_BYTEA:
        *ret_value = db_bytes(p, n);
        return CW_OK;
    default:
        return CW_INTERNAL;
    }
}
