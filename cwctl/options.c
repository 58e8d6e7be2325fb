/* Reads argv by a table of options. */
#include "cwctl/options.h"

#include <string.h>

static const struct option_row *find(const struct option_row *rows, struct cw_str name)
{
    for (; rows->name; rows++) {
        if (cw_str_is(name, rows->name)) {
            return rows;
        }
    }
    return NULL;
}

static bool store(const struct option_row *row, char *value)
{
    uint64_t number;
    struct option_values *list = row->to;
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)row->to = true;
        return true;
    case OPTION_TEXT:
    case OPTION_SET_TEXT:
        *(const char **)row->to = value;
        return true;
    case OPTION_NUMBER:
        if (cw_str_to_u64(cw_str(value), (uint64_t)1 << 53, &number) != CW_OK) {
            return false;
        }
        *(int64_t *)row->to = (int64_t)number;
        return true;
    case OPTION_LIST:
    case OPTION_SET_LIST:
        if (list->n == OPTION_VALUES_MAX) {
            return false;
        }
        list->items[list->n++] = cw_str(value);
        return true;
    }
    return false;
}

bool options_parse(const struct option_row *rows, int argc, char **argv,
                   struct operands *ret_operands, char ret_message[128])
{
    bool only_operands = false;
    ret_operands->n = 0;
    for (int i = 0; i < argc; i++) {
        char *arg = argv[i];
        if (only_operands || strncmp(arg, "--", 2) != 0) {
            if (ret_operands->n == OPTION_VALUES_MAX) {
                snprintf(ret_message, 128, "too many arguments");
                return false;
            }
            ret_operands->items[ret_operands->n++] = arg;
            continue;
        }
        if (!arg[2]) {
            only_operands = true;
            continue;
        }
        char *equals = strchr(arg, '=');
        struct cw_str name = {arg, equals ? (size_t)(equals - arg) : strlen(arg)};
        const struct option_row *row = find(rows, name);
        if (!row) {
            snprintf(ret_message, 128, "unknown option %.*s", (int)CW_MIN(name.n, 40), name.p);
            return false;
        }
        char *value = equals ? equals + 1 : NULL;
        if (row->kind == OPTION_FLAG ? value != NULL : !value && i + 1 == argc) {
            snprintf(ret_message, 128, "%s %s", row->name,
                     row->kind == OPTION_FLAG ? "takes no value" : "needs a value");
            return false;
        }
        if (row->kind != OPTION_FLAG && !value) {
            value = argv[++i];
            if (strncmp(value, "--", 2) == 0) {
                /* a forgotten value, or an unset variable of a script: not the next option */
                snprintf(ret_message, 128, "%s needs a value; one that begins with -- as %s=VALUE",
                         row->name, row->name);
                return false;
            }
        }
        if (value && !*value && (row->kind == OPTION_TEXT || row->kind == OPTION_LIST)) {
            snprintf(ret_message, 128, "%s is empty: give a value, or leave the option out",
                     row->name);
            return false;
        }
        if (!store(row, value)) {
            snprintf(ret_message, 128, "%s: not a valid value", row->name);
            return false;
        }
    }
    return true;
}

void options_print(const struct option_row *rows, FILE *to)
{
    for (; rows->name; rows++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", rows->name, rows->value ? " " : "",
                 rows->value ? rows->value : "");
        fprintf(to, "  %-24s %s%s\n", left, rows->help,
                rows->kind == OPTION_LIST || rows->kind == OPTION_SET_LIST ? " (repeatable)" : "");
    }
}
