/* What one transaction may not come to beside another: a session, or a login that waits for its
 * second factor, starts only while the password that was shown is the user's password; what was
 * starting when it was revoked is over; nobody joins a group that is gone. Over each database, and
 * with two writers at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "authsvc/store/store.h"
#include "tests/unit/authsvc/clock_fake.h"
#include "tests/unit/authsvc/databases.h"

#define TENANT CW_STR("clinicwave")
#define SUBJECT CW_STR("s-1")
#define ANNA CW_STR("anna@clinicwave.com")

static int setup_with(void **state, unsigned connections)
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

static int setup(void **state)
{
    return setup_with(state, 0);
}

static int teardown(void **state)
{
    store_close(*state);
    return 0;
}

/* What a login reads before it checks the password. */
static int64_t password_now(struct store *store)
{
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(16 * 1024);
    struct store_user user;
    assert_int_equal(store_user_by_name(store, TENANT, ANNA, &arena, &user), CW_OK);
    struct store_user same;
    assert_int_equal(store_user_by_subject(store, TENANT, SUBJECT, &arena, &same), CW_OK);
    assert_int_equal(same.password_changed_at, user.password_changed_at);
    return user.password_changed_at;
}

static enum cw_err start_session(struct store *store, int64_t password)
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

static start_fn *const starts[] = {start_session, wait_for_factor};

static enum cw_err count_session(void *ctx, const struct store_session *session)
{
    assert_true(session->id.n > 0);
    ++*(int *)ctx;
    return CW_OK;
}

static int sessions(struct store *store)
{
    int n = 0;
    assert_int_equal(store_session_list(store, TENANT, SUBJECT, 100, count_session, &n), CW_OK);
    return n;
}

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
            teardown(state);
            setup(state);
            int64_t seen = password_now(*state);
            assert_int_equal(starts[j](*state, seen), CW_OK);
            assert_int_equal(changes[i].change(*state), CW_OK);
            assert_int_equal(starts[j](*state, seen), changes[i].want);
            assert_int_equal(sessions(*state), 0);
        }
    }
}

static void the_new_password_starts_what_the_old_one_does_not(void **state)
{
    int64_t seen = password_now(*state);
    assert_int_equal(set_password(*state), CW_OK); /* within the same millisecond */
    int64_t next = password_now(*state);
    assert_true(next > seen);
    assert_int_equal(start_session(*state, next), CW_OK);
    fake_now_ms -= 3600000; /* a clock that is set back: another password all the same */
    assert_int_equal(set_password(*state), CW_OK);
    assert_true(password_now(*state) > next);
    assert_int_equal(start_session(*state, next), CW_CREDENTIALS_INVALID);
    assert_int_equal(start_session(*state, password_now(*state)), CW_OK);
    fake_now_ms += 3600000;
}

static void another_hash_of_the_same_password_changes_nothing(void **state)
{
    int64_t seen = password_now(*state);
    assert_int_equal(store_user_rehash(*state, TENANT, SUBJECT, CW_STR("old"), CW_STR("cheaper")),
                     CW_OK);
    assert_int_equal(start_session(*state, seen), CW_OK);
}

static void who_was_let_in_by_a_provider_has_no_password_to_change(void **state)
{
    assert_int_equal(set_password(*state), CW_OK);
    for (size_t i = 0; i < CW_ARRAY_SIZE(starts); i++) {
        assert_int_equal(starts[i](*state, STORE_NO_PASSWORD), CW_OK);
    }
    assert_int_equal(start_session(*state, 0), CW_CREDENTIALS_INVALID); /* not set is not none */
    assert_int_equal(disable(*state), CW_OK);
    assert_int_equal(start_session(*state, STORE_NO_PASSWORD), CW_ACCOUNT_BLOCKED);
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

/* Until n of the store's sessions wait for locks that this one holds. */
static bool so_many_wait(int n)
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

static bool somebody_waits(void)
{
    return so_many_wait(1);
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
            teardown(state);
            setup(state);
            struct starter s = {
                .store = *state, .start = starts[j], .password = password_now(*state)};
            pthread_t thread;
            bool began = databases_psql("BEGIN") && databases_psql(beside[i].sql);
            assert_int_equal(pthread_create(&thread, NULL, run_starter, &s), 0);
            bool waited = somebody_waits();
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
        int64_t seen = password_now(*state);
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
        assert_int_equal(sessions(*state), 0);
        for (size_t i = 0; i < STARTERS; i++) {
            if (starters[i].err != CW_OK && starters[i].err != CW_CREDENTIALS_INVALID) {
                fail_msg("%s", cw_err_code(starters[i].err));
            }
        }
    }
}

