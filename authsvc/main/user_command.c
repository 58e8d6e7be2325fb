/* Adds a user, sets a password, disables and enables; passwords come from standard input only. */
#include "authsvc/main/user_command.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authsvc/login/account.h"
#include "authsvc/login/mfa.h"
#include "authsvc/main/app.h"

enum { MESSAGE_MAX = 16 * 1024, OPTIONS_MAX = 16, LIST_MAX = 64 * 1024 };

static const char usage[] =
    "usage: cw-authsvc user add             --config FILE --tenant NAME --username NAME [options]\n"
    "       cw-authsvc user set-password    --config FILE --tenant NAME --username NAME\n"
    "       cw-authsvc user reset-password  --config FILE --tenant NAME --username NAME\n"
    "       cw-authsvc user expire-password --config FILE --tenant NAME --username NAME\n"
    "       cw-authsvc user reset-mfa       --config FILE --tenant NAME --username NAME\n"
    "       cw-authsvc user disable         --config FILE --tenant NAME --username NAME\n"
    "       cw-authsvc user enable          --config FILE --tenant NAME --username NAME\n"
    "\n"
    "The password is read from standard input, without the newline at its end. reset-password\n"
    "prints a code with which the user sets a new one within a day; expire-password makes the\n"
    "present one good for changing it only.\n"
    "cw-authsvc must not be running on the same SQLite database.\n"
    "\n"
    "  --roles A,B        roles of the new user\n"
    "  --permissions A,B  permissions of the new user\n"
    "  --name NAME        name for people\n"
    "  --email ADDRESS    default: the user name where it is an address\n"
    "  --if-absent        a user who exists already is fine and stays unchanged\n"
    "  --KEY=VALUE        any configuration key\n"
    "\n"
    "Exit: 0 done, 1 refused (exists, unknown, password not acceptable), 2 could not run, 64 "
    "usage\n";

struct command {
    const char *tenant;
    const char *username;
    const char *roles;
    const char *permissions;
    const char *name;
    const char *email;
    bool if_absent;
    struct cw_config *config;
    struct tenant_set *tenants;
    struct store *store;
    struct password_hasher *hasher;
    struct password_blocklist *blocklist;
};

static int fail(int code, const char *format, ...) CW_PRINTF(2, 3);
static int fail(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("cw-authsvc user: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return code;
}

/* --- arguments -------------------------------------------------------------------------- */

/* Our own options; everything else is left for the configuration. -1: go on. */
static int parse(struct command *c, int argc, char **argv, int *ret_rest_n, char **rest)
{
    const struct {
        const char *name;
        const char **value;
    } options[] = {
        {"--tenant", &c->tenant},           {"--username", &c->username}, {"--roles", &c->roles},
        {"--permissions", &c->permissions}, {"--name", &c->name},         {"--email", &c->email},
    };
    for (int i = 2; i < argc; i++) {
        bool ours = false;
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--if-absent") == 0) {
            c->if_absent = true;
            continue;
        }
        for (size_t k = 0; k < CW_ARRAY_SIZE(options) && !ours; k++) {
            if (strcmp(argv[i], options[k].name) == 0) {
                if (i + 1 == argc) {
                    return fail(64, "%s needs a value", argv[i]);
                }
                *options[k].value = argv[++i];
                ours = true;
            }
        }
        if (!ours) {
            rest[(*ret_rest_n)++] = argv[i];
        }
    }
    return -1;
}

/* "a,b" as a JSON array of strings. */
static enum cw_err list_of(const char *words, struct cw_buf *json)
{
    struct cw_str rest = cw_str(words);
    struct cw_str word;
    cw_buf_add_char(json, '[');
    while (cw_str_word(&rest, ',', &word)) {
        cw_buf_add_cstr(json, json->n > 1 ? "," : "");
        cw_buf_add_json(json, cw_str_trim(word));
    }
    cw_buf_add_char(json, ']');
    return cw_buf_check(json);
}

/* Standard input to its end; one newline is dropped. */
static enum cw_err read_password(struct cw_secret *ret_prepared)
{
    char typed[PASSWORD_BYTES_MAX + 3];
    size_t n = fread(typed, 1, sizeof(typed), stdin);
    if (n > 0 && typed[n - 1] == '\n') {
        n--;
    }
    enum cw_err err =
        n > 0 ? password_prepare((struct cw_str){typed, n}, ret_prepared) : CW_REQUEST_MALFORMED;
    cw_secret_wipe(typed, sizeof(typed));
    return err;
}

/* --- verbs ------------------------------------------------------------------------------ */

/* The same rules as for users themselves (account.h). */
static enum cw_err allowed(const struct command *c, const char *username, struct cw_str prepared)
{
    /* A tenant of the database keeps its settings in a form of its own: the usual bounds. */
    const struct tenant usual = {.name = cw_str(c->tenant),
                                 .password = {PASSWORD_MIN_DEFAULT, 256}};
    const struct tenant *tenant = tenant_set_by_name(c->tenants, cw_str(c->tenant));
    return login_password_allowed(c->blocklist, tenant != NULL ? tenant : &usual, cw_str(username),
                                  prepared);
}

