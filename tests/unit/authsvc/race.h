/* A store with one user, and what one transaction does beside another: for tests over each database
 * (databases.h), with the fake clock. Everything here asserts. */
#ifndef TESTS_UNIT_AUTHSVC_RACE_H
#define TESTS_UNIT_AUTHSVC_RACE_H

#include "authsvc/store/store.h"

#define TENANT CW_STR("clinicwave")
#define SUBJECT CW_STR("s-1")
#define ANNA CW_STR("anna@clinicwave.com")

/* Setup and teardown of cmocka; the state is the store. `connections` 0: as many as by default. */
int race_setup(void **state);
int race_setup_with(void **state, unsigned connections);
int race_teardown(void **state);

/* What a login reads before it checks the password. */
int64_t race_password(struct store *store);
enum cw_err race_start_session(struct store *store, int64_t password);
/* How many the user has. */
int race_sessions(struct store *store);

/* Until n of the store's sessions wait for locks that the connection of databases_psql holds. */
bool race_so_many_wait(int n);
bool race_somebody_waits(void);

struct race {
    struct store *store;
    enum cw_err (*run)(struct race *act);
    enum cw_err err;
    int64_t ended;
    enum store_rotation outcome;
};

/* Runs `act` on a thread while SQL beside it is not committed yet and holds it up; `last` and
 * COMMIT follow when it waits. PostgreSQL only. */
void race_beside(struct race *act, const char *const *sql, const char *last);
/* The clock moves by so many milliseconds while it waits. */
void race_beside_for(struct race *act, const char *const *sql, const char *last, int64_t ms);

enum cw_err race_revoke_subject(struct race *act);
enum cw_err race_revoke_tenant(struct race *act);
/* Keeps issued_until; ctx is an int64_t. */
enum cw_err race_read_until(void *ctx, const struct store_revocation *revocation);

#endif