/* --- what is revoked or disabled beside a login or a refresh -------------------------------- */

struct act {
    struct store *store;
    enum cw_err (*run)(struct act *act);
    enum cw_err err;
    int64_t ended;
    enum store_rotation outcome;
};

static void *run_act(void *arg)
{
    struct act *act = arg;
    act->err = act->run(act);
    return NULL;
}

/* Runs `act` while SQL beside it is not committed yet and holds it up. */
static void beside_of(struct act *act, const char *const *sql, const char *last)
{
    pthread_t thread;
    bool began = databases_psql("BEGIN");
    for (size_t i = 0; sql[i] != NULL; i++) {
        began = began && databases_psql(sql[i]);
    }
    assert_int_equal(pthread_create(&thread, NULL, run_act, act), 0);
    bool waited = somebody_waits();
    bool ended = databases_psql(last) && databases_psql("COMMIT");
    pthread_join(thread, NULL);
    assert_true(began && waited && ended);
}

/* As SESSION_ADD does. */
static const char *const starting[] = {
    "SELECT 1 FROM app_user FOR NO KEY UPDATE",
    "INSERT INTO session (tenant, id, subject, client_id, scope, device, address, started_at, "
    "used_at, expires_at, amr) SELECT tenant, 'beside', subject, 'portal', '', '', '', 1, 1, "
    "9000000000000, '[]' FROM app_user",
    NULL,
};

static enum cw_err revoke_subject(struct act *act)
{
    return store_revoke(act->store, TENANT, STORE_REVOKED_SUBJECT, SUBJECT, 60000, &act->ended);
}

static enum cw_err revoke_tenant(struct act *act)
{
    return store_revoke(act->store, TENANT, STORE_REVOKED_TENANT, CW_STR(""), 60000, &act->ended);
}

static void a_session_that_was_starting_when_it_was_revoked_is_over(void **state)
{
    enum cw_err (*const revoke[])(struct act * act) = {revoke_subject, revoke_tenant};
    for (size_t i = 0; databases_is_postgresql() && i < CW_ARRAY_SIZE(revoke); i++) {
        teardown(state);
        setup(state);
        struct act act = {.store = *state, .run = revoke[i]};
        beside_of(&act, starting, "SELECT 1");
        assert_int_equal(act.err, CW_OK);
        assert_int_equal(act.ended, 1);
        assert_int_equal(sessions(*state), 0);
    }
}

static enum cw_err read_until(void *ctx, const struct store_revocation *revocation)
{
    *(int64_t *)ctx = revocation->issued_until;
    return CW_OK;
}

static void what_was_issued_while_a_revocation_waited_is_meant_too(void **state)
{
    if (!databases_is_postgresql()) {
        return;
    }
    struct act act = {.store = *state, .run = revoke_subject};
    pthread_t thread;
    int64_t until = 0;
    bool began = databases_psql("BEGIN") && databases_psql(starting[0]);
    assert_int_equal(pthread_create(&thread, NULL, run_act, &act), 0);
    bool waited = somebody_waits();
    fake_now_ms += 5000; /* nobody reads it now: they wait */
    bool ended = databases_psql("COMMIT");
    pthread_join(thread, NULL);
    assert_true(began && waited && ended);
    assert_int_equal(store_revocation_list(*state, 0, read_until, &until), CW_OK);
    assert_int_equal(until, fake_now_ms / 1000);
}

static enum cw_err refresh(struct act *act)
{
    static const uint8_t hash[STORE_HASH_SIZE];
    static const uint8_t next[STORE_HASH_SIZE] = {1};
    static const uint8_t family[STORE_FAMILY_SIZE];
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(16 * 1024);
    struct store_rotated rotated = {0};
    const struct store_rotate rotate = {
        .family = family,
        .hash = hash,
        .next_hash = next,
        .client_id = CW_STR("portal"),
        .idle_ms = 1000,
        .grace_ms = 1000,
    };
    enum cw_err err = store_refresh_rotate(act->store, TENANT, &rotate, &arena, &rotated);
    act->outcome = rotated.outcome;
    return err;
}

