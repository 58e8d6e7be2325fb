/* A CheckRequest as Envoy sends it, in both forms. */
#include "sidecar/ext_authz/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { HEADERS_MAX = 8 };

struct header {
    const char *name;
    const char *value;
};

/* protobuf-c's messages around the test's headers. */
struct world {
    struct cw_arena arena;
    struct request request;
    Envoy__Service__Auth__V3__CheckRequest message;
    Envoy__Service__Auth__V3__AttributeContext attributes;
    Envoy__Service__Auth__V3__AttributeContext__Request inner;
    Envoy__Service__Auth__V3__AttributeContext__HttpRequest http;
    Envoy__Service__Auth__V3__AttributeContext__HttpRequest__HeadersEntry entries[HEADERS_MAX];
    Envoy__Service__Auth__V3__AttributeContext__HttpRequest__HeadersEntry *entry_list[HEADERS_MAX];
    Envoy__Config__Core__V3__HeaderMap map;
    Envoy__Config__Core__V3__HeaderValue values[HEADERS_MAX];
    Envoy__Config__Core__V3__HeaderValue *value_list[HEADERS_MAX];
};

static char *text(struct world *world, const char *s)
{
    return cw_arena_dup(&world->arena, cw_str(s));
}

static void begin(struct world *world)
{
    memset(world, 0, sizeof(*world));
    world->arena = (struct cw_arena)CW_ARENA_INIT(64 * 1024);
    envoy__service__auth__v3__check_request__init(&world->message);
    envoy__service__auth__v3__attribute_context__init(&world->attributes);
    envoy__service__auth__v3__attribute_context__request__init(&world->inner);
    envoy__service__auth__v3__attribute_context__http_request__init(&world->http);
    world->message.attributes = &world->attributes;
    world->attributes.request = &world->inner;
    world->inner.http = &world->http;
    world->http.host = text(world, "clinicwave.com");
    world->http.path = text(world, "/a/x?y");
}

static void set_map(struct world *world, const struct header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        envoy__service__auth__v3__attribute_context__http_request__headers_entry__init(
            &world->entries[i]);
        world->entries[i].key = text(world, headers[i].name);
        world->entries[i].value = text(world, headers[i].value);
        world->entry_list[i] = &world->entries[i];
    }
    world->http.headers = world->entry_list;
    world->http.n_headers = n;
}

static void set_raw(struct world *world, const struct header *headers, size_t n)
{
    envoy__config__core__v3__header_map__init(&world->map);
    for (size_t i = 0; i < n; i++) {
        envoy__config__core__v3__header_value__init(&world->values[i]);
        world->values[i].key = text(world, headers[i].name);
        world->values[i].raw_value.data = (uint8_t *)text(world, headers[i].value);
        world->values[i].raw_value.len = strlen(headers[i].value);
        world->value_list[i] = &world->values[i];
    }
    world->map.headers = world->value_list;
    world->map.n_headers = n;
    world->http.header_map = &world->map;
}

static enum cw_err read_it(struct world *world)
{
    return request_read(&world->message, &world->arena, &world->request);
}

static void what_counts_is_read_in_both_forms(void **state)
{
    static const struct header headers[] = {
        {":authority", "other.example"},
        {"authorization", "Bearer good"},
        {"x_auth_subject", "root"},
        {"traceparent", "00-x"},
        {"content-type", "text/plain"},
        {"x-auth-roles", "admin"},
        {"x-other", "1"},
    };

    (void)state;
    for (int raw = 0; raw < 2; raw++) {
        struct world world;
        begin(&world);
        (raw ? set_raw : set_map)(&world, headers, CW_ARRAY_SIZE(headers));
        assert_int_equal(read_it(&world), CW_OK);
        const struct request *r = &world.request;
        assert_true(cw_str_is(r->host, "clinicwave.com"));
        assert_true(cw_str_is(r->path, "/a/x?y"));
        assert_true(cw_str_is(r->authorization, "Bearer good"));
        assert_int_equal(r->authorizations, 1);
        assert_true(cw_str_is(r->traceparent, "00-x"));
        assert_false(r->grpc);
        assert_int_equal(r->n_forged, 2);
        assert_string_equal(r->forged[0], "x_auth_subject");
        assert_string_equal(r->forged[1], "x-auth-roles");
        cw_arena_done(&world.arena);
    }
}

static void headers_that_come_twice_are_counted(void **state)
{
    static const struct header headers[] = {{"authorization", "Bearer a"},
                                            {"authorization", "Bearer b"}};
    struct world world;

    (void)state;
    begin(&world);
    set_raw(&world, headers, 2);
    assert_int_equal(read_it(&world), CW_OK);
    assert_int_equal(world.request.authorizations, 2);
    cw_arena_done(&world.arena);
    begin(&world);
    set_raw(&world, headers, 1);
    set_map(&world, headers + 1, 1); /* both forms at once: nobody sends that honestly */
    assert_int_equal(read_it(&world), CW_OK);
    assert_int_equal(world.request.authorizations, 2);
    cw_arena_done(&world.arena);
}

static void grpc_is_what_envoy_takes_for_it(void **state)
{
    static const struct {
        const char *type;
        bool grpc;
    } cases[] = {{"application/grpc", true},      {"application/grpc+proto", true},
                 {"application/grpc-web", false}, {"application/grpcx", false},
                 {"application/json", false},     {"", false}};

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        const struct header headers[] = {{"content-type", cases[i].type}};
        struct world world;
        begin(&world);
        set_map(&world, headers, 1);
        assert_int_equal(read_it(&world), CW_OK);
        assert_int_equal(world.request.grpc, cases[i].grpc);
        cw_arena_done(&world.arena);
    }
}

static void pseudo_headers_stand_in_for_host_and_path(void **state)
{
    static const struct header headers[] = {{":authority", "abott.com"}, {":path", "/b"}};
    static char empty[] = "";
    struct world world;

    (void)state;
    begin(&world);
    world.http.host = empty;
    world.http.path = empty;
    set_map(&world, headers, 2);
    assert_int_equal(read_it(&world), CW_OK);
    assert_true(cw_str_is(world.request.host, "abott.com"));
    assert_true(cw_str_is(world.request.path, "/b"));
    cw_arena_done(&world.arena);
}

static void what_tells_of_no_http_request_is_refused(void **state)
{
    static char empty[] = "";
    struct world world;

    (void)state;
    begin(&world);
    world.http.path = empty;
    assert_int_equal(read_it(&world), CW_REQUEST_MALFORMED);
    world.inner.http = NULL;
    assert_int_equal(read_it(&world), CW_REQUEST_MALFORMED);
    world.attributes.request = NULL;
    assert_int_equal(read_it(&world), CW_REQUEST_MALFORMED);
    world.message.attributes = NULL;
    assert_int_equal(read_it(&world), CW_REQUEST_MALFORMED);
    cw_arena_done(&world.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_counts_is_read_in_both_forms),
        cmocka_unit_test(headers_that_come_twice_are_counted),
        cmocka_unit_test(grpc_is_what_envoy_takes_for_it),
        cmocka_unit_test(pseudo_headers_stand_in_for_host_and_path),
        cmocka_unit_test(what_tells_of_no_http_request_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
