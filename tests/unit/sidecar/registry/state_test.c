/* What one run writes, the next restores as provisional. */
#include "sidecar/registry/state.h"

#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/registry/rest_lease.h"
#include "tests/unit/sidecar/registry/fixture.h"

static void a_registry_outlives_its_process(void **state)
{
    (void)state;
    struct fixture before, after;
    fixture_open_settled(&before);
    struct registry_spec local = fixture_spec("X", "a"), fixed = fixture_spec("Z", "z"),
                         rest = fixture_spec("R", "r"), pipe = fixture_spec("Y", "p");
    struct registry_lease first = {0}, second = {0};
    pipe.socket_path = "/run/y.sock";
    pipe.health_path = "/health";
    assert_int_equal(registry_store_register(before.store, ALICE, &local, &first), CW_OK);
    assert_int_equal(registry_store_register(before.store, ALICE, &pipe, &second), CW_OK);
    assert_int_equal(registry_store_set_static(before.store, &fixed, 1), CW_OK);
    assert_int_equal(registry_rest_register(before.store, &rest.eureka), CW_OK);

    char directory[] = "/tmp/cwXXXXXX", path[64], twin[80];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/registry.json", directory);
    snprintf(twin, sizeof(twin), "%s.new", path);
    struct registry_snapshot *snapshot = registry_store_snapshot(before.store);
    assert_int_equal(registry_state_save(path, snapshot, REGISTRY_PART_OWN), CW_OK);
    registry_snapshot_unref(snapshot);
    fixture_close(&before);
    struct stat seen;
    assert_int_equal(stat(path, &seen), 0);
    assert_int_equal(seen.st_mode & 0777, 0600);
    assert_int_not_equal(stat(twin, &seen), 0);

    size_t restored, skipped;
    fixture_open(&after, (struct registry_limits){0});
    assert_int_equal(registry_state_load(path, after.store, &restored, &skipped), CW_OK);
    assert_int_equal(restored, 3);
    assert_int_equal(skipped, 0);
    assert_string_equal(fixture_list(&after), "~R/r:UP:r X/a:UP:r Y/p:UP:r?");
    snapshot = registry_store_snapshot(after.store);
    const struct registry_item *item =
        registry_app_find(registry_snapshot_find(snapshot, "Y"), "p");
    assert_string_equal(item->instance->socket_path, "/run/y.sock");
    assert_string_equal(item->instance->health_path, "/health");
    assert_int_equal(item->instance->origin, REGISTRY_LOCAL);
    registry_snapshot_unref(snapshot);
    fixture_close(&after);
    unlink(path);
    rmdir(directory);
}

static bool names(const struct cw_buf *text, const char *word)
{
    return memmem(text->p, text->n, word, strlen(word)) != NULL;
}

static void each_part_has_its_document(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec local = fixture_spec("X", "own"), theirs = fixture_spec("X", "theirs");
    struct registry_lease lease = {0};
    struct registry_instance *instance;
    struct registry_news news = {0};
    theirs.source = REGISTRY_EUREKA;
    assert_int_equal(registry_store_register(f.store, ALICE, &local, &lease), CW_OK);
    assert_int_equal(registry_instance_new(&theirs, &instance), CW_OK);
    assert_int_equal(registry_news_add(&news, instance, false), CW_OK);
    assert_int_equal(registry_store_tell(f.store, &news), 0);
    struct registry_snapshot *snapshot = registry_store_snapshot(f.store);
    struct cw_buf own = CW_BUF_INIT(65536), eureka = CW_BUF_INIT(65536);
    registry_state_encode(snapshot, REGISTRY_PART_OWN, &own);
    registry_state_encode(snapshot, REGISTRY_PART_EUREKA, &eureka);
    assert_true(names(&own, "\"own\""));
    assert_false(names(&own, "\"theirs\""));
    assert_false(names(&eureka, "\"own\""));
    assert_true(names(&eureka, "\"theirs\""));
    cw_buf_done(&own);
    cw_buf_done(&eureka);
    registry_snapshot_unref(snapshot);
    registry_news_done(&news);
    registry_instance_unref(instance);
    fixture_close(&f);
}

static struct cw_buf own_document(struct fixture *f)
{
    struct cw_buf text = CW_BUF_INIT(65536);
    struct registry_snapshot *snapshot = registry_store_snapshot(f->store);
    registry_state_encode(snapshot, REGISTRY_PART_OWN, &text);
    registry_snapshot_unref(snapshot);
    return text;
}

