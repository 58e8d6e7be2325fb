/* The store over each database: users, sessions, refresh rotation, throttle, keys, one process a
 * file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "authsvc/store/store.h"
#include "tests/unit/authsvc/clock_fake.h"
#include "tests/unit/authsvc/databases.h"

#define TENANT CW_STR("clinicwave")

static struct store *open_at(const char *url, enum cw_err want)
{
    const struct store_options options = {.url = cw_str(url),
                                          .connect_timeout_ms = DATABASES_PATIENCE_MS,
                                          .statement_timeout_ms = DATABASES_PATIENCE_MS,
                                          .clock = &fake_clock};
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    struct store *store = NULL;
    assert_int_equal(store_open(&options, &message, &store), want);
    assert_true((want == CW_OK) == (message.n == 0));
    return store;
}

static int setup(void **state)
{
    struct store *store = open_at(databases_fresh_url(), CW_OK);
    assert_int_equal(store_tenant_add(store, TENANT), CW_OK);
    assert_int_equal(store_tenant_add(store, CW_STR("other")), CW_OK);
    *state = store;
    return 0;
}

static int teardown(void **state)
{
    store_close(*state);
    return 0;
}

static struct store_user anna(void)
{
    return (struct store_user){
        .subject = CW_STR("s-1"),
        .username = CW_STR("anna@clinicwave.com"),
        .password_hash = CW_STR("$argon2id$old"),
        .name = CW_STR("Anna O'Neil'; DROP TABLE app_user; --"),
        .email = CW_STR("anna@clinicwave.com"),
        .email_verified = true,
        .roles = CW_STR("[\"doctor\"]"),
        .permissions = CW_STR("[]"),
    };
}

static void a_user_is_found_as_it_was_added(void **state)
{
    struct store_user user = anna();
    assert_int_equal(store_user_add(*state, TENANT, &user), CW_OK);
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    struct store_user found = {0};
    assert_int_equal(
        store_user_by_name(*state, TENANT, CW_STR("anna@clinicwave.com"), &arena, &found), CW_OK);
    assert_true(cw_str_eq(found.name, user.name));
    assert_true(cw_str_eq(found.roles, user.roles));
    assert_true(found.email_verified);
    assert_false(found.disabled);
    assert_int_equal(store_user_by_subject(*state, TENANT, CW_STR("s-1"), &arena, &found), CW_OK);
    assert_true(cw_str_is(found.username, "anna@clinicwave.com"));
    cw_arena_done(&arena);
}

static void a_user_name_is_taken_once_per_tenant(void **state)
{
    struct store_user user = anna();
    assert_int_equal(store_user_add(*state, TENANT, &user), CW_OK);
    user.subject = CW_STR("s-2");
    assert_int_equal(store_user_add(*state, TENANT, &user), CW_CONFLICT);
    assert_int_equal(store_user_add(*state, CW_STR("other"), &user), CW_OK);
}

static void a_user_of_one_tenant_is_not_found_in_another(void **state)
{
    struct store_user user = anna();
    assert_int_equal(store_user_add(*state, TENANT, &user), CW_OK);
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    struct store_user found = {0};
    assert_int_equal(store_user_by_name(*state, CW_STR("other"), user.username, &arena, &found),
                     CW_NOT_FOUND);
    assert_int_equal(store_user_by_name(*state, TENANT, CW_STR("' OR 1=1 --"), &arena, &found),
                     CW_NOT_FOUND);
    cw_arena_done(&arena);
}

static void a_rehash_loses_against_a_password_change(void **state)
{
    struct store_user user = anna();
    assert_int_equal(store_user_add(*state, TENANT, &user), CW_OK);
    assert_int_equal(store_user_set_password(*state, TENANT, user.username, CW_STR("new")), CW_OK);
    assert_int_equal(
        store_user_rehash(*state, TENANT, user.subject, user.password_hash, CW_STR("stale")),
        CW_OK);
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    struct store_user found = {0};
    assert_int_equal(store_user_by_subject(*state, TENANT, user.subject, &arena, &found), CW_OK);
    assert_true(cw_str_is(found.password_hash, "new"));
    assert_int_equal(
        store_user_rehash(*state, TENANT, user.subject, CW_STR("new"), CW_STR("newer")), CW_OK);
    assert_int_equal(store_user_by_subject(*state, TENANT, user.subject, &arena, &found), CW_OK);
    assert_true(cw_str_is(found.password_hash, "newer"));
    assert_int_equal(store_user_set_password(*state, TENANT, CW_STR("nobody"), CW_STR("x")),
                     CW_NOT_FOUND);
    cw_arena_done(&arena);
}

/* --- sessions and refresh tokens -------------------------------------------------------- */

