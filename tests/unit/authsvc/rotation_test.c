/* Rotation of signing keys with the clock in hand: published before they sign, published after they
 * have signed, the same in every process; over each database. */
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

#include "authsvc/admin/keeper.h"
#include "authsvc/keys/keyring.h"
#include "tests/unit/authsvc/clock_fake.h"
#include "tests/unit/authsvc/databases.h"

#define TENANT CW_STR("clinicwave")
#define OTHER CW_STR("other")

enum {
    AHEAD = 3600 * 1000,
    ROTATE = 10 * 3600 * 1000,
    MARGIN = 600 * 1000,
    LIFE = 300 * 1000,
    RINGS = 2, /* processes */
};

static const struct keyring_want es256 = {.algorithm = "ES256", .life_ms = LIFE};
static const struct keyring_want rs256 = {.algorithm = "RS256", .life_ms = LIFE};

struct world {
    char dir[32];
    char kek[64];
    struct store *stores[RINGS]; /* one, where the database has one process only */
    struct keyring *rings[RINGS];
};

static void open_process(struct world *w, size_t i, const char *url)
{
    const struct keyring_options options = {
        .policy = {AHEAD, ROTATE, MARGIN},
        .rsa_bits = 2048,
    };
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    if (i == 0 || databases_is_postgresql()) {
        const struct store_options store = {.url = cw_str(url),
                                            .connect_timeout_ms = DATABASES_PATIENCE_MS,
                                            .statement_timeout_ms = DATABASES_PATIENCE_MS,
                                            .clock = &fake_clock};
        assert_int_equal(store_open(&store, &message, &w->stores[i]), CW_OK);
    } else {
        w->stores[i] = w->stores[0];
    }
    assert_int_equal(store_tenant_add(w->stores[i], TENANT), CW_OK);
    assert_int_equal(store_tenant_add(w->stores[i], OTHER), CW_OK);
    assert_int_equal(keyring_open(w->stores[i], w->kek, &options, &message, &w->rings[i]), CW_OK);
    assert_int_equal(keyring_load(w->rings[i], TENANT, &es256, &message), CW_OK);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    snprintf(w->dir, sizeof(w->dir), "/tmp/cwXXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->kek, sizeof(w->kek), "%s/kek", w->dir);
    const char *url = databases_fresh_url();
    for (size_t i = 0; i < RINGS; i++) {
        open_process(w, i, url);
    }
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < RINGS; i++) {
        keyring_free(w->rings[i]);
        if (i == 0 || w->stores[i] != w->stores[0]) {
            store_close(w->stores[i]);
        }
    }
    unlink(w->kek);
    rmdir(w->dir);
    free(w);
    return 0;
}

/* --- what a process does and shows ------------------------------------------------------- */

struct shown {
    char states[128];
    char kids[STORE_KEYS_MAX][SIGNING_KEY_KID_SIZE];
    size_t n;
};

static enum cw_err show(void *ctx, const struct keyring_entry *entry)
{
    struct shown *shown = ctx;
    size_t n = strlen(shown->states);
    snprintf(shown->states + n, sizeof(shown->states) - n, "%s%s", n > 0 ? " " : "",
             key_state_name(entry->state));
    memcpy(shown->kids[shown->n++], entry->kid.p, entry->kid.n);
    return CW_OK;
}

static struct shown list(struct keyring *ring)
{
    struct shown shown = {.n = 0};
    assert_int_equal(keyring_list(ring, TENANT, show, &shown), CW_OK);
    return shown;
}

static void assert_states(struct keyring *ring, const char *want)
{
    struct shown shown = list(ring);
    assert_string_equal(shown.states, want);
}

static void signer(struct keyring *ring, char ret_kid[SIGNING_KEY_KID_SIZE])
{
    struct signing_key *key = NULL;
    assert_int_equal(keyring_signer(ring, TENANT, &key), CW_OK);
    memcpy(ret_kid, signing_key_kid(key), SIGNING_KEY_KID_SIZE);
    signing_key_unref(key);
}

