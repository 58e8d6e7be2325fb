/* The Eureka client with a network, a clock and a chance that the test holds: which requests go out
 * when, to which server, and what answers do. */
#include "tests/unit/sidecar/registry/fixture.h"

#include "sidecar/registry/eureka.h"

enum { CALLS_MAX = 600, POLL = 30000, BEAT = 30000 };

struct sent {
    char line[512]; /* `0 GET apps/` with the server's number before */
    char body[4096];
    eureka_answered *done; /* NULL: answered */
    void *arg;
};

struct net {
    struct fixture f;
    struct eureka_config config;
    struct eureka *eureka;
    struct sent sent[CALLS_MAX];
    size_t n;
    uint32_t chance;
    int64_t wall; /* added to the wall clock */
};

static enum cw_err net_start(void *ctx, const struct eureka_server *server,
                             const struct eureka_request *request, eureka_answered *done, void *arg)
{
    struct net *net = ctx;
    assert_true(net->n < CALLS_MAX);
    struct sent *sent = &net->sent[net->n++];
    snprintf(sent->line, sizeof(sent->line), "%d %s %s", (int)(server - net->config.servers),
             request->method, request->path);
    snprintf(sent->body, sizeof(sent->body), "%.*s", CW_STR_ARG(request->body));
    sent->done = done;
    sent->arg = arg;
    return CW_OK;
}

static enum cw_err net_random(void *ctx, void *bytes, size_t n)
{
    struct net *net = ctx;
    net->chance = net->chance * 1664525u + 1013904223u;
    memset(bytes, 0, n);
    memcpy(bytes, &net->chance, CW_MIN(n, sizeof(net->chance)));
    return CW_OK;
}

static void net_wake(void *ctx)
{
    (void)ctx;
}

static int64_t net_wall(void *ctx)
{
    struct net *net = (struct net *)ctx;
    return WALL + net->f.now + net->wall;
}

static struct cw_random net_chance;

static void net_begin(struct net *net)
{
    struct eureka_options options = {
        .config = &net->config,
        .store = net->f.store,
        .clock = &net->f.clock,
        .random = &net_chance,
        .transport = {net_start, net},
        .wake = net_wake,
    };
    net_chance = (struct cw_random){net_random, net};
    assert_int_equal(eureka_new(&options, &net->eureka), CW_OK);
}

/* Two servers, the first in our zone. */
static void net_open(struct net *net)
{
    memset(net, 0, sizeof(*net));
    fixture_open_settled(&net->f);
    net->config = (struct eureka_config){
        .servers = {{.base = "http://one/", .name = "http://one", .zone = "a"},
                    {.base = "http://two/", .name = "http://two", .zone = "b"}},
        .n_servers = 2,
        .fetch = true,
        .publish = true,
        .delta = true,
        .poll_ms = POLL,
        .hold_ms = 90000,
        .heartbeat_ms = BEAT,
        .lease_ms = 90000,
        .total_ms = 8000,
        .max_instances = 100,
        .max_document = 1 << 20,
        .zone = "a",
        .address = "192.168.7.7",
        .host_name = "host.example",
    };
    net_begin(net);
}

static void net_close(struct net *net)
{
    for (size_t i = 0; i < net->n; i++) {
        if (net->sent[i].done != NULL) {
            struct eureka_answer none = {.err = CW_CANCELLED, .content_type = "", .detail = ""};
            eureka_answered *done = net->sent[i].done;
            net->sent[i].done = NULL;
            done(net->sent[i].arg, &none);
        }
    }
    eureka_free(net->eureka);
    fixture_close(&net->f);
}

static struct sent *last(struct net *net)
{
    return net->n > 0 ? &net->sent[net->n - 1] : NULL;
}

/* The line of the newest request. */
static const char *line(struct net *net)
{
    return net->n > 0 ? last(net)->line : "";
}

