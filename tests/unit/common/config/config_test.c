/* The configuration: sources and their order, types and bounds, messages with line and key, reload.
 */
#include "common/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants the ones above */
#include <cmocka.h>

static const struct cw_config_key keys[] = {
    {"app.run-dir", CW_CONFIG_PATH, ".run", 0, 0, NULL, 0, "Directory of the sockets."},
    {"app.cache.max-entries", CW_CONFIG_INT, "200000", 1, 1000000, NULL, CW_CONFIG_RELOADABLE,
     "Entries."},
    {"app.cache.max-bytes", CW_CONFIG_SIZE, "128MiB", 1024, 1 << 30, NULL, 0, "Bytes."},
    {"app.cache.ttl", CW_CONFIG_DURATION, "300s", 0, 86400000, NULL, CW_CONFIG_RELOADABLE, "Life."},
    {"app.enabled", CW_CONFIG_BOOL, "false", 0, 0, NULL, CW_CONFIG_RELOADABLE, "On or off."},
    {"app.mode", CW_CONFIG_ENUM, "none", 0, 0, "none|loopback", 0, "Who may write."},
    {"app.uids", CW_CONFIG_LIST, "33,0", 0, 4, NULL, 0, "Users."},
    {"app.password-file", CW_CONFIG_SECRET, NULL, 0, 0, NULL, 0, "Password."},
    {"app.url", CW_CONFIG_STRING, NULL, 0, 0, NULL, CW_CONFIG_HIDDEN, "With a password."},
    {"tenants[].name", CW_CONFIG_STRING, NULL, 0, 0, NULL,
     CW_CONFIG_RELOADABLE | CW_CONFIG_REQUIRED, "Name."},
    {"tenants[].domains", CW_CONFIG_LIST, NULL, 1, 100, NULL, CW_CONFIG_RELOADABLE, "Domains."},
    {"tenants[].issuers[].issuer", CW_CONFIG_STRING, NULL, 0, 0, NULL,
     CW_CONFIG_RELOADABLE | CW_CONFIG_REQUIRED, "Issuer."},
    {"tenants[].issuers[].algorithms", CW_CONFIG_LIST, "RS256", 0, 0, NULL, CW_CONFIG_RELOADABLE,
     "Algorithms."},
    {"app.metadata.*", CW_CONFIG_STRING, NULL, 0, 0, NULL, 0, "Free names."},
};

static void check_names(const struct cw_config *config, struct cw_buf *problems)
{
    struct cw_config_at root = cw_config_root(config);
    for (size_t i = 0; i < cw_config_count(&root, "tenants"); i++) {
        struct cw_config_at tenant = cw_config_item(&root, "tenants", i);
        if (strcmp(cw_config_string(&tenant, "name"), "bad") == 0) {
            cw_config_problem(&tenant, "name", problems, "is a bad name");
        }
    }
}

static const struct cw_config_alias aliases[] = {{"tenants[].also_domains", "tenants[].domains"}};

static const struct cw_config_schema schema = {.program = "app",
                                               .summary = "An app",
                                               .keys = keys,
                                               .n_keys = CW_ARRAY_SIZE(keys),
                                               .aliases = aliases,
                                               .n_aliases = CW_ARRAY_SIZE(aliases),
                                               .check = check_names};

static struct cw_config_input text_input(const char *text)
{
    return (struct cw_config_input){.file = "app.yaml", .text = cw_str(text)};
}

static struct cw_config *load(const struct cw_config_input *input)
{
    struct cw_buf problems = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct cw_config *config = NULL;
    enum cw_err err = cw_config_load(&schema, input, &problems, &config);
    if (err != CW_OK) {
        fail_msg("%.*s", CW_STR_ARG(cw_buf_str(&problems)));
    }
    assert_int_equal(problems.n, 0);
    cw_buf_done(&problems);
    return config;
}