static bool publishes(struct keyring *ring, const char *kid)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf jwks = CW_BUF_INIT(64 * 1024);
    assert_int_equal(keyring_jwks(ring, TENANT, &jwks), CW_OK);
    return memmem(jwks.p, jwks.n, kid, strlen(kid)) != NULL;
}

static void rotate(struct keyring *ring, const struct keyring_want *want)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    assert_int_equal(keyring_rotate(ring, TENANT, want, &message), CW_OK);
}

/* One round of the keeper; whether it had anything to publish. */
static bool look(struct keyring *ring, bool remove)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    CW_CLEANUP(cw_buf_done) struct cw_buf due = CW_BUF_INIT(256);
    bool followed = false;
    bool advanced = false;
    assert_int_equal(keyring_follow(ring, &followed, &message), CW_OK);
    if (keyring_due(ring, CW_STR(""), remove, &due)) {
        assert_int_equal(
            keyring_advance(ring, cw_buf_str(&due), &es256, remove, &advanced, &message), CW_OK);
        due.n = 0;
        assert_false(keyring_due(ring, CW_STR(""), remove, &due)); /* once is enough */
    }
    assert_int_equal(message.n, 0);
    return followed || advanced;
}

/* --- the life of a key -------------------------------------------------------------------- */

static void a_key_is_published_signs_is_retired_and_goes(void **state)
{
    struct world *w = *state;
    struct keyring *ring = w->rings[0];
    char first[SIGNING_KEY_KID_SIZE];
    char kid[SIGNING_KEY_KID_SIZE];
    signer(ring, first);
    assert_states(ring, "active");
    rotate(ring, &es256);
    assert_states(ring, "active pending");
    struct shown two = list(ring);
    const char *second = two.kids[1];
    assert_true(publishes(ring, first) && publishes(ring, second));
    fake_now_ms += AHEAD - 1;
    signer(ring, kid);
    assert_string_equal(kid, first);
    assert_false(look(ring, true));
    fake_now_ms += 1;
    signer(ring, kid);
    assert_string_equal(kid, second); /* at that instant, before anybody has done anything */
    look(ring, true);
    assert_states(ring, "retired active");
    fake_now_ms += LIFE + MARGIN - 1;
    assert_false(look(ring, true));
    assert_true(publishes(ring, first));
    fake_now_ms += 1;
    assert_states(ring, "over active");
    assert_false(look(ring, false)); /* the clock is not to be trusted */
    assert_true(publishes(ring, first));
    assert_true(look(ring, true));
    assert_states(ring, "active");
    assert_false(publishes(ring, first));
    assert_true(publishes(ring, second));
}

static void a_key_outlives_the_longest_token_that_it_may_have_signed(void **state)
{
    struct world *w = *state;
    struct keyring *ring = w->rings[0];
    char first[SIGNING_KEY_KID_SIZE];
    signer(ring, first);
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    const struct keyring_want longer = {.algorithm = "ES256", .life_ms = 10 * LIFE};
    assert_int_equal(keyring_load(ring, TENANT, &longer, &message), CW_OK);
    assert_int_equal(keyring_load(ring, TENANT, &es256, &message), CW_OK); /* shorter again */
    rotate(ring, &es256);
    fake_now_ms += AHEAD;
    look(ring, true);
    fake_now_ms += 10 * LIFE + MARGIN - 1;
    look(ring, true);
    assert_true(publishes(ring, first));
    fake_now_ms += 1;
    look(ring, true);
    assert_false(publishes(ring, first));
}

static void whoever_asks_again_gets_the_key_that_waits(void **state)
{
    struct world *w = *state;
    rotate(w->rings[0], &es256);
    struct shown once = list(w->rings[0]);
    rotate(w->rings[0], &es256);
    rotate(w->rings[1], &es256); /* another process, which has not heard of it */
    struct shown again = list(w->rings[1]);
    assert_int_equal(again.n, 2);
    assert_string_equal(once.kids[1], again.kids[1]);
}