static const uint8_t family_id[STORE_FAMILY_SIZE] = {7};

static void hash_of(int generation, uint8_t ret_hash[STORE_HASH_SIZE])
{
    memset(ret_hash, 0, STORE_HASH_SIZE);
    ret_hash[0] = (uint8_t)(generation + 1);
}

static void start_session(struct store *store, const char *id, uint8_t family, int64_t cap)
{
    struct store_session session = {
        .id = cw_str(id),
        .subject = CW_STR("s-1"),
        .client_id = CW_STR("portal"),
        .scope = CW_STR("openid email"),
        .device = CW_STR("curl"),
        .address = CW_STR("192.0.2.1"),
        .started_at = fake_now_ms,
        .expires_at = fake_now_ms + 1000000,
        .password_changed_at = STORE_NO_PASSWORD,
    };
    struct store_family f = {.idle_expires_at = fake_now_ms + 100000};
    f.id[0] = family;
    hash_of(0, f.hash);
    assert_int_equal(store_session_start(store, TENANT, &session, &f, cap), CW_OK);
}

static struct store_rotated rotate(struct store *store, int generation, const char *client,
                                   struct cw_arena *arena)
{
    uint8_t hash[STORE_HASH_SIZE];
    uint8_t next[STORE_HASH_SIZE];
    hash_of(generation, hash);
    hash_of(generation + 1, next);
    const struct store_rotate request = {
        .family = family_id,
        .generation = generation,
        .hash = hash,
        .next_hash = next,
        .client_id = cw_str(client),
        .idle_ms = 100000,
        .grace_ms = 10000,
    };
    struct store_rotated rotated = {0};
    assert_int_equal(store_refresh_rotate(store, TENANT, &request, arena, &rotated), CW_OK);
    return rotated;
}

static int setup_session(void **state)
{
    setup(state);
    struct store_user user = anna();
    assert_int_equal(store_user_add(*state, TENANT, &user), CW_OK);
    start_session(*state, "sid-1", 7, 100);
    return 0;
}

static void a_refresh_token_is_redeemed_once(void **state)
{
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    struct store_rotated r = rotate(*state, 0, "portal", &arena);
    assert_int_equal(r.outcome, STORE_ROTATION_DONE);
    assert_int_equal(r.generation, 1);
    assert_true(cw_str_is(r.session.id, "sid-1"));
    assert_true(cw_str_is(r.user.username, "anna@clinicwave.com"));
    assert_int_equal(rotate(*state, 1, "portal", &arena).outcome, STORE_ROTATION_DONE);
    cw_arena_done(&arena);
}

static void a_lost_answer_is_repeated_within_the_grace_window(void **state)
{
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    assert_int_equal(rotate(*state, 0, "portal", &arena).outcome, STORE_ROTATION_DONE);
    fake_now_ms += 10000;
    struct store_rotated r = rotate(*state, 0, "portal", &arena);
    assert_int_equal(r.outcome, STORE_ROTATION_REPEATED);
    assert_int_equal(r.generation, 1); /* the chain did not move */
    assert_true(cw_str_is(r.user.subject, "s-1"));
    fake_now_ms += 1;
    assert_int_equal(rotate(*state, 0, "portal", &arena).outcome, STORE_ROTATION_STALE);
    cw_arena_done(&arena);
}

