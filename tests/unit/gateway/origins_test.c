/* What protobuf-c writes as OriginService's WatchResponse the gateway reads into one block, finds
 * the origins of each domain there and no other's, and refuses what is no such message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clinicwave/token/v1/origin.pb-c.h"
#include "edge-gateway/ngx_http_cw_origins.h"

typedef Clinicwave__Token__V1__TenantOrigins Tenant;

enum { MANY = 10000, NAME = 64 };

static ngx_str_t text(const char *s)
{
    static u_char copies[8][512];
    static unsigned next;
    u_char *copy = copies[next++ % 8];
    ngx_str_t str = {strlen(s), copy};
    memcpy(copy, s, str.len);
    return str;
}

/* The caller frees `data`. */
static ngx_str_t packed(Tenant **tenants, size_t n)
{
    Clinicwave__Token__V1__WatchResponse response = CLINICWAVE__TOKEN__V1__WATCH_RESPONSE__INIT;
    response.epoch = UINT64_MAX;
    response.generation = 7;
    response.provisional = 1;
    response.tenants = tenants;
    response.n_tenants = n;
    size_t size = clinicwave__token__v1__watch_response__get_packed_size(&response);
    u_char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    return (ngx_str_t){clinicwave__token__v1__watch_response__pack(&response, bytes), bytes};
}

/* The caller frees it; it lies behind nothing else, so that a read too far is seen. */
static ngx_http_cw_origins_t *block_of(ngx_str_t message)
{
    ngx_http_cw_origins_snapshot_t snapshot;
    assert_int_equal(ngx_http_cw_origins_read(&message, &snapshot), NGX_OK);
    assert_true(snapshot.epoch == UINT64_MAX);
    assert_int_equal(snapshot.generation, 7);
    assert_int_equal(snapshot.provisional, 1);
    void *memory = malloc(snapshot.size);
    assert_non_null(memory);
    return ngx_http_cw_origins_make(memory, &message, &snapshot);
}

static bool allows(ngx_http_cw_origins_t *block, const char *domain, const char *origin)
{
    ngx_str_t d = text(domain);
    ngx_str_t o = text(origin);
    return ngx_http_cw_origins_find(block, &d, &o);
}

static void each_domain_has_its_tenants_origins_and_no_others(void **state)
{
    (void)state;
    char a[] = "a.example", www[] = "www.a.example", b[] = "b.example";
    char one[] = "https://one.example", two[] = "http://localhost:3000", three[] = "https://b";
    char *a_domains[] = {a, www}, *a_origins[] = {one, two}, *b_domains[] = {b},
         *b_origins[] = {three};
    Tenant ta = CLINICWAVE__TOKEN__V1__TENANT_ORIGINS__INIT;
    Tenant tb = CLINICWAVE__TOKEN__V1__TENANT_ORIGINS__INIT;
    ta.domains = a_domains;
    ta.n_domains = 2;
    ta.origins = a_origins;
    ta.n_origins = 2;
    tb.domains = b_domains;
    tb.n_domains = 1;
    tb.origins = b_origins;
    tb.n_origins = 1;
    Tenant *tenants[] = {&ta, &tb};
    ngx_str_t message = packed(tenants, 2);
    ngx_http_cw_origins_t *block = block_of(message);
    for (size_t i = 0; i < 2; i++) {
        assert_true(allows(block, a_domains[i], one));
        assert_true(allows(block, a_domains[i], two));
        assert_false(allows(block, a_domains[i], three));
    }
    assert_true(allows(block, b, three));
    assert_false(allows(block, b, one));
    static const char *const none[] = {"",
                                       "null",
                                       "https://one.exampl",
                                       "https://b.",
                                       "https://one.example.",
                                       "HTTPS://one.example",
                                       "https://one.example:443",
                                       "*"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        if (allows(block, a, none[i]) || allows(block, b, none[i])) {
            fail_msg("%s", none[i]);
        }
    }
    static const char *const nobody[] = {"", "c.example", "A.example", "x.a.example", "a.exampl"};
    for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
        if (allows(block, nobody[i], one) || allows(block, nobody[i], three)) {
            fail_msg("%s", nobody[i]);
        }
    }
    free(block);
    free(message.data);
}

static void nothing_allows_nothing(void **state)
{
    (void)state;
    Tenant empty = CLINICWAVE__TOKEN__V1__TENANT_ORIGINS__INIT;
    Tenant *tenants[] = {&empty};
    for (size_t n = 0; n < 2; n++) {
        ngx_str_t message = packed(tenants, n);
        ngx_http_cw_origins_t *block = block_of(message);
        assert_false(allows(block, "a.example", "https://a"));
        free(block);
        free(message.data);
    }
}

static void a_domain_named_twice_stays_with_the_first(void **state)
{
    (void)state;
    char domain[] = "a.example", first[] = "https://first", second[] = "https://second";
    char *domains[] = {domain}, *firsts[] = {first}, *seconds[] = {second};
    Tenant one = CLINICWAVE__TOKEN__V1__TENANT_ORIGINS__INIT;
    one.domains = domains;
    one.n_domains = 1;
    Tenant two = one;
    one.origins = firsts;
    one.n_origins = 1;
    two.origins = seconds;
    two.n_origins = 1;
    Tenant *tenants[] = {&one, &two};
    ngx_str_t message = packed(tenants, 2);
    ngx_http_cw_origins_t *block = block_of(message);
    assert_true(allows(block, domain, first));
    assert_false(allows(block, domain, second));
    free(block);
    free(message.data);
}

