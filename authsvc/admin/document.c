/* Turns settings into a configuration of one tenant, lets the table of keys judge it, and reads the
 * tenant from it as from a file. */
#include "authsvc/admin/document.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/main/tenant_config.h"

#define PREFIX "tenants[0]."

struct document {
    json_t *object;
};

struct document *document_new(void)
{
    struct document *document = calloc(1, sizeof(*document));
    if (document != NULL) {
        document->object = json_object();
    }
    if (document != NULL && document->object == NULL) {
        document_free(document);
        return NULL;
    }
    return document;
}

void document_free(struct document *document)
{
    if (document != NULL) {
        json_decref(document->object);
        free(document);
    }
}

static bool is_setting(const json_t *value)
{
    size_t i;
    const json_t *item;
    if (!json_is_array(value)) {
        return json_is_string(value);
    }
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item)) {
            return false;
        }
    }
    return true;
}

enum cw_err document_parse(struct cw_str json, struct document **ret_document)
{
    struct document *document = document_new();
    ENSURE(document != NULL, CW_NO_MEMORY);
    enum cw_err err = CW_OK;
    if (json.n > 0) {
        json_decref(document->object);
        document->object = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
        err = json_is_object(document->object) ? CW_OK : CW_STORE_UNAVAILABLE;
    }
    const char *name;
    json_t *value;
    json_object_foreach(document->object, name, value)
    {
        err = is_setting(value) ? err : CW_STORE_UNAVAILABLE;
    }
    if (err != CW_OK) {
        document_free(document);
        return err;
    }
    *ret_document = document;
    return CW_OK;
}

enum cw_err document_write(const struct document *document, struct cw_buf *ret_json)
{
    char *text = json_dumps(document->object, JSON_COMPACT);
    ENSURE(text != NULL, CW_NO_MEMORY);
    cw_buf_add_cstr(ret_json, text);
    cw_secret_wipe(text, strlen(text));
    free(text);
    return cw_buf_check(ret_json);
}

/* --- changing --------------------------------------------------------------------------- */

/* NULL for what is no text. */
static json_t *text_of(struct cw_str s)
{
    bool plain = s.n <= CW_CONFIG_VALUE_MAX && (s.n == 0 || memchr(s.p, '\0', s.n) == NULL);
    return plain && cw_str_is_utf8(s) ? json_stringn(s.n > 0 ? s.p : "", s.n) : NULL;
}

/* `clients[1]` or `clients` with all that lies below. */
static void remove_below(json_t *object, const char *name)
{
    size_t n = strlen(name);
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, key, value)
    {
        if (strncmp(key, name, n) == 0 && (key[n] == '\0' || key[n] == '[' || key[n] == '.')) {
            json_object_del(object, key);
        }
    }
}

