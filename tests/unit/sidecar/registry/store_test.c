/* Leases of Register streams, static instances, the provisional phase, snapshots and bounds. */
#include <pthread.h>

#include "tests/unit/sidecar/registry/fixture.h"

static void a_stream_holds_its_instance(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec spec = fixture_spec("X", "a");
    struct registry_lease lease = {0};
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &lease), CW_OK);
    assert_string_equal(fixture_list(&f), "X/a:UP:l");
    assert_int_equal(f.changes, 1);
    fixture_pass(&f, 24 * 3600 * 1000); /* a stream needs no heartbeat */
    assert_string_equal(fixture_list(&f), "X/a:UP:l");

    spec.eureka.status = CW_EUREKA_OUT_OF_SERVICE;
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &lease), CW_OK);
    assert_string_equal(fixture_list(&f), "X/a:OUT_OF_SERVICE:l");
    assert_int_equal(f.changes, 2);
    /* the same again is no news */
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &lease), CW_OK);
    assert_int_equal(f.changes, 2);

    registry_store_release(f.store, &lease);
    assert_string_equal(fixture_list(&f), "");
    assert_int_equal(f.changes, 3);
    registry_store_release(f.store, &lease);
    assert_int_equal(f.changes, 3);
    fixture_close(&f);
}

static void a_lost_connection_has_ten_seconds(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec spec = fixture_spec("X", "a");
    struct registry_lease lease = {0};
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &lease), CW_OK);
    registry_store_lost(f.store, &lease);
    assert_int_equal(registry_store_tick(f.store), 10000);
    fixture_pass(&f, 9999);
    assert_string_equal(fixture_list(&f), "X/a:UP:l");
    fixture_pass(&f, 1);
    assert_string_equal(fixture_list(&f), "");
    fixture_close(&f);
}

static void a_service_that_comes_back_within_the_grace_keeps_its_lease(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec spec = fixture_spec("X", "a");
    struct registry_lease old = {0}, new = {0};
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &old), CW_OK);
    registry_store_lost(f.store, &old);
    f.now += 5000;
    /* another user who may register the application may take the id over now */
    assert_int_equal(registry_store_register(f.store, BOB, &spec, &new), CW_OK);
    assert_int_equal(f.changes, 1); /* to readers nothing has happened */
    fixture_pass(&f, 60000);
    assert_string_equal(fixture_list(&f), "X/a:UP:l");
    fixture_close(&f);
}

static void an_overtaken_stream_has_no_say(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec spec = fixture_spec("X", "a");
    struct registry_lease old = {0}, new = {0}, third = {0};
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &old), CW_OK);
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &new), CW_OK);
    registry_store_release(f.store, &old);
    registry_store_lost(f.store, &old);
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &old), CW_CONFLICT);
    fixture_pass(&f, 60000);
    assert_string_equal(fixture_list(&f), "X/a:UP:l");
    /* nor has another user while the stream stands */
    assert_int_equal(registry_store_register(f.store, BOB, &spec, &third), CW_CONFLICT);
    fixture_close(&f);
}

static void a_registration_that_is_not_granted_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec spec = fixture_spec("Y", "a");
    struct registry_lease lease = {0};
    assert_int_equal(registry_store_register(f.store, BOB, &spec, &lease), CW_PERMISSION_DENIED);
    assert_int_equal(lease.number, 0);
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &lease), CW_OK);
    struct registry_spec other = fixture_spec("X", "a");
    assert_int_equal(registry_store_register(f.store, ALICE, &other, &lease),
                     CW_REQUEST_MALFORMED); /* a stream is one instance */
    other = fixture_spec("Y", "b");
    assert_int_equal(registry_store_register(f.store, ALICE, &other, &lease), CW_REQUEST_MALFORMED);
    struct registry_store_stats stats;
    registry_store_stats(f.store, &stats);
    assert_int_equal(stats.refused, 3);
    assert_int_equal(stats.instances, 1);
    fixture_close(&f);
}

