/* What protobuf-c writes as a WatchResponse the gateway reads, and what it reads amiss it refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clinicwave/discovery/v1/discovery.pb-c.h"
#include "edge-gateway/ngx_http_cw_pick.h"
#include "edge-gateway/ngx_http_cw_watch.h"

typedef Clinicwave__Discovery__V1__Instance Instance;
typedef Clinicwave__Discovery__V1__Instance__MetadataEntry Pair;

static u_char bytes[4096];

/* One application "X" with this instance, packed. */
static ngx_str_t packed(Instance *instance)
{
    Clinicwave__Discovery__V1__Application app = CLINICWAVE__DISCOVERY__V1__APPLICATION__INIT;
    Clinicwave__Discovery__V1__Application *apps[] = {&app};
    Clinicwave__Discovery__V1__WatchResponse response =
        CLINICWAVE__DISCOVERY__V1__WATCH_RESPONSE__INIT;
    char name[] = "X";
    app.name = name;
    app.n_instances = 1;
    app.instances = &instance;
    response.generation = 1764000000007;
    response.provisional = 1;
    response.n_applications = 1;
    response.applications = apps;
    assert_in_range(clinicwave__discovery__v1__watch_response__get_packed_size(&response), 1,
                    sizeof(bytes));
    return (ngx_str_t){clinicwave__discovery__v1__watch_response__pack(&response, bytes), bytes};
}

static ngx_int_t read_one(ngx_str_t message, ngx_http_cw_watch_instance_t *instance)
{
    ngx_http_cw_watch_snapshot_t snapshot;
    ngx_http_cw_watch_app_t app;
    assert_int_equal(ngx_http_cw_watch_snapshot(&message, &snapshot), NGX_OK);
    assert_true(snapshot.generation == 1764000000007);
    assert_int_equal(snapshot.provisional, 1);
    assert_int_equal(ngx_http_cw_watch_app(&message, &app), NGX_OK);
    assert_int_equal(app.name.len, 1);
    assert_int_equal(app.name.data[0], 'X');
    ngx_int_t rc = ngx_http_cw_watch_instance(&app.instances, instance);
    ngx_http_cw_watch_instance_t another;
    assert_int_equal(ngx_http_cw_watch_instance(&app.instances, &another), NGX_DONE);
    assert_int_equal(ngx_http_cw_watch_app(&message, &app), NGX_DONE);
    return rc;
}

static void places_are_read(void **state)
{
    (void)state;
    struct {
        const char *sentence;
        char address[64];
        uint32_t port;
        char socket[256];
        ngx_int_t rc;
        int family;
    } rows[] = {
        {"IPv4", "10.0.0.5", 8080, "", NGX_OK, AF_INET},
        {"IPv6", "fd00::5", 8080, "", NGX_OK, AF_INET6},
        {"a Unix socket", "", 0, "/run/x.sock", NGX_OK, AF_UNIX},
        {"a Unix socket is stronger than an address", "10.0.0.5", 1, "/run/x.sock", NGX_OK,
         AF_UNIX},
        {"no port", "10.0.0.5", 0, "", NGX_DECLINED, 0},
        {"a port too large", "10.0.0.5", 65536, "", NGX_DECLINED, 0},
        {"a name", "localhost", 80, "", NGX_DECLINED, 0},
        {"a number", "2130706433", 80, "", NGX_DECLINED, 0},
        {"nothing", "", 80, "", NGX_DECLINED, 0},
        {"a relative socket", "", 0, "x.sock", NGX_DECLINED, 0},
        {"an address too long", "0000000000000000000000000000000000000000000000000000000::1", 80,
         "", NGX_DECLINED, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        Instance instance = CLINICWAVE__DISCOVERY__V1__INSTANCE__INIT;
        ngx_http_cw_watch_instance_t got;
        instance.address = rows[i].address;
        instance.port = rows[i].port;
        instance.socket_path = rows[i].socket;
        ngx_int_t rc = read_one(packed(&instance), &got);
        if (rc != rows[i].rc || (rc == NGX_OK && got.addr.sockaddr.sa_family != rows[i].family)) {
            fail_msg("%s: %ld", rows[i].sentence, (long)rc);
        }
    }
    char path[256];
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    Instance instance = CLINICWAVE__DISCOVERY__V1__INSTANCE__INIT;
    ngx_http_cw_watch_instance_t got;
    instance.socket_path = path;
    path[108] = '\0'; /* sun_path without its NUL */
    assert_int_equal(read_one(packed(&instance), &got), NGX_DECLINED);
    path[107] = '\0';
    assert_int_equal(read_one(packed(&instance), &got), NGX_OK);
    assert_string_equal(got.addr.un.sun_path, path);
}

static void an_address_and_port_arrive_as_they_are(void **state)
{
    (void)state;
    char address[] = "10.1.2.3", id[] = "a";
    Instance instance = CLINICWAVE__DISCOVERY__V1__INSTANCE__INIT;
    ngx_http_cw_watch_instance_t got;
    instance.address = address;
    instance.port = 8081;
    instance.instance_id = id;
    instance.secure = 1;
    assert_int_equal(read_one(packed(&instance), &got), NGX_OK);
    assert_int_equal(ntohs(got.addr.in.sin_port), 8081);
    assert_int_equal(ntohl(got.addr.in.sin_addr.s_addr), 0x0a010203);
    assert_int_equal(got.socklen, sizeof(struct sockaddr_in));
    assert_true(got.secure);
    assert_int_equal(got.id.len, 1);
}

static void only_up_is_up(void **state)
{
    (void)state;
    char address[] = "10.1.2.3";
    for (int status = -1; status < 9; status++) {
        Instance instance = CLINICWAVE__DISCOVERY__V1__INSTANCE__INIT;
        ngx_http_cw_watch_instance_t got;
        instance.address = address;
        instance.port = 1;
        instance.status = (Clinicwave__Discovery__V1__InstanceStatus)status;
        assert_int_equal(read_one(packed(&instance), &got), NGX_OK);
        assert_int_equal(got.up, status == 1);
    }
}

static void a_zone_is_known_by_its_name(void **state)
{
    (void)state;
    struct {
        char key[16], value[16];
        bool zone, same;
    } rows[] = {{"zone", "eu-1a", true, true},   {"zone", "eu-1b", true, false},
                {"zone", "EU-1A", true, false},  {"zone", "", false, false},
                {"Zone", "eu-1a", false, false}, {"zones", "eu-1a", false, false}};
    char address[] = "10.1.2.3";
    uint64_t own = ngx_http_cw_pick_hash((u_char *)rows[0].value, strlen(rows[0].value));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        Instance instance = CLINICWAVE__DISCOVERY__V1__INSTANCE__INIT;
        Pair pair = CLINICWAVE__DISCOVERY__V1__INSTANCE__METADATA_ENTRY__INIT;
        Pair *pairs[] = {&pair};
        ngx_http_cw_watch_instance_t got;
        pair.key = rows[i].key;
        pair.value = rows[i].value;
        instance.metadata = pairs;
        instance.n_metadata = 1;
        instance.address = address;
        instance.port = 1;
        assert_int_equal(read_one(packed(&instance), &got), NGX_OK);
        if ((got.zone != 0) != rows[i].zone || (got.zone == own) != rows[i].same) {
            fail_msg("%s=%s", rows[i].key, rows[i].value);
        }
    }
}

