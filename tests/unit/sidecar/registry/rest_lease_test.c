/* Eureka's rules for leases, as the real server was seen to apply them. */
#include "sidecar/registry/rest_lease.h"

#include "tests/unit/sidecar/registry/fixture.h"

static void put(struct fixture *f, enum cw_eureka_status status, int64_t dirty)
{
    struct registry_spec spec = fixture_spec("R", "a");
    spec.eureka.status = status;
    spec.eureka.last_dirty_ms = dirty;
    assert_int_equal(registry_rest_register(f->store, &spec.eureka), CW_OK);
}

static const struct registry_item *get(struct fixture *f, struct registry_snapshot **snapshot)
{
    *snapshot = registry_store_snapshot(f->store);
    const struct registry_app *app = registry_snapshot_find(*snapshot, "R");
    return app != NULL ? registry_app_find(app, "a") : NULL;
}

static void a_lease_ends_without_heartbeats(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    put(&f, CW_EUREKA_UP, 0);
    fixture_pass(&f, 89999);
    assert_string_equal(fixture_list(&f), "R/a:UP:l");
    assert_int_equal(registry_rest_renew(f.store, "R", "a", 0), CW_OK);
    fixture_pass(&f, 179999); /* the real server counts the duration twice after a renewal */
    assert_string_equal(fixture_list(&f), "R/a:UP:l");
    fixture_pass(&f, 1);
    assert_string_equal(fixture_list(&f), "");
    put(&f, CW_EUREKA_UP, 0);
    fixture_pass(&f, 90000);
    assert_string_equal(fixture_list(&f), "");
    fixture_close(&f);
}

static void heartbeats_follow_the_dirty_timestamp(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    assert_int_equal(registry_rest_renew(f.store, "R", "a", 0), CW_NOT_FOUND);
    put(&f, CW_EUREKA_UP, 500);
    assert_int_equal(registry_rest_renew(f.store, "R", "a", 500), CW_OK);
    assert_int_equal(registry_rest_renew(f.store, "R", "a", 499), CW_OK);
    assert_int_equal(registry_rest_renew(f.store, "R", "a", 0), CW_OK);
    assert_int_equal(registry_rest_renew(f.store, "R", "a", 501), CW_NOT_FOUND);
    put(&f, CW_EUREKA_UP, 501);
    assert_int_equal(registry_rest_renew(f.store, "R", "a", 501), CW_OK);
    fixture_close(&f);
}

static void an_unknown_status_has_no_heartbeat(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    put(&f, CW_EUREKA_UNKNOWN, 0);
    assert_string_equal(fixture_list(&f), "R/a:UNKNOWN:l");
    assert_int_equal(registry_rest_renew(f.store, "R", "a", 0), CW_NOT_FOUND);
    fixture_close(&f);
}

static void re_registration_follows_the_rules(void **state)
{
    (void)state;
    static const struct {
        const char *sentence;
        enum cw_eureka_status held, sent;
        int64_t dirty;
        enum cw_eureka_status status;
    } rows[] = {
        {"out of service over up stays up", CW_EUREKA_UP, CW_EUREKA_OUT_OF_SERVICE, 9,
         CW_EUREKA_UP},
        {"down over up counts", CW_EUREKA_UP, CW_EUREKA_DOWN, 9, CW_EUREKA_DOWN},
        {"starting over up counts", CW_EUREKA_UP, CW_EUREKA_STARTING, 9, CW_EUREKA_STARTING},
        {"up over starting counts", CW_EUREKA_STARTING, CW_EUREKA_UP, 9, CW_EUREKA_UP},
        {"up over down counts", CW_EUREKA_DOWN, CW_EUREKA_UP, 9, CW_EUREKA_UP},
        {"an older record changes nothing", CW_EUREKA_UP, CW_EUREKA_DOWN, 4, CW_EUREKA_UP},
        {"an equal one counts", CW_EUREKA_UP, CW_EUREKA_DOWN, 5, CW_EUREKA_DOWN},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        struct fixture f;
        fixture_open_settled(&f);
        put(&f, rows[i].held, 5);
        put(&f, rows[i].sent, rows[i].dirty);
        struct registry_snapshot *snapshot;
        const struct registry_item *item = get(&f, &snapshot);
        if (item->instance->eureka.status != rows[i].status) {
            fail_msg("%s", rows[i].sentence);
        }
        assert_true(item->instance->eureka.last_dirty_ms == CW_MAX(rows[i].dirty, 5));
        registry_snapshot_unref(snapshot);
        fixture_close(&f);
    }
}

