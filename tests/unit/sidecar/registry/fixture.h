/* A registry with a clock that the test moves, and short ways to put instances into it. */
#ifndef TESTS_UNIT_SIDECAR_REGISTRY_FIXTURE_H
#define TESTS_UNIT_SIDECAR_REGISTRY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sidecar/registry/store.h"

enum { ALICE = 1000, BOB = 1001, WALL = 1000000 };

struct fixture {
    int64_t now;
    struct cw_clock clock;
    struct registry_rules *rules;
    struct registry_store *store;
    int changes;
};

static int64_t fixture_wall(void *ctx)
{
    return WALL + ((struct fixture *)ctx)->now;
}

static int64_t fixture_monotonic(void *ctx)
{
    return ((struct fixture *)ctx)->now;
}

static void fixture_changed(void *ctx)
{
    ((struct fixture *)ctx)->changes++;
}

/* Alice may register X and Y, Bob X; one network from elsewhere is allowed. */
static inline struct registry_rules *fixture_rules(void)
{
    struct registry_rules *rules;
    assert_int_equal(registry_rules_new(&rules), CW_OK);
    assert_int_equal(registry_rules_grant(rules, ALICE, CW_STR("x")), CW_OK);
    assert_int_equal(registry_rules_grant(rules, ALICE, CW_STR("Y")), CW_OK);
    assert_int_equal(registry_rules_grant(rules, BOB, CW_STR("X")), CW_OK);
    assert_int_equal(registry_rules_allow(rules, CW_STR("10.1.0.0/16")), CW_OK);
    assert_int_equal(registry_rules_add_host(rules, CW_STR("192.168.7.7")), CW_OK);
    assert_int_equal(registry_rules_reserve(rules, 9082), CW_OK);
    return rules;
}

static inline void fixture_open(struct fixture *f, struct registry_limits limits)
{
    *f = (struct fixture){.clock = {fixture_wall, fixture_monotonic, NULL}};
    f->clock.ctx = f;
    f->rules = fixture_rules();
    assert_int_equal(registry_store_new(&limits, &f->clock, f->rules, &f->store), CW_OK);
    registry_store_on_change(f->store, fixture_changed, f);
}

/* Without a provisional phase. */
static inline void fixture_open_settled(struct fixture *f)
{
    fixture_open(f, (struct registry_limits){.provisional_ms = -1});
}

static inline void fixture_close(struct fixture *f)
{
    registry_store_free(f->store);
    registry_rules_unref(f->rules);
}

static inline void fixture_pass(struct fixture *f, int64_t ms)
{
    f->now += ms;
    registry_store_tick(f->store);
}

static inline struct registry_spec fixture_spec(const char *app, const char *id)
{
    struct registry_spec spec = {0};
    cw_eureka_instance_init(&spec.eureka);
    spec.eureka.app = app;
    spec.eureka.instance_id = id;
    spec.eureka.host_name = "h";
    spec.eureka.ip_addr = "127.0.0.1";
    spec.eureka.port.number = 9000;
    spec.eureka.data_center = CW_EUREKA_MY_OWN;
    return spec;
}

/* `X/a:UP Y/b:DOWN?` and, provisional, a `~` before: `?` is unreachable, `-` gone, sources by their
 * first letter. */
static inline const char *fixture_list(struct fixture *f)
{
    static char text[4096];
    struct registry_snapshot *snapshot = registry_store_snapshot(f->store);
    assert_non_null(snapshot);
    size_t n = (size_t)snprintf(text, sizeof(text), "%s", snapshot->provisional ? "~" : "");
    for (size_t a = 0; a < snapshot->n; a++) {
        for (size_t i = 0; i < snapshot->apps[a]->n; i++) {
            const struct registry_item *item = &snapshot->apps[a]->items[i];
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s/%s:%s:%c%s%s", n > 1 ? " " : "",
                                  snapshot->apps[a]->name, item->instance->id,
                                  cw_eureka_status_name(item->instance->eureka.status),
                                  registry_source_name(item->instance->source)[0],
                                  item->reach == REGISTRY_REACHABLE ? "" : "?",
                                  item->gone ? "-" : "");
        }
    }
    registry_snapshot_unref(snapshot);
    return text;
}

#endif