static int hash_typed(struct command *c, const char *username, char ret_hash[PASSWORD_HASH_MAX])
{
    struct cw_secret password = {0};
    if (read_password(&password) != CW_OK) {
        return fail(1, "the password on standard input is empty, no UTF-8, or longer than %d bytes",
                    PASSWORD_BYTES_MAX);
    }
    enum cw_err err = allowed(c, username, cw_secret_str(&password));
    if (err != CW_OK) {
        cw_secret_done(&password);
        return fail(1, "%s: %s", cw_err_code(err), cw_err_info(err)->meaning);
    }
    err = password_hash(c->hasher, cw_secret_str(&password), ret_hash);
    cw_secret_done(&password);
    return err == CW_OK ? 0 : fail(2, "the password could not be hashed: %s", cw_err_code(err));
}

static int already_there(const struct command *c)
{
    if (c->if_absent) {
        printf("%s of tenant %s exists already\n", c->username, c->tenant);
        return 0;
    }
    return fail(1, "%s of tenant %s exists already", c->username, c->tenant);
}

static int add_user(struct command *c, const char *username, const char *hash)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf roles = CW_BUF_INIT(LIST_MAX);
    CW_CLEANUP(cw_buf_done) struct cw_buf permissions = CW_BUF_INIT(LIST_MAX);
    if (list_of(c->roles, &roles) != CW_OK || list_of(c->permissions, &permissions) != CW_OK) {
        return fail(64, "too many roles or permissions");
    }
    uint8_t random[16];
    char subject[33];
    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(subject, sizeof(subject), random, sizeof(random));
    const char *email = c->email != NULL ? c->email : strchr(username, '@') ? username : "";
    const struct store_user user = {
        .subject = cw_str(subject),
        .username = cw_str(username),
        .password_hash = cw_str(hash),
        .name = cw_str(c->name),
        .email = cw_str(email),
        .email_verified = false,
        .roles = cw_buf_str(&roles),
        .permissions = cw_buf_str(&permissions),
    };
    enum cw_err err = store_user_add(c->store, cw_str(c->tenant), &user);
    if (err == CW_CONFLICT) {
        return already_there(c);
    }
    if (err != CW_OK) {
        return fail(2, "the user could not be added: %s", cw_err_code(err));
    }
    printf("%s of tenant %s added\n", username, c->tenant);
    return 0;
}

static int add(struct command *c, const char *username)
{
    struct cw_arena arena = CW_ARENA_INIT(256 * 1024);
    struct store_user known;
    enum cw_err err =
        store_user_by_name(c->store, cw_str(c->tenant), cw_str(username), &arena, &known);
    cw_arena_done(&arena);
    if (err == CW_OK) {
        return already_there(c);
    }
    char hash[PASSWORD_HASH_MAX];
    int code = hash_typed(c, username, hash);
    return code != 0 ? code : add_user(c, username, hash);
}

static int set_password(struct command *c, const char *username)
{
    char hash[PASSWORD_HASH_MAX];
    int code = hash_typed(c, username, hash);
    if (code != 0) {
        return code;
    }
    enum cw_err err =
        store_user_set_password(c->store, cw_str(c->tenant), cw_str(username), cw_str(hash));
    if (err == CW_OK) {
        printf("password of %s of tenant %s set\n", username, c->tenant);
        return 0;
    }
    return fail(err == CW_NOT_FOUND ? 1 : 2, "%s of tenant %s: %s", username, c->tenant,
                cw_err_code(err));
}

static int set_disabled(struct command *c, const char *username, bool disabled)
{
    enum cw_err err =
        store_user_set_disabled(c->store, cw_str(c->tenant), cw_str(username), disabled);
    if (err == CW_OK) {
        printf("%s of tenant %s %s\n", username, c->tenant, disabled ? "disabled" : "enabled");
        return 0;
    }
    return fail(err == CW_NOT_FOUND ? 1 : 2, "%s of tenant %s: %s", username, c->tenant,
                cw_err_code(err));
}

static int disable(struct command *c, const char *username)
{
    return set_disabled(c, username, true);
}

static int enable(struct command *c, const char *username)
{
    return set_disabled(c, username, false);
}

static int tell(const struct command *c, enum cw_err err, const char *username, const char *done)
{
    if (err == CW_OK) {
        printf("%s of %s of tenant %s\n", done, username, c->tenant);
        return 0;
    }
    return fail(err == CW_NOT_FOUND ? 1 : 2, "%s of tenant %s: %s", username, c->tenant,
                cw_err_code(err));
}

static int reset_mfa(struct command *c, const char *username)
{
    return tell(c, login_mfa_reset(c->store, cw_str(c->tenant), cw_str(username)), username,
                "removed the second factors");
}

