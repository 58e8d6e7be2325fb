/* Tenants by domain: checked, merged, swapped. */
#include "sidecar/tenants/tenants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/origin.h"
#include "proto/clinicwave/identity/v1/tenant.pb-c.h"
#include "tests/unit/sidecar/world.h"

#define S(text) CW_STR_INIT(text)
#define LIST(...)                                                                                  \
    {                                                                                              \
        (struct cw_str[]){__VA_ARGS__},                                                            \
            sizeof((struct cw_str[]){__VA_ARGS__}) / sizeof(struct cw_str)                         \
    }

struct fixture {
    struct world world;
    struct cw_key_store *keys;
    struct tenants *tenants;
    unsigned changes;
    bool heard; /* at the last change */
    struct cw_buf problems;
};

static void changed(void *ctx)
{
    struct fixture *f = ctx;

    f->changes++;
    f->heard = tenants_feed_heard(f->tenants);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    world_init(&f->world);
    f->problems.max = TENANTS_PROBLEMS_MAX;
    f->keys = world_store(&f->world, NULL);
    struct tenants_config config = {
        .keys = f->keys, .clock = &f->world.clock, .changed = changed, .ctx = f};
    f->tenants = tenants_new(&config);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tenants_free(f->tenants);
    cw_key_store_stop(f->keys);
    cw_key_store_free(f->keys);
    cw_buf_done(&f->problems);
    free(f);
    return 0;
}

static struct issuer_spec issuer = {.issuer = S("https://i.example/")};

static struct tenant_spec spec_of(const char *name, struct cw_str *domains, size_t n)
{
    static struct cw_str audiences[] = {S("api")};

    return (struct tenant_spec){.name = cw_str(name),
                                .domains = {domains, n},
                                .audiences = {audiences, 1},
                                .issuers = &issuer,
                                .n_issuers = 1};
}

/* Name of the tenant that serves a domain; "" for none. */
static const char *who(struct fixture *f, const char *domain, uint64_t *ret_generation)
{
    static char name[TENANT_NAME_MAX + 1];
    struct tenants_set *set = tenants_get(f->tenants);
    const struct tenant *tenant = tenants_set_find(set, cw_str(domain));

    memset(name, 0, sizeof(name));
    if (tenant) {
        memcpy(name, tenant->name.p, tenant->name.n);
    }
    if (ret_generation) {
        *ret_generation = tenant ? tenant->generation : 0;
    }
    tenants_set_unref(set);
    return name;
}

static void domains_are_found_in_any_spelling(void **state)
{
    struct fixture *f = *state;
    struct cw_str domains[] = {S("Clinic.Example"), S("b\xc3\xbc"
                                                      "cher.example")};
    struct tenant_spec spec = spec_of("clinic", domains, 2);
    static const char *const spellings[] = {"clinic.example",
                                            "CLINIC.EXAMPLE",
                                            "clinic.example.",
                                            "clinic.example:8443",
                                            "Clinic.example.:80",
                                            "xn--bcher-kva.example",
                                            ("b\xc3\xbc"
                                             "cher.example")};
    static const char *const others[] = {"",
                                         "example",
                                         "x.clinic.example",
                                         "clinic",
                                         "clinic.example..",
                                         "clinic..example",
                                         "clinic.example@evil",
                                         "clinic.example/",
                                         "clinic.example\n"};

    assert_int_equal(tenants_configure(f->tenants, &spec, 1, &f->problems), CW_OK);
    for (size_t i = 0; i < CW_ARRAY_SIZE(spellings); i++) {
        if (strcmp(who(f, spellings[i], NULL), "clinic") != 0) {
            fail_msg("%s", spellings[i]);
        }
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(others); i++) {
        if (who(f, others[i], NULL)[0]) {
            fail_msg("%s", others[i]);
        }
    }
}

