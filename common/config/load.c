/* Gathers the values of all sources, lets the highest win, validates the whole, makes the snapshot.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config/internal.h"

enum { ARENA_MAX = 256 << 20 };

/* ---- collecting ---- */

void config_report(struct config_loader *loader, enum config_source source, unsigned line,
                   const char *where, const char *key, const char *text)
{
    loader->invalid = true;
    config_where(loader->config, source, line, where, loader->problems);
    if (*key) {
        cw_buf_addf(loader->problems, "%s: ", key);
    }
    cw_buf_addf(loader->problems, "%s\n", text);
}

static void report_unknown(struct config_loader *loader, const char *key, enum config_source source,
                           unsigned line, const char *where)
{
    const struct cw_config_schema *schema = loader->config->schema;
    bool ours = config_is_ours(schema, key);
    if (!ours && source == CONFIG_FILE && !config_near_prefix(schema, key)) {
        return; /* a part of a shared document that is somebody else's */
    }
    char text[CW_CONFIG_KEY_MAX + 64] = "unknown key";
    const char *near_miss = config_near_miss(schema, key);
    if (config_is_section(schema, key)) {
        snprintf(text, sizeof(text), "is a section, not a value");
    } else if (near_miss) {
        snprintf(text, sizeof(text), "unknown key; did you mean %s?", near_miss);
    }
    config_report(loader, source, line, where, key, text);
}

static void push(struct config_loader *loader, struct config_raw raw)
{
    if (loader->n_raws == loader->cap_raws) {
        size_t cap = loader->cap_raws ? 2 * loader->cap_raws : 256;
        struct config_raw *raws = realloc(loader->raws, cap * sizeof(*raws));
        if (!raws) {
            loader->no_memory = true;
            return;
        }
        loader->raws = raws;
        loader->cap_raws = cap;
    }
    raw.seq = loader->n_raws;
    loader->raws[loader->n_raws++] = raw;
}

/* "a.b[3]" → "a.b", 3 when a.b is a list of strings. */
static const struct cw_config_key *list_row(const struct cw_config_schema *schema, const char *key,
                                            char list[CW_CONFIG_KEY_MAX], int *ret_index)
{
    const char *open = strrchr(key, '[');
    size_t n = open ? (size_t)(open - key) : 0;
    if (!open || n >= CW_CONFIG_KEY_MAX) {
        return NULL;
    }
    memcpy(list, key, n);
    list[n] = '\0';
    size_t digits = strspn(open + 1, "0123456789");
    uint64_t index;
    if (strcmp(open + 1 + digits, "]") != 0 ||
        cw_str_to_u64((struct cw_str){open + 1, digits}, CW_CONFIG_VALUES_MAX, &index) != CW_OK) {
        return NULL;
    }
    const struct cw_config_key *row = config_row(schema, list);
    *ret_index = (int)index;
    return row && row->type == CW_CONFIG_LIST ? row : NULL;
}

void config_add(struct config_loader *loader, const char *key, struct cw_str value,
                enum config_source source, unsigned line, const char *where, bool empty_list)
{
    const struct cw_config_schema *schema = loader->config->schema;
    struct cw_arena *arena = &loader->config->arena;
    char list[CW_CONFIG_KEY_MAX], own[CW_CONFIG_KEY_MAX];
    key = cw_config_own_key(schema, key, own);
    struct config_raw raw = {
        .source = source, .line = line, .where = where, .index = CONFIG_SCALAR};
    raw.row = config_row(schema, key);
    if (!raw.row) {
        raw.row = list_row(schema, key, list, &raw.index);
        key = raw.row ? list : key;
    }
    if (!value.p && (raw.row ? !(empty_list && raw.row->type == CW_CONFIG_LIST)
                             : config_is_section(schema, key))) {
        return; /* a key without a value, a section without keys */
    }
    if (!raw.row) {
        report_unknown(loader, key, source, line, where);
        return;
    }
    if (!value.p) {
        raw.index = CONFIG_EMPTY_LIST;
    }
    raw.key = cw_arena_dup(arena, cw_str(key));
    bool secret = source == CONFIG_SETTING && raw.row->type == CW_CONFIG_SECRET;
    raw.value = secret ? value.p : cw_arena_dup(arena, value.p ? value : CW_STR(""));
    if (!raw.key || !raw.value) {
        loader->no_memory = true;
        return;
    }
    push(loader, raw);
}

/* ---- sources ---- */

