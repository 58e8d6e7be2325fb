/* The examples of the standards (tests/vectors): accepted, or refused for the reason that the file
 * names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/jose/b64url.h"
#include "common/jose/verify.h"
#include "tests/support/jose/judge.h"

static int file_count;
static char **files;

static void signature(const char *name, const json_t *vector, struct cw_str jws, const char *expect)
{
    const json_t *jwk = json_object_get(vector, "jwk");
    struct cw_jwk_options options = {.allow_oct = true};
    struct cw_jwk *key = NULL;
    char why[CW_JWK_WHY_SIZE];
    enum cw_err err = cw_jwk_parse(jwk, &options, &key, why);
    if (!err) {
        err = cw_jws_verify_with(jws, key);
        /* no key of this kind verifies the same text with a byte changed */
        char *text = cw_str_dup(jws);
        text[jws.n - 4] = (char)(text[jws.n - 4] == 'A' ? 'B' : 'A');
        assert_int_not_equal(cw_jws_verify_with(cw_str(text), key), CW_OK);
        free(text);
    }
    cw_jwk_unref(key);
    if (strcmp(cw_err_code(err), expect) != 0) {
        fail_msg("%s: got %s, want %s", name, cw_err_code(err), expect);
    }
}

static void thumbprint(const char *name, const json_t *jwk, const char *expect)
{
    struct cw_jwk_options options = {.allow_oct = false};
    struct cw_jwk *key = NULL;
    char why[CW_JWK_WHY_SIZE];
    judge_expect(name, cw_jwk_parse(jwk, &options, &key, why), CW_OK);
    char *text = mint_b64url(cw_jwk_thumbprint(key), CW_JWK_THUMBPRINT_SIZE);
    assert_string_equal(text, expect);
    free(text);
    cw_jwk_unref(key);
}

static void published(const char *name, const json_t *jwks, const json_t *kids)
{
    struct cw_jwks_options options = {.allow_oct = false};
    struct cw_jwks *set = NULL;
    char *text = json_dumps(jwks, 0);
    enum cw_err err = cw_jwks_parse(cw_str(text), &options, &set, NULL);
    free(text);
    judge_expect(name, err, json_array_size(kids) ? CW_OK : CW_KEYS_UNAVAILABLE);
    if (err) {
        return;
    }
    assert_int_equal(cw_jwks_count(set), json_array_size(kids));
    for (size_t i = 0; i < cw_jwks_count(set); i++) {
        struct cw_str kid = cw_json_str(json_array_get(kids, i));
        assert_true(cw_str_eq(cw_jwk_kid(cw_jwks_at(set, i)), kid));
    }
    cw_jwks_unref(set);
}

static void each_example_is_judged_as_its_file_says(void **state)
{
    (void)state;
    assert_true(file_count >= 20);
    for (int i = 0; i < file_count; i++) {
        json_t *vector = json_load_file(files[i], 0, NULL);
        assert_non_null(vector);
        struct cw_str jws;
        const json_t *print = json_object_get(vector, "thumbprint");
        if (cw_json_get_str(vector, "jws", &jws)) {
            signature(files[i], vector, jws, json_string_value(json_object_get(vector, "expect")));
        } else if (print) {
            thumbprint(files[i], json_object_get(vector, "jwk"), json_string_value(print));
        } else {
            published(files[i], json_object_get(vector, "jwks"), json_object_get(vector, "kids"));
        }
        json_decref(vector);
    }
}

int main(int argc, char **argv)
{
    file_count = argc - 1;
    files = argv + 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_example_is_judged_as_its_file_says)};
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