static void weights_have_bounds(void **state)
{
    (void)state;
    struct {
        char key[16], value[16];
        ngx_uint_t weight;
    } rows[] = {{"weight", "5", 5},  {"weight", "1000", 1000}, {"weight", "1001", 1},
                {"weight", "0", 1},  {"weight", "-1", 1},      {"weight", "1x", 1},
                {"weight", "", 1},   {"weight", "99999", 1},   {"Weight", "5", 1},
                {"weights", "5", 1}, {"zone", "5", 1}};
    char address[] = "10.1.2.3";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        Instance instance = CLINICWAVE__DISCOVERY__V1__INSTANCE__INIT;
        Pair pair = CLINICWAVE__DISCOVERY__V1__INSTANCE__METADATA_ENTRY__INIT;
        Pair *pairs[] = {&pair};
        ngx_http_cw_watch_instance_t got;
        pair.key = rows[i].key;
        pair.value = rows[i].value;
        instance.metadata = pairs;
        instance.n_metadata = 1;
        instance.address = address;
        instance.port = 1;
        assert_int_equal(read_one(packed(&instance), &got), NGX_OK);
        if (got.weight != rows[i].weight) {
            fail_msg("%s=%s: %lu", rows[i].key, rows[i].value, (unsigned long)got.weight);
        }
    }
}

static void what_is_cut_off_is_refused_whole(void **state)
{
    (void)state;
    char address[] = "10.1.2.3";
    Instance instance = CLINICWAVE__DISCOVERY__V1__INSTANCE__INIT;
    ngx_http_cw_watch_snapshot_t snapshot;
    instance.address = address;
    instance.port = 1;
    ngx_str_t whole = packed(&instance);
    size_t refused = 0;
    for (size_t n = 0; n < whole.len; n++) {
        ngx_str_t cut = {n, whole.data};
        refused += ngx_http_cw_watch_snapshot(&cut, &snapshot) == NGX_ERROR;
    }
    assert_true(refused > whole.len / 2); /* ends between two fields are messages, too */
    static u_char wrong[] = {0x10, 0x01}; /* applications as a number */
    assert_int_equal(ngx_http_cw_watch_snapshot(&(ngx_str_t){2, wrong}, &snapshot), NGX_ERROR);
    assert_int_equal(ngx_http_cw_watch_snapshot(&(ngx_str_t){0, wrong}, &snapshot), NGX_OK);
}

static void protobuf_c_reads_the_request(void **state)
{
    (void)state;
    u_char first[] = "STORAGE-SERVICE", second[] = "X";
    ngx_str_t names[] = {{15, first}, {1, second}};
    size_t n = ngx_http_cw_watch_request(NULL, names, 2);
    assert_in_range(n, 1, sizeof(bytes));
    assert_int_equal(ngx_http_cw_watch_request(bytes, names, 2), n);
    Clinicwave__Discovery__V1__WatchRequest *m =
        clinicwave__discovery__v1__watch_request__unpack(NULL, n, bytes);
    assert_non_null(m);
    assert_int_equal(m->n_applications, 2);
    assert_string_equal(m->applications[0], "STORAGE-SERVICE");
    assert_string_equal(m->applications[1], "X");
    clinicwave__discovery__v1__watch_request__free_unpacked(m, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_read),
        cmocka_unit_test(an_address_and_port_arrive_as_they_are),
        cmocka_unit_test(only_up_is_up),
        cmocka_unit_test(a_zone_is_known_by_its_name),
        cmocka_unit_test(weights_have_bounds),
        cmocka_unit_test(what_is_cut_off_is_refused_whole),
        cmocka_unit_test(protobuf_c_reads_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
