/* Checks are told in order up to the one that refuses, safe to print, without token and key. */
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "tests/support/jose/judge.h"

static void add(void *ctx, const char *name, bool passed, struct cw_str detail)
{
    cw_buf_addf(ctx, "%s %s: %.*s\n", passed ? "ok" : "FAIL", name, CW_STR_ARG(detail));
}

static enum cw_err explained(const char *bytes, struct cw_buf *told)
{
    struct cw_jwks *set = judge_keys(false);
    struct cw_token_policy policy = judge_policy();
    struct cw_checks checks = {.add = add, .ctx = told};
    struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cw_token token;
    struct cw_claims claims;
    enum cw_err err = cw_token_parse(cw_str(bytes), &arena, &checks, &token);
    if (!err) {
        err = cw_token_verify(&token, &policy, set, JUDGE_NOW, &checks, &arena, &claims, NULL);
    }
    cw_arena_done(&arena);
    cw_jwks_unref(set);
    cw_buf_add_char(told, '\0');
    return err;
}

#define CONTROLS                                                                                   \
    "\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001"                       \
    "\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001"
#define ACCENTS "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"

static const struct {
    const char *sentence;
    const char *payload;
    enum cw_err err;
    const char *last;  /* how the last line begins */
    const char *holds; /* some of it */
} rows[] = {
    {"accepted", JUDGE_CLAIMS(""), CW_OK, "ok cnf", ""},
    {"expired", "{\"iss\":\"" JUDGE_ISSUER "\",\"exp\":1600000000}", CW_TOKEN_EXPIRED,
     "FAIL expiry", "1600000000"},
    {"issuer that steers a terminal", "{\"iss\":\"\\u001b[2J\\\"x\"}", CW_ISSUER_UNKNOWN,
     "FAIL issuer", "\"\\u001b[2J\\\"x\""},
    {"a long issuer of control bytes, cut",
     "{\"iss\":\"" CONTROLS CONTROLS CONTROLS CONTROLS CONTROLS CONTROLS "\"}", CW_ISSUER_UNKNOWN,
     "FAIL issuer", "…"},
    {"a long issuer cut within a character",
     "{\"iss\":\"x" ACCENTS ACCENTS ACCENTS ACCENTS ACCENTS ACCENTS "\"}", CW_ISSUER_UNKNOWN,
     "FAIL issuer", "…"},
    {"no issuer", "{}", CW_CLAIM_MISSING, "FAIL iss", "is there"},
    {"audience", "{\"iss\":\"" JUDGE_ISSUER "\",\"sub\":\"a\",\"exp\":1700000600}",
     CW_AUDIENCE_MISMATCH, "FAIL audience", JUDGE_AUDIENCE},
};

static void the_refusing_check_is_the_last(void **state)
{
    (void)state;
    char *header = judge_header("ES256");
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        char *token =
            mint_token(mint_key("ES256"), "ES256", cw_str(header), cw_str(rows[i].payload));
        struct cw_buf told = CW_BUF_INIT(64 * 1024);
        judge_expect(rows[i].sentence, explained(token, &told), rows[i].err);
        char *last = told.p, *line = strchr(told.p, '\n');
        for (; line && line[1]; line = strchr(line + 1, '\n')) {
            last = line + 1;
        }
        assert_memory_equal(last, rows[i].last, strlen(rows[i].last));
        assert_non_null(strstr(last, rows[i].holds));
        assert_true(rows[i].err || !strstr(told.p, "FAIL"));
        assert_true(cw_str_is_utf8(cw_str(told.p)));
        assert_null(strstr(told.p, strrchr(token, '.') + 1));
        for (const char *p = told.p; *p; p++) {
            assert_true(*p == '\n' || (unsigned char)*p >= 0x20);
        }
        cw_buf_done(&told);
        free(token);
    }
    free(header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_refusing_check_is_the_last)};
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