static void a_tenant_that_did_not_change_keeps_its_generation(void **state)
{
    struct fixture *f = *state;
    struct cw_str a[] = {S("a.example")};
    struct cw_str b[] = {S("b.example")};
    struct cw_str c[] = {S("c.example")};
    struct tenant_spec specs[] = {spec_of("a", a, 1), spec_of("b", b, 1), spec_of("c", c, 1)};
    uint64_t generation_a;
    uint64_t generation_b;
    uint64_t now;

    assert_int_equal(tenants_configure(f->tenants, specs, 2, &f->problems), CW_OK);
    (void)who(f, "a.example", &generation_a);
    (void)who(f, "b.example", &generation_b);
    assert_true(generation_a && generation_b && generation_a != generation_b);
    specs[1].audiences = (struct cw_str_list)LIST(S("other"));
    assert_int_equal(tenants_configure(f->tenants, specs, 3, &f->problems), CW_OK);
    assert_int_equal(f->changes, 2);
    (void)who(f, "a.example", &now);
    assert_int_equal(now, generation_a);
    (void)who(f, "b.example", &now);
    assert_true(now > generation_b);
    assert_string_equal(who(f, "c.example", NULL), "c");
}

/* A verdict does not depend on them, so no cached token may be lost for them. */
static void other_origins_are_published_under_the_same_generation(void **state)
{
    struct fixture *f = *state;
    struct cw_str domain[] = {S("a.example")};
    struct cw_str origins[] = {S("https://one.example"), S("https://two.example")};
    struct tenant_spec spec = spec_of("a", domain, 1);
    uint64_t before;
    uint64_t now;

    spec.origins = (struct cw_str_list){origins, 1};
    assert_int_equal(tenants_configure(f->tenants, &spec, 1, &f->problems), CW_OK);
    (void)who(f, "a.example", &before);
    for (size_t i = 0; i < 2; i++) {
        size_t n = i == 0 ? 2 : 0;
        spec.origins.n = n;
        assert_int_equal(tenants_configure(f->tenants, &spec, 1, &f->problems), CW_OK);
        (void)who(f, "a.example", &now);
        assert_int_equal(now, before);
        struct tenants_set *set = tenants_get(f->tenants);
        const struct tenant *tenant = tenants_set_find(set, CW_STR("a.example"));
        assert_int_equal(tenant->origins.n, n);
        assert_true(n == 0 || cw_str_eq(tenant->origins.items[1], origins[1]));
        tenants_set_unref(set);
    }
    assert_int_equal(f->changes, 3);
}

/* What the feed says of pages costs a tenant no login. */
static void learned_origins_that_are_none_are_left_out_and_told(void **state)
{
    struct fixture *f = *state;
    Clinicwave__Identity__V1__WatchResponse response;
    Clinicwave__Identity__V1__Tenant tenant;
    Clinicwave__Identity__V1__Issuer trusted;
    Clinicwave__Identity__V1__Tenant *tenants[] = {&tenant};
    Clinicwave__Identity__V1__Issuer *issuers[] = {&trusted};
    char name[] = "a", domain[] = "a.example", audience[] = "api", url[] = "https://i.example/";
    char epoch[] = "one", bad[] = "https://*.example", good[] = "https://one.example";
    char *domains[] = {domain}, *audiences[] = {audience}, *origins[CW_ORIGINS_MAX + 2] = {bad};
    uint8_t packed[8192];

    for (size_t i = 1; i < CW_ARRAY_SIZE(origins); i++) {
        origins[i] = good;
    }
    clinicwave__identity__v1__watch_response__init(&response);
    clinicwave__identity__v1__tenant__init(&tenant);
    clinicwave__identity__v1__issuer__init(&trusted);
    trusted.issuer = url;
    tenant.name = name;
    tenant.domains = domains;
    tenant.audiences = audiences;
    tenant.issuers = issuers;
    tenant.origins = origins;
    tenant.n_domains = tenant.n_audiences = tenant.n_issuers = 1;
    tenant.n_origins = CW_ARRAY_SIZE(origins);
    response.generation = 1;
    response.epoch = epoch;
    response.tenants = tenants;
    response.n_tenants = 1;
    size_t n = clinicwave__identity__v1__watch_response__get_packed_size(&response);
    assert_in_range(n, 1, sizeof(packed));
    clinicwave__identity__v1__watch_response__pack(&response, packed);
    assert_false(tenants_feed_heard(f->tenants));
    assert_int_equal(
        tenants_learn(f->tenants, (struct cw_str){(const char *)packed, n}, &f->problems), CW_OK);
    assert_true(f->heard && tenants_feed_heard(f->tenants)); /* who is woken may rely on it */
    struct tenants_set *set = tenants_get(f->tenants);
    const struct tenant *found = tenants_set_find(set, CW_STR("a.example"));
    assert_non_null(found);
    assert_int_equal(found->origins.n, CW_ORIGINS_MAX);
    assert_true(cw_str_is(found->origins.items[0], good));
    tenants_set_unref(set);
    cw_buf_add_char(&f->problems, '\0');
    assert_non_null(strstr(f->problems.p, "https://*.example\" has a wildcard"));
    assert_non_null(strstr(f->problems.p, "one too many"));
}

