/* What a login costs the database hangs on the user's own live sessions: not on those that have
 * ended, and not on what else the tenant has. Counted are rows (PostgreSQL) and steps (SQLite) of
 * statements that are found by a user, a session or a refresh token; no time is measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "authsvc/store/db.h"
#include "tests/unit/authsvc/databases.h"

enum {
    ROWS_MAX = 1500,   /* read by one statement: some times the user's 200 live sessions */
    STEPS_MAX = 20000, /* of SQLite's machine: the same at some 50 a row */
    FIRST_RUNS = 8,    /* the first, or the sixth, gets a plan that is kept */
    UNTIL_REPLANNED = 300,
    NOW = 5000000,
};

/* One tenant: 3000 users, 2000 groups, 10000 sessions of others; "busy" has 10000 sessions that
 * ended and 200 that live. %B: the type of bytes. */
static const char rows[] =
    "INSERT INTO tenant (name, created_at) VALUES ('t', 1);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
    " INSERT INTO app_user (tenant, subject, username, password_hash, password_changed_at, name,"
    " email, email_verified, roles, permissions, created_at, updated_at) SELECT 't',"
    " CASE WHEN i = 2999 THEN 'busy' ELSE 'u-' || i END, 'name-' || i, 'h', 1, '', '', 0, '[]',"
    " '[]', 1, 1 FROM n;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
    " INSERT INTO app_group (tenant, name, description, roles, permissions, created_at,"
    " updated_at) SELECT 't', 'g-' || i, '', '[]', '[]', 1, 1 FROM n;"
    "INSERT INTO app_group_member (tenant, group_name, subject)"
    " SELECT 't', g.name, u.subject FROM app_group g JOIN app_user u"
    " ON u.username = 'name-' || substr(g.name, 3);"
    "INSERT INTO app_group_member (tenant, group_name, subject) VALUES ('t', 'g-1999', 'busy');"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
    " INSERT INTO session (tenant, id, subject, client_id, scope, device, address, started_at,"
    " used_at, expires_at) SELECT 't', 'other-' || i, 'u-' || (i % 2000 + 1), 'c', 's', 'd', 'a',"
    " i, i, 9000000 FROM n;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10200)"
    " INSERT INTO session (tenant, id, subject, client_id, scope, device, address, started_at,"
    " used_at, expires_at, ended_at) SELECT 't', 'own-' || i, 'busy', 'c', 's', 'd', 'a', i, i,"
    " 9000000, CASE WHEN i <= 10000 THEN i END FROM n;"
    "INSERT INTO refresh_family (tenant, id, session_id, generation, current_hash, rotated_at,"
    " idle_expires_at, expires_at) SELECT tenant, CAST(id AS %B), id, 0, CAST(id AS %B), 1,"
    " 9000000, 9000000 FROM session;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
    " INSERT INTO mfa_challenge (tenant, id, kind, subject, username, client_id, scope, methods,"
    " sealed, attempts, challenges, expires_at) SELECT 't', CAST('m-' || i AS %B), 'k', 'u-' || i,"
    " '', 'c', 's', '', CAST('' AS %B), 0, 0, 9000000 FROM n;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
    " INSERT INTO throttle (tenant, dimension, key, level, updated_at)"
    " SELECT 't', 'address', CAST('k-' || i AS %B), 1, 1 FROM n;";

static char *rows_for(const char *bytes)
{
    struct cw_buf sql = CW_BUF_INIT(64 * 1024);
    const char *p = rows;
    for (const char *at = strstr(p, "%B"); at != NULL; at = strstr(p, "%B")) {
        cw_buf_add(&sql, p, (size_t)(at - p));
        cw_buf_add_cstr(&sql, bytes);
        p = at + 2;
    }
    cw_buf_add_cstr(&sql, p);
    cw_buf_add_char(&sql, '\0');
    assert_int_equal(cw_buf_check(&sql), CW_OK);
    return sql.p;
}

#define T(text)                                                                                    \
    {                                                                                              \
        .type = DB_TEXT, .s = { text, sizeof(text) - 1 }                                           \
    }
