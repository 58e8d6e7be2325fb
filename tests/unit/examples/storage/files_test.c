/* The use cases over stand-ins for the sidecar and the disk. */
#include "examples/storage-service/application/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the ones above */
#include <cmocka.h>

/* ---- stand-ins ---- */

struct file_writer {
    char text[64];
};

struct world {
    enum cw_err verdict;
    const char *tenant;
    struct file_writer writer;
    char asked[200]; /* what the store was asked for, in order */
};

static enum cw_err check(void *ctx, struct cw_str token, struct cw_str domain,
                         struct caller *ret_caller)
{
    struct world *world = ctx;
    assert_true(cw_str_is(token, "token") && cw_str_is(domain, "domain"));
    /* also when it refuses: nobody may look */
    snprintf(ret_caller->tenant, sizeof(ret_caller->tenant), "%s", world->tenant);
    return world->verdict;
}

static void note(struct world *world, const char *what, const char *tenant, const char *name)
{
    size_t n = strlen(world->asked);
    snprintf(world->asked + n, sizeof(world->asked) - n, "%s %s/%s;", what, tenant, name);
}

static struct world *the_world;

static enum cw_err store_write(void *ctx, const char *tenant, const char *name,
                               const char *media_type, struct file_writer **ret_writer)
{
    struct world *world = ctx;
    assert_string_equal(media_type, "text/plain");
    note(world, "write", tenant, name);
    *ret_writer = &world->writer;
    return CW_OK;
}

static enum cw_err store_append(struct file_writer *writer, struct cw_str bytes)
{
    size_t n = strlen(writer->text);
    snprintf(writer->text + n, sizeof(writer->text) - n, "%.*s", CW_STR_ARG(bytes));
    return CW_OK;
}

static enum cw_err store_commit(struct file_writer *writer, bool *ret_replaced)
{
    note(the_world, "commit", "", writer->text);
    *ret_replaced = true;
    return CW_OK;
}

static void store_abort(struct file_writer *writer)
{
    note(the_world, "abort", "", writer->text);
}

static enum cw_err store_open(void *ctx, const char *tenant, const char *name,
                              struct file_info *ret_info, int *ret_fd)
{
    (void)ret_info;
    note(ctx, "open", tenant, name);
    *ret_fd = 7;
    return CW_OK;
}

static enum cw_err store_remove(void *ctx, const char *tenant, const char *name)
{
    note(ctx, "remove", tenant, name);
    return CW_NOT_FOUND;
}

static enum cw_err store_list(void *ctx, const char *tenant,
                              enum cw_err (*each)(void *ctx, const struct file_info *info),
                              void *each_ctx)
{
    (void)each;
    (void)each_ctx;
    note(ctx, "list", tenant, "");
    return CW_OK;
}

static struct files new_files(struct world *world)
{
    *world = (struct world){.tenant = "abott"};
    the_world = world;
    return (struct files){.tokens = {.check = check, .ctx = world},
                          .store = {.write = store_write,
                                    .append = store_append,
                                    .commit = store_commit,
                                    .abort = store_abort,
                                    .open = store_open,
                                    .remove = store_remove,
                                    .list = store_list,
                                    .ctx = world},
                          .max_file = 10};
}

static const struct caller bob = {.tenant = "abott", .subject = "bob"};

/* ---- cases ---- */

