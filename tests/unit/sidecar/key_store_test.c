/* Key sets over an issuer's good and bad days. */
#include "common/keys/key_store.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/sidecar/world.h"

struct fixture {
    struct world world;
    struct cw_key_store *store;
    struct cw_key_source *source;
    char *one;     /* set with the key "one" */
    char *two;     /* with "two" */
    char *one_two; /* with both */
};

#define URI "https://issuer.example/jwks.json"

static struct cw_key_source_spec spec_of(enum cw_key_kind kind, const char *location)
{
    return (struct cw_key_source_spec){
        .tenant = "t",
        .issuer = "https://issuer.example/",
        .kind = kind,
        .location = location,
        .ca_file = "",
    };
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    static const char *const both[] = {"one", "two"};
    struct cw_key_source_spec spec = spec_of(CW_KEY_URI, URI);

    world_init(&f->world);
    f->one = world_jwks(both, 1);
    f->two = world_jwks(both + 1, 1);
    f->one_two = world_jwks(both, 2);
    f->store = world_store(&f->world, NULL);
    f->source = cw_key_store_open(f->store, &spec);
    assert_non_null(f->source);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    cw_key_store_stop(f->store);
    while (world_open(&f->world)) {
        world_break(&f->world, CW_CANCELLED);
    }
    cw_key_source_unref(f->source);
    cw_key_store_free(f->store);
    free(f->one);
    free(f->two);
    free(f->one_two);
    free(f);
    return 0;
}

static size_t count(struct cw_key_source *source)
{
    struct cw_jwks *set = cw_key_source_get(source);
    size_t n = set ? cw_jwks_count(set) : 0;

    cw_jwks_unref(set);
    return n;
}

/* Time passes in ticks, as the store's thread would see it. */
static void run(struct fixture *f, int64_t ms)
{
    for (; ms > 0; ms -= 1000) {
        world_pass(&f->world, CW_MIN(ms, 1000));
        cw_key_store_tick(f->store);
    }
}

static void fetch_good(struct fixture *f, const char *set, const char *cache_control)
{
    cw_key_store_tick(f->store);
    assert_int_equal(world_open(&f->world), 1);
    world_answer(&f->world, 200, set, cache_control);
}

static void keys_are_fetched_at_once_and_published(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(count(f->source), 0);
    fetch_good(f, f->one, "max-age=600");
    assert_string_equal(f->world.urls[0], URI);
    assert_int_equal(count(f->source), 1);
}

static void refreshed_once_before_expiry_within_the_clamp(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *cache_control;
        int64_t life_s;
    } cases[] = {{"max-age=600", 600}, {"max-age=1", 60}, {"max-age=315360000", 3600},
                 {"no-store", 60},     {"", 600},         {"public, max-age=120", 120},
                 {"max-age=-5", 600}};

    cw_key_store_tick(f->store);
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        world_answer(&f->world, 200, f->one, cases[i].cache_control);
        unsigned before = f->world.n_urls;
        run(f, cases[i].life_s * 800 - 8000);
        assert_int_equal(f->world.n_urls, before);
        run(f, 9000);
        assert_int_equal(f->world.n_urls, before + 1);
    }
    /* While it runs nobody begins another. */
    unsigned before = f->world.n_urls;
    run(f, 60 * 1000);
    assert_int_equal(f->world.n_urls, before);
}

static void bad_answers_keep_the_old_set_and_are_told(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *what;
        int status;
        const char *body;
    } cases[] = {
        {"HTTP status 500", 500, "{}"},
        {"HTTP status 302", 302, "{\"keys\":[]}"},
        {"HTTP status 404", 404, "not found"},
        {"empty answer", 200, ""},
        {"", 200, "<html>Sign in</html>"},
        {"", 200, "{\"keys\":[]}"},
        {"", 200, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}"},
        {"", 200, "{\"keys\":{}}"},
        {"", 200, "[]"},
    };

    fetch_good(f, f->one, "max-age=60");
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        unsigned failed = f->world.failed;
        run(f, 90 * 1000);
        assert_int_equal(world_open(&f->world), 1);
        world_answer(&f->world, cases[i].status, cases[i].body, "");
        assert_int_equal(count(f->source), 1);
        assert_int_equal(f->world.failed, failed + 1);
        assert_non_null(strstr(f->world.why, cases[i].what));
        assert_true(f->world.why[0] != '\0');
    }
    run(f, 90 * 1000);
    world_break(&f->world, CW_TIMEOUT);
    assert_non_null(strstr(f->world.why, "timeout"));
    assert_int_equal(count(f->source), 1);
    assert_int_equal(f->world.withdrawn, 0);
}

