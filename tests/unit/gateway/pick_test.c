/* Which instance a request goes to: shares, loads, keys, zones, marks and the slow start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge-gateway/ngx_http_cw_pick.h"

enum { PEERS = 16, SEATS = 4, KEYS = 20000 };

struct list {
    ngx_http_cw_peers_t *peers;
    uint32_t held[PEERS * SEATS];
};

/* N instances that are up, of weight 1, each numbered by its place + 1. */
static int up(void **state)
{
    struct list *list = calloc(1, sizeof(*list));
    assert_non_null(list);
    list->peers = calloc(1, sizeof(ngx_http_cw_peers_t) + PEERS * sizeof(ngx_http_cw_peer_t));
    assert_non_null(list->peers);
    list->peers->seats = SEATS;
    list->peers->held = list->held;
    for (unsigned i = 0; i < PEERS; i++) {
        u_char address[] = {10, 0, 0, (u_char)i};
        ngx_http_cw_peer_t *peer = &list->peers->peers[i];
        peer->number = i + 1;
        peer->hash = ngx_http_cw_pick_hash(address, sizeof(address));
        peer->weight = 1;
        peer->up = 1;
    }
    *state = list;
    return 0;
}

static int down(void **state)
{
    struct list *list = *state;
    free(list->peers);
    free(list);
    return 0;
}

static ngx_http_cw_peers_t *of(void **state, ngx_uint_t n)
{
    ngx_http_cw_peers_t *peers = ((struct list *)*state)->peers;
    peers->n = n;
    return peers;
}

static uint64_t key(int i)
{
    return ngx_http_cw_pick_hash((u_char *)&i, sizeof(i));
}

/* The index of the one that was picked, or -1. */
static int picked(ngx_http_cw_peers_t *peers, ngx_http_cw_pick_t *pick)
{
    ngx_http_cw_peer_t *peer = ngx_http_cw_pick(peers, pick);
    return peer != NULL ? (int)(peer - peers->peers) : -1;
}

static void round_robin_gives_each_its_share_smoothly(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 3);
    ngx_http_cw_pick_t pick = {0};
    peers->peers[0].weight = 5;
    int expected[] = {0, 0, 1, 0, 2, 0, 0};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
            assert_int_equal(picked(peers, &pick), expected[i]);
        }
    }
}

static void who_is_not_up_or_was_tried_or_speaks_tls_is_not_picked(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 4);
    uint64_t tried[] = {3};
    for (ngx_uint_t policy = 0; policy <= NGX_HTTP_CW_PICK_HASH; policy++) {
        ngx_http_cw_pick_t pick = {.policy = policy, .tried = tried, .ntried = 1};
        peers->peers[0].up = 0;
        peers->peers[1].secure = 1;
        for (int i = 0; i < 20; i++) {
            pick.key = key(i);
            assert_int_equal(picked(peers, &pick), 3);
        }
        peers->peers[3].up = 0;
        assert_int_equal(picked(peers, &pick), -1);
        peers->peers[3].up = 1;
        pick.ssl = 1;
        assert_int_equal(picked(peers, &pick), 1);
    }
}

static void an_added_instance_takes_its_part_of_the_keys_and_moves_no_other(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 10);
    ngx_http_cw_pick_t pick = {.policy = NGX_HTTP_CW_PICK_HASH};
    int before[KEYS], counts[PEERS] = {0}, moved = 0;
    for (int i = 0; i < KEYS; i++) {
        pick.key = key(i);
        before[i] = picked(peers, &pick);
        counts[before[i]]++;
    }
    for (int i = 0; i < 10; i++) { /* 2000 each; 5 standard deviations are 212 */
        assert_in_range(counts[i], 1788, 2212);
    }
    peers->n = 11;
    for (int i = 0; i < KEYS; i++) {
        pick.key = key(i);
        int now = picked(peers, &pick);
        moved += now != before[i];
        assert_true(now == before[i] || now == 10);
    }
    assert_in_range(moved, 1615, 2021); /* an eleventh is 1818 */
}

