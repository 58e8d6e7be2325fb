/* What Eureka servers tell, document by document: deltas, full documents, what is held. */
#include "tests/unit/sidecar/registry/fixture.h"

#include "sidecar/registry/eureka_mirror.h"

struct told {
    struct eureka_mirror mirror;
    char news[512]; /* `+X/a -X/b`, of the last document */
};

/* `X/a=UP X/b=DOWN! …` as a document with that hash; `!` marks a deletion, `#2` a dirty timestamp.
 */
static void write_document(const char *list, const char *hash, struct cw_buf *out)
{
    struct cw_str rest = cw_str(list), word;
    const char *comma = "";
    cw_buf_addf(out,
                "{\"applications\":{\"versions__delta\":\"1\",\"apps__hashcode\":\"%s\","
                "\"application\":[",
                hash);
    while (cw_str_word(&rest, ' ', &word)) {
        size_t slash = cw_str_find(word, '/'), equals = cw_str_find(word, '='),
               mark = cw_str_find(word, '#');
        bool gone = cw_str_ends(word, CW_STR("!"));
        size_t end = CW_MIN(mark, gone ? word.n - 1 : word.n);
        struct cw_str app = cw_str_slice(word, 0, slash),
                      status = cw_str_slice(word, equals + 1, end);
        struct cw_str id = cw_str_slice(word, slash + 1, equals);
        struct cw_str dirty = mark < word.n ? cw_str_slice(word, mark + 1, word.n) : CW_STR("1");
        cw_buf_addf(out,
                    "%s{\"name\":\"%.*s\",\"instance\":[{\"instanceId\":\"%.*s\",\"app\":\"%.*s\","
                    "\"hostName\":\"h\",\"ipAddr\":\"10.1.0.1\",\"status\":\"%.*s\","
                    "\"actionType\":\"%s\",\"lastDirtyTimestamp\":\"%.*s\","
                    "\"port\":{\"$\":%d%.*s,\"@enabled\":\"true\"}}]}",
                    comma, CW_STR_ARG(app), CW_STR_ARG(id), CW_STR_ARG(app), CW_STR_ARG(status),
                    gone ? "DELETED" : "ADDED", CW_STR_ARG(dirty), 900, CW_STR_ARG(dirty));
        comma = ",";
    }
    cw_buf_add_cstr(out, "]}}");
}

static void tell_news(struct told *t, const struct registry_news *news)
{
    size_t n = 0;
    t->news[0] = '\0';
    for (size_t i = 0; i < news->n; i++) {
        n += (size_t)snprintf(t->news + n, sizeof(t->news) - n, "%s%c%s/%s", n > 0 ? " " : "",
                              news->p[i].gone ? '-' : '+', news->p[i].instance->eureka.app,
                              news->p[i].instance->id);
    }
}

static void tell(struct told *t, bool full, const char *list, int64_t now_ms)
{
    struct cw_buf text = CW_BUF_INIT(65536);
    struct eureka_batch batch;
    struct registry_news news = {0};
    write_document(list, "", &text);
    assert_int_equal(eureka_batch_read(cw_buf_str(&text), 100, &batch), CW_OK);
    assert_int_equal(full ? eureka_mirror_replace(&t->mirror, &batch, now_ms, 90, &news)
                          : eureka_mirror_apply(&t->mirror, &batch, &news),
                     CW_OK);
    tell_news(t, &news);
    registry_news_done(&news);
    eureka_batch_done(&batch);
    cw_buf_done(&text);
}

static const char *expire(struct told *t, int64_t now_ms)
{
    struct registry_news news = {0};
    (void)eureka_mirror_expire(&t->mirror, now_ms, &news);
    tell_news(t, &news);
    registry_news_done(&news);
    return t->news;
}

static void deltas_are_idempotent(void **state)
{
    (void)state;
    struct told t = {.mirror = {.max = 100}};
    tell(&t, true, "X/b=UP X/a=UP", 0);
    assert_string_equal(t.news, "+X/a +X/b");
    for (int i = 0; i < 2; i++) {
        /* servers repeat the changes of three minutes */
        tell(&t, false, "X/b=UP! X/a=DOWN Y/c=UP", 0);
        assert_string_equal(t.news, i == 0 ? "-X/b +X/a +Y/c" : "");
        assert_true(eureka_mirror_hash_is(&t.mirror, "DOWN_1_UP_1_"));
    }
    tell(&t, false, "Z/z=UP!", 0); /* never known */
    assert_string_equal(t.news, "");
    eureka_mirror_done(&t.mirror);
}