static void failures_back_off_quickly_without_keys_slowly_with_them(void **state)
{
    struct fixture *f = *state;
    static const int64_t pauses[] = {1, 2, 4, 8, 16, 32, 60, 60};

    cw_key_store_tick(f->store);
    for (size_t i = 0; i < CW_ARRAY_SIZE(pauses); i++) {
        unsigned before = f->world.n_urls;
        world_break(&f->world, CW_UNAVAILABLE);
        run(f, pauses[i] * 1000 - 1);
        assert_int_equal(f->world.n_urls, before);
        run(f, 1000);
        assert_int_equal(f->world.n_urls, before + 1);
    }
    world_answer(&f->world, 200, f->one, "max-age=60");
    run(f, 60 * 1000);
    unsigned before = f->world.n_urls;
    world_break(&f->world, CW_UNAVAILABLE);
    run(f, 29 * 1000);
    assert_int_equal(f->world.n_urls, before);
    run(f, 2000);
    assert_int_equal(f->world.n_urls, before + 1);
}

static void a_key_that_is_gone_from_a_good_fetch_is_withdrawn_at_once(void **state)
{
    struct fixture *f = *state;

    fetch_good(f, f->one_two, "max-age=60");
    struct cw_jwks *old = cw_key_source_get(f->source);
    run(f, 60 * 1000);
    world_answer(&f->world, 200, f->two, "");
    assert_int_equal(f->world.withdrawn, 1);
    assert_true(cw_jwk_is_withdrawn(cw_jwks_at(old, 0)));
    assert_false(cw_jwk_is_withdrawn(cw_jwks_at(old, 1)));
    /* The one that stayed is the same object: what it signed lives on. */
    struct cw_jwks *now = cw_key_source_get(f->source);
    assert_ptr_equal(cw_jwks_at(now, 0), cw_jwks_at(old, 1));
    cw_jwks_unref(now);
    cw_jwks_unref(old);
}

static void a_set_serves_over_failures_for_a_day_and_no_longer(void **state)
{
    struct fixture *f = *state;

    fetch_good(f, f->one, "");
    for (int hour = 0; hour < 24; hour++) {
        for (int64_t part = 0; part < 60; part++) {
            world_pass(&f->world, 59 * 1000);
            cw_key_store_tick(f->store);
            while (world_open(&f->world)) {
                f->world.n_urls = f->world.n_answered + 1;
                world_break(&f->world, CW_UNAVAILABLE);
            }
            if (f->world.n_answered > WORLD_URLS_MAX / 2) {
                f->world.n_urls = f->world.n_answered = 0;
            }
        }
    }
    assert_int_equal(count(f->source), 1);
    assert_int_equal(f->world.stale, 0);
    run(f, 3600 * 1000 * 24 / 60 + 1000);
    assert_int_equal(count(f->source), 0);
    assert_int_equal(f->world.stale, 1);
}

/* ---- unknown kids ---- */

struct waiter {
    struct cw_key_waiter waiter;
    int woken;
    bool late;
};

static void woken(struct cw_key_waiter *waiter, bool late)
{
    struct waiter *w = CW_CONTAINER_OF(waiter, struct waiter, waiter);

    w->woken++;
    w->late = late;
}

static enum cw_key_answer ask(struct fixture *f, const char *kid, struct waiter *w)
{
    struct cw_str name = cw_str(kid);
    struct cw_jwks *seen = cw_key_source_get(f->source);
    int64_t retry = 0;