static void reply(struct net *net, struct sent *sent, enum cw_err err, int status, const char *body)
{
    eureka_answered *done = sent->done;
    assert_non_null(done);
    sent->done = NULL;
    done(sent->arg, &(struct eureka_answer){.err = err,
                                            .status = status,
                                            .body = cw_str(body),
                                            .content_type = "application/json",
                                            .detail = ""});
    (void)eureka_tick(net->eureka);
}

static void answer(struct net *net, int status, const char *body)
{
    reply(net, last(net), CW_OK, status, body);
}

static void pass(struct net *net, int64_t ms)
{
    net->f.now += ms;
    (void)registry_store_tick(net->f.store);
    struct registry_snapshot *snapshot = registry_store_snapshot(net->f.store);
    eureka_sync(net->eureka, snapshot);
    registry_snapshot_unref(snapshot);
    (void)eureka_tick(net->eureka);
}

#define DOCUMENT(hash, list)                                                                       \
    "{\"applications\":{\"versions__delta\":\"1\",\"apps__hashcode\":\"" hash                      \
    "\",\"application\":[{\"name\":\"Y\",\"instance\":[" list "]}]}}"
#define INSTANCE(id, status, action)                                                               \
    "{\"instanceId\":\"" id "\",\"app\":\"Y\",\"hostName\":\"h\",\"ipAddr\":\"10.1.0.1\","         \
    "\"status\":\"" status "\",\"actionType\":\"" action "\"}"
#define EMPTY "{\"applications\":{\"apps__hashcode\":\"\",\"application\":[]}}"

/* ---- reading ---- */

static void all_first_then_what_changed(void **state)
{
    (void)state;
    struct net net;
    net_open(&net);
    pass(&net, 0);
    assert_string_equal(line(&net), "0 GET apps/");
    answer(&net, 200, DOCUMENT("UP_1_", INSTANCE("a", "UP", "ADDED")));
    assert_string_equal(fixture_list(&net.f), "Y/a:UP:e");
    assert_int_equal(net.n, 1);
    pass(&net, POLL * 8 / 10);
    assert_int_equal(net.n, 1);
    pass(&net, POLL * 4 / 10);
    assert_string_equal(line(&net), "0 GET apps/delta");
    answer(
        &net, 200,
        DOCUMENT("DOWN_1_UP_1_", INSTANCE("a", "UP", "ADDED") "," INSTANCE("b", "DOWN", "ADDED")));
    assert_string_equal(fixture_list(&net.f), "Y/a:UP:e Y/b:DOWN:e");
    net_close(&net);
}

static void polls_are_jittered(void **state)
{
    (void)state;
    struct net net;
    int64_t least = INT64_MAX, most = 0;
    net_open(&net);
    net.config.delta = false;
    pass(&net, 0);
    for (int i = 0; i < 30; i++) {
        reply(&net, last(&net), CW_OK, 200, EMPTY);
        size_t before = net.n;
        int64_t wait = eureka_tick(net.eureka);
        least = CW_MIN(least, wait);
        most = CW_MAX(most, wait);
        pass(&net, wait - 1);
        assert_int_equal(net.n, before);
        pass(&net, 1);
        assert_int_equal(net.n, before + 1);
    }
    assert_true(least >= POLL * 9 / 10 && most <= POLL * 11 / 10 && most - least > POLL / 20);
    net_close(&net);
}