static void another_algorithm_takes_the_place_of_the_key_that_waits(void **state)
{
    struct world *w = *state;
    rotate(w->rings[0], &es256);
    struct shown before = list(w->rings[0]);
    rotate(w->rings[0], &rs256);
    struct shown after = list(w->rings[0]);
    assert_string_equal(after.states, "active pending");
    assert_string_equal(before.kids[0], after.kids[0]);
    assert_string_not_equal(before.kids[1], after.kids[1]);
}

static void a_key_that_has_served_its_time_is_replaced_in_time(void **state)
{
    struct world *w = *state;
    struct keyring *ring = w->rings[0];
    int64_t begin = fake_now_ms;
    fake_now_ms = begin + ROTATE - AHEAD - 1;
    assert_false(look(ring, true));
    fake_now_ms += 1;
    assert_true(look(ring, true));
    assert_states(ring, "active pending");
    assert_false(look(ring, true));
    fake_now_ms = begin + ROTATE;
    look(ring, true);
    assert_states(ring, "retired active");
    /* Nobody looked for long: one key, not all that were missed. */
    fake_now_ms = begin + 20LL * ROTATE;
    look(ring, true);
    assert_states(ring, "active pending");
}

static void of_another_tenant_nothing_changes(void **state)
{
    struct world *w = *state;
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    assert_int_equal(keyring_load(w->rings[0], OTHER, &es256, &message), CW_OK);
    uint64_t before = keyring_stamp(w->rings[0], OTHER);
    rotate(w->rings[0], &es256);
    look(w->rings[0], true);
    look(w->rings[1], true);
    assert_int_equal(keyring_stamp(w->rings[0], OTHER), before);
    assert_int_equal(keyring_stamp(w->rings[1], OTHER), 0);
}

static const struct keyring_want day = {.algorithm = "ES256", .life_ms = 48LL * AHEAD};

static void fill(struct keyring *ring)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    assert_int_equal(keyring_load(ring, TENANT, &day, &message), CW_OK);
    for (int i = 1; i < STORE_KEYS_MAX; i++) {
        rotate(ring, &day);
        fake_now_ms += AHEAD;
    }
    assert_int_equal(list(ring).n, STORE_KEYS_MAX);
}

static void another_algorithm_waits_for_room_and_stops_nobody(void **state)
{
    struct world *w = *state;
    struct keyring *ring = w->rings[0];
    const struct keyring_want other = {.algorithm = "RS256", .life_ms = day.life_ms};
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    bool changed = false;
    fill(ring);
    assert_int_equal(keyring_load(ring, TENANT, &other, &message), CW_OK);
    assert_int_equal(message.n, 0);
    assert_false(publishes(ring, "RS256"));
    assert_int_equal(keyring_advance(ring, TENANT, &other, true, &changed, &message), CW_OK);
    assert_false(publishes(ring, "RS256")); /* nothing is over yet */
    fake_now_ms += day.life_ms;
    assert_int_equal(keyring_advance(ring, TENANT, &other, true, &changed, &message), CW_OK);
    assert_true(changed && publishes(ring, "RS256"));
    size_t n = list(ring).n;
    assert_int_equal(keyring_advance(ring, TENANT, &other, true, &changed, &message), CW_OK);
    assert_int_equal(list(ring).n, n); /* one is enough */
    assert_false(changed);
}

static void so_many_keys_and_no_more(void **state)
{
    struct world *w = *state;
    struct keyring *ring = w->rings[0];
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    fill(ring);
    assert_int_equal(keyring_rotate(ring, TENANT, &day, &message), CW_CONFLICT);
    assert_true(message.n > 0);
    assert_int_equal(keyring_load(w->rings[1], TENANT, &day, &message), CW_OK);
    int64_t withdrawn = 0; /* that is possible always */
    assert_int_equal(keyring_withdraw(ring, TENANT, &day, &withdrawn, &message), CW_OK);
    assert_int_equal(withdrawn, STORE_KEYS_MAX);
    assert_states(ring, "active");
}