/* The chain of a session that was started just now, by its well-known name. */
static void start_chain(struct store *store)
{
    const struct store_session session = {
        .id = CW_STR("sid"),
        .subject = SUBJECT,
        .client_id = CW_STR("portal"),
        .started_at = fake_now_ms,
        .expires_at = fake_now_ms + 1000000,
        .amr = CW_STR("[]"),
        .password_changed_at = STORE_NO_PASSWORD,
    };
    const struct store_family family = {.idle_expires_at = fake_now_ms + 100000};
    assert_int_equal(store_session_start(store, TENANT, &session, &family, 100), CW_OK);
}

static void a_refresh_beside_the_end_of_its_session_is_refused_as_such(void **state)
{
    static const char *const held[] = {"SELECT 1 FROM refresh_family FOR UPDATE", NULL};
    static const char *const ends[] = {
        "UPDATE app_user SET disabled_at = 1; UPDATE session SET ended_at = 1",
        "UPDATE session SET ended_at = 1",
    };
    for (size_t i = 0; databases_is_postgresql() && i < CW_ARRAY_SIZE(ends); i++) {
        teardown(state);
        setup(state);
        start_chain(*state);
        struct act act = {.store = *state, .run = refresh};
        beside_of(&act, held, ends[i]);
        assert_int_equal(act.err, CW_OK);
        assert_int_equal(act.outcome, STORE_ROTATION_ENDED);
    }
}

/* In flight, as FAMILY_ROTATE leaves it: what it issues is as old as the moment before. */
static const char *const moving[] = {"UPDATE refresh_family SET generation = generation + 1", NULL};

static void what_a_refresh_issues_beside_a_revocation_is_meant_too(void **state)
{
    enum cw_err (*const revoke[])(struct act * act) = {revoke_subject, revoke_tenant};
    for (size_t i = 0; databases_is_postgresql() && i < CW_ARRAY_SIZE(revoke); i++) {
        teardown(state);
        setup(state);
        start_chain(*state);
        struct act act = {.store = *state, .run = revoke[i]};
        pthread_t thread;
        int64_t until = 0;
        bool began = databases_psql("BEGIN") && databases_psql(moving[0]);
        assert_int_equal(pthread_create(&thread, NULL, run_act, &act), 0);
        bool waited = somebody_waits();
        fake_now_ms += 5000; /* nobody reads it now: they wait */
        bool ended = databases_psql("COMMIT");
        pthread_join(thread, NULL);
        assert_true(began && waited && ended);
        assert_int_equal(act.ended, 1);
        assert_int_equal(store_revocation_list(*state, 0, read_until, &until), CW_OK);
        assert_int_equal(until, fake_now_ms / 1000);
    }
}

static void a_refresh_that_is_repeated_beside_a_revocation_sees_it(void **state)
{
    static const char *const ending[] = {"UPDATE session SET ended_at = 1", NULL};
    start_chain(*state);
    struct act act = {.store = *state, .run = refresh};
    assert_int_equal(refresh(&act), CW_OK);
    assert_int_equal(act.outcome, STORE_ROTATION_DONE);
    assert_int_equal(refresh(&act), CW_OK);
    assert_int_equal(act.outcome, STORE_ROTATION_REPEATED);
    if (databases_is_postgresql()) {
        beside_of(&act, ending, "SELECT 1");
        assert_int_equal(act.err, CW_OK);
        assert_int_equal(act.outcome, STORE_ROTATION_ENDED);
    }
}

/* --- refreshes that are redeemed together ---------------------------------------------------- */

enum { CHAINS = 40, TABS = 2 }; /* more than one transaction takes */

struct tab {
    struct store *store;
    int chain;
    enum cw_err err;
    enum store_rotation outcome;
    char session[16];
};

static void name_chain(int chain, uint8_t family[STORE_FAMILY_SIZE], char session[16])
{
    memset(family, 0, STORE_FAMILY_SIZE);
    family[0] = (uint8_t)(chain * 37); /* not in the order in which they come */
    family[1] = (uint8_t)chain;
    snprintf(session, 16, "chain-%d", chain);
}

static void *run_tab(void *arg)
{
    static const uint8_t hash[STORE_HASH_SIZE];
    static const uint8_t next[STORE_HASH_SIZE] = {1};
    struct tab *tab = arg;
    uint8_t family[STORE_FAMILY_SIZE];
    name_chain(tab->chain, family, tab->session);
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(16 * 1024);
    struct store_rotated rotated = {0};
    const struct store_rotate rotate = {
        .family = family,
        .hash = hash,
        .next_hash = next,
        .client_id = tab->chain % 10 == 9 ? CW_STR("another") : CW_STR("portal"),
        .idle_ms = 1000,
        .grace_ms = 1000,
    };
    tab->err = store_refresh_rotate(tab->store, TENANT, &rotate, &arena, &rotated);
    tab->outcome = rotated.outcome;
    snprintf(tab->session, sizeof(tab->session), "%.*s", (int)rotated.session.id.n,
             rotated.session.id.n > 0 ? rotated.session.id.p : "");
    return NULL;
}