/* What the servers were told of it last is what the next run has to end. */
static void a_published_static_instance_is_as_it_was_left(void **state)
{
    (void)state;
    static const struct {
        const char *sentence;
        bool published, checked, server;
        enum cw_eureka_status said, override;
        const char *list;
        bool drained;
        enum cw_eureka_status overridden;
    } rows[] = {
        {"drained", true, true, true, CW_EUREKA_OUT_OF_SERVICE, CW_EUREKA_UNKNOWN,
         "~G/g:OUT_OF_SERVICE:s", true, CW_EUREKA_UNKNOWN},
        {"up", true, true, true, CW_EUREKA_UP, CW_EUREKA_UNKNOWN, "~G/g:STARTING:s", false,
         CW_EUREKA_UNKNOWN},
        {"taken out by an administrator", true, true, true, CW_EUREKA_UP, CW_EUREKA_OUT_OF_SERVICE,
         "~G/g:STARTING:s", false, CW_EUREKA_OUT_OF_SERVICE},
        {"taken out, and no server left to end it", true, true, false, CW_EUREKA_UP,
         CW_EUREKA_OUT_OF_SERVICE, "~G/g:STARTING:s", false, CW_EUREKA_UNKNOWN},
        {"no longer checked", true, false, true, CW_EUREKA_OUT_OF_SERVICE, CW_EUREKA_UNKNOWN,
         "~G/g:STARTING:s", true, CW_EUREKA_UNKNOWN},
        {"of no server", false, true, true, CW_EUREKA_OUT_OF_SERVICE, CW_EUREKA_UNKNOWN,
         "~G/g:STARTING:s", false, CW_EUREKA_UNKNOWN},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        struct fixture before, after;
        struct registry_spec spec = fixture_spec("G", "g");
        size_t restored, skipped;
        bool changed;
        spec.eureka.status = CW_EUREKA_STARTING;
        spec.published = rows[i].published;
        spec.check_url = "http://127.0.0.1/";
        fixture_open(&before, (struct registry_limits){.eureka = true});
        assert_int_equal(registry_store_set_static(before.store, &spec, 1), CW_OK);
        assert_int_equal(registry_store_checked(before.store, "G", "g", rows[i].said, &changed),
                         CW_OK);
        registry_store_override(before.store, "G", "g", rows[i].override);
        struct cw_buf text = own_document(&before);
        fixture_close(&before);

        spec.check_url = rows[i].checked ? spec.check_url : NULL;
        fixture_open(&after, (struct registry_limits){.eureka = rows[i].server});
        assert_int_equal(registry_store_set_static(after.store, &spec, 1), CW_OK);
        assert_int_equal(registry_state_decode(after.store, cw_buf_str(&text), &restored, &skipped),
                         CW_OK);
        struct registry_snapshot *snapshot = registry_store_snapshot(after.store);
        const struct registry_item *item =
            registry_app_find(registry_snapshot_find(snapshot, "G"), "g");
        if (strcmp(fixture_list(&after), rows[i].list) != 0 ||
            item->instance->was_drained != rows[i].drained ||
            item->override != rows[i].overridden || skipped != 0) {
            fail_msg("%s: %s", rows[i].sentence, fixture_list(&after));
        }
        registry_snapshot_unref(snapshot);
        cw_buf_done(&text);
        fixture_close(&after);
    }
}

static void a_static_instance_that_is_no_more_is_not_restored(void **state)
{
    (void)state;
    struct fixture before, after;
    struct registry_spec spec = fixture_spec("G", "g");
    size_t restored, skipped;
    spec.published = true;
    spec.eureka.status = CW_EUREKA_OUT_OF_SERVICE;
    fixture_open(&before, (struct registry_limits){0});
    assert_int_equal(registry_store_set_static(before.store, &spec, 1), CW_OK);
    struct cw_buf text = own_document(&before);
    assert_true(names(&text, "\"static\""));
    fixture_close(&before);
    fixture_open(&after, (struct registry_limits){0});
    assert_int_equal(registry_state_decode(after.store, cw_buf_str(&text), &restored, &skipped),
                     CW_OK);
    assert_string_equal(fixture_list(&after), "~");
    cw_buf_done(&text);
    fixture_close(&after);
}

static void a_broken_file_restores_what_it_can(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *json;
        enum cw_err err;
        size_t restored, skipped;
    } rows[] = {
        {"nothing", "", CW_REQUEST_MALFORMED, 0, 0},
        {"half a document", "{\"version\":1,\"instances\":[", CW_REQUEST_MALFORMED, 0, 0},
        {"another version", "{\"version\":2,\"instances\":[]}", CW_REQUEST_MALFORMED, 0, 0},
        {"no list", "{\"version\":1}", CW_REQUEST_MALFORMED, 0, 0},
        {"an empty list", "{\"version\":1,\"instances\":[]}", CW_OK, 0, 0},
        {"one good among bad ones",
         "{\"version\":1,\"instances\":[7,{},{\"origin\":\"rest\"},{\"origin\":\"static\"},"
         "{\"origin\":\"local\",\"registration\":{\"instance\":{\"instanceId\":\"a\",\"app\":\"X\","
         "\"hostName\":\"h\",\"ipAddr\":\"127.0.0.1\",\"dataCenterInfo\":{\"@class\":\"com.netflix."
         "appinfo.MyDataCenterInfo\",\"name\":\"MyOwn\"}}}},"
         "{\"origin\":\"local\",\"socketPath\":\"relative\",\"registration\":{\"instance\":{"
         "\"instanceId\":\"b\",\"app\":\"X\",\"ipAddr\":\"127.0.0.1\"}}}]}",
         CW_OK, 1, 5},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        struct fixture f;
        fixture_open(&f, (struct registry_limits){0});
        size_t restored, skipped;
        enum cw_err err = registry_state_decode(f.store, cw_str(rows[i].json), &restored, &skipped);
        if (err != rows[i].err || restored != rows[i].restored || skipped != rows[i].skipped) {
            fail_msg("%s: %s %zu %zu", rows[i].sentence, cw_err_code(err), restored, skipped);
        }
        fixture_close(&f);
    }
}

static void no_file_is_told_apart(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    size_t restored, skipped;
    assert_int_equal(registry_state_load("/nonexistent/x", f.store, &restored, &skipped),
                     CW_NOT_FOUND);
    assert_int_equal(registry_state_load("/", f.store, &restored, &skipped), CW_IO);
    struct registry_snapshot *snapshot = registry_store_snapshot(f.store);
    assert_int_equal(registry_state_save("/nonexistent/x", snapshot, REGISTRY_PART_OWN), CW_IO);
    registry_snapshot_unref(snapshot);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_registry_outlives_its_process),
        cmocka_unit_test(each_part_has_its_document),
        cmocka_unit_test(a_published_static_instance_is_as_it_was_left),
        cmocka_unit_test(a_static_instance_that_is_no_more_is_not_restored),
        cmocka_unit_test(a_broken_file_restores_what_it_can),
        cmocka_unit_test(no_file_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