static void a_wrong_hash_asks_for_all_less_and_less_often(void **state)
{
    (void)state;
    struct net net;
    int full = 0;
    net_open(&net);
    pass(&net, 0);
    answer(&net, 200, EMPTY);
    for (int poll = 0; poll < 40; poll++) {
        pass(&net, POLL * 11 / 10);
        assert_string_equal(line(&net), "0 GET apps/delta");
        answer(&net, 200, DOCUMENT("UP_9_", INSTANCE("a", "UP", "ADDED")));
        if (strcmp(line(&net), "0 GET apps/") == 0) {
            full++;
            answer(&net, 200, DOCUMENT("UP_9_", INSTANCE("a", "UP", "ADDED")));
        }
    }
    assert_in_range(full, 4, 8);
    assert_string_equal(fixture_list(&net.f), "Y/a:UP:e");
    pass(&net, POLL * 11 / 10);
    answer(&net, 200, DOCUMENT("UP_1_", INSTANCE("a", "UP", "ADDED"))); /* right again */
    pass(&net, POLL * 11 / 10);
    answer(&net, 200, DOCUMENT("UP_9_", INSTANCE("a", "UP", "ADDED")));
    assert_string_equal(line(&net), "0 GET apps/"); /* and at once if wrong anew */
    net_close(&net);
}

static void the_next_server_is_asked_at_once_and_kept(void **state)
{
    (void)state;
    struct net net;
    net_open(&net);
    pass(&net, 0);
    reply(&net, last(&net), CW_TIMEOUT, 0, "");
    assert_string_equal(line(&net), "1 GET apps/");
    answer(&net, 200, EMPTY);
    pass(&net, POLL * 11 / 10);
    assert_string_equal(line(&net), "1 GET apps/delta");
    answer(&net, 503, "");
    /* the first has had its time to recover */
    assert_string_equal(line(&net), "0 GET apps/delta");
    answer(&net, 200, EMPTY);
    struct eureka_stats stats;
    eureka_stats(net.eureka, &stats);
    assert_string_equal(stats.server, "http://one");
    assert_int_equal(stats.failovers, 2);
    assert_string_equal(stats.error, "");
    net_close(&net);
}

static void when_all_fail_what_is_known_stays_for_ever(void **state)
{
    (void)state;
    struct net net;
    struct eureka_stats stats;
    net_open(&net);
    pass(&net, 0);
    answer(&net, 200, DOCUMENT("UP_1_", INSTANCE("a", "UP", "ADDED")));
    for (int poll = 0; poll < 200; poll++) {
        pass(&net, POLL * 11 / 10);
        size_t before = net.n;
        answer(&net, 503, "");
        answer(&net, 502, "");
        assert_int_equal(net.n, before + 1); /* each server once */
        assert_string_equal(fixture_list(&net.f), "Y/a:UP:e");
    }
    eureka_stats(net.eureka, &stats);
    assert_true(stats.late && stats.age_ms >= 200 * POLL);
    assert_int_equal(stats.delta_failed, 200);
    assert_non_null(strstr(stats.error, "HTTP 50"));
    net_close(&net);
}

static void one_that_knows_nothing_asks_soon_again(void **state)
{
    (void)state;
    struct net net;
    net_open(&net);
    net.config.n_servers = 1;
    pass(&net, 0);
    for (int i = 0; i < 4; i++) {
        reply(&net, last(&net), CW_UNAVAILABLE, 0, "");
        size_t before = net.n;
        pass(&net, (1100 << i) + 1);
        assert_int_equal(net.n, before + 1);
    }
    net_close(&net);
}

/* ---- registering ---- */

static struct registry_lease lease;

static void serve(struct net *net, enum cw_eureka_status status, const char *id)
{
    struct registry_spec spec = fixture_spec("X", id);
    spec.eureka.status = status;
    spec.eureka.vip_address = spec.eureka.secure_vip_address = "x";
    assert_int_equal(registry_store_register(net->f.store, ALICE, &spec, &lease), CW_OK);
    pass(net, 0);
}

/* Registered at the servers, nothing on its way. */
static void net_serve(struct net *net)
{
    net_open(net);
    net->config.fetch = false;
    memset(&lease, 0, sizeof(lease));
    serve(net, CW_EUREKA_UP, "a/b c");
    assert_string_equal(line(net), "0 GET apps/X/a%2Fb%20c");
    answer(net, 404, "");
    assert_string_equal(line(net), "0 POST apps/X");
    answer(net, 204, "");
}

