/* D14, D17: claims that become headers and log fields carry no control bytes; the subject is there,
 * a string, and a client is not taken for a user. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"

#define SUB(json)                                                                                  \
    "{\"iss\":\"" JUDGE_ISSUER "\",\"aud\":\"" JUDGE_AUDIENCE                                      \
    "\",\"exp\":1700000600,\"sub\":" json "}"
#define ROW(what, bad, good)                                                                       \
    {                                                                                              \
        .sentence = (what), .reason = CW_CLAIM_INVALID, .payload = bad, .twin_payload = good       \
    }

static const struct judge_case cases[] = {
    {.sentence = "sub missing",
     .reason = CW_CLAIM_MISSING,
     .payload = "{\"iss\":\"" JUDGE_ISSUER "\",\"aud\":\"" JUDGE_AUDIENCE "\",\"exp\":1700000600}"},
    ROW("sub empty", SUB("\"\""), SUB("\"a\"")),
    ROW("sub a number", SUB("42"), SUB("\"42\"")),
    ROW("sub null", SUB("null"), SUB("\"null\"")),
    ROW("sub an array", SUB("[\"alice\"]"), SUB("\"alice\"")),
    ROW("CR LF in sub", SUB("\"a\\r\\nX-Auth-Roles: admin\""), SUB("\"a X-Auth-Roles: admin\"")),
    ROW("a newline in sub", SUB("\"a\\nb\""), SUB("\"a b\"")),
    ROW("an escape in sub", SUB("\"a\\u001b[2J\""), SUB("\"caf\xc3\xa9\"")),
    ROW("DEL in sub", SUB("\"a\\u007f\""), SUB("\"a\"")),
    ROW("CR LF in jti", SUB("\"a\",\"jti\":\"\\r\\n\""), SUB("\"a\",\"jti\":\"1\"")),
    ROW("jti a number", SUB("\"a\",\"jti\":1"), SUB("\"a\",\"jti\":\"1\"")),
    ROW("CR LF in sid", SUB("\"a\",\"sid\":\"\\r\\n\""), SUB("\"a\",\"sid\":\"1\"")),
    ROW("CR LF in client_id", SUB("\"a\",\"client_id\":\"\\n\""), SUB("\"a\",\"azp\":\"1\"")),
    ROW("CR LF in scope", SUB("\"a\",\"scope\":\"a\\r\\nb\""), SUB("\"a\",\"scope\":\"a b\"")),
    ROW("a blank within one scope", SUB("\"a\",\"scp\":[\"a admin\"]"),
        SUB("\"a\",\"scp\":[\"a\",\"b\"]")),
    ROW("an empty scope", SUB("\"a\",\"scp\":[\"\"]"), SUB("\"a\",\"scp\":[]")),
    ROW("scope a number", SUB("\"a\",\"scope\":1"), SUB("\"a\",\"scope\":null")),
    ROW("CR LF in a role", SUB("\"a\",\"roles\":[\"x\\n\"]"), SUB("\"a\",\"roles\":[\"x y\"]")),
    ROW("a role of another type", SUB("\"a\",\"roles\":[true]"), SUB("\"a\",\"roles\":[\"true\"]")),
    ROW("roles an object", SUB("\"a\",\"roles\":{\"admin\":1}"), SUB("\"a\",\"roles\":[]")),
    ROW("tenant an array", SUB("\"a\",\"tenant\":[\"t\"]"), SUB("\"a\",\"tenant\":\"t\"")),
};

static void identity_claims_are_clean(void **state)
{
    (void)state;
    JUDGE_CASES(cases, NULL, NULL);
}

static const struct {
    const char *sentence;
    const char *payload;
    bool is_client;
} subjects[] = {
    {"a user", SUB("\"alice\",\"client_id\":\"web\""), false},
    {"a user without client", SUB("\"alice\""), false},
    {"sub is the client", SUB("\"web\",\"client_id\":\"web\""), true},
    {"sub is the azp", SUB("\"web\",\"azp\":\"web\""), true},
    {"Auth0's suffix", SUB("\"web@clients\",\"azp\":\"web\""), true},
    {"Auth0's grant type", SUB("\"x@clients\",\"gty\":\"client-credentials\""), true},
    {"the suffix of another client", SUB("\"other@clients\",\"azp\":\"web\""), false},
};

static void a_client_is_no_user(void **state)
{
    (void)state;
    char *header = judge_header("ES256");
    for (size_t i = 0; i < CW_ARRAY_SIZE(subjects); i++) {
        char *token =
            mint_token(mint_key("ES256"), "ES256", cw_str(header), cw_str(subjects[i].payload));
        struct cw_claims claims;
        judge_expect(subjects[i].sentence, judge(cw_str(token), NULL, NULL, &claims), CW_OK);
        if (claims.subject_is_client != subjects[i].is_client) {
            fail_msg("%s", subjects[i].sentence);
        }
        free(token);
    }
    free(header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_claims_are_clean),
        cmocka_unit_test(a_client_is_no_user),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