#define B(text)                                                                                    \
    {                                                                                              \
        .type = DB_BYTES, .s = { text, sizeof(text) - 1 }                                          \
    }
#define I(number)                                                                                  \
    {                                                                                              \
        .type = DB_INT, .i = (number)                                                              \
    }

/* Arguments of two refreshes in one transaction. */
#define A(items_)                                                                                  \
    {                                                                                              \
        .type = DB_ARRAY, .i = CW_ARRAY_SIZE(items_), .items = (items_)                            \
    }
static const struct db_value tenants[] = {T("t"), T("t")};
static const struct db_value chains[] = {B("own-9999"), B("own-10100")};
static const struct db_value generations[] = {I(0), I(0)};
static const struct db_value successors[] = {B("next"), B("next")};
static const struct db_value now[] = {I(NOW), I(NOW)};
static const struct db_value expiries[] = {I(9000000), I(9000000)};
static const struct db_value clients[] = {T("c"), T("c")};

struct look {
    const char *name;
    enum db_statement statement;
    bool later; /* good once plans are made anew; the others are from the first on */
    struct db_value args[12];
};

#define LOOK(name, later, ...)                                                                     \
    {                                                                                              \
#name, DB_##name, later,                                                                   \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const struct look looks[] = {
    LOOK(THROTTLE_TAKE, false, T("t"), T("address"), B("k-9999"), I(NOW), I(1), I(1), I(99)),
    LOOK(THROTTLE_GIVE, false, T("t"), T("address"), B("k-9999"), I(1)),
    LOOK(THROTTLE_CLEAR, false, T("t"), T("address"), B("k-9999")),
    LOOK(USER_BY_NAME, false, T("t"), T("name-2999")),
    LOOK(USER_BY_SUBJECT, false, T("t"), T("busy")),
    LOOK(USER_HOLD, false, T("t"), T("busy")),
    LOOK(GROUPS_OF, true, T("t"), T("busy")),
    LOOK(SESSION_ADD, false, T("t"), T("new"), T("busy"), T("c"), T("s"), T("d"), T("a"), I(NOW),
         I(9000000), T("[]"), I(-1)),
    LOOK(FAMILY_ADD, false, T("t"), B("new"), T("own-9999"), B("h"), I(NOW), I(9000000),
         I(9000000)),
    LOOK(SESSION_END_OLDEST, false, T("t"), T("busy"), I(199), I(NOW)),
    LOOK(SESSION_OWNER, false, T("t"), T("own-9999"), I(NOW)),
    LOOK(SESSION_LIST, false, T("t"), T("busy"), I(NOW), I(100)),
    LOOK(SESSION_USED, false, T("t"), B("own-9999"), B("own-9999"), T("c"), I(NOW)),
    LOOK(SESSION_END, false, T("t"), T("own-9999"), I(NOW), T("logout")),
    LOOK(FAMILY_GET, true, T("t"), B("own-9999")),
    LOOK(FAMILY_GET_ALL, true, T("t"), B("own-9999")),
    LOOK(FAMILY_ROTATE, true, T("t"), B("own-9999"), B("own-9999"), I(0), B("next"), I(NOW),
         I(9000000), T("c")),
    LOOK(FAMILIES_GET, false, A(tenants), A(chains)),
    LOOK(FAMILIES_ROTATE, false, A(tenants), A(chains), A(chains), A(generations), A(successors),
         A(now), A(expiries), A(clients)),
    LOOK(FAMILIES_HOLD_OF_SUBJECT, true, T("t"), T("busy"), I(NOW)),
    LOOK(SESSION_END_ALL, true, T("t"), T("name-2999"), I(NOW), T("disabled")),
    LOOK(SESSION_END_OF_SUBJECT, true, T("t"), T("busy"), I(NOW), T("revoked")),
    LOOK(SESSION_END_OTHERS, true, T("t"), T("busy"), I(NOW), T("password_changed"),
         T("own-10200")),
    LOOK(MFA_DROP, true, T("t"), T("busy")),
    LOOK(RESET_CLEAR, true, T("t"), T("busy")),
};