/* Loads what must be refused and returns the message (static). */
static const char *refused(const struct cw_config_input *input)
{
    static char message[4096];
    struct cw_buf problems = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct cw_config *config = NULL;
    assert_int_equal(cw_config_load(&schema, input, &problems, &config), CW_CONFIG_INVALID);
    assert_null(config);
    snprintf(message, sizeof(message), "%.*s", CW_STR_ARG(cw_buf_str(&problems)));
    cw_buf_done(&problems);
    return message;
}

static void defaults_hold_where_no_source_says_otherwise(void **state)
{
    (void)state;
    struct cw_config_input input = text_input("other: {thing: 1}\n");
    struct cw_config *config = load(&input);
    struct cw_config_at at = cw_config_root(config);
    assert_string_equal(cw_config_string(&at, "app.run-dir"), ".run");
    assert_int_equal(cw_config_int(&at, "app.cache.max-entries"), 200000);
    assert_int_equal(cw_config_bytes(&at, "app.cache.max-bytes"), 128 << 20);
    assert_int_equal(cw_config_ms(&at, "app.cache.ttl"), 300000);
    assert_false(cw_config_bool(&at, "app.enabled"));
    assert_int_equal(cw_config_enum(&at, "app.mode"), 0);
    assert_null(cw_config_string(&at, "app.url"));
    assert_false(cw_config_has(&at, "app.run-dir"));
    size_t n;
    const char *const *uids = cw_config_list(&at, "app.uids", &n);
    assert_int_equal(n, 2);
    assert_string_equal(uids[0], "33");
    assert_string_equal(uids[1], "0");
    assert_int_equal(cw_config_count(&at, "tenants"), 0);
    cw_config_unref(config);
}

static void later_sources_win(void **state)
{
    (void)state;
    char env_entries[] = "CW_APP_CACHE_MAX_ENTRIES=2", env_ttl[] = "CW_APP_CACHE_TTL=2s",
         env_name[] = "CW_TENANTS_0_NAME=env", env_other[] = "CW_PORT_BASE=100";
    char *env[] = {env_entries, env_ttl, env_name, env_other, NULL};
    char arg_ttl[] = "--app.cache.ttl=3s", arg_uids[] = "--app.uids=7",
         arg_again[] = "--app.cache.ttl=4s";
    char *args[] = {arg_ttl, arg_uids, arg_again};
    struct cw_config_input input =
        text_input("app:\n  cache: {max-entries: 1, ttl: 1s, max-bytes: 64KiB}\n  uids: [1, 2, 3]\n"
                   "tenants:\n  - name: file\n    domains: [a.example]\n");
    input.env = env;
    input.overrides = args;
    input.n_overrides = 3;
    struct cw_config *config = load(&input);
    struct cw_config_at at = cw_config_root(config);
    assert_int_equal(cw_config_bytes(&at, "app.cache.max-bytes"), 65536);
    assert_int_equal(cw_config_int(&at, "app.cache.max-entries"), 2);
    assert_int_equal(cw_config_ms(&at, "app.cache.ttl"), 4000);
    size_t n;
    const char *const *uids = cw_config_list(&at, "app.uids", &n);
    assert_int_equal(n, 1);
    assert_string_equal(uids[0], "7");
    struct cw_config_at tenant = cw_config_item(&at, "tenants", 0);
    assert_string_equal(cw_config_string(&tenant, "name"), "env");
    cw_config_unref(config);
}