static void read_text(struct config_loader *loader, const char *file, struct cw_buf *text)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && !text->failed) {
        char chunk[16384];
        n = read(fd, chunk, sizeof(chunk));
        if (n > 0) {
            cw_buf_add(text, chunk, (size_t)n);
        }
    }
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (n < 0) {
        loader->invalid = true;
        cw_buf_addf(loader->problems, "%s: cannot be read: %s\n", file, strerror(error));
    } else if (text->failed) {
        loader->invalid = true;
        cw_buf_addf(loader->problems, "%s: larger than %d MiB\n", file, CW_CONFIG_FILE_MAX >> 20);
    }
}

static void add_file(struct config_loader *loader)
{
    const struct cw_config_input *input = &loader->config->input;
    if (input->text.p) {
        config_yaml(loader, input->text);
    } else if (input->file) {
        struct cw_buf text = CW_BUF_INIT(CW_CONFIG_FILE_MAX);
        read_text(loader, input->file, &text);
        if (!loader->invalid) {
            config_yaml(loader, cw_buf_str(&text));
        }
        cw_buf_done(&text);
    }
}

/* CW_SIDECAR_… is ours when some row begins with `sidecar`. */
static bool env_is_ours(const struct cw_config_schema *schema, const char *name, size_t n)
{
    for (size_t i = 0; i < schema->n_keys; i++) {
        char prefix[CW_CONFIG_KEY_MAX];
        struct cw_buf text = CW_BUF_INIT(sizeof(prefix));
        size_t segment = strcspn(schema->keys[i].key, ".[");
        if (segment >= sizeof(prefix)) {
            continue;
        }
        memcpy(prefix, schema->keys[i].key, segment);
        prefix[segment] = '\0';
        config_env_name(prefix, &text);
        cw_buf_add_char(&text, '_');
        bool ours = !text.failed && cw_str_starts((struct cw_str){name, n}, cw_buf_str(&text));
        cw_buf_done(&text);
        if (ours) {
            return true;
        }
    }
    return false;
}

static void add_variable(struct config_loader *loader, const char *name, size_t n,
                         const char *value)
{
    const struct cw_config_schema *schema = loader->config->schema;
    char key[CW_CONFIG_KEY_MAX];
    const char *where = cw_arena_dup(&loader->config->arena, (struct cw_str){name, n});
    for (size_t i = 0; where && i < schema->n_keys; i++) {
        if (config_env_key(&schema->keys[i], name, n, key)) {
            config_add(loader, key, cw_str(value), CONFIG_ENV, 0, where, false);
            return;
        }
    }
    for (size_t i = 0; where && i < schema->n_aliases; i++) {
        const struct cw_config_key row = {.key = schema->aliases[i].alias};
        if (config_env_key(&row, name, n, key)) {
            config_add(loader, key, cw_str(value), CONFIG_ENV, 0, where, false);
            return;
        }
    }
    if (where && env_is_ours(schema, name, n)) {
        config_report(loader, CONFIG_ENV, 0, where, "", "stands for no key");
    }
}

static void add_environment(struct config_loader *loader)
{
    for (char *const *env = loader->config->input.env; env && *env; env++) {
        const char *equals = strchr(*env, '=');
        if (equals && strncmp(*env, "CW_", 3) == 0) {
            add_variable(loader, *env, (size_t)(equals - *env), equals + 1);
        }
    }
}

static void add_settings(struct config_loader *loader)
{
    const struct cw_config_input *input = &loader->config->input;
    for (size_t i = 0; i < input->n_settings; i++) {
        config_add(loader, input->settings[i].key, cw_str(input->settings[i].value), CONFIG_SETTING,
                   0, NULL, false);
    }
}

static void add_overrides(struct config_loader *loader)
{
    const struct cw_config_input *input = &loader->config->input;
    for (size_t i = 0; i < input->n_overrides; i++) {
        const char *text = input->overrides[i];
        text += strncmp(text, "--", 2) == 0 ? 2 : 0;
        const char *equals = strchr(text, '=');
        char key[CW_CONFIG_KEY_MAX];
        size_t n = equals ? (size_t)(equals - text) : 0;
        if (!equals || n == 0 || n >= sizeof(key)) {
            config_report(loader, CONFIG_ARG, 0, NULL, "", "is not of the form --KEY=VALUE");
            continue;
        }
        memcpy(key, text, n);
        key[n] = '\0';
        config_add(loader, key, cw_str(equals + 1), CONFIG_ARG, 0, NULL, false);
    }
}

/* ---- merging ---- */

