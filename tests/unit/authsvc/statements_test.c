/* Every statement is one that both databases take, over a schema that both make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "authsvc/store/db.h"
#include "tests/unit/authsvc/databases.h"

static char told[4096];

static void on_error(void *ctx, const char *operation, const char *message)
{
    (void)ctx;
    snprintf(told, sizeof(told), "%s\n    %s", message, operation);
}

static struct db *open_fresh(void)
{
    const struct db_options options = {.url = cw_str(databases_fresh_url()), .connections = 4};
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    struct db *db = NULL;
    assert_int_equal(db_open(&options, &message, &db), CW_OK);
    db->on_error = on_error;
    told[0] = '\0';
    return db;
}

static struct db *open_migrated(void)
{
    struct db *db = open_fresh();
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    if (db_migrate(db, 1, &message) != CW_OK) {
        fail_msg("%s", told);
    }
    return db;
}

static void every_statement_is_prepared(void **state)
{
    (void)state;
    struct db *db = open_migrated();
    if (db_check_statements(db) != CW_OK) {
        fail_msg("%s", told);
    }
    db_close(db);
}

/* Arguments are counted from $1 without a gap, and the bound is kept. */
static void arguments_have_no_gaps(void **state)
{
    (void)state;
    for (int i = 0; i < DB_STATEMENT_COUNT; i++) {
        const char *sql = db_statement_sql((enum db_statement)i);
        bool seen[DB_ARGS_MAX + 2] = {false};
        int highest = 0;
        for (const char *p = strchr(sql, '$'); p != NULL; p = strchr(p + 1, '$')) {
            int number = 0;
            assert_int_equal(sscanf(p, "$%d", &number), 1);
            assert_in_range(number, 1, DB_ARGS_MAX);
            seen[number] = true;
            highest = CW_MAX(highest, number);
        }
        for (int k = 1; k <= highest; k++) {
            if (!seen[k]) {
                fail_msg("$%d is missing in %s", k, sql);
            }
        }
    }
}

/* What SQLite lets pass and PostgreSQL does not. */
static void migrations_use_the_three_types(void **state)
{
    (void)state;
    if (!databases_is_postgresql()) {
        return;
    }
    struct db *db = open_migrated();
    assert_true(databases_psql(
        "DO $$ DECLARE c RECORD; BEGIN FOR c IN SELECT table_name, column_name, data_type FROM "
        "information_schema.columns WHERE table_schema = current_schema() AND data_type NOT IN "
        "('bigint', 'text', 'bytea') LOOP RAISE EXCEPTION '%.% is %', c.table_name, c.column_name, "
        "c.data_type; END LOOP; END $$"));
    db_close(db);
}

static void a_migrated_schema_is_left_as_it_is(void **state)
{
    (void)state;
    struct db *db = open_migrated();
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    assert_int_equal(db_migrate(db, 2, &message), CW_OK);
    struct db_tx *tx = NULL;
    assert_int_equal(db_begin(db, DB_DURABLE, &tx), CW_OK);
    const struct db_value args[] = {db_int(1), db_text(CW_STR("again")), db_int(1)};
    assert_int_equal(db_end(tx, db_run(tx, DB_MIGRATION_ADD, args, 3, NULL, NULL, NULL)),
                     CW_CONFLICT);
    db_close(db);
}

static void after_an_error_nothing_is_committed(void **state)
{
    (void)state;
    struct db *db = open_migrated();
    const struct db_value args[] = {db_text(CW_STR("a")), db_text(CW_STR("b"))};
    const struct db_value twice[] = {db_int(1), db_text(CW_STR("again")), db_int(1)};
    struct db_tx *tx = NULL;
    assert_int_equal(db_begin(db, DB_DURABLE, &tx), CW_OK);
    assert_int_equal(db_run(tx, DB_SETTING_PUT, args, 2, NULL, NULL, NULL), CW_OK);
    assert_int_equal(db_run(tx, DB_MIGRATION_ADD, twice, 3, NULL, NULL, NULL), CW_CONFLICT);
    assert_int_equal(db_run(tx, DB_SETTING_PUT, args, 2, NULL, NULL, NULL), CW_STORE_UNAVAILABLE);
    assert_int_equal(db_end(tx, CW_OK), CW_STORE_UNAVAILABLE); /* an overlooked failure counts */
    assert_int_equal(db_begin(db, DB_DURABLE, &tx), CW_OK);
    int64_t changes = 0;
    assert_int_equal(db_run(tx, DB_SETTING_PUT, args, 2, NULL, NULL, &changes), CW_OK);
    assert_int_equal(changes, 1);
    assert_int_equal(db_end(tx, CW_OK), CW_OK);
    db_close(db);
}

static enum cw_err keep(void *ctx, const struct db_value *columns, size_t n)
{
    assert_int_equal(n, 1);
    cw_buf_add_str(ctx, columns[0].s);
    return CW_OK;
}

static enum cw_err put(struct db *db, struct cw_str value)
{
    const struct db_value args[] = {db_text(CW_STR("a")), db_text(value)};
    return db_run_alone(db, DB_LAZY, DB_SETTING_PUT, args, 2, NULL, NULL, NULL);
}