static void lists_of_objects_are_read_by_cursor(void **state)
{
    (void)state;
    struct cw_config_input input =
        text_input("tenants:\n"
                   "  - name: one\n"
                   "    domains: [one.example, 1.example]\n"
                   "    issuers:\n"
                   "      - issuer: https://a/\n"
                   "      - {issuer: https://b/, algorithms: [ES256, EdDSA]}\n"
                   "  - name: two\n"
                   "    domains:\n"
                   "      - two.example\n"
                   "app.metadata.management.port: 9082\n"
                   "app:\n  metadata: {zone: a}\n");
    struct cw_config *config = load(&input);
    struct cw_config_at root = cw_config_root(config);
    assert_int_equal(cw_config_count(&root, "tenants"), 2);
    struct cw_config_at one = cw_config_item(&root, "tenants", 0);
    struct cw_config_at two = cw_config_item(&root, "tenants", 1);
    assert_int_equal(cw_config_count(&one, "issuers"), 2);
    assert_int_equal(cw_config_count(&two, "issuers"), 0);
    struct cw_config_at first = cw_config_item(&one, "issuers", 0);
    struct cw_config_at second = cw_config_item(&one, "issuers", 1);
    assert_string_equal(cw_config_string(&second, "issuer"), "https://b/");
    size_t n;
    const char *const *algorithms = cw_config_list(&second, "algorithms", &n);
    assert_int_equal(n, 2);
    assert_string_equal(algorithms[1], "EdDSA");
    algorithms = cw_config_list(&first, "algorithms", &n);
    assert_int_equal(n, 1);
    assert_string_equal(algorithms[0], "RS256");
    cw_config_list(&two, "domains", &n);
    assert_int_equal(n, 1);
    const char *name, *value;
    assert_true(cw_config_pair(&root, "app.metadata", 0, &name, &value));
    assert_string_equal(name, "management.port");
    assert_string_equal(value, "9082");
    assert_true(cw_config_pair(&root, "app.metadata", 1, &name, &value));
    assert_string_equal(name, "zone");
    assert_false(cw_config_pair(&root, "app.metadata", 2, &name, &value));
    cw_config_unref(config);
}

static void what_is_wrong_is_refused_with_line_and_key(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *text;
        const char *message;
    } cases[] = {
        {"an unknown key, with what was meant", "app:\n  cache:\n    max-entires: 5\n",
         "app.yaml:3: app.cache.max-entires: unknown key; did you mean app.cache.max-entries?\n"},
        {"an unknown key below a list", "tenants:\n  - name: x\n    domain: [y]\n",
         "app.yaml:3: tenants[0].domain[0]: unknown key; did you mean tenants[].domains?\n"},
        {"an unknown section under our prefix", "app:\n  zzzzzzzzzzzz:\n    a: 1\n",
         "app.yaml:3: app.zzzzzzzzzzzz.a: unknown key\n"},
        {"a misspelt prefix", "tenant:\n  - name: x\n",
         "app.yaml:2: tenant[0].name: unknown key; did you mean tenants[].name?\n"},
        {"an empty unknown key", "app:\n  nonsense-of-mine: {}\n",
         "app.yaml:2: app.nonsense-of-mine: unknown key\n"},
        {"no number", "app: {cache: {max-entries: 1x}}\n",
         "app.yaml:1: app.cache.max-entries: \"1x\" is not a whole number (1..1000000)\n"},
        {"out of bounds", "app: {cache: {max-entries: 0}}\n",
         "app.yaml:1: app.cache.max-entries: \"0\" is out of bounds (1..1000000)\n"},
        {"a duration without its unit", "app: {cache: {ttl: 300}}\n",
         "app.yaml:1: app.cache.ttl: \"300\" is not a duration (10ms, 30s, 5m, 1h, 7d) (0..1d)\n"},
        {"a size in another unit", "app: {cache: {max-bytes: 5MB}}\n",
         "app.yaml:1: app.cache.max-bytes: \"5MB\" is not a size (512B, 64KiB, 128MiB, 1GiB) "
         "(1KiB..1GiB)\n"},
        {"a size past 64 bits", "app: {cache: {max-bytes: 9223372036854775807GiB}}\n",
         "app.yaml:1: app.cache.max-bytes: \"9223372036854775807GiB\" is not a size"},
        {"a word for a bool", "app: {enabled: yes}\n",
         "app.yaml:1: app.enabled: \"yes\" is not true or false\n"},
        {"another word", "app: {mode: all}\n",
         "app.yaml:1: app.mode: \"all\" is none of the allowed values (none|loopback)\n"},
        {"a section given a value", "app: {cache: 5}\n",
         "app.yaml:1: app.cache: is a section, not a value\n"},
        {"too many elements", "app: {uids: [1,2,3,4,5]}\n",
         "app.yaml:1: app.uids: number of elements is out of bounds (0..4)\n"},
        {"too few elements", "tenants: [{name: x, domains: []}]\n",
         "app.yaml:1: tenants[0].domains: number of elements is out of bounds (1..100)\n"},
        {"a required key that is absent", "tenants:\n  - name: x\n  - domains: [y]\n",
         "app.yaml:3: tenants[1].name: is required\n"},
        {"a gap", "tenants[1].name: x\n",
         "app.yaml:1: tenants[1].name: an element before it is missing or empty\n"},
        {"an empty element", "tenants:\n  - {}\n  - name: x\n",
         "app.yaml:3: tenants[1].name: an element before it is missing or empty\n"},
        {"the program's own check", "tenants:\n  - name: ok\n  - name: bad\n",
         "app.yaml:3: tenants[1].name: is a bad name\n"},
        {"a secret that is not there", "app: {password-file: /nonexistent/x}\n",
         "app.yaml:1: app.password-file: \"/nonexistent/x\" cannot be read\n"},
        {"a key twice", "app:\n  mode: none\n  mode: loopback\n",
         "app.yaml:3: app.mode: key comes twice\n"},
        {"a section twice", "app: {mode: none}\napp: {enabled: true}\n",
         "app.yaml:2: app: key comes twice\n"},
        {"a key in both forms", "app: {mode: none}\napp.mode: loopback\n",
         "app.yaml:2: app.mode: \"none\" comes twice (none|loopback)\n"},
        {"an alias", "app: &a {mode: none}\nother: *a\n",
         "app.yaml:1: app: anchors and tags are not allowed\n"},
        {"a tag", "app: {mode: !!str none}\n",
         "app.yaml:1: app.mode: anchors and tags are not allowed\n"},
        {"a second document", "app: {mode: none}\n---\napp: {mode: none}\n",
         "app.yaml:2: a second document\n"},
        {"a list at the top", "- a\n", "app.yaml:1: the document must be a mapping\n"},
        {"a word at the top", "word\n", "app.yaml:1: the document must be a mapping\n"},
        {"no YAML", "other: [1\n", "app.yaml:2: "},
        {"a NUL byte", "app: {run-dir: \"a\\0b\"}\n",
         "app.yaml:1: app.run-dir: value too long or with a NUL byte\n"},
        {"too deep",
         "a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}}}}}}}}}\n",
         "app.yaml:1: a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a: nested too deeply\n"},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct cw_config_input input = text_input(cases[i].text);
        const char *message = refused(&input);
        if (strncmp(message, cases[i].message, strlen(cases[i].message)) != 0) {
            fail_msg("%s: %s", cases[i].what, message);
        }
    }
}

