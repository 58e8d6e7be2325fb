/* What the files of this library share: the snapshot, and the values on their way into it. */
#ifndef CW_CONFIG_INTERNAL_H
#define CW_CONFIG_INTERNAL_H

#include <stdatomic.h>

#include "common/base/arena.h"
#include "common/config/config.h"

/* Rising: a later one wins. */
enum config_source { CONFIG_DEFAULT = 0, CONFIG_FILE, CONFIG_SETTING, CONFIG_ENV, CONFIG_ARG };

enum { CONFIG_SCALAR = -1, CONFIG_EMPTY_LIST = -2 };

/* One value of one source. */
struct config_raw {
    const char *key; /* concrete: tenants[0].name; of a list element, the list's key */
    const char *value;
    const struct cw_config_key *row;
    enum config_source source;
    unsigned line;     /* CONFIG_FILE */
    const char *where; /* name of the variable, CONFIG_ENV */
    int index;         /* of a list element, or CONFIG_SCALAR, CONFIG_EMPTY_LIST */
    size_t seq;
};

/* One effective value. */
struct config_entry {
    const char *key;
    const char *value; /* not for lists */
    const struct cw_config_key *row;
    enum config_source source;
    unsigned line;
    const char *where;
    int64_t number; /* bool, int, ms, bytes, position of an enum */
    const char **items;
    size_t n_items;
};

struct cw_config {
    _Atomic unsigned refs;
    const struct cw_config_schema *schema;
    struct cw_config_input input;
    struct cw_arena arena;
    struct config_entry *entries; /* by key, strcmp order */
    size_t n_entries;
    struct config_entry *defaults; /* one per row of the table */
};

/* What collects values while a snapshot is made. */
struct config_loader {
    struct cw_config *config;
    struct cw_buf *problems;
    struct config_raw *raws;
    size_t n_raws, cap_raws;
    bool invalid;
    bool no_memory;
};

/* ---- table.c ---- */

/* The row whose pattern the concrete key meets, or NULL. */
const struct cw_config_key *config_row(const struct cw_config_schema *schema, const char *key);
/* True when rows exist below the key (or below its elements). */
bool config_is_section(const struct cw_config_schema *schema, const char *key);
/* True when the first segment of the key is one of the table's. */
bool config_is_ours(const struct cw_config_schema *schema, const char *key);
/* The row's pattern that the key most probably meant, or NULL. */
const char *config_near_miss(const struct cw_config_schema *schema, const char *key);
/* The first segment of a row that is nearly the key's, or NULL. */
bool config_near_prefix(const struct cw_config_schema *schema, const char *key);
/* The concrete key that an environment variable stands for: "CW_TENANTS_0_NAME". False: none. */
bool config_env_key(const struct cw_config_key *row, const char *name, size_t n,
                    char ret_key[CW_CONFIG_KEY_MAX]);
/* As the variable would be written. */
void config_env_name(const char *key, struct cw_buf *out);

/* ---- values.c ---- */

/* NULL, or what is wrong with the text ("is not a duration (30s, 5m)"). */
const char *config_value_parse(const struct cw_config_key *row, const char *text,
                               int64_t *ret_number);
const char *config_type_name(enum cw_config_type type);
/* "1..64KiB" and so on; nothing without bounds. */
void config_bounds(const struct cw_config_key *row, struct cw_buf *out);
/* Divides at commas, trims; NULL without memory. */
const char **config_split(struct cw_arena *arena, const char *text, size_t *ret_n);

/* ---- load.c ---- */

/* One value for a key as a source wrote it ("sidecar.hosts[1]"); finds its row, reports unknown
 * keys. `value` NULL: an empty section or list. */
void config_add(struct config_loader *loader, const char *key, struct cw_str value,
                enum config_source source, unsigned line, const char *where, bool empty_list);
/* "sidecar.yaml:12: text" */
void config_report(struct config_loader *loader, enum config_source source, unsigned line,
                   const char *where, const char *key, const char *text);

/* ---- yaml.c ---- */

void config_yaml(struct config_loader *loader, struct cw_str text);

/* ---- config.c ---- */

/* First entry whose key is not below `key`. */
size_t config_lower_bound(const struct cw_config *config, const char *key);
const struct config_entry *config_find(const struct cw_config *config, const char *key);
/* "sidecar.yaml:12: " */
void config_where(const struct cw_config *config, enum config_source source, unsigned line,
                  const char *where, struct cw_buf *out);

#endif