    *w = (struct waiter){.waiter = {.wake = woken, .deadline_ms = f->world.mono_ms + 1000}};
    enum cw_key_answer answer = cw_key_source_ask(f->source, seen, &name, &w->waiter, &retry);
    cw_jwks_unref(seen);
    return answer;
}

static void an_unknown_kid_soon_after_a_good_fetch_is_refused_without_another(void **state)
{
    struct fixture *f = *state;
    struct waiter w;

    fetch_good(f, f->one, "");
    run(f, 29 * 1000);
    assert_int_equal(ask(f, "new", &w), CW_KEY_ANSWER_UNKNOWN);
    assert_int_equal(f->world.n_urls, 1);
}

static void an_unknown_kid_later_fetches_once_for_all_who_wait(void **state)
{
    struct fixture *f = *state;
    struct waiter a;
    struct waiter b;
    struct waiter c;

    fetch_good(f, f->one, "");
    run(f, 31 * 1000);
    assert_int_equal(ask(f, "two", &a), CW_KEY_ANSWER_WAIT);
    assert_int_equal(ask(f, "two", &b), CW_KEY_ANSWER_WAIT);
    assert_int_equal(ask(f, "other", &c), CW_KEY_ANSWER_WAIT);
    assert_int_equal(f->world.n_urls, 2);
    world_answer(&f->world, 200, f->one_two, "");
    assert_true(a.woken == 1 && b.woken == 1 && c.woken == 1);
    assert_false(a.late);
    assert_int_equal(count(f->source), 2);
    assert_int_equal(ask(f, "other", &c), CW_KEY_ANSWER_UNKNOWN);
}

static void an_unknown_kid_after_a_failed_fetch_cannot_be_told(void **state)
{
    struct fixture *f = *state;
    struct waiter w;

    fetch_good(f, f->one, "");
    run(f, 31 * 1000);
    assert_int_equal(ask(f, "two", &w), CW_KEY_ANSWER_WAIT);
    world_break(&f->world, CW_UNAVAILABLE);
    assert_int_equal(w.woken, 1);
    assert_int_equal(ask(f, "two", &w), CW_KEY_ANSWER_UNAVAILABLE);
    assert_int_equal(ask(f, "yet another", &w), CW_KEY_ANSWER_UNAVAILABLE);
    assert_int_equal(f->world.n_urls, 2);
}

static void a_flood_of_kids_costs_one_fetch_in_30_s(void **state)
{
    struct fixture *f = *state;
    struct waiter w;
    char kid[32];
    unsigned asked = 0;

    fetch_good(f, f->one, "max-age=3600");
    unsigned before = f->world.n_urls;
    for (int second = 0; second < 300; second++) {
        run(f, 1000);
        for (int i = 0; i < 200; i++) {
            snprintf(kid, sizeof(kid), "kid %u", asked++);
            (void)ask(f, kid, &w);
            if (world_open(&f->world)) {
                world_answer(&f->world, 200, f->one, "max-age=3600");
            }
        }
    }
    assert_in_range(f->world.n_urls - before, 1, 300 / 30);
}

static void a_kid_that_was_asked_for_too_early_is_found_later(void **state)
{
    struct fixture *f = *state;
    struct waiter w;

    fetch_good(f, f->one, "max-age=3600");
    run(f, 31 * 1000);
    assert_int_equal(ask(f, "two", &w), CW_KEY_ANSWER_WAIT);
    world_answer(&f->world, 200, f->one, "max-age=3600");
    run(f, 59 * 1000);
    assert_int_equal(ask(f, "two", &w), CW_KEY_ANSWER_UNKNOWN);
    run(f, 2 * 1000);
    assert_int_equal(ask(f, "two", &w), CW_KEY_ANSWER_WAIT);
    world_answer(&f->world, 200, f->one_two, "");
    assert_int_equal(count(f->source), 2);
}

