/* What may stand below tenants[].idp, and what becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "authsvc/main/config.h"

static char secret_file[] = "idp_secretXXXXXX";
static const char placeholder[] = "SECRET-FILE-HERE";

static const char head[] = "tenants:\n"
                           "  - name: abott\n"
                           "    domains: [abott.com]\n"
                           "    login: idp\n"
                           "    audiences: [\"https://api.abott.com\"]\n"
                           "    clients: [{id: portal}]\n";

/* Loads head and `rest`; the placeholder stands for the file with the secret. */
static enum cw_err load(const char *rest, struct cw_buf *problems, struct cw_config **ret_config)
{
    char text[4096];
    snprintf(text, sizeof(text), "%s%s", head, rest);
    char *file = strstr(text, placeholder);
    if (file != NULL) { /* of the same length */
        memcpy(file, secret_file, strlen(placeholder));
    }
    const struct cw_config_input input = {.text = cw_str(text)};
    return cw_config_load(&authsvc_schema, &input, problems, ret_config);
}

static void assert_refused(const char *rest, const char *words)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf problems = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct cw_config *config = NULL;
    assert_int_equal(load(rest, &problems, &config), CW_CONFIG_INVALID);
    char *told = cw_buf_take(&problems);
    if (strstr(told, words) == NULL) {
        fail_msg("expected \"%s\" in: %s", words, told);
    }
    free(told);
}

static void a_tenant_reads_as_it_is_written(void **state)
{
    (void)state;
    CW_CLEANUP(cw_buf_done) struct cw_buf problems = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct cw_config *config = NULL;
    assert_int_equal(
        load("    issuer: \"https://abott.eu.auth0.com/\"\n"
             "    idp: {client-id: c, client-secret-file: SECRET-FILE-HERE, connection: Users,"
             " claims: {roles: '\"https://abott.com/roles\"'}}\n",
             &problems, &config),
        CW_OK);
    struct tenant_set *set = NULL;
    assert_int_equal(authsvc_tenants(config, &problems, &set), CW_OK);
    const struct tenant *tenant = tenant_set_by_host(set, CW_STR("abott.com"));
    assert_int_equal(tenant->login, TENANT_LOGIN_IDP);
    const struct tenant_idp *idp = tenant->idp;
    assert_true(cw_str_is(tenant->issuer, "https://abott.eu.auth0.com/"));
    assert_true(cw_str_is(idp->client_id, "c") && cw_str_is(idp->connection, "Users"));
    assert_true(cw_str_is(cw_secret_str(&idp->secret), "a secret"));
    assert_true(cw_str_is(idp->audience, "https://api.abott.com")); /* the tenant's first */
    assert_true(cw_str_is(idp->scope, "openid profile email offline_access"));
    assert_true(cw_str_is(idp->roles_claim, "\"https://abott.com/roles\""));
    assert_true(idp->forwarded_for && !idp->plain_loopback);
    assert_int_equal(idp->n_algorithms, 1);
    assert_true(cw_str_is(idp->algorithms[0], "RS256"));
    tenant_set_unref(set);
    cw_config_unref(config);
}

static void what_cannot_work_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *rest;
        const char *words;
    } cases[] = {
        {"    issuer: \"https://a.b/\"\n    idp: {client-secret-file: SECRET-FILE-HERE}\n",
         "client-id"},
        {"    issuer: \"https://a.b/\"\n    idp: {client-id: c}\n", "client-secret-file"},
        {"    issuer: \"https://a.b/\"\n    idp: {client-id: c, client-auth: private_key_jwt}\n",
         "private-key-file"},
        {"    issuer: \"http://a.b/\"\n    idp: {client-id: c, client-secret-file: "
         "SECRET-FILE-HERE}\n",
         "https"},
        {"    issuer: \"https://a.b/\"\n"
         "    idp: {client-id: c, client-secret-file: SECRET-FILE-HERE, discovery-uri: "
         "\"http://a.b/d\"}\n",
         "discovery-uri"},
        {"    issuer: \"https://a.b/\"\n"
         "    idp: {client-id: c, client-secret-file: SECRET-FILE-HERE, scope: profile}\n",
         "openid"},
        {"    issuer: \"https://a.b/\"\n"
         "    idp: {client-id: c, client-secret-file: SECRET-FILE-HERE, algorithms: [HS256]}\n",
         "HS256"},
        {"    issuer: \"https://a.b/\"\n"
         "    idp: {client-id: c, client-secret-file: SECRET-FILE-HERE, algorithms: [none]}\n",
         "none"},
        {"    issuer: \"https://a.b/\"\n"
         "    idp: {client-id: c, client-secret-file: SECRET-FILE-HERE, claims: {roles: a..b}}\n",
         "roles"},
        {"    issuer: \"https://a.b/\"\n    idp: {client-id: c, client-secret-file: /nowhere}\n",
         "/nowhere"},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        assert_refused(cases[i].rest, cases[i].words);
    }
}

static int make_secret(void **state)
{
    (void)state;
    int fd = mkstemp(secret_file);
    bool ok = fd >= 0 && write(fd, "a secret\n", 9) == 9 && close(fd) == 0;
    return ok ? 0 : -1;
}

static int drop_secret(void **state)
{
    (void)state;
    return unlink(secret_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenant_reads_as_it_is_written),
        cmocka_unit_test(what_cannot_work_is_refused),
    };
    return cmocka_run_group_tests(tests, make_secret, drop_secret);
}