static void only_a_verdict_makes_a_caller(void **state)
{
    (void)state;
    static const struct {
        enum cw_err verdict;
        const char *tenant;
        enum cw_err err;
    } cases[] = {
        {CW_OK, "abott", CW_OK},
        {CW_OK, "", CW_VALIDATOR_UNAVAILABLE}, /* allowed, but nobody's */
        {CW_TOKEN_EXPIRED, "abott", CW_TOKEN_EXPIRED},
        {CW_SCOPE_INSUFFICIENT, "abott", CW_SCOPE_INSUFFICIENT},
        {CW_KEYS_UNAVAILABLE, "abott", CW_KEYS_UNAVAILABLE},
        {CW_TENANT_UNKNOWN, "abott", CW_TENANT_UNKNOWN},
        {CW_UNAVAILABLE, "abott", CW_VALIDATOR_UNAVAILABLE},
        {CW_TIMEOUT, "abott", CW_VALIDATOR_UNAVAILABLE},
        {CW_PERMISSION_DENIED, "abott", CW_VALIDATOR_UNAVAILABLE},
        {CW_INTERNAL, "abott", CW_VALIDATOR_UNAVAILABLE},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct world world;
        struct files files = new_files(&world);
        struct caller caller = {0};
        world.verdict = cases[i].verdict;
        world.tenant = cases[i].tenant;
        enum cw_err err = files_caller(&files, CW_STR("token"), CW_STR("domain"), &caller);
        if (err != cases[i].err || (*caller.tenant != '\0') != (err == CW_OK)) {
            fail_msg("%s: %s", cw_err_code(cases[i].verdict), cw_err_code(err));
        }
    }
}

static void an_upload_is_kept_whole_or_not_at_all(void **state)
{
    (void)state;
    struct world world;
    struct files files = new_files(&world);
    struct upload upload;
    bool replaced = false;
    assert_int_equal(files_put_begin(&files, &bob, CW_STR("a"), CW_STR("text/plain"), &upload),
                     CW_OK);
    assert_int_equal(files_put_append(&upload, CW_STR("12345")), CW_OK);
    assert_int_equal(files_put_append(&upload, CW_STR("67890")), CW_OK);
    assert_int_equal(files_put_commit(&upload, &replaced), CW_OK);
    assert_true(replaced);
    files_put_end(&upload);
    assert_string_equal(world.asked, "write abott/a;commit /1234567890;");
}

static void an_upload_past_the_bound_is_refused_and_forgotten(void **state)
{
    (void)state;
    struct world world;
    struct files files = new_files(&world);
    struct upload upload;
    assert_int_equal(files_put_begin(&files, &bob, CW_STR("a"), CW_STR("text/plain"), &upload),
                     CW_OK);
    assert_int_equal(files_put_append(&upload, CW_STR("12345")), CW_OK);
    assert_int_equal(files_put_append(&upload, CW_STR("678901")), CW_REQUEST_TOO_LARGE);
    files_put_end(&upload);
    files_put_end(&upload);
    assert_string_equal(world.asked, "write abott/a;abort /12345;");
}

static void a_bad_name_never_reaches_the_store(void **state)
{
    (void)state;
    struct world world;
    struct files files = new_files(&world);
    struct upload upload;
    struct file_info info;
    int fd;
    struct cw_str bad = CW_STR("../a");
    assert_int_equal(files_put_begin(&files, &bob, bad, CW_STR("text/plain"), &upload),
                     CW_REQUEST_MALFORMED);
    files_put_end(&upload);
    assert_int_equal(files_put_begin(&files, &bob, CW_STR("a"), CW_STR("text"), &upload),
                     CW_REQUEST_MALFORMED);
    files_put_end(&upload);
    assert_int_equal(files_get(&files, &bob, bad, &info, &fd), CW_REQUEST_MALFORMED);
    assert_int_equal(files_delete(&files, &bob, bad), CW_REQUEST_MALFORMED);
    assert_string_equal(world.asked, "");
}

static void the_store_is_asked_for_the_callers_tenant(void **state)
{
    (void)state;
    struct world world;
    struct files files = new_files(&world);
    struct file_info info;
    int fd = -1;
    assert_int_equal(files_get(&files, &bob, CW_STR("a"), &info, &fd), CW_OK);
    assert_int_equal(fd, 7);
    assert_int_equal(files_delete(&files, &bob, CW_STR("b")), CW_NOT_FOUND);
    assert_int_equal(files_list(&files, &bob, NULL, NULL), CW_OK);
    assert_string_equal(world.asked, "open abott/a;remove abott/b;list abott/;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_verdict_makes_a_caller),
        cmocka_unit_test(an_upload_is_kept_whole_or_not_at_all),
        cmocka_unit_test(an_upload_past_the_bound_is_refused_and_forgotten),
        cmocka_unit_test(a_bad_name_never_reaches_the_store),
        cmocka_unit_test(the_store_is_asked_for_the_callers_tenant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