static void a_lost_instance_gives_its_keys_to_all_others(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 10);
    ngx_http_cw_pick_t pick = {.policy = NGX_HTTP_CW_PICK_HASH};
    int before[KEYS], heirs[PEERS] = {0};
    for (int i = 0; i < KEYS; i++) {
        pick.key = key(i);
        before[i] = picked(peers, &pick);
    }
    peers->peers[4].marked = 1;
    peers->peers[4].until = 1;
    for (int i = 0; i < KEYS; i++) {
        pick.key = key(i);
        int now = picked(peers, &pick);
        if (before[i] == 4) {
            heirs[now]++;
        } else {
            assert_int_equal(now, before[i]);
        }
    }
    assert_int_equal(heirs[4], 0);
    for (int i = 0; i < 10; i++) { /* a ninth of 2000 is 222 */
        assert_true(i == 4 || (heirs[i] > 145 && heirs[i] < 300));
    }
}

static void keys_are_shared_by_weight(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 3);
    ngx_http_cw_pick_t pick = {.policy = NGX_HTTP_CW_PICK_HASH};
    int before[KEYS], counts[PEERS] = {0};
    peers->peers[1].weight = 3;
    for (int i = 0; i < KEYS; i++) {
        pick.key = key(i);
        before[i] = picked(peers, &pick);
        counts[before[i]]++;
    }
    assert_in_range(counts[0], 3700, 4300);
    assert_in_range(counts[1], 11600, 12400);
    assert_in_range(counts[2], 3700, 4300);
    peers->peers[1].weight = 2; /* what it loses goes to the others, and nothing else moves */
    for (int i = 0; i < KEYS; i++) {
        pick.key = key(i);
        int now = picked(peers, &pick);
        assert_true(now == before[i] || before[i] == 1);
    }
}

static void the_own_zone_comes_first_as_long_as_it_has_one(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 4);
    peers->peers[0].zone = peers->peers[1].zone = 7;
    peers->peers[2].zone = 8;
    for (ngx_uint_t policy = 0; policy <= NGX_HTTP_CW_PICK_HASH; policy++) {
        ngx_http_cw_pick_t pick = {.policy = policy, .zone = 7, .now = 1000};
        for (int i = 0; i < 20; i++) {
            pick.key = key(i);
            assert_in_range(picked(peers, &pick), 0, 1);
            assert_int_equal(pick.picked, NGX_HTTP_CW_PICKED_ZONE);
        }
        peers->peers[0].up = 0;
        peers->peers[1].marked = 1;
        peers->peers[1].until = 2000;
        for (int i = 0; i < 20; i++) {
            pick.key = key(i);
            assert_in_range(picked(peers, &pick), 2, 3);
            assert_int_equal(pick.picked, NGX_HTTP_CW_PICKED_SPILL);
        }
        pick.zone = 0; /* no preference: nothing is given up */
        assert_in_range(picked(peers, &pick), 2, 3);
        assert_int_equal(pick.picked, NGX_HTTP_CW_PICKED_ZONE);
        peers->peers[0].up = 1;
        peers->peers[1].marked = 0;
    }
}

static void the_least_loaded_is_picked_by_what_it_can_do(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 3);
    ngx_http_cw_pick_t pick = {.policy = NGX_HTTP_CW_PICK_LEAST_CONN};
    int counts[PEERS] = {0};
    peers->peers[1].weight = 3;
    for (int i = 0; i < 50; i++) { /* nobody comes back */
        int one = picked(peers, &pick);
        counts[one]++;
        ngx_http_cw_pick_hold(peers, (ngx_uint_t)one, 0);
    }
    assert_int_equal(counts[0], 10);
    assert_int_equal(counts[1], 30);
    assert_int_equal(counts[2], 10);
    ngx_http_cw_pick_release(peers, 2, 0);
    assert_int_equal(picked(peers, &pick), 2);
    memset(counts, 0, sizeof(counts));
    ngx_http_cw_pick_vacate(peers, 0);
    for (int i = 0; i < 50; i++) { /* each is over before the next one: in turn */
        counts[picked(peers, &pick)]++;
    }
    assert_int_equal(counts[0], 10);
    assert_int_equal(counts[1], 30);
}

