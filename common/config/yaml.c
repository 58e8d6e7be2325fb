/* Reads one YAML document and flattens it to dotted keys and [n], with the line of each value.
 *
 *   tenants:              tenants[0].name = clinicwave      (line 2)
 *     - name: clinicwave
 *
 * A configuration is a tree that a person wrote: anchors, aliases, tags and a second document are
 * refused, keys may not come twice, and depth, size and number of values have bounds. */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/config/internal.h"

enum { MAPPING_KEYS_MAX = 1024 };

struct level {
    bool sequence;
    bool want_key;     /* mapping: the next scalar is a key */
    size_t key_length; /* of the path, at this level without the current child */
    size_t n_children;
    char **keys; /* mapping: those seen */
    size_t n_keys;
};

struct reader {
    struct config_loader *loader;
    yaml_parser_t parser;
    char path[CW_CONFIG_KEY_MAX];
    size_t n; /* length of path */
    struct level levels[CW_CONFIG_DEPTH_MAX];
    size_t depth;
    unsigned documents;
    size_t n_values;
    bool stop;
};

static void fail(struct reader *reader, const yaml_event_t *event, const char *text)
{
    config_report(reader->loader, CONFIG_FILE, (unsigned)event->start_mark.line + 1, NULL,
                  reader->path, text);
    reader->stop = true;
}

static void truncate_path(struct reader *reader, size_t n)
{
    reader->n = n;
    reader->path[n] = '\0';
}

static bool extend_path(struct reader *reader, const char *text, size_t n)
{
    if (reader->n + n >= sizeof(reader->path)) {
        return false;
    }
    memcpy(reader->path + reader->n, text, n);
    truncate_path(reader, reader->n + n);
    return true;
}

/* Before a value: names it within its parent. False when it has been refused. */
static bool enter_value(struct reader *reader, const yaml_event_t *event)
{
    if (reader->depth == 0) {
        return true;
    }
    struct level *level = &reader->levels[reader->depth - 1];
    if (level->sequence) {
        char index[24];
        int n = snprintf(index, sizeof(index), "[%zu]", level->n_children++);
        truncate_path(reader, level->key_length);
        if (!extend_path(reader, index, (size_t)n)) {
            fail(reader, event, "key too long");
            return false;
        }
    } else if (level->want_key) {
        fail(reader, event, "a key must be a plain word");
        return false;
    }
    return true;
}

/* After a value: the parent waits for its next key. */
static void leave_value(struct reader *reader)
{
    if (reader->depth > 0) {
        struct level *level = &reader->levels[reader->depth - 1];
        truncate_path(reader, level->key_length);
        level->want_key = !level->sequence;
    }
}

static void free_keys(struct level *level)
{
    for (size_t i = 0; i < level->n_keys; i++) {
        free(level->keys[i]);
    }
    free(level->keys);
    level->keys = NULL;
    level->n_keys = 0;
}

/* False when it was there already or without memory. */
static bool remember_key(struct reader *reader, struct level *level, const yaml_event_t *event,
                         struct cw_str key)
{
    for (size_t i = 0; i < level->n_keys; i++) {
        if (cw_str_is(key, level->keys[i])) {
            fail(reader, event, "key comes twice");
            return false;
        }
    }
    if (level->n_keys == MAPPING_KEYS_MAX) {
        fail(reader, event, "too many keys in one section");
        return false;
    }
    if (!level->keys) {
        level->keys = calloc(MAPPING_KEYS_MAX, sizeof(*level->keys));
    }
    char *copy = level->keys ? cw_str_dup(key) : NULL;
    if (!copy) {
        reader->loader->no_memory = true;
        reader->stop = true;
        return false;
    }
    level->keys[level->n_keys++] = copy;
    return true;
}

static void on_key(struct reader *reader, struct level *level, const yaml_event_t *event,
                   struct cw_str key)
{
    truncate_path(reader, level->key_length);
    if (key.n == 0 || memchr(key.p, '\0', key.n)) {
        fail(reader, event, "empty key");
        return;
    }
    bool fits = level->key_length == 0 || extend_path(reader, ".", 1);
    if (!fits || !extend_path(reader, key.p, key.n)) {
        fail(reader, event, "key too long");
        return;
    }
    if (remember_key(reader, level, event, key)) {
        level->n_children++;
        level->want_key = false;
    }
}