static void a_token_two_generations_old_is_stale_even_within_the_window(void **state)
{
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    assert_int_equal(rotate(*state, 0, "portal", &arena).outcome, STORE_ROTATION_DONE);
    assert_int_equal(rotate(*state, 1, "portal", &arena).outcome, STORE_ROTATION_DONE);
    struct store_rotated r = rotate(*state, 0, "portal", &arena);
    assert_int_equal(r.outcome, STORE_ROTATION_STALE);
    assert_int_equal(r.generation, 2);
    cw_arena_done(&arena);
}

static void another_client_or_an_unknown_family_learns_nothing(void **state)
{
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    assert_int_equal(rotate(*state, 0, "other", &arena).outcome, STORE_ROTATION_UNKNOWN);
    assert_int_equal(rotate(*state, 0, "portal", &arena).outcome, STORE_ROTATION_DONE);
    cw_arena_done(&arena);
}

static void an_idle_or_an_expired_session_is_not_refreshed(void **state)
{
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    fake_now_ms += 99999;
    assert_int_equal(rotate(*state, 0, "portal", &arena).outcome, STORE_ROTATION_DONE);
    fake_now_ms += 100000; /* idle: the successor's life is over */
    assert_int_equal(rotate(*state, 1, "portal", &arena).outcome, STORE_ROTATION_ENDED);
    cw_arena_done(&arena);
}

static void refreshing_never_passes_the_absolute_end(void **state)
{
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    int64_t end = fake_now_ms + 1000000;
    int generation = 0;
    struct store_rotated r = {.expires_at = end};
    while (fake_now_ms + 90000 < end) {
        fake_now_ms += 90000;
        r = rotate(*state, generation++, "portal", &arena);
        assert_int_equal(r.outcome, STORE_ROTATION_DONE);
        assert_true(r.idle_expires_at <= end);
    }
    fake_now_ms = end;
    assert_int_equal(rotate(*state, generation, "portal", &arena).outcome, STORE_ROTATION_ENDED);
    cw_arena_done(&arena);
}

static void an_ended_session_is_not_refreshed(void **state)
{
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    assert_int_equal(store_session_end(*state, TENANT, CW_STR("sid-1"), "logout"), CW_OK);
    assert_int_equal(store_session_end(*state, TENANT, CW_STR("sid-1"), "logout"), CW_NOT_FOUND);
    assert_int_equal(rotate(*state, 0, "portal", &arena).outcome, STORE_ROTATION_ENDED);
    cw_arena_done(&arena);
}

static void a_disabled_user_is_not_refreshed_and_starts_no_session(void **state)
{
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    assert_int_equal(store_user_set_disabled(*state, TENANT, CW_STR("anna@clinicwave.com"), true),
                     CW_OK);
    assert_int_equal(rotate(*state, 0, "portal", &arena).outcome, STORE_ROTATION_ENDED);
    struct store_session session = {.id = CW_STR("sid-2"), .subject = CW_STR("s-1")};
    struct store_family family = {.id = {9}};
    assert_int_equal(store_session_start(*state, TENANT, &session, &family, 10),
                     CW_ACCOUNT_BLOCKED);
    /* Enabled again, the session that ended stays ended. */
    assert_int_equal(store_user_set_disabled(*state, TENANT, CW_STR("anna@clinicwave.com"), false),
                     CW_OK);
    assert_int_equal(rotate(*state, 1, "portal", &arena).outcome, STORE_ROTATION_ENDED);
    cw_arena_done(&arena);
}

/* As many bytes of ids as 3500 sessions have. */
static void a_user_with_many_sessions_is_disabled_as_well(void **state)
{
    enum { SESSIONS = 200, ID_BYTES = 400 };
    char id[ID_BYTES + 1];
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(id, sizeof(id), "%0*d", ID_BYTES, i);
        start_session(*state, id, (uint8_t)(30 + i), 1000);
    }
    assert_int_equal(store_user_set_disabled(*state, TENANT, CW_STR("anna@clinicwave.com"), true),
                     CW_OK);
    assert_int_equal(store_session_check(*state, TENANT, cw_str(id), CW_STR("s-1")), CW_NOT_FOUND);
}