static void what_a_dead_worker_held_is_given_back_and_no_more(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 2);
    for (ngx_uint_t seat = 0; seat < SEATS; seat++) {
        ngx_http_cw_pick_hold(peers, 0, seat);
        ngx_http_cw_pick_hold(peers, 0, seat);
        ngx_http_cw_pick_hold(peers, 1, seat);
    }
    ngx_http_cw_pick_hold(peers, 0, SEATS); /* no seat: not counted */
    ngx_http_cw_pick_release(peers, 0, SEATS);
    assert_int_equal(peers->peers[0].held, 2 * SEATS);
    ngx_http_cw_pick_vacate(peers, 2);
    assert_int_equal(peers->peers[0].held, 2 * (SEATS - 1));
    assert_int_equal(peers->peers[1].held, SEATS - 1);
    ngx_http_cw_pick_vacate(peers, 2);
    ngx_http_cw_pick_release(peers, 0, 2); /* late: it is back already */
    assert_int_equal(peers->peers[0].held, 2 * (SEATS - 1));
    peers->held[3]++; /* a worker died in the middle of it */
    ngx_http_cw_pick_vacate(peers, 3);
    assert_int_equal(peers->peers[0].held, 2 * (SEATS - 2));
    ngx_http_cw_pick_hold(peers, 0, 3);
    ngx_http_cw_pick_hold(peers, 0, 3);
    peers->seats = 0; /* nobody counts */
    ngx_http_cw_pick_hold(peers, 0, 0);
    ngx_http_cw_pick_vacate(peers, 0);
    assert_int_equal(peers->peers[0].held, 2 * (SEATS - 1));
}

static void when_all_are_marked_they_are_tried_all_the_same(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 2);
    ngx_http_cw_pick_t pick = {.now = 1000};
    ngx_http_cw_fails_t fails = {1, 10, 80};
    for (int i = 0; i < 2; i++) {
        peers->peers[i].marked = 1;
        peers->peers[i].until = 1005;
    }
    assert_int_equal(picked(peers, &pick), 0);
    assert_int_equal(pick.picked, NGX_HTTP_CW_PICKED_PANIC);
    assert_int_equal(ngx_http_cw_pick_failed(&peers->peers[0], &pick, &fails, 1000), 0);
    assert_int_equal(peers->peers[0].until, 1005);
    assert_int_equal(picked(peers, &pick), 1);
    assert_int_equal(ngx_http_cw_pick_answered(&peers->peers[1], &pick, 1000), 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(picked(peers, &pick), 1); /* well again */
        assert_int_equal(pick.picked, NGX_HTTP_CW_PICKED_ZONE);
    }
}

static void one_request_finds_out_whether_a_marked_one_is_well(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 2);
    ngx_http_cw_pick_t pick = {.now = 1000};
    ngx_http_cw_fails_t fails = {1, 10, 80};
    ngx_http_cw_peer_t *peer = &peers->peers[0];
    assert_int_equal(ngx_http_cw_pick_failed(peer, &pick, &fails, 1000), 1);
    assert_int_equal(ngx_http_cw_pick_failed(peer, &pick, &fails, 1001), 0); /* was on its way */
    assert_int_equal(ngx_http_cw_pick_answered(peer, &pick, 1002), 0);       /* this one, too */
    pick.now = 1009;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(picked(peers, &pick), 1);
    }
    pick.now = 1010;
    int probes = 0;
    for (int i = 0; i < 8; i++) {
        bool probe = picked(peers, &pick) == 0;
        assert_int_equal(pick.probe, probe);
        probes += probe;
    }
    assert_int_equal(probes, 1);
}

static void a_mark_lasts_longer_each_time_and_no_longer_than_it_may(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 1);
    ngx_http_cw_fails_t fails = {1, 10, 60};
    ngx_http_cw_peer_t *peer = peers->peers;
    ngx_http_cw_pick_t pick = {0};
    ngx_msec_t pauses[] = {10, 20, 40, 60, 60}, now = 5000;
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        pick.now = now;
        assert_int_equal(picked(peers, &pick), 0);
        assert_int_equal(pick.probe, i > 0);
        assert_int_equal(ngx_http_cw_pick_failed(peer, &pick, &fails, now), 1);
        assert_int_equal(peer->pause, pauses[i]);
        assert_int_equal(peer->until, now + pauses[i]);
        now = peer->until;
    }
    pick.now = now;
    assert_int_equal(picked(peers, &pick), 0);
    assert_int_equal(ngx_http_cw_pick_answered(peer, &pick, now), 1);
    fails.max_fail_timeout = 1000;
    pick.marked = pick.probe = 0;
    assert_int_equal(ngx_http_cw_pick_failed(peer, &pick, &fails, now + 59), 1);
    assert_int_equal(peer->pause, 120); /* well for less than it was passed over */
    pick.marked = pick.probe = 1;
    assert_int_equal(ngx_http_cw_pick_answered(peer, &pick, now + 200), 1);
    pick.marked = pick.probe = 0;
    assert_int_equal(ngx_http_cw_pick_failed(peer, &pick, &fails, now + 320), 1);
    assert_int_equal(peer->pause, 10); /* forgiven */
}

