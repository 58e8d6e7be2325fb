/* Refreshes beside what ends their sessions, and refreshes that come together: each is told of its
 * own chain, none waits for another's row for long, and what is wrong with one costs the others
 * nothing. Over each database, and with two writers at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "tests/unit/authsvc/clock_fake.h"
#include "tests/unit/authsvc/databases.h"
#include "tests/unit/authsvc/race.h"

static enum cw_err refresh(struct race *act)
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
        race_teardown(state);
        race_setup(state);
        start_chain(*state);
        struct race act = {.store = *state, .run = refresh};
        race_beside(&act, held, ends[i]);
        assert_int_equal(act.err, CW_OK);
        assert_int_equal(act.outcome, STORE_ROTATION_ENDED);
    }
}

/* In flight, as FAMILY_ROTATE leaves it: what it issues is as old as the moment before. */
static const char *const moving[] = {"UPDATE refresh_family SET generation = generation + 1", NULL};

static void what_a_refresh_issues_beside_a_revocation_is_meant_too(void **state)
{
    enum cw_err (*const revoke[])(struct race * act) = {race_revoke_subject, race_revoke_tenant};
    for (size_t i = 0; databases_is_postgresql() && i < CW_ARRAY_SIZE(revoke); i++) {
        race_teardown(state);
        race_setup(state);
        start_chain(*state);
        struct race act = {.store = *state, .run = revoke[i]};
        int64_t until = 0;
        race_beside_for(&act, moving, "SELECT 1", 5000);
        assert_int_equal(act.ended, 1);
        assert_int_equal(store_revocation_list(*state, 0, race_read_until, &until), CW_OK);
        assert_int_equal(until, fake_now_ms / 1000);
    }
}

static void a_refresh_that_is_repeated_beside_a_revocation_sees_it(void **state)
{
    static const char *const ending[] = {"UPDATE session SET ended_at = 1", NULL};
    start_chain(*state);
    struct race act = {.store = *state, .run = refresh};
    assert_int_equal(refresh(&act), CW_OK);
    assert_int_equal(act.outcome, STORE_ROTATION_DONE);
    assert_int_equal(refresh(&act), CW_OK);
    assert_int_equal(act.outcome, STORE_ROTATION_REPEATED);
    if (databases_is_postgresql()) {
        race_beside(&act, ending, "SELECT 1");
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
    bool let_go = !databases_is_postgresql() || (race_somebody_waits() && databases_psql("COMMIT"));
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
        waiting = race_so_many_wait(held.n) && waiting;
    }
    open_tab(&held, *state, last);
    for (int chain = 10; chain < 19; chain++) {
        open_tab(&others, *state, chain);
    }
    int n = tabs_done(&others, STORE_ROTATION_DONE); /* while it is held */
    waiting = race_so_many_wait(held.n) && waiting;
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
    race_teardown(state);
    race_setup_with(state, 5);
    start_chains(*state);
    bool holding = hold_chains_up_to(5);
    open_tab(&held, *state, 0);
    bool waiting = race_somebody_waits();
    for (int chain = 1; chain <= 5; chain++) {
        open_tab(&held, *state, chain);
        usleep(150 * 1000); /* enough to lose patience; more would prove no more */
    }
    int64_t password = race_password(*state);
    enum cw_err login = race_start_session(*state, password);
    bool let_go = databases_psql("COMMIT");
    assert_int_equal(tabs_done(&held, STORE_ROTATION_DONE), held.n);
    assert_true(holding && waiting && let_go);
    assert_int_equal(login, CW_OK);
}

static void a_revocation_holds_no_chain_of_a_session_that_has_expired(void **state)
{
    enum cw_err (*const revoke[])(struct race * act) = {race_revoke_subject, race_revoke_tenant};
    start_chains(*state);
    fake_now_ms += 2000000;
    for (size_t i = 0; databases_is_postgresql() && i < CW_ARRAY_SIZE(revoke); i++) {
        struct race act = {.store = *state};
        bool holding = hold_chains_up_to(CHAINS);
        enum cw_err err = revoke[i](&act);
        bool let_go = databases_psql("COMMIT");
        assert_true(holding && let_go);
        assert_int_equal(err, CW_OK);
    }
    fake_now_ms -= 2000000;
}

static enum cw_err remove_tenant(struct race *act)
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
    struct race act = {.store = *state, .run = remove_tenant};
    race_beside(
        &act, held,
        "SELECT 1 FROM refresh_family WHERE id > (SELECT id FROM refresh_family ORDER BY id "
        "LIMIT 1) FOR UPDATE NOWAIT");
    assert_int_equal(act.err, CW_OK);
    assert_int_equal(store_tenant_add(*state, TENANT),
                     CW_OK); /* it is gone, and with it the rest */
    assert_int_equal(race_sessions(*state), 0);
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
    /* What is used twice is told as such, whatever its answer would have lacked. */
    rotate.group = no_memory;
    assert_int_equal(store_refresh_rotate(*state, TENANT, &rotate, &arena, &rotated), CW_NO_MEMORY);
    fake_now_ms += 2000;
    assert_int_equal(store_refresh_rotate(*state, TENANT, &rotate, &arena, &rotated), CW_OK);
    assert_int_equal(rotated.outcome, STORE_ROTATION_STALE);
    fake_now_ms -= 2000;
    assert_int_equal(store_refresh_put_back(*state, TENANT, &rotate), CW_OK);
    assert_int_equal(store_refresh_put_back(*state, TENANT, &rotate), CW_OK); /* not further */
    assert_int_equal(store_family_find(*state, TENANT, family, &arena, &rotated), CW_OK);
    assert_int_equal(rotated.generation, 0);
    assert_memory_equal(rotated.current_hash, hash, STORE_HASH_SIZE);
    fake_now_ms -= 50000;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, race_setup, race_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_refresh_beside_the_end_of_its_session_is_refused_as_such),
        CASE(what_a_refresh_issues_beside_a_revocation_is_meant_too),
        CASE(a_refresh_that_is_repeated_beside_a_revocation_sees_it),
        CASE(refreshes_that_come_together_are_told_apart),
        CASE(a_row_that_is_held_holds_up_none_of_those_that_were_sent_with_it),
        CASE(refreshes_that_wait_leave_connections_to_logins),
        CASE(a_revocation_holds_no_chain_of_a_session_that_has_expired),
        CASE(a_tenant_that_is_removed_takes_its_chains_in_order),
        CASE(a_refresh_that_cannot_be_read_is_refused_alone),
    };
#undef CASE
    return DATABASES_RUN(tests);
}
