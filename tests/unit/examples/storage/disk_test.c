/* The disk: replaced at once, apart by tenant, nothing left behind, damage noticed. */
#include "examples/storage-service/store/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the ones above */
#include <cmocka.h>

static char root[40];
static struct disk *disk;
static struct store_port store;

static int setup(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/cwdiskXXXXXX");
    if (!mkdtemp(root) || disk_open(root, &disk) != CW_OK) {
        return 1;
    }
    store = disk_port(disk);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    disk_close(disk);
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static bool put(const char *tenant, const char *name, const char *type, const char *content)
{
    struct file_writer *writer;
    bool replaced;
    assert_int_equal(store.write(store.ctx, tenant, name, type, &writer), CW_OK);
    assert_int_equal(store.append(writer, cw_str(content)), CW_OK);
    assert_int_equal(store.commit(writer, &replaced), CW_OK);
    return replaced;
}

/* The content; NULL where there is none. */
static const char *get(const char *tenant, const char *name, struct file_info *info)
{
    static char content[100];
    int fd;
    enum cw_err err = store.open(store.ctx, tenant, name, info, &fd);
    if (err != CW_OK) {
        assert_int_equal(err, CW_NOT_FOUND);
        return NULL;
    }
    assert_true(info->size < sizeof(content));
    assert_int_equal(read(fd, content, info->size), (ssize_t)info->size);
    content[info->size] = '\0';
    close(fd);
    return content;
}

static enum cw_err add_name(void *ctx, const struct file_info *info)
{
    char *names = ctx;
    strncat(names, info->name, 100);
    strncat(names, ";", 2);
    return CW_OK;
}

static void a_file_is_stored_with_its_type_and_replaced(void **state)
{
    (void)state;
    struct file_info info;
    assert_null(get("t", "a", &info));
    assert_false(put("t", "a", "text/plain", "one"));
    assert_string_equal(get("t", "a", &info), "one");
    assert_string_equal(info.media_type, "text/plain");
    assert_int_equal(info.size, 3);
    assert_true(info.modified > 1600000000);
    assert_true(put("t", "a", "text/html; charset=utf-8", ""));
    assert_string_equal(get("t", "a", &info), "");
    assert_string_equal(info.media_type, "text/html; charset=utf-8");
    assert_int_equal(store.remove(store.ctx, "t", "a"), CW_OK);
    assert_int_equal(store.remove(store.ctx, "t", "a"), CW_NOT_FOUND);
    assert_null(get("t", "a", &info));
}

static void a_reader_keeps_the_file_that_it_opened(void **state)
{
    (void)state;
    struct file_info info;
    int fd;
    char content[4] = "";
    put("t", "a", "text/plain", "old");
    assert_int_equal(store.open(store.ctx, "t", "a", &info, &fd), CW_OK);
    put("t", "a", "text/plain", "new");
    assert_int_equal(read(fd, content, 3), 3);
    close(fd);
    assert_string_equal(content, "old");
}

static void tenants_are_apart_whatever_they_are_called(void **state)
{
    (void)state;
    struct file_info info;
    char names[400] = "";
    put("a", "x", "text/plain", "of a");
    put("../a", "x", "text/plain", "of ../a");
    assert_string_equal(get("a", "x", &info), "of a");
    assert_string_equal(get("../a", "x", &info), "of ../a");
    assert_null(get("b", "x", &info));
    put("a", "\xc3\xa4 b", "text/plain", "");
    assert_int_equal(store.list(store.ctx, "a", add_name, names), CW_OK);
    assert_string_equal(names, "x;\xc3\xa4 b;");
    names[0] = '\0';
    assert_int_equal(store.list(store.ctx, "b", add_name, names), CW_OK);
    assert_string_equal(names, "");
}

static size_t count_files(const char *tenant_directory)
{
    char path[100];
    size_t n = 0;
    snprintf(path, sizeof(path), "%s/%s", root, tenant_directory);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        n += entry->d_name[0] != '.';
    }
    closedir(dir);
    return n;
}

static void an_upload_leaves_nothing_when_it_ends_early(void **state)
{
    (void)state;
    struct file_writer *writer;
    struct file_info info;
    char names[400] = "";
    put("t", "a", "text/plain", "old");
    assert_int_equal(store.write(store.ctx, "t", "a", "text/plain", &writer), CW_OK);
    assert_int_equal(store.append(writer, CW_STR("half")), CW_OK);
    assert_int_equal(store.list(store.ctx, "t", add_name, names), CW_OK);
    assert_string_equal(names, "a;");
    assert_int_equal(count_files("ft"), 2);
    store.abort(writer);
    assert_int_equal(count_files("ft"), 1);
    assert_string_equal(get("t", "a", &info), "old");

    /* a crash: nobody aborts; the next start does */
    char left[100];
    snprintf(left, sizeof(left), "%s/ft/t1-7", root);
    int fd = open(left, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    disk_close(disk);
    assert_int_equal(disk_open(root, &disk), CW_OK);
    store = disk_port(disk);
    assert_int_equal(count_files("ft"), 1);
}

static void a_damaged_or_foreign_file_is_not_given_out(void **state)
{
    (void)state;
    struct file_info info;
    int fd;
    char path[100];
    put("t", "a", "text/plain", "content");
    snprintf(path, sizeof(path), "%s/ft/fa", root);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(store.open(store.ctx, "t", "a", &info, &fd), CW_IO);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(store.open(store.ctx, "t", "a", &info, &fd), CW_IO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(store.open(store.ctx, "t", "a", &info, &fd), CW_IO);
    char names[400] = "";
    assert_int_equal(store.list(store.ctx, "t", add_name, names), CW_OK);
    assert_string_equal(names, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_stored_with_its_type_and_replaced, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_reader_keeps_the_file_that_it_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(tenants_are_apart_whatever_they_are_called, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_upload_leaves_nothing_when_it_ends_early, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_damaged_or_foreign_file_is_not_given_out, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
