/* What only a database with many writers does: deadlocks, waiting for connections, news of others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "authsvc/store/db.h"
#include "tests/unit/authsvc/databases.h"

enum { PATIENCE_MS = 60 * 1000, PAUSE_US = 20 * 1000, TRIES = 50 };

static struct db *open_with(unsigned connections, int64_t timeout_ms)
{
    const struct db_options options = {
        .url = cw_str(databases_fresh_url()),
        .connections = connections,
        .statement_timeout_ms = timeout_ms,
    };
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    struct db *db = NULL;
    assert_int_equal(db_open(&options, &message, &db), CW_OK);
    assert_int_equal(db_migrate(db, 1, &message), CW_OK);
    return db;
}

static enum cw_err put(struct db_tx *tx, const char *name)
{
    const struct db_value args[] = {db_text(cw_str(name)), db_text(CW_STR("x"))};
    return db_run(tx, DB_SETTING_PUT, args, 2, NULL, NULL, NULL);
}

/* --- deadlocks -------------------------------------------------------------------------- */

struct crossing {
    struct db *db;
    const char *first;
    const char *second;
    pthread_barrier_t *both_hold;
    int contended;
    enum cw_err end;
};

/* Two of these in opposite directions cannot both go on. */
static void *cross(void *arg)
{
    struct crossing *c = arg;
    struct db_tx *tx = NULL;
    c->end = db_begin(c->db, DB_DURABLE, &tx);
    enum cw_err err = put(tx, c->first);
    pthread_barrier_wait(c->both_hold);
    err = err == CW_OK ? put(tx, c->second) : err;
    c->end = db_end(tx, err);
    while (c->end == CW_STORE_CONTENDED && c->contended < TRIES) {
        c->contended++;
        usleep(PAUSE_US); /* the other one has not got up yet */
        c->end = db_begin(c->db, DB_DURABLE, &tx);
        err = put(tx, c->first);
        err = err == CW_OK ? put(tx, c->second) : err;
        c->end = db_end(tx, err);
    }
    return NULL;
}

static void a_deadlock_is_an_error_that_asks_to_try_again(void **state)
{
    (void)state;
    struct db *db = open_with(4, 20 * 1000);
    struct db_tx *tx = NULL;
    assert_int_equal(db_begin(db, DB_DURABLE, &tx), CW_OK);
    assert_int_equal(put(tx, "a"), CW_OK);
    assert_int_equal(put(tx, "b"), CW_OK);
    assert_int_equal(db_end(tx, CW_OK), CW_OK);
    pthread_barrier_t both_hold;
    pthread_barrier_init(&both_hold, NULL, 2);
    struct crossing there = {.db = db, .first = "a", .second = "b", .both_hold = &both_hold};
    struct crossing back = {.db = db, .first = "b", .second = "a", .both_hold = &both_hold};
    pthread_t threads[2];
    assert_int_equal(pthread_create(&threads[0], NULL, cross, &there), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, cross, &back), 0);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    pthread_barrier_destroy(&both_hold);
    assert_in_range(there.contended + back.contended, 1, TRIES); /* and it was told as such */
    assert_int_equal(there.end, CW_OK);
    assert_int_equal(back.end, CW_OK);
    db_close(db);
}

/* --- connections ------------------------------------------------------------------------ */

static void more_transactions_than_connections_wait_and_not_for_ever(void **state)
{
    (void)state;
    struct db *db = open_with(2, 300);
    struct db_tx *held[2] = {NULL};
    assert_int_equal(db_begin(db, DB_LAZY, &held[0]), CW_OK);
    assert_int_equal(db_begin(db, DB_LAZY, &held[1]), CW_OK);
    struct db_tx *third = NULL;
    assert_int_equal(db_begin(db, DB_LAZY, &third), CW_STORE_UNAVAILABLE);
    assert_int_equal(db_end(held[0], CW_OK), CW_OK);
    assert_int_equal(db_begin(db, DB_LAZY, &third), CW_OK);
    assert_int_equal(db_end(third, CW_OK), CW_OK);
    assert_int_equal(db_end(held[1], CW_OK), CW_OK);
    db_close(db);
}

static void a_session_that_was_ended_is_replaced_unnoticed_until_something_was_written(void **state)
{
    (void)state;
    static const char kill[] = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                               "WHERE application_name = 'cw-authsvc'";
    struct db *db = open_with(1, 5000);
    struct db_tx *tx = NULL;
    assert_int_equal(db_begin(db, DB_DURABLE, &tx), CW_OK);
    assert_true(databases_psql(kill));     /* and waits for its end */
    assert_int_equal(put(tx, "a"), CW_OK); /* the first statement: nothing had happened */
    assert_true(databases_psql(kill));     /* and waits for its end */
    assert_int_equal(put(tx, "b"), CW_STORE_UNAVAILABLE); /* now something would be missing */
    assert_int_equal(db_end(tx, CW_OK), CW_STORE_UNAVAILABLE);
    assert_true(databases_psql("DO $$ BEGIN IF EXISTS (SELECT 1 FROM setting WHERE name IN ('a', "
                               "'b')) THEN RAISE EXCEPTION 'half done'; END IF; END $$"));
    assert_int_equal(db_begin(db, DB_DURABLE, &tx), CW_OK);
    assert_int_equal(put(tx, "b"), CW_OK);
    assert_int_equal(db_end(tx, CW_OK), CW_OK);
    db_close(db);
}

