/* Every database that the store runs on, for tests that run on each: SQLite in memory, and a
 * PostgreSQL of the test's own (tests/support/postgresql.sh). */
#ifndef TESTS_UNIT_AUTHSVC_DATABASES_H
#define TESTS_UNIT_AUTHSVC_DATABASES_H

#include <stdbool.h>

/* Milliseconds for connecting and for statements, where giving up is not the point: a server on a
 * busy machine was seen to take seconds for a connection. */
enum { DATABASES_PATIENCE_MS = 60 * 1000 };

/* Group setup and teardown of cmocka. */
int databases_use_sqlite(void **state);
int databases_use_postgresql(void **state);
int databases_end(void **state);

bool databases_is_postgresql(void);
/* The URL of an empty database; good until the next call. */
const char *databases_fresh_url(void);
/* Runs SQL beside the store, on the last fresh database; false where it failed. PostgreSQL only. */
bool databases_psql(const char *sql);

/* Runs a group of tests on each database; the sum of failures. */
#define DATABASES_RUN(tests)                                                                       \
    (cmocka_run_group_tests_name("on SQLite", tests, databases_use_sqlite, databases_end) +        \
     cmocka_run_group_tests_name("on PostgreSQL", tests, databases_use_postgresql, databases_end))

#endif