static void waiters_leave_at_their_deadline_and_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct waiter *many = calloc(CW_KEY_STORE_WAITERS_MAX, sizeof(*many));
    struct waiter one_more;

    fetch_good(f, f->one, "");
    run(f, 31 * 1000);
    for (size_t i = 0; i < CW_KEY_STORE_WAITERS_MAX; i++) {
        assert_int_equal(ask(f, "two", &many[i]), CW_KEY_ANSWER_WAIT);
    }
    assert_int_equal(ask(f, "two", &one_more), CW_KEY_ANSWER_UNAVAILABLE);
    run(f, 999);
    assert_int_equal(many[0].woken, 0);
    run(f, 1);
    for (size_t i = 0; i < CW_KEY_STORE_WAITERS_MAX; i++) {
        assert_true(many[i].woken == 1 && many[i].late);
    }
    free(many);
}

static void keys_that_never_came_leave_it_untold_not_refused(void **state)
{
    struct fixture *f = *state;
    struct waiter w;

    assert_int_equal(ask(f, "one", &w), CW_KEY_ANSWER_WAIT);
    world_answer(&f->world, 500, "x", "");
    assert_int_equal(ask(f, "one", &w), CW_KEY_ANSWER_UNAVAILABLE);
}

static void closing_wakes_who_waits(void **state)
{
    struct fixture *f = *state;
    struct waiter w;

    assert_int_equal(ask(f, "one", &w), CW_KEY_ANSWER_WAIT);
    cw_key_store_stop(f->store);
    assert_true(w.woken == 1 && w.late);
}

/* ---- other sources ---- */

static struct cw_key_source *discovered(struct fixture *f)
{
    struct cw_key_source_spec spec = spec_of(CW_KEY_DISCOVERY, "");

    fetch_good(f, f->one, "max-age=3600"); /* the fixture's own */
    struct cw_key_source *source = cw_key_store_open(f->store, &spec);
    cw_key_store_tick(f->store);
    assert_int_equal(world_open(&f->world), 1);
    assert_string_equal(f->world.urls[1],
                        "https://issuer.example/.well-known/openid-configuration");
    return source;
}

static void discovery_finds_the_keys_of_the_issuer_that_was_asked(void **state)
{
    struct fixture *f = *state;
    struct cw_key_source *source = discovered(f);

    world_answer(&f->world, 200,
                 "{\"issuer\":\"https://issuer.example/\",\"jwks_uri\":\"https://k.example/j\"}",
                 "");
    assert_string_equal(f->world.urls[2], "https://k.example/j");
    world_answer(&f->world, 200, f->two, "");
    assert_int_equal(count(source), 1);
    cw_key_source_unref(source);
}

static void discovery_documents_that_are_not_believed(void **state)
{
    static const char *const documents[] = {
        "{\"issuer\":\"https://issuer.example\",\"jwks_uri\":\"https://k.example/j\"}",
        "{\"issuer\":\"https://evil.example/\",\"jwks_uri\":\"https://k.example/j\"}",
        "{\"jwks_uri\":\"https://k.example/j\"}",
        "{\"issuer\":\"https://issuer.example/\"}",
        "{\"issuer\":\"https://issuer.example/\",\"jwks_uri\":\"http://k.example/j\"}",
        "{\"issuer\":\"https://issuer.example/\",\"jwks_uri\":\"file:///etc/passwd\"}",
        "{\"issuer\":\"https://issuer.example/\",\"jwks_uri\":\"https://u@k.example/j\"}",
        ("{\"issuer\":\"https://issuer.example/\",\"issuer\":\"https://issuer.example/\","
         "\"jwks_uri\":\"https://k.example/j\"}"),
        "<html>",
    };
    struct fixture *f = *state;
    struct cw_key_source *source = discovered(f);

    for (size_t i = 0; i < CW_ARRAY_SIZE(documents); i++) {
        unsigned before = f->world.n_urls;
        world_answer(&f->world, 200, documents[i], "");
        assert_int_equal(f->world.n_urls, before);
        assert_int_equal(count(source), 0);
        run(f, 80 * 1000);
        assert_true(world_open(&f->world) >= 1);
    }
    cw_key_source_unref(source);
}

