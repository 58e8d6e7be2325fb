/* What one transaction may not come to beside another: a session, or a login that waits for its
 * second factor, starts only while the password that was shown is the user's password; what was
 * starting when it was revoked is over; nobody joins a group that is gone. Over each database, and
 * with two writers at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "tests/unit/authsvc/clock_fake.h"
#include "tests/unit/authsvc/databases.h"
#include "tests/unit/authsvc/race.h"

static enum cw_err wait_for_factor(struct store *store, int64_t password)
{
    static uint8_t number; /* of one thread at a time */
    const struct store_challenge challenge = {
        .id = {++number},
        .kind = CW_STR("database"),
        .subject = SUBJECT,
        .username = ANNA,
        .client_id = CW_STR("portal"),
        .methods = CW_STR("otp"),
        .sealed = CW_STR("x"),
        .expires_at = fake_now_ms + 300000,
        .password_changed_at = password,
    };
    return store_challenge_add(store, TENANT, &challenge);
}

typedef enum cw_err start_fn(struct store *store, int64_t password);

static start_fn *const starts[] = {race_start_session, wait_for_factor};

/* --- one after the other ---------------------------------------------------------------- */

static enum cw_err set_password(struct store *store)
{
    return store_user_set_password(store, TENANT, ANNA, CW_STR("new"));
}

static enum cw_err change_password(struct store *store)
{
    return store_user_change_password(store, TENANT, SUBJECT, CW_STR("old"), CW_STR("new"),
                                      CW_STR(""));
}

static enum cw_err reset_password(struct store *store)
{
    static const uint8_t code[STORE_HASH_SIZE] = {1};
    TRY(store_reset_add(store, TENANT, ANNA, code, fake_now_ms + 1000));
    return store_reset_redeem(store, TENANT, code, CW_STR("new"));
}

static enum cw_err expire_password(struct store *store)
{
    return store_user_expire_password(store, TENANT, ANNA);
}

static enum cw_err disable(struct store *store)
{
    return store_user_set_disabled(store, TENANT, ANNA, true);
}

static const struct {
    enum cw_err (*change)(struct store *store);
    enum cw_err want;
} changes[] = {
    {set_password, CW_CREDENTIALS_INVALID},
    {change_password, CW_CREDENTIALS_INVALID},
    {reset_password, CW_CREDENTIALS_INVALID},
    {expire_password, CW_PASSWORD_EXPIRED},
    {disable, CW_ACCOUNT_BLOCKED},
};

static void nothing_starts_that_was_proved_before_a_change(void **state)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(changes); i++) {
        for (size_t j = 0; j < CW_ARRAY_SIZE(starts); j++) {
            race_teardown(state);
            race_setup(state);
            int64_t seen = race_password(*state);
            assert_int_equal(starts[j](*state, seen), CW_OK);
            assert_int_equal(changes[i].change(*state), CW_OK);
            assert_int_equal(starts[j](*state, seen), changes[i].want);
            assert_int_equal(race_sessions(*state), 0);
        }
    }
}

static void the_new_password_starts_what_the_old_one_does_not(void **state)
{
    int64_t seen = race_password(*state);
    assert_int_equal(set_password(*state), CW_OK); /* within the same millisecond */
    int64_t next = race_password(*state);
    assert_true(next > seen);
    assert_int_equal(race_start_session(*state, next), CW_OK);
    fake_now_ms -= 3600000; /* a clock that is set back: another password all the same */
    assert_int_equal(set_password(*state), CW_OK);
    assert_true(race_password(*state) > next);
    assert_int_equal(race_start_session(*state, next), CW_CREDENTIALS_INVALID);
    assert_int_equal(race_start_session(*state, race_password(*state)), CW_OK);
    fake_now_ms += 3600000;
}

static void another_hash_of_the_same_password_changes_nothing(void **state)
{
    int64_t seen = race_password(*state);
    assert_int_equal(store_user_rehash(*state, TENANT, SUBJECT, CW_STR("old"), CW_STR("cheaper")),
                     CW_OK);
    assert_int_equal(race_start_session(*state, seen), CW_OK);
}

static void who_was_let_in_by_a_provider_has_no_password_to_change(void **state)
{
    assert_int_equal(set_password(*state), CW_OK);
    for (size_t i = 0; i < CW_ARRAY_SIZE(starts); i++) {
        assert_int_equal(starts[i](*state, STORE_NO_PASSWORD), CW_OK);
    }
    assert_int_equal(race_start_session(*state, 0),
                     CW_CREDENTIALS_INVALID); /* not set is not none */
    assert_int_equal(disable(*state), CW_OK);
    assert_int_equal(race_start_session(*state, STORE_NO_PASSWORD), CW_ACCOUNT_BLOCKED);
}

/* --- at once ---------------------------------------------------------------------------- */

struct starter {
    struct store *store;
    start_fn *start;
    int64_t password;
    enum cw_err err;
};

static void *run_starter(void *arg)
{
    struct starter *s = arg;
    s->err = s->start(s->store, s->password);
    return NULL;
}

static const struct {
    const char *sql; /* uncommitted while the login starts its session */
    const char *end;
    enum cw_err want;
} beside[] = {
    {"UPDATE app_user SET password_changed_at = password_changed_at + 1", "COMMIT",
     CW_CREDENTIALS_INVALID},
    {"UPDATE app_user SET password_changed_at = password_changed_at + 1", "ROLLBACK", CW_OK},
    {"UPDATE app_user SET password_expired_at = 1", "COMMIT", CW_PASSWORD_EXPIRED},
    {"UPDATE app_user SET disabled_at = 1", "COMMIT", CW_ACCOUNT_BLOCKED},
};