static void what_makes_a_configuration_bad(void **state)
{
    struct fixture *f = *state;
    struct cw_str good[] = {S("good.example")};
    struct cw_str domain[] = {S("a.example")};
    struct issuer_spec issuers[2] = {issuer, issuer};
    struct tenant_spec specs[2] = {spec_of("good", good, 1), spec_of("a", domain, 1)};
    struct cw_str bad_domain[] = {S("no domain")};
    struct cw_str wild[] = {S("https://*.example")};
    struct cw_str many[CW_ORIGINS_MAX + 1];
    struct tenant_spec bad_origin = spec_of("a", domain, 1);
    struct tenant_spec many_origins = spec_of("a", domain, 1);
    struct cw_str same[] = {S("GOOD.example.")};
    for (size_t i = 0; i < CW_ARRAY_SIZE(many); i++) {
        many[i] = CW_STR("https://portal.example");
    }
    bad_origin.origins = (struct cw_str_list){wild, 1};
    many_origins.origins = (struct cw_str_list){many, CW_ARRAY_SIZE(many)};
    const struct {
        const char *words;
        struct tenant_spec spec;
        struct issuer_spec issuer;
    } cases[] = {
        {"origin \"https://*.example\" has a wildcard", bad_origin, issuer},
        {"too many origins", many_origins, issuer},
        {"name of tenants[0]", spec_of("good", domain, 1), issuer},
        {"domain of another tenant", spec_of("a", same, 1), issuer},
        {"no domain", spec_of("a", bad_domain, 1), issuer},
        {"needs domains", spec_of("a", domain, 0), issuer},
        {"no name", spec_of("", domain, 1), issuer},
        {"https", spec_of("a", domain, 1), {.issuer = S("http://i.example/")}},
        {"https", spec_of("a", domain, 1), {.issuer = S("https://i"), .jwks_uri = S("ftp://x")}},
        {"more than one source",
         spec_of("a", domain, 1),
         {.issuer = S("i"), .jwks_uri = S("https://x/"), .jwks_file = S("/x")}},
        {"HS256",
         spec_of("a", domain, 1),
         {.issuer = S("https://i/"), .algorithms = LIST(S("RS256"), S("HS256"))}},
        {"none",
         spec_of("a", domain, 1),
         {.issuer = S("https://i/"), .algorithms = LIST(S("none"))}},
        {"claim path",
         spec_of("a", domain, 1),
         {.issuer = S("https://i/"), .roles_path = S("a..b")}},
        {"claim path", spec_of("a", domain, 1), {.issuer = S("https://i/"), .keep = LIST(S("=x"))}},
        {"leeway", spec_of("a", domain, 1), {.issuer = S("https://i/"), .leeway = 61}},
        {"has no name", spec_of("a", domain, 1), {.issuer = S("")}},
    };

    assert_int_equal(tenants_configure(f->tenants, specs, 1, &f->problems), CW_OK);
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        specs[1] = cases[i].spec;
        issuers[0] = cases[i].issuer;
        specs[1].issuers = issuers;
        cw_buf_clear(&f->problems);
        assert_int_equal(tenants_configure(f->tenants, specs, 2, &f->problems), CW_CONFIG_INVALID);
        cw_buf_add_char(&f->problems, '\0');
        if (!strstr(f->problems.p, cases[i].words) || !strstr(f->problems.p, "tenants[1]")) {
            fail_msg("%s: %s", cases[i].words, f->problems.p);
        }
    }
    /* Nothing of it was taken. */
    assert_int_equal(f->changes, 1);
    assert_string_equal(who(f, "good.example", NULL), "good");
    assert_string_equal(who(f, "a.example", NULL), "");
}