static void all_problems_are_told_at_once(void **state)
{
    (void)state;
    struct cw_config_input input = text_input("app:\n  mode: x\n  enabled: y\n  nothing: z\n");
    const char *message = refused(&input);
    assert_non_null(strstr(message, "app.yaml:2: app.mode"));
    assert_non_null(strstr(message, "app.yaml:3: app.enabled"));
    assert_non_null(strstr(message, "app.yaml:4: app.nothing"));
}

static void environment_and_command_line_are_held_to_the_table(void **state)
{
    (void)state;
    char env_bad[] = "CW_APP_CACHE_MAX_ENTRYS=1";
    char *env[] = {env_bad, NULL};
    struct cw_config_input input = text_input("");
    input.env = env;
    assert_string_equal(refused(&input),
                        "environment CW_APP_CACHE_MAX_ENTRYS: stands for no key\n");
    char env_value[] = "CW_APP_CACHE_TTL=soon";
    env[0] = env_value;
    assert_non_null(
        strstr(refused(&input), "environment CW_APP_CACHE_TTL: app.cache.ttl: \"soon\""));
    input.env = NULL;
    char arg_bad[] = "--apq.mode=none", arg_form[] = "--app.mode";
    char *args[] = {arg_bad};
    input.overrides = args;
    input.n_overrides = 1;
    assert_string_equal(refused(&input),
                        "command line: apq.mode: unknown key; did you mean app.mode?\n");
    args[0] = arg_form;
    assert_string_equal(refused(&input), "command line: is not of the form --KEY=VALUE\n");
}