/* keyring_look_over's counts. */
static bool is_not(void *ctx, struct cw_str tenant)
{
    return !cw_str_is(tenant, ctx);
}

static struct keyring_survey look_over(struct keyring *ring, char *left_out,
                                       const char *want_oldest, const char *want_overdue)
{
    struct keyring_survey s = {.tenant = CW_BUF_INIT(256), .overdue_tenant = CW_BUF_INIT(256)};
    assert_int_equal(keyring_look_over(ring, left_out ? is_not : NULL, left_out, &s), CW_OK);
    assert_true(cw_str_is(cw_buf_str(&s.tenant), want_oldest));
    assert_true(cw_str_is(cw_buf_str(&s.overdue_tenant), want_overdue));
    cw_buf_done(&s.tenant);
    cw_buf_done(&s.overdue_tenant);
    return s;
}

static void the_age_of_what_signs_is_known_and_what_should_have_been_replaced(void **state)
{
    struct world *w = *state;
    struct keyring *ring = w->rings[0];
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    enum { HOUR_MS = 3600 * 1000 };
    fake_now_ms += 5000;
    assert_int_equal(keyring_load(ring, OTHER, &es256, &message), CW_OK);
    struct keyring_survey s = look_over(ring, NULL, "clinicwave", "");
    assert_int_equal(s.tenants, 2);
    assert_int_equal(s.age_ms, 5000);
    assert_int_equal(s.pending + s.retired + s.overdue, 0);
    assert_int_equal(s.rotate_after_ms, ROTATE);
    /* Nobody rotates: a while after its time that is a fault. */
    fake_now_ms += ROTATE + AHEAD + HOUR_MS - 5000;
    assert_int_equal(look_over(ring, NULL, "clinicwave", "").overdue, 0);
    fake_now_ms++;
    assert_int_equal(look_over(ring, NULL, "clinicwave", "clinicwave").overdue, 1);
    /* one whose provider signs by now has keys here that nobody replaces */
    char gone[] = "clinicwave";
    s = look_over(ring, gone, "other", "");
    assert_int_equal(s.tenants, 1);
    assert_int_equal(s.overdue, 0);
    assert_int_equal(keyring_rotate(ring, TENANT, &es256, &message), CW_OK);
    s = look_over(ring, NULL, "clinicwave", "");
    assert_int_equal(s.pending, 1);
    assert_int_equal(s.overdue, 0); /* it waits for its turn */
    fake_now_ms += 5000;
    s = look_over(ring, NULL, "clinicwave", "other"); /* the oldest is not the one to be rotated */
    assert_int_equal(s.overdue, 1);
    fake_now_ms += AHEAD - 5000;
    s = look_over(ring, NULL, "other", "other");
    assert_int_equal(s.pending, 0);
    assert_int_equal(s.retired, 1);
    assert_int_equal(s.overdue, 1); /* the other one's */
}

