/* The snapshot: finding values by cursor and key, comparing two of them. */
#include "common/config/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/internal.h"

/* ---- life ---- */

struct cw_config *cw_config_ref(const struct cw_config *config)
{
    struct cw_config *mine; /* readers hold it const; only the count changes */
    memcpy(&mine, &config, sizeof(mine));
    atomic_fetch_add(&mine->refs, 1);
    return mine;
}

void cw_config_unref(struct cw_config *config)
{
    if (config && atomic_fetch_sub(&config->refs, 1) == 1) {
        free(config->entries);
        free(config->defaults);
        cw_arena_done(&config->arena);
        free(config);
    }
}

void cw_config_unrefp(struct cw_config **config)
{
    cw_config_unref(*config);
}

/* ---- finding ---- */

size_t config_lower_bound(const struct cw_config *config, const char *key)
{
    size_t low = 0, high = config->n_entries;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(config->entries[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct config_entry *config_find(const struct cw_config *config, const char *key)
{
    size_t i = config_lower_bound(config, key);
    bool found = i < config->n_entries && strcmp(config->entries[i].key, key) == 0;
    return found ? &config->entries[i] : NULL;
}

void config_where(const struct cw_config *config, enum config_source source, unsigned line,
                  const char *where, struct cw_buf *out)
{
    const char *file = config->input.file ? config->input.file : "configuration";
    switch (source) {
    case CONFIG_FILE:
        cw_buf_addf(out, "%s:%u: ", file, line);
        break;
    case CONFIG_ENV:
        cw_buf_addf(out, "environment %s: ", where);
        break;
    case CONFIG_ARG:
        cw_buf_add_cstr(out, "command line: ");
        break;
    case CONFIG_SETTING:
        break; /* the key says it all */
    case CONFIG_DEFAULT:
    default:
        if (config->input.n_settings > 0) {
            break;
        }
        cw_buf_addf(out, "%s: ", file);
        break;
    }
}

static void full_key(const struct cw_config_at *at, const char *key, char out[CW_CONFIG_KEY_MAX])
{
    int n = snprintf(out, CW_CONFIG_KEY_MAX, "%s%s", at->prefix, key);
    if (n < 0 || n >= CW_CONFIG_KEY_MAX) {
        abort(); /* no key in a table is that long */
    }
}

/* The value at the cursor or the default of its row. A key that the table lacks is a bug: found by
 * the first run of the code that asks, not by a user. */
static const struct config_entry *entry_of(const struct cw_config_at *at, const char *key)
{
    char name[CW_CONFIG_KEY_MAX];
    full_key(at, key, name);
    const struct config_entry *entry = config_find(at->config, name);
    if (entry) {
        return entry;
    }
    const struct cw_config_schema *schema = at->config->schema;
    const struct cw_config_key *row = config_row(schema, name);
    if (!row) {
        fprintf(stderr, "%s: no configuration key %s\n", schema->program, name);
        abort();
    }
    return &at->config->defaults[row - schema->keys];
}

static const struct config_entry *typed(const struct cw_config_at *at, const char *key,
                                        enum cw_config_type type)
{
    const struct config_entry *entry = entry_of(at, key);
    if (entry->row->type != type) {
        fprintf(stderr, "%s: configuration key %s is of another type\n",
                at->config->schema->program, entry->key);
        abort();
    }
    return entry;
}

/* ---- reading ---- */

struct cw_config_at cw_config_root(const struct cw_config *config)
{
    return (struct cw_config_at){.config = config};
}

static bool has_below(const struct cw_config *config, const char *prefix)
{
    size_t i = config_lower_bound(config, prefix);
    return i < config->n_entries && cw_str_starts(cw_str(config->entries[i].key), cw_str(prefix));
}

size_t cw_config_count(const struct cw_config_at *at, const char *list)
{
    size_t n = 0;
    for (;;) {
        char prefix[CW_CONFIG_KEY_MAX + 32];
        snprintf(prefix, sizeof(prefix), "%s%s[%zu].", at->prefix, list, n);
        if (!has_below(at->config, prefix)) {
            return n;
        }
        n++;
    }
}

struct cw_config_at cw_config_item(const struct cw_config_at *at, const char *list, size_t i)
{
    struct cw_config_at item = {.config = at->config};
    int n = snprintf(item.prefix, sizeof(item.prefix), "%s%s[%zu].", at->prefix, list, i);
    if (n < 0 || n >= (int)sizeof(item.prefix)) {
        abort();
    }
    return item;
}

const char *cw_config_string(const struct cw_config_at *at, const char *key)
{
    const struct config_entry *entry = entry_of(at, key);
    enum cw_config_type type = entry->row->type;
    return type == CW_CONFIG_PATH || type == CW_CONFIG_ENUM || type == CW_CONFIG_SECRET
               ? entry->value
               : typed(at, key, CW_CONFIG_STRING)->value;
}

bool cw_config_bool(const struct cw_config_at *at, const char *key)
{
    return typed(at, key, CW_CONFIG_BOOL)->number != 0;
}

int64_t cw_config_int(const struct cw_config_at *at, const char *key)
{
    return typed(at, key, CW_CONFIG_INT)->number;
}

int64_t cw_config_ms(const struct cw_config_at *at, const char *key)
{
    return typed(at, key, CW_CONFIG_DURATION)->number;
}

size_t cw_config_bytes(const struct cw_config_at *at, const char *key)
{
    return (size_t)typed(at, key, CW_CONFIG_SIZE)->number;
}

int cw_config_enum(const struct cw_config_at *at, const char *key)
{
    return (int)typed(at, key, CW_CONFIG_ENUM)->number;
}

const char *const *cw_config_list(const struct cw_config_at *at, const char *key, size_t *ret_n)
{
    const struct config_entry *entry = typed(at, key, CW_CONFIG_LIST);
    *ret_n = entry->n_items;
    return entry->items;
}

enum cw_err cw_config_secret(const struct cw_config_at *at, const char *key,
                             struct cw_secret *ret_secret)
{
    const struct config_entry *entry = typed(at, key, CW_CONFIG_SECRET);
    ENSURE(entry->value, CW_NOT_FOUND);
    if (entry->source == CONFIG_SETTING) {
        return cw_secret_init(ret_secret, cw_str(entry->value));
    }
    return cw_secret_read(ret_secret, entry->value);
}

bool cw_config_has(const struct cw_config_at *at, const char *key)
{
    char name[CW_CONFIG_KEY_MAX];
    full_key(at, key, name);
    return config_find(at->config, name) != NULL;
}

bool cw_config_pair(const struct cw_config_at *at, const char *key, size_t i, const char **ret_name,
                    const char **ret_value)
{
    char prefix[CW_CONFIG_KEY_MAX];
    char name[CW_CONFIG_KEY_MAX];
    full_key(at, key, name);
    int n = snprintf(prefix, sizeof(prefix), "%.*s.", CW_CONFIG_KEY_MAX - 2, name);
    size_t found = config_lower_bound(at->config, prefix) + i;
    if (found >= at->config->n_entries ||
        !cw_str_starts(cw_str(at->config->entries[found].key), cw_str(prefix))) {
        return false;
    }
    *ret_name = at->config->entries[found].key + n;
    *ret_value = at->config->entries[found].value;
    return true;
}

bool cw_config_value(const struct cw_config *config, size_t i, struct cw_config_value *ret_value)
{
    if (i >= config->n_entries) {
        return false;
    }
    const struct config_entry *entry = &config->entries[i];
    *ret_value = (struct cw_config_value){.key = entry->key,
                                          .type = entry->row->type,
                                          .value = entry->value,
                                          .items = entry->items,
                                          .n_items = entry->n_items};
    return true;
}

void cw_config_problem(const struct cw_config_at *at, const char *key, struct cw_buf *problems,
                       const char *format, ...)
{
    char name[CW_CONFIG_KEY_MAX];
    full_key(at, key, name);
    const struct config_entry *entry = config_find(at->config, name);
    size_t i = config_lower_bound(at->config, *key ? name : at->prefix);
    /* an absent key of an element is reported where the element stands */
    if (!entry && *at->prefix && !has_below(at->config, name)) {
        i = config_lower_bound(at->config, at->prefix);
    }
    if (!entry && i < at->config->n_entries && (*at->prefix || has_below(at->config, name))) {
        entry = &at->config->entries[i];
    }
    if (entry) {
        config_where(at->config, entry->source, entry->line, entry->where, problems);
    } else {
        config_where(at->config, CONFIG_DEFAULT, 0, NULL, problems);
    }
    cw_buf_addf(problems, "%s: ", name);
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    cw_buf_addf(problems, "%s\n", text);
}

/* ---- comparing ---- */

static bool same_value(const struct config_entry *a, const struct config_entry *b)
{
    if (a->row->type != CW_CONFIG_LIST) {
        return strcmp(a->value ? a->value : "", b->value ? b->value : "") == 0;
    }
    bool same = a->n_items == b->n_items;
    for (size_t i = 0; same && i < a->n_items; i++) {
        same = strcmp(a->items[i], b->items[i]) == 0;
    }
    return same;
}

/* The next difference at or behind *i and *j (which walk a and b together); NULL: none. */
static const struct config_entry *next_change(const struct cw_config *a, const struct cw_config *b,
                                              size_t *i, size_t *j)
{
    while (*i < a->n_entries || *j < b->n_entries) {
        const struct config_entry *x = *i < a->n_entries ? &a->entries[*i] : NULL;
        const struct config_entry *y = *j < b->n_entries ? &b->entries[*j] : NULL;
        int c = !x ? 1 : !y ? -1 : strcmp(x->key, y->key);
        *i += c <= 0;
        *j += c >= 0;
        if (c == 0 && same_value(x, y)) {
            continue;
        }
        return c < 0 ? x : y;
    }
    return NULL;
}

bool cw_config_changed(const struct cw_config *a, const struct cw_config *b, const char *key)
{
    size_t i = 0, j = 0, n = strlen(key);
    const struct config_entry *entry;
    while ((entry = next_change(a, b, &i, &j))) {
        char after = strncmp(entry->key, key, n) == 0 ? entry->key[n] : 'x';
        if (after == '\0' || after == '.' || after == '[') {
            return true;
        }
    }
    return false;
}

enum cw_err cw_config_reload(const struct cw_config *old, struct cw_buf *problems,
                             struct cw_config **ret_config)
{
    struct cw_config *config;
    TRY(cw_config_load(old->schema, &old->input, problems, &config));
    size_t i = 0, j = 0;
    bool refused = false;
    const struct config_entry *entry;
    while ((entry = next_change(old, config, &i, &j))) {
        if (!(entry->row->flags & CW_CONFIG_RELOADABLE)) {
            config_where(config, entry->source, entry->line, entry->where, problems);
            cw_buf_addf(problems, "%s: needs a restart to change\n", entry->key);
            refused = true;
        }
    }
    if (refused) {
        cw_config_unref(config);
        return CW_CONFIG_INVALID;
    }
    *ret_config = config;
    return CW_OK;
}