static size_t n_args(const struct look *look)
{
    size_t n = CW_ARRAY_SIZE(look->args);
    while (n > 0 && look->args[n - 1].type == DB_NULL) {
        n--;
    }
    return n;
}

/* --- PostgreSQL ------------------------------------------------------------------------- */

static struct db *open_migrated(void)
{
    const struct db_options options = {
        .url = cw_str(databases_fresh_url()),
        .connections = 1, /* plans are the connection's */
        .connect_timeout_ms = DATABASES_PATIENCE_MS,
        .statement_timeout_ms = DATABASES_PATIENCE_MS,
    };
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    struct db *db = NULL;
    assert_int_equal(db_open(&options, &message, &db), CW_OK);
    assert_int_equal(db_migrate(db, 1, &message), CW_OK);
    return db;
}

static bool takes_arrays(const struct look *look)
{
    return look->args[0].type == DB_ARRAY;
}

static enum cw_err look_in(struct db_tx *tx, const struct look *look)
{
    const struct db_value wait = T("1000");
    if (takes_arrays(look)) {
        enum cw_err err = db_run(tx, DB_LOCKS_BRIEFLY, &wait, 1, NULL, NULL, NULL);
        assert_int_equal(err, CW_OK);
    }
    return db_run(tx, look->statement, look->args, n_args(look), NULL, NULL, NULL);
}

#define ROWS_SO_FAR                                                                                \
    "(SELECT SUM(seq_tup_read + COALESCE(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"         \
    " WHERE schemaname = current_schema())"

/* What is done is undone, so that all see the same rows. */
static bool reads_few(struct db *db, const struct look *look)
{
    char check[512];
    snprintf(check, sizeof(check),
             "DO $$ DECLARE n BIGINT := " ROWS_SO_FAR
             " - CAST(current_setting('plans.before') AS BIGINT);"
             " BEGIN IF n > %d THEN RAISE EXCEPTION '%% rows', n; END IF; END $$",
             (int)ROWS_MAX);
    struct db_tx *tx = NULL;
    assert_int_equal(db_begin(db, DB_LAZY, &tx), CW_OK);
    assert_int_equal(
        db_script(tx, "SELECT set_config('plans.before', CAST(" ROWS_SO_FAR " AS TEXT), true)"),
        CW_OK);
    assert_int_equal(look_in(tx, look), CW_OK);
    bool few = db_script(tx, check) == CW_OK;
    assert_int_equal(db_end(tx, CW_CONFLICT), CW_CONFLICT);
    return few;
}

static void all_read_few(struct db *db, bool later_too, const char *when)
{
    int many = 0;
    for (size_t i = 0; i < CW_ARRAY_SIZE(looks); i++) {
        if ((later_too || !looks[i].later) && !reads_few(db, &looks[i])) {
            fprintf(stderr, "%s reads too many rows %s\n", looks[i].name, when);
            many++;
        }
    }
    assert_int_equal(many, 0);
}

static void run_all_on_empty_tables(struct db *db)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(looks) * FIRST_RUNS; i++) {
        struct db_tx *tx = NULL;
        assert_int_equal(db_begin(db, DB_LAZY, &tx), CW_OK);
        assert_int_equal(look_in(tx, &looks[i % CW_ARRAY_SIZE(looks)]), CW_OK);
        assert_int_equal(db_end(tx, CW_CONFLICT), CW_CONFLICT);
    }
}

static void fill(void)
{
    char *sql = rows_for("BYTEA");
    assert_true(databases_psql(sql));
    free(sql);
}

static void run_until_replanned(struct db *db)
{
    for (int i = 0; i < UNTIL_REPLANNED; i++) {
        assert_int_equal(db_run_alone(db, DB_LAZY, DB_CHECK, NULL, 0, NULL, NULL, NULL), CW_OK);
    }
}

