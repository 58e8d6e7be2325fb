/* What a user may do, out of its own arrays and those of its groups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the ones above */
#include <cmocka.h>

#include "authsvc/login/grants.h"

struct list {
    const char *name;
    const char *roles;
    const char *permissions;
};

/* The outcome; `ret` is done by the caller. */
static enum cw_err add_up(const struct list *own, const struct list *groups, size_t n,
                          struct grants *ret)
{
    struct grants_sum sum;
    grants_sum_init(&sum);
    *ret = (struct grants){0};
    enum cw_err err = CW_OK;
    for (size_t i = 0; i < n && err == CW_OK; i++) {
        const struct store_group group = {
            .name = cw_str(groups[i].name),
            .roles = cw_str(groups[i].roles),
            .permissions = cw_str(groups[i].permissions),
        };
        err = grants_sum_add(&sum, &group);
    }
    const struct store_user user = {.roles = cw_str(own->roles),
                                    .permissions = cw_str(own->permissions)};
    err = err == CW_OK ? grants_sum_end(&sum, &user, ret) : err;
    grants_sum_done(&sum);
    return err;
}

static void the_union_is_the_users_own_first_and_names_each_once(void **state)
{
    (void)state;
    static const struct {
        struct list own;
        struct list groups[3];
        size_t n;
        struct list wanted;
    } rows[] = {
        {{"", "[]", "[]"}, {{0}}, 0, {"[]", "[]", "[]"}},
        {{"", "[\"doctor\",\"doctor\"]", "[\"a:read\"]"},
         {{0}},
         0,
         {"[]", "[\"doctor\"]", "[\"a:read\"]"}},
        {{"", " [ \"doctor\" , \"nurse\" ] ", "[]"},
         {{"night", "[\"nurse\",\"porter\"]", "[\"b\"]"}, {"ward 3", "[]", "[\"b\",\"c\"]"}},
         2,
         {"[\"night\",\"ward 3\"]", "[\"doctor\",\"nurse\",\"porter\"]", "[\"b\",\"c\"]"}},
        /* however it was written, and what needs an escape gets one */
        {{"", "[\"caf\\u00e9\",\"a\\\"b\"]", "[]"},
         {{"x\"y", "[\"caf\xc3\xa9\"]", "[]"}},
         1,
         {"[\"x\\\"y\"]", "[\"caf\xc3\xa9\",\"a\\\"b\"]", "[]"}},
        /* only strings count */
        {{"", "[1,\"a\",null,[\"b\"],{\"c\":\"d\"},\"e\"]", "[]"},
         {{0}},
         0,
         {"[]", "[\"a\",\"e\"]", "[]"}},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        struct grants grants;
        assert_int_equal(add_up(&rows[i].own, rows[i].groups, rows[i].n, &grants), CW_OK);
        if (!cw_str_is(cw_buf_str(&grants.groups), rows[i].wanted.name) ||
            !cw_str_is(cw_buf_str(&grants.roles), rows[i].wanted.roles) ||
            !cw_str_is(cw_buf_str(&grants.permissions), rows[i].wanted.permissions)) {
            fail_msg("row %zu: %.*s %.*s %.*s", i, CW_STR_ARG(cw_buf_str(&grants.groups)),
                     CW_STR_ARG(cw_buf_str(&grants.roles)),
                     CW_STR_ARG(cw_buf_str(&grants.permissions)));
        }
        grants_done(&grants);
    }
}

static void what_is_damaged_in_the_database_grants_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",           "{}",         "\"doctor\"",           "[\"doctor\"", "[\"doctor\"]]",
        "[\"a\",]",   "[\"\xff\"]", "[],\"a\":[\"admin\"]", "[],\"b\":[]", "[\"a\\u0000b\"]",
        "[\"a\nb\"]", "null",
    };
    const struct list good = {"night", "[\"a\"]", "[\"b\"]"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(texts); i++) {
        struct grants grants;
        const struct list bad[] = {{"night", texts[i], "[]"}, {"night", "[]", texts[i]}};
        for (size_t k = 0; k < CW_ARRAY_SIZE(bad); k++) {
            assert_int_equal(add_up(&bad[k], &good, 1, &grants), CW_STORE_UNAVAILABLE);
            grants_done(&grants);
            assert_int_equal(add_up(&good, &bad[k], 1, &grants), CW_STORE_UNAVAILABLE);
            grants_done(&grants);
        }
    }
}

