#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "tests/unit/authsvc/clock_fake.h"
#include "tests/unit/authsvc/databases.h"
#include "tests/unit/authsvc/race.h"

int race_setup_with(void **state, unsigned connections)
{
    const struct store_options options = {
        .url = cw_str(databases_fresh_url()),
        .connections = connections,
        .connect_timeout_ms = DATABASES_PATIENCE_MS,
        .statement_timeout_ms = DATABASES_PATIENCE_MS,
        .clock = &fake_clock,
    };
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    struct store *store = NULL;
    assert_int_equal(store_open(&options, &message, &store), CW_OK);
    assert_int_equal(store_tenant_add(store, TENANT), CW_OK);
    const struct store_user user = {
        .subject = SUBJECT,
        .username = ANNA,
        .password_hash = CW_STR("old"),
        .email = ANNA,
        .roles = CW_STR("[]"),
        .permissions = CW_STR("[]"),
    };
    assert_int_equal(store_user_add(store, TENANT, &user), CW_OK);
    *state = store;
    return 0;
}

int race_setup(void **state)
{
    return race_setup_with(state, 0);
}

int race_teardown(void **state)
{
    store_close(*state);
    return 0;
}

/* What a login reads before it checks the password. */
int64_t race_password(struct store *store)
{
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(16 * 1024);
    struct store_user user;
    assert_int_equal(store_user_by_name(store, TENANT, ANNA, &arena, &user), CW_OK);
    struct store_user same;
    assert_int_equal(store_user_by_subject(store, TENANT, SUBJECT, &arena, &same), CW_OK);
    assert_int_equal(same.password_changed_at, user.password_changed_at);
    return user.password_changed_at;
}

enum cw_err race_start_session(struct store *store, int64_t password)
{
    static _Atomic int numbers; /* several threads start sessions */
    int number = atomic_fetch_add(&numbers, 1) + 1;
    CW_CLEANUP(cw_buf_done) struct cw_buf id = CW_BUF_INIT(32);
    cw_buf_addf(&id, "sid-%d", number);
    const struct store_session session = {
        .id = cw_buf_str(&id),
        .subject = SUBJECT,
        .client_id = CW_STR("portal"),
        .started_at = fake_now_ms,
        .expires_at = fake_now_ms + 1000000,
        .amr = CW_STR("[\"pwd\"]"),
        .password_changed_at = password,
    };
    struct store_family family = {.idle_expires_at = fake_now_ms + 100000};
    memcpy(family.id, &number, sizeof(number));
    return store_session_start(store, TENANT, &session, &family, 100);
}

static enum cw_err count_session(void *ctx, const struct store_session *session)
{
    assert_true(session->id.n > 0);
    ++*(int *)ctx;
    return CW_OK;
}

int race_sessions(struct store *store)
{
    int n = 0;
    assert_int_equal(store_session_list(store, TENANT, SUBJECT, 100, count_session, &n), CW_OK);
    return n;
}

/* Until n of the store's sessions wait for locks that this one holds. */
bool race_so_many_wait(int n)
{
    char sql[400];
    snprintf(sql, sizeof(sql),
             "DO $$ BEGIN FOR i IN 1..6000 LOOP PERFORM pg_stat_clear_snapshot(); IF (SELECT "
             "COUNT(*) FROM pg_stat_activity WHERE application_name = 'cw-authsvc' AND "
             "wait_event_type = 'Lock') >= %d "
             "THEN RETURN; END IF; PERFORM pg_sleep(0.01); END LOOP; RAISE 'nobody waits'; END $$",
             n);
    return databases_psql(sql);
}

bool race_somebody_waits(void)
{
    return race_so_many_wait(1);
}

static void *run_act(void *arg)
{
    struct race *act = arg;
    act->err = act->run(act);
    return NULL;
}

/* Runs `act` while SQL beside it is not committed yet and holds it up. */
void race_beside_for(struct race *act, const char *const *sql, const char *last, int64_t ms)
{
    pthread_t thread;
    bool began = databases_psql("BEGIN");
    for (size_t i = 0; sql[i] != NULL; i++) {
        began = began && databases_psql(sql[i]);
    }
    assert_int_equal(pthread_create(&thread, NULL, run_act, act), 0);
    bool waited = race_somebody_waits();
    fake_now_ms += ms; /* nobody reads it now: they wait */
    bool ended = databases_psql(last) && databases_psql("COMMIT");
    pthread_join(thread, NULL);
    assert_true(began && waited && ended);
}

void race_beside(struct race *act, const char *const *sql, const char *last)
{
    race_beside_for(act, sql, last, 0);
}

enum cw_err race_revoke_subject(struct race *act)
{
    return store_revoke(act->store, TENANT, STORE_REVOKED_SUBJECT, SUBJECT, 60000, &act->ended);
}

enum cw_err race_revoke_tenant(struct race *act)
{
    return store_revoke(act->store, TENANT, STORE_REVOKED_TENANT, CW_STR(""), 60000, &act->ended);
}

enum cw_err race_read_until(void *ctx, const struct store_revocation *revocation)
{
    *(int64_t *)ctx = revocation->issued_until;
    return CW_OK;
}
