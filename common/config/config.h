/* Configuration from one declared table: sources, validation, reload and the reference page.
 *
 * A program declares its keys once (struct cw_config_key). Values come from defaults, a YAML file,
 * the environment and the command line, later ones winning; the result is an immutable snapshot
 * that any thread may read. What the table does not allow is refused before anything is used, and
 * each message names the source, the line and the key.
 *
 *   key          sidecar.cache.max-entries     tenants[].issuers[].jwks-uri   (`[]`: any index)
 *   environment  CW_SIDECAR_CACHE_MAX_ENTRIES  CW_TENANTS_0_ISSUERS_1_JWKS_URI
 *   command line --sidecar.cache.max-entries=5 --tenants[0].issuers[1].jwks-uri=https://…
 */
#ifndef CW_CONFIG_CONFIG_H
#define CW_CONFIG_CONFIG_H

#include "common/base/buf.h"
#include "common/base/secret.h"
#include "common/base/str.h"

enum cw_config_type {
    CW_CONFIG_STRING = 0,
    CW_CONFIG_BOOL,     /* true, false */
    CW_CONFIG_INT,      /* decimal, may be negative */
    CW_CONFIG_DURATION, /* 10ms, 30s, 5m, 1h, 7d; read in milliseconds */
    CW_CONFIG_SIZE,     /* 512, 512B, 64KiB, 128MiB, 1GiB; read in bytes */
    CW_CONFIG_LIST,     /* of strings: a YAML sequence, or one scalar divided by commas */
    CW_CONFIG_ENUM,     /* one of `values` */
    CW_CONFIG_PATH,     /* of a file or directory; not looked at here */
    CW_CONFIG_SECRET,   /* path of a file that holds a secret; must be readable when loaded */
};

enum {
    CW_CONFIG_RELOADABLE = 1, /* takes effect on SIGHUP; others need a restart */
    CW_CONFIG_REQUIRED = 2,   /* in a list of objects: of each of them */
    CW_CONFIG_HIDDEN = 4,     /* value never printed (passwords in URLs) */
};

struct cw_config_key {
    const char *key; /* dotted; `[]` after a list of objects; a last segment `*` is any name */
    enum cw_config_type type;
    const char *fallback; /* as one would write it; NULL: none */
    int64_t min, max;     /* int, duration (ms), size (bytes), list (elements); both 0: no bounds */
    const char *values;   /* enum: "none|loopback" */
    unsigned flags;
    const char *help; /* one line */
};

/* A second name that a key is taken under, from every source; it is told by its own. To give both
 * at once is an error. */
struct cw_config_alias {
    const char *alias; /* as `key` above; it differs from the key in the last segment only */
    const char *key;
};

struct cw_config;

struct cw_config_schema {
    const char *program; /* `cw-sidecar` */
    const char *summary; /* one line */
    const struct cw_config_key *keys;
    size_t n_keys;
    const struct cw_config_alias *aliases; /* may be NULL */
    size_t n_aliases;
    /* What one row cannot say; may be NULL. Reports by cw_config_problem(). */
    void (*check)(const struct cw_config *config, struct cw_buf *problems);
};

/* Bounds on a configuration file; past them it is refused. */
enum {
    CW_CONFIG_FILE_MAX = 8 << 20, /* bytes */
    CW_CONFIG_DEPTH_MAX = 16,
    CW_CONFIG_VALUES_MAX = 200000,
    CW_CONFIG_KEY_MAX = 256,           /* bytes, with the NUL */
    CW_CONFIG_VALUE_MAX = 64 << 10,    /* bytes */
    CW_CONFIG_PROBLEMS_MAX = 16 << 10, /* bytes for the caller's `problems` */
};

/* ---- start of a program ---- */

/* Does all that a main() does before it runs: `--config FILE`, `--KEY=VALUE`, `--help`,
 * `--version`,
 * `--check-config`, `--config-reference` (Markdown); prints to stdout and stderr. Returns -1 with
 * *ret_config (owned: unref) when the program shall run, else its exit code: 0, 1 a checked
 * configuration is invalid, 2 could not run, 64 usage. `argv` and `environ` must outlive it. */
int cw_config_start(const struct cw_config_schema *schema, int argc, char **argv,
                    struct cw_config **ret_config);

/* The concrete KEY, or what it is an alias of, written to `ret_key`. */
const char *cw_config_own_key(const struct cw_config_schema *schema, const char *key,
                              char ret_key[CW_CONFIG_KEY_MAX]);

/* ---- loading ---- */

/* A value that was set by a program, not written into a file. */
struct cw_config_setting {
    const char *key;   /* concrete: tenants[0].domains[1] */
    const char *value; /* of a CW_CONFIG_SECRET the secret itself, which is not copied */
};

