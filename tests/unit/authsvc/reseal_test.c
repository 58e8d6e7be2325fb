/* Key-encryption keys that are replaced: what was sealed under the former one stays readable, is
 * counted, moves in steps that may be left off anywhere, and then needs the former one no more. */
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

#include "authsvc/keys/keyring.h"
#include "authsvc/keys/sealed.h"
#include "tests/unit/authsvc/clock_fake.h"
#include "tests/unit/authsvc/databases.h"

#define TENANT CW_STR("clinicwave")
#define ACME CW_STR("acme")

enum {
    USERS = 5,
    /* a signing key, a tenant's secrets, a login that waits, two secrets of authsvc's own */
    VALUES = 2 * USERS + 5,
    HOUR_MS = 3600 * 1000,
};

struct world {
    char dir[32];
    char old[64], new[64];
    char url[160];
    struct store *store;
    struct keyring *ring;
    uint8_t refresh[KEYRING_SECRET_SIZE];
};

static void write_key(const char *path, int fill)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%064d\n", fill);
    fclose(f);
}

static void open_store(struct world *w)
{
    const struct store_options options = {.url = cw_str(w->url),
                                          .connect_timeout_ms = DATABASES_PATIENCE_MS,
                                          .statement_timeout_ms = DATABASES_PATIENCE_MS,
                                          .clock = &fake_clock};
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    assert_int_equal(store_open(&options, &message, &w->store), CW_OK);
}

/* `other` may be NULL. What was open is closed before. */
static enum cw_err open_ring(struct world *w, char *current, char *other, const char *want)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    char *const others[] = {other};
    const struct keyring_options options = {
        .policy = {.publish_ahead_ms = 1000, .retire_margin_ms = 1000},
        .rsa_bits = 2048,
        .other_kek_files = others,
        .n_other_kek_files = other != NULL};
    keyring_free(w->ring);
    w->ring = NULL;
    enum cw_err err = keyring_open(w->store, current, &options, &message, &w->ring);
    cw_buf_add_char(&message, '\0');
    assert_non_null(strstr(message.p, want));
    return err;
}

static const struct kek *kek(const struct world *w)
{
    return keyring_kek(w->ring);
}

static struct cw_buf sealed_now(const struct world *w, enum store_sealed_kind kind,
                                struct cw_str tenant, struct cw_str id)
{
    struct cw_buf sealed = CW_BUF_INIT(4096);
    assert_int_equal(sealed_make(kek(w), kind, tenant, id, CW_STR("kept"), &sealed), CW_OK);
    return sealed;
}

/* --- a value of every kind -------------------------------------------------------------- */

static void name_of(char name[16], size_t i)
{
    snprintf(name, 16, "user-%zu", i);
}

static void add_user(struct world *w, size_t i)
{
    char name[16];
    name_of(name, i);
    struct cw_str subject = cw_str(name);
    const struct store_user user = {.subject = subject,
                                    .username = subject,
                                    .password_hash = CW_STR("x"),
                                    .name = CW_STR(""),
                                    .email = CW_STR(""),
                                    .roles = CW_STR("[]"),
                                    .permissions = CW_STR("[]")};
    struct cw_buf sealed = sealed_now(w, STORE_SEALED_TOTP, TENANT, subject);
    assert_int_equal(store_user_add(w->store, TENANT, &user), CW_OK);
    assert_int_equal(store_totp_start(w->store, TENANT, subject, cw_buf_str(&sealed)), CW_OK);
    cw_buf_done(&sealed);
    const struct store_session session = {.id = subject,
                                          .subject = subject,
                                          .client_id = CW_STR("portal"),
                                          .scope = CW_STR(""),
                                          .device = CW_STR(""),
                                          .address = CW_STR(""),
                                          .started_at = fake_now_ms,
                                          .used_at = fake_now_ms,
                                          .expires_at = fake_now_ms + HOUR_MS,
                                          .amr = CW_STR("[]"),
                                          .password_changed_at = STORE_NO_PASSWORD};
    struct store_family family = {.id = {(uint8_t)i}, .idle_expires_at = fake_now_ms + HOUR_MS};
    sealed = sealed_now(w, STORE_SEALED_IDP_SESSION, ACME, subject);
    const struct store_idp_tokens tokens = {.sealed = cw_buf_str(&sealed),
                                            .token_name = subject,
                                            .token_expires_at = fake_now_ms + HOUR_MS};
    assert_int_equal(
        store_idp_session_start(w->store, ACME, &user, &session, &family, &tokens, USERS), CW_OK);
    cw_buf_done(&sealed);
}