static void sessions_beyond_the_cap_end_oldest_first(void **state)
{
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    for (uint8_t i = 0; i < 3; i++) {
        char id[16];
        snprintf(id, sizeof(id), "more-%d", i);
        fake_now_ms++;
        start_session(*state, id, (uint8_t)(20 + i), 3);
    }
    assert_int_equal(rotate(*state, 0, "portal", &arena).outcome, STORE_ROTATION_ENDED);
    assert_int_equal(store_session_end(*state, TENANT, CW_STR("more-0"), "logout"), CW_OK);
    cw_arena_done(&arena);
}

struct racer {
    struct store *store;
    enum store_rotation outcome;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    racer->outcome = rotate(racer->store, 0, "portal", &arena).outcome;
    cw_arena_done(&arena);
    return NULL;
}

static void of_many_parallel_refreshes_exactly_one_moves_the_chain(void **state)
{
    struct racer racers[16];
    pthread_t threads[16];
    for (size_t i = 0; i < 16; i++) {
        racers[i] = (struct racer){.store = *state};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    int done = 0;
    int repeated = 0;
    for (size_t i = 0; i < 16; i++) {
        pthread_join(threads[i], NULL);
        done += racers[i].outcome == STORE_ROTATION_DONE;
        repeated += racers[i].outcome == STORE_ROTATION_REPEATED;
    }
    assert_int_equal(done, 1);
    assert_int_equal(repeated, 15);
}

/* --- throttle --------------------------------------------------------------------------- */

static void a_bucket_fills_leaks_and_is_emptied_by_success(void **state)
{
    const struct store_bucket buckets[] = {
        {.dimension = "account-address", .key = {1}, .burst = 3, .leak_per_minute = 1},
        {.dimension = "address", .key = {2}, .burst = 100, .leak_per_minute = 60},
    };
    int64_t wait = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store_throttle_take(*state, TENANT, buckets, 2, &wait), CW_OK);
    }
    assert_int_equal(store_throttle_take(*state, TENANT, buckets, 2, &wait), CW_THROTTLED);
    assert_in_range(wait, 59000, 60000);
    /* Refused attempts do not count: the wait does not grow. */
    for (int i = 0; i < 50; i++) {
        assert_int_equal(store_throttle_take(*state, TENANT, buckets, 2, &wait), CW_THROTTLED);
    }
    assert_in_range(wait, 59000, 60000);
    /* Another tenant's counter is another counter. */
    assert_int_equal(store_throttle_take(*state, CW_STR("other"), buckets, 2, &wait), CW_OK);
    fake_now_ms += 60000;
    assert_int_equal(store_throttle_take(*state, TENANT, buckets, 2, &wait), CW_OK);
    assert_int_equal(store_throttle_take(*state, TENANT, buckets, 2, &wait), CW_THROTTLED);
    /* One that was neither right nor wrong is taken out, and nothing else with it. */
    assert_int_equal(store_throttle_give(*state, TENANT, buckets, 2, false), CW_OK);
    assert_int_equal(store_throttle_take(*state, TENANT, buckets, 2, &wait), CW_OK);
    assert_int_equal(store_throttle_take(*state, TENANT, buckets, 2, &wait), CW_THROTTLED);
    assert_int_equal(store_throttle_give(*state, TENANT, buckets, 2, true), CW_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store_throttle_take(*state, TENANT, buckets, 2, &wait), CW_OK);
    }
    /* A clock that is set back neither frees nor locks anybody. */
    fake_now_ms -= 3600000;
    assert_int_equal(store_throttle_take(*state, TENANT, buckets, 2, &wait), CW_THROTTLED);
    fake_now_ms += 3600000 + 60000;
    assert_int_equal(store_throttle_take(*state, TENANT, buckets, 2, &wait), CW_OK);
}

/* --- settings, keys, files -------------------------------------------------------------- */