static void an_override_stands_until_it_is_deleted(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    assert_int_equal(registry_rest_override(f.store, "R", "a", CW_EUREKA_DOWN, 0), CW_NOT_FOUND);
    put(&f, CW_EUREKA_UP, 5);
    assert_int_equal(registry_rest_override(f.store, "R", "a", CW_EUREKA_OUT_OF_SERVICE, 0), CW_OK);
    struct registry_snapshot *snapshot;
    const struct registry_item *item = get(&f, &snapshot);
    assert_int_equal(item->instance->eureka.status, CW_EUREKA_OUT_OF_SERVICE);
    assert_int_equal(item->instance->eureka.overridden, CW_EUREKA_OUT_OF_SERVICE);
    assert_int_equal(item->action, CW_EUREKA_MODIFIED);
    registry_snapshot_unref(snapshot);
    put(&f, CW_EUREKA_UP, 6);
    assert_int_equal(registry_rest_renew(f.store, "R", "a", 6), CW_OK);
    assert_string_equal(fixture_list(&f), "R/a:OUT_OF_SERVICE:l");
    /* with a value it is that, without one nobody knows: the client registers again */
    assert_int_equal(registry_rest_override_end(f.store, "R", "a", CW_EUREKA_UP, 0), CW_OK);
    assert_string_equal(fixture_list(&f), "R/a:UP:l");
    assert_int_equal(registry_rest_override(f.store, "R", "a", CW_EUREKA_DOWN, 0), CW_OK);
    assert_int_equal(registry_rest_override_end(f.store, "R", "a", CW_EUREKA_UNKNOWN, 0), CW_OK);
    assert_string_equal(fixture_list(&f), "R/a:UNKNOWN:l");
    assert_int_equal(registry_rest_renew(f.store, "R", "a", 0), CW_NOT_FOUND);
    put(&f, CW_EUREKA_UP, 7);
    assert_string_equal(fixture_list(&f), "R/a:UP:l");
    /* no override: no change */
    int changes = f.changes;
    assert_int_equal(registry_rest_override_end(f.store, "R", "a", CW_EUREKA_DOWN, 0), CW_OK);
    assert_int_equal(f.changes, changes);
    fixture_close(&f);
}

static void an_override_may_come_with_the_registration(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec spec = fixture_spec("R", "a");
    spec.eureka.overridden = CW_EUREKA_OUT_OF_SERVICE;
    assert_int_equal(registry_rest_register(f.store, &spec.eureka), CW_OK);
    assert_string_equal(fixture_list(&f), "R/a:OUT_OF_SERVICE:l");
    /* it goes with the instance */
    assert_int_equal(registry_rest_cancel(f.store, "R", "a"), CW_OK);
    assert_int_equal(registry_rest_cancel(f.store, "R", "a"), CW_NOT_FOUND);
    put(&f, CW_EUREKA_UP, 0);
    assert_string_equal(fixture_list(&f), "R/a:UP:l");
    fixture_close(&f);
}

static void metadata_is_set_and_registers_anew(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    static const struct cw_eureka_pair pairs[] = {{"zone", "b"}};
    struct cw_eureka_pairs metadata = {pairs, 1};
    assert_int_equal(registry_rest_metadata(f.store, "R", "a", metadata), CW_NOT_FOUND);
    put(&f, CW_EUREKA_UP, 5);
    f.now = 77;
    assert_int_equal(registry_rest_metadata(f.store, "R", "a", metadata), CW_OK);
    struct registry_snapshot *snapshot;
    const struct registry_item *item = get(&f, &snapshot);
    assert_string_equal(cw_eureka_pairs_find(item->instance->eureka.metadata, "zone"), "b");
    assert_true(item->instance->eureka.lease.registration_ms == WALL + 77);
    assert_true(item->instance->eureka.last_dirty_ms == 5);
    assert_int_equal(item->action, CW_EUREKA_ADDED);
    registry_snapshot_unref(snapshot);
    fixture_close(&f);
}