static void inline_sets_are_published_confirmed_and_never_fetched(void **state)
{
    struct fixture *f = *state;
    struct cw_key_source_spec spec = spec_of(CW_KEY_INLINE, "");
    struct cw_key_source *source = cw_key_store_open(f->store, &spec);
    struct cw_str kid = CW_STR("two");
    struct waiter w = {.waiter = {.wake = woken}};
    char why[CW_JWK_WHY_SIZE];
    int64_t retry;

    assert_int_equal(cw_key_source_publish(source, cw_str(f->one), 0, why), CW_OK);
    struct cw_jwks *set = cw_key_source_get(source);
    assert_int_equal(cw_key_source_ask(source, set, &kid, &w.waiter, &retry),
                     CW_KEY_ANSWER_UNKNOWN);
    world_pass(&f->world, 60 * 1000);
    /* The feed said nothing for a minute: there may be a newer set. */
    assert_int_equal(cw_key_source_ask(source, set, &kid, &w.waiter, &retry),
                     CW_KEY_ANSWER_UNAVAILABLE);
    cw_key_source_confirm(source);
    assert_int_equal(cw_key_source_ask(source, set, &kid, &w.waiter, &retry),
                     CW_KEY_ANSWER_UNKNOWN);
    cw_jwks_unref(set);
    assert_int_equal(cw_key_source_publish(source, cw_str("{}"), 0, why), CW_KEYS_UNAVAILABLE);
    assert_int_equal(count(source), 1);
    assert_int_equal(cw_key_source_publish(source, cw_str(f->two), 0, why), CW_OK);
    assert_int_equal(f->world.withdrawn, 1);
    cw_key_source_unref(source);
}

static void remove_directory(const char *path)
{
    DIR *dir = opendir(path);
    char name[512];

    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        (void)unlink(name);
    }
    closedir(dir);
    rmdir(path);
}

static void the_last_good_set_survives_a_restart_with_its_age(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/tmp/cwXXXXXX";
    struct cw_key_source_spec spec = spec_of(CW_KEY_URI, "https://issuer.example/other");

    assert_non_null(mkdtemp(dir));
    struct cw_key_store *store = world_store(&f->world, dir);
    struct cw_key_source *source = cw_key_store_open(store, &spec);
    cw_key_store_tick(store);
    world_answer(&f->world, 200, f->one, "");
    cw_key_source_unref(source);
    cw_key_store_stop(store);
    cw_key_store_free(store);

    /* The monotonic clock begins anew; the wall clock goes on. */
    f->world.wall_ms += 23 * 3600 * 1000;
    f->world.mono_ms = 1000;
    store = world_store(&f->world, dir);
    source = cw_key_store_open(store, &spec);
    assert_int_equal(count(source), 1);
    world_pass(&f->world, 3600 * 1000);
    cw_key_store_tick(store);
    assert_int_equal(count(source), 0);
    world_break(&f->world, CW_UNAVAILABLE);
    cw_key_source_unref(source);

    /* The same issuer at another tenant does not find it. */
    spec.tenant = "other";
    source = cw_key_store_open(store, &spec);
    assert_int_equal(count(source), 0);
    cw_key_source_unref(source);
    cw_key_store_stop(store);
    cw_key_store_free(store);
    remove_directory(dir);
}

static void the_same_specification_is_the_same_source(void **state)
{
    struct fixture *f = *state;
    struct cw_key_source_spec spec = spec_of(CW_KEY_URI, URI);
    struct cw_key_source *same = cw_key_store_open(f->store, &spec);

    assert_ptr_equal(same, f->source);
    cw_key_source_unref(same);
    spec.tenant = "other";
    struct cw_key_source *other = cw_key_store_open(f->store, &spec);
    assert_ptr_not_equal(other, f->source);
    cw_key_source_unref(other);
}