static void the_generation_moves_only_with_the_fingerprint(void **state)
{
    uint64_t generation = 0;
    assert_int_equal(store_generation(*state, CW_STR("a"), &generation), CW_OK);
    assert_int_equal(generation, 1);
    assert_int_equal(store_generation(*state, CW_STR("a"), &generation), CW_OK);
    assert_int_equal(generation, 1);
    assert_int_equal(store_generation(*state, CW_STR("b"), &generation), CW_OK);
    assert_int_equal(generation, 2);
    char epoch[STORE_EPOCH_SIZE + 1];
    char again[STORE_EPOCH_SIZE + 1];
    assert_int_equal(store_epoch(*state, epoch), CW_OK);
    assert_int_equal(store_epoch(*state, again), CW_OK);
    assert_string_equal(epoch, again);
}

static enum cw_err count_key(void *ctx, const struct store_key *key)
{
    assert_true(cw_str_is(key->kid, "k1"));
    assert_true(cw_str_is(key->state, "active"));
    assert_int_equal(key->sealed.n, 3);
    assert_int_equal(key->active_at, fake_now_ms);
    assert_int_equal(key->life_ms, 1000);
    ++*(int *)ctx;
    return CW_OK;
}

static void keys_are_listed_per_tenant(void **state)
{
    const struct store_key key = {
        .kid = CW_STR("k1"),
        .algorithm = CW_STR("RS256"),
        .public_jwk = CW_STR("{}"),
        .sealed = CW_STR("\0a\0"),
        .life_ms = 1000,
    };
    assert_int_equal(store_key_add_first(*state, TENANT, &key), CW_OK);
    assert_int_equal(store_key_add_first(*state, TENANT, &key), CW_CONFLICT);
    int n = 0;
    assert_int_equal(store_key_list(*state, TENANT, count_key, &n), CW_OK);
    assert_int_equal(n, 1);
    assert_int_equal(store_key_list(*state, CW_STR("other"), count_key, &n), CW_OK);
    assert_int_equal(n, 1);
    assert_int_equal(store_key_drop_pending(*state, TENANT), CW_NOT_FOUND);
}

static void a_file_serves_one_process_and_keeps_what_it_was_told(void **state)
{
    (void)state;
    char dir[] = "/tmp/cwXXXXXX";
    assert_non_null(mkdtemp(dir));
    char url[64];
    char path[64];
    snprintf(url, sizeof(url), "sqlite:%s/a.db", dir);
    snprintf(path, sizeof(path), "%s/a.db", dir);
    struct store *first = open_at(url, CW_OK);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    char epoch[STORE_EPOCH_SIZE + 1];
    assert_int_equal(store_epoch(first, epoch), CW_OK);

    const struct store_options options = {.url = cw_str(url), .clock = &fake_clock};
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    struct store *second = NULL;
    assert_int_equal(store_open(&options, &message, &second), CW_CONFLICT);
    char *text = cw_buf_take(&message);
    char pid[32];
    snprintf(pid, sizeof(pid), "in use by process %d", (int)getpid());
    assert_non_null(strstr(text, pid));
    free(text);

    store_close(first);
    struct store *third = open_at(url, CW_OK);
    char again[STORE_EPOCH_SIZE + 1];
    assert_int_equal(store_epoch(third, again), CW_OK);
    assert_string_equal(epoch, again);
    store_close(third);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof(path), "%s/a.db.lock", dir);
    unlink(path);
    rmdir(dir);
}

static void an_unknown_scheme_or_a_missing_folder_is_told(void **state)
{
    (void)state;
    open_at("mysql:x", CW_CONFIG_INVALID);
    open_at("sqlite:/nonexistent/a.db", CW_IO);
}

/* --- tenants that are added at run time ------------------------------------------------- */

static enum cw_err put(struct store *store, const char *name, const char *domain,
                       const char *issuer, uint64_t if_version)
{
    const struct cw_str domains[] = {cw_str(domain)};
    const struct store_tenant t = {.name = cw_str(name),
                                   .issuer = cw_str(issuer),
                                   .domains = domains,
                                   .n_domains = 1,
                                   .document = CW_STR("{}"),
                                   .secrets = CW_STR("sealed")};
    return store_tenant_put(store, &t, if_version);
}

struct seen {
    char names[256];
    uint64_t version;
    bool disabled;
};