static void a_hidden_value_is_not_in_the_message(void **state)
{
    (void)state;
    struct cw_config_input input =
        text_input("app: {url: \"a\"}\napp.url: \"postgres://u:hunter2@h\"\n");
    assert_null(strstr(refused(&input), "hunter2"));
}

static void a_bomb_is_refused_by_its_bounds(void **state)
{
    (void)state;
    struct cw_buf text = CW_BUF_INIT(CW_CONFIG_FILE_MAX * 2);
    cw_buf_add_cstr(&text, "x: [");
    for (size_t i = 0; i <= CW_CONFIG_VALUES_MAX; i++) {
        cw_buf_add_cstr(&text, "1,");
    }
    cw_buf_add_cstr(&text, "]\n");
    cw_buf_add_char(&text, '\0');
    struct cw_config_input input = text_input(text.p);
    assert_non_null(strstr(refused(&input), "too many values"));
    cw_buf_done(&text);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void reload_swaps_or_refuses_as_a_whole(void **state)
{
    (void)state;
    char dir[] = "/tmp/cwconfigXXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[64];
    snprintf(path, sizeof(path), "%s/app.yaml", dir);
    write_file(path, "app: {cache: {ttl: 1s}}\ntenants: [{name: a, domains: [a]}]\n");
    struct cw_config_input input = {.file = path};
    struct cw_config *old = load(&input);
    struct cw_buf problems = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct cw_config *fresh = NULL;

    write_file(path, "app: {cache: {ttl: 2s}}\ntenants: [{name: a, domains: [a]}, {name: b}]\n");
    assert_int_equal(cw_config_reload(old, &problems, &fresh), CW_OK);
    struct cw_config_at at = cw_config_root(fresh);
    assert_int_equal(cw_config_ms(&at, "app.cache.ttl"), 2000);
    assert_int_equal(cw_config_count(&at, "tenants"), 2);
    assert_true(cw_config_changed(old, fresh, "tenants"));
    assert_true(cw_config_changed(old, fresh, "app.cache"));
    assert_false(cw_config_changed(old, fresh, "app.uids"));
    assert_false(cw_config_changed(old, fresh, "app.cach"));
    cw_config_unref(fresh);
    fresh = NULL;

    write_file(path, "app: {cache: {ttl: 2s}, mode: loopback}\n");
    assert_int_equal(cw_config_reload(old, &problems, &fresh), CW_CONFIG_INVALID);
    assert_null(fresh);
    cw_buf_add_char(&problems, '\0');
    assert_non_null(strstr(problems.p, "app.mode: needs a restart to change\n"));
    assert_null(strstr(problems.p, "ttl"));
    at = cw_config_root(old);
    assert_int_equal(cw_config_ms(&at, "app.cache.ttl"), 1000);

    cw_buf_clear(&problems);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cw_config_reload(old, &problems, &fresh), CW_CONFIG_INVALID);
    assert_non_null(strstr(problems.p, "cannot be read"));
    cw_buf_done(&problems);
    cw_config_unref(old);
    rmdir(dir);
}

static void a_reference_counts_as_a_reader(void **state)
{
    (void)state;
    struct cw_config_input input = text_input("app: {mode: loopback}\n");
    struct cw_config *config = load(&input);
    struct cw_config *mine = cw_config_ref(config);
    cw_config_unref(config);
    struct cw_config_at at = cw_config_root(mine);
    assert_int_equal(cw_config_enum(&at, "app.mode"), 1);
    assert_string_equal(cw_config_string(&at, "app.mode"), "loopback");
    cw_config_unref(mine);
}

