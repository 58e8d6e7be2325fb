/* The databases of the yardstick loop: nothing but the library's own calls, with the statements of
 * authsvc/store by name. */
#ifndef TESTS_BENCH_AUTHSVC_LOOP_H
#define TESTS_BENCH_AUTHSVC_LOOP_H

#include "authsvc/store/db.h"

/* What a loop runs on: for SQLite one for all threads (it has one writer), for PostgreSQL one a
 * thread. Failures end the program. */
struct loop_db;

struct loop_db *loop_db_open(struct cw_str url, const enum db_statement *statements, size_t n);
void loop_db_close(struct loop_db *db);
/* From begin to end the calling thread has the database for itself. */
void loop_db_begin(struct loop_db *db);
void loop_db_end(struct loop_db *db);
/* The rows that came back, or that were changed. */
int64_t loop_db_run(struct loop_db *db, enum db_statement statement, const struct db_value *args,
                    size_t n);
/* Whether each thread opens one of its own. */
bool loop_db_per_thread(struct cw_str url);

_Noreturn void loop_die(const char *what, const char *detail);

#endif