static void the_same_again_is_no_news(void **state)
{
    (void)state;
    struct told t = {.mirror = {.max = 100}};
    tell(&t, true, "X/a=UP X/b=UP", 0);
    tell(&t, true, "X/b=UP X/a=UP", 0);
    assert_string_equal(t.news, "");
    tell(&t, true, "X/b=UP X/a=UP#2", 0);
    assert_string_equal(t.news, "+X/a");
    eureka_mirror_done(&t.mirror);
}

static void the_hash_follows_every_step(void **state)
{
    (void)state;
    static const struct {
        bool full;
        const char *list, *hash;
    } steps[] = {
        {true, "X/a=UP X/b=STARTING Y/c=UP", "STARTING_1_UP_2_"},
        {false, "X/b=UP#2", "UP_3_"},
        {false, "X/b=DOWN#3 Y/c=UP!", "DOWN_1_UP_1_"},
        {true, "X/a=UP", "UP_1_"}, /* b is held */
        {false, "X/b=OUT_OF_SERVICE#4", "OUT_OF_SERVICE_1_UP_1_"},
        {true, "X/b=OUT_OF_SERVICE#4", "OUT_OF_SERVICE_1_"}, /* a is held */
        {false, "X/a=UP!", "OUT_OF_SERVICE_1_"},
        {true, "X/b=UP#5 X/b=DOWN#4 X/d=UP", "UP_2_"}, /* of two the newer */
        {true, "", ""},
    };
    struct told t = {.mirror = {.max = 100}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(steps); i++) {
        tell(&t, steps[i].full, steps[i].list, (int64_t)i);
        if (!eureka_mirror_hash_is(&t.mirror, steps[i].hash)) {
            fail_msg("step %zu is not %s", i, steps[i].hash);
        }
    }
    assert_int_equal(t.mirror.held, 2);
    (void)expire(&t, 1000);
    assert_true(t.mirror.held == 0 && eureka_mirror_hash_is(&t.mirror, ""));
    eureka_mirror_done(&t.mirror);
}

static void what_is_merely_absent_is_held(void **state)
{
    (void)state;
    struct told t = {.mirror = {.max = 100}};
    tell(&t, true, "X/a=UP X/b=UP X/c=UP", 0);
    tell(&t, true, "X/c=UP", 10);
    assert_string_equal(t.news, "");
    assert_int_equal(t.mirror.held, 2);
    assert_true(eureka_mirror_hash_is(&t.mirror, "UP_1_")); /* what the server counts */
    tell(&t, true, "X/c=UP", 50);                           /* the time does not begin anew */
    tell(&t, false, "X/a=UP", 60);                          /* it registered again */
    assert_int_equal(t.mirror.held, 1);
    assert_string_equal(expire(&t, 99), "");
    assert_string_equal(expire(&t, 100), "-X/b");
    assert_int_equal(t.mirror.n, 2);
    eureka_mirror_done(&t.mirror);
}

static void what_is_held_leaves_at_once_when_its_end_is_told(void **state)
{
    (void)state;
    struct told t = {.mirror = {.max = 100}};
    tell(&t, true, "X/a=UP X/b=UP", 0);
    tell(&t, true, "", 10);
    assert_int_equal(t.mirror.held, 2);
    tell(&t, false, "X/a=UP!", 20);
    assert_string_equal(t.news, "-X/a");
    assert_int_equal(t.mirror.held, 1);
    /* a full document after the end of the hold */
    tell(&t, true, "", 200);
    assert_string_equal(t.news, "-X/b");
    assert_int_equal(t.mirror.n, 0);
    assert_true(eureka_mirror_hash_is(&t.mirror, ""));
    eureka_mirror_done(&t.mirror);
}

static void of_duplicates_the_newest_counts(void **state)
{
    (void)state;
    struct told t = {.mirror = {.max = 100}};
    tell(&t, true, "X/a=UP#1 X/a=UP#3 X/a=UP#2 Y/a=UP", 0);
    assert_string_equal(t.news, "+X/a +Y/a");
    assert_int_equal(eureka_mirror_find(&t.mirror, "X", "a")->eureka.port.number, 9003);
    assert_null(eureka_mirror_find(&t.mirror, "X", "b"));
    assert_int_equal(t.mirror.duplicates, 2);
    tell(&t, true, "X/a=UP#3 Y/a=UP", 0);
    assert_int_equal(t.mirror.duplicates, 0);
    eureka_mirror_done(&t.mirror);
}