struct cw_config_input {
    const char *file;   /* NULL: none */
    struct cw_str text; /* used instead of the file's content where .p is set */
    const char *prefix; /* NULL, or the key that all of file or text lies below: tenants[0] */
    const struct cw_config_setting *settings; /* win over the file */
    size_t n_settings;
    char *const *env;       /* NULL-terminated "NAME=value", or NULL */
    char *const *overrides; /* "--KEY=VALUE" */
    size_t n_overrides;
};

/* Reads all sources and validates the whole. CW_CONFIG_INVALID with one line per problem in
 * `problems` ("sidecar.yaml:12: sidecar.cache.max-entires: unknown key; did you mean
 * sidecar.cache.max-entries?"). `input` and what it points to must outlive the snapshot, for
 * reloads (text excepted). Any thread. */
CW_MUST_USE enum cw_err cw_config_load(const struct cw_config_schema *schema,
                                       const struct cw_config_input *input, struct cw_buf *problems,
                                       struct cw_config **ret_config);
/* The same sources read again. Refused as a whole (CW_CONFIG_INVALID) when anything is wrong or
 * when a key changed that is not reloadable; `old` stays as it is either way. */
CW_MUST_USE enum cw_err cw_config_reload(const struct cw_config *old, struct cw_buf *problems,
                                         struct cw_config **ret_config);
/* True when any value at or below the key differs: "tenants", "sidecar.cache". */
bool cw_config_changed(const struct cw_config *a, const struct cw_config *b, const char *key);

struct cw_config *cw_config_ref(const struct cw_config *config);
void cw_config_unref(struct cw_config *config);
/* For CW_CLEANUP. */
void cw_config_unrefp(struct cw_config **config);

/* ---- reading: a cursor is the root or one element of a list of objects ---- */

struct cw_config_at {
    const struct cw_config *config; /* borrowed */
    char prefix[CW_CONFIG_KEY_MAX]; /* "" or "tenants[0].issuers[1]." */
};

struct cw_config_at cw_config_root(const struct cw_config *config);
/* Elements of a list of objects below the cursor: cw_config_count(&tenant, "issuers"). */
size_t cw_config_count(const struct cw_config_at *at, const char *list);
struct cw_config_at cw_config_item(const struct cw_config_at *at, const char *list, size_t i);

/* Values have been validated, so reading does not fail; asking for a key that the table does not
 * have, or in another type, is a bug and aborts. Strings are NUL-terminated and borrowed from the
 * snapshot. Absent without a default: NULL, false, 0, no elements. */
const char *cw_config_string(const struct cw_config_at *at, const char *key); /* also path, enum */
bool cw_config_bool(const struct cw_config_at *at, const char *key);
int64_t cw_config_int(const struct cw_config_at *at, const char *key);
int64_t cw_config_ms(const struct cw_config_at *at, const char *key);
size_t cw_config_bytes(const struct cw_config_at *at, const char *key);
/* Position in the row's `values`, -1 when absent. */
int cw_config_enum(const struct cw_config_at *at, const char *key);
const char *const *cw_config_list(const struct cw_config_at *at, const char *key, size_t *ret_n);
/* Reads the file now; CW_NOT_FOUND when the key is absent. */
CW_MUST_USE enum cw_err cw_config_secret(const struct cw_config_at *at, const char *key,
                                         struct cw_secret *ret_secret);
/* True when a source other than the defaults has it. */
bool cw_config_has(const struct cw_config_at *at, const char *key);
/* Names and values below a `*` row ("metadata" for "registry.metadata.*"): the i-th, or false. */
bool cw_config_pair(const struct cw_config_at *at, const char *key, size_t i, const char **ret_name,
                    const char **ret_value);

/* One value that a source other than the defaults has. Borrowed from the snapshot. */
struct cw_config_value {
    const char *key; /* concrete */
    enum cw_config_type type;
    const char *value;        /* as it was written; NULL for a list */
    const char *const *items; /* of a list */
    size_t n_items;
};
/* The i-th of them in the order of keys, or false. */
bool cw_config_value(const struct cw_config *config, size_t i, struct cw_config_value *ret_value);

/* Adds "file:line: key: text" to `problems`; `key` may be absent or a list. Secrets do not belong
 * into the text. */
void cw_config_problem(const struct cw_config_at *at, const char *key, struct cw_buf *problems,
                       const char *format, ...) CW_PRINTF(4, 5);

/* ---- pages made of the table ---- */

void cw_config_help(const struct cw_config_schema *schema, struct cw_buf *out);
/* One section of docs/CONFIG.md. */
void cw_config_reference(const struct cw_config_schema *schema, struct cw_buf *out);

#endif