static void add_challenge(struct world *w, uint8_t id)
{
    struct store_challenge c = {.id = {id, 0, 2},
                                .kind = CW_STR("database"),
                                .subject = CW_STR("user-1"),
                                .username = CW_STR("user-1"),
                                .client_id = CW_STR("portal"),
                                .scope = CW_STR(""),
                                .methods = CW_STR("otp"),
                                .expires_at = fake_now_ms + HOUR_MS,
                                .password_changed_at = STORE_NO_PASSWORD};
    struct cw_buf sealed = sealed_now(w, STORE_SEALED_CHALLENGE, TENANT,
                                      (struct cw_str){(const char *)c.id, STORE_HASH_SIZE});
    c.sealed = cw_buf_str(&sealed);
    assert_int_equal(store_challenge_add(w->store, TENANT, &c), CW_OK);
    cw_buf_done(&sealed);
}

static void add_values(struct world *w)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    const struct keyring_want want = {.algorithm = "ES256", .life_ms = 1000};
    assert_int_equal(keyring_load(w->ring, TENANT, &want, &message), CW_OK);
    struct cw_buf sealed = sealed_now(w, STORE_SEALED_TENANT, ACME, CW_STR(""));
    const struct store_tenant acme = {.name = ACME,
                                      .issuer = CW_STR("https://acme"),
                                      .document = CW_STR("{}"),
                                      .secrets = cw_buf_str(&sealed)};
    assert_int_equal(store_tenant_put(w->store, &acme, 0), CW_OK);
    cw_buf_done(&sealed);
    for (size_t i = 0; i < USERS; i++) {
        add_user(w, i);
    }
    add_challenge(w, 1);
}

static void opens(const struct world *w, enum store_sealed_kind kind, struct cw_str tenant,
                  struct cw_str id, struct cw_str sealed)
{
    struct cw_secret plain = {0};
    assert_int_equal(sealed_open(kek(w), kind, tenant, id, sealed, &plain), CW_OK);
    assert_true(cw_str_eq(cw_secret_str(&plain), CW_STR("kept")));
    cw_secret_done(&plain);
}

struct tenant_check {
    const struct world *w;
    size_t n;
};

static enum cw_err check_tenant(void *ctx, const struct store_tenant *tenant)
{
    struct tenant_check *check = ctx;
    opens(check->w, STORE_SEALED_TENANT, tenant->name, CW_STR(""), tenant->secrets);
    check->n++;
    return CW_OK;
}

/* Each of them, with what the ring has. */
static void assert_all_open(struct world *w)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    const struct keyring_want want = {.algorithm = "ES256", .life_ms = 1000};
    struct cw_arena arena = CW_ARENA_INIT(256 * 1024);
    struct signing_key *key = NULL;
    assert_int_equal(keyring_load(w->ring, TENANT, &want, &message), CW_OK);
    assert_int_equal(keyring_signer(w->ring, TENANT, &key), CW_OK);
    signing_key_unref(key);
    struct tenant_check tenants = {.w = w};
    assert_int_equal(store_tenant_since(w->store, 0, check_tenant, &tenants), CW_OK);
    assert_int_equal(tenants.n, 1);
    for (size_t i = 0; i < USERS; i++) {
        char name[16];
        name_of(name, i);
        struct store_totp totp = {0};
        struct cw_str sealed = {0};
        assert_int_equal(store_totp_get(w->store, TENANT, cw_str(name), &arena, &totp), CW_OK);
        opens(w, STORE_SEALED_TOTP, TENANT, cw_str(name), totp.sealed);
        assert_int_equal(store_idp_sealed(w->store, ACME, cw_str(name), &arena, &sealed), CW_OK);
        opens(w, STORE_SEALED_IDP_SESSION, ACME, cw_str(name), sealed);
    }
    const uint8_t id[STORE_HASH_SIZE] = {1, 0, 2};
    struct store_challenge c = {.id = {0}};
    assert_int_equal(
        store_challenge_take(w->store, TENANT, id, STORE_CHALLENGE_LOOK, 1, &arena, &c), CW_OK);
    opens(w, STORE_SEALED_CHALLENGE, TENANT, (struct cw_str){(const char *)id, sizeof(id)},
          c.sealed);
    assert_memory_equal(keyring_secret(w->ring, KEYRING_REFRESH_TOKENS), w->refresh,
                        sizeof(w->refresh));
    cw_arena_done(&arena);
}