/* What is durable and goes together is committed by the end of its round trip: a commit that fails
 * there must not be taken for one that was done. */
static void a_commit_that_fails_at_the_end_of_the_round_trip_is_told(void **state)
{
    (void)state;
    struct db *db = open_with(1, 5000);
    const struct db_value args[] = {db_text(CW_STR("a")), db_text(CW_STR("x"))};
    const struct db_call call = {.statement = DB_SETTING_PUT, .args = args, .n = 2};
    assert_true(databases_psql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'at the commit'; END $$;"
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON setting DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION refuse()"));
    assert_int_not_equal(db_run_all_alone(db, DB_DURABLE, &call, 1), CW_OK);
    assert_true(databases_psql("DO $$ BEGIN IF EXISTS (SELECT 1 FROM setting WHERE name = 'a') "
                               "THEN RAISE EXCEPTION 'committed'; END IF; END $$;"
                               "DROP TRIGGER late ON setting"));
    assert_int_equal(db_run_all_alone(db, DB_DURABLE, &call, 1), CW_OK);
    db_close(db);
}

static void statements_that_go_together_find_a_session_that_was_ended(void **state)
{
    (void)state;
    struct db *db = open_with(1, 5000);
    const struct db_value args[] = {db_text(CW_STR("a")), db_text(CW_STR("x"))};
    const struct db_call call = {.statement = DB_SETTING_PUT, .args = args, .n = 2};
    assert_int_equal(db_run_all_alone(db, DB_DURABLE, &call, 1), CW_OK);
    assert_true(databases_psql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                               "WHERE application_name = 'cw-authsvc'"));
    assert_int_equal(db_run_all_alone(db, DB_DURABLE, &call, 1),
                     CW_OK); /* seen before it is used */
    db_close(db);
}

/* --- news ------------------------------------------------------------------------------- */

struct news {
    pthread_mutex_t lock;
    int n[DB_TOPIC_COUNT];
};

static void on_notice(void *ctx, enum db_topic topic)
{
    struct news *news = ctx;
    pthread_mutex_lock(&news->lock);
    news->n[topic]++;
    pthread_mutex_unlock(&news->lock);
}

static int count(struct news *news, enum db_topic topic)
{
    pthread_mutex_lock(&news->lock);
    int n = news->n[topic];
    pthread_mutex_unlock(&news->lock);
    return n;
}

static void wait_for(struct news *news, enum db_topic topic, int n)
{
    for (int i = 0; count(news, topic) < n; i++) {
        assert_true(i < PATIENCE_MS * 1000 / PAUSE_US);
        usleep(PAUSE_US);
    }
}

static void tell(struct db *db, const char *name, enum db_topic topic, enum cw_err end)
{
    struct db_tx *tx = NULL;
    assert_int_equal(db_begin(db, DB_DURABLE, &tx), CW_OK);
    assert_int_equal(put(tx, name), CW_OK);
    db_notify(tx, topic);
    assert_int_equal(db_end(tx, end), end);
}

static void what_others_commit_is_heard_and_what_they_roll_back_is_not(void **state)
{
    (void)state;
    struct news news = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct db *db = open_with(2, 5000);
    assert_int_equal(db_listen(db, on_notice, &news), CW_OK);
    wait_for(&news, DB_TOPIC_KEYS, 1); /* all topics once: what was before may be news */
    tell(db, "a", DB_TOPIC_TENANTS, CW_NOT_FOUND);
    tell(db, "b", DB_TOPIC_REVOCATIONS, CW_OK);
    wait_for(&news, DB_TOPIC_REVOCATIONS, 2);
    assert_int_equal(count(&news, DB_TOPIC_TENANTS), 1);
    /* The listener's session is ended: whatever was missed meanwhile, all is news again. */
    assert_true(databases_psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                               "application_name = 'cw-authsvc'"));
    wait_for(&news, DB_TOPIC_KEYS, 2);
    assert_int_equal(db_listen(db, NULL, NULL), CW_OK);
    tell(db, "c", DB_TOPIC_KEYS, CW_OK);
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deadlock_is_an_error_that_asks_to_try_again),
        cmocka_unit_test(a_commit_that_fails_at_the_end_of_the_round_trip_is_told),
        cmocka_unit_test(statements_that_go_together_find_a_session_that_was_ended),
        cmocka_unit_test(more_transactions_than_connections_wait_and_not_for_ever),
        cmocka_unit_test(
            a_session_that_was_ended_is_replaced_unnoticed_until_something_was_written),
        cmocka_unit_test(what_others_commit_is_heard_and_what_they_roll_back_is_not),
    };
    return cmocka_run_group_tests_name("on PostgreSQL", tests, databases_use_postgresql,
                                       databases_end);
}