static void an_issuer_named_twice_or_no_audience_is_refused(void **state)
{
    struct fixture *f = *state;
    struct cw_str domain[] = {S("a.example")};
    struct issuer_spec twice[2] = {issuer, issuer};
    struct tenant_spec spec = spec_of("a", domain, 1);

    spec.issuers = twice;
    spec.n_issuers = 2;
    assert_int_equal(tenants_configure(f->tenants, &spec, 1, &f->problems), CW_CONFIG_INVALID);
    spec.n_issuers = 1;
    spec.audiences.n = 0;
    assert_int_equal(tenants_configure(f->tenants, &spec, 1, &f->problems), CW_CONFIG_INVALID);
    spec.audiences.n = 1;
    spec.n_issuers = 0;
    assert_int_equal(tenants_configure(f->tenants, &spec, 1, &f->problems), CW_CONFIG_INVALID);
}

static void issuers_are_compared_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    struct cw_str domain[] = {S("a.example")};
    struct tenant_spec spec = spec_of("a", domain, 1);
    struct tenant *tenant = NULL;

    assert_int_equal(tenant_new(&spec, 1, f->keys, &tenant), CW_OK);
    assert_int_equal(tenant_find_issuer(tenant, CW_STR("https://i.example/")), 0);
    assert_int_equal(tenant_find_issuer(tenant, CW_STR("https://i.example")), -1);
    assert_int_equal(tenant_find_issuer(tenant, CW_STR("https://I.example/")), -1);
    assert_int_equal(tenant_find_issuer(tenant, CW_STR("https://i.example/\0x")), -1);
    tenant_unref(tenant);
}

/* A packed field: its number, its length, and these bytes. */
static void assert_field(struct cw_str wire, unsigned field, struct cw_str value)
{
    size_t head = value.n < 0x80 ? 2 : 3;

    assert_int_equal(wire.n, head + value.n);
    assert_int_equal((unsigned char)wire.p[0], field << 3 | 2);
    assert_int_equal((unsigned char)wire.p[1], head == 2 ? value.n : (value.n & 0x7f) | 0x80);
    assert_true(head == 2 || (size_t)(unsigned char)wire.p[2] == value.n >> 7);
    assert_memory_equal(wire.p + head, value.p, value.n);
}

/* What verdicts read lies in one block, whose size is computed before: of a tenant with little, and
 * of one with all that it may have (three domains do for the arena). */
static void a_tenant_of_any_size_keeps_what_it_was_given(void **state)
{
    enum { LONG = 1000 };
    static char text[TENANT_LIST_MAX + TENANT_ISSUERS_MAX][LONG];
    struct fixture *f = *state;
    struct cw_str domains[] = {S("A.example"), S("b.example"), S("C.example.")};
    struct cw_str audiences[TENANT_LIST_MAX];
    struct issuer_spec issuers[TENANT_ISSUERS_MAX];
    const struct {
        size_t domains, audiences, issuers, length;
    } rows[] = {{1, 1, 1, 1},
                {1, 1, 1, 30},
                {3, 2, 2, 127},
                {3, TENANT_LIST_MAX, TENANT_ISSUERS_MAX, LONG}};

    for (size_t row = 0; row < CW_ARRAY_SIZE(rows); row++) {
        struct tenant_spec spec = spec_of("a", domains, rows[row].domains);
        struct tenant *tenant = NULL;
        for (size_t i = 0; i < CW_ARRAY_SIZE(text); i++) {
            memset(text[i], 'a' + (int)(i % 26), LONG);
            text[i][rows[row].length - 1] = (char)('0' + i % 64);
        }
        for (size_t i = 0; i < rows[row].audiences; i++) {
            audiences[i] = (struct cw_str){text[i], rows[row].length};
        }
        for (size_t i = 0; i < rows[row].issuers; i++) {
            struct cw_str name = {text[TENANT_LIST_MAX + i], rows[row].length};
            issuers[i] = (struct issuer_spec){.issuer = name, .jwks_uri = S("https://i.example/")};
        }
        spec.audiences = (struct cw_str_list){audiences, rows[row].audiences};
        spec.issuers = issuers;
        spec.n_issuers = rows[row].issuers;
        assert_int_equal(tenant_new(&spec, 7, f->keys, &tenant), CW_OK);
        tenant_expect(tenant);
        assert_field(tenant->wire, 1, CW_STR("a"));
        assert_int_equal(tenant->audiences.n, rows[row].audiences);
        for (size_t i = 0; i < rows[row].audiences; i++) {
            assert_true(cw_str_eq(tenant->audiences.items[i], audiences[i]));
        }
        assert_int_equal(tenant->n_issuers, rows[row].issuers);
        for (size_t i = 0; i < rows[row].issuers; i++) {
            assert_field(tenant->issuer_wires[i], 3, issuers[i].issuer);
            assert_true(cw_str_eq(tenant->issuers[i].name, issuers[i].issuer));
        }
        assert_true(cw_str_is(tenant->domains.items[0], "a.example"));
        assert_true(rows[row].domains < 3 || cw_str_is(tenant->domains.items[2], "c.example"));
        tenant_unref(tenant);
    }
}

