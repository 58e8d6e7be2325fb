/* Values between the store and PostgreSQL's binary form. For the driver's own files. */
#ifndef AUTHSVC_STORE_DB_POSTGRESQL_VALUES_H
#define AUTHSVC_STORE_DB_POSTGRESQL_VALUES_H

#include <postgresql/libpq-fe.h>

#include "authsvc/store/db.h"

union pg_number {
    uint64_t n8;
    uint32_t n4;
    uint16_t n2;
};

/* The arguments of a statement as libpq takes them; texts and bytes are borrowed. */
struct pg_args {
    const char *values[DB_ARGS_MAX];
    int lengths[DB_ARGS_MAX];
    int formats[DB_ARGS_MAX];
    union pg_number numbers[DB_ARGS_MAX];
    char *arrays[DB_ARGS_MAX]; /* owned */
};

/* args: zeroed. types: of the statement's n arguments. False: a value does not fit its type, or
 * there is no memory. */
bool pg_args_encode(struct pg_args *args, const Oid *types, const struct db_value *values,
                    size_t n);
/* In any case. */
void pg_args_done(struct pg_args *args);

/* A column as the store sees it; borrowed from the result. CW_INTERNAL: of a type that is none of
 * ours. */
CW_MUST_USE enum cw_err pg_value(const PGresult *result, int row, int column,
                                 struct db_value *ret_value);

#endif