static void start_chains(struct store *store)
{
    for (int i = 0; i < CHAINS; i++) {
        struct store_family family = {.idle_expires_at = fake_now_ms + 100000};
        char id[16];
        name_chain(i, family.id, id);
        const struct store_session session = {
            .id = cw_str(id),
            .subject = SUBJECT,
            .client_id = CW_STR("portal"),
            .started_at = fake_now_ms,
            .expires_at = fake_now_ms + 1000000,
            .amr = CW_STR("[]"),
            .password_changed_at = STORE_NO_PASSWORD,
        };
        assert_int_equal(store_session_start(store, TENANT, &session, &family, 100), CW_OK);
    }
}

/* Each chain twice at once: one moves it, the other gets the same; each is told of its own chain,
 * and who comes with another's client gets nothing. */
static void refreshes_that_come_together_are_told_apart(void **state)
{
    static struct tab tabs[CHAINS * TABS];
    pthread_t threads[CHAINS * TABS];
    start_chains(*state);
    bool held =
        !databases_is_postgresql() ||
        (databases_psql("BEGIN") && databases_psql("SELECT 1 FROM refresh_family FOR UPDATE"));
    for (int i = 0; i < CHAINS * TABS; i++) {
        tabs[i] = (struct tab){.store = *state, .chain = i % CHAINS, .err = CW_INTERNAL};
        assert_int_equal(pthread_create(&threads[i], NULL, run_tab, &tabs[i]), 0);
    }
    bool let_go = !databases_is_postgresql() || (somebody_waits() && databases_psql("COMMIT"));
    for (int i = 0; i < CHAINS * TABS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(held && let_go);
    for (int i = 0; i < CHAINS; i++) {
        const struct tab *one = &tabs[i];
        const struct tab *two = &tabs[i + CHAINS];
        assert_true(one->err == CW_OK && two->err == CW_OK);
        if (i % 10 == 9) {
            assert_int_equal(one->outcome, STORE_ROTATION_UNKNOWN);
            assert_int_equal(two->outcome, STORE_ROTATION_UNKNOWN);
            continue;
        }
        char want[16];
        uint8_t family[STORE_FAMILY_SIZE];
        name_chain(i, family, want);
        assert_string_equal(one->session, want);
        assert_string_equal(two->session, want);
        assert_true((one->outcome == STORE_ROTATION_DONE) != (two->outcome == STORE_ROTATION_DONE));
        assert_true(one->outcome == STORE_ROTATION_REPEATED ||
                    two->outcome == STORE_ROTATION_REPEATED);
    }
}

/* Refreshes of chains, each on a thread. */
struct tabs {
    struct tab tab[CHAINS];
    pthread_t thread[CHAINS];
    int n;
};

static void open_tab(struct tabs *tabs, struct store *store, int chain)
{
    int i = tabs->n++;
    tabs->tab[i] = (struct tab){.store = store, .chain = chain, .err = CW_INTERNAL};
    assert_int_equal(pthread_create(&tabs->thread[i], NULL, run_tab, &tabs->tab[i]), 0);
}

static int tabs_done(struct tabs *tabs, enum store_rotation outcome)
{
    int n = 0;
    for (int i = 0; i < tabs->n; i++) {
        pthread_join(tabs->thread[i], NULL);
        n += tabs->tab[i].err == CW_OK && tabs->tab[i].outcome == outcome;
    }
    return n;
}

static bool hold_chains_up_to(int last)
{
    char sql[160];
    snprintf(
        sql, sizeof(sql),
        "SELECT 1 FROM refresh_family WHERE CAST(substr(session_id, 7) AS INT) <= %d FOR UPDATE",
        last);
    return databases_psql("BEGIN") && databases_psql(sql);
}

/* Transactions of one chain each wait for it; then come some more, of whom one wants a chain that
 * is held, too. They have been sent together, and yet only that one waits. */
static void a_row_that_is_held_holds_up_none_of_those_that_were_sent_with_it(void **state)
{
    static struct tabs held;
    static struct tabs others;
    if (!databases_is_postgresql()) {
        return; /* no rows that somebody else holds */
    }
    held.n = others.n = 0;
    long leading = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    int last = (int)CW_MIN(CW_MAX(leading, 1), 8); /* beyond: not together, but as well */
    start_chains(*state);
    bool holding = hold_chains_up_to(last);
    bool waiting = true;
    for (int chain = 0; chain < last; chain++) {
        open_tab(&held, *state, chain);
        waiting = so_many_wait(held.n) && waiting;
    }
    open_tab(&held, *state, last);
    for (int chain = 10; chain < 19; chain++) {
        open_tab(&others, *state, chain);
    }
    int n = tabs_done(&others, STORE_ROTATION_DONE); /* while it is held */
    waiting = so_many_wait(held.n) && waiting;
    bool let_go = databases_psql("COMMIT");
    int n_held = tabs_done(&held, STORE_ROTATION_DONE);
    assert_true(holding && waiting && let_go);
    assert_int_equal(n, others.n);
    assert_int_equal(n_held, held.n);
}

/* However long refreshes wait for rows: four connections are not theirs. */
static void refreshes_that_wait_leave_connections_to_logins(void **state)
{
    static struct tabs held;
    if (!databases_is_postgresql()) {
        return; /* no connections */
    }
    held.n = 0;
    teardown(state);
    setup_with(state, 5);
    start_chains(*state);
    bool holding = hold_chains_up_to(5);
    open_tab(&held, *state, 0);
    bool waiting = somebody_waits();
    for (int chain = 1; chain <= 5; chain++) {
        open_tab(&held, *state, chain);
        usleep(150 * 1000); /* enough to lose patience; more would prove no more */
    }
    int64_t password = password_now(*state);
    enum cw_err login = start_session(*state, password);
    bool let_go = databases_psql("COMMIT");
    assert_int_equal(tabs_done(&held, STORE_ROTATION_DONE), held.n);
    assert_true(holding && waiting && let_go);
    assert_int_equal(login, CW_OK);
}

static void a_revocation_holds_no_chain_of_a_session_that_has_expired(void **state)
{
    enum cw_err (*const revoke[])(struct act * act) = {revoke_subject, revoke_tenant};
    start_chains(*state);
    fake_now_ms += 2000000;
    for (size_t i = 0; databases_is_postgresql() && i < CW_ARRAY_SIZE(revoke); i++) {
        struct act act = {.store = *state};
        bool holding = hold_chains_up_to(CHAINS);
        enum cw_err err = revoke[i](&act);
        bool let_go = databases_psql("COMMIT");
        assert_true(holding && let_go);
        assert_int_equal(err, CW_OK);
    }
    fake_now_ms -= 2000000;
}

static enum cw_err remove_tenant(struct act *act)
{
    return store_tenant_remove(act->store, TENANT);
}

/* Who waits for one chain holds none that comes after it: a refresh that has one of those and wants
 * this one, too, goes on. */
static void a_tenant_that_is_removed_takes_its_chains_in_order(void **state)
{
    static const char *const held[] = {
        "SELECT 1 FROM refresh_family ORDER BY id LIMIT 1 FOR UPDATE", NULL};
    const struct store_tenant tenant = {
        .name = TENANT, .issuer = CW_STR("https://clinicwave"), .document = CW_STR("{}")};
    if (!databases_is_postgresql()) {
        return; /* one writer */
    }
    start_chains(*state);
    assert_int_equal(store_tenant_put(*state, &tenant, 0), CW_OK);
    assert_int_equal(store_tenant_set_disabled(*state, TENANT, true), CW_OK);
    /* The first one by name is not the first that there is. */
    assert_true(databases_psql("DELETE FROM session WHERE id = 'chain-0'"));
    struct act act = {.store = *state, .run = remove_tenant};
    beside_of(&act, held,
              "SELECT 1 FROM refresh_family WHERE id > (SELECT id FROM refresh_family ORDER BY id "
              "LIMIT 1) FOR UPDATE NOWAIT");
    assert_int_equal(act.err, CW_OK);
    assert_int_equal(store_tenant_add(*state, TENANT),
                     CW_OK); /* it is gone, and with it the rest */
    assert_int_equal(sessions(*state), 0);
}

static enum cw_err no_memory(void *ctx, const struct store_group *group)
{
    (void)ctx;
    (void)group;
    return CW_NO_MEMORY;
}

/* What is wrong with one of them is told to nobody else, and costs it nothing. */
static void a_refresh_that_cannot_be_read_is_refused_alone(void **state)
{
    static const uint8_t hash[STORE_HASH_SIZE];
    static const uint8_t next[STORE_HASH_SIZE] = {1};
    const struct store_group group = {
        .name = CW_STR("doctors"), .roles = CW_STR("[]"), .permissions = CW_STR("[]")};
    assert_int_equal(store_group_put(*state, TENANT, &group), CW_OK);
    assert_int_equal(store_member_add(*state, TENANT, CW_STR("doctors"), ANNA), CW_OK);
    start_chains(*state);
    uint8_t family[STORE_FAMILY_SIZE];
    char id[16];
    name_chain(0, family, id);
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(16 * 1024);
    struct store_rotated rotated = {0};
    struct store_rotate rotate = {
        .family = family,
        .hash = hash,
        .next_hash = next,
        .client_id = CW_STR("\xff"),
        .idle_ms = 100000,
        .grace_ms = 1000,
        .group = no_memory,
    };
    assert_int_equal(store_refresh_rotate(*state, TENANT, &rotate, &arena, &rotated),
                     CW_REQUEST_MALFORMED);
    rotate.client_id = CW_STR("portal");
    assert_int_equal(store_refresh_rotate(*state, TENANT, &rotate, &arena, &rotated), CW_NO_MEMORY);
    fake_now_ms += 50000; /* the grace is over */
    rotate.group = NULL;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_refresh_rotate(*state, TENANT, &rotate, &arena, &rotated), CW_OK);
        assert_int_equal(rotated.outcome, i == 0 ? STORE_ROTATION_DONE : STORE_ROTATION_REPEATED);
        assert_int_equal(rotated.generation, 1);
    }
    assert_int_equal(store_refresh_put_back(*state, TENANT, &rotate), CW_OK);
    assert_int_equal(store_refresh_put_back(*state, TENANT, &rotate), CW_OK); /* not further */
    assert_int_equal(store_family_find(*state, TENANT, family, &arena, &rotated), CW_OK);
    assert_int_equal(rotated.generation, 0);
    assert_memory_equal(rotated.current_hash, hash, STORE_HASH_SIZE);
    fake_now_ms -= 50000;
}

