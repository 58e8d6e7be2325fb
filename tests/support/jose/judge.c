/* Mints the twins and the mutants of a table and has both judged. */
#include "tests/support/jose/judge.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

static struct cw_jwks *kept_set;

struct cw_jwks *judge_keys(bool secret)
{
    struct cw_buf text = CW_BUF_INIT(CW_JWKS_TEXT_MAX);
    cw_buf_add_cstr(&text, "{\"keys\":[");
    for (unsigned id = secret ? CW_ALG_HS256 : CW_ALG_RS256; id < CW_ALG_COUNT; id++) {
        const char *name = cw_alg_at((enum cw_alg_id)id)->name;
        char *members = mint_format("\"kid\":\"%s\",\"alg\":\"%s\",\"use\":\"sig\"", name, name);
        char *jwk = mint_jwk(mint_key(name), name, members);
        cw_buf_addf(&text, "%s%s", text.p[text.n - 1] == '[' ? "" : ",", jwk);
        free(jwk);
        free(members);
    }
    cw_buf_add_cstr(&text, "]}");
    struct cw_jwks_options options = {.allow_oct = secret};
    struct cw_jwks *set = NULL;
    char why[CW_JWK_WHY_SIZE];
    enum cw_err err = cw_jwks_parse(cw_buf_str(&text), &options, &set, why);
    judge_expect(why, err, CW_OK);
    cw_buf_done(&text);
    return set;
}

struct cw_token_policy judge_policy(void)
{
    static const struct cw_str types[] = {CW_STR_INIT("at+jwt"), CW_STR_INIT("jwt")};
    static const struct cw_str audiences[] = {CW_STR_INIT(JUDGE_AUDIENCE)};
    return (struct cw_token_policy){
        .algorithms = CW_ALG_SET_PUBLIC,
        .types = types,
        .type_count = CW_ARRAY_SIZE(types),
        .claims = {.issuer = CW_STR_INIT(JUDGE_ISSUER),
                   .audiences = audiences,
                   .audience_count = CW_ARRAY_SIZE(audiences)},
    };
}

enum cw_err judge(struct cw_str token, const struct cw_token_policy *policy,
                  const struct cw_jwks *set, struct cw_claims *ret_claims)
{
    struct cw_token_policy usual = judge_policy();
    if (!set) {
        kept_set = kept_set ? kept_set : judge_keys(false);
        set = kept_set;
    }
    struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cw_token parsed;
    struct cw_claims claims;
    /* a copy of exactly the token's size, so that a sanitizer sees a read behind it */
    char *copy = malloc(token.n ? token.n : 1);
    if (token.n) {
        memcpy(copy, token.p, token.n);
    }
    enum cw_err err = cw_token_parse((struct cw_str){copy, token.n}, &arena, NULL, &parsed);
    if (!err) {
        err = cw_token_verify(&parsed, policy ? policy : &usual, set, JUDGE_NOW, NULL, &arena,
                              ret_claims ? ret_claims : &claims, NULL);
    }
    free(copy);
    cw_arena_done(&arena);
    return err;
}

char *judge_header(const char *alg)
{
    return mint_format("{\"alg\":\"%s\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}", alg, alg);
}

void judge_expect(const char *sentence, enum cw_err got, enum cw_err want)
{
    if (got != want) {
        fail_msg("%s: got %s, want %s", sentence, cw_err_code(got), cw_err_code(want));
    }
}

static void judge_case(const struct judge_case *c, const struct cw_token_policy *policy,
                       const struct cw_jwks *set)
{
    const char *alg = c->alg ? c->alg : "ES256";
    const struct mint_key *key = mint_key(alg);
    char *usual = judge_header(alg);
    struct cw_str header = cw_str(c->twin_header ? c->twin_header : usual);
    struct cw_str payload = cw_str(c->twin_payload ? c->twin_payload : JUDGE_CLAIMS(""));
    char *twin = mint_token(key, alg, header, payload);
    char *sentence = mint_format("the twin of: %s", c->sentence);
    judge_expect(sentence, judge(cw_str(twin), policy, set, NULL), CW_OK);

    header = c->raw_header.p ? c->raw_header : c->header ? cw_str(c->header) : header;
    payload = c->raw_payload.p ? c->raw_payload : c->payload ? cw_str(c->payload) : payload;
    size_t n = 0;
    char *bad = c->mutate ? c->mutate(twin, &n) : mint_token(key, alg, header, payload);
    n = c->mutate ? n : strlen(bad);
    judge_expect(c->sentence, judge((struct cw_str){bad, n}, policy, set, NULL), c->reason);
    free(bad);
    free(sentence);
    free(twin);
    free(usual);
}

void judge_cases(const struct judge_case *cases, size_t n, const struct cw_token_policy *policy,
                 const struct cw_jwks *set)
{
    for (size_t i = 0; i < n; i++) {
        judge_case(&cases[i], policy, set);
    }
}

int judge_done(void **state)
{
    (void)state;
    cw_jwks_unref(kept_set);
    kept_set = NULL;
    mint_done();
    return 0;
}
