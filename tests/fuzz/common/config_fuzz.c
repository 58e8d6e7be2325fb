/* The configuration loader: whatever text comes, it is refused with words or every value can be
 * read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct cw_config_key keys[] = {
    {"a.s", CW_CONFIG_STRING, NULL, 0, 0, NULL, 0, "h"},
    {"a.i", CW_CONFIG_INT, "5", -10, 1000, NULL, CW_CONFIG_RELOADABLE, "h"},
    {"a.d", CW_CONFIG_DURATION, "1s", 1, 86400000, NULL, 0, "h"},
    {"a.b", CW_CONFIG_SIZE, "1KiB", 1, 1 << 30, NULL, 0, "h"},
    {"a.l", CW_CONFIG_LIST, "x,y", 1, 5, NULL, 0, "h"},
    {"a.e", CW_CONFIG_ENUM, "one", 0, 0, "one|two", 0, "h"},
    {"a.m.*", CW_CONFIG_STRING, NULL, 0, 0, NULL, 0, "h"},
    {"t[].n", CW_CONFIG_STRING, NULL, 0, 0, NULL, CW_CONFIG_REQUIRED, "h"},
    {"t[].u[].v", CW_CONFIG_BOOL, NULL, 0, 0, NULL, 0, "h"},
    {"t[].u[].l", CW_CONFIG_LIST, NULL, 0, 0, NULL, 0, "h"},
};

static const struct cw_config_schema schema = {
    .program = "p", .summary = "s", .keys = keys, .n_keys = CW_ARRAY_SIZE(keys)};

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void read_all(const struct cw_config *config)
{
    struct cw_config_at root = cw_config_root(config);
    size_t n;
    const char *name, *value;
    int64_t i = cw_config_int(&root, "a.i"), d = cw_config_ms(&root, "a.d");
    size_t b = cw_config_bytes(&root, "a.b");
    require(i >= -10 && i <= 1000 && d >= 1 && d <= 86400000 && b >= 1 && b <= 1 << 30);
    int e = cw_config_enum(&root, "a.e");
    require((e == 0 || e == 1) && cw_config_string(&root, "a.e"));
    const char *const *list = cw_config_list(&root, "a.l", &n);
    require(n >= 1 && n <= 5);
    for (size_t k = 0; k < n; k++) {
        require(list[k] && strlen(list[k]) <= CW_CONFIG_VALUE_MAX);
    }
    for (size_t k = 0; cw_config_pair(&root, "a.m", k, &name, &value); k++) {
        require(*name && value);
    }
    for (size_t k = 0; k < cw_config_count(&root, "t") && k < 50; k++) {
        struct cw_config_at t = cw_config_item(&root, "t", k);
        require(cw_config_string(&t, "n") != NULL);
        for (size_t j = 0; j < cw_config_count(&t, "u") && j < 50; j++) {
            struct cw_config_at u = cw_config_item(&t, "u", j);
            cw_config_bool(&u, "v");
            cw_config_list(&u, "l", &n);
        }
    }
    require(!cw_config_changed(config, config, "a") && !cw_config_changed(config, config, "t"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cw_buf problems = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct cw_config_input input = {.file = "f", .text = {(const char *)data, size}};
    struct cw_config *config = NULL;
    if (!data) {
        return 0;
    }
    enum cw_err err = cw_config_load(&schema, &input, &problems, &config);
    if (err == CW_OK) {
        require(problems.n == 0);
        read_all(config);
        cw_config_unref(config);
    } else {
        require(err != CW_CONFIG_INVALID || problems.n > 0);
    }
    cw_buf_done(&problems);
    return 0;
}
