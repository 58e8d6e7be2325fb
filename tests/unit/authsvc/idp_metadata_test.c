/* Which metadata documents of a provider are taken, and which are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "authsvc/idp/metadata.h"

static const struct {
    const char *document;
    bool plain;
    const char *why; /* NULL: it is taken */
} cases[] = {
    {"{\"issuer\":\"https://i/\",\"token_endpoint\":\"https://i/t\"}", false, NULL},
    {"{\"issuer\":\"https://i/\",\"token_endpoint\":\"http://127.0.0.1:1/t\"}", true, NULL},
    {"{\"issuer\":\"https://i/\",\"token_endpoint\":\"http://127.0.0.1:1/t\"}", false, "https"},
    {"{\"issuer\":\"https://i/\",\"token_endpoint\":\"http://i/t\"}", true, "https"},
    {"{\"issuer\":\"https://i\",\"token_endpoint\":\"https://i/t\"}", false, "another issuer"},
    {"{\"issuer\":\"https://I/\",\"token_endpoint\":\"https://i/t\"}", false, "another issuer"},
    {"{\"token_endpoint\":\"https://i/t\"}", false, "another issuer"},
    {"{\"issuer\":\"https://i/\"}", false, "token_endpoint"},
    {"{\"issuer\":\"https://i/\",\"token_endpoint\":7}", false, "token_endpoint"},
    {"{\"issuer\":\"https://i/\",\"token_endpoint\":\"https://u@i/t\"}", false, "https"},
    {"{\"issuer\":\"https://i/\",\"token_endpoint\":\"https://i/t\",\"revocation_endpoint\":"
     "\"file:///etc/passwd\"}",
     false, "revocation_endpoint"},
    {"{\"issuer\":\"https://i/\",\"issuer\":\"https://i/\",\"token_endpoint\":\"https://i/t\"}",
     false, "JSON"},
    {"[]", false, "JSON"},
    {"", false, "JSON"},
};

static void documents_are_taken_or_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct metadata *metadata = NULL;
        char why[METADATA_WHY_SIZE] = "";
        enum cw_err err = metadata_parse(cw_str(cases[i].document), CW_STR("https://i/"),
                                         cases[i].plain, &metadata, why);
        bool as_expected = cases[i].why == NULL
                               ? err == CW_OK
                               : err == CW_IDP_MISCONFIGURED && strstr(why, cases[i].why) != NULL;
        metadata_unref(metadata);
        if (!as_expected) {
            fail_msg("%s: %s (%s)", cases[i].document, cw_err_code(err), why);
        }
    }
}

static void endpoints_and_offers_are_read(void **state)
{
    (void)state;
    struct metadata *m = NULL;
    char why[METADATA_WHY_SIZE] = "";
    struct cw_str text =
        CW_STR("{\"issuer\":\"https://i/\",\"token_endpoint\":\"https://i/oauth/token\","
               "\"userinfo_endpoint\":\"https://i/userinfo\",\"grant_types_supported\":"
               "[\"password\"]}");
    assert_int_equal(metadata_parse(text, CW_STR("https://i/"), false, &m, why), CW_OK);
    assert_string_equal(m->token_endpoint, "https://i/oauth/token");
    assert_string_equal(m->userinfo_endpoint, "https://i/userinfo");
    assert_null(m->revocation_endpoint);
    assert_true(metadata_offers(m, "grant_types_supported", "password"));
    assert_false(metadata_offers(m, "grant_types_supported", "refresh_token"));
    assert_true(metadata_offers(m, "scopes_supported", "openid")); /* it does not say */
    metadata_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_taken_or_refused_with_a_reason),
        cmocka_unit_test(endpoints_and_offers_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