/* By key, the highest source first, then in the order of list elements and of appearance. */
static int compare_raws(const void *a, const void *b)
{
    const struct config_raw *x = a, *y = b;
    int c = strcmp(x->key, y->key);
    if (c == 0) {
        c = (int)y->source - (int)x->source;
    }
    if (c == 0) {
        c = (x->index > y->index) - (x->index < y->index);
    }
    return c ? c : (x->seq > y->seq) - (x->seq < y->seq);
}

static void report_value(struct config_loader *loader, const struct config_entry *entry,
                         const char *problem)
{
    struct cw_buf text = CW_BUF_INIT(4096);
    bool secret = entry->row->type == CW_CONFIG_SECRET && entry->source == CONFIG_SETTING;
    bool hidden = secret || (entry->row->flags & CW_CONFIG_HIDDEN);
    if (!hidden && entry->value) {
        cw_buf_add_json(&text, cw_str_slice(cw_str(entry->value), 0, 80));
        cw_buf_add_char(&text, ' ');
    }
    cw_buf_add_cstr(&text, problem);
    if (entry->row->type == CW_CONFIG_ENUM || entry->row->min != 0 || entry->row->max != 0) {
        cw_buf_add_cstr(&text, " (");
        config_bounds(entry->row, &text);
        cw_buf_add_char(&text, ')');
    }
    cw_buf_add_char(&text, '\0');
    config_report(loader, entry->source, entry->line, entry->where, entry->key,
                  text.failed ? problem : text.p);
    cw_buf_done(&text);
}

static bool list_out_of_bounds(const struct config_entry *entry)
{
    const struct cw_config_key *row = entry->row;
    return (row->min != 0 || row->max != 0) &&
           ((int64_t)entry->n_items < row->min || (int64_t)entry->n_items > row->max);
}

/* raws[0..n) are one list of one source. */
static void merge_list(struct config_loader *loader, struct config_entry *entry,
                       const struct config_raw *raws, size_t n)
{
    struct cw_arena *arena = &loader->config->arena;
    if (raws[0].index == CONFIG_SCALAR && n == 1) {
        entry->items = config_split(arena, raws[0].value, &entry->n_items);
    } else {
        entry->items = cw_arena_zalloc(arena, n * sizeof(*entry->items));
        for (size_t i = 0; entry->items && i < n && raws[0].index != CONFIG_EMPTY_LIST; i++) {
            if (raws[i].index != (int)i) {
                report_value(loader, entry, "has a gap or an element twice");
                return;
            }
            entry->items[entry->n_items++] = raws[i].value;
        }
    }
    if (!entry->items) {
        loader->no_memory = true;
    } else if (list_out_of_bounds(entry)) {
        report_value(loader, entry, "number of elements is out of bounds");
    }
}

static void merge_scalar(struct config_loader *loader, struct config_entry *entry,
                         const struct config_raw *raws, size_t n)
{
    /* the command line may repeat a key, a file may not */
    const struct config_raw *raw = raws[0].source == CONFIG_ARG ? &raws[n - 1] : &raws[0];
    entry->value = raw->value;
    if (n > 1 && (raw->source == CONFIG_FILE || raw->source == CONFIG_SETTING)) {
        entry->line = raws[n - 1].line;
        report_value(loader, entry, "comes twice");
        return;
    }
    const char *problem = config_value_parse(entry->row, entry->value, &entry->number);
    if (problem) {
        report_value(loader, entry, problem);
    } else if (entry->row->type == CW_CONFIG_SECRET && entry->source != CONFIG_SETTING &&
               access(entry->value, R_OK) != 0) {
        report_value(loader, entry, "cannot be read");
    }
}

static void merge(struct config_loader *loader)
{
    struct cw_config *config = loader->config;
    size_t n_raws = loader->n_raws;
    config->entries = calloc(n_raws ? n_raws : 1, sizeof(*config->entries));
    if (!config->entries || loader->no_memory) {
        loader->no_memory = true;
        return;
    }
    if (n_raws > 0) {
        qsort(loader->raws, n_raws, sizeof(*loader->raws), compare_raws);
    }
    for (size_t i = 0; i < n_raws;) {
        const struct config_raw *raw = &loader->raws[i];
        size_t of_source = 0, of_key = 0;
        while (i + of_key < n_raws && strcmp(loader->raws[i + of_key].key, raw->key) == 0) {
            of_source += loader->raws[i + of_key].source == raw->source;
            of_key++;
        }
        struct config_entry *entry = &config->entries[config->n_entries++];
        *entry = (struct config_entry){.key = raw->key,
                                       .row = raw->row,
                                       .source = raw->source,
                                       .line = raw->line,
                                       .where = raw->where};
        if (raw->row->type == CW_CONFIG_LIST) {
            merge_list(loader, entry, raw, of_source);
        } else {
            merge_scalar(loader, entry, raw, of_source);
        }
        i += of_key;
    }
}

