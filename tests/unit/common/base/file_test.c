/* Files are replaced whole, and are on the disk before they have their name. */
#include "common/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the ones above */
#include <cmocka.h>

static char directory[] = "/tmp/cwXXXXXX";
static char path[64];
static int syncs, sync_answer;
static off_t synced_bytes;
static bool named_before_sync;

/* In libc's place: what is there at the moment at which a power cut may come. */
int fsync(int fd)
{
    struct stat seen;
    struct stat named;

    assert_int_equal(fstat(fd, &seen), 0);
    named_before_sync = stat(path, &named) == 0 && named.st_ino == seen.st_ino;
    synced_bytes = seen.st_size;
    syncs++;
    return sync_answer;
}

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/cwXXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/file", directory);
    syncs = sync_answer = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    rmdir(directory); /* which fails below where something was left over */
    return access(directory, F_OK) == 0 ? -1 : 0;
}

static void assert_has(const char *text)
{
    struct cw_buf buf CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(1024);

    assert_int_equal(cw_file_read(path, &buf), CW_OK);
    assert_true(cw_str_is(cw_buf_str(&buf), text));
}

static void a_file_is_on_the_disk_before_it_has_its_name(void **state)
{
    (void)state;
    struct stat seen;

    assert_int_equal(cw_file_replace(path, CW_STR("old")), CW_OK);
    assert_has("old");
    assert_int_equal(stat(path, &seen), 0);
    assert_int_equal(seen.st_mode & 0777, 0600);
    assert_int_equal(cw_file_replace(path, CW_STR("newer")), CW_OK);
    assert_has("newer");
    assert_int_equal(syncs, 2);
    assert_int_equal(synced_bytes, 5);
    assert_false(named_before_sync);
}

static void what_cannot_be_synced_leaves_the_old_file(void **state)
{
    (void)state;
    assert_int_equal(cw_file_replace(path, CW_STR("old")), CW_OK);
    sync_answer = -1;
    assert_int_equal(cw_file_replace(path, CW_STR("newer")), CW_IO);
    assert_has("old");
    assert_int_equal(cw_file_replace("/nonexistent/file", CW_STR("x")), CW_IO);
}

static void only_files_are_read(void **state)
{
    (void)state;
    struct cw_buf buf CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(1024);
    struct cw_buf small CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(2);

    assert_int_equal(cw_file_read(path, &buf), CW_NOT_FOUND);
    assert_int_equal(cw_file_read(directory, &buf), CW_IO);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(cw_file_read(path, &buf), CW_IO); /* and does not wait for a writer */
    unlink(path);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_int_equal(cw_file_read(path, &buf), CW_IO);
    unlink(path);
    assert_int_equal(cw_file_replace(path, CW_STR("long")), CW_OK);
    assert_int_not_equal(cw_file_read(path, &small), CW_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_on_the_disk_before_it_has_its_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_synced_leaves_the_old_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(only_files_are_read, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