static void types_are_compared_without_case_and_prefix(void **state)
{
    struct fixture *f = *state;
    struct cw_str domain[] = {S("a.example")};
    struct issuer_spec typed = {.issuer = S("https://i.example/"),
                                .types = LIST(S("application/AT+JWT"), S("JWT"))};
    struct tenant_spec spec = spec_of("a", domain, 1);
    struct tenant *tenant = NULL;

    spec.issuers = &typed;
    assert_int_equal(tenant_new(&spec, 1, f->keys, &tenant), CW_OK);
    assert_int_equal(tenant->issuers[0].policy.type_count, 2);
    assert_true(cw_str_is(tenant->issuers[0].policy.types[0], "at+jwt"));
    assert_true(cw_str_is(tenant->issuers[0].policy.types[1], "jwt"));
    tenant_unref(tenant);
}

/* What the feed tells: one tenant at <name>.example, and whether more of this snapshot will come.
 * It has one issuer, or so many. The keys are discovered, unless they come with it. */
struct word {
    const char *name;
    uint64_t generation;
    bool more;
    char *jwks;
    size_t issuers;
    size_t keeps; /* for each issuer; claims with long names */
};

static void learn(struct fixture *f, const struct word *word)
{
    Clinicwave__Identity__V1__WatchResponse response;
    Clinicwave__Identity__V1__Tenant tenant;
    Clinicwave__Identity__V1__Issuer trusted;
    Clinicwave__Identity__V1__Tenant *tenants[] = {&tenant};
    size_t n_issuers = CW_MAX(word->issuers, 1u);
    Clinicwave__Identity__V1__Issuer **issuers =
        calloc(n_issuers, sizeof(Clinicwave__Identity__V1__Issuer *));
    char name[16], domain[32], audience[] = "api", url[] = "https://i.example/";
    char epoch[] = "one";
    char *domains[] = {domain}, *audiences[] = {audience};

    assert_non_null(issuers);
    Clinicwave__Identity__V1__Issuer all[TENANT_ISSUERS_MAX];
    char urls[TENANT_ISSUERS_MAX][32];
    snprintf(name, sizeof(name), "%s", word->name);
    snprintf(domain, sizeof(domain), "%s.example", word->name);
    clinicwave__identity__v1__watch_response__init(&response);
    clinicwave__identity__v1__tenant__init(&tenant);
    clinicwave__identity__v1__issuer__init(&trusted);
    char keep[1000];
    char *keeps[TENANT_LIST_MAX];
    memset(keep, 'k', sizeof(keep) - 1);
    keep[sizeof(keep) - 1] = '\0';
    assert_in_range(word->keeps, 0, TENANT_LIST_MAX);
    for (size_t i = 0; i < word->keeps; i++) {
        keeps[i] = keep;
    }
    Clinicwave__Identity__V1__ClaimMap map;
    clinicwave__identity__v1__claim_map__init(&map);
    map.keep = keeps;
    map.n_keep = word->keeps;
    trusted.claims = &map;
    trusted.issuer = url;
    trusted.jwks.data = (uint8_t *)word->jwks;
    trusted.jwks.len = word->jwks ? strlen(word->jwks) : 0;
    for (size_t i = 0; i < n_issuers; i++) { /* of names of their own, where so many may be */
        bool own = i < TENANT_ISSUERS_MAX;
        if (own) {
            all[i] = trusted;
            snprintf(urls[i], sizeof(urls[i]), i ? "https://i.example/%zu" : "https://i.example/",
                     i);
            all[i].issuer = urls[i];
        }
        issuers[i] = own ? &all[i] : &trusted;
    }
    tenant.name = name;
    tenant.domains = domains;
    tenant.audiences = audiences;
    tenant.issuers = issuers;
    tenant.n_domains = tenant.n_audiences = 1;
    tenant.n_issuers = n_issuers;
    response.generation = word->generation;
    response.more = word->more;
    response.epoch = epoch;
    response.tenants = tenants;
    response.n_tenants = 1;
    size_t n = clinicwave__identity__v1__watch_response__get_packed_size(&response);
    uint8_t *packed = malloc(n);
    assert_non_null(packed);
    clinicwave__identity__v1__watch_response__pack(&response, packed);
    assert_int_equal(
        tenants_learn(f->tenants, (struct cw_str){(const char *)packed, n}, &f->problems), CW_OK);
    free(packed);
    free((void *)issuers);
}