static void an_operator_cannot_fetch_more_often_than_the_cooldown(void **state)
{
    struct fixture *f = *state;

    assert_true(cw_key_source_refresh(f->source));
    assert_false(cw_key_source_refresh(f->source));
    world_answer(&f->world, 200, f->one, "");
    assert_false(cw_key_source_refresh(f->source));
    world_pass(&f->world, 30 * 1000);
    assert_true(cw_key_source_refresh(f->source));
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Its issuer is no host that must be spared: whoever asks, or reloads, sees what is in it now. */
static void a_file_is_read_again_at_a_reload_and_when_an_operator_asks(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/cw_jwks_XXXXXX";
    int fd = mkstemp(path);
    struct cw_key_source_spec spec = spec_of(CW_KEY_FILE, path);

    assert_true(fd >= 0);
    close(fd);
    write_text(path, f->one);
    spec.issuer = "https://file.example/";
    struct cw_key_source *file = cw_key_store_open(f->store, &spec);
    assert_non_null(file);
    cw_key_store_tick(f->store);
    assert_int_equal(count(file), 1);
    size_t others = world_open(&f->world);

    write_text(path, f->one_two);
    cw_key_store_tick(f->store);
    assert_int_equal(count(file), 1); /* the twin: nobody said anything */
    cw_key_store_reread(f->store);
    cw_key_store_tick(f->store);
    assert_int_equal(count(file), 2);

    write_text(path, f->two);
    assert_true(cw_key_source_refresh(file));
    assert_int_equal(count(file), 1);
    assert_int_equal(world_open(&f->world), others); /* nobody else was asked */
    cw_key_source_unref(file);
    unlink(path);
}

static void addresses_that_keys_may_come_from(void **state)
{
    static const struct {
        const char *url;
        bool plain;
        bool ok;
    } cases[] = {
        {"https://a.example/jwks", false, true},
        {"http://a.example/jwks", false, false},
        {"http://127.0.0.1:80/x", false, false},
        {"http://127.0.0.1:80/x", true, true},
        {"http://localhost/x", true, true},
        {"http://[::1]:8/x", true, true},
        {"http://localhost.evil/x", true, false},
        {"http://127.0.0.1.evil/", true, false},
        {"http://127.0.0.1@evil/", true, false},
        {"https://u:p@a.example/", false, false},
        {"file:///etc/passwd", true, false},
        {"https://", false, false},
        {"https:///x", false, false},
        {"https://a b/", false, false},
        {"HTTPS://a.example/", false, false},
        {"", false, false},
    };

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        if (cw_key_fetch_url_ok(cw_str(cases[i].url), cases[i].plain) != cases[i].ok) {
            fail_msg("%s", cases[i].url);
        }
    }
}

static void issuers_that_hang_leave_room_for_those_that_answer(void **state)
{
    enum { HANGING = 40, AT_ONCE = 32 };
    struct fixture *f = *state;
    struct cw_key_source *hanging[HANGING];

    fetch_good(f, f->one, "max-age=600");
    for (unsigned i = 0; i < HANGING; i++) {
        char tenant[8];
        struct cw_key_source_spec spec = spec_of(CW_KEY_URI, "https://hangs.example/jwks.json");
        snprintf(tenant, sizeof(tenant), "t%u", i);
        spec.tenant = tenant;
        hanging[i] = cw_key_store_open(f->store, &spec);
        assert_non_null(hanging[i]);
    }
    for (unsigned failed = 0; failed < HANGING; failed++) { /* each once */
        cw_key_store_tick(f->store);
        assert_true(world_open(&f->world) > 0 && world_open(&f->world) <= AT_ONCE);
        world_break(&f->world, CW_TIMEOUT);
    }
    run(f, 300 * 1000); /* they are asked again, and say nothing */
    assert_true(world_open(&f->world) > 0);
    unsigned before = f->world.n_urls;
    run(f, 270 * 1000); /* it is time for the one that answers */
    assert_int_equal(f->world.n_urls, before + 1);
    assert_string_equal(f->world.urls[before], URI);
    for (unsigned i = 0; i < HANGING; i++) {
        cw_key_source_unref(hanging[i]);
    }
}