static void there_is_a_bound(void **state)
{
    (void)state;
    struct told t = {.mirror = {.max = 2}};
    tell(&t, true, "X/a=UP X/b=UP X/c=UP", 0);
    assert_int_equal(t.mirror.n, 2);
    tell(&t, false, "X/d=UP", 0);
    assert_int_equal(t.mirror.n, 2);
    eureka_mirror_done(&t.mirror);

    struct cw_buf text = CW_BUF_INIT(65536);
    struct eureka_batch batch;
    write_document("X/a=UP X/b=UP X/c=UP", "UP_3_", &text);
    assert_int_equal(eureka_batch_read(cw_buf_str(&text), 2, &batch), CW_OK);
    assert_int_equal(batch.n, 2);
    assert_int_equal(batch.dropped, 1);
    assert_string_equal(batch.hash, "UP_3_");
    eureka_batch_done(&batch);
    cw_buf_done(&text);
}

/* ---- into the store ---- */

static struct registry_instance *instance_of(const char *app, const char *id)
{
    struct registry_spec spec = fixture_spec(app, id);
    struct registry_instance *instance;
    spec.source = REGISTRY_EUREKA;
    spec.eureka.ip_addr = "10.1.0.1";
    assert_int_equal(registry_instance_new(&spec, &instance), CW_OK);
    return instance;
}

static size_t put(struct registry_store *store, const char *app, const char *id, bool gone)
{
    struct registry_news news = {0};
    struct registry_instance *instance = instance_of(app, id);
    assert_int_equal(registry_news_add(&news, instance, gone), CW_OK);
    size_t refused = registry_store_tell(store, &news);
    registry_instance_unref(instance);
    registry_news_done(&news);
    return refused;
}

static void what_this_host_knows_itself_is_stronger(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec mine = fixture_spec("X", "mine");
    struct registry_lease lease = {0};
    assert_int_equal(put(f.store, "X", "theirs", false), 0);
    assert_int_equal(registry_store_register(f.store, ALICE, &mine, &lease), CW_OK);
    put(f.store, "X", "mine", false);
    put(f.store, "X", "mine", true);
    assert_string_equal(fixture_list(&f), "X/mine:UP:l X/theirs:UP:e");
    /* and may take an id over */
    struct registry_spec theirs = fixture_spec("X", "theirs");
    struct registry_lease second = {0};
    assert_int_equal(registry_store_register(f.store, ALICE, &theirs, &second), CW_OK);
    assert_string_equal(fixture_list(&f), "X/mine:UP:l X/theirs:UP:l");
    registry_store_release(f.store, &second);
    put(f.store, "X", "other", false);
    put(f.store, "X", "other", true);
    assert_string_equal(fixture_list(&f), "X/mine:UP:l");
    fixture_close(&f);
}

static void one_document_is_one_change(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_news news = {0};
    for (int i = 0; i < 100; i++) {
        char id[8];
        snprintf(id, sizeof(id), "%d", i);
        struct registry_instance *instance = instance_of("X", id);
        assert_int_equal(registry_news_add(&news, instance, false), CW_OK);
        registry_instance_unref(instance);
    }
    assert_int_equal(registry_store_tell(f.store, &news), 0);
    assert_int_equal(f.changes, 1);
    registry_news_done(&news);
    fixture_close(&f);
}

static void after_a_restart_it_stays_as_long_as_it_takes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, (struct registry_limits){.eureka = true});
    struct registry_spec spec = fixture_spec("X", "a");
    spec.eureka.ip_addr = "10.1.0.1";
    spec.origin = REGISTRY_EUREKA;
    assert_int_equal(registry_store_restore(f.store, &spec), CW_OK);
    spec.eureka.instance_id = "local";
    spec.origin = REGISTRY_LOCAL;
    assert_int_equal(registry_store_restore(f.store, &spec), CW_OK);
    registry_store_hold(f.store, true);
    fixture_pass(&f, 3600 * 1000);
    /* still provisional: gateways that know more than we do forget nothing */
    assert_string_equal(fixture_list(&f), "~X/a:UP:r X/local:UP:r-");
    put(f.store, "X", "a", false);
    registry_store_hold(f.store, false);
    fixture_pass(&f, 1);
    assert_string_equal(fixture_list(&f), "X/a:UP:e");
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deltas_are_idempotent),
        cmocka_unit_test(the_hash_follows_every_step),
        cmocka_unit_test(the_same_again_is_no_news),
        cmocka_unit_test(what_is_merely_absent_is_held),
        cmocka_unit_test(what_is_held_leaves_at_once_when_its_end_is_told),
        cmocka_unit_test(of_duplicates_the_newest_counts),
        cmocka_unit_test(there_is_a_bound),
        cmocka_unit_test(what_this_host_knows_itself_is_stronger),
        cmocka_unit_test(one_document_is_one_change),
        cmocka_unit_test(after_a_restart_it_stays_as_long_as_it_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