static void learn_a(struct fixture *f, uint64_t generation)
{
    learn(f, &(struct word){.name = "a", .generation = generation});
}

static void count_source(void *ctx, struct cw_key_source *source,
                         const struct cw_key_source_info *info)
{
    size_t *n = ctx;

    (void)source;
    (void)info;
    (*n)++;
}

static size_t sources(struct fixture *f)
{
    size_t n = 0;

    cw_key_store_each(f->keys, count_source, &n);
    return n;
}

/* The learned one would fetch keys for nobody, and fail where it takes the configuration's CA. */
static void a_learned_tenant_that_the_configuration_has_too_fetches_no_keys(void **state)
{
    struct fixture *f = *state;
    struct cw_str domain[] = {S("local.example")};
    struct issuer_spec with_ca = issuer;
    struct tenant_spec local = spec_of("a", domain, 1);

    with_ca.ca_file = CW_STR("/ca.pem");
    local.issuers = &with_ca;
    learn_a(f, 1); /* as from the file, before the configuration is there */
    assert_string_equal(who(f, "a.example", NULL), "a");
    assert_int_equal(sources(f), 1);
    assert_int_equal(tenants_configure(f->tenants, &local, 1, &f->problems), CW_OK);
    assert_string_equal(who(f, "local.example", NULL), "a");
    assert_string_equal(who(f, "a.example", NULL), "");
    assert_int_equal(sources(f), 1);
    learn_a(f, 2); /* and told again */
    assert_string_equal(who(f, "local.example", NULL), "a");
    assert_string_equal(who(f, "a.example", NULL), "");
    assert_int_equal(sources(f), 1);
    /* The configuration has it no more: what was learned counts, without another word of the feed.
     */
    assert_int_equal(tenants_configure(f->tenants, NULL, 0, &f->problems), CW_OK);
    assert_string_equal(who(f, "a.example", NULL), "a");
    assert_string_equal(who(f, "local.example", NULL), "");
    assert_int_equal(sources(f), 1);
}

/* A snapshot comes in pieces, and SIGHUP between two of them. */
static void a_configuration_between_two_pieces_counts_for_both(void **state)
{
    struct fixture *f = *state;
    struct cw_str domain[] = {S("local.example")};
    struct tenant_spec local = spec_of("a", domain, 1);

    learn(f, &(struct word){.name = "a", .generation = 1, .more = true});
    assert_int_equal(tenants_configure(f->tenants, &local, 1, &f->problems), CW_OK);
    learn(f, &(struct word){.name = "b", .generation = 1});
    assert_string_equal(who(f, "local.example", NULL), "a");
    assert_string_equal(who(f, "a.example", NULL), ""); /* what only the feed gives it */
    assert_string_equal(who(f, "b.example", NULL), "b");

    learn(f, &(struct word){.name = "a", .generation = 2, .more = true});
    assert_int_equal(tenants_configure(f->tenants, NULL, 0, &f->problems), CW_OK);
    learn(f, &(struct word){.name = "b", .generation = 2});
    assert_string_equal(who(f, "local.example", NULL), "");
    assert_string_equal(who(f, "a.example", NULL), "a");
    assert_string_equal(who(f, "b.example", NULL), "b");
    assert_int_equal(sources(f), 2);
}