static void rows_read_do_not_grow_with_those_of_others(void **state)
{
    (void)state;
    struct db *db = open_migrated();
    run_all_on_empty_tables(db);
    fill();
    all_read_few(db, false, "with plans of when the tables were empty");
    run_until_replanned(db);
    all_read_few(db, true, "before the first ANALYZE");
    assert_true(databases_psql("ANALYZE"));
    all_read_few(db, true, "after ANALYZE");
    db_close(db);
}

/* The server believes that tables are empty, and reads them from end to end. */
static void plans_of_empty_tables_are_not_kept(void **state)
{
    (void)state;
    struct db *db = open_migrated();
    assert_true(databases_psql("ANALYZE"));
    run_all_on_empty_tables(db);
    fill();
    run_until_replanned(db);
    all_read_few(db, true, "after ANALYZE of empty tables");
    db_close(db);
}

/* --- SQLite ----------------------------------------------------------------------------- */

static sqlite3 *open_filled(char *path)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    char url[96];
    snprintf(url, sizeof(url), "sqlite:%s", path);
    const struct db_options options = {.url = cw_str(url)};
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    struct db *db = NULL;
    assert_int_equal(db_open(&options, &message, &db), CW_OK);
    assert_int_equal(db_migrate(db, 1, &message), CW_OK);
    db_close(db);
    sqlite3 *handle = NULL;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    char *sql = rows_for("BLOB");
    char *error = NULL;
    if (sqlite3_exec(handle, sql, NULL, NULL, &error) != SQLITE_OK) {
        fail_msg("%s", error);
    }
    free(sql);
    return handle;
}

static void bind(sqlite3_stmt *stmt, const struct look *look)
{
    for (size_t i = 0; i < n_args(look); i++) {
        const struct db_value *v = &look->args[i];
        char name[24];
        snprintf(name, sizeof(name), "$%zu", i + 1);
        int at = sqlite3_bind_parameter_index(stmt, name);
        int rc = v->type == DB_INT    ? sqlite3_bind_int64(stmt, at, v->i)
                 : v->type == DB_TEXT ? sqlite3_bind_text(stmt, at, v->s.p, (int)v->s.n, NULL)
                                      : sqlite3_bind_blob(stmt, at, v->s.p, (int)v->s.n, NULL);
        assert_int_equal(rc, SQLITE_OK);
    }
}

static int steps_of(sqlite3 *handle, const struct look *look)
{
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_exec(handle, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(handle, db_statement_sql(look->statement), -1, &stmt, NULL),
                     SQLITE_OK);
    bind(stmt, look);
    int rc = SQLITE_ROW;
    while (rc == SQLITE_ROW) {
        rc = sqlite3_step(stmt);
    }
    assert_int_equal(rc, SQLITE_DONE);
    int steps = sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_VM_STEP, 0);
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_exec(handle, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    return steps;
}

static void steps_do_not_grow_with_rows_of_others(void **state)
{
    (void)state;
    char path[] = "/tmp/cwplansXXXXXX";
    sqlite3 *handle = open_filled(path);
    int many = 0;
    for (size_t i = 0; i < CW_ARRAY_SIZE(looks); i++) {
        int steps = takes_arrays(&looks[i]) ? 0 : steps_of(handle, &looks[i]);
        if (steps > STEPS_MAX) {
            fprintf(stderr, "%s takes %d steps\n", looks[i].name, steps);
            many++;
        }
    }
    sqlite3_close(handle);
    static const char *const suffixes[] = {"", ".lock", "-wal", "-shm"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(suffixes); i++) {
        char name[96];
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
    assert_int_equal(many, 0);
}

int main(void)
{
    const struct CMUnitTest on_sqlite[] = {
        cmocka_unit_test(steps_do_not_grow_with_rows_of_others),
    };
    const struct CMUnitTest on_postgresql[] = {
        cmocka_unit_test(rows_read_do_not_grow_with_those_of_others),
        cmocka_unit_test(plans_of_empty_tables_are_not_kept),
    };
    return cmocka_run_group_tests_name("on SQLite", on_sqlite, NULL, NULL) +
           cmocka_run_group_tests_name("on PostgreSQL", on_postgresql, databases_use_postgresql,
                                       databases_end);
}