static void every_bound_holds(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, (struct registry_limits){
                         .provisional_ms = -1, .instances = 4, .apps = 1, .per_owner = 3});
    for (int i = 0; i < 4; i++) {
        char id[8];
        snprintf(id, sizeof(id), "%d", i);
        struct registry_spec spec = fixture_spec("X", id);
        struct registry_lease lease = {0};
        assert_int_equal(registry_store_register(f.store, ALICE, &spec, &lease),
                         i < 3 ? CW_OK : CW_REGISTRY_FULL);
    }
    struct registry_spec app = fixture_spec("Y", "a"), x = fixture_spec("X", "b");
    struct registry_lease lease = {0};
    assert_int_equal(registry_store_set_static(f.store, &app, 1), CW_REGISTRY_FULL);
    assert_int_equal(registry_store_register(f.store, BOB, &x, &lease), CW_OK);
    struct registry_spec many[] = {fixture_spec("X", "c")};
    assert_int_equal(registry_store_set_static(f.store, many, 1), CW_REGISTRY_FULL);
    assert_string_equal(fixture_list(&f), "X/0:UP:l X/1:UP:l X/2:UP:l X/b:UP:l");
    fixture_close(&f);
}

static void texts_have_a_bound_of_their_own(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, (struct registry_limits){.provisional_ms = -1, .bytes = 4000});
    char *large = calloc(1, 1601);
    memset(large, 'x', 1600);
    const struct cw_eureka_pair pair = {"k", large};
    struct registry_lease leases[3] = {{0}, {0}, {0}};
    static const char *const ids[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        struct registry_spec spec = fixture_spec("X", ids[i]);
        spec.eureka.metadata = (struct cw_eureka_pairs){&pair, 1};
        assert_int_equal(registry_store_register(f.store, ALICE, &spec, &leases[i]),
                         i < 2 ? CW_OK : CW_REGISTRY_FULL);
    }
    /* who leaves makes room again, however often */
    for (size_t i = 0; i < 100; i++) {
        struct registry_spec spec = fixture_spec("X", ids[0]);
        spec.eureka.metadata = (struct cw_eureka_pairs){&pair, 1};
        registry_store_release(f.store, &leases[0]);
        leases[0] = (struct registry_lease){0};
        assert_int_equal(registry_store_register(f.store, ALICE, &spec, &leases[0]), CW_OK);
    }
    struct registry_changes changes;
    assert_int_equal(registry_store_changes(f.store, &changes), CW_OK);
    assert_in_range(changes.n, 1, 3);
    registry_changes_done(&changes);
    free(large);
    fixture_close(&f);
}

static void static_instances_follow_the_configuration(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec first[] = {fixture_spec("X", "a"), fixture_spec("Z", "z")};
    assert_int_equal(registry_store_set_static(f.store, first, 2), CW_OK);
    assert_string_equal(fixture_list(&f), "X/a:UP:s Z/z:UP:s");
    struct registry_lease lease = {0};
    struct registry_spec spec = fixture_spec("X", "a");
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &lease), CW_CONFLICT);
    int changes = f.changes;
    struct registry_spec second[] = {fixture_spec("X", "a"), fixture_spec("X", "b")};
    assert_int_equal(registry_store_set_static(f.store, second, 2), CW_OK);
    assert_string_equal(fixture_list(&f), "X/a:UP:s X/b:UP:s");
    assert_int_equal(f.changes, changes + 1); /* once for the whole reload */
    struct registry_spec bad[] = {fixture_spec("X", "c"), fixture_spec("X", "d")};
    bad[1].eureka.ip_addr = "nowhere";
    assert_int_equal(registry_store_set_static(f.store, bad, 2), CW_REQUEST_MALFORMED);
    assert_string_equal(fixture_list(&f), "X/a:UP:s X/b:UP:s");
    assert_int_equal(registry_store_set_static(f.store, NULL, 0), CW_OK);
    assert_string_equal(fixture_list(&f), "");
    fixture_close(&f);
}