static enum cw_err join_group(struct act *act)
{
    return store_member_add(act->store, TENANT, CW_STR("doctors"), ANNA);
}

static void nobody_joins_a_group_that_is_being_removed(void **state)
{
    static const char *const removed[] = {"DELETE FROM app_group", NULL};
    const struct store_group group = {
        .name = CW_STR("doctors"), .roles = CW_STR("[]"), .permissions = CW_STR("[]")};
    struct act act = {.store = *state, .run = join_group};
    assert_int_equal(store_group_put(*state, TENANT, &group), CW_OK);
    assert_int_equal(join_group(&act), CW_OK);
    if (databases_is_postgresql()) {
        beside_of(&act, removed, "SELECT 1");
        assert_int_equal(act.err, CW_NOT_FOUND);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(nothing_starts_that_was_proved_before_a_change),
        CASE(the_new_password_starts_what_the_old_one_does_not),
        CASE(another_hash_of_the_same_password_changes_nothing),
        CASE(who_was_let_in_by_a_provider_has_no_password_to_change),
        CASE(a_start_beside_a_change_waits_for_its_end),
        CASE(of_many_starts_around_a_change_none_is_left),
        CASE(a_session_that_was_starting_when_it_was_revoked_is_over),
        CASE(what_was_issued_while_a_revocation_waited_is_meant_too),
        CASE(a_refresh_beside_the_end_of_its_session_is_refused_as_such),
        CASE(what_a_refresh_issues_beside_a_revocation_is_meant_too),
        CASE(a_refresh_that_is_repeated_beside_a_revocation_sees_it),
        CASE(refreshes_that_come_together_are_told_apart),
        CASE(a_row_that_is_held_holds_up_none_of_those_that_were_sent_with_it),
        CASE(refreshes_that_wait_leave_connections_to_logins),
        CASE(a_revocation_holds_no_chain_of_a_session_that_has_expired),
        CASE(a_tenant_that_is_removed_takes_its_chains_in_order),
        CASE(a_refresh_that_cannot_be_read_is_refused_alone),
        CASE(nobody_joins_a_group_that_is_being_removed),
    };
#undef CASE
    return DATABASES_RUN(tests);
}