static void what_is_too_long_or_empty_is_passed_over_and_the_longest_is_not(void **state)
{
    (void)state;
    char longest_domain[NGX_HTTP_CW_ORIGIN_DOMAIN_MAX + 1] = "";
    char longest_origin[NGX_HTTP_CW_ORIGIN_MAX + 1] = "";
    char longer_domain[NGX_HTTP_CW_ORIGIN_DOMAIN_MAX + 2] = "";
    char longer_origin[NGX_HTTP_CW_ORIGIN_MAX + 2] = "";
    char empty[] = "";
    memset(longest_domain, 'd', NGX_HTTP_CW_ORIGIN_DOMAIN_MAX);
    memset(longest_origin, 'o', NGX_HTTP_CW_ORIGIN_MAX);
    memset(longer_domain, 'd', NGX_HTTP_CW_ORIGIN_DOMAIN_MAX + 1);
    memset(longer_origin, 'o', NGX_HTTP_CW_ORIGIN_MAX + 1);
    char *domains[] = {longer_domain, empty, longest_domain};
    char *origins[] = {longer_origin, empty, longest_origin};
    Tenant tenant = CLINICWAVE__TOKEN__V1__TENANT_ORIGINS__INIT;
    tenant.domains = domains;
    tenant.n_domains = 3;
    tenant.origins = origins;
    tenant.n_origins = 3;
    Tenant *tenants[] = {&tenant};
    ngx_str_t message = packed(tenants, 1);
    ngx_http_cw_origins_t *block = block_of(message);
    assert_true(allows(block, longest_domain, longest_origin));
    assert_false(allows(block, longer_domain, longest_origin));
    assert_false(allows(block, longest_domain, longer_origin));
    assert_false(allows(block, longest_domain, ""));
    free(block);
    free(message.data);
}

static void ten_thousand_tenants_are_told_apart(void **state)
{
    (void)state;
    static char domains[MANY][NAME], origins[MANY][NAME];
    static char *domain_of[MANY], *origin_of[MANY];
    static Tenant list[MANY];
    static Tenant *tenants[MANY];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(domains[i], NAME, "tenant-%zu.example", i);
        snprintf(origins[i], NAME, "https://portal-%zu.example", i);
        domain_of[i] = domains[i];
        origin_of[i] = origins[i];
        list[i] = (Tenant)CLINICWAVE__TOKEN__V1__TENANT_ORIGINS__INIT;
        list[i].domains = &domain_of[i];
        list[i].n_domains = 1;
        list[i].origins = &origin_of[i];
        list[i].n_origins = 1;
        tenants[i] = &list[i];
    }
    ngx_str_t message = packed(tenants, MANY);
    ngx_http_cw_origins_t *block = block_of(message);
    for (size_t i = 0; i < MANY; i++) {
        assert_true(allows(block, domains[i], origins[i]));
        assert_false(allows(block, domains[i], origins[(i + 1) % MANY]));
    }
    free(block);
    free(message.data);
}

static void what_is_no_message_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *bytes;
        size_t n;
    } cases[] = {
        {"a field number of 0", "\x00\x01", 2},
        {"a tenant that is a number", "\x20\x01", 2},
        {"a tenant longer than the message", "\x22\x05\x0a\x01", 4},
        {"a domain longer than its tenant", "\x22\x03\x0a\x05g", 5},
        {"an origin longer than its tenant", "\x22\x06\x0a\x01g\x12\x05o", 8},
        {"an unfinished number", "\x10\x80", 2},
        {"a group", "\x0b", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        u_char bytes[16];
        memcpy(bytes, cases[i].bytes, cases[i].n);
        ngx_str_t message = {cases[i].n, bytes};
        ngx_http_cw_origins_snapshot_t snapshot;
        if (ngx_http_cw_origins_read(&message, &snapshot) != NGX_ERROR) {
            fail_msg("%s", cases[i].what);
        }
    }
}

static void what_a_newer_sidecar_adds_is_passed_over(void **state)
{
    (void)state;
    /* fields 9 of the message and of the tenant, and a domain */
    u_char bytes[] = "\x4a\x01x\x22\x0d\x4a\x01x\x0a\x01g\x12\x01o\x48\x01\x18\x00";
    ngx_str_t message = {sizeof(bytes) - 1, bytes};
    ngx_http_cw_origins_snapshot_t snapshot;
    assert_int_equal(ngx_http_cw_origins_read(&message, &snapshot), NGX_OK);
    void *memory = malloc(snapshot.size);
    assert_non_null(memory);
    ngx_http_cw_origins_t *block = ngx_http_cw_origins_make(memory, &message, &snapshot);
    assert_true(allows(block, "g", "o"));
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_domain_has_its_tenants_origins_and_no_others),
        cmocka_unit_test(nothing_allows_nothing),
        cmocka_unit_test(a_domain_named_twice_stays_with_the_first),
        cmocka_unit_test(what_is_too_long_or_empty_is_passed_over_and_the_longest_is_not),
        cmocka_unit_test(ten_thousand_tenants_are_told_apart),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(what_a_newer_sidecar_adds_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