static int expire_password(struct command *c, const char *username)
{
    return tell(c, store_user_expire_password(c->store, cw_str(c->tenant), cw_str(username)),
                username, "expired the password");
}

static int reset_password(struct command *c, const char *username)
{
    char code[CODE_TEXT_SIZE];
    enum cw_err err = login_reset_issue(c->store, cw_str(c->tenant), cw_str(username),
                                        RESET_LIFE_DEFAULT_MS, code);
    if (err == CW_OK) {
        printf("%s\n", code);
        fprintf(stderr, "good once, within 24 h, for POST /auth/v1/password/reset\n");
        sodium_memzero(code, sizeof(code));
        return 0;
    }
    return tell(c, err, username, "");
}

static const struct {
    const char *name;
    int (*run)(struct command *c, const char *username);
} verbs[] = {
    {"add", add},
    {"set-password", set_password},
    {"disable", disable},
    {"enable", enable},
    {"reset-mfa", reset_mfa},
    {"reset-password", reset_password},
    {"expire-password", expire_password},
};

/* --- as a whole ------------------------------------------------------------------------- */

/* Whether the tenant is one of the configuration. */
static bool tenant_configured(struct command *c)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf problems = CW_BUF_INIT(MESSAGE_MAX);
    return authsvc_tenants(c->config, &problems, &c->tenants) == CW_OK &&
           tenant_set_by_name(c->tenants, cw_str(c->tenant)) != NULL;
}

/* One that was added at run time is as good as one of the file. */
static enum cw_err find_stored(struct command *c)
{
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(1024 * 1024);
    struct store_tenant tenant;
    return store_tenant_get(c->store, cw_str(c->tenant), &arena, &tenant);
}

static int open_store(struct command *c)
{
    struct cw_config_at root = cw_config_root(c->config);
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(MESSAGE_MAX);
    enum cw_err err = app_make_dir(cw_config_string(&root, "authsvc.state-dir"), 0750, &message);
    char *url = authsvc_store_url(c->config);
    if (err == CW_OK) {
        struct store_options options;
        authsvc_store_options(c->config, url, &options);
        err = url != NULL ? store_open(&options, &message, &c->store) : CW_NO_MEMORY;
    }
    free(url);
    bool configured = tenant_configured(c);
    if (err == CW_OK && !configured && find_stored(c) != CW_OK) {
        return fail(1, "no tenant is called \"%s\" in the configuration or the database",
                    c->tenant);
    }
    if (err == CW_OK && configured) {
        err = store_tenant_add(c->store, cw_str(c->tenant));
    }
    if (err == CW_OK) {
        err = password_hasher_new(authsvc_password_params(c->config),
                                  authsvc_password_bound(c->config), &c->hasher);
    }
    const char *blocklist = cw_config_string(&root, "authsvc.password.blocklist");
    if (err == CW_OK && blocklist != NULL) {
        err = password_blocklist_read(blocklist, &message, &c->blocklist);
    }
    if (err != CW_OK) {
        return fail(
            2, "%.*s",
            CW_STR_ARG(message.n > 0 ? cw_buf_str(&message) : cw_str(cw_err_info(err)->meaning)));
    }
    return 0;
}

static int run(struct command *c, int (*verb)(struct command *c, const char *username))
{
    char *username = NULL;
    if (password_prepare_name(cw_str(c->username), &username) != CW_OK || username[0] == '\0') {
        free(username);
        return fail(64, "the user name is empty, no UTF-8, or too long");
    }
    int code = open_store(c);
    if (code == 0) {
        code = verb(c, username);
    }
    password_hasher_free(c->hasher);
    password_blocklist_free(c->blocklist);
    store_close(c->store);
    tenant_set_unref(c->tenants);
    free(username);
    return code;
}

int user_command(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 64 : 0;
    }
    int (*verb)(struct command * c, const char *username) = NULL;
    for (size_t i = 0; i < CW_ARRAY_SIZE(verbs); i++) {
        verb = strcmp(verbs[i].name, argv[1]) == 0 ? verbs[i].run : verb;
    }
    if (verb == NULL) {
        return fail(64, "\"%s\" is no verb; see cw-authsvc user --help", argv[1]);
    }
    struct command c = {0};
    char **rest = calloc((size_t)argc + 1, sizeof(char *));
    if (rest == NULL) {
        return fail(2, "out of memory");
    }
    rest[0] = argv[0];
    int n = 1;
    int code = parse(&c, argc, argv, &n, rest);
    if (code < 0 && (c.tenant == NULL || c.username == NULL)) {
        code = fail(64, "--tenant and --username are needed; see cw-authsvc user --help");
    }
    if (code < 0) {
        code = cw_config_start(&authsvc_schema, n, rest, &c.config);
    }
    if (code < 0) {
        code = run(&c, verb);
    }
    cw_config_unref(c.config);
    free(rest);
    return code;
}