/* It was remembered while the configuration had it, without being looked at. */
static void a_learned_tenant_that_is_too_large_refuses_no_configuration(void **state)
{
    enum { TOO_MANY = 300 * 1000 };
    struct fixture *f = *state;
    struct cw_str domain[] = {S("local.example")};
    struct tenant_spec local = spec_of("a", domain, 1);

    assert_int_equal(tenants_configure(f->tenants, &local, 1, &f->problems), CW_OK);
    learn(f, &(struct word){.name = "a", .generation = 1, .more = true, .issuers = TOO_MANY});
    learn(f, &(struct word){.name = "b", .generation = 1});
    assert_int_equal(cw_buf_str(&f->problems).n, 0);
    assert_int_equal(tenants_configure(f->tenants, NULL, 0, &f->problems), CW_OK);
    assert_true(cw_str_is(cw_buf_str(&f->problems), "learned tenant \"a\": too large\n"));
    assert_string_equal(who(f, "local.example", NULL), "");
    assert_string_equal(who(f, "a.example", NULL), "");
    assert_string_equal(who(f, "b.example", NULL), "b");
}

/* None of its values is too long. The others apply, and it is served as soon as it is smaller. */
static void a_tenant_that_cannot_be_used_costs_only_itself(void **state)
{
    const struct {
        const char *name;
        size_t issuers, keeps;
        const char *says;
    } bad[] = {
        {"c", TENANT_ISSUERS_MAX, TENANT_LIST_MAX, "learned tenant \"c\": too large\n"},
        {"c", TENANT_ISSUERS_MAX + 1, 0, "learned tenant \"c\".issuers: a tenant needs issuers"},
        {"c", 300 * 1000, 0, "learned tenant \"c\": too large\n"},
    };
    struct fixture *f = *state;
    uint64_t generation = 1;

    for (size_t i = 0; i < CW_ARRAY_SIZE(bad); i++) {
        cw_buf_clear(&f->problems);
        learn(f, &(struct word){.name = "b", .generation = generation, .more = true});
        learn(f, &(struct word){.name = bad[i].name,
                                .generation = generation,
                                .more = true,
                                .issuers = bad[i].issuers,
                                .keeps = bad[i].keeps});
        learn(f, &(struct word){.name = "d", .generation = generation});
        cw_buf_add_char(&f->problems, '\0');
        if (!strstr(f->problems.p, bad[i].says)) {
            fail_msg("%zu: %s", i, f->problems.p);
        }
        assert_int_equal(tenants_left_out(f->tenants), 1);
        assert_string_equal(who(f, "b.example", NULL), "b");
        assert_string_equal(who(f, "c.example", NULL), "");
        assert_string_equal(who(f, "d.example", NULL), "d");
        assert_int_equal(tenants_feed_generation(f->tenants), generation);
        generation++;
    }
    learn(f, &(struct word){.name = "c", .generation = generation, .issuers = 2, .keeps = 2});
    assert_string_equal(who(f, "c.example", NULL), "c");
    assert_int_equal(tenants_left_out(f->tenants), 0);
}

static bool has_keys(struct fixture *f, const char *domain)
{
    struct tenants_set *set = tenants_get(f->tenants);
    const struct tenant *tenant = tenants_set_find(set, cw_str(domain));

    assert_non_null(tenant);
    cw_key_store_tick(f->keys); /* which looks at their age */
    struct cw_jwks *keys = cw_key_source_get(tenant->issuers[0].keys);
    cw_jwks_unref(keys);
    tenants_set_unref(set);
    return keys != NULL;
}