static void after_a_start_nothing_is_merely_absent(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, (struct registry_limits){0});
    struct registry_spec a = fixture_spec("X", "a"), b = fixture_spec("X", "b");
    a.origin = b.origin = REGISTRY_LOCAL;
    assert_int_equal(registry_store_restore(f.store, &a), CW_OK);
    assert_int_equal(registry_store_restore(f.store, &b), CW_OK);
    assert_string_equal(fixture_list(&f), "~X/a:UP:r X/b:UP:r");
    /* one comes back, and leaves again */
    struct registry_lease lease = {0};
    assert_int_equal(registry_store_register(f.store, BOB, &a, &lease), CW_OK);
    assert_string_equal(fixture_list(&f), "~X/a:UP:l X/b:UP:r");
    registry_store_release(f.store, &lease);
    assert_string_equal(fixture_list(&f), "~X/a:UP:l- X/b:UP:r");
    lease = (struct registry_lease){0};
    assert_int_equal(registry_store_register(f.store, BOB, &a, &lease), CW_OK);
    assert_string_equal(fixture_list(&f), "~X/a:UP:l X/b:UP:r");
    fixture_pass(&f, 29999);
    assert_string_equal(fixture_list(&f), "~X/a:UP:l X/b:UP:r");
    fixture_pass(&f, 1);
    assert_string_equal(fixture_list(&f), "X/a:UP:l");
    fixture_close(&f);
}

static void what_is_restored_overwrites_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, (struct registry_limits){0});
    struct registry_spec spec = fixture_spec("X", "a");
    assert_int_equal(registry_store_set_static(f.store, &spec, 1), CW_OK);
    spec.origin = REGISTRY_EUREKA;
    spec.eureka.status = CW_EUREKA_DOWN;
    assert_int_equal(registry_store_restore(f.store, &spec), CW_OK);
    assert_string_equal(fixture_list(&f), "~X/a:UP:s");
    fixture_close(&f);
}

static void a_snapshot_is_of_one_moment(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec spec = fixture_spec("X", "a"), other = fixture_spec("Y", "b");
    struct registry_lease lease = {0}, second = {0};
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &lease), CW_OK);
    struct registry_snapshot *before = registry_store_snapshot(f.store);
    struct registry_snapshot *same = registry_store_snapshot(f.store);
    assert_ptr_equal(before, same);
    uint64_t x = registry_snapshot_find(before, "X")->generation;
    assert_int_equal(registry_store_register(f.store, ALICE, &other, &second), CW_OK);
    registry_store_release(f.store, &lease);
    struct registry_snapshot *after = registry_store_snapshot(f.store);
    assert_true(after->generation > before->generation);
    assert_int_equal(after->generation, registry_store_generation(f.store));
    assert_non_null(registry_app_find(registry_snapshot_find(before, "X"), "a"));
    assert_null(registry_app_find(registry_snapshot_find(before, "X"), "b"));
    assert_null(registry_snapshot_find(after, "X"));
    assert_true(registry_snapshot_find(after, "Y")->generation > x);
    registry_snapshot_unref(before);
    registry_snapshot_unref(same);
    registry_snapshot_unref(after);
    fixture_close(&f);
}

static void tell(struct fixture *f, const char *app, const char *id, bool gone)
{
    struct registry_spec spec = fixture_spec(app, id);
    struct registry_instance *instance;
    struct registry_news news = {0};
    spec.source = REGISTRY_EUREKA;
    assert_int_equal(registry_instance_new(&spec, &instance), CW_OK);
    assert_int_equal(registry_news_add(&news, instance, gone), CW_OK);
    assert_int_equal(registry_store_tell(f->store, &news), 0);
    registry_news_done(&news);
    registry_instance_unref(instance);
}