/* How many values depend on the i-th configured key; one that is not configured must not occur. */
static int64_t depend(const struct world *w, size_t which)
{
    struct sealed_use *list = NULL;
    size_t n = 0;
    int64_t values = 0;
    assert_int_equal(sealed_count(w->store, kek(w), &list, &n), CW_OK);
    assert_int_equal(n, kek_count(kek(w)));
    for (int kind = 0; kind < STORE_SEALED_KINDS; kind++) {
        values += list[which].values[kind];
    }
    free(list);
    return values;
}

/* At most `steps` steps of `max` values; the sum. */
static struct resealed walk(struct world *w, size_t max, size_t steps)
{
    struct cw_buf place = CW_BUF_INIT(4096);
    struct resealed sum = {0};
    for (size_t i = 0; i < steps && !sum.done; i++) {
        struct resealed step;
        assert_int_equal(sealed_reseal(w->store, kek(w), max, &place, &step), CW_OK);
        assert_true(step.values <= (int64_t)max);
        sum.values += step.values;
        sum.failed += step.failed;
        sum.done = step.done;
    }
    cw_buf_done(&place);
    return sum;
}

/* --- world ------------------------------------------------------------------------------ */

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    snprintf(w->dir, sizeof(w->dir), "/tmp/cwXXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->old, sizeof(w->old), "%s/old", w->dir);
    snprintf(w->new, sizeof(w->new), "%s/new", w->dir);
    write_key(w->old, 1);
    write_key(w->new, 2);
    if (databases_is_postgresql()) {
        snprintf(w->url, sizeof(w->url), "%s", databases_fresh_url());
    } else {
        snprintf(w->url, sizeof(w->url), "sqlite:%s/a.db", w->dir);
    }
    open_store(w);
    assert_int_equal(store_tenant_add(w->store, TENANT), CW_OK);
    *state = w;
    return 0;
}