static void one_tenant_that_cannot_be_read_does_not_stop_the_others(void **state)
{
    struct world *w = *state;
    struct keyring_options options = {.policy = {AHEAD, ROTATE, MARGIN}, .rsa_bits = 2048};
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    for (size_t i = 0; i < RINGS; i++) {
        assert_int_equal(keyring_load(w->rings[i], OTHER, &es256, &message), CW_OK);
    }
    struct signing_key *key = NULL;
    assert_int_equal(keyring_signer(w->rings[0], OTHER, &key), CW_OK);
    /* A process with another key-encryption key, beside this one's, puts a key in place of the
     * first tenant's. */
    char path[72];
    snprintf(path, sizeof(path), "%s/other", w->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite("0123456789abcdef0123456789abcdef", 1, 32, file), 32);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0400), 0);
    struct keyring *stranger = NULL;
    int64_t withdrawn = 0;
    char *const others[] = {w->kek};
    options.other_kek_files = others;
    options.n_other_kek_files = 1;
    assert_int_equal(keyring_open(w->stores[1], path, &options, &message, &stranger), CW_OK);
    assert_int_equal(keyring_withdraw(stranger, TENANT, &es256, &withdrawn, &message), CW_OK);
    keyring_free(stranger);
    assert_int_equal(keyring_withdraw(w->rings[1], OTHER, &es256, &withdrawn, &message), CW_OK);
    bool followed = false;
    assert_int_not_equal(keyring_follow(w->rings[0], &followed, &message), CW_OK);
    assert_true(followed);
    struct signing_key *now = NULL;
    assert_int_equal(keyring_signer(w->rings[0], OTHER, &now), CW_OK);
    assert_string_not_equal(signing_key_kid(now), signing_key_kid(key));
    signing_key_unref(key);
    signing_key_unref(now);
    unlink(path);
}

/* --- clocks ------------------------------------------------------------------------------- */

static void a_clock_that_is_set_back_signs_with_a_key_that_is_published(void **state)
{
    struct world *w = *state;
    struct keyring *ring = w->rings[0];
    char first[SIGNING_KEY_KID_SIZE];
    char kid[SIGNING_KEY_KID_SIZE];
    signer(ring, first);
    rotate(ring, &es256);
    fake_now_ms += AHEAD;
    look(ring, true);
    fake_now_ms -= 2;
    signer(ring, kid);
    assert_string_equal(kid, first);
    assert_false(look(ring, true));
    fake_now_ms -= 100LL * ROTATE; /* before all of them */
    signer(ring, kid);
    assert_string_equal(kid, first);
    assert_false(look(ring, true));
    fake_now_ms += 100LL * ROTATE + 2;
    assert_false(look(ring, true));
    signer(ring, kid);
    assert_string_not_equal(kid, first);
}

static void a_clock_that_has_jumped_deletes_nothing_for_a_while(void **state)
{
    (void)state;
    struct keeper_calm calm = {0};
    int64_t wall = 1700000000000;
    int64_t mono = 50;
    assert_false(keeper_calm(&calm, wall, mono, 1000)); /* it has just started */
    assert_false(keeper_calm(&calm, wall + 999, mono + 999, 1000));
    assert_true(keeper_calm(&calm, wall + 1000, mono + 1000, 1000));
    assert_true(keeper_calm(&calm, wall + 2100, mono + 2000, 1000)); /* slewed */
    assert_false(keeper_calm(&calm, wall + 90000000, mono + 2500, 1000));
    assert_false(keeper_calm(&calm, wall + 90000999, mono + 3499, 1000));
    assert_false(keeper_calm(&calm, wall + 3500, mono + 3500, 1000)); /* and back */
    assert_false(keeper_calm(&calm, wall + 4499, mono + 4499, 1000));
    assert_true(keeper_calm(&calm, wall + 4500, mono + 4500, 1000));
}

/* --- several processes --------------------------------------------------------------------- */

static void all_processes_switch_at_the_same_instant(void **state)
{
    struct world *w = *state;
    char kids[RINGS][SIGNING_KEY_KID_SIZE];
    rotate(w->rings[0], &es256);
    assert_true(look(w->rings[1], true));
    assert_false(look(w->rings[1], true));
    assert_states(w->rings[1], "active pending");
    for (int64_t i = 0; i < 4; i++) {
        fake_now_ms += AHEAD / 2 - 1 + (i == 1);
        signer(w->rings[0], kids[0]);
        signer(w->rings[1], kids[1]);
        assert_string_equal(kids[0], kids[1]);
    }
}

