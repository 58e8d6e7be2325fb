/* D15 and the issuer's own demands: a token bound to a key is no bearer token; parties and required
 * claims as configured. */
#include "tests/support/jose/judge.h"

#define ROW(what, err, bad, good)                                                                  \
    {                                                                                              \
        .sentence = (what), .reason = (err), .payload = JUDGE_CLAIMS(bad),                         \
        .twin_payload = JUDGE_CLAIMS(good)                                                         \
    }

static const struct judge_case bound[] = {
    ROW("DPoP", CW_CONFIRMATION_UNSUPPORTED, ",\"cnf\":{\"jkt\":\"x\"}", ",\"x\":{\"jkt\":\"x\"}"),
    ROW("mTLS", CW_CONFIRMATION_UNSUPPORTED, ",\"cnf\":{\"x5t#S256\":\"x\"}", ""),
    ROW("an empty cnf", CW_CONFIRMATION_UNSUPPORTED, ",\"cnf\":{}", ""),
    ROW("cnf null", CW_CONFIRMATION_UNSUPPORTED, ",\"cnf\":null", ""),
};

static void a_bound_token_is_no_bearer_token(void **state)
{
    (void)state;
    JUDGE_CASES(bound, NULL, NULL);
}

#define USER                                                                                       \
    "\"iss\":\"" JUDGE_ISSUER "\",\"sub\":\"a\",\"aud\":\"" JUDGE_AUDIENCE "\",\"exp\":1700000600"
#define CLIENT(err, what, bad, good)                                                               \
    {                                                                                              \
        .sentence = (what), .reason = (err), .payload = "{" USER bad "}",                          \
        .twin_payload = "{" USER good "}"                                                          \
    }

static const struct judge_case parties[] = {
    CLIENT(CW_AUTHORIZED_PARTY_MISMATCH, "another client", ",\"client_id\":\"evil\"",
           ",\"client_id\":\"web\""),
    CLIENT(CW_AUTHORIZED_PARTY_MISMATCH, "another azp", ",\"azp\":\"evil\"", ",\"azp\":\"app\""),
    CLIENT(CW_AUTHORIZED_PARTY_MISMATCH, "no client", "", ",\"cid\":\"web\""),
    CLIENT(CW_AUTHORIZED_PARTY_MISMATCH, "another case", ",\"azp\":\"Web\"", ",\"azp\":\"web\""),
};

static void only_the_accepted_clients_pass(void **state)
{
    (void)state;
    static const struct cw_str accepted[] = {CW_STR_INIT("web"), CW_STR_INIT("app")};
    struct cw_token_policy policy = judge_policy();
    policy.claims.parties = accepted;
    policy.claims.party_count = CW_ARRAY_SIZE(accepted);
    JUDGE_CASES(parties, &policy, NULL);
}

static const struct judge_case required[] = {
    CLIENT(CW_CLAIM_MISSING, "jti absent", ",\"client_id\":\"c\"",
           ",\"client_id\":\"c\",\"jti\":\"1\""),
    CLIENT(CW_CLAIM_MISSING, "client_id absent", ",\"jti\":\"1\"",
           ",\"client_id\":\"c\",\"jti\":\"1\""),
    CLIENT(CW_CLAIM_INVALID, "jti null", ",\"client_id\":\"c\",\"jti\":null",
           ",\"client_id\":\"c\",\"jti\":\"1\""),
};

static void required_claims_are_there(void **state)
{
    (void)state;
    static const struct cw_str names[] = {CW_STR_INIT("jti"), CW_STR_INIT("client_id")};
    struct cw_token_policy policy = judge_policy();
    policy.claims.required = names;
    policy.claims.required_count = CW_ARRAY_SIZE(names);
    JUDGE_CASES(required, &policy, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bound_token_is_no_bearer_token),
        cmocka_unit_test(only_the_accepted_clients_pass),
        cmocka_unit_test(required_claims_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