static void a_change_costs_its_application_and_its_part(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec spec = fixture_spec("X", "a");
    struct registry_lease lease = {0};
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &lease), CW_OK);
    tell(&f, "E", "e", false);
    tell(&f, "F", "f", false);
    struct registry_snapshot *before = registry_store_snapshot(f.store);
    tell(&f, "E", "g", false);
    struct registry_snapshot *after = registry_store_snapshot(f.store);
    /* the others are not copied again, */
    assert_ptr_equal(registry_snapshot_find(after, "X"), registry_snapshot_find(before, "X"));
    assert_ptr_equal(registry_snapshot_find(after, "F"), registry_snapshot_find(before, "F"));
    assert_int_equal(registry_snapshot_find(before, "E")->n, 1);
    assert_int_equal(registry_snapshot_find(after, "E")->n, 2);
    /* and this host's file, and its services at Eureka, are not looked at again */
    assert_int_equal(after->changed[REGISTRY_PART_OWN], before->changed[REGISTRY_PART_OWN]);
    assert_int_equal(after->changed[REGISTRY_PART_EUREKA], after->generation);
    registry_snapshot_unref(before);
    before = after;
    registry_store_release(f.store, &lease);
    after = registry_store_snapshot(f.store);
    assert_int_equal(after->changed[REGISTRY_PART_OWN], after->generation);
    assert_int_equal(after->changed[REGISTRY_PART_EUREKA], before->changed[REGISTRY_PART_EUREKA]);
    registry_snapshot_unref(before);
    before = after;
    tell(&f, "E", "g", true);
    after = registry_store_snapshot(f.store);
    assert_true(after->changed[REGISTRY_PART_EUREKA] > before->changed[REGISTRY_PART_EUREKA]);
    registry_snapshot_unref(before);
    registry_snapshot_unref(after);
    fixture_close(&f);
}

/* A service of this host takes an id over that a server had: both files are to be written. */
static void an_instance_that_moves_changes_both_parts(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    tell(&f, "X", "a", false);
    struct registry_snapshot *before = registry_store_snapshot(f.store);
    struct registry_spec spec = fixture_spec("X", "a");
    struct registry_lease lease = {0};
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &lease), CW_OK);
    struct registry_snapshot *after = registry_store_snapshot(f.store);
    for (size_t part = 0; part < REGISTRY_PART_COUNT; part++) {
        assert_int_equal(after->changed[part], after->generation);
    }
    registry_snapshot_unref(before);
    registry_snapshot_unref(after);
    fixture_close(&f);
}

static void new_rules_judge_what_is_there(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec spec = fixture_spec("X", "a");
    struct registry_lease lease = {0};
    spec.eureka.ip_addr = "10.9.9.9";
    assert_int_equal(registry_store_register(f.store, ALICE, &spec, &lease), CW_OK);
    assert_string_equal(fixture_list(&f), "X/a:UP:l?");
    struct registry_rules *rules = fixture_rules();
    assert_int_equal(registry_rules_allow(rules, CW_STR("10.9.0.0/16")), CW_OK);
    registry_store_set_rules(f.store, rules);
    registry_rules_unref(rules);
    assert_string_equal(fixture_list(&f), "X/a:UP:l");
    assert_int_equal(f.changes, 2);
    fixture_close(&f);
}

