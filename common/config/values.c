/* The types of values: how each is written, read and bounded. */
#include <ctype.h>
#include <string.h>

#include "common/config/internal.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* Largest first, so that a number is shown in the largest unit that divides it. */
static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
static const struct unit size_units[] = {
    {"GiB", 1 << 30},
    {"MiB", 1 << 20},
    {"KiB", 1 << 10},
    {"B", 1},
};

static const char *const type_names[] = {
    [CW_CONFIG_STRING] = "string",
    [CW_CONFIG_BOOL] = "bool",
    [CW_CONFIG_INT] = "int",
    [CW_CONFIG_DURATION] = "duration",
    [CW_CONFIG_SIZE] = "size",
    [CW_CONFIG_LIST] = "list",
    [CW_CONFIG_ENUM] = "enum",
    [CW_CONFIG_PATH] = "path",
    [CW_CONFIG_SECRET] = "secret file",
};

const char *config_type_name(enum cw_config_type type)
{
    return type_names[type];
}

/* Digits then one of the units; `bare` is the factor of a number without one, 0: not allowed. */
static bool parse_units(const char *text, const struct unit *units, size_t n_units, int64_t bare,
                        int64_t *ret_number)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number;
    if (cw_str_to_u64((struct cw_str){text, digits}, INT64_MAX, &number) != CW_OK) {
        return false;
    }
    int64_t factor = text[digits] == '\0' ? (number == 0 ? 1 : bare) : 0;
    for (size_t i = 0; i < n_units; i++) {
        if (strcmp(text + digits, units[i].name) == 0) {
            factor = units[i].factor;
        }
    }
    return factor > 0 && !__builtin_mul_overflow((int64_t)number, factor, ret_number);
}

static bool parse_int(const char *text, int64_t *ret_number)
{
    bool negative = text[0] == '-';
    uint64_t number;
    if (cw_str_to_u64(cw_str(text + negative), INT64_MAX, &number) != CW_OK) {
        return false;
    }
    *ret_number = negative ? -(int64_t)number : (int64_t)number;
    return true;
}

static bool parse_enum(const char *values, const char *text, int64_t *ret_number)
{
    struct cw_str rest = cw_str(values);
    struct cw_str word;
    for (int64_t i = 0; cw_str_word(&rest, '|', &word); i++) {
        if (cw_str_is(word, text)) {
            *ret_number = i;
            return true;
        }
    }
    return false;
}

static bool in_bounds(const struct cw_config_key *row, int64_t number)
{
    return (row->min == 0 && row->max == 0) || (number >= row->min && number <= row->max);
}

const char *config_value_parse(const struct cw_config_key *row, const char *text,
                               int64_t *ret_number)
{
    const char *problem = NULL;
    int64_t measured = 0;
    switch (row->type) {
    case CW_CONFIG_BOOL:
        measured = strcmp(text, "true") == 0;
        problem = measured || strcmp(text, "false") == 0 ? NULL : "is not true or false";
        break;
    case CW_CONFIG_INT:
        problem = parse_int(text, &measured) ? NULL : "is not a whole number";
        break;
    case CW_CONFIG_DURATION:
        problem = parse_units(text, duration_units, CW_ARRAY_SIZE(duration_units), 0, &measured)
                      ? NULL
                      : "is not a duration (10ms, 30s, 5m, 1h, 7d)";
        break;
    case CW_CONFIG_SIZE:
        problem = parse_units(text, size_units, CW_ARRAY_SIZE(size_units), 1, &measured)
                      ? NULL
                      : "is not a size (512B, 64KiB, 128MiB, 1GiB)";
        break;
    case CW_CONFIG_ENUM:
        return parse_enum(row->values, text, ret_number) ? NULL : "is none of the allowed values";
    case CW_CONFIG_PATH:
    case CW_CONFIG_SECRET:
        return *text ? NULL : "is empty";
    case CW_CONFIG_STRING:
    case CW_CONFIG_LIST:
    default:
        return NULL;
    }
    if (!problem && !in_bounds(row, measured)) {
        problem = "is out of bounds";
    }
    *ret_number = measured;
    return problem;
}

static void add_amount(struct cw_buf *out, int64_t number, const struct unit *units, size_t n)
{
    for (size_t i = 0; i < n && number != 0; i++) {
        if (number % units[i].factor == 0) {
            cw_buf_addf(out, "%lld%s", (long long)(number / units[i].factor), units[i].name);
            return;
        }
    }
    cw_buf_addf(out, "%lld", (long long)number);
}

static void add_number(struct cw_buf *out, const struct cw_config_key *row, int64_t number)
{
    if (row->type == CW_CONFIG_DURATION) {
        add_amount(out, number, duration_units, CW_ARRAY_SIZE(duration_units));
    } else if (row->type == CW_CONFIG_SIZE) {
        add_amount(out, number, size_units, CW_ARRAY_SIZE(size_units));
    } else {
        cw_buf_addf(out, "%lld", (long long)number);
    }
}

void config_bounds(const struct cw_config_key *row, struct cw_buf *out)
{
    if (row->type == CW_CONFIG_ENUM) {
        cw_buf_add_cstr(out, row->values);
    } else if (row->min != 0 || row->max != 0) {
        add_number(out, row, row->min);
        cw_buf_add_cstr(out, "..");
        add_number(out, row, row->max);
    }
}

const char **config_split(struct cw_arena *arena, const char *text, size_t *ret_n)
{
    size_t n = 1;
    for (const char *p = text; *p; p++) {
        n += *p == ',';
    }
    const char **items = cw_arena_zalloc(arena, n * sizeof(*items));
    struct cw_str rest = cw_str(text);
    *ret_n = 0;
    while (items && rest.n > 0) {
        size_t comma = cw_str_find(rest, ',');
        struct cw_str item = cw_str_trim(cw_str_slice(rest, 0, comma));
        rest = comma < rest.n ? cw_str_slice(rest, comma + 1, rest.n) : CW_STR("");
        if (item.n > 0) {
            items[*ret_n] = cw_arena_dup(arena, item);
            if (!items[*ret_n]) {
                return NULL;
            }
            (*ret_n)++;
        }
    }
    return items;
}