static int setup_full(void **state)
{
    setup(state);
    struct world *w = *state;
    assert_int_equal(open_ring(w, w->old, NULL, ""), CW_OK);
    memcpy(w->refresh, keyring_secret(w->ring, KEYRING_REFRESH_TOKENS), sizeof(w->refresh));
    add_values(w);
    assert_int_equal(depend(w, 0), VALUES);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    keyring_free(w->ring);
    store_close(w->store);
    static const char *const names[] = {"a.db", "a.db-wal", "a.db.lock", "old", "new"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(names); i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
    return 0;
}

/* --- tests ------------------------------------------------------------------------------ */

static void what_the_former_key_has_sealed_opens_moves_and_needs_it_no_more(void **state)
{
    struct world *w = *state;
    assert_int_equal(open_ring(w, w->new, w->old, ""), CW_OK);
    assert_int_equal(depend(w, 0), 0);
    assert_int_equal(depend(w, 1), VALUES);
    assert_all_open(w);
    struct resealed all = walk(w, 2, 100);
    assert_true(all.done);
    assert_int_equal(all.values, VALUES);
    assert_int_equal(all.failed, 0);
    assert_int_equal(depend(w, 0), VALUES);
    assert_int_equal(depend(w, 1), 0);
    assert_all_open(w);
    assert_int_equal(open_ring(w, w->new, NULL, ""), CW_OK); /* the former one is gone */
    assert_all_open(w);
    assert_int_equal(walk(w, 2, 100).values, 0); /* nothing is left to be done */
}

static void it_may_be_left_off_after_any_step_and_begun_again(void **state)
{
    struct world *w = *state;
    int64_t moved = 0;
    for (size_t round = 0; round < 3 * VALUES; round++) {
        assert_int_equal(open_ring(w, w->new, w->old, ""), CW_OK);
        assert_all_open(w); /* half of them moved, half not */
        moved += walk(w, 1, 2).values;
        assert_int_equal(depend(w, 0), moved);
        assert_int_equal(depend(w, 1), VALUES - moved);
    }
    assert_int_equal(moved, VALUES);
    assert_int_equal(open_ring(w, w->new, NULL, ""), CW_OK);
    assert_all_open(w);
}

static void it_goes_back_as_well(void **state)
{
    struct world *w = *state;
    assert_int_equal(open_ring(w, w->new, w->old, ""), CW_OK);
    (void)walk(w, 3, 3);
    assert_int_equal(open_ring(w, w->old, w->new, ""), CW_OK);
    assert_all_open(w);
    assert_true(walk(w, 3, 100).done);
    assert_int_equal(open_ring(w, w->old, NULL, ""), CW_OK);
    assert_all_open(w);
}

static void a_former_key_that_is_missing_is_named_at_the_start(void **state)
{
    struct world *w = *state;
    char fingerprint[KEK_FINGERPRINT_SIZE];
    char want[128];
    kek_fingerprint(kek_id(kek(w), 0), fingerprint);
    snprintf(want, sizeof(want),
             "%d value(s) in the database are sealed under another "
             "key-encryption key, fingerprint %s,",
             VALUES, fingerprint);
    assert_int_equal(open_ring(w, w->new, NULL, want), CW_CONFIG_INVALID);
    assert_int_equal(open_ring(w, w->new, w->old, ""), CW_OK);
    (void)walk(w, 4, 1);
    assert_int_equal(open_ring(w, w->new, NULL, fingerprint),
                     CW_CONFIG_INVALID); /* some are left */
    assert_int_equal(open_ring(w, w->new, w->new, fingerprint), CW_CONFIG_INVALID);
    unlink(w->new);
    assert_int_equal(open_ring(w, w->new, w->old, "is missing"), CW_CONFIG_INVALID); /* not made */
    unlink(w->old);
    write_key(w->new, 2);
    assert_int_equal(open_ring(w, w->new, w->old, "cannot be read"), CW_IO);
}

/* It is over in minutes, and only a running service deletes it. */
static void a_login_that_waits_under_a_lost_key_keeps_nobody_from_starting(void **state)
{
    struct world *w = *state;
    assert_int_equal(open_ring(w, w->new, w->old, ""), CW_OK);
    assert_true(walk(w, 4, 100).done);
    assert_int_equal(open_ring(w, w->old, w->new, ""), CW_OK);
    add_challenge(w, 7);
    assert_int_equal(depend(w, 0), 1);
    assert_int_equal(open_ring(w, w->new, NULL, ""), CW_OK);
    assert_all_open(w);
    assert_int_equal(open_ring(w, w->old, NULL, "sealed under another"), CW_CONFIG_INVALID);
}

static void a_damaged_value_is_counted_stays_and_holds_nothing_up(void **state)
{
    struct world *w = *state;
    struct cw_buf sealed = sealed_now(w, STORE_SEALED_TOTP, TENANT, CW_STR("user-1"));
    sealed.p[sealed.n - 1] ^= 1; /* its tag */
    assert_int_equal(store_totp_start(w->store, TENANT, CW_STR("user-1"), cw_buf_str(&sealed)),
                     CW_OK);
    assert_int_equal(open_ring(w, w->new, w->old, ""), CW_OK);
    struct resealed all = walk(w, 1, 100);
    assert_true(all.done);
    assert_int_equal(all.values, VALUES - 1);
    assert_int_equal(all.failed, 1);
    assert_int_equal(depend(w, 1), 1);
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    struct store_totp totp = {0};
    assert_int_equal(store_totp_get(w->store, TENANT, CW_STR("user-1"), &arena, &totp), CW_OK);
    assert_true(cw_str_eq(totp.sealed, cw_buf_str(&sealed)));
    cw_arena_done(&arena);
    cw_buf_done(&sealed);
}

static void put_totp(struct world *w, const char *user, struct cw_str sealed)
{
    assert_int_equal(store_totp_start(w->store, TENANT, cw_str(user), sealed), CW_OK);
}

/* A session beside the user's first one. */
static void put_idp_session(struct world *w, const char *id, struct cw_str sealed)
{
    const struct store_user user = {.subject = CW_STR("user-3"), .username = CW_STR("user-3")};
    const struct store_session session = {.id = cw_str(id),
                                          .subject = CW_STR("user-3"),
                                          .client_id = CW_STR("portal"),
                                          .scope = CW_STR(""),
                                          .device = CW_STR(""),
                                          .address = CW_STR(""),
                                          .started_at = fake_now_ms,
                                          .used_at = fake_now_ms,
                                          .expires_at = fake_now_ms + HOUR_MS,
                                          .amr = CW_STR("[]"),
                                          .password_changed_at = STORE_NO_PASSWORD};
    struct store_family family = {.id = {0xff}, .idle_expires_at = fake_now_ms + HOUR_MS};
    const struct store_idp_tokens tokens = {
        .sealed = sealed, .token_name = cw_str(id), .token_expires_at = fake_now_ms + HOUR_MS};
    assert_int_equal(
        store_idp_session_start(w->store, ACME, &user, &session, &family, &tokens, USERS), CW_OK);
}

static void assert_damaged(const struct world *w, const char *text)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf names = CW_BUF_INIT(4096);
    cw_buf_add_str(&names, keyring_damaged(w->ring));
    cw_buf_add_char(&names, '\0');
    assert_non_null(strstr(names.p, text));
}

