/* Reads the URL of a PostgreSQL server: what libpq knows, less what must not stand in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/store/db_postgresql_conn.h"

enum {
    CONNECT_TIMEOUT_MS = 3000,
    STATEMENT_TIMEOUT_MS = 5000,
    OWN_SETTINGS = 6, /* of ours, beside the URL's */
};

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, keyword) == 0) {
            return options->val;
        }
    }
    return NULL;
}

/* A Unix socket or this host itself: every one of a list of hosts. */
static bool is_local(const PQconninfoOption *options)
{
    const char *host = value_of(options, "hostaddr");
    host = host != NULL ? host : value_of(options, "host");
    struct cw_str rest = cw_str(host);
    struct cw_str one;
    while (cw_str_word(&rest, ',', &one)) {
        if (!cw_str_starts(one, CW_STR("/")) && !cw_str_starts(one, CW_STR("@")) &&
            !cw_str_is(one, "localhost") && !cw_str_is(one, "::1") &&
            !cw_str_starts(one, CW_STR("127."))) {
            return false;
        }
    }
    return true;
}

static const char *problem_of(const PQconninfoOption *options)
{
    if (value_of(options, "password") != NULL) {
        return "authsvc.store.url holds a password: put it into authsvc.store.password-file or "
               "~/.pgpass";
    }
    if (!is_local(options) && value_of(options, "sslmode") == NULL) {
        return "the database is on another host: add sslmode=verify-full and sslrootcert=FILE to "
               "authsvc.store.url (or the sslmode that is wanted)";
    }
    const char *encoding = value_of(options, "client_encoding");
    if (encoding != NULL) {
        return "client_encoding is always UTF8: take it out of authsvc.store.url";
    }
    return NULL;
}

static bool set(struct pg_target *target, size_t *n, const char *keyword, const char *value)
{
    target->keywords[*n] = strdup(keyword);
    target->values[*n] = value != NULL ? strdup(value) : NULL;
    bool done = target->keywords[*n] != NULL && (value == NULL || target->values[*n] != NULL);
    ++*n;
    return done;
}

static enum cw_err fill(struct pg_target *target, const PQconninfoOption *options)
{
    size_t n_options = 0;
    while (options[n_options].keyword != NULL) {
        n_options++;
    }
    target->keywords = calloc(n_options + OWN_SETTINGS + 1, sizeof(char *));
    target->values = calloc(n_options + OWN_SETTINGS + 1, sizeof(char *));
    ENSURE(target->keywords != NULL && target->values != NULL, CW_NO_MEMORY);
    size_t n = 0;
    /* libpq counts in seconds, and not below two. */
    char seconds[24];
    snprintf(seconds, sizeof(seconds), "%lld",
             (long long)(target->connect_timeout_ms + 999) / 1000);
    char ms[24];
    snprintf(ms, sizeof(ms), "%lld", (long long)target->statement_timeout_ms);
    bool ok = set(target, &n, "connect_timeout", seconds) &&
              set(target, &n, "tcp_user_timeout", ms) &&
              set(target, &n, "fallback_application_name", "cw-authsvc");
    for (size_t i = 0; ok && i < n_options; i++) {
        if (options[i].val != NULL) { /* later ones win: the URL may say otherwise */
            ok = set(target, &n, options[i].keyword, options[i].val);
        }
    }
    target->password_at = n + 1;
    ok = ok && set(target, &n, "client_encoding", "UTF8") && set(target, &n, "password", NULL);
    return ok ? CW_OK : CW_NO_MEMORY;
}

enum cw_err pg_target_init(struct pg_target *target, const struct db_options *options,
                           struct cw_buf *ret_message)
{
    *target = (struct pg_target){
        .connect_timeout_ms =
            options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS,
        .statement_timeout_ms = options->statement_timeout_ms > 0 ? options->statement_timeout_ms
                                                                  : STATEMENT_TIMEOUT_MS,
    };
    char *url = cw_str_dup(options->url);
    ENSURE(url != NULL, CW_NO_MEMORY);
    char *error = NULL;
    PQconninfoOption *parsed = PQconninfoParse(url, &error);
    free(url);
    if (parsed == NULL) {
        /* libpq's own sentence quotes the place, which may be the password's. */
        PQfreemem(error);
        cw_buf_add_cstr(ret_message, "authsvc.store.url is no URL of PostgreSQL: expected "
                                     "postgresql://[USER@]HOST[:PORT]/NAME[?sslmode=…]");
        return CW_CONFIG_INVALID;
    }
    const char *problem = problem_of(parsed);
    enum cw_err err = problem == NULL ? fill(target, parsed) : CW_CONFIG_INVALID;
    cw_buf_add_cstr(ret_message, problem != NULL ? problem : "");
    PQconninfoFree(parsed);
    if (err == CW_OK && options->password_file != NULL) {
        target->password_file = strdup(options->password_file);
        err = target->password_file != NULL ? CW_OK : CW_NO_MEMORY;
    }
    return err;
}

void pg_target_done(struct pg_target *target)
{
    for (size_t i = 0; target->keywords != NULL && target->keywords[i] != NULL; i++) {
        free(target->keywords[i]);
        free(target->values[i]);
    }
    free(target->keywords);
    free(target->values);
    free(target->password_file);
}
