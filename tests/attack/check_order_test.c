/* C10: what costs nothing is checked before what costs a signature, and a key set is not asked
 * about a token that is refused anyhow, so that a flood buys neither work nor fetches. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"

/* The signature's bytes are wrong in all of these; the reason tells that nobody looked. */
static char *spoiled(const char *header, const char *payload)
{
    unsigned char signature[64] = {1};
    return mint_join(cw_str(header), cw_str(payload), signature, sizeof signature);
}

#define HEADER(kid) "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"" kid "\"}"
#define EXPIRED                                                                                    \
    "{\"iss\":\"" JUDGE_ISSUER "\",\"sub\":\"a\",\"aud\":\"" JUDGE_AUDIENCE "\",\"exp\":"          \
    "1600000000}"
#define WRONG_AUD "{\"iss\":\"" JUDGE_ISSUER "\",\"sub\":\"a\",\"aud\":\"x\",\"exp\":1700000600}"

static const struct {
    const char *sentence;
    const char *header, *payload;
    enum cw_err reason;
} rows[] = {
    {"typ before alg", "{\"alg\":\"none\",\"typ\":\"x\"}", "{\"iss\":\"x\"}", CW_TYPE_MISMATCH},
    {"alg before iss", "{\"alg\":\"none\",\"typ\":\"JWT\"}", "{\"iss\":\"x\"}",
     CW_ALGORITHM_NOT_ALLOWED},
    {"iss before the key", HEADER("unknown"), "{\"iss\":\"x\",\"exp\":1700000600}",
     CW_ISSUER_UNKNOWN},
    {"exp before the key", HEADER("unknown"), EXPIRED, CW_TOKEN_EXPIRED},
    {"exp before the signature", HEADER("ES256"), EXPIRED, CW_TOKEN_EXPIRED},
    {"the key before the signature", HEADER("unknown"), JUDGE_CLAIMS(""), CW_KEY_UNKNOWN},
    {"the signature before the audience", HEADER("ES256"), WRONG_AUD, CW_SIGNATURE_INVALID},
};

static void the_cheap_checks_come_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        char *token = spoiled(rows[i].header, rows[i].payload);
        judge_expect(rows[i].sentence, judge(cw_str(token), NULL, NULL, NULL), rows[i].reason);
        free(token);
    }
    char *header = judge_header("ES256");
    char *twin = mint_token(mint_key("ES256"), "ES256", cw_str(header), CW_STR(JUDGE_CLAIMS("")));
    judge_expect("with a good signature", judge(cw_str(twin), NULL, NULL, NULL), CW_OK);
    free(twin);
    free(header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_cheap_checks_come_first)};
    return cmocka_run_group_tests(tests, NULL, judge_done);
}