static void assert_unreadable(struct world *w, const char *user)
{
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    struct store_totp totp = {0};
    struct cw_secret plain = {0};
    assert_int_equal(store_totp_get(w->store, TENANT, cw_str(user), &arena, &totp), CW_OK);
    assert_int_equal(
        sealed_open(kek(w), STORE_SEALED_TOTP, TENANT, cw_str(user), totp.sealed, &plain),
        CW_SEALED_UNREADABLE);
    cw_arena_done(&arena);
}

static void damaged_rows_of_users_are_named_and_keep_nobody_from_starting(void **state)
{
    struct world *w = *state;
    struct cw_buf sealed = sealed_now(w, STORE_SEALED_TOTP, TENANT, CW_STR("user-1"));
    assert_int_equal(keyring_damaged(w->ring).n, 0);
    sealed.p[3] ^= 1; /* names no key any more */
    put_totp(w, "user-1", cw_buf_str(&sealed));
    put_totp(w, "user-2", (struct cw_str){sealed.p, 5});
    put_totp(w, "user-3", CW_STR("")); /* without an id it is not looked for: nothing to be moved */
    sealed.p[8] ^= 1;
    put_idp_session(w, "damaged", cw_buf_str(&sealed));
    assert_int_equal(open_ring(w, w->new, w->old, ""), CW_OK);
    assert_damaged(w, "totp clinicwave/user-1");
    assert_damaged(w, "totp …");
    assert_damaged(w, "idp-session acme/damaged");
    static const char *const users[] = {"user-1", "user-2", "user-3"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(users); i++) {
        assert_unreadable(w, users[i]);
    }
    assert_int_equal(walk(w, 4, 100).values, VALUES - 3);
    assert_int_equal(open_ring(w, w->new, NULL, ""), CW_OK); /* nobody has to keep a key for them */
    struct sealed_use *list = NULL;
    size_t n = 0;
    int64_t damaged = 0;
    assert_int_equal(sealed_count(w->store, kek(w), &list, &n), CW_OK);
    for (size_t i = 1; i < n; i++) {
        assert_true(!list[i].known && !list[i].real);
        damaged += list[i].values[STORE_SEALED_TOTP] + list[i].values[STORE_SEALED_IDP_SESSION];
    }
    free(list);
    assert_int_equal(damaged, 4);
    cw_buf_done(&sealed);
}

/* As a damaged row looks, but for the key, which there was. */
static void a_former_key_is_missed_as_long_as_one_user_depends_on_it(void **state)
{
    struct world *w = *state;
    char fingerprint[KEK_FINGERPRINT_SIZE];
    char want[128];
    kek_fingerprint(kek_id(kek(w), 0), fingerprint);
    snprintf(want, sizeof(want), "1 value(s) in the database are sealed under another");
    assert_int_equal(open_ring(w, w->new, w->old, ""), CW_OK);
    assert_true(walk(w, 4, 100).done);
    assert_int_equal(open_ring(w, w->old, w->new, ""), CW_OK);
    struct cw_buf sealed = sealed_now(w, STORE_SEALED_TOTP, TENANT, CW_STR("user-1"));
    put_totp(w, "user-1", cw_buf_str(&sealed));
    cw_buf_done(&sealed);
    assert_int_equal(open_ring(w, w->new, NULL, want), CW_CONFIG_INVALID);
    assert_int_equal(open_ring(w, w->new, NULL, fingerprint), CW_CONFIG_INVALID);
    assert_int_equal(open_ring(w, w->new, w->old, ""), CW_OK);
    assert_int_equal(keyring_damaged(w->ring).n, 0);
}