static void a_service_is_registered_and_beats(void **state)
{
    (void)state;
    struct net net;
    net_serve(&net);
    assert_non_null(strstr(last(&net)->body, "\"ipAddr\":\"192.168.7.7\""));
    assert_non_null(strstr(last(&net)->body, "\"hostName\":\"host.example\""));
    assert_non_null(strstr(last(&net)->body, "\"zone\":\"a\""));
    assert_non_null(strstr(last(&net)->body, "\"vipAddress\":\"x\""));
    assert_non_null(strstr(last(&net)->body, "\"port\":{\"$\":9000,\"@enabled\":\"true\"}"));
    size_t before = net.n;
    pass(&net, BEAT);
    assert_int_equal(net.n, before + 1);
    assert_string_equal(line(&net), "0 PUT apps/X/a%2Fb%20c?status=UP&lastDirtyTimestamp=1000000");
    answer(&net, 200, "");
    pass(&net, BEAT - 1);
    assert_int_equal(net.n, before + 1);
    pass(&net, 1);
    assert_int_equal(net.n, before + 2);
    net_close(&net);
}

static void a_server_that_forgot_is_told_again(void **state)
{
    (void)state;
    struct net net;
    net_serve(&net);
    pass(&net, BEAT);
    net.f.clock.wall_ms = net_wall; /* the clock is set back by a day meanwhile */
    net.f.clock.ctx = &net;
    net.wall = -86400000;
    answer(&net, 404, "{\"timestamp\":1,\"status\":404}");
    assert_string_equal(line(&net), "0 POST apps/X");
    assert_non_null(strstr(last(&net)->body, "\"lastDirtyTimestamp\":\"1000001\""));
    answer(&net, 204, "");
    net_close(&net);
}

static void a_record_of_the_future_is_outbid(void **state)
{
    (void)state;
    struct net net;
    net_open(&net);
    net.config.fetch = false;
    memset(&lease, 0, sizeof(lease));
    serve(&net, CW_EUREKA_UP, "a");
    answer(&net, 200, "{\"instance\":" INSTANCE("a", "UP", "ADDED") "}");
    assert_non_null(strstr(last(&net)->body, "\"lastDirtyTimestamp\":\"1000000\""));
    net_close(&net);

    net_open(&net);
    net.config.fetch = false;
    memset(&lease, 0, sizeof(lease));
    serve(&net, CW_EUREKA_UP, "a");
    answer(&net, 200,
           "{\"instance\":{\"instanceId\":\"a\",\"app\":\"X\",\"hostName\":\"h\",\"ipAddr\":\"1.1."
           "1.1\","
           "\"lastDirtyTimestamp\":\"9000000\"}}");
    assert_non_null(strstr(last(&net)->body, "\"lastDirtyTimestamp\":\"9000001\""));
    net_close(&net);
}

static void draining_is_an_override(void **state)
{
    (void)state;
    struct net net;
    net_serve(&net);
    serve(&net, CW_EUREKA_OUT_OF_SERVICE, "a/b c");
    assert_non_null(strstr(line(&net), "0 PUT apps/X/a%2Fb%20c/status?value=OUT_OF_SERVICE&"));
    answer(&net, 200, "");
    assert_string_equal(line(&net), "0 POST apps/X");
    answer(&net, 204, "");
    pass(&net, BEAT);
    assert_non_null(strstr(line(&net), "?status=OUT_OF_SERVICE&"));
    answer(&net, 200, "");
    serve(&net, CW_EUREKA_UP, "a/b c");
    /* never without a value: that would make it UNKNOWN */
    assert_non_null(strstr(line(&net), "0 DELETE apps/X/a%2Fb%20c/status?value=UP&"));
    answer(&net, 200, "");
    answer(&net, 204, "");
    registry_store_release(net.f.store, &lease);
    pass(&net, 0);
    assert_string_equal(line(&net), "0 DELETE apps/X/a%2Fb%20c");
    answer(&net, 200, "");
    size_t before = net.n;
    pass(&net, 10 * BEAT);
    assert_int_equal(net.n, before);
    net_close(&net);
}