static void a_start_beside_a_change_waits_for_its_end(void **state)
{
    if (!databases_is_postgresql()) {
        return; /* one writer at a time */
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(beside); i++) {
        for (size_t j = 0; j < CW_ARRAY_SIZE(starts); j++) {
            race_teardown(state);
            race_setup(state);
            struct starter s = {
                .store = *state, .start = starts[j], .password = race_password(*state)};
            pthread_t thread;
            bool began = databases_psql("BEGIN") && databases_psql(beside[i].sql);
            assert_int_equal(pthread_create(&thread, NULL, run_starter, &s), 0);
            bool waited = race_somebody_waits();
            bool ended = databases_psql(beside[i].end);
            pthread_join(thread, NULL);
            assert_true(began && waited && ended);
            assert_int_equal(s.err, beside[i].want);
        }
    }
}

/* Whoever comes first: what was started with the old password is over afterwards. */
static void of_many_starts_around_a_change_none_is_left(void **state)
{
    enum { STARTERS = 6, ROUNDS = 20 };
    for (int round = 0; round < ROUNDS; round++) {
        struct starter starters[STARTERS];
        pthread_t threads[STARTERS];
        int64_t seen = race_password(*state);
        for (size_t i = 0; i < STARTERS; i++) {
            starters[i] = (struct starter){
                .store = *state, .start = starts[0], .password = seen, .err = CW_INTERNAL};
        }
        for (size_t i = 0; i < STARTERS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, run_starter, &starters[i]), 0);
        }
        enum cw_err changed = set_password(*state);
        for (size_t i = 0; i < STARTERS; i++) {
            pthread_join(threads[i], NULL);
        }
        assert_int_equal(changed, CW_OK);
        assert_int_equal(race_sessions(*state), 0);
        for (size_t i = 0; i < STARTERS; i++) {
            if (starters[i].err != CW_OK && starters[i].err != CW_CREDENTIALS_INVALID) {
                fail_msg("%s", cw_err_code(starters[i].err));
            }
        }
    }
}

/* --- what is revoked or disabled beside a login or a refresh -------------------------------- */

/* As SESSION_ADD does. */
static const char *const starting[] = {
    "SELECT 1 FROM app_user FOR NO KEY UPDATE",
    "INSERT INTO session (tenant, id, subject, client_id, scope, device, address, started_at, "
    "used_at, expires_at, amr) SELECT tenant, 'beside', subject, 'portal', '', '', '', 1, 1, "
    "9000000000000, '[]' FROM app_user",
    NULL,
};

static void a_session_that_was_starting_when_it_was_revoked_is_over(void **state)
{
    enum cw_err (*const revoke[])(struct race * act) = {race_revoke_subject, race_revoke_tenant};
    for (size_t i = 0; databases_is_postgresql() && i < CW_ARRAY_SIZE(revoke); i++) {
        race_teardown(state);
        race_setup(state);
        struct race act = {.store = *state, .run = revoke[i]};
        race_beside(&act, starting, "SELECT 1");
        assert_int_equal(act.err, CW_OK);
        assert_int_equal(act.ended, 1);
        assert_int_equal(race_sessions(*state), 0);
    }
}

static void what_was_issued_while_a_revocation_waited_is_meant_too(void **state)
{
    if (!databases_is_postgresql()) {
        return;
    }
    struct race act = {.store = *state, .run = race_revoke_subject};
    static const char *const held[] = {"SELECT 1 FROM app_user FOR NO KEY UPDATE", NULL};
    int64_t until = 0;
    race_beside_for(&act, held, "SELECT 1", 5000);
    assert_int_equal(store_revocation_list(*state, 0, race_read_until, &until), CW_OK);
    assert_int_equal(until, fake_now_ms / 1000);
}

static enum cw_err join_group(struct race *act)
{
    return store_member_add(act->store, TENANT, CW_STR("doctors"), ANNA);
}

static void nobody_joins_a_group_that_is_being_removed(void **state)
{
    static const char *const removed[] = {"DELETE FROM app_group", NULL};
    const struct store_group group = {
        .name = CW_STR("doctors"), .roles = CW_STR("[]"), .permissions = CW_STR("[]")};
    struct race act = {.store = *state, .run = join_group};
    assert_int_equal(store_group_put(*state, TENANT, &group), CW_OK);
    assert_int_equal(join_group(&act), CW_OK);
    if (databases_is_postgresql()) {
        race_beside(&act, removed, "SELECT 1");
        assert_int_equal(act.err, CW_NOT_FOUND);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, race_setup, race_teardown)
    const struct CMUnitTest tests[] = {
        CASE(nothing_starts_that_was_proved_before_a_change),
        CASE(the_new_password_starts_what_the_old_one_does_not),
        CASE(another_hash_of_the_same_password_changes_nothing),
        CASE(who_was_let_in_by_a_provider_has_no_password_to_change),
        CASE(a_start_beside_a_change_waits_for_its_end),
        CASE(of_many_starts_around_a_change_none_is_left),
        CASE(a_session_that_was_starting_when_it_was_revoked_is_over),
        CASE(what_was_issued_while_a_revocation_waited_is_meant_too),
        CASE(nobody_joins_a_group_that_is_being_removed),
    };
#undef CASE
    return DATABASES_RUN(tests);
}