static enum cw_err see(void *ctx, const struct store_tenant *t)
{
    struct seen *seen = ctx;
    size_t n = strlen(seen->names);
    snprintf(seen->names + n, sizeof(seen->names) - n, "%.*s ", CW_STR_ARG(t->name));
    seen->version = t->version;
    seen->disabled = t->disabled;
    return CW_OK;
}

static enum cw_err see_name(void *ctx, struct cw_str name)
{
    const struct store_tenant t = {.name = name};
    return see(ctx, &t);
}

static void tenants_are_numbered_by_their_changes_and_unique_in_all(void **state)
{
    struct store *store = *state;
    uint64_t version = 99;
    assert_int_equal(store_tenant_version(store, &version), CW_OK);
    assert_int_equal(version, 0);
    assert_int_equal(put(store, "b", "b.com", "https://b.com", 0), CW_OK);
    assert_int_equal(put(store, "a", "a.com", "https://a.com", 0), CW_OK);
    assert_int_equal(put(store, "a", "c.com", "https://c.com", 0), CW_CONFLICT);
    assert_int_equal(put(store, "c", "a.com", "https://c.com", 0), CW_CONFLICT);
    assert_int_equal(put(store, "c", "c.com", "https://a.com", 0), CW_CONFLICT);
    struct seen all = {0};
    assert_int_equal(store_tenant_since(store, 0, see, &all), CW_OK);
    assert_string_equal(all.names, "a b ");
    assert_int_equal(store_tenant_version(store, &version), CW_OK);
    struct seen newer = {0};
    assert_int_equal(put(store, "b", "b2.com", "https://b.com", 1), CW_OK);
    assert_int_equal(store_tenant_since(store, version, see, &newer), CW_OK);
    assert_string_equal(newer.names, "b ");
    assert_int_equal(put(store, "b", "b3.com", "https://b.com", 1), CW_PRECONDITION_FAILED);
    assert_int_equal(put(store, "c", "b.com", "https://c.com", 0), CW_OK); /* b has let it go */
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(4096);
    struct store_tenant t;
    assert_int_equal(store_tenant_get(store, CW_STR("b"), &arena, &t), CW_OK);
    assert_true(t.version == newer.version && cw_str_is(t.secrets, "sealed"));
    assert_int_equal(store_tenant_get(store, CW_STR("x"), &arena, &t), CW_NOT_FOUND);
}

static void a_removed_tenant_takes_everything_with_it_and_nothing_of_others(void **state)
{
    struct store *store = *state;
    const struct store_user user = anna();
    int64_t ended = 0;
    assert_int_equal(put(store, "a", "a.com", "https://a.com", 0), CW_OK);
    assert_int_equal(store_user_add(store, CW_STR("a"), &user), CW_OK);
    assert_int_equal(store_user_add(store, TENANT, &user), CW_OK);
    assert_int_equal(
        store_revoke(store, CW_STR("a"), STORE_REVOKED_TENANT, CW_STR(""), 1000, &ended), CW_OK);
    assert_int_equal(store_tenant_remove(store, CW_STR("a")), CW_NOT_FOUND); /* it is enabled */
    assert_int_equal(store_tenant_set_disabled(store, CW_STR("a"), true), CW_OK);
    assert_int_equal(store_tenant_set_disabled(store, CW_STR("x"), true), CW_NOT_FOUND);
    struct seen seen = {0};
    assert_int_equal(store_tenant_since(store, 0, see, &seen), CW_OK);
    assert_true(seen.disabled);
    assert_int_equal(store_tenant_remove(store, CW_STR("a")), CW_OK);
    assert_int_equal(store_tenant_remove(store, CW_STR("a")), CW_NOT_FOUND);
    struct seen none = {0};
    assert_int_equal(store_tenant_names(store, see_name, &none), CW_OK);
    assert_string_equal(none.names, "");
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(16 * 1024);
    struct store_user found;
    assert_int_equal(store_user_by_name(store, CW_STR("a"), user.username, &arena, &found),
                     CW_NOT_FOUND);
    assert_int_equal(store_user_by_name(store, TENANT, user.username, &arena, &found), CW_OK);
    assert_int_equal(put(store, "b", "a.com", "https://a.com", 0), CW_OK);
}