static void pages_name_every_key(void **state)
{
    (void)state;
    struct cw_buf help = CW_BUF_INIT(1 << 20), reference = CW_BUF_INIT(1 << 20);
    cw_config_help(&schema, &help);
    cw_config_reference(&schema, &reference);
    cw_buf_add_char(&help, '\0');
    cw_buf_add_char(&reference, '\0');
    for (size_t i = 0; i < CW_ARRAY_SIZE(keys); i++) {
        assert_non_null(strstr(help.p, keys[i].key));
        assert_non_null(strstr(reference.p, keys[i].key));
    }
    assert_non_null(strstr(reference.p, "| `app.cache.max-entries` | int | `200000` | 1..1000000 | "
                                        "yes | Entries. |\n"));
    assert_non_null(strstr(reference.p,
                           "| `app.mode` | enum | `none` | none\\|loopback | restart | "
                           "Who may write. |\n"));
    assert_non_null(
        strstr(reference.p, "| `tenants[].name` | string | required |  | yes | Name. |\n"));
    assert_non_null(strstr(help.p, "Entries. [200000] (1..1000000)"));
    cw_buf_done(&help);
    cw_buf_done(&reference);
}

static void start_tells_run_from_exit(void **state)
{
    (void)state;
    char program[] = "app", check[] = "--check-config", good[] = "--app.mode=loopback",
         bad[] = "--app.mode=x", odd[] = "odd";
    struct cw_config *config = NULL;
    char *checked_good[] = {program, check, good, NULL};
    char *checked_bad[] = {program, check, bad, NULL};
    char *started_bad[] = {program, bad, NULL};
    char *started_odd[] = {program, odd, NULL};
    char *started_good[] = {program, good, NULL};
    assert_int_equal(cw_config_start(&schema, 3, checked_good, &config), 0);
    assert_int_equal(cw_config_start(&schema, 3, checked_bad, &config), 1);
    assert_int_equal(cw_config_start(&schema, 2, started_bad, &config), 2);
    assert_int_equal(cw_config_start(&schema, 2, started_odd, &config), 64);
    assert_null(config);
    assert_int_equal(cw_config_start(&schema, 2, started_good, &config), -1);
    struct cw_config_at at = cw_config_root(config);
    assert_int_equal(cw_config_enum(&at, "app.mode"), 1);
    cw_config_unref(config);
}

static void settings_of_a_program_win_over_a_text_below_a_prefix(void **state)
{
    (void)state;
    const struct cw_config_setting settings[] = {{"tenants[0].domains[0]", "a.com"},
                                                 {"tenants[0].domains[1]", "b,c.com"},
                                                 {"app.password-file", "the secret itself"}};
    struct cw_config_input input = text_input("name: a\ndomains: [x.com]\n");
    input.prefix = "tenants[0]";
    input.settings = settings;
    input.n_settings = CW_ARRAY_SIZE(settings);
    struct cw_buf problems CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct cw_config *config CW_CLEANUP(cw_config_unrefp) = NULL;
    assert_int_equal(cw_config_load(&schema, &input, &problems, &config), CW_OK);
    struct cw_config_at root = cw_config_root(config);
    struct cw_config_at tenant = cw_config_item(&root, "tenants", 0);
    size_t n = 0;
    const char *const *domains = cw_config_list(&tenant, "domains", &n);
    assert_int_equal(n, 2);
    assert_string_equal(domains[1], "b,c.com"); /* an element is not divided */
    struct cw_secret secret CW_CLEANUP(cw_secret_done) = {0};
    assert_int_equal(cw_config_secret(&root, "app.password-file", &secret), CW_OK);
    assert_true(cw_str_is(cw_secret_str(&secret), "the secret itself"));
    struct cw_config_value value;
    assert_true(cw_config_value(config, 1, &value));
    assert_string_equal(value.key, "tenants[0].domains");
    assert_int_equal(value.n_items, 2);
    assert_false(cw_config_value(config, 3, &value));
}

static void a_setting_that_is_wrong_is_told_by_its_key_and_a_secret_by_no_value(void **state)
{
    (void)state;
    const struct cw_config_setting settings[] = {{"app.cache.ttl", "x"}, {"app.nonsense", "1"}};
    const struct cw_config_input input = {.settings = settings, .n_settings = 2};
    struct cw_buf problems CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct cw_config *config = NULL;
    assert_int_equal(cw_config_load(&schema, &input, &problems, &config), CW_CONFIG_INVALID);
    cw_buf_add_char(&problems, '\0');
    assert_non_null(strstr(problems.p, "app.cache.ttl: \"x\" is not a duration"));
    assert_non_null(strstr(problems.p, "app.nonsense: unknown key"));
    assert_null(strstr(problems.p, "command line"));
}