static void what_left_is_not_brought_back_by_an_old_delta(void **state)
{
    (void)state;
    struct net net;
    net_open(&net);
    memset(&lease, 0, sizeof(lease));
    struct registry_spec spec = fixture_spec("Y", "mine");
    assert_int_equal(registry_store_register(net.f.store, ALICE, &spec, &lease), CW_OK);
    pass(&net, 0); /* the fetch, and the look */
    assert_int_equal(net.n, 2);
    struct sent *fetch = &net.sent[0];
    answer(&net, 404, "");
    answer(&net, 204, "");
    registry_store_release(net.f.store, &lease);
    pass(&net, 0);
    assert_string_equal(line(&net), "0 DELETE apps/Y/mine");
    answer(&net, 200, "");
    reply(&net, fetch, CW_OK, 200, DOCUMENT("UP_1_", INSTANCE("mine", "UP", "ADDED")));
    assert_string_equal(fixture_list(&net.f), "");
    net_close(&net);
}

static void an_end_is_told_to_whoever_answers(void **state)
{
    (void)state;
    struct net net;
    net_serve(&net);
    registry_store_release(net.f.store, &lease);
    pass(&net, 0);
    reply(&net, last(&net), CW_TIMEOUT, 0, "");
    assert_string_equal(line(&net), "1 DELETE apps/X/a%2Fb%20c");
    reply(&net, last(&net), CW_TIMEOUT, 0, "");
    size_t before = net.n;
    pass(&net, 1200);
    assert_int_equal(net.n, before + 1);
    answer(&net, 404, ""); /* somebody was faster */
    pass(&net, 10 * BEAT);
    assert_int_equal(net.n, before + 1);
    net_close(&net);
}

static void a_stop_takes_nobody_out(void **state)
{
    (void)state;
    struct net net;
    net_serve(&net);
    size_t before = net.n;
    eureka_stop(net.eureka, 0);
    pass(&net, 10 * BEAT);
    assert_int_equal(net.n, before);
    net_close(&net);
}

static void heartbeats_of_many_are_spread(void **state)
{
    (void)state;
    enum { MANY = 100, SLICES = 10 };
    struct net net;
    int beats[SLICES] = {0};
    net_open(&net);
    net.config.fetch = false;
    for (int i = 0; i < MANY; i++) {
        char id[8];
        struct registry_lease one = {0};
        snprintf(id, sizeof(id), "%d", i);
        struct registry_spec spec = fixture_spec("X", id);
        assert_int_equal(registry_store_register(net.f.store, ALICE, &spec, &one), CW_OK);
    }
    pass(&net, 0);
    assert_int_equal(net.n, 8); /* not all at a time */
    for (size_t i = 0; i < net.n; i++) {
        reply(&net, &net.sent[i], CW_OK, strstr(net.sent[i].line, "GET") != NULL ? 404 : 204, "");
    }
    assert_int_equal(net.n, 2 * MANY);
    for (int slice = 0; slice < SLICES; slice++) {
        size_t before = net.n;
        pass(&net, BEAT / SLICES);
        for (size_t i = before; i < net.n; i++) {
            reply(&net, &net.sent[i], CW_OK, 200, "");
            beats[slice]++;
        }
    }
    for (int slice = 0; slice < SLICES; slice++) {
        assert_in_range(beats[slice], 1, MANY / 4);
    }
    net_close(&net);
}

/* ---- URLs ---- */