static void a_withdrawn_key_is_gone_at_once_and_everywhere(void **state)
{
    struct world *w = *state;
    char first[SIGNING_KEY_KID_SIZE];
    char kid[SIGNING_KEY_KID_SIZE];
    int64_t withdrawn = 0;
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    signer(w->rings[0], first);
    rotate(w->rings[0], &es256);
    assert_int_equal(keyring_withdraw(w->rings[0], TENANT, &es256, &withdrawn, &message), CW_OK);
    assert_int_equal(withdrawn, 2);
    assert_states(w->rings[0], "active");
    assert_true(look(w->rings[1], true));
    for (size_t i = 0; i < RINGS; i++) {
        signer(w->rings[i], kid);
        assert_string_not_equal(kid, first);
        assert_false(publishes(w->rings[i], first));
        assert_true(publishes(w->rings[i], kid));
    }
}

struct racer {
    struct keyring *ring;
};

static void *race(void *arg)
{
    const struct racer *racer = arg;
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    bool changed = false;
    enum cw_err err = keyring_advance(racer->ring, TENANT, &es256, true, &changed, &message);
    return err == CW_OK ? NULL : arg;
}

static void of_many_that_find_it_due_exactly_one_makes_the_key(void **state)
{
    enum { RACERS = 8 };
    struct world *w = *state;
    struct racer racers[RACERS];
    pthread_t threads[RACERS];
    fake_now_ms += ROTATE;
    for (size_t i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.ring = w->rings[i % RINGS]};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    size_t failed = 0;
    for (size_t i = 0; i < RACERS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        failed += result != NULL;
    }
    assert_int_equal(failed, 0);
    struct shown shown[RINGS] = {list(w->rings[0]), list(w->rings[1])};
    assert_string_equal(shown[0].states, "active pending");
    assert_string_equal(shown[1].states, "active pending");
    assert_string_equal(shown[0].kids[1], shown[1].kids[1]);
}

/* --- rows of before ------------------------------------------------------------------------ */

static void keys_of_an_older_version_go_on(void **state)
{
    if (!databases_is_postgresql()) {
        return; /* nothing else can write into it */
    }
    struct world *w = *state;
    struct keyring *ring = w->rings[0];
    char kid[SIGNING_KEY_KID_SIZE];
    char first[SIGNING_KEY_KID_SIZE];
    signer(ring, first);
    /* A key that an older cw-authsvc beside this one has added. */
    assert_true(databases_psql("UPDATE signing_key SET active_at = 0, life_ms = 86400000"));
    rotate(ring, &es256);
    signer(ring, kid);
    assert_string_equal(kid, first);
    fake_now_ms += AHEAD;
    look(ring, true);
    assert_states(ring, "retired active");
    fake_now_ms += 86400000 + MARGIN;
    look(ring, true);
    assert_false(publishes(ring, first));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_key_is_published_signs_is_retired_and_goes),
        CASE(a_key_outlives_the_longest_token_that_it_may_have_signed),
        CASE(whoever_asks_again_gets_the_key_that_waits),
        CASE(another_algorithm_takes_the_place_of_the_key_that_waits),
        CASE(a_key_that_has_served_its_time_is_replaced_in_time),
        CASE(of_another_tenant_nothing_changes),
        CASE(another_algorithm_waits_for_room_and_stops_nobody),
        CASE(so_many_keys_and_no_more),
        CASE(the_age_of_what_signs_is_known_and_what_should_have_been_replaced),
        CASE(one_tenant_that_cannot_be_read_does_not_stop_the_others),
        CASE(a_clock_that_is_set_back_signs_with_a_key_that_is_published),
        CASE(a_clock_that_has_jumped_deletes_nothing_for_a_while),
        CASE(all_processes_switch_at_the_same_instant),
        CASE(a_withdrawn_key_is_gone_at_once_and_everywhere),
        CASE(of_many_that_find_it_due_exactly_one_makes_the_key),
        CASE(keys_of_an_older_version_go_on),
    };
#undef CASE
    return DATABASES_RUN(tests);
}