/* The same name twice: what the second sees and the third reads is what the first has left. */
static void statements_that_go_together_see_each_other_and_are_one_transaction(void **state)
{
    (void)state;
    struct db *db = open_migrated();
    const struct db_value one[] = {db_text(CW_STR("a")), db_text(CW_STR("1"))};
    const struct db_value two[] = {db_text(CW_STR("a")), db_text(CW_STR("2"))};
    const struct db_value twice[] = {db_int(1), db_text(CW_STR("again")), db_int(1)};
    CW_CLEANUP(cw_buf_done) struct cw_buf value = CW_BUF_INIT(64);
    int64_t changes[2] = {0};
    const struct db_call good[] = {
        {DB_SETTING_PUT, one, 2, NULL, NULL, &changes[0]},
        {DB_SETTING_PUT, two, 2, NULL, NULL, &changes[1]},
        {DB_SETTING_GET, one, 1, keep, &value, NULL},
    };
    const struct db_call bad[] = {
        {DB_SETTING_PUT, one, 2, NULL, NULL, NULL},
        {DB_MIGRATION_ADD, twice, 3, NULL, NULL, NULL},
        {DB_SETTING_PUT, one, 2, NULL, NULL, NULL},
    };
    static const enum db_durability kinds[] = {DB_DURABLE, DB_LAZY};
    for (size_t i = 0; i < CW_ARRAY_SIZE(kinds); i++) {
        cw_buf_clear(&value);
        assert_int_equal(db_run_all_alone(db, kinds[i], good, 3), CW_OK);
        assert_true(changes[0] == 1 && changes[1] == 1);
        assert_true(cw_str_is(cw_buf_str(&value), "2"));
        assert_int_equal(db_run_all_alone(db, kinds[i], bad, 3), CW_CONFLICT);
        cw_buf_clear(&value);
        assert_int_equal(db_run_alone(db, kinds[i], DB_SETTING_GET, one, 1, keep, &value, NULL),
                         CW_OK);
        assert_true(cw_str_is(cw_buf_str(&value), "2")); /* all of it is undone */
    }
    db_close(db);
}

static void statements_that_go_together_inside_of_a_transaction_end_with_it(void **state)
{
    (void)state;
    struct db *db = open_migrated();
    const struct db_value args[] = {db_text(CW_STR("a")), db_text(CW_STR("1"))};
    CW_CLEANUP(cw_buf_done) struct cw_buf value = CW_BUF_INIT(64);
    const struct db_call calls[] = {
        {DB_SETTING_PUT, args, 2, NULL, NULL, NULL},
        {DB_SETTING_GET, args, 1, keep, &value, NULL},
    };
    static const enum cw_err ends[] = {CW_NOT_FOUND, CW_OK};
    for (size_t i = 0; i < CW_ARRAY_SIZE(ends); i++) {
        struct db_tx *tx = NULL;
        assert_int_equal(db_begin(db, DB_DURABLE, &tx), CW_OK);
        cw_buf_clear(&value);
        assert_int_equal(db_run_all(tx, calls, 2), CW_OK);
        assert_true(cw_str_is(cw_buf_str(&value), "1"));
        assert_int_equal(db_end(tx, ends[i]), ends[i]);
        cw_buf_clear(&value);
        assert_int_equal(db_run_alone(db, DB_LAZY, DB_SETTING_GET, args, 1, keep, &value, NULL),
                         CW_OK);
        assert_true(cw_str_is(cw_buf_str(&value), ends[i] == CW_OK ? "1" : ""));
    }
    static const struct db_call many[DB_CALLS_MAX + 1];
    assert_int_equal(db_run_all_alone(db, DB_DURABLE, many, CW_ARRAY_SIZE(many)), CW_INTERNAL);
    db_close(db);
}

static void text_is_utf8_without_nul_on_every_database(void **state)
{
    (void)state;
    struct db *db = open_migrated();
    assert_int_equal(put(db, CW_STR("p\xc3\xa4ss \xf0\x9f\x98\x80")), CW_OK);
    assert_int_equal(put(db, CW_STR("a\0b")), CW_REQUEST_MALFORMED);
    assert_int_equal(put(db, CW_STR("\xff")), CW_REQUEST_MALFORMED);
    const struct db_value args[] = {db_text(CW_STR("a"))};
    CW_CLEANUP(cw_buf_done) struct cw_buf value = CW_BUF_INIT(64);
    assert_int_equal(db_run_alone(db, DB_LAZY, DB_SETTING_GET, args, 1, keep, &value, NULL), CW_OK);
    assert_true(cw_str_is(cw_buf_str(&value), "p\xc3\xa4ss \xf0\x9f\x98\x80"));
    assert_int_equal(put(db, CW_STR("")), CW_OK); /* empty is not NULL */
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_statement_is_prepared),
        cmocka_unit_test(arguments_have_no_gaps),
        cmocka_unit_test(migrations_use_the_three_types),
        cmocka_unit_test(a_migrated_schema_is_left_as_it_is),
        cmocka_unit_test(after_an_error_nothing_is_committed),
        cmocka_unit_test(statements_that_go_together_see_each_other_and_are_one_transaction),
        cmocka_unit_test(statements_that_go_together_inside_of_a_transaction_end_with_it),
        cmocka_unit_test(text_is_utf8_without_nul_on_every_database),
    };
    return DATABASES_RUN(tests);
}