static void a_url_is_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *url, *base, *user, *password;
        bool loopback;
    } rows[] = {
        {"http://h:8761/eureka/", "http://h:8761/eureka/", NULL, NULL, false},
        {" https://h/eureka ", "https://h/eureka/", NULL, NULL, false},
        {"http://h", "http://h/", NULL, NULL, false},
        {"http://u:p@127.0.0.1:1/e", "http://127.0.0.1:1/e/", "u", "p", true},
        {"http://u:a:b@c%40d%@[::1]:1/e", "http://[::1]:1/e/", "u", "a:b@c@d%", true},
        {"http://u%3Av:%2525@localhost/", "http://localhost/", "u:v", "%25", true},
        {"http://u@h/", "http://h/", "u", "", false},
        {"ftp://h/", NULL, NULL, NULL, false},
        {"http:///eureka", NULL, NULL, NULL, false},
        {"http://h//eureka/", NULL, NULL, NULL, false},
        {"http://h/e?x=1", NULL, NULL, NULL, false},
        {"http://h h/", NULL, NULL, NULL, false},
        {"http://u:%0a@h/", NULL, NULL, NULL, false},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        struct cw_arena arena = CW_ARENA_INIT(65536);
        struct eureka_server server;
        enum cw_err err = eureka_server_parse(&arena, cw_str(rows[i].url), &server);
        if (rows[i].base == NULL) {
            assert_int_equal(err, CW_CONFIG_INVALID);
        } else {
            assert_int_equal(err, CW_OK);
            assert_string_equal(server.base, rows[i].base);
            assert_true(cw_str_eq(cw_str(server.user), cw_str(rows[i].user)));
            assert_true(cw_str_eq(cw_secret_str(&server.password), cw_str(rows[i].password)));
            assert_int_equal(server.loopback, rows[i].loopback);
            cw_secret_done(&server.password);
        }
        cw_arena_done(&arena);
    }
}

static void the_own_zone_is_asked_first_and_a_fleet_spreads(void **state)
{
    (void)state;
    struct net net = {0};
    struct eureka_config config = {
        .servers = {{.zone = "b"}, {.zone = "a"}, {.zone = "a"}, {.zone = NULL}}, .n_servers = 4};
    int firsts[4] = {0};
    net_chance = (struct cw_random){net_random, &net};
    for (int i = 0; i < 200; i++) {
        struct eureka_servers servers;
        eureka_servers_init(&servers, &config, "a", &net_chance, 0);
        size_t first = eureka_servers_pick(&servers, 0, 0);
        firsts[first]++;
        uint32_t tried = 0;
        for (int n = 0; n < 4; n++) {
            size_t server = eureka_servers_pick(&servers, tried, 0);
            assert_true(n >= 2 || config.servers[server].zone[0] == 'a');
            tried |= UINT32_C(1) << server;
        }
        assert_true(eureka_servers_pick(&servers, tried, 0) == EUREKA_NO_SERVER);
    }
    assert_true(firsts[1] > 50 && firsts[2] > 50 && firsts[0] + firsts[3] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_first_then_what_changed),
        cmocka_unit_test(polls_are_jittered),
        cmocka_unit_test(a_wrong_hash_asks_for_all_less_and_less_often),
        cmocka_unit_test(the_next_server_is_asked_at_once_and_kept),
        cmocka_unit_test(when_all_fail_what_is_known_stays_for_ever),
        cmocka_unit_test(one_that_knows_nothing_asks_soon_again),
        cmocka_unit_test(a_service_is_registered_and_beats),
        cmocka_unit_test(a_server_that_forgot_is_told_again),
        cmocka_unit_test(a_record_of_the_future_is_outbid),
        cmocka_unit_test(draining_is_an_override),
        cmocka_unit_test(what_left_is_not_brought_back_by_an_old_delta),
        cmocka_unit_test(an_end_is_told_to_whoever_answers),
        cmocka_unit_test(a_stop_takes_nobody_out),
        cmocka_unit_test(heartbeats_of_many_are_spread),
        cmocka_unit_test(a_url_is_taken_apart),
        cmocka_unit_test(the_own_zone_is_asked_first_and_a_fleet_spreads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