static void a_key_is_taken_under_its_alias_from_every_source(void **state)
{
    (void)state;
    char *const env[] = {"CW_TENANTS_0_ALSO_DOMAINS=e.com,f.com", NULL};
    char *const overrides[] = {"--tenants[0].also_domains=g.com"};
    const struct cw_config_setting settings[] = {{"tenants[0].also_domains[0]", "s.com"}};
    const struct cw_config_input inputs[] = {
        text_input("tenants: [{name: a, also_domains: [x.com, y.com]}]\n"),
        text_input("tenants: [{name: a, also_domains: 'x.com, y.com'}]\n"),
        text_input("tenants[0].name: a\ntenants[0].also_domains[0]: x.com\n"),
        {.file = "t", .text = CW_STR("{name: a, also_domains: [x.com]}"), .prefix = "tenants[0]"},
        {.file = "t", .text = CW_STR("tenants: [{name: a, domains: [x.com]}]"), .env = env},
        {.file = "t",
         .text = CW_STR("tenants: [{name: a, domains: [x.com]}]"),
         .overrides = overrides,
         .n_overrides = 1},
        {.file = "t",
         .text = CW_STR("tenants: [{name: a, also_domains: [x.com]}]"),
         .settings = settings,
         .n_settings = 1},
    };
    static const char *const first[] = {"x.com", "x.com", "x.com", "x.com",
                                        "e.com", "g.com", "s.com"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(inputs); i++) {
        struct cw_config *config CW_CLEANUP(cw_config_unrefp) = load(&inputs[i]);
        struct cw_config_at root = cw_config_root(config);
        struct cw_config_at tenant = cw_config_item(&root, "tenants", 0);
        size_t n = 0;
        const char *const *domains = cw_config_list(&tenant, "domains", &n);
        assert_int_equal(n, i < 2 || i == 4 ? 2 : 1);
        assert_string_equal(domains[0], first[i]);
    }
}

static void a_key_and_its_alias_at_once_are_refused_and_no_other_name_is_taken(void **state)
{
    (void)state;
    struct cw_config_input input =
        text_input("tenants: [{name: a, domains: [x.com], also_domains: [y.com]}]\n");
    assert_non_null(strstr(refused(&input), "tenants[0].domains"));
    input = text_input("tenants: [{name: a, also_domain: [y.com]}]\n");
    assert_non_null(strstr(refused(&input), "unknown key"));
    input = text_input("tenants: [{name: a, issuers: [{issuer: i, also_domains: [y.com]}]}]\n");
    assert_non_null(strstr(refused(&input), "unknown key"));
    input = text_input("also_domains: [y.com]\ntenants: [{name: a, also_domains: {b: c}}]\n");
    assert_non_null(strstr(refused(&input), "unknown key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold_where_no_source_says_otherwise),
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(lists_of_objects_are_read_by_cursor),
        cmocka_unit_test(what_is_wrong_is_refused_with_line_and_key),
        cmocka_unit_test(all_problems_are_told_at_once),
        cmocka_unit_test(environment_and_command_line_are_held_to_the_table),
        cmocka_unit_test(a_hidden_value_is_not_in_the_message),
        cmocka_unit_test(a_bomb_is_refused_by_its_bounds),
        cmocka_unit_test(reload_swaps_or_refuses_as_a_whole),
        cmocka_unit_test(a_reference_counts_as_a_reader),
        cmocka_unit_test(pages_name_every_key),
        cmocka_unit_test(start_tells_run_from_exit),
        cmocka_unit_test(settings_of_a_program_win_over_a_text_below_a_prefix),
        cmocka_unit_test(a_key_is_taken_under_its_alias_from_every_source),
        cmocka_unit_test(a_key_and_its_alias_at_once_are_refused_and_no_other_name_is_taken),
        cmocka_unit_test(a_setting_that_is_wrong_is_told_by_its_key_and_a_secret_by_no_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