/* ---- validation of the whole ---- */

static void check_defaults(struct config_loader *loader)
{
    struct cw_config *config = loader->config;
    const struct cw_config_schema *schema = config->schema;
    config->defaults = calloc(schema->n_keys ? schema->n_keys : 1, sizeof(*config->defaults));
    for (size_t i = 0; config->defaults && i < schema->n_keys; i++) {
        struct config_entry *entry = &config->defaults[i];
        entry->key = schema->keys[i].key;
        entry->row = &schema->keys[i];
        entry->value = entry->row->fallback;
        if (!entry->value) {
            entry->number = entry->row->type == CW_CONFIG_ENUM ? -1 : 0;
            continue;
        }
        if (entry->row->type == CW_CONFIG_LIST) {
            entry->items = config_split(&config->arena, entry->value, &entry->n_items);
        }
        const char *problem = config_value_parse(entry->row, entry->value, &entry->number);
        if (problem) {
            report_value(loader, entry, problem);
        }
    }
    loader->no_memory |= !config->defaults;
}

/* Elements of lists of objects are numbered without gaps. */
static void check_gaps(struct config_loader *loader)
{
    const struct cw_config *config = loader->config;
    for (size_t i = 0; i < config->n_entries; i++) {
        const struct config_entry *entry = &config->entries[i];
        for (const char *p = strchr(entry->key, '['); p; p = strchr(p + 1, '[')) {
            unsigned long index = strtoul(p + 1, NULL, 10);
            char before[CW_CONFIG_KEY_MAX + 32];
            if (index == 0) {
                continue;
            }
            snprintf(before, sizeof(before), "%.*s[%lu]", (int)(p - entry->key), entry->key,
                     index - 1);
            size_t at = config_lower_bound(config, before);
            if (at == config->n_entries ||
                !cw_str_starts(cw_str(config->entries[at].key), cw_str(before))) {
                config_report(loader, entry->source, entry->line, entry->where, entry->key,
                              "an element before it is missing or empty");
                return;
            }
        }
    }
}

/* `pattern` is what of the row's key is not yet in `at`. */
static void check_required(struct config_loader *loader, const struct cw_config_at *at,
                           const char *pattern)
{
    const char *brackets = strstr(pattern, "[]");
    if (!brackets) {
        if (!cw_config_has(at, pattern)) {
            cw_config_problem(at, pattern, loader->problems, "is required");
            loader->invalid = true;
        }
        return;
    }
    char list[CW_CONFIG_KEY_MAX];
    snprintf(list, sizeof(list), "%.*s", (int)(brackets - pattern), pattern);
    size_t n = cw_config_count(at, list);
    for (size_t i = 0; i < n; i++) {
        struct cw_config_at item = cw_config_item(at, list, i);
        check_required(loader, &item, brackets + 3);
    }
}

static void check_whole(struct config_loader *loader)
{
    const struct cw_config_schema *schema = loader->config->schema;
    struct cw_config_at root = cw_config_root(loader->config);
    check_gaps(loader);
    for (size_t i = 0; i < schema->n_keys && !loader->invalid; i++) {
        if (schema->keys[i].flags & CW_CONFIG_REQUIRED) {
            check_required(loader, &root, schema->keys[i].key);
        }
    }
    if (schema->check && !loader->invalid) {
        size_t before = loader->problems->n;
        schema->check(loader->config, loader->problems);
        loader->invalid = loader->problems->n != before || loader->problems->failed;
    }
}

enum cw_err cw_config_load(const struct cw_config_schema *schema,
                           const struct cw_config_input *input, struct cw_buf *problems,
                           struct cw_config **ret_config)
{
    struct cw_config *config = calloc(1, sizeof(*config));
    ENSURE(config, CW_NO_MEMORY);
    config->refs = 1;
    config->schema = schema;
    config->input = *input;
    config->arena.max = ARENA_MAX;
    struct config_loader loader = {.config = config, .problems = problems};
    check_defaults(&loader);
    add_file(&loader);
    add_settings(&loader);
    add_environment(&loader);
    add_overrides(&loader);
    merge(&loader);
    if (!loader.no_memory) {
        check_whole(&loader);
    }
    free(loader.raws);
    if (loader.invalid || loader.no_memory) {
        cw_config_unref(config);
        return loader.no_memory ? CW_NO_MEMORY : CW_CONFIG_INVALID;
    }
    *ret_config = config;
    return CW_OK;
}