static enum cw_err count_kind(void *ctx, const struct store_revocation *r)
{
    int *counts = ctx;
    counts[r->kind]++;
    return CW_OK;
}

static void revocations_of_each_kind_are_kept_and_end_what_they_are_about(void **state)
{
    struct store *store = *state;
    int64_t ended = -1;
    assert_int_equal(store_revoke(store, TENANT, STORE_REVOKED_TOKEN, CW_STR("jti"), 60000, &ended),
                     CW_OK);
    assert_int_equal(ended, 0);
    assert_int_equal(
        store_revoke(store, CW_STR("other"), STORE_REVOKED_TENANT, CW_STR(""), 60000, &ended),
        CW_OK);
    assert_int_equal(ended, 0); /* the session is another tenant's */
    assert_int_equal(
        store_revoke(store, TENANT, STORE_REVOKED_SUBJECT, CW_STR("s-1"), 60000, &ended), CW_OK);
    assert_int_equal(ended, 1);
    assert_int_equal(store_revoke(store, TENANT, STORE_REVOKED_TENANT, CW_STR(""), 60000, &ended),
                     CW_OK);
    assert_int_equal(ended, 0); /* it is over */
    int counts[4] = {0};
    assert_int_equal(store_revocation_list(store, 0, count_kind, counts), CW_OK);
    assert_int_equal(counts[STORE_REVOKED_TOKEN], 1);
    assert_int_equal(counts[STORE_REVOKED_SUBJECT], 1);
    assert_int_equal(counts[STORE_REVOKED_TENANT], 2);
    assert_int_equal(counts[STORE_REVOKED_SESSION], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_user_is_found_as_it_was_added, setup, teardown),
        cmocka_unit_test_setup_teardown(a_user_name_is_taken_once_per_tenant, setup, teardown),
        cmocka_unit_test_setup_teardown(a_user_of_one_tenant_is_not_found_in_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_rehash_loses_against_a_password_change, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refresh_token_is_redeemed_once, setup_session, teardown),
        cmocka_unit_test_setup_teardown(a_lost_answer_is_repeated_within_the_grace_window,
                                        setup_session, teardown),
        cmocka_unit_test_setup_teardown(a_token_two_generations_old_is_stale_even_within_the_window,
                                        setup_session, teardown),
        cmocka_unit_test_setup_teardown(another_client_or_an_unknown_family_learns_nothing,
                                        setup_session, teardown),
        cmocka_unit_test_setup_teardown(an_idle_or_an_expired_session_is_not_refreshed,
                                        setup_session, teardown),
        cmocka_unit_test_setup_teardown(refreshing_never_passes_the_absolute_end, setup_session,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_ended_session_is_not_refreshed, setup_session, teardown),
        cmocka_unit_test_setup_teardown(a_disabled_user_is_not_refreshed_and_starts_no_session,
                                        setup_session, teardown),
        cmocka_unit_test_setup_teardown(a_user_with_many_sessions_is_disabled_as_well,
                                        setup_session, teardown),
        cmocka_unit_test_setup_teardown(sessions_beyond_the_cap_end_oldest_first, setup_session,
                                        teardown),
        cmocka_unit_test_setup_teardown(of_many_parallel_refreshes_exactly_one_moves_the_chain,
                                        setup_session, teardown),
        cmocka_unit_test_setup_teardown(a_bucket_fills_leaks_and_is_emptied_by_success, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_generation_moves_only_with_the_fingerprint, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(keys_are_listed_per_tenant, setup, teardown),
        cmocka_unit_test_setup_teardown(tenants_are_numbered_by_their_changes_and_unique_in_all,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_removed_tenant_takes_everything_with_it_and_nothing_of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(
            revocations_of_each_kind_are_kept_and_end_what_they_are_about, setup_session, teardown),
    };
    const struct CMUnitTest files[] = {
        cmocka_unit_test(a_file_serves_one_process_and_keeps_what_it_was_told),
        cmocka_unit_test(an_unknown_scheme_or_a_missing_folder_is_told),
    };
    return DATABASES_RUN(tests) + cmocka_run_group_tests(files, NULL, NULL);
}