static bool is_null(const yaml_event_t *event, struct cw_str value)
{
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (value.n == 0 || cw_str_is(value, "~") || cw_str_is(value, "null"));
}

static void on_scalar(struct reader *reader, const yaml_event_t *event)
{
    struct cw_str value = {(const char *)event->data.scalar.value, event->data.scalar.length};
    struct level *level = reader->depth > 0 ? &reader->levels[reader->depth - 1] : NULL;
    if (event->data.scalar.anchor || event->data.scalar.tag) {
        fail(reader, event, "anchors and tags are not allowed");
        return;
    }
    if (level && !level->sequence && level->want_key) {
        on_key(reader, level, event, value);
        return;
    }
    if (!level) {
        if (!is_null(event, value)) {
            fail(reader, event, "the document must be a mapping");
        }
        return;
    }
    if (!enter_value(reader, event)) {
        return;
    }
    if (++reader->n_values > CW_CONFIG_VALUES_MAX) {
        fail(reader, event, "too many values");
    } else if (value.n > CW_CONFIG_VALUE_MAX || memchr(value.p, '\0', value.n)) {
        fail(reader, event, "value too long or with a NUL byte");
    } else {
        config_add(reader->loader, reader->path,
                   is_null(event, value) ? (struct cw_str){NULL, 0} : value, CONFIG_FILE,
                   (unsigned)event->start_mark.line + 1, NULL, false);
    }
    leave_value(reader);
}

static void on_open(struct reader *reader, const yaml_event_t *event, bool sequence)
{
    const yaml_char_t *anchor =
        sequence ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;
    const yaml_char_t *tag =
        sequence ? event->data.sequence_start.tag : event->data.mapping_start.tag;
    if (anchor || tag) {
        fail(reader, event, "anchors and tags are not allowed");
    } else if (reader->depth == CW_CONFIG_DEPTH_MAX) {
        fail(reader, event, "nested too deeply");
    } else if (reader->depth == 0 && sequence) {
        fail(reader, event, "the document must be a mapping");
    } else if (enter_value(reader, event)) {
        reader->levels[reader->depth++] =
            (struct level){.sequence = sequence, .want_key = !sequence, .key_length = reader->n};
    }
}

static void on_close(struct reader *reader, const yaml_event_t *event)
{
    struct level *level = &reader->levels[reader->depth - 1];
    truncate_path(reader, level->key_length);
    if (level->n_children == 0 && reader->depth > 1) {
        config_add(reader->loader, reader->path, (struct cw_str){NULL, 0}, CONFIG_FILE,
                   (unsigned)event->start_mark.line + 1, NULL, level->sequence);
    }
    free_keys(level);
    reader->depth--;
    leave_value(reader);
}

static void on_event(struct reader *reader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++reader->documents > 1) {
            fail(reader, event, "a second document");
        }
        break;
    case YAML_ALIAS_EVENT: /* a few lines of these make gigabytes */
        fail(reader, event, "aliases are not allowed");
        break;
    case YAML_SCALAR_EVENT:
        on_scalar(reader, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        on_open(reader, event, true);
        break;
    case YAML_MAPPING_START_EVENT:
        on_open(reader, event, false);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_close(reader, event);
        break;
    case YAML_STREAM_END_EVENT:
        reader->stop = true;
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    default:
        break;
    }
}

void config_yaml(struct config_loader *loader, struct cw_str text)
{
    struct reader reader = {.loader = loader};
    const char *prefix = loader->config->input.prefix;
    if (prefix && !extend_path(&reader, prefix, strlen(prefix))) {
        config_report(loader, CONFIG_DEFAULT, 0, NULL, "", "prefix too long");
        return;
    }
    if (!yaml_parser_initialize(&reader.parser)) {
        loader->no_memory = true;
        return;
    }
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text.p, text.n);
    while (!reader.stop) {
        yaml_event_t event;
        if (!yaml_parser_parse(&reader.parser, &event)) {
            config_report(loader, CONFIG_FILE, (unsigned)reader.parser.problem_mark.line + 1, NULL,
                          "", reader.parser.problem ? reader.parser.problem : "not YAML");
            break;
        }
        on_event(&reader, &event);
        yaml_event_delete(&event);
    }
    while (reader.depth > 0) {
        free_keys(&reader.levels[--reader.depth]);
    }
    yaml_parser_delete(&reader.parser);
}