static void changes_are_kept_for_their_time_and_once_each(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec a = fixture_spec("X", "a"), b = fixture_spec("X", "b");
    struct registry_lease first = {0}, second = {0};
    struct registry_changes changes;
    assert_int_equal(registry_store_register(f.store, ALICE, &a, &first), CW_OK);
    assert_int_equal(registry_store_register(f.store, ALICE, &b, &second), CW_OK);
    a.eureka.status = CW_EUREKA_DOWN;
    assert_int_equal(registry_store_register(f.store, ALICE, &a, &first), CW_OK);
    assert_int_equal(registry_store_changes(f.store, &changes), CW_OK);
    assert_int_equal(changes.n, 2);
    assert_string_equal(changes.p[0].instance->id, "b");
    assert_string_equal(changes.p[1].instance->id, "a");
    assert_int_equal(changes.p[1].action, CW_EUREKA_MODIFIED);
    registry_changes_done(&changes);
    fixture_pass(&f, 100000);
    registry_store_release(f.store, &second);
    fixture_pass(&f, 80001);
    assert_int_equal(registry_store_changes(f.store, &changes), CW_OK);
    assert_int_equal(changes.n, 1);
    assert_int_equal(changes.p[0].action, CW_EUREKA_DELETED);
    registry_changes_done(&changes);
    fixture_pass(&f, 100000);
    assert_int_equal(registry_store_changes(f.store, &changes), CW_OK);
    assert_int_equal(changes.n, 0);
    registry_changes_done(&changes);
    fixture_close(&f);
}

static void a_flood_of_changes_keeps_the_newest(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec spec = fixture_spec("X", "a");
    for (int i = 0; i < 5000; i++) {
        struct registry_lease lease = {0};
        assert_int_equal(registry_store_register(f.store, ALICE, &spec, &lease), CW_OK);
        registry_store_release(f.store, &lease);
    }
    struct registry_changes changes;
    assert_int_equal(registry_store_changes(f.store, &changes), CW_OK);
    assert_true(changes.n <= 4096 && changes.n > 0);
    assert_int_equal(changes.p[changes.n - 1].action, CW_EUREKA_DELETED);
    registry_changes_done(&changes);
    fixture_close(&f);
}

static void *churn(void *arg)
{
    struct fixture *f = arg;
    struct registry_spec spec = fixture_spec("X", "a");
    for (int i = 0; i < 300; i++) {
        struct registry_lease lease = {0};
        assert_int_equal(registry_store_register(f->store, ALICE, &spec, &lease), CW_OK);
        registry_store_release(f->store, &lease);
    }
    return NULL;
}

static void count_change(void *ctx)
{
    (void)ctx; /* the fixture's counter is not for two threads */
}

static void readers_and_writers_do_not_meet(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    registry_store_on_change(f.store, count_change, NULL);
    pthread_t writers[2];
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&writers[i], NULL, churn, &f), 0);
    }
    uint64_t last = 0;
    for (int i = 0; i < 300; i++) {
        struct registry_snapshot *snapshot = registry_store_snapshot(f.store);
        assert_true(snapshot->generation >= last);
        last = snapshot->generation;
        registry_snapshot_unref(snapshot);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(writers[i], NULL);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_holds_its_instance),
        cmocka_unit_test(a_lost_connection_has_ten_seconds),
        cmocka_unit_test(a_service_that_comes_back_within_the_grace_keeps_its_lease),
        cmocka_unit_test(an_overtaken_stream_has_no_say),
        cmocka_unit_test(a_registration_that_is_not_granted_is_refused),
        cmocka_unit_test(every_bound_holds),
        cmocka_unit_test(texts_have_a_bound_of_their_own),
        cmocka_unit_test(static_instances_follow_the_configuration),
        cmocka_unit_test(after_a_start_nothing_is_merely_absent),
        cmocka_unit_test(what_is_restored_overwrites_nothing),
        cmocka_unit_test(a_snapshot_is_of_one_moment),
        cmocka_unit_test(a_change_costs_its_application_and_its_part),
        cmocka_unit_test(an_instance_that_moves_changes_both_parts),
        cmocka_unit_test(new_rules_judge_what_is_there),
        cmocka_unit_test(changes_are_kept_for_their_time_and_once_each),
        cmocka_unit_test(a_flood_of_changes_keeps_the_newest),
        cmocka_unit_test(readers_and_writers_do_not_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