/* Each 5 s, which is as long as a fetch may take: what was asked for at the last turn is answered,
 * by the fixture's own issuer, and not by the others, of whom it counts each. */
static void turns(struct fixture *f, unsigned n, unsigned *counts)
{
    enum { TURN_MS = 5000 };

    for (; n > 0; n--) {
        world_pass(&f->world, TURN_MS);
        while (world_open(&f->world)) {
            const char *url = f->world.urls[f->world.n_answered];
            if (strcmp(url, URI) == 0) {
                world_answer(&f->world, 200, f->one, "max-age=60");
            } else {
                counts[strtoul(strrchr(url, '/') + 1, NULL, 10)]++;
                world_break(&f->world, CW_TIMEOUT);
            }
        }
        f->world.n_urls = f->world.n_answered = 0;
        cw_key_store_tick(f->store);
    }
}

/* There are more of them than half of the places can serve in the minute that they back off. */
static void of_issuers_that_failed_each_has_its_turn(void **state)
{
    enum { HANGING = 300, FIVE_MINUTES = 60 };
    struct fixture *f = *state;
    struct cw_key_source *hanging[HANGING];
    unsigned counts[HANGING] = {0};

    cw_key_store_tick(f->store);
    world_break(&f->world, CW_UNAVAILABLE); /* once, and from now on it answers */
    for (unsigned i = 0; i < HANGING; i++) {
        char url[64];
        snprintf(url, sizeof(url), "https://hangs.example/%u", i);
        struct cw_key_source_spec spec = spec_of(CW_KEY_URI, url);
        hanging[i] = cw_key_store_open(f->store, &spec);
        assert_non_null(hanging[i]);
    }
    cw_key_store_tick(f->store);
    turns(f, FIVE_MINUTES, counts);
    assert_int_equal(count(f->source), 1);
    memset(counts, 0, sizeof(counts));
    turns(f, FIVE_MINUTES, counts);
    for (unsigned i = 0; i < HANGING; i++) {
        if (counts[i] < 2 || counts[i] > 5) {
            fail_msg("%u was asked %u times", i, counts[i]);
        }
        cw_key_source_unref(hanging[i]);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(keys_are_fetched_at_once_and_published),
        T(refreshed_once_before_expiry_within_the_clamp),
        T(bad_answers_keep_the_old_set_and_are_told),
        T(failures_back_off_quickly_without_keys_slowly_with_them),
        T(a_key_that_is_gone_from_a_good_fetch_is_withdrawn_at_once),
        T(a_set_serves_over_failures_for_a_day_and_no_longer),
        T(an_unknown_kid_soon_after_a_good_fetch_is_refused_without_another),
        T(an_unknown_kid_later_fetches_once_for_all_who_wait),
        T(an_unknown_kid_after_a_failed_fetch_cannot_be_told),
        T(a_flood_of_kids_costs_one_fetch_in_30_s),
        T(a_kid_that_was_asked_for_too_early_is_found_later),
        T(waiters_leave_at_their_deadline_and_are_bounded),
        T(keys_that_never_came_leave_it_untold_not_refused),
        T(closing_wakes_who_waits),
        T(discovery_finds_the_keys_of_the_issuer_that_was_asked),
        T(discovery_documents_that_are_not_believed),
        T(inline_sets_are_published_confirmed_and_never_fetched),
        T(the_last_good_set_survives_a_restart_with_its_age),
        T(the_same_specification_is_the_same_source),
        T(issuers_that_hang_leave_room_for_those_that_answer),
        T(of_issuers_that_failed_each_has_its_turn),
        T(an_operator_cannot_fetch_more_often_than_the_cooldown),
        T(a_file_is_read_again_at_a_reload_and_when_an_operator_asks),
        cmocka_unit_test(addresses_that_keys_may_come_from),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    world_done();
    return failed;
}