/* Nobody could do without it. */
static void a_damaged_secret_of_a_tenant_is_no_matter_of_one_user(void **state)
{
    struct world *w = *state;
    struct cw_buf sealed = sealed_now(w, STORE_SEALED_TENANT, ACME, CW_STR(""));
    sealed.p[3] ^= 1;
    const struct store_tenant acme = {.name = ACME,
                                      .issuer = CW_STR("https://acme"),
                                      .document = CW_STR("{}"),
                                      .secrets = cw_buf_str(&sealed)};
    assert_int_equal(store_tenant_put(w->store, &acme, 1), CW_OK);
    cw_buf_done(&sealed);
    assert_int_equal(open_ring(w, w->old, NULL, "1 value(s)"), CW_CONFIG_INVALID);
}

static void a_place_that_is_no_place_is_refused(void **state)
{
    struct world *w = *state;
    static const struct cw_str places[] = {
        {"x", 1}, {"\7\0abcdefgh\0", 11}, {"\0\3abcdefgh\0", 11}, {"\0\1abcdefgh", 10}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(places); i++) {
        struct cw_buf place = CW_BUF_INIT(4096);
        struct resealed step;
        cw_buf_add_str(&place, places[i]);
        assert_int_equal(sealed_reseal(w->store, kek(w), 10, &place, &step), CW_REQUEST_MALFORMED);
        cw_buf_done(&place);
    }
}

/* Versions before derived them from the key that there was. */
static void secrets_of_an_earlier_version_stay_the_same(void **state)
{
    struct world *w = *state;
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(64 * 1024);
    struct kek *before = NULL;
    struct signing_key *key = NULL;
    assert_int_equal(kek_open(w->old, false, &message, &before), CW_OK);
    assert_int_equal(signing_key_generate("ES256", 2048, &key), CW_OK);
    assert_int_equal(signing_key_seal(key, before, TENANT, &sealed), CW_OK);
    const struct store_key row = {.kid = cw_str(signing_key_kid(key)),
                                  .algorithm = CW_STR("ES256"),
                                  .public_jwk = cw_str(signing_key_public_jwk(key)),
                                  .sealed = cw_buf_str(&sealed)};
    assert_int_equal(store_key_add_first(w->store, TENANT, &row), CW_OK);
    uint8_t refresh[32];
    uint8_t codes[32];
    const uint8_t *id = kek_id(before, 0);
    assert_int_equal(kek_derive(before, id, "clinicwave refresh tokens", refresh), CW_OK);
    assert_int_equal(kek_derive(before, id, "clinicwave recovery codes", codes), CW_OK);
    /* The new version comes together with a new key. */
    assert_int_equal(open_ring(w, w->new, w->old, ""), CW_OK);
    assert_memory_equal(keyring_secret(w->ring, KEYRING_REFRESH_TOKENS), refresh, 32);
    assert_memory_equal(keyring_secret(w->ring, KEYRING_RECOVERY_CODES), codes, 32);
    assert_true(walk(w, 10, 100).done);
    assert_int_equal(open_ring(w, w->new, NULL, ""), CW_OK);
    assert_memory_equal(keyring_secret(w->ring, KEYRING_REFRESH_TOKENS), refresh, 32);
    assert_memory_equal(keyring_secret(w->ring, KEYRING_RECOVERY_CODES), codes, 32);
    signing_key_unref(key);
    kek_free(before);
}

int main(void)
{
#define FULL(test) cmocka_unit_test_setup_teardown(test, setup_full, teardown)
    const struct CMUnitTest tests[] = {
        FULL(what_the_former_key_has_sealed_opens_moves_and_needs_it_no_more),
        FULL(it_may_be_left_off_after_any_step_and_begun_again),
        FULL(it_goes_back_as_well),
        FULL(a_former_key_that_is_missing_is_named_at_the_start),
        FULL(a_login_that_waits_under_a_lost_key_keeps_nobody_from_starting),
        FULL(a_damaged_value_is_counted_stays_and_holds_nothing_up),
        FULL(damaged_rows_of_users_are_named_and_keep_nobody_from_starting),
        FULL(a_former_key_is_missed_as_long_as_one_user_depends_on_it),
        FULL(a_damaged_secret_of_a_tenant_is_no_matter_of_one_user),
        FULL(a_place_that_is_no_place_is_refused),
        cmocka_unit_test_setup_teardown(secrets_of_an_earlier_version_stay_the_same, setup,
                                        teardown),
    };
    return DATABASES_RUN(tests);
}