static void streams_and_configuration_are_not_for_rest(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open_settled(&f);
    struct registry_spec local = fixture_spec("X", "a"), fixed = fixture_spec("X", "b");
    struct registry_lease lease = {0};
    assert_int_equal(registry_store_register(f.store, ALICE, &local, &lease), CW_OK);
    assert_int_equal(registry_store_set_static(f.store, &fixed, 1), CW_OK);
    const char *ids[] = {"a", "b"};
    for (size_t i = 0; i < 2; i++) {
        struct registry_spec spec = fixture_spec("X", ids[i]);
        assert_int_equal(registry_rest_register(f.store, &spec.eureka), CW_FORBIDDEN);
        assert_int_equal(registry_rest_renew(f.store, "X", ids[i], 0), CW_FORBIDDEN);
        assert_int_equal(registry_rest_cancel(f.store, "X", ids[i]), CW_FORBIDDEN);
        assert_int_equal(registry_rest_override(f.store, "X", ids[i], CW_EUREKA_DOWN, 0),
                         CW_FORBIDDEN);
        assert_int_equal(registry_rest_metadata(f.store, "X", ids[i], (struct cw_eureka_pairs){0}),
                         CW_FORBIDDEN);
    }
    assert_string_equal(fixture_list(&f), "X/a:UP:l X/b:UP:s");
    /* but a stream takes over what came by REST */
    struct registry_spec both = fixture_spec("X", "c");
    struct registry_lease second = {0};
    assert_int_equal(registry_rest_register(f.store, &both.eureka), CW_OK);
    assert_int_equal(registry_store_register(f.store, ALICE, &both, &second), CW_OK);
    assert_int_equal(registry_rest_cancel(f.store, "X", "c"), CW_FORBIDDEN);
    fixture_close(&f);
}

static void a_restored_lease_is_confirmed_by_its_heartbeat(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, (struct registry_limits){0});
    struct registry_spec spec = fixture_spec("R", "a");
    spec.origin = REGISTRY_REST;
    spec.eureka.last_dirty_ms = 5;
    assert_int_equal(registry_store_restore(f.store, &spec), CW_OK);
    fixture_pass(&f, 31000); /* past the provisional phase, within its lease */
    assert_string_equal(fixture_list(&f), "R/a:UP:r");
    assert_int_equal(registry_rest_renew(f.store, "R", "a", 5), CW_OK);
    assert_string_equal(fixture_list(&f), "R/a:UP:l");
    fixture_pass(&f, 179999);
    assert_string_equal(fixture_list(&f), "R/a:UP:l");
    fixture_close(&f);
}

static void a_gone_instance_is_unknown_to_its_client(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, (struct registry_limits){0});
    put(&f, CW_EUREKA_UP, 0);
    assert_int_equal(registry_rest_cancel(f.store, "R", "a"), CW_OK);
    assert_string_equal(fixture_list(&f), "~R/a:UP:l-");
    assert_int_equal(registry_rest_renew(f.store, "R", "a", 0), CW_NOT_FOUND);
    assert_int_equal(registry_rest_cancel(f.store, "R", "a"), CW_NOT_FOUND);
    put(&f, CW_EUREKA_UP, 0);
    assert_string_equal(fixture_list(&f), "~R/a:UP:l");
    fixture_close(&f);
}

static void rest_writers_share_one_bound(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, (struct registry_limits){.provisional_ms = -1, .per_owner = 2});
    for (int i = 0; i < 3; i++) {
        char id[8];
        snprintf(id, sizeof(id), "%d", i);
        struct registry_spec spec = fixture_spec("R", id);
        assert_int_equal(registry_rest_register(f.store, &spec.eureka),
                         i < 2 ? CW_OK : CW_REGISTRY_FULL);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_ends_without_heartbeats),
        cmocka_unit_test(heartbeats_follow_the_dirty_timestamp),
        cmocka_unit_test(an_unknown_status_has_no_heartbeat),
        cmocka_unit_test(re_registration_follows_the_rules),
        cmocka_unit_test(an_override_stands_until_it_is_deleted),
        cmocka_unit_test(an_override_may_come_with_the_registration),
        cmocka_unit_test(metadata_is_set_and_registers_anew),
        cmocka_unit_test(streams_and_configuration_are_not_for_rest),
        cmocka_unit_test(a_restored_lease_is_confirmed_by_its_heartbeat),
        cmocka_unit_test(a_gone_instance_is_unknown_to_its_client),
        cmocka_unit_test(rest_writers_share_one_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