static json_t *list_of(const struct cw_str *values, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < n; i++) {
        if (json_array_append_new(list, text_of(values[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* `name` by its own name, which what was set before is found by. */
static const char *own_name(const struct cw_config_schema *schema, const char *name,
                            char ret_key[CW_CONFIG_KEY_MAX])
{
    char key[CW_CONFIG_KEY_MAX];
    snprintf(key, sizeof(key), PREFIX "%s", name);
    const char *own = cw_config_own_key(schema, key, ret_key);
    return own == ret_key ? ret_key + strlen(PREFIX) : name;
}

enum cw_err document_set(struct document *document, const struct cw_config_schema *schema,
                         struct cw_str name, const struct cw_str *values, size_t n)
{
    char given[CW_CONFIG_KEY_MAX], own[CW_CONFIG_KEY_MAX];
    ENSURE(name.n > 0 && name.n + sizeof(PREFIX) < sizeof(given), CW_TENANT_INVALID);
    for (size_t i = 0; i < name.n; i++) {
        ENSURE(name.p[i] > 0x20 && name.p[i] < 0x7f && name.p[i] != '=', CW_TENANT_INVALID);
    }
    memcpy(given, name.p, name.n);
    given[name.n] = '\0';
    const char *key = schema != NULL ? own_name(schema, given, own) : given;
    ENSURE(n <= DOCUMENT_SETTINGS_MAX, CW_TENANT_INVALID);
    remove_below(document->object, key);
    if (n == 0) {
        return CW_OK;
    }
    json_t *value = n == 1 ? text_of(values[0]) : list_of(values, n);
    ENSURE(value != NULL, CW_TENANT_INVALID);
    ENSURE(json_object_size(document->object) < DOCUMENT_SETTINGS_MAX, CW_TENANT_INVALID);
    return json_object_set_new(document->object, key, value) == 0 ? CW_OK : CW_NO_MEMORY;
}

static enum cw_err add_value(struct document *document, const char *name,
                             const struct cw_config_value *value)
{
    struct cw_str single = cw_str(value->value != NULL ? value->value : "");
    if (value->type != CW_CONFIG_LIST) {
        return document_set(document, NULL, cw_str(name), &single, 1);
    }
    json_t *list = json_array();
    ENSURE(list != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < value->n_items; i++) {
        if (json_array_append_new(list, text_of(cw_str(value->items[i]))) != 0) {
            json_decref(list);
            return CW_NO_MEMORY;
        }
    }
    return json_object_set_new(document->object, name, list) == 0 ? CW_OK : CW_NO_MEMORY;
}

enum cw_err document_add_config(struct document *document, const struct cw_config *config,
                                const char *prefix)
{
    struct cw_config_value value;
    size_t n = strlen(prefix);
    for (size_t i = 0; cw_config_value(config, i, &value); i++) {
        if (strncmp(value.key, prefix, n) == 0 && strcmp(value.key + n, "name") != 0 &&
            value.type != CW_CONFIG_SECRET) {
            TRY(add_value(document, value.key + n, &value));
        }
    }
    return CW_OK;
}

/* --- judging ---------------------------------------------------------------------------- */

/* The messages of the configuration name `tenants[0].issuer`; here there is one tenant. */
static void add_lines(struct cw_buf *problems, struct cw_str text)
{
    struct cw_str mark = CW_STR(PREFIX);
    while (text.n > 0) {
        if (cw_str_starts(text, mark)) {
            text = cw_str_slice(text, mark.n, text.n);
        } else {
            cw_buf_add_char(problems, text.p[0]);
            text = cw_str_slice(text, 1, text.n);
        }
    }
}

static enum cw_err load(const struct cw_config_schema *schema, const struct cw_config_input *input,
                        struct cw_buf *problems, struct cw_config **ret_config)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf text = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    enum cw_err err = cw_config_load(schema, input, &text, ret_config);
    add_lines(problems, cw_buf_str(&text));
    return err == CW_CONFIG_INVALID ? CW_TENANT_INVALID : err;
}

enum cw_err document_add_text(struct document *document, struct cw_str text,
                              const struct cw_config_schema *schema, struct cw_buf *problems)
{
    /* What is required may come as a setting: the table judges the whole, later. */
    struct cw_config_schema lenient = *schema;
    struct cw_config_key *keys = calloc(schema->n_keys, sizeof(*keys));
    ENSURE(keys != NULL, CW_NO_MEMORY);
    memcpy(keys, schema->keys, schema->n_keys * sizeof(*keys));
    for (size_t i = 0; i < schema->n_keys; i++) {
        keys[i].flags &= ~(unsigned)CW_CONFIG_REQUIRED;
    }
    lenient.keys = keys;
    lenient.check = NULL;
    const struct cw_config_input input = {.file = "document", .text = text, .prefix = "tenants[0]"};
    struct cw_config *config = NULL;
    enum cw_err err = load(&lenient, &input, problems, &config);
    if (err == CW_OK) {
        err = document_add_config(document, config, PREFIX);
    }
    cw_config_unref(config);
    free(keys);
    return err;
}

struct settings {
    struct cw_arena arena;
    struct cw_config_setting *list;
    size_t n;
    size_t cap;
};

static enum cw_err add_setting(struct settings *s, const char *name, long index, const char *value)
{
    char key[CW_CONFIG_KEY_MAX];
    int n = index < 0 ? snprintf(key, sizeof(key), PREFIX "%s", name)
                      : snprintf(key, sizeof(key), PREFIX "%s[%ld]", name, index);
    ENSURE(n > 0 && (size_t)n < sizeof(key) && s->n < s->cap, CW_TENANT_INVALID);
    char *copy = cw_arena_dup(&s->arena, cw_str(key));
    ENSURE(copy != NULL, CW_NO_MEMORY);
    s->list[s->n++] = (struct cw_config_setting){copy, value};
    return CW_OK;
}

static enum cw_err add_settings(struct settings *s, const struct document *document)
{
    const char *name;
    json_t *value;
    json_t *item;
    json_object_foreach(document->object, name, value)
    {
        size_t i;
        if (json_is_string(value)) {
            TRY(add_setting(s, name, -1, json_string_value(value)));
        }
        json_array_foreach(value, i, item)
        {
            TRY(add_setting(s, name, (long)i, json_string_value(item)));
        }
    }
    return CW_OK;
}

/* What the table cannot know: which document a value stood in. */
static enum cw_err check_kinds(const struct cw_config *config, const struct document *secrets,
                               struct cw_buf *problems)
{
    struct cw_config_value value;
    size_t before = problems->n;
    for (size_t i = 0; cw_config_value(config, i, &value); i++) {
        const char *name = value.key + strlen(PREFIX);
        bool sealed = secrets != NULL && json_object_get(secrets->object, name) != NULL;
        if (value.type == CW_CONFIG_PATH) {
            cw_buf_addf(problems, "%s: names a file: only in the configuration file\n", name);
        } else if (value.type == CW_CONFIG_SECRET && !sealed) {
            cw_buf_addf(problems, "%s: is a secret and must be given as one\n", name);
        } else if (value.type != CW_CONFIG_SECRET && sealed) {
            cw_buf_addf(problems, "%s: is no secret\n", name);
        }
    }
    return problems->n == before ? CW_OK : CW_TENANT_INVALID;
}

static enum cw_err make(const struct settings *s, const struct document *secrets,
                        const struct cw_config_schema *schema, struct cw_buf *problems,
                        struct tenant **ret_tenant)
{
    const struct cw_config_input input = {.settings = s->list, .n_settings = s->n};
    struct cw_config *config = NULL;
    TRY(load(schema, &input, problems, &config));
    enum cw_err err = check_kinds(config, secrets, problems);
    if (err == CW_OK) {
        struct cw_config_at root = cw_config_root(config);
        struct cw_config_at tenant = cw_config_item(&root, "tenants", 0);
        err = tenant_config_read(&tenant, ret_tenant);
    }
    cw_config_unref(config);
    return err;
}

enum cw_err document_tenant(const struct document *document, const struct document *secrets,
                            struct cw_str name, const struct cw_config_schema *schema,
                            struct cw_buf *problems, struct tenant **ret_tenant)
{
    struct settings s = {.arena = CW_ARENA_INIT(4 * DOCUMENT_BYTES_MAX),
                         .cap = DOCUMENT_SETTINGS_MAX};
    if (json_object_get(document->object, "name") != NULL) {
        cw_buf_add_cstr(problems, "name: cannot be changed\n");
        return CW_TENANT_INVALID;
    }
    s.list = malloc(s.cap * sizeof(*s.list));
    char *copy = cw_arena_dup(&s.arena, name);
    enum cw_err err = s.list != NULL && copy != NULL ? CW_OK : CW_NO_MEMORY;
    if (err == CW_OK) {
        err = add_setting(&s, "name", -1, copy);
    }
    if (err == CW_OK) {
        err = add_settings(&s, document);
    }
    if (err == CW_OK && secrets != NULL) {
        err = add_settings(&s, secrets);
    }
    if (err == CW_OK) {
        err = make(&s, secrets, schema, problems, ret_tenant);
    }
    cw_arena_done(&s.arena);
    free(s.list);
    return err;
}

/* --- telling ---------------------------------------------------------------------------- */

enum cw_err document_each(const struct document *document,
                          enum cw_err (*each)(void *ctx, const char *name,
                                              const char *const *values, size_t n),
                          void *ctx)
{
    const char *name;
    json_t *value;
    json_object_foreach(document->object, name, value)
    {
        size_t n = json_is_array(value) ? json_array_size(value) : 1;
        const char **values = calloc(n + 1, sizeof(char *));
        ENSURE(values != NULL, CW_NO_MEMORY);
        for (size_t i = 0; i < n; i++) {
            values[i] = json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
        }
        enum cw_err err = each(ctx, name, values, n);
        free((void *)values);
        TRY(err);
    }
    return CW_OK;
}