static void only_failures_close_together_count(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 1);
    ngx_http_cw_fails_t fails = {3, 10, 60};
    ngx_http_cw_peer_t *peer = peers->peers;
    ngx_http_cw_pick_t pick = {0};
    ngx_msec_t times[] = {100, 105, 111, 112, 113};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        assert_int_equal(ngx_http_cw_pick_failed(peer, &pick, &fails, times[i]), i == 4);
    }
    peers->peers[1] = peers->peers[0];
    peers->peers[1].marked = 0;
    peers->peers[1].fails = 0;
    peers->peers[1].pause = 0;
    ngx_msec_t two_clocks[] = {100, 98, 99}; /* workers, each with the time that it has cached */
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ngx_http_cw_pick_failed(&peers->peers[1], &pick, &fails, two_clocks[i]),
                         i == 2);
    }
    fails.max_fails = 0;
    assert_int_equal(ngx_http_cw_pick_failed(&peers->peers[1], &pick, &fails, 100), 0);
}

static void the_weight_grows_from_a_tenth(void **state)
{
    ngx_http_cw_peer_t *peer = of(state, 1)->peers;
    struct {
        const char *sentence;
        ngx_msec_t slow_start, age;
        bool fresh;
        int weight;
    } rows[] = {
        {"just appeared", 1000, 0, true, 40},
        {"appeared a moment later, by another worker's clock", 1000, (ngx_msec_t)-5, true, 40},
        {"a tenth of the time", 1000, 100, true, 40},
        {"half the time", 1000, 500, true, 200},
        {"nearly over", 1000, 999, true, 396},
        {"over", 1000, 1000, true, 400},
        {"long over", 1000, 1000000, true, 400},
        {"was there from the start", 1000, 0, false, 400},
        {"no slow start", 0, 0, true, 400},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ngx_http_cw_pick_t pick = {.slow_start = rows[i].slow_start, .now = 7000000};
        peer->weight = 4;
        peer->fresh = rows[i].fresh;
        peer->since = pick.now - rows[i].age;
        if (ngx_http_cw_pick_weight(peer, &pick) != rows[i].weight) {
            fail_msg("%s", rows[i].sentence);
        }
    }
}

static void one_that_joins_others_gets_a_growing_share(void **state)
{
    ngx_http_cw_peers_t *peers = of(state, 2);
    ngx_http_cw_pick_t pick = {.slow_start = 10000};
    int shares[10] = {0};
    peers->peers[1].fresh = 1;
    for (int i = 0; i < 10000; i++) {
        pick.now = (ngx_msec_t)i;
        shares[i / 1000] += picked(peers, &pick) == 1;
    }
    assert_in_range(shares[0], 80, 110); /* 1 of 11 */
    assert_in_range(shares[9], 470, 500);
    for (int i = 1; i < 10; i++) {
        assert_true(shares[i] > shares[i - 1]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {
        TEST(round_robin_gives_each_its_share_smoothly),
        TEST(who_is_not_up_or_was_tried_or_speaks_tls_is_not_picked),
        TEST(an_added_instance_takes_its_part_of_the_keys_and_moves_no_other),
        TEST(a_lost_instance_gives_its_keys_to_all_others),
        TEST(keys_are_shared_by_weight),
        TEST(the_own_zone_comes_first_as_long_as_it_has_one),
        TEST(the_least_loaded_is_picked_by_what_it_can_do),
        TEST(what_a_dead_worker_held_is_given_back_and_no_more),
        TEST(when_all_are_marked_they_are_tried_all_the_same),
        TEST(one_request_finds_out_whether_a_marked_one_is_well),
        TEST(a_mark_lasts_longer_each_time_and_no_longer_than_it_may),
        TEST(only_failures_close_together_count),
        TEST(the_weight_grows_from_a_tenth),
        TEST(one_that_joins_others_gets_a_growing_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
