/* The use cases without transport: one tenant, one user, a fake clock, over each database
 * (databases.h). Everything here asserts. */
#ifndef TESTS_UNIT_AUTHSVC_LOGIN_WORLD_H
#define TESTS_UNIT_AUTHSVC_LOGIN_WORLD_H

#include <pthread.h>

#include "authsvc/login/account.h"
#include "authsvc/login/mfa.h"
#include "tests/unit/authsvc/clock_fake.h"
#include "tests/unit/authsvc/databases.h"

#define TENANT CW_STR("clinicwave")
#define HOST CW_STR("clinicwave.localhost:8443")
#define ANNA CW_STR("anna@clinicwave.com")
#define PASSWORD CW_STR("correct horse")

struct world {
    char dir[32];
    char kek[64];
    struct store *store;
    struct keyring *keys;
    struct password_hasher *hasher;
    struct tenant_current *tenants;
    struct login *login;
    struct cw_clock clock;   /* the login's; see between_steps */
    int steps_left;          /* of the clock's readings, until the password is changed; 0: never */
    pthread_mutex_t lock;    /* last */
    struct login_event last; /* strings of it are gone; outcome and note stay */
};

/* Setup and teardown of cmocka; the state is the world. */
int world_setup(void **state);
int world_teardown(void **state);

/* Anna's. */
struct login_request world_request(struct cw_str password, struct cw_str address);
enum cw_err world_try_login(struct world *w, struct cw_str password, const char *address);
void world_first_token(struct world *w, char ret_token[REFRESH_TEXT_SIZE]);
/* `ret_next` may be NULL. */
enum cw_err world_refresh(struct world *w, const char *token, char ret_next[REFRESH_TEXT_SIZE]);

#endif