static void a_union_that_fits_into_no_token_is_refused(void **state)
{
    (void)state;
    struct cw_buf roles[2] = {CW_BUF_INIT(65536), CW_BUF_INIT(65536)};
    for (size_t k = 0; k < 2; k++) {
        cw_buf_add_char(&roles[k], '[');
        for (size_t i = 0; i < 100; i++) {
            cw_buf_addf(&roles[k], "%s\"%080zu\"", i > 0 ? "," : "", 100 * k + i);
        }
        cw_buf_add_char(&roles[k], ']');
        cw_buf_add_char(&roles[k], '\0');
    }
    const struct list own = {"", roles[0].p, "[]"};
    const struct list groups[] = {{"same", roles[0].p, "[]"}, {"more", roles[1].p, "[]"}};
    struct grants grants;
    assert_int_equal(add_up(&own, groups, 1, &grants), CW_OK);
    grants_done(&grants);
    assert_int_equal(add_up(&own, groups, 2, &grants), CW_NO_MEMORY);
    grants_done(&grants);
    cw_buf_done(&roles[0]);
    cw_buf_done(&roles[1]);
}

/* Not damaged, and no shorter in bytes than what fits. */
static void a_list_of_too_many_words_is_told_as_such(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        const char *end;
        enum cw_err wanted;
    } rows[] = {{2048, "]", CW_OK}, {2049, "]", CW_NO_MEMORY}, {2048, "", CW_STORE_UNAVAILABLE}};
    for (size_t k = 0; k < CW_ARRAY_SIZE(rows); k++) {
        struct cw_buf text = CW_BUF_INIT(GRANTS_TEXT_MAX);
        cw_buf_add_char(&text, '[');
        for (size_t i = 0; i < rows[k].n; i++) {
            cw_buf_addf(&text, "%s\"%c%c\"", i > 0 ? "," : "", 'a' + (int)(i % 26),
                        'a' + (int)(i / 26 % 26));
        }
        cw_buf_add_cstr(&text, rows[k].end);
        cw_buf_add_char(&text, '\0');
        assert_int_equal(cw_buf_check(&text), CW_OK);
        const struct list own = {"", text.p, "[]"};
        const struct list none = {"", "[]", "[]"};
        struct grants grants;
        assert_int_equal(add_up(&own, NULL, 0, &grants), rows[k].wanted);
        grants_done(&grants);
        assert_int_equal(add_up(&none, &own, 1, &grants), rows[k].wanted);
        grants_done(&grants);
        cw_buf_done(&text);
    }
}

/* Words of eight bytes, all different, as a JSON array. */
static void write_words(struct cw_buf *json, size_t n)
{
    cw_buf_add_char(json, '[');
    for (size_t i = 0; i < n; i++) {
        cw_buf_addf(json, "%s\"w%07zu\"", i > 0 ? "," : "", i);
    }
    cw_buf_add_char(json, ']');
    assert_int_equal(cw_buf_check(json), CW_OK);
}

/* 11 bytes a word. Without comparing the rest, and before the user's own are known. */
static void a_union_that_is_too_large_is_given_up_at_once(void **state)
{
    (void)state;
    static const struct {
        size_t words;
        enum cw_err want;
    } rows[] = {{GRANTS_MAX / 11 - 1, CW_OK}, {GRANTS_MAX / 11 + 1, CW_NO_MEMORY}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        CW_CLEANUP(cw_buf_done) struct cw_buf roles = CW_BUF_INIT(GRANTS_TEXT_MAX);
        struct grants_sum sum;
        grants_sum_init(&sum);
        write_words(&roles, rows[i].words);
        const struct store_group group = {
            .name = CW_STR("all"), .roles = cw_buf_str(&roles), .permissions = CW_STR("[]")};
        assert_int_equal(grants_sum_add(&sum, &group), rows[i].want);
        grants_sum_done(&sum);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_union_is_the_users_own_first_and_names_each_once),
        cmocka_unit_test(what_is_damaged_in_the_database_grants_nothing),
        cmocka_unit_test(a_union_that_fits_into_no_token_is_refused),
        cmocka_unit_test(a_list_of_too_many_words_is_told_as_such),
        cmocka_unit_test(a_union_that_is_too_large_is_given_up_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