/* Half a snapshot says nothing of the tenants that were learned before it. */
static void a_piece_makes_keys_of_before_no_fresher(void **state)
{
    static const char *const kids[] = {"one"};
    struct fixture *f = *state;
    struct cw_str domain[] = {S("local.example")};
    struct tenant_spec local = spec_of("a", domain, 1);
    char *jwks = world_jwks(kids, 1);

    issuer.jwks = cw_str(jwks); /* so that nothing is fetched */
    learn(f, &(struct word){.name = "a", .generation = 1, .jwks = jwks});
    assert_true(has_keys(f, "a.example"));
    assert_int_equal(tenants_configure(f->tenants, &local, 1, &f->problems), CW_OK);
    world_pass(&f->world, CW_KEY_STORE_STALE_MS);
    learn(f, &(struct word){.name = "b", .generation = 2, .more = true, .jwks = jwks});
    assert_int_equal(tenants_configure(f->tenants, NULL, 0, &f->problems), CW_OK);
    assert_false(has_keys(f, "a.example"));
    learn(f, &(struct word){.name = "a", .generation = 2, .jwks = jwks}); /* now it is said anew */
    assert_true(has_keys(f, "a.example"));
    assert_true(has_keys(f, "b.example"));
    issuer.jwks = (struct cw_str){0};
    free(jwks);
}

static void garbage_from_the_feed_changes_nothing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(tenants_learn(f->tenants, CW_STR("\x22\xff\xff"), &f->problems),
                     CW_REQUEST_MALFORMED);
    assert_int_equal(f->changes, 0);
    assert_int_equal(tenants_feed_age_ms(f->tenants), -1);
}

/* It was a minute when each domain was compared with all before it. */
static void ten_thousand_are_checked_in_no_time(void **state)
{
    enum { TENANTS = 10000, NAME = 48, DOMAINS = 2, BOUND_MS = 5000 };
    struct fixture *f = *state;
    char(*names)[NAME] = calloc((1 + DOMAINS) * TENANTS, sizeof(*names));
    struct cw_str *domains = calloc(DOMAINS * TENANTS, sizeof(*domains));
    struct tenant_spec *specs = calloc(TENANTS, sizeof(*specs));

    assert_true(names && domains && specs);
    for (size_t i = 0; i < TENANTS; i++) {
        char *name = names[(1 + DOMAINS) * i];
        snprintf(name, NAME, "tenant-%05zu", i);
        for (size_t j = 0; j < DOMAINS; j++) {
            char *domain = names[(1 + DOMAINS) * i + 1 + j];
            snprintf(domain, NAME, "host-%zu.tenant-%05zu.example", j, i);
            domains[DOMAINS * i + j] = cw_str(domain);
        }
        specs[i] = spec_of(name, &domains[DOMAINS * i], DOMAINS);
    }
    int64_t before = cw_clock_monotonic_ms(&cw_clock_system);
    assert_int_equal(tenants_check(specs, TENANTS, &f->problems), CW_OK);
    assert_true(cw_clock_monotonic_ms(&cw_clock_system) - before < BOUND_MS);
    domains[DOMAINS * TENANTS - 1] = cw_str("HOST-0.tenant-00000.example.");
    assert_int_equal(tenants_check(specs, TENANTS, &f->problems), CW_CONFIG_INVALID);
    assert_true(cw_str_is(cw_buf_str(&f->problems),
                          "tenants[9999].domains: domain of another tenant: "
                          "\"HOST-0.tenant-00000.example.\"\n"));
    free(names);
    free(domains);
    free(specs);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(ten_thousand_are_checked_in_no_time),
        T(domains_are_found_in_any_spelling),
        T(a_tenant_that_did_not_change_keeps_its_generation),
        T(other_origins_are_published_under_the_same_generation),
        T(learned_origins_that_are_none_are_left_out_and_told),
        T(what_makes_a_configuration_bad),
        T(an_issuer_named_twice_or_no_audience_is_refused),
        T(issuers_are_compared_byte_by_byte),
        T(a_tenant_of_any_size_keeps_what_it_was_given),
        T(types_are_compared_without_case_and_prefix),
        T(a_learned_tenant_that_the_configuration_has_too_fetches_no_keys),
        T(a_configuration_between_two_pieces_counts_for_both),
        T(a_learned_tenant_that_is_too_large_refuses_no_configuration),
        T(a_tenant_that_cannot_be_used_costs_only_itself),
        T(a_piece_makes_keys_of_before_no_fresher),
        T(garbage_from_the_feed_changes_nothing),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    world_done();
    return failed;
}
